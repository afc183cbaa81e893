//! The first message of a connection: who is there?

use crate::connection::Connection;
use crate::input::Input;
use crate::server::Shared;
use crate::tokens::Identity;
use std::sync::Arc;
use std::time::Duration;
use sward_event_stream::{
    AwaitingConnect, ConnectRequest, Decoded, Limits, Message, ProtocolError, decode,
    write_protocol_error,
};
use sward_ipc_model::ConnectPayload;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A CONNECT is short; nobody unknown makes us keep more than this.
const MAX_CONNECT_LENGTH: usize = 16 * 1024;
/// How long a client that was turned away may take to notice.
const LINGER: Duration = Duration::from_secs(1);

/// Reads the CONNECT and answers it; `None` where the client was turned away or left.
pub(crate) async fn greet(stream: UnixStream, shared: &Arc<Shared>) -> Option<Connection> {
    let timeout = shared.options.connect_timeout;
    match tokio::time::timeout(timeout, exchange(stream, shared)).await {
        Ok(connection) => connection,
        Err(_) => {
            tracing::debug!("an IPC client did not say who it is in time");
            None
        }
    }
}

async fn exchange(mut stream: UnixStream, shared: &Arc<Shared>) -> Option<Connection> {
    let limits = Limits {
        max_message_length: MAX_CONNECT_LENGTH.min(shared.options.limits.max_message_length),
    };
    let mut input = Input::default();
    let mut needed = 1;
    loop {
        let read = stream.read(input.room(needed)).await.ok()?;
        if read == 0 {
            return None;
        }
        input.filled(read);
        let mut answer = Vec::new();
        match first_message(input.bytes(), limits) {
            Ok(First::Incomplete(length)) => needed = length,
            Ok(First::Connect(request, length)) => {
                let Some(identity) = identify(&request, &stream, shared) else {
                    request.reject(&mut answer);
                    stream.write_all(&answer).await.ok()?;
                    linger(&mut stream).await;
                    return None;
                };
                let session = request.accept(&mut answer);
                input.consume(length);
                stream.write_all(&answer).await.ok()?;
                let shared = Arc::clone(shared);
                return Some(Connection::new(stream, shared, identity, session, input));
            }
            Err(error) => {
                tracing::debug!(%error, "an IPC client broke the protocol");
                write_protocol_error(&mut answer, &error);
                stream.write_all(&answer).await.ok()?;
                linger(&mut stream).await;
                return None;
            }
        }
    }
}

/// Lets a client that was turned away read why before the socket is gone: the common C runtime
/// looks at a closed socket first and at what was sent on it never.
pub(crate) async fn linger(stream: &mut UnixStream) {
    let mut rest = [0; 512];
    let until_it_leaves =
        async { while stream.read(&mut rest).await.is_ok_and(|read| read > 0) {} };
    // It may stay, and loses the socket then.
    drop(tokio::time::timeout(LINGER, until_it_leaves).await);
}

enum First<'a> {
    Incomplete(usize),
    Connect(ConnectRequest<'a>, usize),
}

fn first_message(bytes: &[u8], limits: Limits) -> Result<First<'_>, ProtocolError> {
    match decode(bytes, limits)? {
        Decoded::Incomplete { needed } => Ok(First::Incomplete(needed)),
        Decoded::Frame { frame, length } => {
            let request = AwaitingConnect::new().receive(&Message::parse(frame)?)?;
            Ok(First::Connect(request, length))
        }
    }
}

fn identify(
    request: &ConnectRequest<'_>,
    stream: &UnixStream,
    shared: &Shared,
) -> Option<Identity> {
    if !request.has_known_version() {
        tracing::debug!(
            version = request.version,
            "an IPC client speaks another version"
        );
        return None;
    }
    let payload: ConnectPayload = serde_json::from_slice(request.payload).ok()?;
    let identity = shared.tokens.identity(&payload.auth_token?)?;
    // A user's token is worth nothing in another user's hands.
    if let Identity::CliUser { uid, .. } = &identity {
        let peer = stream.peer_cred().ok()?.uid();
        if peer != *uid && peer != 0 {
            tracing::warn!(peer, "a CLI token was used by another user");
            return None;
        }
    }
    Some(identity)
}
