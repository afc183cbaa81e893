//! What goes into the deployer and what comes out.

use serde::{Deserialize, Serialize};
use sward_deployment::{
    DeploymentErrorCode, DeploymentErrorType, DeploymentOutcome, DeploymentSource, DeploymentSpec,
    DeploymentStatus, DetailedStatus, LocalRequest,
};

/// What is to be deployed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestDocument {
    /// The text of a cloud document, as it came.
    Fleet(String),
    /// A local request.
    Local(Box<LocalRequest>),
}

/// A deployment as it is handed in.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentRequest {
    /// The id under which it is known here: a job's id, the shadow's configuration ARN, or the id
    /// of a local request.
    pub id: String,
    pub source: DeploymentSource,
    pub document: RequestDocument,
}

/// What became of a request that was handed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Submitted {
    /// It waits for its turn (or runs already).
    Queued,
    /// It took the place of an older shadow deployment that waited.
    Replaced,
    /// The same id waits or runs already; nothing happened.
    Duplicate,
    /// The same id has finished and its end was not reported yet; it is told again.
    Finished,
}

/// What became of a wish to cancel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Canceled {
    /// It will end as CANCELED, and nothing is changed on the device.
    Accepted,
    /// It is being applied and runs to its end.
    TooLate,
    /// No such deployment waits or runs.
    Unknown,
}

/// A change of a deployment's status.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentStatusUpdate {
    /// The request's id.
    pub id: String,
    pub source: DeploymentSource,
    /// The Greengrass deployment id of the document.
    pub deployment_id: Option<String>,
    pub configuration_arn: Option<String>,
    /// The group it is recorded under.
    pub group_name: Option<String>,
    pub status: DeploymentStatus,
    /// Only with a terminal status that is not CANCELED.
    pub detailed: Option<DetailedStatus>,
    /// Empty unless it failed.
    pub error_stack: Vec<DeploymentErrorCode>,
    pub error_types: Vec<DeploymentErrorType>,
    /// The messages of the chain, from what was attempted to the root cause.
    pub failure_cause: Option<String>,
    /// Root components of this deployment that it left as they were.
    pub unchanged_roots: Vec<String>,
    /// When, ms.
    pub at_ms: i64,
}

impl DeploymentStatusUpdate {
    pub(super) fn new(
        request: &DeploymentRequest,
        spec: Option<&DeploymentSpec>,
        status: DeploymentStatus,
        at_ms: i64,
    ) -> Self {
        DeploymentStatusUpdate {
            id: request.id.clone(),
            source: request.source,
            deployment_id: spec.and_then(|spec| spec.deployment_id.clone()),
            configuration_arn: spec.and_then(|spec| spec.configuration_arn.clone()),
            group_name: spec.and_then(|spec| spec.group_name.clone()),
            status,
            detailed: None,
            error_stack: Vec::new(),
            error_types: Vec::new(),
            failure_cause: None,
            unchanged_roots: Vec::new(),
            at_ms,
        }
    }

    pub(super) fn with_outcome(mut self, outcome: &DeploymentOutcome) -> Self {
        self.status = outcome.status();
        self.detailed = outcome.detailed;
        if let Some(failure) = &outcome.failure {
            self.error_stack = failure.error_stack();
            self.error_types = failure.error_types(self.source);
            self.failure_cause = Some(failure.cause());
        }
        self
    }
}

/// Where a deployment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Reading the document, copying local recipes and artifacts.
    Preparing,
    /// Asking which thing groups the device belongs to.
    Groups,
    /// Choosing versions.
    Resolving,
    /// Fetching artifacts.
    Artifacts,
    /// Asking components.
    Asking,
    /// Changing the device; it cannot be canceled any more.
    Activating,
    /// Putting everything back.
    RollingBack,
}

/// A wait for the network or for components: for what, since when, when it is tried again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Waiting {
    /// Such as `the versions of component com.example.A`.
    pub for_what: String,
    /// When the wait began, ms.
    pub since_ms: i64,
    /// When it is tried again, ms; sooner if the network comes back. The same as `since_ms` where
    /// nothing is tried: components answer when they like.
    pub next_try_ms: i64,
    /// Why it did not work the last time, or why it is not done yet.
    pub reason: String,
}

/// The deployment that runs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Running {
    pub id: String,
    pub source: DeploymentSource,
    pub stage: Stage,
    /// Set while nothing can be done but wait.
    pub waiting: Option<Waiting>,
}

/// What the deployer is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    pub running: Option<Running>,
    /// Ids that wait for their turn, first come first.
    pub queued: Vec<String>,
}

/// A deployment that is remembered: its last status.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentSummary {
    pub id: String,
    pub source: DeploymentSource,
    pub status: DeploymentStatus,
    /// The last update, once there was one.
    pub last: Option<DeploymentStatusUpdate>,
}
