//! The life of all components as a value: what happens goes in, what to do comes out.
//!
//! [`Machine`] knows no process, file or clock. The shell around it runs [`Effect`]s and says what
//! became of them; `now` is an argument. The transitions of a component stand in one function,
//! [`transition::next`], row by row as core-device §4.3 lists them; this file does what a row
//! says, keeps the wishes (§4.2), counts errors (§4.5) and looks after dependencies (§4.7).

mod component;
mod transition;

#[cfg(test)]
mod tests;

use super::lifecycle::StepKind;
use super::spec::{Applied, Changes, ComponentKind, Consequence, Plan, consequence};
use super::status::{ComponentStatus, Failure, StateChanged, StatusCode, Trouble};
use component::{Component, Phase, Then, Wish};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use sward_model::{ComponentName, ComponentState};
use transition::{Event, Next, World};

/// Milliseconds on a clock that only goes forward.
pub(crate) type Ms = u64;

/// One run of a step, or one clearing; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct RunId(pub(crate) u64);

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing was run: there is no script, or it is to be skipped.
    Nothing,
    Exited {
        code: Option<i32>,
        signal: Option<i32>,
        last_output: Vec<String>,
    },
    /// It could not be started.
    Refused { trouble: Trouble, reason: String },
}

/// What the shell shall do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Effect {
    /// Run a step; answer with `spawned` (of `startup` and `run`) and `ended`.
    Run {
        run: RunId,
        step: StepKind,
        plan: Arc<Plan>,
    },
    /// End every process of the component; answer with `cleared`.
    Clear { component: ComponentName, id: RunId },
    /// Tell the world.
    Changed(StateChanged),
}

/// Knobs of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// Pause after the first, second … error before the next attempt; the last one repeats.
    pub delays_ms: Vec<u64>,
    /// An error this long after the one before counts as the first (`errorResetTime`).
    pub error_reset_ms: u64,
}

impl Default for RetrySettings {
    fn default() -> Self {
        RetrySettings {
            delays_ms: vec![200, 1000],
            error_reset_ms: 3_600_000,
        }
    }
}

/// So many errors of one state, each within the reset time of the one before, make BROKEN.
const MOST_ERRORS: usize = 3;

/// All components.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    components: BTreeMap<ComponentName, Component>,
    retry: RetrySettings,
    last_id: u64,
    is_closing: bool,
    effects: Vec<Effect>,
    /// Components that may have something to do.
    to_look_at: VecDeque<ComponentName>,
}

impl Machine {
    pub(crate) fn new(retry: RetrySettings) -> Self {
        Machine {
            components: BTreeMap::new(),
            retry,
            last_id: 0,
            is_closing: false,
            effects: Vec::new(),
            to_look_at: VecDeque::new(),
        }
    }

    /// Takes new, changed and removed components.
    pub(crate) fn apply(&mut self, changes: Changes, now: Ms) -> (Applied, Vec<Effect>) {
        let mut applied = Applied::default();
        for name in changes.remove {
            if let Some(component) = self.components.get_mut(&name) {
                component.wish_uninstall();
                self.to_look_at.push_back(name.clone());
                applied.removed.push(name);
            }
        }
        for spec in changes.set {
            let name = spec.name.clone();
            self.set(Arc::new(Plan::new(spec)), &mut applied);
            self.to_look_at.push_back(name);
        }
        applied.in_cycle = self.hold_cycles();
        self.look_at_all();
        (applied, self.settle(now))
    }

    fn set(&mut self, plan: Arc<Plan>, applied: &mut Applied) {
        let name = plan.spec.name.clone();
        let Some(component) = self.components.get_mut(&name) else {
            let mut component = Component::new(plan);
            component.wish_start();
            self.components.insert(name.clone(), component);
            applied.started.push(name);
            return;
        };
        let asked = consequence(&component.plan.spec, &plan.spec);
        component.plan = plan;
        let must_reinstall = component.state == ComponentState::Broken
            || component.wishes.contains(&Wish::Uninstalled);
        match asked {
            _ if must_reinstall => {
                component.wish_reinstall();
                applied.reinstalled.push(name);
            }
            Consequence::Reinstall => {
                component.wish_reinstall();
                applied.reinstalled.push(name);
            }
            Consequence::Restart => {
                component.wish_restart();
                applied.restarted.push(name);
            }
            Consequence::Nothing => applied.unchanged.push(name),
        }
    }

