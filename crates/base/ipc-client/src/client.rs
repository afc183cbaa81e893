//! The handle: calls and subscriptions.

use crate::connection::{self, Command, Sink};
use crate::error::ClientError;
use crate::socket;
use std::marker::PhantomData;
use std::path::Path;
use std::time::Duration;
use sward_ipc_model::{ConnectPayload, Operation, StreamingOperation};
use sward_task::Tasks;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot};

/// How long the server may take to say yes or no.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an answer may take unless the caller says otherwise.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Events that may wait for their subscriber.
const EVENT_QUEUE: usize = 1024;

const SOCKET_VARIABLE: &str = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT";
const TOKEN_VARIABLE: &str = "SVCUID";

/// A connection to the nucleus; clones are the same connection, which ends with the last of them.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
}

impl Client {
    /// Connects as the component in whose environment this process runs.
    ///
    /// # Errors
    /// A variable is missing, nobody listens, or the token is not accepted.
    pub async fn from_environment(tasks: &Tasks) -> Result<Client, ClientError> {
        let variable = |name| std::env::var(name).map_err(|_| ClientError::Environment { name });
        let path = variable(SOCKET_VARIABLE)?;
        Self::connect(Path::new(&path), &variable(TOKEN_VARIABLE)?, tasks).await
    }

    /// Connects to a socket with a token.
    ///
    /// # Errors
    /// Nobody listens, the token is not accepted, or no answer comes in time.
    pub async fn connect(path: &Path, token: &str, tasks: &Tasks) -> Result<Client, ClientError> {
        let failed = |source| ClientError::Socket {
            path: path.to_owned(),
            source,
        };
        let socket = socket::open(path).map_err(failed)?;
        socket.set_nonblocking(true).map_err(failed)?;
        let socket = UnixStream::from_std(socket).map_err(failed)?;
        let payload = ConnectPayload {
            auth_token: Some(token.to_owned()),
        };
        let payload = serde_json::to_vec(&payload).expect("a text serialises");
        let connection = within(CONNECT_TIMEOUT, connection::greet(socket, &payload)).await?;
        let (commands, receiver) = mpsc::channel(64);
        tasks.spawn("ipc-client", connection.run(receiver));
        Ok(Client { commands })
    }

    /// Calls an operation and waits for its answer, a minute at most.
    ///
    /// # Errors
    /// The operation's own error, or one of the connection.
    pub async fn call<O: Operation>(
        &self,
        request: &O::Request,
    ) -> Result<O::Response, ClientError> {
        let (sender, receiver) = oneshot::channel();
        self.open::<O>(request, Sink::Call(sender)).await?;
        let payload = within(CALL_TIMEOUT, async {
            receiver.await.map_err(|_| ClientError::Closed)?
        })
        .await?;
        response::<O>(&payload)
    }

    /// Calls an operation whose stream stays open and waits for its first answer.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn subscribe<O: StreamingOperation>(
        &self,
        request: &O::Request,
    ) -> Result<(O::Response, Subscription<O>), ClientError> {
        let (sender, receiver) = oneshot::channel();
        let (events, subscription) = mpsc::channel(EVENT_QUEUE);
        let sink = Sink::Stream {
            response: Some(sender),
            events,
        };
        let stream = self.open::<O>(request, sink).await?;
        let payload = within(CALL_TIMEOUT, async {
            receiver.await.map_err(|_| ClientError::Closed)?
        })
        .await?;
        let subscription = Subscription {
            stream,
            events: subscription,
            commands: self.commands.clone(),
            operation: PhantomData,
        };
        Ok((response::<O>(&payload)?, subscription))
    }

    async fn open<O: Operation>(
        &self,
        request: &O::Request,
        sink: Sink,
    ) -> Result<i32, ClientError> {
        let payload = serde_json::to_vec(request).map_err(|source| ClientError::Shape {
            what: "request",
            operation: O::NAME,
            source,
        })?;
        let (opened, stream) = oneshot::channel();
        let command = Command::Open {
            operation: O::NAME,
            request_type: O::REQUEST_TYPE,
            payload,
            sink,
            opened,
        };
        let sent = self.commands.send(command).await;
        sent.map_err(|_| ClientError::Closed)?;
        stream.await.map_err(|_| ClientError::Closed)?
    }
}

async fn within<T>(
    limit: Duration,
    future: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, ClientError> {
    tokio::time::timeout(limit, future)
        .await
        .unwrap_or(Err(ClientError::Timeout { limit }))
}

fn response<O: Operation>(payload: &[u8]) -> Result<O::Response, ClientError> {
    let payload = if payload.is_empty() { b"{}" } else { payload };
    serde_json::from_slice(payload).map_err(|source| ClientError::Shape {
        what: "response",
        operation: O::NAME,
        source,
    })
}

/// The events of one stream; dropping it ends the stream.
#[derive(Debug)]
pub struct Subscription<O: StreamingOperation> {
    stream: i32,
    events: mpsc::Receiver<Result<Vec<u8>, ClientError>>,
    commands: mpsc::Sender<Command>,
    operation: PhantomData<fn() -> O>,
}

impl<O: StreamingOperation> Subscription<O> {
    /// The next event; `None` once the server has ended the stream.
    ///
    /// # Errors
    /// The server ended the stream with an error, the connection is gone, or an event does not
    /// have its shape.
    pub async fn next(&mut self) -> Option<Result<O::Event, ClientError>> {
        let payload = match self.events.recv().await? {
            Ok(payload) => payload,
            Err(error) => return Some(Err(error)),
        };
        Some(
            serde_json::from_slice(&payload).map_err(|source| ClientError::Shape {
                what: "event",
                operation: O::NAME,
                source,
            }),
        )
    }
}

impl<O: StreamingOperation> Drop for Subscription<O> {
    fn drop(&mut self) {
        // Where the queue is full, the connection finds out at the next event.
        let stream = self.stream;
        drop(self.commands.try_send(Command::Close { stream }));
    }
}
