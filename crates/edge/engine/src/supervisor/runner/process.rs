//! One script from its start to its end.

use super::ledger::Ledger;
use super::output::{LastOutput, Lines};
use super::prepare::{Surroundings, prepare};
use super::user::Refusal;
use crate::configuration::now_ms;
use crate::logs::{Level, LogEntry, Logs};
use crate::supervisor::Statuses;
use crate::supervisor::lifecycle::StepKind;
use crate::supervisor::machine::Outcome;
use crate::supervisor::spec::Plan;
use crate::supervisor::status::Trouble;
use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use sward_task::Tasks;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdin};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How long the output of an ended script is waited for: what it left behind may hold its pipes.
const DRAIN: Duration = Duration::from_millis(250);

/// The start of a command is logged up to here.
const LOGGED_COMMAND: usize = 90;

/// What every run needs.
pub(crate) struct RunContext {
    pub(crate) surroundings: RwLock<Arc<Surroundings>>,
    pub(crate) ledger: Ledger,
    pub(crate) logs: Logs,
    pub(crate) states: watch::Receiver<Statuses>,
    pub(crate) tasks: Tasks,
}

/// One run of a step.
#[derive(Clone)]
pub(crate) struct RunRequest {
    pub(crate) run: u64,
    pub(crate) step: StepKind,
    pub(crate) plan: Arc<Plan>,
    /// Closed before the processes of the component are ended: nothing is spawned after that.
    pub(crate) gate: Arc<Gate>,
}

/// Keeps a run that is still being prepared from starting behind a clearing's back.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<bool>);

impl Gate {
    pub(crate) fn close(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }
}

/// A script that runs.
pub(crate) struct Running {
    child: Child,
    pid: u32,
    _stdin: Option<ChildStdin>,
    last_output: Arc<Mutex<LastOutput>>,
    pumps: [JoinHandle<()>; 2],
    log: ScriptLog,
    ledger: Ledger,
}

/// Prepares and starts a script; `None` if there is nothing to run.
pub(crate) async fn start(
    context: &RunContext,
    request: &RunRequest,
) -> Result<Option<Running>, Outcome> {
    let Some(command) = prepared(context, request).await.map_err(refused)? else {
        return Ok(None);
    };
    let component = &request.plan.spec.name;
    let log = ScriptLog::new(context, request);
    log.started(&command).await;
    let spawn = || {
        let mut child = tokio::process::Command::from(command).spawn()?;
        let pid = child.id().unwrap_or_default();
        let stdin = child.stdin.take();
        Ok((pid, (child, pid, stdin)))
    };
    let spawned = {
        let is_closed = request
            .gate
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if *is_closed {
            return Err(given_up());
        }
        context.ledger.spawn(component, spawn)
    };
    let (mut child, pid, stdin) =
        spawned.map_err(|error| refused(Refusal::new(Trouble::Io, error.to_string())))?;
    let last_output = Arc::default();
    let pumps = [
        context.tasks.spawn(
            "component-stdout",
            pump(
                child.stdout.take(),
                false,
                log.clone(),
                Arc::clone(&last_output),
            ),
        ),
        context.tasks.spawn(
            "component-stderr",
            pump(
                child.stderr.take(),
                true,
                log.clone(),
                Arc::clone(&last_output),
            ),
        ),
    ];
    Ok(Some(Running {
        child,
        pid,
        _stdin: stdin,
        last_output,
        pumps,
        log,
        ledger: context.ledger.clone(),
    }))
}

impl Running {
    /// Waits for the end of the script itself; what it left behind may live on.
    pub(crate) async fn wait(mut self, step: StepKind) -> Outcome {
        let status = self.child.wait().await;
        self.ledger.collected(self.pid);
        let [stdout, stderr] = &mut self.pumps;
        let both = async {
            // A pump that panicked has nothing more to say.
            drop(stdout.await);
            drop(stderr.await);
        };
        drop(tokio::time::timeout(DRAIN, both).await);
        let last_output = self
            .last_output
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .lines();
        match status {
            Ok(status) => {
                self.log.exited(step, status.code(), status.signal()).await;
                Outcome::Exited {
                    code: status.code(),
                    signal: status.signal(),
                    last_output,
                }
            }
            Err(error) => refused(Refusal::new(Trouble::Io, error.to_string())),
        }
    }
}

