//! Between the deployer and the cloud's listeners: deployments in, statuses out, each end kept by
//! the deployer's journal until the cloud has it.

use sward_deployment::DeploymentSource;
use sward_engine::deployer::{
    Deployer, DeploymentRequest, DeploymentStatusUpdate, RequestDocument,
};
use sward_task::Tasks;
use sward_uplink::deployments::{
    CloudDeployment, DeploymentSink, StatusStore, StatusStoreError, StatusUpdate,
};

/// Hands what the cloud asks for to the deployer.
pub(crate) struct Sink {
    pub(crate) deployer: Deployer,
    pub(crate) tasks: Tasks,
}

impl DeploymentSink for Sink {
    fn submit(&self, deployment: CloudDeployment) {
        let deployer = self.deployer.clone();
        self.tasks.spawn("submit-deployment", async move {
            let id = deployment.id;
            let request = DeploymentRequest {
                id: id.clone(),
                source: deployment.source,
                document: RequestDocument::Fleet(deployment.document.to_string()),
            };
            match deployer.submit(request).await {
                Ok(outcome) => tracing::info!(deployment_id = id, ?outcome, "the cloud asks for a deployment"),
                // The cloud keeps asking: the listener reads it again after the next connection.
                Err(error) => tracing::error!(deployment_id = id, error = %error, "a deployment cannot be taken"),
            }
        });
    }

    fn cancel(&self, source: DeploymentSource, id: &str) {
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
    let texts = |list: Vec<String>| (!list.is_empty()).then_some(list);
    StatusUpdate {
        deployment_id: update.deployment_id.unwrap_or_else(|| update.id.clone()),
        id: update.id,
        source: update.source,
        configuration_arn: update.configuration_arn,
        status: update.status,
        detailed: update.detailed,
        failure_cause: update.failure_cause,
        error_stack: texts(update.error_stack.iter().map(ToString::to_string).collect()),
        error_types: texts(update.error_types.iter().map(ToString::to_string).collect()),
    }
}
