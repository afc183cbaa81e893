//! The state of a connection, for everybody who waits for it.

use std::fmt;
use tokio::time::Instant;

/// Where a connection stands.
#[derive(Clone, Debug)]
pub enum ConnectionState {
    /// TCP, TLS or CONNECT is under way.
    Connecting {
        /// 1 for the first try since the last connection.
        attempt: u32,
        since: Instant,
    },
    /// The cloud let the device in.
    Connected {
        since: Instant,
        /// Ascends with every connection of the process.
        number: u64,
        /// Whether the cloud still knew the session.
        session_present: bool,
    },
    /// The last try failed or the connection was lost.
    Waiting {
        attempt: u32,
        /// The whole chain of causes.
        reason: String,
        since: Instant,
        next_try: Instant,
    },
    /// The client was stopped.
    Stopped,
}

impl ConnectionState {
    pub(crate) fn starting() -> ConnectionState {
        ConnectionState::Connecting {
            attempt: 1,
            since: Instant::now(),
        }
    }

    /// Whether messages flow.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(self, ConnectionState::Connected { .. })
    }
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConnectionState::Connecting { attempt, .. } => {
                write!(f, "connecting, try {attempt}")
            }
            ConnectionState::Connected { .. } => f.write_str("connected"),
            ConnectionState::Waiting {
                reason, next_try, ..
            } => {
                let left = next_try.saturating_duration_since(Instant::now());
                write!(
                    f,
                    "not connected, next try in {} s: {reason}",
                    left.as_secs()
                )
            }
            ConnectionState::Stopped => f.write_str("stopped"),
        }
    }
}
