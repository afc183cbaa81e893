//! The handle of the supervisor.

use super::actor::Actor;
use super::machine::RetrySettings;
use super::message::Message;
use super::runner::ledger::Ledger;
use super::runner::{RunContext, Surroundings};
use super::spec::{Applied, Changes, ComponentSpec};
use super::status::{ComponentStatus, Settled, StateChanged, StepResult};
use super::{Statuses, StepKind, SupervisorError};
use crate::logs::Logs;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};
use std::time::Duration;
use sward_journal::Storage;
use sward_model::{ComponentName, ComponentState};
use sward_task::Tasks;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

/// Commands waiting for the supervisor's task; senders wait beyond that.
const QUEUE: usize = 256;

/// State changes that a slow listener may be behind; after that it is told that it missed some.
const EVENTS: usize = 1024;

/// Who runs scripts where nothing else is said (`runWithDefault` of the nucleus).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RunWithDefaults {
    /// `user[:group]`.
    pub posix_user: Option<String>,
    /// Found on the PATH, or absolute.
    pub posix_shell: String,
}

impl Default for RunWithDefaults {
    fn default() -> Self {
        RunWithDefaults {
            posix_user: None,
            posix_shell: "sh".to_owned(),
        }
    }
}

/// How a supervisor works.
#[derive(Clone, Debug)]
pub struct SupervisorOptions {
    /// The core's root folder, absolute.
    pub root: PathBuf,
    /// A private folder for the list of started processes.
    pub state_directory: PathBuf,
    /// `setenv` of the root: variables of all components.
    pub environment: BTreeMap<String, String>,
    pub run_with: RunWithDefaults,
    pub retry: RetrySettings,
    /// How long processes have to end after they were asked to.
    pub stop_grace: Duration,
    /// Adopt the orphans of components (and collect them), so that none gets lost. One
    /// supervisor in a process.
    pub is_subreaper: bool,
}

impl SupervisorOptions {
    /// The defaults for a root folder.
    #[must_use]
    pub fn new(root: PathBuf, state_directory: PathBuf) -> Self {
        SupervisorOptions {
            root,
            state_directory,
            environment: BTreeMap::new(),
            run_with: RunWithDefaults::default(),
            retry: RetrySettings::default(),
            stop_grace: Duration::from_secs(5),
            is_subreaper: false,
        }
    }

    fn surroundings(&self) -> Surroundings {
        Surroundings {
            root: self.root.clone(),
            environment: self.environment.clone(),
            default_user: self.run_with.posix_user.clone(),
            shell: self.run_with.posix_shell.clone(),
        }
    }
}

/// The supervisor; clones are the same one.
#[derive(Clone)]
pub struct Supervisor {
    sender: mpsc::Sender<Message>,
    states: watch::Receiver<Statuses>,
    events: broadcast::Sender<StateChanged>,
    surroundings: Surroundings,
}

impl Supervisor {
    /// Starts the supervisor's task. Processes that an earlier core of this root left running are
    /// ended first; components given meanwhile wait for that.
    pub async fn start(
        options: SupervisorOptions,
        tasks: &Tasks,
        storage: &Storage,
        logs: Logs,
    ) -> Result<Supervisor, SupervisorError> {
        let tasks = tasks.child("supervisor");
        let (ledger, orphans) = Ledger::open(storage, &options.state_directory).await?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (states_sender, states) = watch::channel(Statuses::default());
        let (events, _) = broadcast::channel(EVENTS);
        let context = Arc::new(RunContext {
            surroundings: RwLock::new(Arc::new(options.surroundings())),
            ledger,
            logs,
            states: states.clone(),
            tasks: tasks.clone(),
        });
        let actor = Actor::new(
            &options,
            context,
            (sender.downgrade(), receiver),
            states_sender,
            events.clone(),
        )?;
        let surroundings = options.surroundings();
        tasks.spawn_essential("supervisor", actor.run(orphans, options.stop_grace));
        Ok(Supervisor {
            sender,
            states,
            events,
            surroundings,
        })
    }

    /// Starts, changes and removes components. Returns once that is under way; see
    /// [`Supervisor::settled`].
    pub async fn apply(&self, changes: Changes) -> Result<Applied, SupervisorError> {
        self.ask(|reply| Message::Apply(changes, reply)).await
    }

    /// Asks for a restart; `false` where that cannot be now (nothing is wanted of the component,
    /// it leaves, or the core stops). A BROKEN component stays as it is.
    pub async fn restart(&self, component: &ComponentName) -> Result<bool, SupervisorError> {
        self.ask(|reply| Message::Restart(component.clone(), reply))
            .await?
    }

    /// Asks for a stop; the component ends FINISHED.
    pub async fn stop(&self, component: &ComponentName) -> Result<(), SupervisorError> {
        self.ask(|reply| Message::Stop(component.clone(), reply))
            .await?
    }

