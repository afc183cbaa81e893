//! One component; needs a policy of `aws.greengrass.Cli`.

use super::{Call, Handled, Handler, now};
use crate::access::Service;
use sward_ipc_model::{
    ComponentDetails, GetComponentDetails, GetComponentDetailsRequest, GetComponentDetailsResponse,
    IpcError, Operation,
};

impl Handler for GetComponentDetails {
    fn handle(call: &Call<'_>, request: GetComponentDetailsRequest) -> Handled {
        now::<GetComponentDetails>(
            find(call, Self::NAME, &request.component_name)
                .map(|component_details| GetComponentDetailsResponse { component_details }),
        )
    }
}

/// The component that an operation of the CLI names, if the caller may name it.
pub(super) fn find(
    call: &Call<'_>,
    operation: &str,
    component: &str,
) -> Result<ComponentDetails, IpcError> {
    if component.trim().is_empty() {
        return Err(IpcError::invalid("Component name cannot be empty"));
    }
    call.authorize(Service::Cli, operation, component)?;
    let details = call.shared.ports.components.details(component);
    details.ok_or_else(|| {
        IpcError::not_found(
            format!("Component with name {component} not found in Greengrass"),
            Some("Component"),
            Some(component),
        )
    })
}
