//! How one local deployment went; needs a policy of `aws.greengrass.Cli`.

use super::{Call, Handled, Handler, now};
use crate::access::Service;
use sward_ipc_model::{
    GetLocalDeploymentStatus, GetLocalDeploymentStatusRequest, GetLocalDeploymentStatusResponse,
    IpcError, Operation,
};

impl Handler for GetLocalDeploymentStatus {
    fn handle(call: &Call<'_>, request: GetLocalDeploymentStatusRequest) -> Handled {
        now::<GetLocalDeploymentStatus>(status(call, request.deployment_id))
    }
}

fn status(
    call: &Call<'_>,
    deployment_id: Option<String>,
) -> Result<GetLocalDeploymentStatusResponse, IpcError> {
    let id = parse_id(deployment_id)?;
    call.authorize(Service::Cli, GetLocalDeploymentStatus::NAME, &id)?;
    let deployment = call.shared.ports.deployments.status(&id);
    deployment
        .map(|deployment| GetLocalDeploymentStatusResponse { deployment })
        .ok_or_else(|| {
            IpcError::not_found("Cannot find deployment", Some("LocalDeployment"), Some(&id))
        })
}

/// A deployment id is a UUID; hexadecimal digits are read in either case.
pub(super) fn parse_id(id: Option<String>) -> Result<String, IpcError> {
    let id = id.unwrap_or_default();
    let is_uuid = id.len() == 36
        && id.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        });
    if is_uuid {
        Ok(id.to_ascii_lowercase())
    } else {
        Err(IpcError::invalid(
            "Invalid deploymentId format received. DeploymentId is a UUID",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_uuid_is_an_id() {
        let check = |id: &str, expected: bool| {
            assert_eq!(parse_id(Some(id.to_owned())).is_ok(), expected, "{id}");
        };
        check("0b7b5ee2-7d0a-4e0b-9d6c-0d0a2f0c7a11", true);
        check("0B7B5EE2-7D0A-4E0B-9D6C-0D0A2F0C7A11", true);
        check("0b7b5ee27d0a4e0b9d6c0d0a2f0c7a11", false);
        check("0b7b5ee2-7d0a-4e0b-9d6c-0d0a2f0c7a1g", false);
        check("not-a-uuid", false);
        assert!(parse_id(None).is_err());
    }
}
