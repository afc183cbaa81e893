//! What can go wrong with the deployer itself; failures of deployments are told as statuses.

use sward_diagnosis::{Diagnose, Kind};
use sward_journal::JournalError;
use thiserror::Error;

/// Why the deployer did not take something.
#[derive(Debug, Error)]
pub enum DeployerError {
    #[error("cannot open the journal of deployments")]
    Open {
        #[source]
        source: JournalError,
    },
    #[error("cannot record the deployment on disk")]
    Record {
        #[source]
        source: JournalError,
    },
    #[error("the deployer has stopped")]
    Stopped,
}

impl Diagnose for DeployerError {
    fn kind(&self) -> Kind {
        match self {
            DeployerError::Open { .. } | DeployerError::Record { .. } => Kind::Device,
            DeployerError::Stopped => Kind::Cancelled,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            DeployerError::Open { .. } => "deployer-open",
            DeployerError::Record { .. } => "deployer-record",
            DeployerError::Stopped => "deployer-stopped",
        }
    }
    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            DeployerError::Open { source } | DeployerError::Record { source } => Some(source),
            DeployerError::Stopped => None,
        }
    }
}
