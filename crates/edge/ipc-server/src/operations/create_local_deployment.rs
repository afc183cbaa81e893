//! Queues a local deployment; needs a policy of `aws.greengrass.Cli`.

use super::{Call, Handled, Handler, later, refused};
use crate::access::Service;
use std::sync::Arc;
use sward_ipc_model::{
    CreateLocalDeployment, CreateLocalDeploymentRequest, CreateLocalDeploymentResponse, IpcError,
    Operation,
};

impl Handler for CreateLocalDeployment {
    fn handle(call: &Call<'_>, request: CreateLocalDeploymentRequest) -> Handled {
        if let Err(error) = call.authorize(Service::Cli, Self::NAME, "*") {
            return refused(error);
        }
        if request
            .group_name
            .as_deref()
            .is_some_and(|name| name.contains(':'))
        {
            return refused(IpcError::invalid(
                "Thing group name cannot contain colon characters",
            ));
        }
        let deployments = Arc::clone(&call.shared.ports.deployments);
        later::<CreateLocalDeployment>(async move {
            Ok(CreateLocalDeploymentResponse {
                deployment_id: Some(deployments.create(request).await?),
            })
        })
    }
}
