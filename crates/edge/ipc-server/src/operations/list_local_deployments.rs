//! All local deployments that are remembered; needs a policy of `aws.greengrass.Cli`.

use super::{Call, Handled, Handler, now};
use crate::access::Service;
use sward_ipc_model::{Empty, ListLocalDeployments, ListLocalDeploymentsResponse, Operation};

impl Handler for ListLocalDeployments {
    fn handle(call: &Call<'_>, _request: Empty) -> Handled {
        now::<ListLocalDeployments>(call.authorize(Service::Cli, Self::NAME, "*").map(|()| {
            ListLocalDeploymentsResponse {
                local_deployments: Some(call.shared.ports.deployments.list()),
            }
        }))
    }
}
