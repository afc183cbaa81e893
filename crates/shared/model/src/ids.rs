//! Ids that a service hands out, and the two that every resource belongs to.

use crate::names::{NameError, Rule, checked_text};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

checked_text!(
    /// The id of a deployment: a UUID from the cloud, a UUID or the caller's own text locally.
    DeploymentId,
    Rule {
        what: "deployment id",
        limit: 256,
        allowed: "letters, digits and '-_:/.'",
        is_allowed: |c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':' | '/' | '.'),
    }
);

checked_text!(
    /// The id of a job: 1 to 64 of `[a-zA-Z0-9_-]`.
    JobId,
    Rule {
        what: "job id",
        limit: 64,
        allowed: "letters, digits, '_' and '-'",
        is_allowed: |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-'),
    }
);

checked_text!(
    /// A region such as `us-east-1`. Any name of this alphabet is accepted, so that private
    /// clouds may have regions of their own.
    Region,
    Rule {
        what: "region",
        limit: 64,
        allowed: "lower-case letters, digits and '-'",
        is_allowed: |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-',
    }
);

/// An AWS account: exactly 12 digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountId(String);

/// The id of a certificate: the SHA-256 of its DER form, as 64 lower-case hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CertificateId(String);

macro_rules! fixed_text {
    ($name:ident, $what:literal, $expected:literal, $valid:expr) => {
        impl $name {
            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                let valid: fn(&str) -> bool = $valid;
                if valid(text) {
                    Ok($name(text.to_owned()))
                } else {
                    Err(NameError::Shape {
                        what: $what,
                        text: text.to_owned(),
                        expected: $expected,
                    })
                }
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }
        impl From<$name> for String {
            fn from(value: $name) -> String {
                value.0
            }
        }
        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fixed_text!(AccountId, "account id", "12 digits", |text| text.len()
    == 12
    && text.bytes().all(|byte| byte.is_ascii_digit()));
fixed_text!(
    CertificateId,
    "certificate id",
    "64 lower-case hex digits",
    |text| text.len() == 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
);

impl Default for AccountId {
    /// The account of a fresh cloud.
    fn default() -> Self {
        AccountId("123456789012".to_owned())
    }
}

impl Default for Region {
    /// The region of a fresh cloud.
    fn default() -> Self {
        "us-east-1"
            .parse()
            .expect("a literal of the right alphabet")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fixed_ids_have_one_shape() {
        assert!("123456789012".parse::<AccountId>().is_ok());
        assert!("12345678901".parse::<AccountId>().is_err());
        assert!("ab".repeat(32).parse::<CertificateId>().is_ok());
        assert!("AB".repeat(32).parse::<CertificateId>().is_err());
        assert_eq!(Region::default().as_str(), "us-east-1");
    }
}
