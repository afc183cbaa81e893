//! What a peer can do wrong on a connection, and how it is told.

use crate::frame::FrameError;
use crate::header::HeaderValue;
use crate::message::{FLAGS, MessageType, STREAM_ID, TYPE};
use crate::writer::FrameWriter;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// A breach of the protocol: the connection ends.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// The bytes are not a frame.
    #[error("a frame cannot be read")]
    Frame(#[from] FrameError),
    /// Every message has type, flags and stream, as 32-bit integers.
    #[error("a message lacks the int32 header {name}")]
    HeaderMissing { name: &'static str },
    /// A message type that does not exist.
    #[error("message type {found} does not exist")]
    MessageType { found: i32 },
    /// Something else came before CONNECT.
    #[error("the first message is {found:?}, expected CONNECT")]
    NotConnected { found: MessageType },
    /// CONNECT came twice, or the wrong side sent this type.
    #[error("{found:?} is not expected here")]
    Unexpected { found: MessageType },
    /// Streams have positive numbers; the connection itself has 0.
    #[error("stream {stream} is not allowed for {kind:?}")]
    Stream { stream: i32, kind: MessageType },
    /// New streams are numbered without gaps.
    #[error("stream ids are not sequentially increasing: {found} after {last}")]
    NotSequential { found: i32, last: i32 },
    /// The first message of a stream names its operation.
    #[error("the first message of stream {stream} names no operation")]
    OperationMissing { stream: i32 },
    /// The stream has ended.
    #[error("stream {stream} is closed")]
    StreamClosed { stream: i32 },
    /// The stream was never opened.
    #[error("stream {stream} was never opened")]
    StreamUnknown { stream: i32 },
    /// All stream numbers are used.
    #[error("no stream numbers are left on this connection")]
    StreamsExhausted,
}

impl Diagnose for ProtocolError {
    fn kind(&self) -> Kind {
        match self {
            ProtocolError::Frame(inner) => inner.kind(),
            ProtocolError::StreamsExhausted => Kind::Limit,
            _ => Kind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        "event-stream-protocol-violated"
    }

    fn place(&self) -> Option<Place> {
        match self {
            ProtocolError::Frame(inner) => inner.place(),
            _ => None,
        }
    }

    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            ProtocolError::Frame(inner) => Some(inner),
            _ => None,
        }
    }
}

/// Appends the message that tells a peer of its breach; the connection is closed after it.
pub fn write_protocol_error(out: &mut Vec<u8>, error: &ProtocolError) {
    let text = match error {
        ProtocolError::Frame(inner) => format!("{error}: {inner}"),
        _ => error.to_string(),
    };
    let escaped = text.replace('\\', "\\\\").replace('"', "\\\"");
    FrameWriter::begin(out)
        .header(":content-type", HeaderValue::String("application/json"))
        .header(TYPE, HeaderValue::Int32(MessageType::ProtocolError as i32))
        .header(FLAGS, HeaderValue::Int32(0))
        .header(STREAM_ID, HeaderValue::Int32(0))
        .payload(format!("{{\"message\":\"{escaped}\"}}").as_bytes())
        .finish()
        .expect("a short text fits");
}
