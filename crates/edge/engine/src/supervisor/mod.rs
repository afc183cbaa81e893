//! Starting, watching and ending components.
//!
//! [`Supervisor`] is the handle of one task that owns the state machine (`machine`, a value
//! without IO) and runs its effects: scripts as processes (`runner`). States are told through
//! [`Supervisor::states`] (what is) and [`Supervisor::events`] (what happened).
//!
//! Where we are better than the nucleus on purpose: attempts have a short pause between them; a
//! failure carries exit code and last output; a script that times out is ended with everything it
//! started; and what an earlier core left running after kill -9 is ended before anything starts.
//!
//! Invariants:
//! - A component that is not RUNNING, STARTING or in a script has no process.
//! - Waiting has a deadline, and says who was waited for.
//!
//! Read first: [`Supervisor`], [`ComponentSpec`], [`ComponentStatus`].

mod actor;
mod error;
mod handle;
mod lifecycle;
mod machine;
mod message;
mod runner;
mod spec;
mod status;

#[cfg(test)]
mod tests;

pub use error::SupervisorError;
pub use handle::{RunWithDefaults, Supervisor, SupervisorOptions};
pub use lifecycle::StepKind;
pub use machine::RetrySettings;
pub use spec::{Applied, Changes, ComponentKind, ComponentSpec, DependencyKind};
pub use status::{
    ComponentStatus, Failure, Settled, StateChanged, StatusCode, StepResult, Trouble,
};

use std::collections::BTreeMap;
use std::sync::Arc;
use sward_model::ComponentName;

/// All components at one moment.
pub type Statuses = Arc<BTreeMap<ComponentName, ComponentStatus>>;
