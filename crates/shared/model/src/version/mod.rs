//! Versions of components and requirements on them (core-device §1.4).
//!
//! The rules are those of the nucleus's library, not npm's and not Cargo's, because recipes and
//! deployments in the field rely on them. `semver` holds the version itself, `requirement` the
//! range, `tokens` the odd way in which a range is taken apart.

mod requirement;
mod semver;
mod tokens;

#[cfg(test)]
mod golden;

pub use requirement::{RequirementError, VersionRequirement};

use semver::{Form, Semver};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::str::FromStr;
use sward_diagnosis::{Diagnose, Kind};
use thiserror::Error;

/// The longest version, in UTF-16 units (Java's measure of text).
const LONGEST: usize = 64;
/// The largest major, minor or patch number.
const LARGEST: u32 = 999_999;

/// Why a text is not a component version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("version \"{text}\" is invalid: {reason}")]
pub struct VersionError {
    /// The text as given.
    pub text: String,
    /// What is wrong, as a fragment.
    pub reason: &'static str,
}

impl Diagnose for VersionError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        "version-invalid"
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("write it as major.minor.patch, such as 1.0.0".into())
    }
}

/// A component version: `major.minor.patch[-suffix][+build]`, three numbers up to 999999, at most
/// 64 characters. Blanks around it are dropped.
///
/// The order is that of precedence: a pre-release comes before its release, numbers in a suffix
/// compare as numbers and come before words, words compare without regard to case. Versions that
/// differ in case or build only follow the order of their text, so that the order is total;
/// [`ComponentVersion::precedence`] calls versions that differ in the build equal.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComponentVersion(Semver);

impl ComponentVersion {
    /// The text, as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Major, minor and patch.
    #[must_use]
    pub fn numbers(&self) -> [u32; 3] {
        [
            self.0.major,
            self.0.minor.unwrap_or_default(),
            self.0.patch.unwrap_or_default(),
        ]
    }

    /// Whether a suffix marks it as a pre-release.
    #[must_use]
    pub fn is_pre_release(&self) -> bool {
        !self.0.suffix.is_empty()
    }

    /// The order of versions without regard to builds.
    #[must_use]
    pub fn precedence(&self, other: &Self) -> Ordering {
        self.0.precedence(&other.0)
    }
}

impl FromStr for ComponentVersion {
    type Err = VersionError;
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let fail = |reason| VersionError {
            text: text.to_owned(),
            reason,
        };
        let version = Semver::parse(text, Form::Strict).map_err(fail)?;
        if version.text.encode_utf16().count() > LONGEST {
            return Err(fail("it has more than 64 characters"));
        }
        // A version names a folder of the component store; the nucleus would leave it.
        if version
            .text
            .chars()
            .any(|c| matches!(c, '/' | '\\') || c.is_control())
        {
            return Err(fail("slashes and control characters are not allowed"));
        }
        let version = ComponentVersion(version);
        if version.numbers().iter().any(|number| *number > LARGEST) {
            return Err(fail("a number is larger than 999999"));
        }
        Ok(version)
    }
}

impl TryFrom<String> for ComponentVersion {
    type Error = VersionError;
    fn try_from(text: String) -> Result<Self, VersionError> {
        text.parse()
    }
}

impl From<ComponentVersion> for String {
    fn from(version: ComponentVersion) -> String {
        version.0.text
    }
}

impl fmt::Display for ComponentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl PartialEq for ComponentVersion {
    fn eq(&self, other: &Self) -> bool {
        self.0.text == other.0.text
    }
}

impl Eq for ComponentVersion {}

impl Hash for ComponentVersion {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl Ord for ComponentVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.precedence(other)
            .then_with(|| self.0.text.cmp(&other.0.text))
    }
}

impl PartialOrd for ComponentVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