async fn prepared(
    context: &RunContext,
    request: &RunRequest,
) -> Result<Option<std::process::Command>, Refusal> {
    let surroundings = context
        .surroundings
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let plan = request.plan.clone();
    let step = request.step;
    let marker = context.ledger.marker(&plan.spec.name, request.run);
    let prepared = context
        .tasks
        .spawn_blocking("prepare-script", move || {
            prepare(&surroundings, &plan, step, &marker)
        })
        .await;
    prepared.unwrap_or_else(|error| Err(Refusal::new(Trouble::Io, error.to_string())))
}

fn refused(refusal: Refusal) -> Outcome {
    Outcome::Refused {
        trouble: refusal.trouble,
        reason: refusal.reason,
    }
}

/// The machine no longer waits for this run.
fn given_up() -> Outcome {
    Outcome::Exited {
        code: None,
        signal: None,
        last_output: Vec::new(),
    }
}

/// Copies a stream into the component's log until its last holder closes it.
async fn pump(
    stream: Option<impl AsyncRead + Unpin>,
    is_error: bool,
    log: ScriptLog,
    last_output: Arc<Mutex<LastOutput>>,
) {
    let Some(mut stream) = stream else {
        return;
    };
    let mut lines = Lines::default();
    let mut buffer = vec![0; 4096];
    loop {
        let count = stream.read(&mut buffer).await.unwrap_or(0);
        let mut found = lines.add(&buffer[..count]);
        if count == 0 {
            found.extend(lines.finish());
        }
        if !found.is_empty() {
            last_output
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .add(is_error, &found);
            log.printed(is_error, found).await;
        }
        if count == 0 {
            return;
        }
    }
}

/// The log of a component, as one of its scripts writes it.
#[derive(Clone)]
struct ScriptLog {
    logs: Logs,
    states: watch::Receiver<Statuses>,
    plan: Arc<Plan>,
    script_name: Arc<str>,
}

impl ScriptLog {
    fn new(context: &RunContext, request: &RunRequest) -> Self {
        let spec = &request.plan.spec;
        let step = request.plan.lifecycle.step(request.step);
        let script = step.map_or("lifecycle", |step| &*step.script_name);
        ScriptLog {
            logs: context.logs.clone(),
            states: context.states.clone(),
            plan: request.plan.clone(),
            script_name: format!("services.{}.{script}", spec.name).into(),
        }
    }

    async fn printed(&self, is_error: bool, lines: Vec<String>) {
        let (level, event) = if is_error {
            (Level::Warn, "stderr")
        } else {
            (Level::Info, "stdout")
        };
        let entries = lines
            .into_iter()
            .map(|line| self.entry(level, "Copier", event, line, Vec::new()))
            .collect();
        self.logs.write(self.plan.spec.name.as_str(), entries).await;
    }

    async fn started(&self, command: &std::process::Command) {
        let mut text: String = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|part| part.to_string_lossy())
            .collect::<Vec<_>>()
            .join(" ");
        if let Some((end, _)) = text.char_indices().nth(LOGGED_COMMAND) {
            text.truncate(end);
            text.push('…');
        }
        let command = ("command", format!("[{:?}]", text));
        let entry = self.entry(
            Level::Info,
            "supervisor",
            "shell-runner-start",
            String::new(),
            vec![command],
        );
        self.logs
            .write(self.plan.spec.name.as_str(), vec![entry])
            .await;
    }

    async fn exited(&self, step: StepKind, code: Option<i32>, signal: Option<i32>) {
        let mut name = step.as_str().to_owned();
        name[..1].make_ascii_uppercase();
        let code = code.or(signal.map(|signal| 128 + signal));
        let context = ("exitCode", code.unwrap_or(-1).to_string());
        let entry = self.entry(
            Level::Info,
            "supervisor",
            "",
            format!("{name} script exited"),
            vec![context],
        );
        self.logs
            .write(self.plan.spec.name.as_str(), vec![entry])
            .await;
    }

    fn entry(
        &self,
        level: Level,
        thread: &'static str,
        event: &'static str,
        message: String,
        first: Vec<(&'static str, String)>,
    ) -> LogEntry {
        let name = &self.plan.spec.name;
        let state = self.states.borrow().get(name).map(|status| status.state);
        let mut contexts = first;
        contexts.push(("scriptName", self.script_name.to_string()));
        contexts.push(("serviceName", name.to_string()));
        if let Some(state) = state {
            contexts.push(("currentState", state.to_string()));
        }
        LogEntry {
            at_ms: now_ms(),
            level,
            thread,
            event,
            message,
            contexts,
        }
    }
}
