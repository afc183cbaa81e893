//! What the control plane needs from outside: each port is one small trait that the server
//! implements over another crate.

use async_trait::async_trait;
use bytes::Bytes;
use sward_aws_wire::api::Caller;
use sward_diagnosis::{Diagnose, Kind, Report};
use sward_model::{AccountId, Arn, Region};
use thiserror::Error;

/// The time, as milliseconds of the Unix epoch.
pub trait Clock: Send + Sync {
    /// Now.
    fn now_ms(&self) -> i64;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> i64 {
        jiff::Timestamp::now().as_millisecond()
    }
}

/// Where ids and serial numbers come from; a test gives a counter, so that its answers repeat.
pub trait Entropy: Send + Sync {
    /// Fills the whole buffer.
    fn fill(&self, buffer: &mut [u8]);
}

/// The operating system's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, buffer: &mut [u8]) {
        use ring::rand::SecureRandom as _;
        ring::rand::SystemRandom::new()
            .fill(buffer)
            .expect("the operating system always has random numbers once it has booted");
    }
}

/// One message for the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub account: AccountId,
    pub region: Region,
    pub topic: String,
    pub payload: Bytes,
    /// 0 or 1.
    pub qos: u8,
    pub retain: bool,
    pub properties: MessageProperties,
}

/// What a publisher may say of a message besides its payload (MQTT 5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageProperties {
    pub content_type: Option<String>,
    pub response_topic: Option<String>,
    pub correlation_data: Option<Bytes>,
    /// 1 says that the payload is UTF-8 text.
    pub payload_format_indicator: Option<u8>,
    /// Seconds that the message may wait for a client.
    pub message_expiry: Option<u32>,
    /// In the order given; a name may come twice.
    pub user_properties: Vec<(String, String)>,
}

/// One retained message, as `GetRetainedMessage` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedMessage {
    pub topic: String,
    pub payload: Bytes,
    pub qos: u8,
    pub last_modified_ms: i64,
}

/// Why a port could not do its work.
#[derive(Clone, Debug, Error)]
pub enum PortError {
    /// The other side is not there now; the same call may succeed later.
    #[error("{what} is not available")]
    Unavailable { what: &'static str, because: Report },
    /// The other side refuses, and will again.
    #[error("{what} refuses")]
    Refused { what: &'static str, because: Report },
}

impl Diagnose for PortError {
    fn kind(&self) -> Kind {
        match self {
            PortError::Unavailable { .. } => Kind::Unavailable,
            PortError::Refused { because, .. } => because.kind,
        }
    }
    fn code(&self) -> &'static str {
        "control-port"
    }
}

/// The broker, seen from the services behind it.
#[async_trait]
pub trait Publisher: Send + Sync {
    /// Hands a message to every subscriber. Returns once every persistent session that gets it
    /// at QoS 1 has it on disk: what returned is never lost, what failed is tried again.
    async fn publish(&self, publication: Publication) -> Result<(), PortError>;

    /// The retained message of one topic.
    async fn retained(
        &self,
        account: &AccountId,
        region: &Region,
        topic: &str,
    ) -> Result<Option<RetainedMessage>, PortError>;

    /// Retained messages in the order of their topics, at most `limit`, behind the topic `after`.
    async fn retained_list(
        &self,
        account: &AccountId,
        region: &Region,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RetainedMessage>, PortError>;
}

/// What is known of an artifact once its bytes were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArtifactDigest {
    pub sha256: [u8; 32],
    pub size: u64,
}

/// Why an artifact could not be read.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ArtifactError {
    /// No such bucket or object, or the caller may not read it: AWS says the same for both.
    #[error("the artifact cannot be accessed")]
    Inaccessible { detail: String },
    /// The object store cannot be reached now.
    #[error("the object store cannot be reached")]
    Unavailable { detail: String },
}

impl Diagnose for ArtifactError {
    fn kind(&self) -> Kind {
        match self {
            ArtifactError::Inaccessible { .. } => Kind::Invalid,
            ArtifactError::Unavailable { .. } => Kind::Unavailable,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            ArtifactError::Inaccessible { .. } => "artifact-inaccessible",
            ArtifactError::Unavailable { .. } => "artifact-store-unavailable",
        }
    }
}

/// The object store, read with the rights of the caller.
#[async_trait]
pub trait ArtifactReader: Send + Sync {
    /// Reads and hashes the object behind an `s3://bucket/key` URI.
    async fn digest(&self, caller: &Caller, uri: &str) -> Result<ArtifactDigest, ArtifactError>;

    /// A URL from which the object of an account can be read without credentials for a while.
    async fn presign(
        &self,
        account: &AccountId,
        region: &Region,
        uri: &str,
    ) -> Result<String, ArtifactError>;
}

/// Temporary credentials of a role session.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionCredentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    pub expires_at_ms: i64,
}

impl std::fmt::Debug for SessionCredentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SessionCredentials")
            .field("access_key_id", &self.access_key_id)
            .field("expires_at_ms", &self.expires_at_ms)
            .finish_non_exhaustive()
    }
}

/// A role that a device asks for through a role alias.
#[derive(Clone, Debug)]
pub struct RoleRequest {
    pub account: AccountId,
    pub region: Region,
    pub role_arn: Arn,
    /// The session's name: the certificate id, as AWS does.
    pub session_name: String,
    pub duration_seconds: u32,
    /// Whom the role must trust: `credentials.iot.amazonaws.com`.
    pub service: &'static str,
}

/// Why a role could not be assumed.
#[derive(Clone, Debug, Error)]
pub enum RoleError {
    /// No such role.
    #[error("role {0} does not exist")]
    NoSuchRole(Arn),
    /// The role's trust policy does not name the service.
    #[error("role {role} does not trust {service}")]
    NotTrusted { role: Arn, service: &'static str },
    /// Sessions cannot be made now.
    #[error("the session cannot be made")]
    Unavailable(Report),
}

impl Diagnose for RoleError {
    fn kind(&self) -> Kind {
        match self {
            RoleError::NoSuchRole(_) => Kind::NotFound,
            RoleError::NotTrusted { .. } => Kind::Denied,
            RoleError::Unavailable(_) => Kind::Unavailable,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            RoleError::NoSuchRole(_) => "role-not-found",
            RoleError::NotTrusted { .. } => "role-not-trusted",
            RoleError::Unavailable(_) => "role-session-unavailable",
        }
    }
}

/// The identity service, for the credentials provider.
#[async_trait]
pub trait SessionIssuer: Send + Sync {
    /// Makes a session of a role on behalf of a device.
    async fn assume_role_for_device(
        &self,
        request: RoleRequest,
    ) -> Result<SessionCredentials, RoleError>;
}
