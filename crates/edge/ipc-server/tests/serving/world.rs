//! A server with a core in memory, and clients of it.

#[path = "../../examples/memory_nucleus/ports.rs"]
mod ports;

use ports::MemoryNucleus;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use sward_event_stream::{ClientHandshake, Decoded, Limits, Message, MessageType, decode};
use sward_ipc_client::{Client, ClientError};
use sward_ipc_model::*;
use sward_ipc_server::{
    AccessPolicies, Identity, IpcServer, ServerOptions, SocketPath, TokenRegistry,
};
use sward_task::Tasks;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

pub(crate) const A: &str = "com.example.A";
pub(crate) const B: &str = "com.example.B";

pub(crate) struct World {
    _root: tempfile::TempDir,
    pub(crate) socket: SocketPath,
    pub(crate) tokens: TokenRegistry,
    pub(crate) policies: AccessPolicies,
    pub(crate) server: IpcServer,
    pub(crate) tasks: Tasks,
}

pub(crate) fn allow_all() -> Value {
    json!({
        "greeting": "hello", "nested": {"port": 1, "ratio": 1.0},
        "accessControl": {
            "aws.greengrass.ipc.pubsub": {"p": {"operations": ["*"], "resources": ["*"]}},
            "aws.greengrass.ipc.mqttproxy": {"m": {"operations": ["*"], "resources": ["allowed/#"]}},
        }
    })
}

impl World {
    pub(crate) fn start() -> Self {
        Self::start_with(|_| {})
    }

    pub(crate) fn start_with(change: impl FnOnce(&mut ServerOptions)) -> Self {
        let root = tempfile::tempdir().expect("a directory");
        let socket = SocketPath::in_root(root.path());
        let tokens = TokenRegistry::new();
        let policies = AccessPolicies::new();
        let configurations = BTreeMap::from([
            (A.to_owned(), allow_all()),
            (B.to_owned(), json!({"accessControl": {}})),
        ]);
        for (component, configuration) in &configurations {
            assert_eq!(policies.load(component, configuration), []);
        }
        let tasks = Tasks::new();
        let mut options = ServerOptions::new(socket.clone());
        change(&mut options);
        let server = IpcServer::start(
            options,
            MemoryNucleus::new(configurations).ports(),
            tokens.clone(),
            policies.clone(),
            &tasks,
        )
        .expect("starts");
        World {
            _root: root,
            socket,
            tokens,
            policies,
            server,
            tasks,
        }
    }

    pub(crate) async fn client(&self, component: &str) -> Client {
        let token = self.tokens.issue(component);
        Client::connect(self.socket.absolute(), token.reveal(), &self.tasks)
            .await
            .expect("connects")
    }

    pub(crate) async fn cli(&self) -> Client {
        let user = rustix::process::geteuid().as_raw();
        let token = self.tokens.issue_to(Identity::cli_user(user));
        Client::connect(self.socket.absolute(), token.reveal(), &self.tasks)
            .await
            .expect("connects")
    }

    pub(crate) async fn raw(&self) -> Raw {
        Raw {
            socket: UnixStream::connect(self.socket.absolute())
                .await
                .expect("connects"),
            input: Vec::new(),
        }
    }
}

/// A connection that says what it wants.
pub(crate) struct Raw {
    pub(crate) socket: UnixStream,
    pub(crate) input: Vec<u8>,
}

impl Raw {
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.socket
            .write_all(bytes)
            .await
            .expect("the server reads");
    }

    pub(crate) async fn connect(&mut self, token: &str) {
        let mut out = Vec::new();
        let payload = json!({ "authToken": token }).to_string();
        let _ = ClientHandshake::new()
            .connect(payload.as_bytes(), &mut out)
            .expect("short");
        self.send(&out).await;
    }

    /// Kind, flags and payload of the next message, `None` at the end of the connection.
    pub(crate) async fn next(&mut self) -> Option<(MessageType, u32, Vec<u8>)> {
        within(async {
            loop {
                if let Ok(Decoded::Frame { frame, length }) = decode(&self.input, Limits::default())
                {
                    let message = Message::parse(frame).expect("a message");
                    let found = (message.kind, message.flags, message.payload.to_vec());
                    self.input.drain(..length);
                    return Some(found);
                }
                let read = self.socket.read_buf(&mut self.input).await.unwrap_or(0);
                if read == 0 {
                    return None;
                }
            }
        })
        .await
    }
}

pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future)
        .await
        .expect("it happens in time")
}

pub(crate) async fn next<O: StreamingOperation>(
    events: &mut sward_ipc_client::Subscription<O>,
) -> O::Event {
    within(events.next())
        .await
        .expect("the stream is open")
        .expect("an event")
}

pub(crate) fn publish(topic: &str, bytes: &[u8]) -> PublishToTopicRequest {
    PublishToTopicRequest {
        topic: topic.to_owned(),
        publish_message: PublishMessage::binary(bytes),
    }
}

pub(crate) fn subscribe(topic: &str, receive_mode: Option<ReceiveMode>) -> SubscribeToTopicRequest {
    SubscribeToTopicRequest {
        topic: topic.to_owned(),
        receive_mode,
    }
}

pub(crate) fn delivered(topic: &str, bytes: &[u8]) -> SubscriptionResponseMessage {
    let mut message = PublishMessage::binary(bytes);
    if let Some(binary) = &mut message.binary_message {
        binary.context = Some(MessageContext {
            topic: Some(topic.to_owned()),
        });
    }
    message
}

pub(crate) fn refusal<T: std::fmt::Debug>(result: Result<T, ClientError>) -> IpcError {
    let error = result.expect_err("it is refused");
    error.as_operation().expect("by the operation").clone()
}

pub(crate) fn ack_frame() -> sward_event_stream::Frame<'static> {
    let mut out = Vec::new();
    sward_event_stream::FrameWriter::begin(&mut out)
        .header(":message-type", sward_event_stream::HeaderValue::Int32(5))
        .header(":message-flags", sward_event_stream::HeaderValue::Int32(1))
        .header(":stream-id", sward_event_stream::HeaderValue::Int32(0))
        .finish()
        .expect("short");
    match decode(out.leak(), Limits::default()) {
        Ok(Decoded::Frame { frame, .. }) => frame,
        other => panic!("{other:?}"),
    }
}
