//! The task that owns the socket.

use crate::error::ClientError;
use std::collections::HashMap;
use sward_event_stream::{
    ClientEvent, ClientHandshake, ClientSession, Decoded, Limits, Message, ProtocolError, decode,
};
use sward_ipc_model::IpcError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

type Payload = Result<Vec<u8>, ClientError>;

/// Where the messages of one stream go.
#[derive(Debug)]
pub(crate) enum Sink {
    Call(oneshot::Sender<Payload>),
    Stream {
        /// Until the first message.
        response: Option<oneshot::Sender<Payload>>,
        events: mpsc::Sender<Payload>,
    },
}

/// What a handle asks for.
#[derive(Debug)]
pub(crate) enum Command {
    Open {
        operation: &'static str,
        request_type: &'static str,
        payload: Vec<u8>,
        sink: Sink,
        opened: oneshot::Sender<Result<i32, ClientError>>,
    },
    Close {
        stream: i32,
    },
}

/// Bytes read and not understood yet.
#[derive(Default)]
struct Input {
    bytes: Vec<u8>,
}

impl Input {
    async fn read(&mut self, socket: &mut (impl AsyncReadExt + Unpin)) -> Result<(), ClientError> {
        self.bytes.reserve(64 * 1024);
        match socket.read_buf(&mut self.bytes).await {
            Ok(length) if length > 0 => Ok(()),
            _ => Err(ClientError::Closed),
        }
    }
}

/// An accepted connection.
pub(crate) struct Connection {
    socket: UnixStream,
    input: Input,
    core: Core,
}

/// Everything but the socket.
struct Core {
    session: ClientSession,
    sinks: HashMap<i32, Sink>,
    output: Vec<u8>,
}

/// Sends the CONNECT and waits for the verdict.
pub(crate) async fn greet(
    mut socket: UnixStream,
    payload: &[u8],
) -> Result<Connection, ClientError> {
    let mut output = Vec::new();
    let waiting = ClientHandshake::new()
        .connect(payload, &mut output)
        .map_err(ClientError::Request)?;
    let sent = socket.write_all(&output).await;
    sent.map_err(|_| ClientError::Closed)?;
    let mut input = Input::default();
    let (session, length) = loop {
        input.read(&mut socket).await?;
        let decoded = decode(&input.bytes, Limits::default());
        match decoded.map_err(|error| ClientError::Protocol(error.into()))? {
            Decoded::Incomplete { .. } => {}
            Decoded::Frame { frame, length } => {
                let message = Message::parse(frame).map_err(ClientError::Protocol)?;
                let session = waiting.receive(&message).map_err(ClientError::Connect)?;
                break (session, length);
            }
        }
    };
    input.bytes.drain(..length);
    Ok(Connection {
        socket,
        input,
        core: Core {
            session,
            sinks: HashMap::new(),
            output: Vec::new(),
        },
    })
}

impl Connection {
    /// Serves the handles until all are dropped or the connection ends.
    pub(crate) async fn run(self, mut commands: mpsc::Receiver<Command>) {
        let Connection {
            mut socket,
            mut input,
            mut core,
        } = self;
        let (mut reader, mut writer) = socket.split();
        let end = loop {
            if let Err(error) = core.receive(&mut input).await {
                break error;
            }
            let has_output = !core.output.is_empty();
            tokio::select! {
                written = writer.write(&core.output), if has_output => match written {
                    Ok(length) if length > 0 => {
                        core.output.drain(..length);
                    }
                    _ => break ClientError::Closed,
                },
                read = input.read(&mut reader) => if let Err(error) = read {
                    break error;
                },
                command = commands.recv() => match command {
                    Some(command) => core.command(command),
                    None => break ClientError::Closed,
                },
            }
        };
        core.fail(end);
    }
}

impl Core {
    fn command(&mut self, command: Command) {
        match command {
            Command::Open {
                operation,
                request_type,
                payload,
                sink,
                opened,
            } => {
                let stream = self
                    .session
                    .open(operation, request_type, &payload, &mut self.output);
                if let Ok(stream) = &stream {
                    self.sinks.insert(*stream, sink);
                }
                let answer = stream.map_err(|error| match error {
                    ProtocolError::Frame(error) => ClientError::Request(error),
                    error => ClientError::Protocol(error),
                });
                // A caller that has gone away closes its stream when the answer comes.
                drop(opened.send(answer));
            }
            Command::Close { stream } => self.close(stream),
        }
    }

    fn close(&mut self, stream: i32) {
        self.sinks.remove(&stream);
        self.session.close(stream, &mut self.output);
    }

    /// Hands on all whole messages that were read.
    async fn receive(&mut self, input: &mut Input) -> Result<(), ClientError> {
        let mut consumed = 0;
        loop {
            let decoded = decode(&input.bytes[consumed..], Limits::default())
                .map_err(|error| ClientError::Protocol(error.into()))?;
            let Decoded::Frame { frame, length } = decoded else {
                break;
            };
            consumed += length;
            let message = Message::parse(frame).map_err(ClientError::Protocol)?;
            let event = self.session.receive(&message, &mut self.output);
            self.event(event.map_err(ClientError::Protocol)?).await?;
        }
        input.bytes.drain(..consumed);
        Ok(())
    }

    async fn event(&mut self, event: ClientEvent<'_>) -> Result<(), ClientError> {
        match event {
            ClientEvent::Message {
                stream,
                payload,
                last,
                ..
            } => {
                if !self.deliver(stream, Ok(payload.to_vec())).await {
                    self.close(stream);
                }
                if last {
                    self.sinks.remove(&stream);
                }
            }
            ClientEvent::Error {
                stream,
                service_model_type,
                payload,
            } => {
                let error = IpcError::from_wire(service_model_type, payload);
                self.deliver(stream, Err(error.into())).await;
                self.sinks.remove(&stream);
            }
            ClientEvent::Closed { stream } => {
                self.sinks.remove(&stream);
            }
            ClientEvent::PeerFailed { payload } => {
                return Err(ClientError::PeerFailed {
                    message: String::from_utf8_lossy(payload).into_owned(),
                });
            }
            ClientEvent::Handled => {}
        }
        Ok(())
    }

    /// `false` where nobody waits for more of this stream.
    async fn deliver(&mut self, stream: i32, payload: Payload) -> bool {
        match self.sinks.get_mut(&stream) {
            Some(Sink::Call(_)) => {
                if let Some(Sink::Call(answer)) = self.sinks.remove(&stream) {
                    drop(answer.send(payload));
                }
                false
            }
            Some(Sink::Stream { response, events }) => match response.take() {
                Some(response) => response.send(payload).is_ok(),
                None => events.send(payload).await.is_ok(),
            },
            None => false,
        }
    }

    /// Tells everybody who waits that the connection is over.
    fn fail(self, error: ClientError) {
        tracing::debug!(%error, "the IPC connection ended");
        let message = match &error {
            ClientError::PeerFailed { message } => Some(message.clone()),
            _ => None,
        };
        let told = || match &message {
            Some(message) => ClientError::PeerFailed {
                message: message.clone(),
            },
            None => ClientError::Closed,
        };
        for sink in self.sinks.into_values() {
            match sink {
                Sink::Call(answer) => drop(answer.send(Err(told()))),
                Sink::Stream { response, events } => match response {
                    Some(response) => drop(response.send(Err(told()))),
                    None => drop(events.try_send(Err(told()))),
                },
            }
        }
    }
}
