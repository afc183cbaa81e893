//! Stops one component; needs a policy of `aws.greengrass.Cli`.

use super::{Call, Handled, Handler, get_component_details, later, refused};
use std::sync::Arc;
use sward_ipc_model::{
    Operation, RequestStatus, StopComponent, StopComponentRequest, StopComponentResponse,
};

impl Handler for StopComponent {
    fn handle(call: &Call<'_>, request: StopComponentRequest) -> Handled {
        let component = request.component_name;
        if let Err(error) = get_component_details::find(call, Self::NAME, &component) {
            return refused(error);
        }
        let components = Arc::clone(&call.shared.ports.components);
        later::<StopComponent>(async move {
            let is_accepted = components.stop(&component).await?;
            Ok(StopComponentResponse {
                stop_status: if is_accepted {
                    RequestStatus::Succeeded
                } else {
                    RequestStatus::Failed
                },
                message: None,
            })
        })
    }
}
