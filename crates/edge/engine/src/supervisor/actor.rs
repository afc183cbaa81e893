//! The supervisor's task: feeds the machine, and does what it says.

use super::handle::SupervisorOptions;
use super::lifecycle::StepKind;
use super::machine::{Effect, Machine, Ms, Outcome, RunId};
use super::message::Message;
use super::runner::ledger::{self, Ledger};
use super::runner::tree::{self, Target};
use super::runner::{Gate, RunContext, RunRequest, start};
use super::spec::{Changes, ComponentKind, Plan};
use super::status::{ComponentStatus, Failure, StateChanged, StatusCode, StepResult, Trouble};
use super::{Statuses, SupervisorError};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use sward_model::{ComponentName, ComponentState};
use sward_sys::{Signal, signal_process};
use sward_task::CancellationToken;
use tokio::signal::unix::{Signal as SignalStream, SignalKind, signal};
use tokio::sync::{broadcast, mpsc, oneshot, watch};
use tokio::time::Instant;

/// The longest sleep; a timer beyond it is looked at again then.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// How long the last words of ended scripts are waited for.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// A run that has not ended, and how to end it.
struct Active {
    component: ComponentName,
    gate: Arc<Gate>,
    /// Cancelled once its end was told.
    ended: CancellationToken,
}

pub(crate) struct Actor {
    machine: Machine,
    context: Arc<RunContext>,
    sender: mpsc::WeakSender<Message>,
    receiver: mpsc::Receiver<Message>,
    states: watch::Sender<Statuses>,
    events: broadcast::Sender<StateChanged>,
    active: HashMap<RunId, Active>,
    /// Ended children, where orphans are adopted.
    children: Option<SignalStream>,
    stop_grace: Duration,
    begun: Instant,
    closing: Vec<oneshot::Sender<()>>,
    /// Effects that wait for the end of the orphans.
    held_back: Option<Vec<Effect>>,
    last_step: u64,
}

impl Actor {
    pub(crate) fn new(
        options: &SupervisorOptions,
        context: Arc<RunContext>,
        (sender, receiver): (mpsc::WeakSender<Message>, mpsc::Receiver<Message>),
        states: watch::Sender<Statuses>,
        events: broadcast::Sender<StateChanged>,
    ) -> Result<Self, SupervisorError> {
        let children = if options.is_subreaper {
            if let Err(error) = sward_sys::become_subreaper() {
                tracing::warn!(%error, "orphans of components cannot be adopted");
            }
            Some(signal(SignalKind::child()).map_err(SupervisorError::Signal)?)
        } else {
            None
        };
        Ok(Actor {
            machine: Machine::new(options.retry.clone()),
            context,
            sender,
            receiver,
            states,
            events,
            active: HashMap::new(),
            children,
            stop_grace: options.stop_grace,
            begun: Instant::now(),
            closing: Vec::new(),
            held_back: Some(Vec::new()),
            last_step: 0,
        })
    }

    /// Runs until everything is stopped and closed, or the token is cancelled.
    pub(crate) async fn run(mut self, orphans: Target, grace: Duration) {
        self.end_orphans(orphans, grace);
        let token = self.context.tasks.token();
        loop {
            let timeout = self.sleep_until();
            tokio::select! {
                message = self.receiver.recv() => match message {
                    Some(message) => self.handle(message),
                    // All handles are gone: nobody can want anything any more.
                    None => break,
                },
                () = tokio::time::sleep_until(timeout) => {
                    let effects = self.machine.tick(self.now());
                    self.perform(effects);
                }
                () = child_ended(&mut self.children) => self.context.ledger.reap_strays(),
                () = token.cancelled() => break,
            }
            self.publish();
            if !self.closing.is_empty() && self.machine.is_closed() {
                break;
            }
        }
        self.end_everything().await;
        for reply in self.closing.drain(..) {
            if reply.send(()).is_err() {
                tracing::debug!("nobody waits for the end of the supervisor any more");
            }
        }
    }

