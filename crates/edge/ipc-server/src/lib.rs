//! The IPC server of the core device: the Unix socket on which components and the local CLI
//! speak, who they are, what they may do, and the operations themselves.
//!
//! Local publish/subscribe lives here whole. Everything else is asked of the rest of the core
//! through the traits of [`ports`]. The server never starts processes, never reads or writes
//! configuration files and knows nothing of the cloud.
//!
//! ```text
//! socket ─ greeting ─ connection ─┬─ operations ─ ports
//!            tokens     session   ├─ access (compiled policies)
//!                       outbox ◀──┴─ bus (topic trie) ─▶ other connections' outboxes
//! ```
//!
//! Invariants:
//! - No message of a client, whatever its bytes, does more than end its own connection.
//! - A publisher never waits for a subscriber: what does not fit into a subscriber's outbox is
//!   dropped and counted. A client that does not read its answers is not read from.
//! - A stream's response is in the outbox before the first event of that stream.
//! - Policies are compiled when configuration changes; a message finds its route and its verdict
//!   in a table of its own connection that is void as soon as either changes.
//!
//! Read first: [`IpcServer`], [`ports`], [`TokenRegistry`], [`AccessPolicies`].

mod access;
mod bus;
mod cli_info;
mod connection;
mod error;
mod greeting;
mod input;
mod operations;
mod outbox;
pub mod ports;
mod server;
mod socket;
mod tokens;

pub use access::AccessPolicies;
pub use bus::LocalPublisher;
pub use cli_info::{CliAccess, write_cli_info};
pub use error::ServerError;
pub use ports::{
    CancelOutcome, ComponentsPort, ConfigurationPort, DeploymentsPort, IotCorePort,
    IotCoreSubscription, LifecyclePort, PortFuture, Ports, UpdateOutcome,
};
pub use server::{IpcServer, ServerOptions};
pub use socket::SocketPath;
pub use tokens::{CLI_PREFIX, Identity, Token, TokenRegistry};
