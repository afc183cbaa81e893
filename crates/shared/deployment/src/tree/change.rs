//! What a mutation of the tree did.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One step of a mutation. Paths are spelled as the tree spells them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Change {
    /// A leaf has a new value.
    Set {
        path: Vec<String>,
        value: Value,
        timestamp_ms: i64,
    },
    /// A leaf kept its value and has a new time.
    Touched {
        path: Vec<String>,
        timestamp_ms: i64,
    },
    /// An empty map was made.
    MapAdded {
        path: Vec<String>,
        timestamp_ms: i64,
    },
    /// A node and all below it went away.
    Removed {
        path: Vec<String>,
        timestamp_ms: i64,
    },
}

impl Change {
    /// Where the change happened.
    #[must_use]
    pub fn path(&self) -> &[String] {
        match self {
            Change::Set { path, .. }
            | Change::Touched { path, .. }
            | Change::MapAdded { path, .. }
            | Change::Removed { path, .. } => path,
        }
    }

    /// The time that came with the change.
    #[must_use]
    pub fn timestamp_ms(&self) -> i64 {
        match self {
            Change::Set { timestamp_ms, .. }
            | Change::Touched { timestamp_ms, .. }
            | Change::MapAdded { timestamp_ms, .. }
            | Change::Removed { timestamp_ms, .. } => *timestamp_ms,
        }
    }

    /// Whether a reader of values can see it: everything but a new time alone.
    #[must_use]
    pub fn is_visible(&self) -> bool {
        !matches!(self, Change::Touched { .. })
    }
}
