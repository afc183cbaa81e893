//! One RPC message: a frame whose headers say type, flags and stream.

use crate::frame::{Frame, FrameError};
use crate::header::{HeaderValue, Headers};
use crate::protocol_error::ProtocolError;
use crate::writer::FrameWriter;

/// On a CONNECT_ACK: the connection is accepted.
pub const FLAG_CONNECTION_ACCEPTED: u32 = 1;
/// The sender will send no more on this stream.
pub const FLAG_TERMINATE_STREAM: u32 = 2;

pub(crate) const TYPE: &str = ":message-type";
pub(crate) const FLAGS: &str = ":message-flags";
pub(crate) const STREAM_ID: &str = ":stream-id";

/// The kinds of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub enum MessageType {
    ApplicationMessage = 0,
    ApplicationError = 1,
    Ping = 2,
    PingResponse = 3,
    Connect = 4,
    ConnectAck = 5,
    ProtocolError = 6,
    InternalError = 7,
}

impl MessageType {
    fn from_wire(value: i32) -> Option<Self> {
        Some(match value {
            0 => MessageType::ApplicationMessage,
            1 => MessageType::ApplicationError,
            2 => MessageType::Ping,
            3 => MessageType::PingResponse,
            4 => MessageType::Connect,
            5 => MessageType::ConnectAck,
            6 => MessageType::ProtocolError,
            7 => MessageType::InternalError,
            _ => return None,
        })
    }
}

/// A received message; all parts borrow the frame.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub kind: MessageType,
    /// Bits of [`FLAG_CONNECTION_ACCEPTED`] and [`FLAG_TERMINATE_STREAM`].
    pub flags: u32,
    /// 0 for the connection itself.
    pub stream: i32,
    /// `operation`, on the first message of a stream.
    pub operation: Option<&'a str>,
    /// `service-model-type`, the payload's shape.
    pub service_model_type: Option<&'a str>,
    /// `:version`, on CONNECT.
    pub version: Option<&'a str>,
    /// All headers once more, for those that the protocol does not name.
    pub headers: Headers<'a>,
    pub payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads the headers of a frame.
    ///
    /// # Errors
    /// Headers that cannot be read, and messages without type, flags or stream.
    pub fn parse(frame: Frame<'a>) -> Result<Self, ProtocolError> {
        let mut kind = None;
        let mut flags = None;
        let mut stream = None;
        let mut message = Message {
            kind: MessageType::ApplicationMessage,
            flags: 0,
            stream: 0,
            operation: None,
            service_model_type: None,
            version: None,
            headers: frame.headers,
            payload: frame.payload,
        };
        let mut headers = frame.headers;
        while let Some(header) = headers.next_raw() {
            let header = header?;
            // A header of another type than expected is not recognised, as in the C runtime.
            if is_named(header.name, TYPE) {
                kind = header.int32().or(kind);
            } else if is_named(header.name, FLAGS) {
                flags = header.int32().or(flags);
            } else if is_named(header.name, STREAM_ID) {
                stream = header.int32().or(stream);
            } else if is_named(header.name, "service-model-type") {
                message.service_model_type = header.string().or(message.service_model_type);
            } else if is_named(header.name, "operation") {
                message.operation = header.string().or(message.operation);
            } else if is_named(header.name, ":version") {
                message.version = header.string().or(message.version);
            }
        }
        let kind = kind.ok_or(ProtocolError::HeaderMissing { name: TYPE })?;
        message.kind =
            MessageType::from_wire(kind).ok_or(ProtocolError::MessageType { found: kind })?;
        message.flags = flags
            .ok_or(ProtocolError::HeaderMissing { name: FLAGS })?
            .cast_unsigned();
        message.stream = stream.ok_or(ProtocolError::HeaderMissing { name: STREAM_ID })?;
        Ok(message)
    }

    /// Whether the sender ends the stream with this message.
    #[must_use]
    pub fn terminates(&self) -> bool {
        self.flags & FLAG_TERMINATE_STREAM != 0
    }
}

/// Whether a header has this name; nearly all spell it as we do.
fn is_named(name: &[u8], expected: &str) -> bool {
    name.len() == expected.len()
        && (name == expected.as_bytes() || name.eq_ignore_ascii_case(expected.as_bytes()))
}

/// Appends a message that has no headers but the three that every message has.
pub(crate) fn write_bare(
    out: &mut Vec<u8>,
    kind: MessageType,
    flags: u32,
    stream: i32,
    payload: &[u8],
) -> Result<usize, FrameError> {
    FrameWriter::begin(out)
        .header(TYPE, HeaderValue::Int32(kind as i32))
        .header(FLAGS, HeaderValue::Int32(flags.cast_signed()))
        .header(STREAM_ID, HeaderValue::Int32(stream))
        .payload(payload)
        .finish()
}

/// Appends the end of a stream.
pub(crate) fn write_terminate(out: &mut Vec<u8>, stream: i32) {
    write_bare(
        out,
        MessageType::ApplicationMessage,
        FLAG_TERMINATE_STREAM,
        stream,
        &[],
    )
    .expect("an empty message fits");
}

/// Appends the answer to a ping: its payload and its own headers, as they came.
pub(crate) fn write_ping_response(
    out: &mut Vec<u8>,
    ping: &Message<'_>,
) -> Result<usize, FrameError> {
    let mut writer = FrameWriter::begin(out)
        .header(TYPE, HeaderValue::Int32(MessageType::PingResponse as i32))
        .header(FLAGS, HeaderValue::Int32(0))
        .header(STREAM_ID, HeaderValue::Int32(0));
    for header in ping.headers {
        let header = header?;
        if !header.name.starts_with(':') {
            writer = writer.header(header.name, header.value);
        }
    }
    writer.payload(ping.payload).finish()
}
