//! Deployments on the device: one at a time, from a document to an outcome.
//!
//! ```text
//! submit ─► queue ─► read ─► groups ─► resolve ─► artifacts ─► plan ─► ask ─►│ intent on disk
//!                                                                            ▼
//!              report ◄─ outcome on disk ◄─ (roll back ◄─ failed) ◄─ apply, settle, clean up
//! ```
//!
//! Left of the line a deployment changes nothing but the store and can be canceled at any moment;
//! what waits for the network waits for ever, visibly ([`Deployer::progress`]). Right of it the
//! deployment runs to its end, also over kill -9 and loss of power: at the next start the intent
//! on disk is carried out again from its beginning, or its rollback is, by the same code.
//!
//! The deployer also starts the components of the configuration when the core starts, because
//! what an interrupted deployment left must be known first.
//!
//! Invariants:
//! - A request is durable when [`Deployer::submit`] returns; each ends in exactly one terminal
//!   status, which is durable before it is told and kept until it is acknowledged.
//! - What the plan does not name is not touched.
//! - There is no polling: every wait is for an event or a deadline.
//!
//! Read first: [`Deployer`], [`ports`], [`DeploymentStatusUpdate`].

mod activate;
mod actor;
mod builtin;
mod context;
mod error;
mod failure;
mod log;
mod message;
pub mod ports;
mod records;
mod resolve;
mod run;
#[cfg(test)]
mod tests;
mod wait;

pub use builtin::{BuiltinComponent, Builtins};
pub use context::RetryPolicy;
pub use error::DeployerError;
pub use message::{
    Canceled, DeploymentRequest, DeploymentStatusUpdate, DeploymentSummary, Progress,
    RequestDocument, Running, Stage, Submitted, Waiting,
};

use crate::artifacts::{ArtifactLimits, Artifacts};
use crate::component_store::ComponentStore;
use crate::configuration::Configuration;
use actor::{Actor, Command, Which};
use context::Context;
use records::Records;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;
use sward_deployment::{DeploymentSource, DeploymentStatus};
use sward_journal::FileSystem;
use sward_model::PlatformAttributes;
use sward_task::{Tasks, Unfinished};
use tokio::sync::{Notify, broadcast, mpsc, oneshot, watch};

/// Commands that may wait for the actor.
const COMMANDS: usize = 64;
/// Status updates that a slow listener may lag behind before it loses some. Ends are not lost:
/// they stay in [`Deployer::unreported`].
const UPDATES: usize = 256;

/// What a deployer works with.
pub struct DeployerOptions {
    pub configuration: Configuration,
    pub store: ComponentStore,
    pub supervisor: Arc<dyn ports::SupervisorPort>,
    pub cloud: Arc<dyn ports::CloudResolver>,
    pub artifacts: Arc<dyn ports::ArtifactSource>,
    pub groups: Arc<dyn ports::GroupLister>,
    pub gate: Arc<dyn ports::UpdateGate>,
    /// What this device says of itself.
    pub platform: PlatformAttributes,
    pub builtins: Builtins,
    pub retry: RetryPolicy,
    pub limits: ArtifactLimits,
    /// Where the journal of deployments stands.
    pub directory: PathBuf,
    /// The file system of the journal.
    pub file_system: Arc<dyn FileSystem>,
    pub tasks: Tasks,
}

/// The deployer; clones are the same one.
#[derive(Clone)]
pub struct Deployer {
    context: Arc<Context>,
    commands: mpsc::Sender<Command>,
    tasks: Tasks,
}

