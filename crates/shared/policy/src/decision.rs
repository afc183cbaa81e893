//! The answer to "may this be done", with its reason.

use sward_diagnosis::Place;

/// What a statement does to a request it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The request is allowed, unless a deny matches too.
    Allow,
    /// The request is refused, whatever else matches.
    Deny,
}

/// The outcome of an evaluation and what caused it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// An allow matched and no deny did.
    Allowed,
    /// Nothing matched; `missing` is the permission that would have to be granted.
    ImplicitlyDenied { missing: Place },
    /// A deny matched.
    ExplicitlyDenied {
        /// Name of the policy, as given to `compile`.
        policy: String,
        /// `Sid` of the statement, or its position from 0.
        statement: String,
    },
}

impl Decision {
    /// Whether the request may go on.
    #[must_use]
    pub fn is_allowed(&self) -> bool {
        matches!(self, Decision::Allowed)
    }
}
