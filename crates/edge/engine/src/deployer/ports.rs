//! What the deployer needs of the rest of the core, as traits: the cloud's answers, artifacts'
//! bytes, group membership, and the supervisor. The wiring connects them.

use futures_util::stream::BoxStream;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;
use sward_deployment::DeploymentErrorCode as Code;
use sward_deployment::error::{codes_of_cloud_status, codes_of_s3_status};
use sward_deployment::plan::Effect;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_model::{
    ComponentName, ComponentState, ComponentVersion, PlatformAttributes, VersionRequirement,
};
use thiserror::Error;

/// A boxed future of a port's method.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The service behind a [`CloudError`]; decides the error codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudService {
    /// The Greengrass data plane.
    Greengrass,
    /// Amazon S3 or ours.
    S3,
}

/// Why the cloud did not answer as hoped.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CloudError {
    /// This device was never provisioned for a cloud.
    #[error("this device is not connected to a cloud")]
    NotConfigured,
    /// No connection, no name, no TLS, no answer in time, no credentials yet: it may pass.
    #[error("cannot reach {url}: {reason}")]
    Unreachable {
        /// What was called.
        url: String,
        /// Why it did not work.
        reason: String,
    },
    /// It can never be asked: the URL is none, or the cloud does not know the component.
    #[error("{url} cannot be used: {reason}")]
    Unusable { url: String, reason: String },
    /// An answer, and it is a refusal.
    #[error("{operation} was refused with status {status}: {message}")]
    Refused {
        service: CloudService,
        /// Such as `ResolveComponentCandidates`, `GetObject`.
        operation: String,
        /// The HTTP status.
        status: u16,
        /// The message of the answer.
        message: String,
    },
    /// An answer that makes no sense.
    #[error("{operation} gave an answer that cannot be read: {reason}")]
    BadAnswer { operation: String, reason: String },
}

impl CloudError {
    /// The codes of the error stack that stand for it.
    #[must_use]
    pub fn codes(&self) -> Vec<Code> {
        match self {
            CloudError::NotConfigured | CloudError::Unusable { .. } => {
                vec![Code::DeviceConfigNotValidForArtifactDownload]
            }
            CloudError::Unreachable { .. } => vec![Code::NetworkError],
            CloudError::Refused {
                service: CloudService::S3,
                status,
                ..
            } => codes_of_s3_status(*status),
            CloudError::Refused { status, .. } => codes_of_cloud_status(*status),
            CloudError::BadAnswer { .. } => vec![Code::ResolveComponentCandidatesBadResponse],
        }
    }

    /// The status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            CloudError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

impl Diagnose for CloudError {
    fn kind(&self) -> Kind {
        match self {
            CloudError::NotConfigured => Kind::Unsupported,
            CloudError::Unreachable { .. } => Kind::Unavailable,
            CloudError::Unusable { .. } => Kind::Invalid,
            CloudError::Refused { status, .. } => match status {
                401 | 403 => Kind::Denied,
                404 => Kind::NotFound,
                409 => Kind::Conflict,
                429 => Kind::Limit,
                500.. => Kind::Unavailable,
                _ => Kind::Invalid,
            },
            CloudError::BadAnswer { .. } => Kind::Corrupt,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            CloudError::NotConfigured => "cloud-not-configured",
            CloudError::Unreachable { .. } => "cloud-unreachable",
            CloudError::Unusable { .. } => "cloud-url-unusable",
            CloudError::Refused { .. } => "cloud-refused",
            CloudError::BadAnswer { .. } => "cloud-answer-unreadable",
        }
    }
    fn place(&self) -> Option<Place> {
        match self {
            CloudError::Unreachable { url, .. } | CloudError::Unusable { url, .. } => {
                Some(Place::Url { url: url.clone() })
            }
            _ => None,
        }
    }
}

/// "Which version of this component shall I take?"
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateRequest {
    pub component: ComponentName,
    /// The best version that the device has already.
    pub local_version: Option<ComponentVersion>,
    /// Requirement by requirer.
    pub requirements: BTreeMap<String, VersionRequirement>,
    pub platform: PlatformAttributes,
}

/// The cloud's choice.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudCandidate {
    /// ARN of the component version.
    pub arn: String,
    pub version: ComponentVersion,
    /// The recipe as bytes of JSON or YAML.
    pub recipe: Vec<u8>,
}

/// Asks the cloud for component versions (`ResolveComponentCandidates`).
pub trait CloudResolver: Send + Sync + 'static {
    /// One component, one answer.
    fn resolve(
        &self,
        request: CandidateRequest,
    ) -> BoxFuture<'_, Result<CloudCandidate, CloudError>>;
}

/// Where to fetch an artifact, and from which byte on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArtifactRequest {
    /// `s3://BUCKET/KEY` or `greengrass:NAME`, as in the recipe.
    pub uri: String,
    /// ARN of the component version, which `greengrass:` artifacts need.
    pub component_arn: Option<String>,
    /// The first byte wanted.
    pub offset: u64,
}

