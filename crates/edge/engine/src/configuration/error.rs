//! What can go wrong with the configuration.

use std::io;
use std::path::PathBuf;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_journal::JournalError;
use thiserror::Error;

/// Why the configuration could not be opened, read in or stored.
#[derive(Debug, Error)]
pub enum ConfigurationError {
    /// The journal refused.
    #[error("cannot store the configuration")]
    Journal(#[from] JournalError),
    /// A file that was named cannot be read.
    #[error("cannot read the configuration file")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write the configuration file")]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A file is neither JSON nor YAML, or holds no map.
    #[error("the configuration file is not valid: {problem}")]
    Parse { path: PathBuf, problem: String },
}

impl Diagnose for ConfigurationError {
    fn kind(&self) -> Kind {
        match self {
            ConfigurationError::Journal(error) => error.kind(),
            ConfigurationError::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Kind::NotFound
            }
            ConfigurationError::Read { .. } | ConfigurationError::Write { .. } => Kind::Device,
            ConfigurationError::Parse { .. } => Kind::Invalid,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            ConfigurationError::Journal(_) => "configuration-store",
            ConfigurationError::Read { .. } => "configuration-read",
            ConfigurationError::Write { .. } => "configuration-write",
            ConfigurationError::Parse { .. } => "configuration-parse",
        }
    }
    fn place(&self) -> Option<Place> {
        match self {
            ConfigurationError::Journal(_) => None,
            ConfigurationError::Read { path, .. }
            | ConfigurationError::Write { path, .. }
            | ConfigurationError::Parse { path, .. } => Some(Place::file(path)),
        }
    }
    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            ConfigurationError::Journal(error) => Some(error),
            _ => None,
        }
    }
}
