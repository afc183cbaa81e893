//! The states of a component, as every public interface spells them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The lifecycle state of a component (core-device §4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ComponentState {
    New,
    Installed,
    Starting,
    Running,
    Stopping,
    Errored,
    Broken,
    Finished,
}

impl ComponentState {
    /// The public spelling, such as `RUNNING`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ComponentState::New => "NEW",
            ComponentState::Installed => "INSTALLED",
            ComponentState::Starting => "STARTING",
            ComponentState::Running => "RUNNING",
            ComponentState::Stopping => "STOPPING",
            ComponentState::Errored => "ERRORED",
            ComponentState::Broken => "BROKEN",
            ComponentState::Finished => "FINISHED",
        }
    }
}

impl fmt::Display for ComponentState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