    fn handle(&mut self, message: Message) {
        let now = self.now();
        match message {
            Message::Apply(changes, reply) => {
                let logged = logged(&changes);
                let (applied, effects) = self.machine.apply(changes, now);
                self.make_logs(logged);
                self.perform(effects);
                self.publish();
                drop(reply.send(applied));
            }
            Message::Restart(name, reply) => {
                let (is_taken, effects) = self.machine.restart(&name, now);
                self.perform(effects);
                self.publish();
                drop(reply.send(self.known(name).map(|_| is_taken)));
            }
            Message::Stop(name, reply) => {
                let known = self.known(name.clone()).map(drop);
                let (_, effects) = self.machine.stop(&name, now);
                self.perform(effects);
                self.publish();
                drop(reply.send(known));
            }
            Message::Hold(name, is_held, reply) => {
                let answer = self.known(name.clone()).map(|state| {
                    let is_running = state == ComponentState::Running;
                    if is_running {
                        self.hold(&name, is_held);
                    }
                    is_running
                });
                drop(reply.send(answer));
            }
            Message::Report(name, state, reply) => {
                let answer = self
                    .known(name.clone())
                    .map(|current| current == state || self.report(&name, state, now));
                drop(reply.send(answer));
            }
            Message::RunStep(spec, step, reply) => {
                self.run_step(Arc::new(Plan::new(*spec)), step, reply);
            }
            Message::Surroundings(surroundings) => {
                let mut current = self
                    .context
                    .surroundings
                    .write()
                    .unwrap_or_else(std::sync::PoisonError::into_inner);
                *current = Arc::new(surroundings);
            }
            Message::Close(reply) => {
                let is_impatient = !self.closing.is_empty();
                self.closing.push(reply);
                if is_impatient {
                    self.context.tasks.token().cancel();
                } else {
                    let effects = self.machine.close(now);
                    self.perform(effects);
                }
            }
            Message::Ready => {
                if let Some(effects) = self.held_back.take() {
                    self.perform(effects);
                }
            }
            Message::Spawned(name, run) => {
                let effects = self.machine.spawned(&name, run, now);
                self.perform(effects);
            }
            Message::Ended(name, run, outcome) => {
                if let Some(active) = self.active.remove(&run) {
                    active.ended.cancel();
                }
                let effects = self.machine.ended(&name, run, outcome, now);
                self.perform(effects);
            }
            Message::Cleared(name, id) => {
                let effects = self.machine.cleared(&name, id, now);
                self.perform(effects);
            }
        }
    }

    /// A component has a log from its first moment, for whoever wants to follow it.
    fn make_logs(&self, names: Vec<ComponentName>) {
        let logs = self.context.logs.clone();
        self.context.tasks.spawn("component-logs", async move {
            for name in names {
                logs.touch(name.as_str()).await;
            }
        });
    }

    fn known(&self, component: ComponentName) -> Result<ComponentState, SupervisorError> {
        let statuses = self.machine.statuses();
        match statuses.get(&component) {
            Some(status) => Ok(status.state),
            None => Err(SupervisorError::Unknown { component }),
        }
    }

    fn report(&mut self, name: &ComponentName, state: ComponentState, now: Ms) -> bool {
        let (is_taken, effects) = self.machine.report(name, state, now);
        self.perform(effects);
        self.publish();
        if !is_taken {
            tracing::warn!(component = %name, state = %state, "a reported state does not fit and is ignored");
        }
        is_taken
    }

    fn perform(&mut self, effects: Vec<Effect>) {
        if let Some(held_back) = &mut self.held_back {
            let (told, rest): (Vec<_>, Vec<_>) = effects
                .into_iter()
                .partition(|effect| matches!(effect, Effect::Changed(_)));
            held_back.extend(rest);
            for effect in told {
                self.perform_one(effect);
            }
            return;
        }
        for effect in effects {
            self.perform_one(effect);
        }
    }

    fn perform_one(&mut self, effect: Effect) {
        match effect {
            Effect::Run { run, step, plan } => self.run_script(run, step, plan),
            Effect::Clear { component, id } => self.clear(component, id),
            Effect::Changed(event) => {
                tell(&event);
                // Nobody may listen.
                drop(self.events.send(event));
            }
        }
    }

    fn run_script(&mut self, run: RunId, step: StepKind, plan: Arc<Plan>) {
        let Some(sender) = self.sender.upgrade() else {
            return;
        };
        let name = plan.spec.name.clone();
        let gate = Arc::new(Gate::default());
        let request = RunRequest {
            run: run.0,
            step,
            plan,
            gate: gate.clone(),
        };
        self.active.insert(
            run,
            Active {
                component: name.clone(),
                gate,
                ended: CancellationToken::new(),
            },
        );
        let context = self.context.clone();
        // Sending fails only once the supervisor has ended; then nobody needs to know.
        self.context.tasks.spawn("component-script", async move {
            let outcome = match start(&context, &request).await {
                Ok(Some(running)) => {
                    drop(sender.send(Message::Spawned(name.clone(), run)).await);
                    running.wait(step).await
                }
                Ok(None) => Outcome::Nothing,
                Err(outcome) => outcome,
            };
            drop(sender.send(Message::Ended(name, run, outcome)).await);
        });
    }

