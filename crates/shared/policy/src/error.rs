//! Why a text is not a policy document.

use std::borrow::Cow;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// A document that AWS would refuse with `MalformedPolicyDocument`/`MalformedPolicyException`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PolicyError {
    /// The text is not JSON.
    #[error("the policy document is not JSON, line {line} column {column}: {reason}")]
    Syntax {
        line: usize,
        column: usize,
        reason: String,
    },
    /// A member is missing, unknown or of the wrong shape.
    #[error("{reason}")]
    Member {
        /// JSON pointer of the member; `""` is the document.
        pointer: String,
        reason: String,
    },
    /// The document has more characters (blanks do not count) than allowed.
    #[error("the policy document has {length} characters without blanks, {limit} are allowed")]
    TooLong { length: usize, limit: usize },
}

impl PolicyError {
    pub(crate) fn member(pointer: impl Into<String>, reason: impl Into<String>) -> Self {
        PolicyError::Member {
            pointer: pointer.into(),
            reason: reason.into(),
        }
    }
}

impl Diagnose for PolicyError {
    fn kind(&self) -> Kind {
        match self {
            PolicyError::TooLong { .. } => Kind::TooLarge,
            _ => Kind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            PolicyError::Syntax { .. } => "policy-syntax",
            PolicyError::Member { .. } => "policy-malformed",
            PolicyError::TooLong { .. } => "policy-too-long",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            PolicyError::Member { pointer, .. } => Some(Place::Pointer {
                document: "policy document".into(),
                pointer: pointer.clone(),
            }),
            _ => None,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            PolicyError::TooLong { .. } => Some("join statements or use wildcards".into()),
            _ => None,
        }
    }
}
