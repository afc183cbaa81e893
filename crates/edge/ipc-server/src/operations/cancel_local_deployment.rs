//! Asks a local deployment to stop; only the CLI may, no policy can grant it.

use super::{Call, Handled, Handler, get_local_deployment_status::parse_id, later, refused};
use crate::access::Service;
use crate::ports::CancelOutcome;
use std::sync::Arc;
use sward_ipc_model::{
    CancelLocalDeployment, CancelLocalDeploymentRequest, CancelLocalDeploymentResponse, IpcError,
    Operation,
};

impl Handler for CancelLocalDeployment {
    fn handle(call: &Call<'_>, request: CancelLocalDeploymentRequest) -> Handled {
        let id = match parse_id(request.deployment_id) {
            Ok(id) => id,
            Err(error) => return refused(error),
        };
        if let Err(error) = call.authorize(Service::Cli, Self::NAME, &id) {
            return refused(error);
        }
        let deployments = Arc::clone(&call.shared.ports.deployments);
        later::<CancelLocalDeployment>(async move {
            let message = match deployments.cancel(&id).await? {
                CancelOutcome::Requested => {
                    format!("Cancel request submitted. Deployment ID: {id}")
                }
                CancelOutcome::AlreadyFinished => {
                    "Cancellation request is not processed because deployment is already finished"
                        .to_owned()
                }
                CancelOutcome::Unknown => {
                    return Err(IpcError::not_found(
                        format!("Cannot find the deployment id provided {id}"),
                        Some("LocalDeployment"),
                        Some(&id),
                    ));
                }
            };
            Ok(CancelLocalDeploymentResponse {
                message: Some(message),
            })
        })
    }
}
