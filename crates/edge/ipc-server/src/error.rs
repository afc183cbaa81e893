//! Why the server cannot start.

use std::io;
use std::path::PathBuf;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// A failure before the first connection.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The socket cannot be made.
    #[error("the IPC socket {} cannot be made", path.display())]
    Bind { path: PathBuf, source: io::Error },
    /// Another process serves this socket.
    #[error("another process serves the IPC socket {}", path.display())]
    InUse { path: PathBuf },
    /// The files for the CLI cannot be written.
    #[error("the CLI's access file {} cannot be written", path.display())]
    CliInfo { path: PathBuf, source: io::Error },
}

impl Diagnose for ServerError {
    fn kind(&self) -> Kind {
        match self {
            ServerError::InUse { .. } => Kind::Conflict,
            _ => Kind::Device,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            ServerError::Bind { .. } => "ipc-socket-not-bound",
            ServerError::InUse { .. } => "ipc-socket-in-use",
            ServerError::CliInfo { .. } => "cli-info-not-written",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            ServerError::Bind { path, .. }
            | ServerError::InUse { path }
            | ServerError::CliInfo { path, .. } => Some(Place::file(path)),
        }
    }
}
