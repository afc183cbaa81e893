//! What the gateway needs from the service behind it, and what the service hears from it.
//!
//! | Port | Asked for | Implemented over |
//! |---|---|---|
//! | [`Directory`] | who is this certificate, what may it do | IoT registry |
//! | [`SessionStore`] | sessions, queued and retained messages that outlive a kill | store |
//! | [`ReservedTopics`] | publishes to `$aws/…` | shadows, jobs, fleet status, … |
//! | [`Presence`] | who came and went | console, core device status |

use async_trait::async_trait;
use bytes::Bytes;
use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_model::{AccountId, CertificateId, Region};
use sward_policy::iot;
use tokio::sync::broadcast;

pub use sward_mqtt::broker::Change;

/// Where every resource, client id and topic belongs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tenant {
    pub account: AccountId,
    pub region: Region,
}

/// What a client showed in its handshake.
#[derive(Clone, Copy, Debug)]
pub struct Presented<'a> {
    /// The DER form of its end-entity certificate; proof of the key and validity are checked.
    pub certificate: &'a [u8],
    /// The host name that it asked for.
    pub server_name: Option<&'a str>,
    /// Where it comes from.
    pub address: IpAddr,
}

/// A known, ACTIVE certificate with everything that policies ask about it.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Decided by the host name, else by the certificate's only registration.
    pub tenant: Tenant,
    /// SHA-256 of the certificate's DER form.
    pub certificate_id: CertificateId,
    /// The certificate's members for policy variables.
    pub certificate: iot::Certificate,
    /// Every thing the certificate is attached to.
    pub things: Vec<iot::Thing>,
    /// Policies of the certificate and of its things' groups.
    pub policies: Arc<iot::PolicySet>,
}

impl Principal {
    /// The facts that bind the policies to one connection.
    ///
    /// The thing is the one named like the client, else the only one; with several and no match
    /// thing variables stay unresolved.
    #[must_use]
    pub fn context(&self, client_id: Option<&str>, address: IpAddr, now_ms: u64) -> iot::Context {
        let base = client_id.map(|id| id.split('#').next().unwrap_or(id));
        let thing = self
            .things
            .iter()
            .find(|thing| Some(thing.name.as_str()) == client_id)
            .or_else(|| {
                self.things
                    .iter()
                    .find(|thing| Some(thing.name.as_str()) == base)
            })
            .or(match self.things.as_slice() {
                [only] => Some(only),
                _ => None,
            });
        iot::Context {
            client_id: client_id.map(str::to_owned),
            thing: thing.cloned(),
            certificate: Some(self.certificate.clone()),
            source_ip: Some(address.to_string()),
            now_ms: Some(now_ms),
        }
    }
}

/// Why a certificate is not let in.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No such certificate is registered where the host name points.
    #[error("the certificate {certificate_id} is not registered")]
    Unknown { certificate_id: String },
    /// It is registered in several places and the host name names none of them.
    #[error(
        "the certificate {certificate_id} is registered more than once and the host name does not decide"
    )]
    Ambiguous { certificate_id: String },
    /// It is registered, and INACTIVE, REVOKED or pending.
    #[error("the certificate {certificate_id} is {status}")]
    NotActive {
        certificate_id: String,
        status: String,
    },
    /// The registry cannot be asked now.
    #[error("the registry cannot be asked: {reason}")]
    Unavailable { reason: String },
}

impl Diagnose for Refusal {
    fn kind(&self) -> Kind {
        match self {
            Refusal::Unavailable { .. } => Kind::Unavailable,
            _ => Kind::Unauthenticated,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Refusal::Unknown { .. } => "certificate-unknown",
            Refusal::Ambiguous { .. } => "certificate-ambiguous",
            Refusal::NotActive { .. } => "certificate-not-active",
            Refusal::Unavailable { .. } => "directory-unavailable",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Refusal::Unknown { certificate_id }
            | Refusal::Ambiguous { certificate_id }
            | Refusal::NotActive { certificate_id, .. } => {
                Some(Place::resource("certificate", certificate_id.as_str()))
            }
            Refusal::Unavailable { .. } => None,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Refusal::Unknown { .. } => {
                Some("register it with iot register-certificate-without-ca".into())
            }
            Refusal::NotActive { .. } => {
                Some("activate it with iot update-certificate --new-status ACTIVE".into())
            }
            _ => None,
        }
    }
}

/// Something about principals changed: live connections are judged anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirectoryChange {
    pub tenant: Tenant,
    /// The one certificate that is concerned, or any of the tenant's.
    pub certificate_id: Option<CertificateId>,
}

/// Knows certificates, the things they are attached to, and their policies.
#[async_trait]
pub trait Directory: Send + Sync + 'static {
    /// Who is this?
    async fn authenticate(&self, presented: Presented<'_>) -> Result<Principal, Refusal>;

    /// Says when answers may differ from earlier ones. A receiver that lags re-reads everything.
    fn changes(&self) -> broadcast::Receiver<DirectoryChange>;
}

/// A port that cannot do its work now.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct PortError {
    pub message: String,
}

