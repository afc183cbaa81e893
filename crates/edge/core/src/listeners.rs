//! Between the deployer and the cloud's listeners: deployments in, statuses out, each end kept by
//! the deployer's journal until the cloud has it.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use sward_deployment::DeploymentSource;
use sward_engine::deployer::{
    Deployer, DeployerError, DeploymentRequest, DeploymentStatusUpdate, RequestDocument,
};
use sward_task::Tasks;
use sward_uplink::deployments::{
    CloudDeployment, DeploymentSink, StatusStore, StatusStoreError, StatusUpdate,
};

/// How long until a deployment that could not be recorded is handed in again; doubled each time.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Hands what the cloud asks for to the deployer.
pub(crate) struct Sink {
    deployer: Deployer,
    tasks: Tasks,
    wanted: Wanted,
}

impl Sink {
    pub(crate) fn new(deployer: Deployer, tasks: Tasks) -> Self {
        Sink {
            deployer,
            tasks,
            wanted: Wanted::default(),
        }
    }
}

impl DeploymentSink for Sink {
    fn submit(&self, deployment: CloudDeployment) {
        let (deployer, wanted) = (self.deployer.clone(), self.wanted.clone());
        let stop = self.tasks.token();
        wanted.lock().insert(deployment.id.clone());
        self.tasks.spawn("submit-deployment", async move {
            let id = deployment.id;
            let request = DeploymentRequest {
                id: id.clone(),
                source: deployment.source,
                document: RequestDocument::Fleet(deployment.document.to_string()),
            };
            let submit = || {
                let (deployer, request) = (deployer.clone(), request.clone());
                async move { deployer.submit(request).await }
            };
            tokio::select! {
                () = wanted.hand_in(&id, submit) => {}
                () = stop.cancelled() => {}
            }
        });
    }

    fn cancel(&self, source: DeploymentSource, id: &str) {
        self.wanted.lock().remove(id);
        let deployer = self.deployer.clone();
        let id = id.to_owned();
        self.tasks.spawn("cancel-deployment", async move {
            match deployer.cancel(&id).await {
                Ok(outcome) => tracing::info!(deployment_id = id, %source, ?outcome, "the cloud cancels a deployment"),
                Err(error) => tracing::error!(deployment_id = id, error = %error, "a deployment cannot be canceled"),
            }
        });
    }
}

/// What the cloud asked for and the deployer has not recorded yet. The listener says it once; a
/// disk that is full for an hour must not make a deployment wait for the next restart.
#[derive(Clone, Default)]
struct Wanted(Arc<Mutex<BTreeSet<String>>>);

impl Wanted {
    fn lock(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands in until it is taken or no longer wanted.
    async fn hand_in<T: Debug, F: Future<Output = Result<T, DeployerError>>>(
        &self,
        id: &str,
        mut submit: impl FnMut() -> F,
    ) {
        let mut pause = FIRST_RETRY;
        while self.lock().contains(id) {
            match submit().await {
                Ok(outcome) => {
                    tracing::info!(
                        deployment_id = id,
                        ?outcome,
                        "the cloud asks for a deployment"
                    );
                    break;
                }
                Err(DeployerError::Stopped) => break,
                Err(error) => {
                    tracing::error!(deployment_id = id, error = %error, "a deployment cannot be taken; it is tried again");
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_RETRY);
        }
        self.lock().remove(id);
    }
}

/// The listeners' memory: the deployer keeps every end until it is acknowledged, so nothing is
/// stored twice.
pub(crate) struct Unreported {
    deployer: Deployer,
    tasks: Tasks,
}

impl Unreported {
    pub(crate) fn new(deployer: Deployer, tasks: Tasks) -> Self {
        Unreported { deployer, tasks }
    }
}

impl StatusStore for Unreported {
    fn load(&self, source: DeploymentSource) -> Vec<StatusUpdate> {
        self.deployer
            .unreported()
            .into_iter()
            .filter(|update| update.source == source)
            .map(status_update)
            .collect()
    }

    /// What is pending is what the deployer was not told to be delivered.
    fn save(
        &self,
        _source: DeploymentSource,
        _pending: &[StatusUpdate],
    ) -> Result<(), StatusStoreError> {
        Ok(())
    }

    fn delivered(&self, _source: DeploymentSource, id: &str) {
        let (deployer, id) = (self.deployer.clone(), id.to_owned());
        self.tasks.spawn("acknowledge-deployment", async move {
            if let Err(error) = deployer.acknowledge(&id).await {
                tracing::warn!(deployment_id = id, error = %error, "the end of a deployment will be told again");
            }
        });
    }
}

/// The deployer's word as the listeners take it.
pub(crate) fn status_update(update: DeploymentStatusUpdate) -> StatusUpdate {
    let (error_stack, error_types) = errors(&update);
    StatusUpdate {
        deployment_id: update.deployment_id.unwrap_or_else(|| update.id.clone()),
        id: update.id,
        source: update.source,
        configuration_arn: update.configuration_arn,
        status: update.status,
        detailed: update.detailed,
        failure_cause: update.failure_cause,
        error_stack,
        error_types,
    }
}

/// Stack and types, or neither: types may be none at all and are told all the same.
pub(crate) fn errors(
    update: &DeploymentStatusUpdate,
) -> (Option<Vec<String>>, Option<Vec<String>>) {
    if update.error_stack.is_empty() {
        return (None, None);
    }
    let stack = update.error_stack.iter().map(ToString::to_string);
    let types = update.error_types.iter().map(ToString::to_string);
    (Some(stack.collect()), Some(types.collect()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sward_journal::JournalError;

    fn full() -> DeployerError {
        DeployerError::Record {
            source: JournalError::Stopped,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_only_delays_a_deployment() {
        let wanted = Wanted::default();
        wanted.lock().insert("J".to_owned());
        let mut tries = 0;
        let submit = || {
            tries += 1;
            std::future::ready(if tries < 5 { Err(full()) } else { Ok(()) })
        };
        wanted.hand_in("J", submit).await;
        assert_eq!(tries, 5);
        assert!(wanted.lock().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_canceled_meanwhile_is_not_handed_in() {
        let wanted = Wanted::default();
        wanted.lock().insert("J".to_owned());
        let mut tries = 0;
        let cancel = wanted.clone();
        let submit = || {
            tries += 1;
            cancel.lock().remove("J");
            std::future::ready(Err::<(), _>(full()))
        };
        wanted.hand_in("J", submit).await;
        assert_eq!(tries, 1);
    }
}