    /// Ends all processes of a component, then lets the machine go on.
    fn clear(&mut self, component: ComponentName, id: RunId) {
        let Some(sender) = self.sender.upgrade() else {
            return;
        };
        let mut last_words = Vec::new();
        for active in self.active.values() {
            if active.component == component {
                active.gate.close();
                last_words.push(active.ended.clone());
            }
        }
        let ledger = self.context.ledger.clone();
        let tasks = self.context.tasks.clone();
        let grace = self.stop_grace;
        self.context.tasks.spawn("component-clear", async move {
            let target = ledger.target(&component);
            let ended = tasks.spawn_blocking("end-processes", move || tree::end(&target, grace));
            let left = ended.await.unwrap_or_default();
            if left.is_empty() {
                ledger.cleared(&component);
            } else {
                tracing::error!(component = %component, processes = left.len(), "some processes cannot be ended");
            }
            tidy(&ledger).await;
            for ended in last_words {
                // The end of a script is told before that of its processes.
                drop(tokio::time::timeout(LAST_WORDS, ended.cancelled()).await);
            }
            drop(sender.send(Message::Cleared(component, id)).await);
        });
    }

    fn hold(&self, component: &ComponentName, is_held: bool) {
        let target = self.context.ledger.target(component);
        self.context
            .tasks
            .spawn_blocking("hold-processes", move || {
                let order = if is_held {
                    Signal::Stop
                } else {
                    Signal::Continue
                };
                for process in tree::members(&target) {
                    if let Err(error) = signal_process(process, order) {
                        tracing::warn!(%error, pid = process.pid, "a process cannot be held");
                    }
                }
            });
    }

    /// Runs a step on its own; its processes are ended with it.
    fn run_step(&mut self, plan: Arc<Plan>, step: StepKind, reply: oneshot::Sender<StepResult>) {
        self.last_step += 1;
        let request = RunRequest {
            // Apart from the machine's numbers.
            run: u64::MAX - self.last_step,
            step,
            plan,
            gate: Arc::default(),
        };
        let context = self.context.clone();
        let grace = self.stop_grace;
        self.context.tasks.spawn("component-step", async move {
            drop(reply.send(single_step(&context, request, grace).await));
        });
    }

    fn end_orphans(&mut self, orphans: Target, grace: Duration) {
        let Some(sender) = self.sender.upgrade() else {
            return;
        };
        let ledger = self.context.ledger.clone();
        let tasks = self.context.tasks.clone();
        self.context.tasks.spawn("end-orphans", async move {
            let work = move || ledger::end_orphans(&orphans, grace);
            if let Err(error) = tasks.spawn_blocking("end-orphans", work).await {
                tracing::error!(%error, "orphans cannot be looked for");
            }
            // Before the first process: a core that is killed now must be found out by the next.
            if let Err(error) = ledger.begin().await {
                tracing::warn!(%error, "the list of started processes cannot be kept");
            }
            drop(sender.send(Message::Ready).await);
        });
    }

    /// The last act: nothing is left behind, in order or not.
    async fn end_everything(&mut self) {
        for active in self.active.values() {
            active.gate.close();
        }
        let target = self.context.ledger.everything();
        let work = move || tree::kill(&target);
        let ended = self.context.tasks.spawn_blocking("end-everything", work);
        let left = ended.await.unwrap_or_default();
        if !left.is_empty() {
            tracing::error!(processes = left.len(), "some processes cannot be ended");
        }
        // Scripts still tell their end; the queue is emptied so that none waits for room.
        self.receiver.close();
        while self.receiver.recv().await.is_some() {}
        if self.children.is_some() {
            self.context.ledger.reap_strays();
        }
    }

    fn publish(&self) {
        let statuses = self.machine.statuses();
        self.states.send_if_modified(|current| {
            let is_other = **current != statuses;
            if is_other {
                tell_of_waits(current, &statuses);
                *current = Arc::new(statuses);
            }
            is_other
        });
    }

    fn now(&self) -> Ms {
        let elapsed = self.begun.elapsed().as_millis();
        Ms::try_from(elapsed).unwrap_or(Ms::MAX)
    }

    fn sleep_until(&self) -> Instant {
        let longest = Instant::now() + LONGEST_SLEEP;
        match self.machine.next_timeout() {
            // One more millisecond: the clock of the machine is cut to whole ones.
            Some(at) => longest.min(self.begun + Duration::from_millis(at.saturating_add(1))),
            None => longest,
        }
    }
}

