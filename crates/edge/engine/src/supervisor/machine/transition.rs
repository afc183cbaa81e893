//! Every transition of a component, in one function.

use super::component::{Component, Phase, Then, Wish};
use super::{Outcome, failure_of, timeout_of};
use crate::supervisor::lifecycle::StepKind;
use crate::supervisor::spec::ComponentKind;
use crate::supervisor::status::{Failure, StatusCode};
use sward_model::ComponentState;

/// What happened to the component.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// Perhaps nothing: wishes or other components changed.
    Look,
    /// The process of the current step runs.
    Spawned,
    /// The current step ended.
    Ended(Outcome),
    /// The current clearing ended.
    Cleared,
    /// The time of the current phase is up.
    Deadline,
    /// The component said so itself.
    Reported(ComponentState),
}

/// What a component needs to know of the others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct World {
    pub(super) are_dependencies_ready: bool,
    pub(super) may_stop: bool,
    pub(super) is_closing: bool,
}

/// What follows.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Next {
    Stay,
    Start(StepKind),
    Enter(ComponentState),
    EnterAndStart(ComponentState, StepKind),
    /// RUNNING, and the main process goes on.
    Run,
    /// The main process is done, the state stays.
    MainEnded,
    /// The component has done its work: stop it in order.
    WishFinished,
    /// FINISHED without a stop.
    Finish,
    /// Count the error, then ERRORED or BROKEN.
    Fail(Failure),
    /// End its processes first.
    Clear(Then),
    /// Pause before the next attempt.
    Delay,
    Remove,
}

