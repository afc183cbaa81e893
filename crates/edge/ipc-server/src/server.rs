//! Accepts connections and holds what they share.

use crate::access::AccessPolicies;
use crate::bus::{Bus, LocalPublisher};
use crate::error::ServerError;
use crate::operations::Operations;
use crate::outbox::Outbox;
use crate::ports::Ports;
use crate::socket::SocketPath;
use crate::tokens::TokenRegistry;
use crate::{connection, greeting};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use sward_event_stream::Limits;
use sward_task::Tasks;
use tokio::net::{UnixListener, UnixStream};

/// How long the listener rests when the system has no file descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What an operator may choose.
#[derive(Clone, Debug)]
pub struct ServerOptions {
    pub socket: SocketPath,
    /// Largest frame that is read.
    pub limits: Limits,
    /// Bytes that may wait for one client before events to it are dropped.
    pub outbox_limit: usize,
    /// Connections at one time; further ones are closed at once.
    pub max_connections: usize,
    /// Streams that one connection may have open.
    pub max_streams: usize,
    /// How long a client may take to say who it is.
    pub connect_timeout: Duration,
}

impl ServerOptions {
    /// The defaults for a socket.
    #[must_use]
    pub fn new(socket: SocketPath) -> Self {
        ServerOptions {
            socket,
            limits: Limits::default(),
            outbox_limit: 4 * 1024 * 1024,
            max_connections: 4096,
            max_streams: 8192,
            connect_timeout: Duration::from_secs(10),
        }
    }
}

/// What all connections share.
pub(crate) struct Shared {
    pub(crate) options: ServerOptions,
    pub(crate) ports: Ports,
    pub(crate) tokens: TokenRegistry,
    pub(crate) policies: AccessPolicies,
    pub(crate) bus: Arc<Bus>,
    pub(crate) operations: Operations,
    /// Of live connections, to close them at the end.
    outboxes: Mutex<Vec<Weak<Outbox>>>,
    connections: AtomicUsize,
}

impl Shared {
    /// A new outbox that the end of the server closes.
    pub(crate) fn outbox(&self) -> Arc<Outbox> {
        let outbox = Arc::new(Outbox::new(self.options.outbox_limit));
        let mut outboxes = self.outboxes.lock().unwrap_or_else(PoisonError::into_inner);
        // Forget the dead when they could be the majority, so that the list stays short.
        if outboxes.len() > 2 * self.connections.load(Ordering::Relaxed) + 16 {
            outboxes.retain(|outbox| outbox.strong_count() > 0);
        }
        outboxes.push(Arc::downgrade(&outbox));
        outbox
    }

    fn close_all(&self) {
        let outboxes = self.outboxes.lock().unwrap_or_else(PoisonError::into_inner);
        for outbox in outboxes.iter().filter_map(Weak::upgrade) {
            outbox.close();
        }
    }
}

/// The running server.
#[derive(Clone)]
pub struct IpcServer {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for IpcServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IpcServer")
            .field("socket", &self.shared.options.socket)
            .finish_non_exhaustive()
    }
}

impl IpcServer {
    /// Makes the socket and serves it until the scope of `tasks` is shut down. Must be called
    /// within a tokio runtime.
    ///
    /// # Errors
    /// The socket cannot be made, or another process serves it.
    pub fn start(
        options: ServerOptions,
        ports: Ports,
        tokens: TokenRegistry,
        policies: AccessPolicies,
        tasks: &Tasks,
    ) -> Result<IpcServer, ServerError> {
        let listener = options.socket.listen()?;
        let shared = Arc::new(Shared {
            options,
            ports,
            tokens,
            policies,
            bus: Arc::default(),
            operations: Operations::new(),
            outboxes: Mutex::default(),
            connections: AtomicUsize::new(0),
        });
        let scope = tasks.child("ipc");
        tasks.spawn_essential("ipc-accept", accept(listener, Arc::clone(&shared), scope));
        Ok(IpcServer { shared })
    }

    /// Publishes local messages for parts of the core itself.
    #[must_use]
    pub fn publisher(&self) -> LocalPublisher {
        LocalPublisher {
            bus: Arc::clone(&self.shared.bus),
        }
    }

    /// Clients that are connected now.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

async fn accept(listener: UnixListener, shared: Arc<Shared>, scope: Tasks) {
    let token = scope.token();
    loop {
        let accepted = tokio::select! {
            () = token.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                if shared.connections.load(Ordering::Relaxed) >= shared.options.max_connections {
                    tracing::warn!("an IPC connection is refused, there are too many");
                    continue;
                }
                let guard = ConnectionCount::new(&shared);
                scope.spawn("ipc-connection", serve(stream, guard));
            }
            Err(error) => {
                tracing::warn!(%error, "an IPC connection cannot be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    shared.close_all();
}

async fn serve(stream: UnixStream, count: ConnectionCount) {
    if let Some(connection) = greeting::greet(stream, &count.shared).await {
        connection::run(connection).await;
    }
}

struct ConnectionCount {
    shared: Arc<Shared>,
}

impl ConnectionCount {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.connections.fetch_add(1, Ordering::Relaxed);
        ConnectionCount {
            shared: Arc::clone(shared),
        }
    }
}

impl Drop for ConnectionCount {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
    }
}
