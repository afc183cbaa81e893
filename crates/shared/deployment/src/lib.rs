//! Deployments as values: documents, statuses, error codes, configuration and plans.
//!
//! This crate reads and writes deployment documents (of the cloud and of local requests), knows
//! the vocabulary in which a deployment's outcome is told, merges configuration with the times of
//! its leaves, computes what a device shall look like after a deployment, and plans the way there.
//!
//! It never reads a file, a clock or the network, and starts nothing.
//!
//! Invariants:
//! - A document that is read and written again means the same to a device.
//! - A plan is a value: what it says is what the deployer does, and nothing else.
//!
//! Read first: [`DeploymentDocument`], [`DeploymentSpec`], [`tree::StampedTree`],
//! [`DeploymentFailure`].

pub mod configuration;
pub mod document;
pub mod error;
pub mod groups;
pub mod plan;
mod status;
pub mod target;
pub mod tree;

pub use document::{DeploymentDocument, DeploymentSpec, LocalRequest};
pub use error::{DeploymentErrorCode, DeploymentErrorType, DeploymentFailure};
pub use plan::Plan;
pub use status::{DeploymentOutcome, DeploymentSource, DeploymentStatus, DetailedStatus};
