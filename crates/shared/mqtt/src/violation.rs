//! A peer broke the protocol or a limit.

use crate::packet::Reason;
use sward_diagnosis::{Diagnose, Kind};

/// Why a connection must end, and what an MQTT 5 peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct Violation {
    /// The reason of the DISCONNECT or CONNACK.
    pub reason: Reason,
    /// What was wrong, as a fragment.
    pub what: &'static str,
}

impl Violation {
    /// A packet whose bytes make no sense.
    #[must_use]
    pub const fn malformed(what: &'static str) -> Violation {
        Violation {
            reason: Reason::MALFORMED_PACKET,
            what,
        }
    }

    /// A well-formed packet that is not allowed here.
    #[must_use]
    pub const fn protocol(what: &'static str) -> Violation {
        Violation {
            reason: Reason::PROTOCOL_ERROR,
            what,
        }
    }

    /// Any other reason.
    #[must_use]
    pub const fn new(reason: Reason, what: &'static str) -> Violation {
        Violation { reason, what }
    }
}

impl Diagnose for Violation {
    fn kind(&self) -> Kind {
        match self.reason {
            Reason::PACKET_TOO_LARGE => Kind::TooLarge,
            Reason::KEEP_ALIVE_TIMEOUT => Kind::Timeout,
            Reason::QUOTA_EXCEEDED | Reason::RECEIVE_MAXIMUM_EXCEEDED => Kind::Limit,
            Reason::QOS_NOT_SUPPORTED | Reason::UNSUPPORTED_PROTOCOL_VERSION => Kind::Unsupported,
            _ => Kind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        self.reason.name()
    }
}
