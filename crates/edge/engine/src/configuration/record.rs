//! One transaction as the journal keeps it: JSON, so that a person can read it in need.

use serde::{Deserialize, Serialize};
use sward_deployment::tree::Change;

/// Who set a value.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "kebab-case")]
pub enum Source {
    /// A default of the core's own.
    Default,
    /// A file read at a start.
    File { path: String },
    /// An argument of the command line.
    CommandLine,
    /// A deployment.
    Deployment { id: String },
    /// The rollback of a deployment.
    Rollback { id: String },
    /// A component, by `UpdateConfiguration`.
    Component { name: String },
    /// The core itself, for what it keeps there.
    Core,
    /// Written anew after the disk had failed; who set it before is lost.
    Restored,
}

/// What one call changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Transaction {
    /// Time of the clock when it happened; the leaves' own times are in the changes.
    pub(crate) at_ms: i64,
    pub(crate) source: Source,
    pub(crate) changes: Vec<Change>,
}

impl Transaction {
    /// Without private keys; `None` if nothing is left.
    pub(crate) fn public(at_ms: i64, source: Source, changes: Vec<Change>) -> Option<Transaction> {
        let is_public = |change: &Change| change.path().iter().all(|key| !key.starts_with('_'));
        let changes: Vec<Change> = changes.into_iter().filter(is_public).collect();
        (!changes.is_empty()).then_some(Transaction {
            at_ms,
            source,
            changes,
        })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, numbers and values serialise")
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Transaction, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}
