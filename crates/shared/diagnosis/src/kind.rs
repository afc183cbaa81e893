//! The classes of failure that every layer shares.

use serde::{Deserialize, Serialize};

/// The class of a failure: what a caller may conclude without reading the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The input is wrong; sending it again cannot help.
    Invalid,
    /// The thing named does not exist.
    NotFound,
    /// The thing exists already, or its state or version does not allow this.
    Conflict,
    /// The caller is known and may not do this.
    Denied,
    /// The caller is not known, or its proof is wrong or expired.
    Unauthenticated,
    /// A single item is larger than allowed.
    TooLarge,
    /// A quota or rate is used up.
    Limit,
    /// Understood, and not built or not available here.
    Unsupported,
    /// The other side or the network cannot be reached now.
    Unavailable,
    /// A deadline passed.
    Timeout,
    /// Somebody asked to stop.
    Cancelled,
    /// Stored or received bytes are damaged.
    Corrupt,
    /// A program of the user's ended badly (a lifecycle script, a component).
    Component,
    /// Disk, process or operating system refused.
    Device,
    /// A fault of Sward's own.
    Internal,
}

impl Kind {
    /// Whether a failure of this class usually passes by itself.
    #[must_use]
    pub fn is_retryable(self) -> bool {
        matches!(self, Kind::Limit | Kind::Unavailable | Kind::Timeout)
    }

    /// The kebab-case name used in JSON and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Invalid => "invalid",
            Kind::NotFound => "not-found",
            Kind::Conflict => "conflict",
            Kind::Denied => "denied",
            Kind::Unauthenticated => "unauthenticated",
            Kind::TooLarge => "too-large",
            Kind::Limit => "limit",
            Kind::Unsupported => "unsupported",
            Kind::Unavailable => "unavailable",
            Kind::Timeout => "timeout",
            Kind::Cancelled => "cancelled",
            Kind::Corrupt => "corrupt",
            Kind::Component => "component",
            Kind::Device => "device",
            Kind::Internal => "internal",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_is_the_serialised_form() {
        for kind in [
            Kind::Invalid,
            Kind::NotFound,
            Kind::TooLarge,
            Kind::Unauthenticated,
            Kind::Internal,
        ] {
            let json = serde_json::to_value(kind).expect("a unit variant serialises");
            assert_eq!(json, kind.as_str());
        }
    }
}
