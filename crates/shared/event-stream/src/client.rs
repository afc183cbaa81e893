//! The client's side of a connection.

use crate::VERSION;
use crate::frame::FrameError;
use crate::header::HeaderValue;
use crate::message::{
    FLAG_CONNECTION_ACCEPTED, FLAGS, Message, MessageType, STREAM_ID, TYPE, write_ping_response,
    write_terminate,
};
use crate::protocol_error::ProtocolError;
use crate::writer::FrameWriter;
use sward_diagnosis::{Diagnose, Kind};
use thiserror::Error;

/// Why a connection did not come about.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConnectError {
    /// The server does not accept the proof of identity or the version.
    #[error("the server refused the connection")]
    Refused,
    /// The server ended the connection instead of answering.
    #[error("the server found fault with the connection")]
    PeerFailed,
    /// The server answered something else.
    #[error("the answer is not one to CONNECT")]
    Protocol(#[from] ProtocolError),
}

impl Diagnose for ConnectError {
    fn kind(&self) -> Kind {
        match self {
            ConnectError::Refused => Kind::Unauthenticated,
            ConnectError::PeerFailed => Kind::Unavailable,
            ConnectError::Protocol(inner) => inner.kind(),
        }
    }

    fn code(&self) -> &'static str {
        "event-stream-connect-failed"
    }

    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            ConnectError::Protocol(inner) => Some(inner),
            _ => None,
        }
    }
}

/// The beginning of a connection.
#[derive(Debug, Default)]
pub struct ClientHandshake(());

impl ClientHandshake {
    /// A fresh connection.
    #[must_use]
    pub fn new() -> Self {
        ClientHandshake(())
    }

    /// Writes the CONNECT.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] where the payload is.
    pub fn connect(self, payload: &[u8], out: &mut Vec<u8>) -> Result<AwaitingAck, FrameError> {
        FrameWriter::begin(out)
            .header(":version", HeaderValue::String(VERSION))
            .header(TYPE, HeaderValue::Int32(MessageType::Connect as i32))
            .header(FLAGS, HeaderValue::Int32(0))
            .header(STREAM_ID, HeaderValue::Int32(0))
            .payload(payload)
            .finish()?;
        Ok(AwaitingAck(()))
    }
}

/// A connection whose CONNECT was sent.
#[derive(Debug)]
pub struct AwaitingAck(());

impl AwaitingAck {
    /// Takes the server's verdict.
    ///
    /// # Errors
    /// The server refused, or answered something else.
    pub fn receive(self, message: &Message<'_>) -> Result<ClientSession, ConnectError> {
        match message.kind {
            MessageType::ConnectAck if message.flags & FLAG_CONNECTION_ACCEPTED != 0 => {
                Ok(ClientSession {
                    last: 0,
                    open: Vec::new(),
                })
            }
            MessageType::ConnectAck => Err(ConnectError::Refused),
            MessageType::ProtocolError | MessageType::InternalError => {
                Err(ConnectError::PeerFailed)
            }
            found => Err(ProtocolError::Unexpected { found }.into()),
        }
    }
}

/// What a message means to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientEvent<'a> {
    /// A response or event; `last` where the server ends the stream with it.
    Message {
        stream: i32,
        service_model_type: Option<&'a str>,
        payload: &'a [u8],
        last: bool,
    },
    /// A modeled error; it ends the stream.
    Error {
        stream: i32,
        service_model_type: Option<&'a str>,
        payload: &'a [u8],
    },
    /// The server ended the stream.
    Closed { stream: i32 },
    /// The server found fault with the connection, `payload` says what; it is over.
    PeerFailed { payload: &'a [u8] },
    /// Nothing for the application.
    Handled,
}

/// A connection that the server accepted.
#[derive(Debug)]
pub struct ClientSession {
    last: i32,
    open: Vec<i32>,
}

impl ClientSession {
    /// Opens a stream with its first message and answers its number.
    ///
    /// # Errors
    /// A payload that is too long, or no number left.
    pub fn open(
        &mut self,
        operation: &str,
        request_type: &str,
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<i32, ProtocolError> {
        let stream = self
            .last
            .checked_add(1)
            .ok_or(ProtocolError::StreamsExhausted)?;
        FrameWriter::begin(out)
            .header(":content-type", HeaderValue::String("application/json"))
            .header("service-model-type", HeaderValue::String(request_type))
            .header(
                TYPE,
                HeaderValue::Int32(MessageType::ApplicationMessage as i32),
            )
            .header(FLAGS, HeaderValue::Int32(0))
            .header(STREAM_ID, HeaderValue::Int32(stream))
            .header("operation", HeaderValue::String(operation))
            .payload(payload)
            .finish()?;
        self.last = stream;
        self.open.push(stream);
        Ok(stream)
    }

    /// Ends a stream; nothing where it has ended.
    pub fn close(&mut self, stream: i32, out: &mut Vec<u8>) {
        if self.forget(stream) {
            write_terminate(out, stream);
        }
    }

    /// Takes one message; answers pings by itself into `out`.
    ///
    /// # Errors
    /// The server broke the protocol: close.
    pub fn receive<'a>(
        &mut self,
        message: &Message<'a>,
        out: &mut Vec<u8>,
    ) -> Result<ClientEvent<'a>, ProtocolError> {
        match message.kind {
            MessageType::ApplicationMessage | MessageType::ApplicationError => {
                self.receive_on_stream(message)
            }
            MessageType::Ping => {
                write_ping_response(out, message)?;
                Ok(ClientEvent::Handled)
            }
            MessageType::PingResponse => Ok(ClientEvent::Handled),
            MessageType::ProtocolError | MessageType::InternalError => {
                Ok(ClientEvent::PeerFailed {
                    payload: message.payload,
                })
            }
            MessageType::Connect | MessageType::ConnectAck => Err(ProtocolError::Unexpected {
                found: message.kind,
            }),
        }
    }

    fn receive_on_stream<'a>(
        &mut self,
        message: &Message<'a>,
    ) -> Result<ClientEvent<'a>, ProtocolError> {
        let stream = message.stream;
        if stream <= 0 {
            return Err(ProtocolError::Stream {
                stream,
                kind: message.kind,
            });
        }
        if stream > self.last {
            return Err(ProtocolError::StreamUnknown { stream });
        }
        if self.open.binary_search(&stream).is_err() {
            // It crossed our own end of the stream.
            return Ok(ClientEvent::Handled);
        }
        let is_error = message.kind == MessageType::ApplicationError;
        let last = message.terminates() || is_error;
        if last {
            self.forget(stream);
        }
        if is_error {
            return Ok(ClientEvent::Error {
                stream,
                service_model_type: message.service_model_type,
                payload: message.payload,
            });
        }
        if last && message.payload.is_empty() {
            return Ok(ClientEvent::Closed { stream });
        }
        Ok(ClientEvent::Message {
            stream,
            service_model_type: message.service_model_type,
            payload: message.payload,
            last,
        })
    }

    fn forget(&mut self, stream: i32) -> bool {
        match self.open.binary_search(&stream) {
            Ok(index) => {
                self.open.remove(index);
                true
            }
            Err(_) => false,
        }
    }
}
