//! Versions of components and requirements on them (core-device §1.4).

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use sward_diagnosis::{Diagnose, Kind};
use thiserror::Error;

/// Why a text is not a component version.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("version \"{text}\" is invalid: {reason}")]
pub struct VersionError {
    pub text: String,
    pub reason: &'static str,
}

impl Diagnose for VersionError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        "version-invalid"
    }
}

/// Why a text is not a version requirement.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("version requirement \"{text}\" is invalid: {reason}")]
pub struct RequirementError {
    pub text: String,
    pub reason: &'static str,
}

impl Diagnose for RequirementError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        "version-requirement-invalid"
    }
}

/// A component version: `major.minor.patch[-suffix][+build]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComponentVersion {
    text: String,
    numbers: [u64; 3],
}

impl FromStr for ComponentVersion {
    type Err = VersionError;
    fn from_str(text: &str) -> Result<Self, VersionError> {
        let fail = |reason| VersionError {
            text: text.to_owned(),
            reason,
        };
        let main = text.split(['-', '+']).next().unwrap_or_default();
        let parts: Vec<&str> = main.split('.').collect();
        let [major, minor, patch] = parts[..] else {
            return Err(fail("three numbers are needed"));
        };
        let number = |part: &str| {
            part.parse::<u64>()
                .map_err(|_| fail("a part is not a number"))
        };
        Ok(ComponentVersion {
            text: text.to_owned(),
            numbers: [number(major)?, number(minor)?, number(patch)?],
        })
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
        version.text
    }
}

impl fmt::Display for ComponentVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Ord for ComponentVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.numbers
            .cmp(&other.numbers)
            .then_with(|| self.text.cmp(&other.text))
    }
}

impl PartialOrd for ComponentVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A requirement on a version, such as `>=1.0.0 <2.0.0`; `Display` gives the normalised text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct VersionRequirement {
    text: String,
}

impl VersionRequirement {
    /// Whether the version satisfies this requirement.
    #[must_use]
    pub fn is_satisfied_by(&self, version: &ComponentVersion) -> bool {
        self.text.trim_start_matches('=') == version.text
    }

    /// Exactly this version (`==V`).
    #[must_use]
    pub fn exactly(version: &ComponentVersion) -> Self {
        VersionRequirement {
            text: format!("={version}"),
        }
    }
}

impl FromStr for VersionRequirement {
    type Err = RequirementError;
    fn from_str(text: &str) -> Result<Self, RequirementError> {
        Ok(VersionRequirement {
            text: text.to_owned(),
        })
    }
}

impl TryFrom<String> for VersionRequirement {
    type Error = RequirementError;
    fn try_from(text: String) -> Result<Self, RequirementError> {
        text.parse()
    }
}

impl From<VersionRequirement> for String {
    fn from(requirement: VersionRequirement) -> String {
        requirement.text
    }
}

impl fmt::Display for VersionRequirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
