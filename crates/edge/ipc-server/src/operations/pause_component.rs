//! Pauses the processes of another component; needs a policy of `aws.greengrass.ipc.lifecycle`.

use super::{Call, Handled, Handler, later, refused};
use crate::access::Service;
use std::sync::Arc;
use sward_ipc_model::{Empty, IpcError, Operation, PauseComponent, PauseComponentRequest};

impl Handler for PauseComponent {
    fn handle(call: &Call<'_>, request: PauseComponentRequest) -> Handled {
        let component = request.component_name;
        if component.is_empty() {
            return refused(IpcError::invalid("Component name cannot be empty"));
        }
        if let Err(error) = call.authorize(Service::Lifecycle, Self::NAME, &component) {
            return refused(error);
        }
        let components = Arc::clone(&call.shared.ports.components);
        later::<PauseComponent>(async move {
            components.pause(&component).await?;
            Ok(Empty {})
        })
    }
}