/// An artifact's bytes on their way.
pub struct ArtifactBody {
    /// The length of the whole artifact, where it is known.
    pub total_bytes: Option<u64>,
    /// The place of the first byte of `chunks` in the artifact: the request's offset, or 0 where
    /// the other side ignored it.
    pub offset: u64,
    pub chunks: BoxStream<'static, Result<bytes::Bytes, CloudError>>,
}

/// Opens artifacts. A `greengrass:` URI and an `s3:` URI are both its business.
pub trait ArtifactSource: Send + Sync + 'static {
    fn open(&self, request: ArtifactRequest) -> BoxFuture<'_, Result<ArtifactBody, CloudError>>;
}

/// Asks the cloud which thing groups this device belongs to, parents included.
pub trait GroupLister: Send + Sync + 'static {
    /// Bare names of thing groups.
    fn thing_groups(&self) -> BoxFuture<'_, Result<BTreeSet<String>, CloudError>>;
}

/// A component as the supervisor shall run it.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceSpec {
    pub name: ComponentName,
    pub version: String,
    /// `GENERIC`, `PLUGIN`, … as stored in the configuration.
    pub component_type: String,
    /// Selected and interpolated.
    pub lifecycle: Map<String, Value>,
    /// Name, and whether it is a hard dependency.
    pub dependencies: Vec<(ComponentName, bool)>,
    /// `runWith` as stored in the configuration.
    pub run_with: Option<Value>,
    /// A group asks for it by name; others are only dependencies.
    pub is_root: bool,
    /// What happens to it. A component that is not known yet is installed whatever this says.
    pub effect: Effect,
}

/// What the supervisor shall do at once. Components not named stay as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SupervisorChanges {
    /// All components that shall be there; most of them are as they were.
    pub set: Vec<ServiceSpec>,
    /// Stop, uninstall and forget these.
    pub remove: Vec<ComponentName>,
}

/// A component that ended BROKEN, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokenComponent {
    pub name: ComponentName,
    /// The status code, such as `RUN_ERROR`.
    pub status_code: String,
    /// The reason in words.
    pub reason: String,
    /// The exit code of the script that failed last.
    pub exit_code: Option<i32>,
    /// The last lines that it printed, oldest first.
    pub last_output: Vec<String>,
}

/// How a wait for components ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// All run or have finished.
    Fine,
    /// One of them is BROKEN.
    Broken(Box<BrokenComponent>),
    /// The deadline passed; these are not there yet, with their states.
    TimedOut(Vec<(ComponentName, ComponentState)>),
}

/// What the supervisor could not do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the supervisor cannot take {component}: {reason}")]
pub struct SupervisorError {
    pub component: String,
    pub reason: String,
}

impl Diagnose for SupervisorError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }
    fn code(&self) -> &'static str {
        "supervisor-refused"
    }
}

/// Runs components.
pub trait SupervisorPort: Send + Sync + 'static {
    /// Takes changes; returns when they are accepted, not when they are done.
    fn apply(&self, changes: SupervisorChanges) -> BoxFuture<'_, Result<(), SupervisorError>>;

    /// Waits until all of these reached what is wanted of them, or one is BROKEN.
    fn settled(&self, names: Vec<ComponentName>, deadline: Duration) -> BoxFuture<'_, Settled>;

    /// Ends when one of these neither runs nor has finished any more. A supervisor that cannot
    /// tell never ends it.
    fn unsettled(&self, names: Vec<ComponentName>) -> BoxFuture<'_, ()> {
        drop(names);
        Box::pin(std::future::pending())
    }

    /// Waits until these are stopped and forgotten, or the deadline passed.
    fn removed(&self, names: Vec<ComponentName>, deadline: Duration) -> BoxFuture<'_, ()>;

    /// The states now.
    fn states(&self) -> BTreeMap<ComponentName, ComponentState>;
}

/// A component's refusal of a new configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationRejection {
    pub component: ComponentName,
    /// Its reason, or that it did not answer.
    pub reason: String,
}

/// Asks components before they are updated. Components subscribe over IPC.
pub trait UpdateGate: Send + Sync + 'static {
    /// Tells subscribers that an update is about to happen, and returns when all have agreed, when
    /// the deferrals they asked for are over, or after `timeout`. Dropping the future ends it.
    fn before_update(&self, deployment_id: &str, timeout: Duration) -> BoxFuture<'_, ()>;

    /// Tells subscribers that an update that was announced is over, whatever came of it.
    fn after_update(&self, deployment_id: &str);

    /// Asks components whether they accept these whole configurations.
    fn validate(
        &self,
        deployment_id: &str,
        configurations: BTreeMap<ComponentName, Value>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<(), ConfigurationRejection>>;
}

/// A gate at which nobody stands.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenGate;

impl UpdateGate for OpenGate {
    fn before_update(&self, _deployment_id: &str, _timeout: Duration) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn after_update(&self, _deployment_id: &str) {}

    fn validate(
        &self,
        _deployment_id: &str,
        _configurations: BTreeMap<ComponentName, Value>,
        _timeout: Duration,
    ) -> BoxFuture<'_, Result<(), ConfigurationRejection>> {
        Box::pin(std::future::ready(Ok(())))
    }
}
