//! What wakes the supervisor's task.

use super::machine::{Outcome, RunId};
use super::runner::Surroundings;
use super::spec::{Applied, Changes, ComponentSpec};
use super::status::StepResult;
use super::{StepKind, SupervisorError};
use sward_model::{ComponentName, ComponentState};
use tokio::sync::oneshot;

type Reply<T> = oneshot::Sender<T>;

pub(crate) enum Message {
    Apply(Changes, Reply<Applied>),
    Restart(ComponentName, Reply<Result<bool, SupervisorError>>),
    Stop(ComponentName, Reply<Result<(), SupervisorError>>),
    /// Holds (`true`) or lets go its processes; `false` comes back if it is not running.
    Hold(ComponentName, bool, Reply<Result<bool, SupervisorError>>),
    Report(
        ComponentName,
        ComponentState,
        Reply<Result<bool, SupervisorError>>,
    ),
    RunStep(Box<ComponentSpec>, StepKind, Reply<StepResult>),
    Surroundings(Surroundings),
    Close(Reply<()>),
    /// The orphans of an earlier core are gone.
    Ready,
    Spawned(ComponentName, RunId),
    Ended(ComponentName, RunId, Outcome),
    Cleared(ComponentName, RunId),
}
