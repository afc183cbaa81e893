//! One component: where it stands, what is wanted of it, and its errors.

use super::{Ms, Outcome, RunId, milliseconds};
use crate::supervisor::lifecycle::StepKind;
use crate::supervisor::spec::{ComponentKind, Plan};
use crate::supervisor::status::{ComponentStatus, Failure, StateChanged, StatusCode};
use std::collections::VecDeque;
use std::sync::Arc;
use sward_model::ComponentState;

/// What is wanted of a component, one after the other (core-device §4.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    New,
    Installed,
    Running,
    Finished,
    Uninstalled,
}

/// What a component is busy with.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Phase {
    /// With nothing; a RUNNING component may still have processes that its `startup` left.
    Idle,
    /// With a script that ends.
    Script {
        step: StepKind,
        run: RunId,
        deadline: Option<Ms>,
    },
    /// With its `startup` or `run` process.
    Main {
        step: StepKind,
        run: RunId,
        deadline: Option<Ms>,
    },
    /// With the end of its processes.
    Clearing { id: RunId, then: Then },
    /// With waiting for the next attempt.
    Delay { until: Ms },
}

/// What comes once the processes are gone.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Then {
    Look,
    Fail(Failure),
    Delay,
    Remove,
}

impl Phase {
    pub(super) fn id(&self) -> Option<RunId> {
        match self {
            Phase::Script { run, .. } | Phase::Main { run, .. } => Some(*run),
            Phase::Clearing { id, .. } => Some(*id),
            Phase::Idle | Phase::Delay { .. } => None,
        }
    }
}

/// The errors that count, a list for each state (core-device §4.5).
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Errors {
    new: Vec<Ms>,
    starting: Vec<Ms>,
    running: Vec<Ms>,
}

impl Errors {
    fn of(&mut self, state: ComponentState) -> Option<&mut Vec<Ms>> {
        match state {
            ComponentState::New => Some(&mut self.new),
            ComponentState::Starting => Some(&mut self.starting),
            ComponentState::Running => Some(&mut self.running),
            _ => None,
        }
    }

    /// Counts an error; 0 where errors do not count.
    pub(super) fn add(&mut self, state: ComponentState, now: Ms, reset_ms: Ms) -> usize {
        let Some(errors) = self.of(state) else {
            return 0;
        };
        let last = errors.last().copied();
        if last.is_some_and(|last| now.saturating_sub(last) >= reset_ms) {
            errors.clear();
        }
        errors.push(now);
        errors.len()
    }

