//! What can go wrong with the operating system.

use std::io;
use std::path::PathBuf;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// A refusal of the operating system.
#[derive(Debug, Error)]
pub enum SystemError {
    /// A file of the system cannot be read.
    #[error("cannot read a system file")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    /// A system call failed.
    #[error("cannot {call}")]
    Call {
        call: &'static str,
        #[source]
        source: io::Error,
    },
    /// A file holds something other than the kernel writes.
    #[error("a system file is not of the expected form")]
    Form { path: PathBuf },
    /// Another process holds the lock.
    #[error("another process holds the lock")]
    Locked { path: PathBuf },
}

impl SystemError {
    pub(crate) fn call(call: &'static str) -> impl FnOnce(rustix::io::Errno) -> SystemError {
        move |errno| SystemError::Call {
            call,
            source: errno.into(),
        }
    }
}

impl Diagnose for SystemError {
    fn kind(&self) -> Kind {
        match self {
            SystemError::Locked { .. } => Kind::Conflict,
            _ => Kind::Device,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            SystemError::Read { .. } => "system-read",
            SystemError::Call { .. } => "system-call",
            SystemError::Form { .. } => "system-form",
            SystemError::Locked { .. } => "file-locked",
        }
    }
    fn place(&self) -> Option<Place> {
        match self {
            SystemError::Read { path, .. }
            | SystemError::Form { path }
            | SystemError::Locked { path } => Some(Place::file(path)),
            SystemError::Call { .. } => None,
        }
    }
}