/// The table. `current` has no fulfilled wish at its front; `Spawned`, `Ended` and `Cleared` are
/// about its current phase.
pub(super) fn next(current: &Component, event: &Event, world: World) -> Next {
    use ComponentState as State;
    use StepKind as Step;
    let wish = current.wishes.front().copied();
    let is_leaving = world.is_closing || current.is_unwanted();
    match (current.state, &current.phase, event) {
        // NEW
        (State::New, Phase::Idle, Event::Look) => match wish {
            None => Next::Stay,
            Some(Wish::Finished | Wish::Uninstalled) => Next::Enter(State::Finished),
            Some(_) if current.is_in_cycle => Next::Stay,
            Some(_) => Next::Start(Step::Install),
        },
        (State::New, Phase::Script { .. }, Event::Look)
            if is_leaving || wish == Some(Wish::New) =>
        {
            Next::Clear(Then::Look)
        }
        (State::New, Phase::Script { step, .. }, Event::Ended(outcome)) => {
            match failure_of(*step, outcome) {
                None => Next::Enter(State::Installed),
                Some(failure) => Next::Clear(Then::Fail(failure)),
            }
        }
        (State::New, Phase::Script { .. }, Event::Reported(State::Errored)) => {
            Next::Clear(Then::Fail(reported(current)))
        }

        // INSTALLED
        (State::Installed, Phase::Idle, Event::Look) => match wish {
            Some(Wish::Running) if world.are_dependencies_ready && !current.is_in_cycle => {
                Next::EnterAndStart(State::Starting, Step::Startup)
            }
            Some(Wish::New) => Next::Enter(State::New),
            Some(Wish::Finished | Wish::Uninstalled) => Next::Enter(State::Finished),
            _ => Next::Stay,
        },

        // STARTING and RUNNING: somebody wants something else
        (State::Starting | State::Running, Phase::Idle | Phase::Main { .. }, Event::Look)
            if wish.is_some_and(|wish| wish != Wish::Running) && world.may_stop =>
        {
            Next::EnterAndStart(State::Stopping, Step::Shutdown)
        }

        // STARTING
        (
            State::Starting,
            Phase::Main {
                step: Step::Startup,
                ..
            },
            Event::Ended(outcome),
        ) => match (outcome, failure_of(Step::Startup, outcome)) {
            (Outcome::Nothing, _) => Next::Start(Step::Run),
            (_, None) => Next::Enter(State::Running),
            (_, Some(failure)) => Next::Fail(failure),
        },
        (
            State::Starting,
            Phase::Main {
                step: Step::Run, ..
            },
            Event::Spawned,
        ) => Next::Run,
        (State::Starting, Phase::Main { step, .. }, Event::Ended(outcome)) => {
            match failure_of(*step, outcome) {
                Some(failure) => Next::Fail(failure),
                None if current.plan.spec.kind == ComponentKind::Builtin => {
                    Next::Enter(State::Running)
                }
                None => Next::Finish,
            }
        }
        (State::Starting, Phase::Main { .. }, Event::Reported(State::Running)) => Next::Run,
        (State::Starting, Phase::Main { .. }, Event::Reported(State::Finished)) => Next::Finish,

        // RUNNING
        (State::Running, Phase::Main { step, .. }, Event::Ended(outcome)) => {
            match (step, failure_of(*step, outcome)) {
                (_, Some(failure)) => Next::Fail(failure),
                (Step::Run, None) => Next::WishFinished,
                (_, None) => Next::MainEnded,
            }
        }
        (State::Running, Phase::Idle | Phase::Main { .. }, Event::Reported(State::Finished)) => {
            Next::WishFinished
        }
        (
            State::Starting | State::Running,
            Phase::Idle | Phase::Main { .. },
            Event::Reported(State::Errored),
        ) => Next::Fail(reported(current)),

        // STOPPING
        (State::Stopping, Phase::Script { step, .. }, Event::Ended(outcome)) => {
            match failure_of(*step, outcome) {
                None => Next::Clear(Then::Look),
                Some(failure) => Next::Clear(Then::Fail(failure)),
            }
        }
        (State::Stopping, Phase::Script { .. }, Event::Reported(State::Finished)) => {
            Next::Clear(Then::Look)
        }
        (State::Stopping, Phase::Script { .. }, Event::Reported(State::Errored)) => {
            Next::Clear(Then::Fail(reported(current)))
        }
        (State::Stopping, Phase::Idle, Event::Look) => after_stop(wish),

        // ERRORED
        (State::Errored, Phase::Script { .. }, Event::Ended(_)) => Next::Delay,
        (State::Errored, Phase::Script { .. }, Event::Look) if is_leaving => {
            Next::Clear(Then::Look)
        }
        (State::Errored, Phase::Delay { .. }, Event::Look)
            if is_leaving || wish == Some(Wish::New) =>
        {
            Next::MainEnded
        }
        (State::Errored, Phase::Delay { .. }, Event::Deadline) => Next::MainEnded,
        (State::Errored, Phase::Idle, Event::Look) => match current.errored_from {
            State::New if is_leaving => Next::Enter(State::Finished),
            State::New => Next::Enter(State::New),
            State::Starting | State::Running => {
                Next::EnterAndStart(State::Stopping, Step::Shutdown)
            }
            _ => after_stop(wish),
        },

        // FINISHED
        (State::Finished, Phase::Idle, Event::Look) => match wish {
            None | Some(Wish::Finished) => Next::Stay,
            Some(Wish::New) => Next::Enter(State::New),
            Some(Wish::Installed | Wish::Running) => Next::Enter(State::Installed),
            Some(Wish::Uninstalled) => Next::Start(Step::Uninstall),
        },

        // BROKEN: its shutdown script and processes end, then it waits for a new version
        (
            State::Broken,
            Phase::Script {
                step: Step::Shutdown,
                ..
            },
            Event::Ended(_) | Event::Deadline,
        ) => Next::Clear(Then::Look),
        (State::Broken, Phase::Idle, Event::Look) => match wish {
            Some(Wish::New) => Next::Enter(State::New),
            Some(Wish::Uninstalled) => Next::Start(Step::Uninstall),
            _ => Next::Stay,
        },

        // Leaving for good, from FINISHED or BROKEN
        (
            _,
            Phase::Script {
                step: Step::Uninstall,
                ..
            },
            Event::Ended(_) | Event::Deadline,
        ) => Next::Clear(Then::Remove),
        (
            _,
            Phase::Script {
                step: Step::Uninstall,
                ..
            },
            Event::Look,
        ) if wish == Some(Wish::New) => Next::Clear(Then::Look),

        // Time is up
        (
            _,
            Phase::Script {
                step: Step::Recover,
                ..
            },
            Event::Deadline,
        ) => Next::Clear(Then::Delay),
        (_, Phase::Script { step, .. } | Phase::Main { step, .. }, Event::Deadline) => {
            let timeout = current
                .plan
                .lifecycle
                .step(*step)
                .and_then(|step| step.timeout);
            Next::Clear(Then::Fail(timeout_of(*step, timeout)))
        }

        // Processes are gone
        (_, Phase::Clearing { then, .. }, Event::Cleared) => match then {
            Then::Look => Next::MainEnded,
            Then::Fail(failure) => Next::Fail(failure.clone()),
            Then::Delay => Next::Delay,
            Then::Remove if wish == Some(Wish::New) => Next::Enter(State::New),
            Then::Remove => Next::Remove,
        },

        _ => Next::Stay,
    }
}

/// Where a stopped component goes.
fn after_stop(wish: Option<Wish>) -> Next {
    Next::Enter(match wish {
        Some(Wish::New) => ComponentState::New,
        Some(Wish::Installed | Wish::Running) => ComponentState::Installed,
        None | Some(Wish::Finished | Wish::Uninstalled) => ComponentState::Finished,
    })
}

fn reported(current: &Component) -> Failure {
    Failure {
        code: StatusCode::of_state(current.state),
        reason: "the component reported an error".to_owned(),
        exit_code: None,
        signal: None,
        last_output: Vec::new(),
    }
}
