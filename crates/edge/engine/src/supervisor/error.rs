//! Why the supervisor cannot work.

use std::io;
use sward_diagnosis::{Diagnose, Kind};
use sward_journal::JournalError;
use sward_model::ComponentName;
use thiserror::Error;

/// What the supervisor could not do.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// The list of started processes cannot be kept.
    #[error("cannot open the list of started processes")]
    Ledger(#[from] JournalError),
    /// Signals of ended children cannot be watched.
    #[error("cannot watch for ended processes")]
    Signal(#[source] io::Error),
    /// There is no such component.
    #[error("component {component} is not known")]
    Unknown { component: ComponentName },
    /// It is being shut down, or has ended.
    #[error("the supervisor has stopped")]
    Stopped,
}

impl Diagnose for SupervisorError {
    fn kind(&self) -> Kind {
        match self {
            SupervisorError::Ledger(error) => error.kind(),
            SupervisorError::Signal(_) => Kind::Device,
            SupervisorError::Unknown { .. } => Kind::NotFound,
            SupervisorError::Stopped => Kind::Cancelled,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            SupervisorError::Ledger(_) => "supervisor-ledger",
            SupervisorError::Signal(_) => "supervisor-signal",
            SupervisorError::Unknown { .. } => "component-unknown",
            SupervisorError::Stopped => "supervisor-stopped",
        }
    }
    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            SupervisorError::Ledger(error) => Some(error),
            _ => None,
        }
    }
}
