//! Event-stream frames and the RPC session on top of them, without any IO.
//!
//! The crate turns bytes into [`Frame`]s, frames into RPC [`Message`]s, and messages into events
//! of a [`ServerSession`] or [`ClientSession`]; the other way round it appends whole frames to a
//! caller's buffer. It never copies what it reads: names, values and payloads borrow the input.
//! It knows nothing of Greengrass operations, JSON, tokens or sockets.
//!
//! ```text
//! total u32 | headers u32 | prelude crc u32 | headers … | payload … | message crc u32
//! header: name length u8 | name | type u8 | value
//! ```
//!
//! Invariants:
//! - Every integer is big-endian; both checksums are verified before anything is looked at.
//! - A frame that cannot be right is refused from its first twelve bytes, before its body is read.
//! - Handshake states are consumed: there is no session before the CONNECT was accepted.
//! - A session holds one number a stream that is open, and nothing of streams that are closed.
//!
//! Read first: [`decode`], [`Message`], [`ServerSession`].

mod client;
mod frame;
mod header;
mod message;
mod protocol_error;
mod server;
mod template;
mod writer;

pub use client::{AwaitingAck, ClientEvent, ClientHandshake, ClientSession, ConnectError};
pub use frame::{Decoded, Frame, FrameError, Limits, MAX_MESSAGE_LENGTH, decode};
pub use header::{Header, HeaderValue, Headers};
pub use message::{FLAG_CONNECTION_ACCEPTED, FLAG_TERMINATE_STREAM, Message, MessageType};
pub use protocol_error::{ProtocolError, write_protocol_error};
pub use server::{AwaitingConnect, ConnectRequest, ServerEvent, ServerSession};
pub use template::MessageTemplate;
pub use writer::FrameWriter;

/// The only protocol version there is.
pub const VERSION: &str = "0.1.0";

#[cfg(test)]
mod tests;
