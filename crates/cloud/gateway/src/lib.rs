//! The MQTT gateway: mutual TLS in front, IoT policies at every step, sessions that survive a kill.
//!
//! It owns connections and the brokers behind them (one a tenant), and nothing of the registry:
//! who a certificate is, what it may do, what a `$aws/…` topic means and where sessions are kept
//! are asked through [`ports`].
//!
//! ```text
//! socket ─ TLS ─ connection task ─┬─ Hub ─ Broker (a short lock) ─ woken connection tasks
//!                                 │    └─ Durability (group commit) ─ SessionStore
//!                                 └─ ReservedTopics … answers by Publisher
//! ```
//!
//! It never holds a lock across an await, never decides by user name or password, and never
//! acknowledges a QoS 1 message before what must remember it has.
//!
//! Invariants:
//! - Every connect, publish, retain, subscribe and delivery is allowed by a policy statement.
//! - PUBACKs leave in the order of their PUBLISHes.
//! - A slow client holds back itself only: its queue is bounded in the broker.
//!
//! Read first: [`Hub`], [`Gateway`], [`ports`], [`Publisher`].

mod connection;
mod durability;
mod gateway;
mod handle;
mod hub;
mod listener;
mod memory;
pub mod ports;
mod presence;
mod publisher;
mod rules;
mod tenant;

pub use gateway::{Clock, Gateway, GatewayOptions, Ports};
pub use hub::{Hub, HubCounts, RetainedMessage};
pub use memory::MemorySessions;
pub use publisher::{Delivered, Publish, PublishError, Publisher, ServiceMessage};
