//! The Greengrass IPC service `aws.greengrass#GreengrassCoreIPC` as types: operations, their
//! request, response and event shapes, and the errors a client may see.
//!
//! This crate knows names and JSON encodings only. It never reads a socket, frames nothing
//! (`sward-event-stream` does) and decides nothing about who may call what.
//!
//! Invariants:
//! - A member is named as on the wire; absent and `null` optional members are the same, and are
//!   left out when written.
//! - Blobs are base64 text, timestamps are seconds with a fraction, enumerations are their text.
//! - Every error is written in both styles that the public clients read ([`IpcError::to_json`]).
//!
//! Read first: [`Operation`], [`StreamingOperation`], [`IpcError`], [`operation_names`].

mod authorization;
mod blob;
mod components;
mod configuration;
mod connect;
mod error;
mod iot_core;
mod lifecycle;
mod local_deployment;
mod operation;
mod pubsub;

pub use authorization::*;
pub use blob::Blob;
pub use components::*;
pub use configuration::*;
pub use connect::ConnectPayload;
pub use error::{ErrorName, IpcError};
pub use iot_core::*;
pub use lifecycle::*;
pub use local_deployment::*;
pub use operation::{
    Empty, NAMESPACE, Operation, OperationArea, StreamingOperation, area_of, operation_names,
};
pub use pubsub::*;

/// A JSON object, the wire form of the model's `document`.
pub type Document = serde_json::Map<String, serde_json::Value>;

#[cfg(test)]
mod tests;
