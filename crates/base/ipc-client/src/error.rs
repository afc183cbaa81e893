//! What can go wrong with a call.

use std::io;
use std::path::PathBuf;
use std::time::Duration;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_event_stream::{ConnectError, FrameError, ProtocolError};
use sward_ipc_model::IpcError;
use thiserror::Error;

/// A failure of the client.
#[derive(Debug, Error)]
pub enum ClientError {
    /// An environment variable that every component gets is missing.
    #[error("the environment variable {name} is not set")]
    Environment { name: &'static str },
    /// Nobody listens there.
    #[error("the IPC socket {} cannot be connected to", path.display())]
    Socket { path: PathBuf, source: io::Error },
    /// The server did not accept the connection.
    #[error("the IPC server did not accept the connection")]
    Connect(#[source] ConnectError),
    /// The server said something that cannot be understood.
    #[error("the IPC server broke the protocol")]
    Protocol(#[source] ProtocolError),
    /// The server found fault with the connection.
    #[error("the IPC server ended the connection: {message}")]
    PeerFailed { message: String },
    /// The connection is gone.
    #[error("the IPC connection is closed")]
    Closed,
    /// No answer in time.
    #[error("the IPC server did not answer within {} s", limit.as_secs())]
    Timeout { limit: Duration },
    /// The request cannot be sent.
    #[error("the request is too long")]
    Request(#[source] FrameError),
    /// Request or answer does not have the operation's shape.
    #[error("the {what} of {operation} does not have its shape")]
    Shape {
        what: &'static str,
        operation: &'static str,
        source: serde_json::Error,
    },
    /// The operation failed; this is its own answer.
    #[error(transparent)]
    Operation(#[from] IpcError),
}

impl ClientError {
    /// Whether the server does not accept the token, which a new one may mend.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        matches!(self, ClientError::Connect(ConnectError::Refused))
    }

    /// The operation's own error, where the connection is sound.
    #[must_use]
    pub fn as_operation(&self) -> Option<&IpcError> {
        match self {
            ClientError::Operation(error) => Some(error),
            _ => None,
        }
    }
}

impl Diagnose for ClientError {
    fn kind(&self) -> Kind {
        match self {
            ClientError::Environment { .. } | ClientError::Shape { .. } => Kind::Invalid,
            ClientError::Socket { .. } | ClientError::Closed | ClientError::PeerFailed { .. } => {
                Kind::Unavailable
            }
            ClientError::Connect(inner) => inner.kind(),
            ClientError::Protocol(inner) => inner.kind(),
            ClientError::Timeout { .. } => Kind::Timeout,
            ClientError::Request(inner) => inner.kind(),
            ClientError::Operation(inner) => inner.kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            ClientError::Environment { .. } => "ipc-environment-missing",
            ClientError::Socket { .. } => "ipc-socket-unreachable",
            ClientError::Connect(_) => "ipc-connect-refused",
            ClientError::Protocol(_) => "ipc-protocol-violated",
            ClientError::PeerFailed { .. } => "ipc-server-failed",
            ClientError::Closed => "ipc-connection-closed",
            ClientError::Timeout { .. } => "ipc-timeout",
            ClientError::Request(_) => "ipc-request-too-long",
            ClientError::Shape { .. } => "ipc-shape-mismatch",
            ClientError::Operation(inner) => inner.code(),
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            ClientError::Environment { name } => Some(Place::Setting {
                name: (*name).to_owned(),
            }),
            ClientError::Socket { path, .. } => Some(Place::file(path)),
            ClientError::Operation(inner) => inner.place(),
            _ => None,
        }
    }

    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            ClientError::Connect(inner) => Some(inner),
            ClientError::Protocol(inner) => Some(inner),
            ClientError::Request(inner) => Some(inner),
            _ => None,
        }
    }
}
