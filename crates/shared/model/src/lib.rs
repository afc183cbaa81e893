//! The vocabulary of Sward: names, ids, ARNs, versions and requirements, platform attributes.
//!
//! One type per id: text is parsed at the border, and inside no bare `String` carries meaning.
//!
//! This crate never reads a file, a clock or randomness, and changes rarely, because everything
//! depends on it.
//!
//! Invariants:
//! - A value that exists is valid: every type is built by parsing only.
//! - `Display` gives back the text that parses to the same value.
//!
//! Read first: [`ComponentName`], [`ComponentVersion`], [`VersionRequirement`], [`Arn`].

mod arn;
mod ids;
mod names;
mod platform;
mod state;
mod version;

pub use arn::{Arn, DeploymentTarget};
pub use ids::{AccountId, CertificateId, DeploymentId, JobId, Region};
pub use names::{ComponentName, NameError, PolicyName, RoleAliasName, ThingGroupName, ThingName};
pub use platform::PlatformAttributes;
pub use state::ComponentState;
pub use version::{ComponentVersion, RequirementError, VersionError, VersionRequirement};

/// The AWS version line this core claims to match, reported as `ggcVersion` and as the version of
/// `aws.greengrass.Nucleus`, so that public version ranges resolve (DESIGN §2).
pub const NUCLEUS_VERSION: &str = "2.18.0";

/// The name of the nucleus component.
pub const NUCLEUS_NAME: &str = "aws.greengrass.Nucleus";
