//! What every stage of a deployment has at hand.

use super::builtin::Builtins;
use super::log::{DeploymentLog, Entry};
use super::message::{DeploymentStatusUpdate, Progress, Stage, Waiting};
use super::ports::{CloudResolver, GroupLister, SupervisorPort, UpdateGate};
use super::records::Records;
use crate::artifacts::Artifacts;
use crate::component_store::ComponentStore;
use crate::configuration::Configuration;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, MutexGuard};
use std::time::Duration;
use sward_deployment::tree::StampedTree;
use sward_journal::JournalError;
use sward_model::PlatformAttributes;
use tokio::sync::{Notify, broadcast, watch};

/// When a try for the network is repeated, and when components count as up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// The first wait for the network; each further one is twice as long.
    pub first: Duration,
    /// The longest wait for the network.
    pub longest: Duration,
    /// How long components must keep running before a deployment has succeeded, so that one that
    /// ends as soon as it starts does not look like a success.
    pub steady: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            steady: Duration::from_millis(400),
        }
    }
}

pub(super) struct Context {
    pub(super) configuration: Configuration,
    pub(super) store: ComponentStore,
    pub(super) artifacts: Artifacts,
    pub(super) supervisor: Arc<dyn SupervisorPort>,
    pub(super) cloud: Arc<dyn CloudResolver>,
    pub(super) groups: Arc<dyn GroupLister>,
    pub(super) gate: Arc<dyn UpdateGate>,
    pub(super) platform: PlatformAttributes,
    pub(super) builtins: Builtins,
    pub(super) retry: RetryPolicy,
    pub(super) records: Records,
    pub(super) progress: watch::Sender<Progress>,
    pub(super) updates: broadcast::Sender<DeploymentStatusUpdate>,
    /// The network may be back: whoever waits for it tries at once.
    pub(super) network: Notify,
    /// The components of the configuration were handed to the supervisor in this life.
    pub(super) is_launched: AtomicBool,
}

impl Context {
    pub(super) fn log(&self) -> MutexGuard<'_, DeploymentLog> {
        self.records.log()
    }

    /// Adds an entry to the log, durably.
    pub(super) async fn record(&self, entry: Entry) -> Result<(), JournalError> {
        self.records.add(entry).await
    }

    /// Tells a status to everybody who listens.
    pub(super) fn tell(&self, update: DeploymentStatusUpdate) {
        tracing::info!(
            deployment_id = update.id,
            status = update.status.as_str(),
            cause = update.failure_cause,
            "deployment status"
        );
        // Nobody listening is fine: ends are kept until they are acknowledged.
        drop(self.updates.send(update));
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.progress.send_modify(|progress| {
            if let Some(running) = &mut progress.running {
                running.stage = stage;
                running.waiting = None;
            }
        });
    }

    pub(super) fn set_waiting(&self, waiting: Option<Waiting>) {
        self.progress.send_if_modified(|progress| {
            let Some(running) = &mut progress.running else {
                return false;
            };
            let is_new = running.waiting != waiting;
            running.waiting = waiting;
            is_new
        });
    }

    /// `services` as it is now.
    pub(super) fn services(&self) -> StampedTree {
        let tree = self.configuration.snapshot();
        tree.get_map(&["services"]).cloned().unwrap_or_default()
    }

    /// Whether the supervisor has to be told of every component, not only of changed ones.
    pub(super) fn is_first_launch(&self) -> bool {
        !self.is_launched.load(Ordering::SeqCst)
    }

    /// The supervisor has taken every component.
    pub(super) fn note_launch(&self) {
        self.is_launched.store(true, Ordering::SeqCst);
    }

    pub(super) fn text(&self, path: &[&str]) -> String {
        self.configuration.get_text(path).unwrap_or_default()
    }
}

/// Runs blocking work; a panic in it goes on here, and a stop of the runtime is a panic too,
/// because nobody is left to hear of it.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => std::future::pending().await,
        },
    }
}
