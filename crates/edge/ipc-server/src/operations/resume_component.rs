//! Resumes the processes of another component; needs a policy of `aws.greengrass.ipc.lifecycle`.

use super::{Call, Handled, Handler, later, refused};
use crate::access::Service;
use std::sync::Arc;
use sward_ipc_model::{Empty, IpcError, Operation, ResumeComponent, ResumeComponentRequest};

impl Handler for ResumeComponent {
    fn handle(call: &Call<'_>, request: ResumeComponentRequest) -> Handled {
        let component = request.component_name;
        if component.is_empty() {
            return refused(IpcError::invalid("Component name cannot be empty"));
        }
        if let Err(error) = call.authorize(Service::Lifecycle, Self::NAME, &component) {
            return refused(error);
        }
        let components = Arc::clone(&call.shared.ports.components);
        later::<ResumeComponent>(async move {
            components.resume(&component).await?;
            Ok(Empty {})
        })
    }
}