/// The components whose output is logged.
fn logged(changes: &Changes) -> Vec<ComponentName> {
    changes
        .set
        .iter()
        .filter(|spec| spec.kind == ComponentKind::Generic)
        .map(|spec| spec.name.clone())
        .collect()
}

async fn child_ended(children: &mut Option<SignalStream>) {
    match children {
        Some(children) => {
            if children.recv().await.is_none() {
                std::future::pending::<()>().await;
            }
        }
        None => std::future::pending().await,
    }
}

async fn tidy(ledger: &Ledger) {
    if let Err(error) = ledger.tidy().await {
        tracing::warn!(%error, "the list of started processes cannot be kept");
    }
}

async fn single_step(context: &RunContext, request: RunRequest, grace: Duration) -> StepResult {
    let step = request.step;
    let timeout = request
        .plan
        .lifecycle
        .step(step)
        .and_then(|step| step.timeout)
        .unwrap_or(Duration::from_secs(120));
    let running = match start(context, &request).await {
        Ok(None) => return StepResult::Nothing,
        Ok(Some(running)) => running,
        Err(outcome) => return result_of(step, outcome),
    };
    let waiting = running.wait(step);
    tokio::pin!(waiting);
    let outcome = tokio::time::timeout(timeout, &mut waiting).await;
    let marker = context.ledger.marker(&request.plan.spec.name, request.run);
    let target = Target {
        marker,
        sessions: Vec::new(),
    };
    let ended = context
        .tasks
        .spawn_blocking("end-processes", move || tree::end(&target, grace));
    drop(ended.await);
    match outcome {
        Ok(outcome) => result_of(step, outcome),
        Err(_) => {
            let last_output = match waiting.await {
                Outcome::Exited { last_output, .. } => last_output,
                _ => Vec::new(),
            };
            StepResult::Failed(Failure {
                code: StatusCode::of_step(step, Trouble::Timeout),
                reason: format!(
                    "{step} script timed out after {} seconds",
                    timeout.as_secs()
                ),
                exit_code: None,
                signal: None,
                last_output,
            })
        }
    }
}

fn result_of(step: StepKind, outcome: Outcome) -> StepResult {
    match outcome {
        Outcome::Nothing => StepResult::Nothing,
        Outcome::Exited { code: Some(0), .. } => StepResult::Exited(0),
        Outcome::Exited {
            code,
            signal,
            last_output,
        } => StepResult::Failed(Failure {
            code: StatusCode::of_step(step, Trouble::Exit),
            reason: match (code, signal) {
                (Some(code), _) => format!("{step} script exited with code {code}"),
                (None, Some(signal)) => format!("{step} script was ended by signal {signal}"),
                (None, None) => format!("{step} script was given up"),
            },
            exit_code: code,
            signal,
            last_output,
        }),
        Outcome::Refused { trouble, reason } => StepResult::Failed(Failure {
            code: StatusCode::of_step(step, trouble),
            reason: format!("{step} script cannot be started: {reason}"),
            exit_code: None,
            signal: None,
            last_output: Vec::new(),
        }),
    }
}

/// A component that waits for one that is BROKEN waits until somebody mends that.
fn tell_of_waits(
    before: &BTreeMap<ComponentName, ComponentStatus>,
    now: &BTreeMap<ComponentName, ComponentStatus>,
) {
    for (name, status) in now {
        let component = name.as_str();
        let reason = &status.status_reason;
        let is_new = before
            .get(name)
            .is_none_or(|old| old.status_reason != *reason);
        if status.state != ComponentState::Installed || reason.is_empty() || !is_new {
            continue;
        }
        if reason.contains(ComponentState::Broken.as_str()) {
            tracing::warn!(component, %reason, "component does not start");
        } else {
            tracing::debug!(component, %reason, "component does not start yet");
        }
    }
}

/// A state change in the core's own log, as the nucleus words it.
fn tell(event: &StateChanged) {
    let component = event.component.as_str();
    if event.is_removed {
        tracing::info!(component, version = %event.version, "component removed");
        return;
    }
    let (from, to) = (event.previous.as_str(), event.state.as_str());
    match event.state {
        ComponentState::Errored | ComponentState::Broken => tracing::error!(
            component,
            version = %event.version,
            from,
            to,
            status_code = event.status_code.as_str(),
            reason = %event.status_reason,
            exit_code = event.exit_code,
            "service-errored"
        ),
        _ => tracing::info!(component, version = %event.version, from, to, "service-set-state"),
    }
}