    /// Asks for a restart; `false` if that cannot be now.
    pub(crate) fn restart(&mut self, name: &ComponentName, now: Ms) -> (bool, Vec<Effect>) {
        let is_closing = self.is_closing;
        let is_taken = self
            .components
            .get_mut(name)
            .is_some_and(|component| !is_closing && component.wish_restart());
        self.to_look_at.push_back(name.clone());
        (is_taken, self.settle(now))
    }

    /// Asks for a stop; `false` if there is no such component.
    pub(crate) fn stop(&mut self, name: &ComponentName, now: Ms) -> (bool, Vec<Effect>) {
        let found = self.components.get_mut(name).map(Component::wish_stop);
        self.to_look_at.push_back(name.clone());
        (found.is_some(), self.settle(now))
    }

    /// Stops everything, dependers first. Nothing starts any more.
    pub(crate) fn close(&mut self, now: Ms) -> Vec<Effect> {
        self.is_closing = true;
        for (name, component) in &mut self.components {
            component.wish_stop();
            self.to_look_at.push_back(name.clone());
        }
        self.settle(now)
    }

    /// Whether [`Machine::close`] has come to its end.
    pub(crate) fn is_closed(&self) -> bool {
        self.is_closing && self.components.values().all(Component::is_at_rest)
    }

    /// What a component says of itself; `false` if its state does not allow that (§4.4).
    pub(crate) fn report(
        &mut self,
        name: &ComponentName,
        state: ComponentState,
        now: Ms,
    ) -> (bool, Vec<Effect>) {
        let is_taken = self.handle(name, &Event::Reported(state), now);
        (is_taken, self.settle(now))
    }

    /// A step's process runs.
    pub(crate) fn spawned(&mut self, name: &ComponentName, run: RunId, now: Ms) -> Vec<Effect> {
        if self.is_current(name, run) {
            self.handle(name, &Event::Spawned, now);
        }
        self.settle(now)
    }

    /// A step ended. Of a run that was given up only the last output is of interest.
    pub(crate) fn ended(
        &mut self,
        name: &ComponentName,
        run: RunId,
        outcome: Outcome,
        now: Ms,
    ) -> Vec<Effect> {
        if self.is_current(name, run) {
            self.handle(name, &Event::Ended(outcome), now);
        } else if let Some(component) = self.components.get_mut(name) {
            component.add_output(outcome);
        }
        self.settle(now)
    }

    /// All processes of a component are gone.
    pub(crate) fn cleared(&mut self, name: &ComponentName, id: RunId, now: Ms) -> Vec<Effect> {
        if self.is_current(name, id) {
            self.handle(name, &Event::Cleared, now);
        }
        self.settle(now)
    }

    /// Time has passed.
    pub(crate) fn tick(&mut self, now: Ms) -> Vec<Effect> {
        let due: Vec<ComponentName> = self
            .components
            .iter()
            .filter(|(_, component)| component.deadline().is_some_and(|deadline| deadline <= now))
            .map(|(name, _)| name.clone())
            .collect();
        for name in due {
            self.handle(&name, &Event::Deadline, now);
        }
        self.settle(now)
    }

    /// When [`Machine::tick`] has something to do next.
    pub(crate) fn next_timeout(&self) -> Option<Ms> {
        self.components
            .values()
            .filter_map(Component::deadline)
            .min()
    }

    /// All components now.
    pub(crate) fn statuses(&self) -> BTreeMap<ComponentName, ComponentStatus> {
        self.components
            .iter()
            .map(|(name, component)| {
                let mut status = component.status();
                if let Some(reason) = self.what_it_waits_for(component) {
                    status.status_reason = reason;
                }
                (name.clone(), status)
            })
            .collect()
    }