impl PortError {
    /// A failure described by its text.
    pub fn new(message: impl Into<String>) -> PortError {
        PortError {
            message: message.into(),
        }
    }
}

impl Diagnose for PortError {
    fn kind(&self) -> Kind {
        Kind::Unavailable
    }

    fn code(&self) -> &'static str {
        "gateway-port-failed"
    }
}

/// Keeps what must survive a kill.
///
/// The gateway calls [`commit`](SessionStore::commit) for one batch at a time and gathers the next
/// batch meanwhile, so that one transaction carries many messages.
#[async_trait]
pub trait SessionStore: Send + Sync + 'static {
    /// Everything that was committed, as the changes that put it: sessions first, then
    /// subscriptions, then messages of a client in ascending sequence; retained messages anywhere.
    async fn load(&self) -> Result<Vec<(Tenant, Change)>, PortError>;

    /// Makes all changes durable, in order and as a whole.
    async fn commit(&self, changes: Vec<(Tenant, Change)>) -> Result<(), PortError>;
}

/// The connection that asked, so that an answer finds it also without a subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub tenant: Tenant,
    pub client_id: Arc<str>,
    /// Tells connections of one client id apart.
    pub connection: u64,
}

/// One publish to a reserved topic, allowed by the client's policies.
#[derive(Clone, Debug)]
pub struct ReservedPublish {
    pub origin: Origin,
    pub principal: Arc<Principal>,
    pub topic: String,
    pub payload: Bytes,
    /// MQTT 5 content type, where given.
    pub content_type: Option<String>,
    /// MQTT 5 correlation data, to be repeated in the answer.
    pub correlation_data: Option<Bytes>,
    /// Milliseconds since 1970.
    pub received_at_ms: u64,
}

/// Why a reserved publish was not taken.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReservedError {
    /// No service owns this topic: the client is disconnected, as AWS does.
    #[error("{topic} is not a topic of any service")]
    NotATopic { topic: String },
    /// The service cannot take it now: the client gets no acknowledgement and will repeat.
    #[error("the service behind {topic} cannot be reached: {reason}")]
    Unavailable { topic: String, reason: String },
}

impl Diagnose for ReservedError {
    fn kind(&self) -> Kind {
        match self {
            ReservedError::NotATopic { .. } => Kind::Invalid,
            ReservedError::Unavailable { .. } => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            ReservedError::NotATopic { .. } => "reserved-topic-unknown",
            ReservedError::Unavailable { .. } => "reserved-topic-unavailable",
        }
    }

    fn place(&self) -> Option<Place> {
        let (ReservedError::NotATopic { topic } | ReservedError::Unavailable { topic, .. }) = self;
        Some(Place::Topic {
            topic: topic.clone(),
        })
    }
}

/// The services behind `$aws/…`.
///
/// Publishes of one connection are handed over one after the other; those of different connections
/// concurrently. Answers go out through [`crate::Publisher::reply`].
#[async_trait]
pub trait ReservedTopics: Send + Sync + 'static {
    /// Takes a message; returns when its effect is durable, which is when it is acknowledged.
    async fn publish(&self, message: ReservedPublish) -> Result<(), ReservedError>;
}

/// Why a connection ended, by the names of AWS's presence events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DisconnectReason {
    ClientInitiated,
    DuplicateClientId,
    KeepAliveTimeout,
    ConnectionLost,
    AuthError,
    ForbiddenAccess,
    ClientError,
    ServerError,
    ServerInitiated,
    Throttled,
}

impl DisconnectReason {
    /// The name in `$aws/events/presence/disconnected/…`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DisconnectReason::ClientInitiated => "CLIENT_INITIATED_DISCONNECT",
            DisconnectReason::DuplicateClientId => "DUPLICATE_CLIENTID",
            DisconnectReason::KeepAliveTimeout => "MQTT_KEEP_ALIVE_TIMEOUT",
            DisconnectReason::ConnectionLost => "CONNECTION_LOST",
            DisconnectReason::AuthError => "AUTH_ERROR",
            DisconnectReason::ForbiddenAccess => "FORBIDDEN_ACCESS",
            DisconnectReason::ClientError => "CLIENT_ERROR",
            DisconnectReason::ServerError => "SERVER_ERROR",
            DisconnectReason::ServerInitiated => "SERVER_INITIATED_DISCONNECT",
            DisconnectReason::Throttled => "THROTTLED",
        }
    }
}

/// Somebody came or went.
#[derive(Clone, Debug)]
pub struct PresenceEvent {
    pub origin: Origin,
    pub certificate_id: CertificateId,
    /// Things of the certificate.
    pub things: Vec<String>,
    pub address: IpAddr,
    /// Milliseconds since 1970.
    pub timestamp_ms: u64,
    /// `None`: connected. Otherwise why the connection ended.
    pub disconnected: Option<DisconnectReason>,
}

/// Hears who is connected. Must return at once: it is called while connections are served.
pub trait Presence: Send + Sync + 'static {
    /// Told once a connection was accepted, and once it ended.
    fn changed(&self, event: PresenceEvent);
}

/// Hears nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPresence;

impl Presence for NoPresence {
    fn changed(&self, _event: PresenceEvent) {}
}
