//! The cloud's control plane: IoT registry and certificate authority, shadows, jobs, Greengrass.
//!
//! One module for each service; each owns its tables ([`migrations`]) and takes a transaction.
//! Calls arrive verified ([`Control::call`] for signed ones, [`Control::data_plane_call`] for
//! client certificates, [`Control::reserved_publish`] for MQTT), answers leave as values.
//!
//! It opens no socket, verifies no signature and knows neither broker nor object store: those are
//! ports ([`Publisher`], [`ArtifactReader`], [`SessionIssuer`], [`Clock`], [`Entropy`]).
//!
//! Invariants:
//! - Every row carries account and region; no query crosses them, but for the look-up of a
//!   client certificate by its fingerprint.
//! - One transaction for each call. What must reach a device is a row of the outbox in that
//!   transaction, published after the commit and again after a crash.
//! - Nothing about a device is shown that the device did not send; what we decided ourselves is
//!   QUEUED or CANCELED.
//!
//! Read first: [`Control`], [`Principal`], [`Scope`], [`Ports`].

mod control;
mod data_plane;
mod directory;
mod fault;
mod greengrass;
pub mod identity;
mod iot;
mod jobs;
mod outbox;
mod ports;
mod request;
mod reserved;
mod routes;
mod schema;
mod scope;
mod shadows;

pub use control::{Control, ControlError, ControlOptions, EndpointHosts, Ports, RequestedAction};
pub use directory::{AuthenticationError, PrincipalPolicies};
pub use fault::{Fault, Refusal};
pub use iot::{Authority, CertificateError, ServerCertificate};
pub use ports::{
    ArtifactDigest, ArtifactError, ArtifactReader, Clock, Entropy, MessageProperties, PortError,
    Publication, Publisher, RetainedMessage, RoleError, RoleRequest, SessionCredentials,
    SessionIssuer, SystemClock, SystemEntropy,
};
pub use reserved::{Reply, ReservedError};
pub use schema::migrations;
pub use scope::{Principal, Scope};