    /// Why an installed component does not start, although it is wanted.
    fn what_it_waits_for(&self, component: &Component) -> Option<String> {
        let is_wanted = component.wishes.front() == Some(&Wish::Running);
        if component.state != ComponentState::Installed || !is_wanted || component.is_in_cycle {
            return None;
        }
        let dependencies = component.plan.spec.hard_dependencies();
        let missing: Vec<String> = dependencies
            .filter_map(|name| self.components.get(name))
            .filter(|dependency| !dependency.is_ready())
            .map(|dependency| format!("{} ({})", dependency.plan.spec.name, dependency.state))
            .collect();
        (!missing.is_empty()).then(|| format!("it waits for {}", missing.join(", ")))
    }

    fn is_current(&self, name: &ComponentName, id: RunId) -> bool {
        let component = self.components.get(name);
        component.is_some_and(|component| component.phase.id() == Some(id))
    }

    /// Looks at whoever may have something to do, until nobody has.
    fn settle(&mut self, now: Ms) -> Vec<Effect> {
        while let Some(name) = self.to_look_at.pop_front() {
            while self.handle(&name, &Event::Look, now) {}
        }
        std::mem::take(&mut self.effects)
    }

    /// One step of one component; `false` if there was nothing to do.
    fn handle(&mut self, name: &ComponentName, event: &Event, now: Ms) -> bool {
        let world = self.world(name);
        let Some(component) = self.components.get_mut(name) else {
            return false;
        };
        component.drop_fulfilled_wishes();
        let next = transition::next(component, event, world);
        if next == Next::Stay {
            return false;
        }
        self.perform(name, next, now);
        self.to_look_at.push_back(name.clone());
        true
    }

    fn world(&self, name: &ComponentName) -> World {
        let Some(component) = self.components.get(name) else {
            return World::default();
        };
        let are_dependencies_ready = component.plan.spec.hard_dependencies().all(|dependency| {
            self.components
                .get(dependency)
                .is_none_or(Component::is_ready)
        });
        // Whoever is going away, too, goes before what it depends on.
        let may_stop = self.dependers(name).all(|depender| {
            let is_leaving = self.is_closing || depender.wishes.contains(&Wish::Uninstalled);
            !is_leaving || depender.is_at_rest()
        });
        World {
            are_dependencies_ready,
            may_stop,
            is_closing: self.is_closing,
        }
    }

    fn dependers<'a>(&'a self, name: &'a ComponentName) -> impl Iterator<Item = &'a Component> {
        self.components.values().filter(move |component| {
            component.plan.spec.name != *name
                && component
                    .plan
                    .spec
                    .hard_dependencies()
                    .any(|found| found == name)
        })
    }

    fn perform(&mut self, name: &ComponentName, next: Next, now: Ms) {
        match next {
            Next::Stay => {}
            Next::Start(step) => self.start(name, step, now),
            Next::Enter(state) => self.enter(name, state, Phase::Idle),
            Next::EnterAndStart(state, step) => {
                self.enter(name, state, Phase::Idle);
                self.start(name, step, now);
            }
            Next::Run => self.run_on(name, now),
            Next::MainEnded => self.with(name, |component| component.phase = Phase::Idle),
            Next::WishFinished => self.with(name, |component| {
                component.phase = Phase::Idle;
                component.errors.clear(component.state);
                component.wish_finish();
            }),
            Next::Finish => {
                self.with(name, Component::wish_stop);
                self.enter(name, ComponentState::Finished, Phase::Idle);
            }
            Next::Fail(failure) => self.fail(name, failure, now),
            Next::Clear(then) => self.clear(name, then, now),
            Next::Delay => self.with(name, |component| {
                component.phase = match component.retry_ms {
                    0 => Phase::Idle,
                    delay => Phase::Delay { until: now + delay },
                };
            }),
            Next::Remove => self.remove(name),
        }
    }