impl Deployer {
    /// Opens the journal, goes on with what was interrupted, and starts the components.
    pub async fn start(options: DeployerOptions) -> Result<Deployer, DeployerError> {
        let records = Records::open(
            options.configuration.storage(),
            options.file_system,
            &options.directory,
        )
        .await
        .map_err(|source| DeployerError::Open { source })?;
        let context = Arc::new(Context {
            artifacts: Artifacts::new(options.store.clone(), options.artifacts, options.limits),
            configuration: options.configuration,
            store: options.store,
            supervisor: options.supervisor,
            cloud: options.cloud,
            groups: options.groups,
            gate: options.gate,
            platform: options.platform,
            builtins: options.builtins,
            retry: options.retry,
            records,
            progress: watch::Sender::new(Progress::default()),
            updates: broadcast::Sender::new(UPDATES),
            network: Notify::new(),
            is_launched: AtomicBool::new(false),
        });
        let (commands, receiver) = mpsc::channel(COMMANDS);
        let tasks = options.tasks.child("deployer");
        let actor = Actor::new(context.clone(), tasks.clone(), receiver);
        drop(tasks.spawn_essential("deployer", actor.run()));
        Ok(Deployer {
            context,
            commands,
            tasks,
        })
    }

    /// Stops the deployer: a deployment that runs is left where it is, and the next start goes on
    /// with it. Stop it before the supervisor, or a component that ends looks like one that fails.
    pub async fn stop(&self, deadline: Duration) -> Result<(), Unfinished> {
        self.tasks.shutdown(deadline).await
    }

    /// Hands in a deployment. It is on disk when this returns.
    pub async fn submit(&self, request: DeploymentRequest) -> Result<Submitted, DeployerError> {
        self.ask(|reply| Command::Submit { request, reply })
            .await?
            .map_err(|source| DeployerError::Record { source })
    }

    /// Cancels a deployment that waits, or that has not begun to change the device.
    pub async fn cancel(&self, id: &str) -> Result<Canceled, DeployerError> {
        let which = Which::Id(id.to_owned());
        self.ask(|reply| Command::Cancel { which, reply }).await
    }

    /// Cancels the running deployment, if this source asked for it.
    pub async fn cancel_running(
        &self,
        source: DeploymentSource,
    ) -> Result<Canceled, DeployerError> {
        let which = Which::RunningOf(source);
        self.ask(|reply| Command::Cancel { which, reply }).await
    }

    /// Every status from now on. One that lags asks [`unreported`](Deployer::unreported).
    #[must_use]
    pub fn updates(&self) -> broadcast::Receiver<DeploymentStatusUpdate> {
        self.context.updates.subscribe()
    }

    /// The ends of cloud deployments that were not acknowledged yet, oldest first: what to report
    /// after a start and after a reconnect.
    #[must_use]
    pub fn unreported(&self) -> Vec<DeploymentStatusUpdate> {
        self.context.log().unreported.clone()
    }

    /// Says that the end of a deployment has arrived where it must. It is not told again.
    pub async fn acknowledge(&self, id: &str) -> Result<(), DeployerError> {
        let id = id.to_owned();
        self.ask(|reply| Command::Acknowledge { id, reply })
            .await?
            .map_err(|source| DeployerError::Record { source })
    }

    /// What runs, in which stage, and what it waits for.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.context.progress.subscribe()
    }

    /// Says that the network may be back, so that whoever waits for it tries at once.
    pub fn network_changed(&self) {
        self.context.network.notify_waiters();
    }

    /// The deployments that wait, run, or have ended not long ago; oldest first.
    #[must_use]
    pub fn deployments(&self) -> Vec<DeploymentSummary> {
        let running = self.context.progress.borrow().running.clone();
        let log = self.context.log();
        let ended = log.remembered.iter().map(|update| DeploymentSummary {
            id: update.id.clone(),
            source: update.source,
            status: update.status,
            last: Some(update.clone()),
        });
        let others = log.requests.iter().map(|request| DeploymentSummary {
            id: request.id.clone(),
            source: request.source,
            status: match &running {
                Some(running) if running.id == request.id => DeploymentStatus::InProgress,
                _ => DeploymentStatus::Queued,
            },
            last: None,
        });
        ended.chain(others).collect()
    }

    async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, DeployerError> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_| DeployerError::Stopped)?;
        answer.await.map_err(|_| DeployerError::Stopped)
    }
}
