//! The one task that owns the queue and runs one deployment at a time.

use super::context::Context;
use super::log::{Entry, Open};
use super::message::{
    Canceled, DeploymentRequest, DeploymentStatusUpdate, RequestDocument, Running, Stage, Submitted,
};
use super::run::Commitment;
use std::sync::Arc;
use sward_deployment::{DeploymentFailure, DeploymentOutcome, DeploymentSource, DetailedStatus};
use sward_journal::JournalError;
use sward_task::Tasks;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub(super) enum Command {
    Submit {
        request: DeploymentRequest,
        reply: oneshot::Sender<Result<Submitted, JournalError>>,
    },
    Cancel {
        which: Which,
        reply: oneshot::Sender<Canceled>,
    },
    Acknowledge {
        id: String,
        reply: oneshot::Sender<Result<(), JournalError>>,
    },
}

/// Which deployment is to be canceled.
pub(super) enum Which {
    Id(String),
    /// The one that runs, if it came from there.
    RunningOf(DeploymentSource),
}

struct Current {
    request: DeploymentRequest,
    commitment: Arc<Commitment>,
    /// `None` when the core stops before it ends.
    handle: JoinHandle<Option<DeploymentStatusUpdate>>,
}

pub(super) struct Actor {
    context: Arc<Context>,
    tasks: Tasks,
    commands: mpsc::Receiver<Command>,
    current: Option<Current>,
}

fn answer<T>(reply: oneshot::Sender<T>, result: T) {
    if reply.send(result).is_err() {
        tracing::debug!("nobody waits for the answer any more");
    }
}

/// All that can wake the actor.
enum Event {
    Command(Option<Command>),
    Ended(Option<DeploymentStatusUpdate>),
    Stop,
}

impl Actor {
    pub(super) fn new(
        context: Arc<Context>,
        tasks: Tasks,
        commands: mpsc::Receiver<Command>,
    ) -> Self {
        Actor {
            context,
            tasks,
            commands,
            current: None,
        }
    }

    pub(super) async fn run(mut self) {
        let open = self.context.log().open.clone();
        match open {
            Some(open) => self.resume(open),
            None => self.context.launch().await,
        }
        loop {
            if self.current.is_none() {
                self.start_next();
            }
            self.show_queue();
            match self.next_event().await {
                Event::Command(Some(command)) => self.handle(command).await,
                Event::Ended(update) => self.ended(update).await,
                Event::Command(None) | Event::Stop => break,
            }
        }
    }