    fn with(&mut self, name: &ComponentName, change: impl FnOnce(&mut Component)) {
        if let Some(component) = self.components.get_mut(name) {
            change(component);
        }
    }

    fn new_id(&mut self) -> RunId {
        self.last_id += 1;
        RunId(self.last_id)
    }

    /// Starts a step, or says at once that there is nothing to start.
    fn start(&mut self, name: &ComponentName, step: StepKind, now: Ms) {
        let run = self.new_id();
        let Some(component) = self.components.get_mut(name) else {
            return;
        };
        let plan = component.plan_for(step);
        let timeout = plan.lifecycle.step(step).map(|step| step.timeout);
        // The time of a `run` begins when its process does.
        let deadline = timeout
            .flatten()
            .filter(|_| step != StepKind::Run)
            .map(|timeout| now.saturating_add(milliseconds(timeout)));
        component.phase = match step {
            StepKind::Startup | StepKind::Run => Phase::Main {
                step,
                run,
                deadline,
            },
            _ => Phase::Script {
                step,
                run,
                deadline,
            },
        };
        if timeout.is_some() && plan.spec.kind == ComponentKind::Generic {
            self.effects.push(Effect::Run { run, step, plan });
        } else {
            self.handle(name, &Event::Ended(Outcome::Nothing), now);
        }
    }

    /// The main process runs: RUNNING, with its time limit if it is a `run`.
    fn run_on(&mut self, name: &ComponentName, now: Ms) {
        let Some(component) = self.components.get_mut(name) else {
            return;
        };
        let phase = match component.phase.clone() {
            Phase::Main { step, run, .. } => Phase::Main {
                step,
                run,
                deadline: match step {
                    StepKind::Run => component.run_deadline(now),
                    _ => None,
                },
            },
            other => other,
        };
        self.enter(name, ComponentState::Running, phase);
    }

    fn fail(&mut self, name: &ComponentName, failure: Failure, now: Ms) {
        let default_reset = self.retry.error_reset_ms;
        let is_closing = self.is_closing;
        let Some(component) = self.components.get_mut(name) else {
            return;
        };
        let from = component.state;
        let reset = component.plan.lifecycle.error_reset;
        let reset_ms = reset.map_or(default_reset, milliseconds);
        let count = component.errors.add(from, now, reset_ms);
        component.failure = Some(failure);
        component.errored_from = from;
        component.retry_ms = match count {
            0 => 0,
            count => delay_after(&self.retry, count),
        };
        if count >= MOST_ERRORS {
            component.phase = Phase::Idle;
            self.enter(name, ComponentState::Broken, Phase::Idle);
            if from != ComponentState::New {
                self.start(name, StepKind::Shutdown, now);
            }
            return;
        }
        if component.wishes.is_empty() && !is_closing {
            component.wish_start();
        }
        let is_leaving = is_closing || component.is_unwanted();
        self.enter(name, ComponentState::Errored, Phase::Idle);
        if !is_leaving {
            self.start(name, StepKind::Recover, now);
        }
    }

    fn clear(&mut self, name: &ComponentName, then: Then, now: Ms) {
        let id = self.new_id();
        let Some(component) = self.components.get_mut(name) else {
            return;
        };
        component.phase = Phase::Clearing { id, then };
        if component.plan.spec.kind == ComponentKind::Builtin {
            self.handle(name, &Event::Cleared, now);
        } else {
            let component = name.clone();
            self.effects.push(Effect::Clear { component, id });
        }
    }

    fn remove(&mut self, name: &ComponentName) {
        if let Some(component) = self.components.remove(name) {
            let mut event = component.event(component.state);
            event.is_removed = true;
            self.effects.push(Effect::Changed(event));
        }
        self.hold_cycles();
        self.look_at_all();
    }

    /// Dependencies came, went, or changed their minds: a cycle may have opened, and whoever had to
    /// stop after another one may stop now.
    fn look_at_all(&mut self) {
        self.to_look_at.extend(self.components.keys().cloned());
    }

