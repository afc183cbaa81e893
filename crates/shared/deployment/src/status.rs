//! Where deployments come from and how their outcome is told (core-device §6.14).

use crate::error::DeploymentFailure;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Who asked for a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DeploymentSource {
    /// A job of a thing group (`IOT_JOBS`).
    #[serde(rename = "IOT_JOBS")]
    Jobs,
    /// The named shadow of the thing (`SHADOW`).
    #[serde(rename = "SHADOW")]
    Shadow,
    /// A local request (`LOCAL`).
    #[serde(rename = "LOCAL")]
    Local,
}

impl DeploymentSource {
    /// AWS's word for it, such as `IOT_JOBS`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DeploymentSource::Jobs => "IOT_JOBS",
            DeploymentSource::Shadow => "SHADOW",
            DeploymentSource::Local => "LOCAL",
        }
    }

    /// Whether the cloud asked.
    #[must_use]
    pub fn is_cloud(self) -> bool {
        self != DeploymentSource::Local
    }
}

impl fmt::Display for DeploymentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How far a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DeploymentStatus {
    Queued,
    InProgress,
    Succeeded,
    Failed,
    Rejected,
    Canceled,
}

impl DeploymentStatus {
    /// The public spelling, such as `IN_PROGRESS`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DeploymentStatus::Queued => "QUEUED",
            DeploymentStatus::InProgress => "IN_PROGRESS",
            DeploymentStatus::Succeeded => "SUCCEEDED",
            DeploymentStatus::Failed => "FAILED",
            DeploymentStatus::Rejected => "REJECTED",
            DeploymentStatus::Canceled => "CANCELED",
        }
    }

    /// Whether nothing follows it.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(
            self,
            DeploymentStatus::Queued | DeploymentStatus::InProgress
        )
    }
}

impl fmt::Display for DeploymentStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a finished deployment left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum DetailedStatus {
    /// Applied.
    Successful,
    /// Failed before anything was applied.
    FailedNoStateChange,
    /// Failed half-way and left as it is, as the document wanted.
    FailedRollbackNotRequested,
    /// Failed and everything is as it was.
    FailedRollbackComplete,
    /// Failed, and so did the way back.
    FailedUnableToRollback,
    /// Refused because it is stale.
    Rejected,
}

impl DetailedStatus {
    /// The public spelling, such as `FAILED_ROLLBACK_COMPLETE`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DetailedStatus::Successful => "SUCCESSFUL",
            DetailedStatus::FailedNoStateChange => "FAILED_NO_STATE_CHANGE",
            DetailedStatus::FailedRollbackNotRequested => "FAILED_ROLLBACK_NOT_REQUESTED",
            DetailedStatus::FailedRollbackComplete => "FAILED_ROLLBACK_COMPLETE",
            DetailedStatus::FailedUnableToRollback => "FAILED_UNABLE_TO_ROLLBACK",
            DetailedStatus::Rejected => "REJECTED",
        }
    }

    /// The status that belongs to it.
    #[must_use]
    pub fn status(self) -> DeploymentStatus {
        match self {
            DetailedStatus::Successful => DeploymentStatus::Succeeded,
            DetailedStatus::Rejected => DeploymentStatus::Rejected,
            _ => DeploymentStatus::Failed,
        }
    }
}

impl fmt::Display for DetailedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The end of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentOutcome {
    /// What it left behind; absent when it was canceled.
    pub detailed: Option<DetailedStatus>,
    /// Why it did not succeed.
    pub failure: Option<DeploymentFailure>,
}

impl DeploymentOutcome {
    /// It worked.
    #[must_use]
    pub fn succeeded() -> Self {
        DeploymentOutcome {
            detailed: Some(DetailedStatus::Successful),
            failure: None,
        }
    }

    /// It did not.
    #[must_use]
    pub fn failed(detailed: DetailedStatus, failure: DeploymentFailure) -> Self {
        DeploymentOutcome {
            detailed: Some(detailed),
            failure: Some(failure),
        }
    }

    /// Somebody stopped it.
    #[must_use]
    pub fn canceled() -> Self {
        DeploymentOutcome {
            detailed: None,
            failure: None,
        }
    }

    /// The status that is reported.
    #[must_use]
    pub fn status(&self) -> DeploymentStatus {
        self.detailed
            .map_or(DeploymentStatus::Canceled, DetailedStatus::status)
    }
}
