//! What can go wrong with a journal.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// Why a journal could not do what was asked. Cheap to clone: many may wait for one sync.
#[derive(Clone, Debug, Error)]
pub enum JournalError {
    /// The file system refused.
    #[error("cannot {action} a journal file")]
    Io {
        action: &'static str,
        path: PathBuf,
        #[source]
        source: Arc<io::Error>,
    },
    /// The record is larger than the journal takes.
    #[error("a record of {length} bytes is larger than the limit of {limit}")]
    TooLarge { length: usize, limit: usize },
    /// An earlier sync failed, so what is on the disk is unknown.
    #[error("the journal is closed because an earlier write failed")]
    Failed { directory: PathBuf },
    /// A later version of the format.
    #[error("the journal has format version {version}, this program reads version 1")]
    Version { path: PathBuf, version: u8 },
    /// The storage thread has ended.
    #[error("the storage thread has stopped")]
    Stopped,
}

impl JournalError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> JournalError {
        move |source| JournalError::Io {
            action,
            path: path.to_owned(),
            source: Arc::new(source),
        }
    }
}

impl Diagnose for JournalError {
    fn kind(&self) -> Kind {
        match self {
            JournalError::Io { .. } | JournalError::Failed { .. } => Kind::Device,
            JournalError::TooLarge { .. } => Kind::TooLarge,
            JournalError::Version { .. } => Kind::Unsupported,
            JournalError::Stopped => Kind::Cancelled,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            JournalError::Io { .. } => "journal-io",
            JournalError::TooLarge { .. } => "journal-record-too-large",
            JournalError::Failed { .. } => "journal-failed",
            JournalError::Version { .. } => "journal-version",
            JournalError::Stopped => "journal-stopped",
        }
    }
    fn place(&self) -> Option<Place> {
        match self {
            JournalError::Io { path, .. } | JournalError::Version { path, .. } => {
                Some(Place::file(path))
            }
            JournalError::Failed { directory } => Some(Place::file(directory)),
            JournalError::TooLarge { .. } | JournalError::Stopped => None,
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        match self {
            JournalError::Io { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some("free some space on this file system".into())
            }
            JournalError::Version { .. } => {
                Some("start the newer program that wrote it, or restore a backup".into())
            }
            _ => None,
        }
    }
}
