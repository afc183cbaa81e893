//! The IPC server of the core device: socket, authentication, authorization and the operations.

pub mod ports;
mod tokens;

pub use tokens::{CLI_PREFIX, Identity, Token, TokenRegistry};