    /// Something else than an error was reported in this state.
    pub(super) fn clear(&mut self, state: ComponentState) {
        if let Some(errors) = self.of(state) {
            errors.clear();
        }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Component {
    pub(super) plan: Arc<Plan>,
    /// The plan its processes were started with: its shutdown script is the one to run.
    pub(super) started_with: Option<Arc<Plan>>,
    pub(super) state: ComponentState,
    pub(super) phase: Phase,
    pub(super) wishes: VecDeque<Wish>,
    pub(super) errors: Errors,
    pub(super) failure: Option<Failure>,
    pub(super) errored_from: ComponentState,
    pub(super) retry_ms: Ms,
    pub(super) is_in_cycle: bool,
}

impl Component {
    pub(super) fn new(plan: Arc<Plan>) -> Self {
        Component {
            plan,
            started_with: None,
            state: ComponentState::New,
            phase: Phase::Idle,
            wishes: VecDeque::new(),
            errors: Errors::default(),
            failure: None,
            errored_from: ComponentState::New,
            retry_ms: 0,
            is_in_cycle: false,
        }
    }

    pub(super) fn wish_start(&mut self) {
        match self.wishes.back() {
            Some(Wish::Running) => {}
            Some(Wish::Finished) => {
                self.wishes.pop_back();
                self.wishes.push_back(Wish::Running);
            }
            _ => self.wishes.push_back(Wish::Running),
        }
    }

    pub(super) fn wish_stop(&mut self) {
        if !self.wishes.contains(&Wish::Uninstalled) {
            self.keep_up_to_new();
            self.wishes.push_back(Wish::Finished);
        }
    }

    /// The component has ended by itself; later wishes, if there are any, come after that.
    pub(super) fn wish_finish(&mut self) {
        if self.wishes.is_empty() {
            self.wishes.push_back(Wish::Finished);
        }
    }

    /// `false` if a restart means nothing now.
    pub(super) fn wish_restart(&mut self) -> bool {
        let is_untouched = self.wishes.is_empty() && self.state == ComponentState::New;
        if is_untouched || self.wishes.contains(&Wish::Uninstalled) {
            return false;
        }
        self.keep_up_to_new();
        if self.wishes.is_empty() {
            self.wishes.push_back(Wish::Installed);
        }
        self.wishes.push_back(Wish::Running);
        true
    }

    pub(super) fn wish_reinstall(&mut self) {
        self.wishes = VecDeque::from([Wish::New, Wish::Running]);
    }

    pub(super) fn wish_uninstall(&mut self) {
        self.wishes = match self.state {
            ComponentState::Broken => VecDeque::from([Wish::Uninstalled]),
            _ => VecDeque::from([Wish::Finished, Wish::Uninstalled]),
        };
    }

    fn keep_up_to_new(&mut self) {
        let kept = self.wishes.iter().position(|wish| *wish == Wish::New);
        self.wishes.truncate(kept.map_or(0, |index| index + 1));
    }

    /// Wishes that are true already, or that mean nothing to a BROKEN component.
    pub(super) fn drop_fulfilled_wishes(&mut self) {
        let is_idle = self.phase == Phase::Idle;
        while let Some(wish) = self.wishes.front() {
            let is_done = match (self.state, wish) {
                (ComponentState::Running, Wish::Running) => true,
                (ComponentState::New, Wish::New)
                | (ComponentState::Installed, Wish::Installed)
                | (ComponentState::Finished, Wish::Finished) => is_idle,
                (ComponentState::Broken, Wish::New | Wish::Uninstalled) => false,
                (ComponentState::Broken, _) => true,
                _ => false,
            };
            if !is_done {
                return;
            }
            self.wishes.pop_front();
        }
    }

    /// Whether the next thing wanted is that it does not run.
    pub(super) fn is_unwanted(&self) -> bool {
        matches!(
            self.wishes.front(),
            Some(Wish::Finished | Wish::Uninstalled)
        )
    }

    /// Whether whoever hard-depends on it may start (core-device §4.7).
    pub(super) fn is_ready(&self) -> bool {
        match self.state {
            ComponentState::Running | ComponentState::Finished => true,
            ComponentState::Stopping => {
                // The stop that follows an error in startup is no orderly one.
                self.failure.is_none() || self.errored_from != ComponentState::Starting
            }
            _ => false,
        }
    }

    /// Whether it may be left as it is when the core ends.
    pub(super) fn is_at_rest(&self) -> bool {
        self.phase == Phase::Idle
            && matches!(
                self.state,
                ComponentState::New | ComponentState::Finished | ComponentState::Broken
            )
    }

    pub(super) fn deadline(&self) -> Option<Ms> {
        match self.phase {
            Phase::Script { deadline, .. } | Phase::Main { deadline, .. } => deadline,
            Phase::Delay { until } => Some(until),
            Phase::Idle | Phase::Clearing { .. } => None,
        }
    }

    pub(super) fn run_deadline(&self, now: Ms) -> Option<Ms> {
        let timeout = self.plan.lifecycle.step(StepKind::Run)?.timeout?;
        Some(now.saturating_add(milliseconds(timeout)))
    }

    /// The plan whose script is run: the old one's shutdown, the newest of everything else.
    pub(super) fn plan_for(&mut self, step: StepKind) -> Arc<Plan> {
        if step == StepKind::Shutdown {
            return self.started_with.clone().unwrap_or(self.plan.clone());
        }
        if step == StepKind::Startup {
            self.started_with = Some(self.plan.clone());
        }
        self.plan.clone()
    }

    /// Enters a state and returns the one before.
    pub(super) fn enter(&mut self, state: ComponentState, phase: Phase) -> ComponentState {
        let is_error = matches!(state, ComponentState::Errored | ComponentState::Broken);
        if !is_error && state != ComponentState::Stopping {
            self.errors.clear_on_leaving(self.state, state);
        }
        match state {
            ComponentState::Running | ComponentState::Finished => self.failure = None,
            ComponentState::New if self.state == ComponentState::Broken => {
                self.errors = Errors::default();
                self.failure = None;
            }
            _ => {}
        }
        self.phase = phase;
        std::mem::replace(&mut self.state, state)
    }

    /// What a run that was given up printed last belongs to the failure it was given up for.
    pub(super) fn add_output(&mut self, outcome: Outcome) {
        let Outcome::Exited { last_output, .. } = outcome else {
            return;
        };
        if let Phase::Clearing {
            then: Then::Fail(failure),
            ..
        } = &mut self.phase
            && failure.last_output.is_empty()
        {
            failure.last_output = last_output;
        }
    }

    pub(super) fn status(&self) -> ComponentStatus {
        let (code, reason) = self.told();
        let is_settled = self.wishes.is_empty()
            && matches!(self.phase, Phase::Idle | Phase::Main { .. })
            && matches!(
                self.state,
                ComponentState::Running | ComponentState::Finished | ComponentState::Broken
            );
        ComponentStatus {
            name: self.plan.spec.name.clone(),
            version: self.plan.spec.version.clone(),
            is_root: self.plan.spec.is_root,
            is_builtin: self.plan.spec.kind == ComponentKind::Builtin,
            state: self.state,
            status_code: code,
            status_reason: reason,
            failure: self.failure.clone(),
            is_settled,
        }
    }

    pub(super) fn event(&self, previous: ComponentState) -> StateChanged {
        let (code, reason) = self.told();
        let is_error = code != StatusCode::None;
        StateChanged {
            component: self.plan.spec.name.clone(),
            version: self.plan.spec.version.clone(),
            previous,
            state: self.state,
            status_code: code,
            status_reason: reason,
            exit_code: self
                .failure
                .as_ref()
                .filter(|_| is_error)
                .and_then(|failure| failure.exit_code),
            is_removed: false,
        }
    }

    fn told(&self) -> (StatusCode, String) {
        if self.is_in_cycle {
            let text = "it depends on itself through hard dependencies".to_owned();
            return (StatusCode::None, text);
        }
        let is_error = matches!(self.state, ComponentState::Errored | ComponentState::Broken);
        match &self.failure {
            Some(failure) if is_error => (failure.code, failure.reason.clone()),
            _ => (StatusCode::None, String::new()),
        }
    }
}

impl Errors {
    /// Success in a state forgives its errors: installed after NEW, up after STARTING. Errors of
    /// RUNNING stay over a restart, or three failing runs would never add up.
    fn clear_on_leaving(&mut self, from: ComponentState, to: ComponentState) {
        match (from, to) {
            (ComponentState::New, ComponentState::Installed)
            | (ComponentState::Starting, ComponentState::Running | ComponentState::Finished) => {
                self.clear(from);
            }
            _ => {}
        }
    }
}
