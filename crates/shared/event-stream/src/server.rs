//! The server's side of a connection.

use crate::VERSION;
use crate::message::{
    FLAG_CONNECTION_ACCEPTED, Message, MessageType, write_bare, write_ping_response,
    write_terminate,
};
use crate::protocol_error::ProtocolError;

/// A connection that has not said who it is.
#[derive(Debug, Default)]
pub struct AwaitingConnect(());

impl AwaitingConnect {
    /// A fresh connection.
    #[must_use]
    pub fn new() -> Self {
        AwaitingConnect(())
    }

    /// Takes the first message.
    ///
    /// # Errors
    /// Anything but a CONNECT on stream 0.
    pub fn receive<'a>(self, message: &Message<'a>) -> Result<ConnectRequest<'a>, ProtocolError> {
        if message.kind != MessageType::Connect {
            return Err(ProtocolError::NotConnected {
                found: message.kind,
            });
        }
        if message.stream != 0 {
            return Err(ProtocolError::Stream {
                stream: message.stream,
                kind: message.kind,
            });
        }
        Ok(ConnectRequest {
            version: message.version,
            payload: message.payload,
        })
    }
}

/// A CONNECT that waits for the verdict.
#[derive(Debug)]
pub struct ConnectRequest<'a> {
    /// The `:version` header.
    pub version: Option<&'a str>,
    /// The proof of identity.
    pub payload: &'a [u8],
}

impl ConnectRequest<'_> {
    /// Whether the client speaks the one version there is.
    #[must_use]
    pub fn has_known_version(&self) -> bool {
        self.version == Some(VERSION)
    }

    /// Lets the client in.
    #[must_use]
    pub fn accept(self, out: &mut Vec<u8>) -> ServerSession {
        acknowledge(out, FLAG_CONNECTION_ACCEPTED);
        ServerSession {
            last: 0,
            open: Vec::new(),
        }
    }

    /// Turns the client away; the connection is closed after it.
    pub fn reject(self, out: &mut Vec<u8>) {
        acknowledge(out, 0);
    }
}

fn acknowledge(out: &mut Vec<u8>, flags: u32) {
    write_bare(out, MessageType::ConnectAck, flags, 0, &[]).expect("an empty message fits");
}

/// What a message means to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerEvent<'a> {
    /// A new stream; it is open until [`ServerSession::close`] or a [`ServerEvent::Closed`].
    Request {
        stream: i32,
        operation: &'a str,
        payload: &'a [u8],
    },
    /// A further message on an open stream.
    Input { stream: i32, payload: &'a [u8] },
    /// The client ended the stream.
    Closed { stream: i32 },
    /// The client found fault with the connection; it is over.
    PeerFailed,
    /// Nothing for the application.
    Handled,
}

/// A connection whose client is known.
#[derive(Debug)]
pub struct ServerSession {
    /// The newest stream of the client.
    last: i32,
    /// Streams that are open, ascending: new ones are appended, most are closed at once.
    open: Vec<i32>,
}

impl ServerSession {
    /// Takes one message; answers pings by itself into `out`.
    ///
    /// # Errors
    /// The client broke the protocol: tell it and close.
    pub fn receive<'a>(
        &mut self,
        message: &Message<'a>,
        out: &mut Vec<u8>,
    ) -> Result<ServerEvent<'a>, ProtocolError> {
        match message.kind {
            MessageType::ApplicationMessage | MessageType::ApplicationError => {
                self.receive_on_stream(message)
            }
            _ if message.stream != 0 => Err(ProtocolError::Stream {
                stream: message.stream,
                kind: message.kind,
            }),
            MessageType::Ping => {
                write_ping_response(out, message)?;
                Ok(ServerEvent::Handled)
            }
            MessageType::PingResponse => Ok(ServerEvent::Handled),
            MessageType::ProtocolError | MessageType::InternalError => Ok(ServerEvent::PeerFailed),
            MessageType::Connect | MessageType::ConnectAck => Err(ProtocolError::Unexpected {
                found: message.kind,
            }),
        }
    }

    fn receive_on_stream<'a>(
        &mut self,
        message: &Message<'a>,
    ) -> Result<ServerEvent<'a>, ProtocolError> {
        let stream = message.stream;
        if stream <= 0 {
            return Err(ProtocolError::Stream {
                stream,
                kind: message.kind,
            });
        }
        if stream > self.last {
            return self.open(message);
        }
        match self.open.binary_search(&stream) {
            Ok(index) if message.terminates() => {
                self.open.remove(index);
                Ok(ServerEvent::Closed { stream })
            }
            Ok(_) => Ok(ServerEvent::Input {
                stream,
                payload: message.payload,
            }),
            Err(_) if message.terminates() => Ok(ServerEvent::Handled),
            Err(_) => Err(ProtocolError::StreamClosed { stream }),
        }
    }

    fn open<'a>(&mut self, message: &Message<'a>) -> Result<ServerEvent<'a>, ProtocolError> {
        let stream = message.stream;
        if stream - 1 != self.last {
            return Err(ProtocolError::NotSequential {
                found: stream,
                last: self.last,
            });
        }
        if message.kind != MessageType::ApplicationMessage {
            return Err(ProtocolError::Unexpected {
                found: message.kind,
            });
        }
        let operation = message
            .operation
            .ok_or(ProtocolError::OperationMissing { stream })?;
        self.last = stream;
        // A stream that ends with its first message asks for nothing.
        if message.terminates() {
            return Ok(ServerEvent::Handled);
        }
        self.open.push(stream);
        Ok(ServerEvent::Request {
            stream,
            operation,
            payload: message.payload,
        })
    }

    /// Whether the stream may still be written to.
    #[must_use]
    pub fn is_open(&self, stream: i32) -> bool {
        self.open.binary_search(&stream).is_ok()
    }

    /// How many streams are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.open.len()
    }

    /// Notes that the server has written the stream's last message; `false` where it was closed
    /// before.
    pub fn close(&mut self, stream: i32) -> bool {
        // The newest stream is by far the most likely.
        if self.open.last() == Some(&stream) {
            self.open.pop();
            return true;
        }
        match self.open.binary_search(&stream) {
            Ok(index) => {
                self.open.remove(index);
                true
            }
            Err(_) => false,
        }
    }

    /// Ends a stream with an empty message.
    pub fn terminate(&mut self, stream: i32, out: &mut Vec<u8>) {
        if self.close(stream) {
            write_terminate(out, stream);
        }
    }
}
