//! Restarts one component; needs a policy of `aws.greengrass.Cli`.

use super::{Call, Handled, Handler, get_component_details, later, refused};
use std::sync::Arc;
use sward_ipc_model::{
    Operation, RequestStatus, RestartComponent, RestartComponentRequest, RestartComponentResponse,
};

impl Handler for RestartComponent {
    fn handle(call: &Call<'_>, request: RestartComponentRequest) -> Handled {
        let component = request.component_name;
        if let Err(error) = get_component_details::find(call, Self::NAME, &component) {
            return refused(error);
        }
        let components = Arc::clone(&call.shared.ports.components);
        later::<RestartComponent>(async move {
            let is_accepted = components.restart(&component).await?;
            Ok(RestartComponentResponse {
                restart_status: if is_accepted {
                    RequestStatus::Succeeded
                } else {
                    RequestStatus::Failed
                },
                message: None,
            })
        })
    }
}