    /// Enters a state, and tells those whom it concerns.
    fn enter(&mut self, name: &ComponentName, state: ComponentState, phase: Phase) {
        let Some(component) = self.components.get_mut(name) else {
            return;
        };
        let previous = component.enter(state, phase);
        if previous == state {
            return;
        }
        let event = component.event(previous);
        let is_ready = component.is_ready();
        let dependencies: Vec<ComponentName> =
            component.plan.spec.hard_dependencies().cloned().collect();
        self.effects.push(Effect::Changed(event));
        self.to_look_at.extend(dependencies);
        let dependers: Vec<ComponentName> = self
            .dependers(name)
            .map(|depender| depender.plan.spec.name.clone())
            .collect();
        for depender in dependers {
            let is_closing = self.is_closing;
            self.with(&depender, |depender| {
                let is_up = matches!(
                    depender.state,
                    ComponentState::Starting | ComponentState::Running
                );
                if !is_ready && is_up && !is_closing {
                    depender.wish_restart();
                }
            });
            self.to_look_at.push_back(depender);
        }
    }

    /// Finds components that hard-depend on themselves through others: they wait until a change
    /// opens the cycle.
    fn hold_cycles(&mut self) -> Vec<ComponentName> {
        let mut rest: BTreeSet<ComponentName> = self.components.keys().cloned().collect();
        loop {
            let before = rest.len();
            let has_dependency = |name: &ComponentName| {
                let spec = &self.components[name].plan.spec;
                spec.hard_dependencies().any(|found| rest.contains(found))
            };
            let has_depender = |name: &ComponentName| {
                self.dependers(name)
                    .any(|found| rest.contains(&found.plan.spec.name))
            };
            let in_the_middle: BTreeSet<ComponentName> = rest
                .iter()
                .filter(|name| {
                    let to_itself = self.components[*name]
                        .plan
                        .spec
                        .hard_dependencies()
                        .any(|found| found == *name);
                    to_itself || (has_dependency(name) && has_depender(name))
                })
                .cloned()
                .collect();
            rest = in_the_middle;
            if rest.len() == before {
                break;
            }
        }
        for (name, component) in &mut self.components {
            component.is_in_cycle = rest.contains(name);
        }
        rest.into_iter().collect()
    }
}

fn delay_after(retry: &RetrySettings, count: usize) -> Ms {
    let delays = &retry.delays_ms;
    let delay = delays.get(count - 1).or(delays.last());
    delay.copied().unwrap_or(0)
}

fn milliseconds(duration: std::time::Duration) -> Ms {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// What a failure of a step is called.
fn failure_of(step: StepKind, outcome: &Outcome) -> Option<Failure> {
    let (trouble, reason, exit_code, killed_by, last_output) = match outcome {
        Outcome::Nothing | Outcome::Exited { code: Some(0), .. } => return None,
        Outcome::Exited {
            code,
            signal,
            last_output,
        } => {
            let how = match (code, signal) {
                (Some(code), _) => format!("exited with code {code}"),
                (None, Some(signal)) => format!("was ended by signal {signal}"),
                (None, None) => "ended in an unknown way".to_owned(),
            };
            let reason = format!("{step} script {how}");
            (Trouble::Exit, reason, *code, *signal, last_output.clone())
        }
        Outcome::Refused { trouble, reason } => {
            let reason = format!("{step} script cannot be started: {reason}");
            (*trouble, reason, None, None, Vec::new())
        }
    };
    Some(Failure {
        code: StatusCode::of_step(step, trouble),
        reason,
        exit_code,
        signal: killed_by,
        last_output,
    })
}

fn timeout_of(step: StepKind, after: Option<std::time::Duration>) -> Failure {
    let seconds = after.map_or(0, |after| after.as_secs());
    Failure {
        code: StatusCode::of_step(step, Trouble::Timeout),
        reason: format!("{step} script timed out after {seconds} seconds"),
        exit_code: None,
        signal: None,
        last_output: Vec::new(),
    }
}
