//! The MQTT gateway: mutual TLS in front, IoT policies at every step, sessions that survive a kill.
//!
//! It owns connections and the brokers behind them (one a tenant), and nothing of the registry:
//! who a certificate is, what it may do, what a `$aws/…` topic means and where sessions are kept
//! are asked through [`ports`].
//!
//! It never holds a lock across an await, never decides by user name or password, and never
//! acknowledges a QoS 1 message before what must remember it has.
//!
//! Read first: [`ports`], [`Publisher`].

pub mod ports;
mod publisher;

pub use publisher::{Delivered, Publish, PublishError, Publisher, ServiceMessage};
