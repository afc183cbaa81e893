//! One connection, driven by hand.

use anyhow::{Context, Result, bail};
use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use sward_event_stream::{
    ClientEvent, ClientHandshake, ClientSession, Decoded, Limits, Message, decode,
};

/// Bytes of one read, which must hold the largest message of any load.
const INPUT_LENGTH: usize = 256 * 1024;

/// Where the nucleus is and who we are.
pub(crate) struct Target {
    socket: PathBuf,
    connect: Vec<u8>,
}

impl Target {
    pub(crate) fn from_environment() -> Result<Self> {
        let variable =
            |name: &str| std::env::var(name).with_context(|| format!("{name} is not set"));
        let socket = variable("AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT")?;
        let token = variable("SVCUID")?;
        Ok(Target {
            socket: socket.into(),
            connect: serde_json::json!({ "authToken": token })
                .to_string()
                .into_bytes(),
        })
    }
}

/// A socket whose CONNECT was sent.
pub(crate) struct Greeting {
    socket: UnixStream,
    waiting: sward_event_stream::AwaitingAck,
}

impl Greeting {
    pub(crate) fn start(target: &Target) -> Result<Self> {
        let mut socket = sward_ipc_client::open_socket(&target.socket).context("connect")?;
        let mut out = Vec::new();
        let waiting = ClientHandshake::new().connect(&target.connect, &mut out)?;
        socket.write_all(&out)?;
        Ok(Greeting { socket, waiting })
    }

    pub(crate) fn finish(mut self) -> Result<Connection> {
        let mut input = vec![0; 256];
        let mut length = 0;
        loop {
            let read = self.socket.read(&mut input[length..])?;
            if read == 0 {
                bail!("the server closed the connection");
            }
            length += read;
            if let Decoded::Frame { frame, .. } = decode(&input[..length], Limits::default())? {
                let session = self.waiting.receive(&Message::parse(frame)?)?;
                self.socket.set_nonblocking(true)?;
                return Ok(Connection {
                    socket: self.socket,
                    session,
                    input: Vec::new(),
                    length: 0,
                    output: Vec::new(),
                });
            }
        }
    }
}

pub(crate) struct Connection {
    socket: UnixStream,
    session: ClientSession,
    input: Vec<u8>,
    length: usize,
    output: Vec<u8>,
}

/// What one read brought.
#[derive(Default)]
pub(crate) struct Received {
    /// Last messages of their streams.
    pub(crate) answers: usize,
    /// Messages of streams that stay open.
    pub(crate) events: usize,
}

impl Connection {
    pub(crate) fn open(target: &Target) -> Result<Self> {
        Greeting::start(target)?.finish()
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(crate) fn has_output(&self) -> bool {
        !self.output.is_empty()
    }

    /// Puts a request into the output.
    pub(crate) fn request<O: sward_ipc_model::Operation>(&mut self, payload: &[u8]) -> Result<()> {
        self.session
            .open(O::NAME, O::REQUEST_TYPE, payload, &mut self.output)?;
        Ok(())
    }

    /// Writes what the socket takes.
    pub(crate) fn write(&mut self) -> Result<()> {
        match self.socket.write(&self.output) {
            Ok(written) if written == self.output.len() => self.output.clear(),
            Ok(written) => drop(self.output.drain(..written)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Reads once and counts what came.
    pub(crate) fn read(&mut self) -> Result<Received> {
        let mut received = Received::default();
        if self.input.is_empty() {
            self.input = vec![0; INPUT_LENGTH];
        }
        let read = match self.socket.read(&mut self.input[self.length..]) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(received),
            Err(error) => return Err(error.into()),
        };
        self.length += read;
        let mut consumed = 0;
        while let Decoded::Frame { frame, length } =
            decode(&self.input[consumed..self.length], Limits::default())?
        {
            consumed += length;
            let message = Message::parse(frame)?;
            match self.session.receive(&message, &mut self.output)? {
                ClientEvent::Message { last: true, .. } | ClientEvent::Closed { .. } => {
                    received.answers += 1;
                }
                // Some nuclei leave it to the client to end the stream of an answer.
                ClientEvent::Message {
                    stream,
                    service_model_type: Some(shape),
                    ..
                } if shape.ends_with("Response") => {
                    if !shape.contains("Subscribe") {
                        self.session.close(stream, &mut self.output);
                    }
                    received.answers += 1;
                }
                ClientEvent::Message { .. } => received.events += 1,
                ClientEvent::Error { payload, .. } | ClientEvent::PeerFailed { payload } => {
                    bail!("{}", String::from_utf8_lossy(payload));
                }
                ClientEvent::Handled => {}
            }
        }
        self.input.copy_within(consumed..self.length, 0);
        self.length -= consumed;
        Ok(received)
    }
}