    async fn next_event(&mut self) -> Event {
        let token = self.tasks.token();
        let ended = async {
            match &mut self.current {
                Some(current) => (&mut current.handle).await.unwrap_or(None),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = token.cancelled() => Event::Stop,
            update = ended => Event::Ended(update),
            command = self.commands.recv() => Event::Command(command),
        }
    }

    fn resume(&mut self, open: Open) {
        let request = self.request_of(&open);
        let commitment = Arc::new(Commitment::default());
        // An intent is beyond the point of no return.
        commitment.try_commit();
        let (context, resumed) = (self.context.clone(), request.clone());
        self.begin(request, commitment, Stage::Activating, async move {
            let outcome = context.resume(&open).await;
            let (spec, plan) = (&open.intent.spec, &open.intent.plan);
            context
                .finish(&resumed, Some(spec), &outcome, Some(plan))
                .await
        });
    }

    /// The request of an open intent; it waits in the queue until its end.
    fn request_of(&self, open: &Open) -> DeploymentRequest {
        let log = self.context.log();
        let found = log.requests.iter().find(|one| one.id == open.intent.id);
        found.cloned().unwrap_or_else(|| DeploymentRequest {
            id: open.intent.id.clone(),
            source: open.intent.source.unwrap_or(DeploymentSource::Local),
            document: RequestDocument::Local(Box::default()),
        })
    }

    fn start_next(&mut self) {
        let Some(request) = self.context.log().requests.front().cloned() else {
            return;
        };
        let commitment = Arc::new(Commitment::default());
        let (context, run, watched) = (self.context.clone(), request.clone(), commitment.clone());
        self.begin(request, commitment, Stage::Preparing, async move {
            context.run(&run, &watched).await
        });
    }

    fn begin(
        &mut self,
        request: DeploymentRequest,
        commitment: Arc<Commitment>,
        stage: Stage,
        work: impl Future<Output = DeploymentStatusUpdate> + Send + 'static,
    ) {
        self.context.progress.send_modify(|progress| {
            progress.running = Some(Running {
                id: request.id.clone(),
                source: request.source,
                stage,
                waiting: None,
            });
        });
        let token = self.tasks.token();
        // Dropping the work half-way is what a loss of power does, and as harmless.
        let handle = self.tasks.spawn("deployment", async move {
            tokio::select! {
                update = work => Some(update),
                () = token.cancelled() => None,
            }
        });
        self.current = Some(Current {
            request,
            commitment,
            handle,
        });
    }

    async fn ended(&mut self, update: Option<DeploymentStatusUpdate>) {
        let Some(current) = self.current.take() else {
            return;
        };
        self.context
            .progress
            .send_modify(|progress| progress.running = None);
        if self.tasks.token().is_cancelled() {
            return;
        }
        let update = match update {
            Some(update) => update,
            None => self.end_after_panic(&current.request).await,
        };
        self.context.tell(update);
    }

    /// A fault of ours ended the task; the deployment must not hang in the queue for ever.
    async fn end_after_panic(&self, request: &DeploymentRequest) -> DeploymentStatusUpdate {
        let was_open = self.context.log().open.is_some();
        let detailed = if was_open {
            DetailedStatus::FailedUnableToRollback
        } else {
            DetailedStatus::FailedNoStateChange
        };
        let failure = DeploymentFailure::new("the deployment met a fault of the core", &[])
            .because("the log of the core says more");
        let outcome = DeploymentOutcome::failed(detailed, failure);
        self.context.finish(request, None, &outcome, None).await
    }

    async fn handle(&mut self, command: Command) {
        match command {
            Command::Submit { request, reply } => {
                let result = self.submit(request).await;
                answer(reply, result);
            }
            Command::Cancel { which, reply } => {
                let result = self.cancel(which).await;
                answer(reply, result);
            }
            Command::Acknowledge { id, reply } => {
                let result = self.context.record(Entry::Reported { id }).await;
                answer(reply, result);
            }
        }
    }

    async fn submit(&mut self, request: DeploymentRequest) -> Result<Submitted, JournalError> {
        let is_running = |id: &str| {
            let current = self.current.as_ref();
            current.is_some_and(|current| current.request.id == id)
        };
        let (is_queued, finished, replaces) = {
            let log = self.context.log();
            let is_queued = log.requests.iter().any(|one| one.id == request.id);
            let finished = log.unreported.iter().find(|one| one.id == request.id);
            let replaces = request.source == DeploymentSource::Shadow
                && log
                    .requests
                    .iter()
                    .any(|one| one.source == DeploymentSource::Shadow && !is_running(&one.id));
            (is_queued, finished.cloned(), replaces)
        };
        if is_queued || is_running(&request.id) {
            return Ok(Submitted::Duplicate);
        }
        if let Some(update) = finished {
            self.context.tell(update);
            return Ok(Submitted::Finished);
        }
        if request.source == DeploymentSource::Shadow
            && let Some(current) = &self.current
            && current.request.source == DeploymentSource::Shadow
        {
            current.commitment.try_cancel();
        }
        let (id, source) = (request.id.clone(), request.source);
        if let Err(error) = self.context.record(Entry::Queued { request }).await {
            // The cloud keeps its own note and hears of the end; whoever asked here is told that
            // it was not taken, and then it must not run.
            if source == DeploymentSource::Local {
                self.context.log().forget(&id);
            }
            return Err(error);
        }
        Ok(if replaces {
            Submitted::Replaced
        } else {
            Submitted::Queued
        })
    }

    async fn cancel(&mut self, which: Which) -> Canceled {
        if let Some(current) = &self.current {
            let is_meant = match &which {
                Which::Id(id) => current.request.id == *id,
                Which::RunningOf(source) => current.request.source == *source,
            };
            if is_meant {
                return match current.commitment.try_cancel() {
                    true => Canceled::Accepted,
                    false => Canceled::TooLate,
                };
            }
        }
        let Which::Id(id) = which else {
            return Canceled::Unknown;
        };
        let waiting = {
            let log = self.context.log();
            log.requests.iter().find(|one| one.id == id).cloned()
        };
        let Some(request) = waiting else {
            return Canceled::Unknown;
        };
        let outcome = DeploymentOutcome::canceled();
        let update = self.context.finish(&request, None, &outcome, None).await;
        self.context.tell(update);
        Canceled::Accepted
    }

    fn show_queue(&self) {
        let running = self.current.as_ref().map(|current| &current.request.id);
        let queued: Vec<String> = self
            .context
            .log()
            .requests
            .iter()
            .map(|request| request.id.clone())
            .filter(|id| Some(id) != running)
            .collect();
        self.context.progress.send_if_modified(|progress| {
            let is_new = progress.queued != queued;
            progress.queued = queued;
            is_new
        });
    }
}