    /// Holds the processes of a running component; `false` if it is not running.
    pub async fn pause(&self, component: &ComponentName) -> Result<bool, SupervisorError> {
        self.ask(|reply| Message::Hold(component.clone(), true, reply))
            .await?
    }

    /// Lets the processes of a paused component go on; `false` if it is not running.
    pub async fn resume(&self, component: &ComponentName) -> Result<bool, SupervisorError> {
        self.ask(|reply| Message::Hold(component.clone(), false, reply))
            .await?
    }

    /// What a component says of itself (IPC `UpdateState`); `false` if its state does not allow
    /// it, which the component is not told.
    pub async fn report_state(
        &self,
        component: &ComponentName,
        state: ComponentState,
    ) -> Result<bool, SupervisorError> {
        self.ask(|reply| Message::Report(component.clone(), state, reply))
            .await?
    }

    /// Runs one step outside of the component's life (`bootstrap`), within its timeout.
    pub async fn run_step(
        &self,
        spec: ComponentSpec,
        step: StepKind,
    ) -> Result<StepResult, SupervisorError> {
        self.ask(|reply| Message::RunStep(Box::new(spec), step, reply))
            .await
    }

    /// New defaults for scripts that start from now on.
    pub async fn set_defaults(
        &self,
        environment: BTreeMap<String, String>,
        run_with: RunWithDefaults,
    ) -> Result<(), SupervisorError> {
        let surroundings = Surroundings {
            root: self.surroundings.root.clone(),
            environment,
            default_user: run_with.posix_user,
            shell: run_with.posix_shell,
        };
        self.sender
            .send(Message::Surroundings(surroundings))
            .await
            .map_err(|_| SupervisorError::Stopped)
    }

    /// All components now.
    #[must_use]
    pub fn snapshot(&self) -> Statuses {
        self.states.borrow().clone()
    }

    /// One component now.
    #[must_use]
    pub fn status(&self, component: &ComponentName) -> Option<ComponentStatus> {
        self.states.borrow().get(component).cloned()
    }

    /// All components, whenever one changes.
    #[must_use]
    pub fn states(&self) -> watch::Receiver<Statuses> {
        self.states.clone()
    }

    /// Each change of a state from now on.
    #[must_use]
    pub fn events(&self) -> broadcast::Receiver<StateChanged> {
        self.events.subscribe()
    }

    /// Waits until each of these runs or has finished as wanted, one is BROKEN, or the deadline
    /// passed. Components that are not known are not waited for.
    pub async fn settled(&self, names: &[ComponentName], deadline: Duration) -> Settled {
        let mut states = self.states.clone();
        let all = async {
            loop {
                let settled = settled_now(&states.borrow_and_update(), names);
                if let Some(settled) = settled {
                    return settled;
                }
                if states.changed().await.is_err() {
                    return Settled::TimedOut(Vec::new());
                }
            }
        };
        match tokio::time::timeout(deadline, all).await {
            Ok(settled) => settled,
            Err(_) => {
                let now = self.snapshot();
                let late = names.iter().filter_map(|name| now.get(name));
                Settled::TimedOut(late.filter(|status| !status.is_settled).cloned().collect())
            }
        }
    }

    /// Waits until none of these is known any more; `false` if the deadline passed.
    pub async fn removed(&self, names: &[ComponentName], deadline: Duration) -> bool {
        let mut states = self.states.clone();
        let gone = states.wait_for(|states| !names.iter().any(|name| states.contains_key(name)));
        matches!(tokio::time::timeout(deadline, gone).await, Ok(Ok(_)))
    }

    /// Stops everything, dependers first; what is not gone by the deadline is killed. Nothing
    /// starts any more. Returns once no process is left.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), SupervisorError> {
        let (reply, done) = oneshot::channel();
        if self.sender.send(Message::Close(reply)).await.is_err() {
            return Ok(());
        }
        match tokio::time::timeout(deadline, done).await {
            Ok(_) => Ok(()),
            Err(_) => {
                // A second request is the impatient one.
                self.ask(Message::Close).await.or(Ok(()))
            }
        }
    }

    async fn ask<T>(
        &self,
        message: impl FnOnce(oneshot::Sender<T>) -> Message,
    ) -> Result<T, SupervisorError> {
        let (reply, answer) = oneshot::channel();
        self.sender
            .send(message(reply))
            .await
            .map_err(|_| SupervisorError::Stopped)?;
        answer.await.map_err(|_| SupervisorError::Stopped)
    }
}

fn settled_now(states: &Statuses, names: &[ComponentName]) -> Option<Settled> {
    let mut of_interest = names.iter().filter_map(|name| states.get(name));
    let broken = of_interest
        .clone()
        .find(|status| status.is_settled && status.state == ComponentState::Broken);
    if let Some(broken) = broken {
        return Some(Settled::Broken(Box::new(broken.clone())));
    }
    of_interest
        .all(|status| status.is_settled)
        .then_some(Settled::Fine)
}
