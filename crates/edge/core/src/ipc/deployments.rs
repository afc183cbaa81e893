//! Local deployments, as the CLI and components ask for them (core-device §6.3).

use serde_json::{Value, json};
use std::sync::Arc;
use sward_deployment::{DeploymentSource, DeploymentStatus, LocalRequest};
use sward_engine::deployer::{
    Canceled, Deployer, DeploymentRequest, DeploymentStatusUpdate, DeploymentSummary,
    RequestDocument,
};
use sward_ipc_model::{
    CreateLocalDeploymentRequest, DeploymentStatusDetails, IpcError, LocalDeployment,
};
use sward_ipc_server::{CancelOutcome, DeploymentsPort, PortFuture};

use crate::identifier::DeploymentUuid;

/// The port.
pub(crate) struct Deployments {
    deployer: Deployer,
}

impl Deployments {
    pub(crate) fn new(deployer: Deployer) -> Arc<Self> {
        Arc::new(Deployments { deployer })
    }

    fn local(&self) -> impl Iterator<Item = DeploymentSummary> {
        self.deployer
            .deployments()
            .into_iter()
            .filter(|summary| summary.source == DeploymentSource::Local)
    }
}

impl DeploymentsPort for Deployments {
    fn create(&self, request: CreateLocalDeploymentRequest) -> PortFuture<'_, String> {
        Box::pin(async move {
            let id = DeploymentUuid::new();
            let request = local_request(request, id)?;
            self.deployer
                .submit(DeploymentRequest {
                    id: id.to_string(),
                    source: DeploymentSource::Local,
                    document: RequestDocument::Local(Box::new(request)),
                })
                .await
                .map_err(|error| super::ipc_error(&error))?;
            Ok(id.to_string())
        })
    }

    fn status(&self, deployment_id: &str) -> Option<LocalDeployment> {
        self.local()
            .find(|summary| summary.id == deployment_id)
            .map(|summary| shown(&summary))
    }

    fn list(&self) -> Vec<LocalDeployment> {
        self.local().map(|summary| shown(&summary)).collect()
    }

    fn cancel<'a>(&'a self, deployment_id: &'a str) -> PortFuture<'a, CancelOutcome> {
        Box::pin(async move {
            let known = self.local().find(|summary| summary.id == deployment_id);
            let Some(known) = known else {
                return Ok(CancelOutcome::Unknown);
            };
            if known.status.is_terminal() {
                return Ok(CancelOutcome::AlreadyFinished);
            }
            match self
                .deployer
                .cancel(deployment_id)
                .await
                .map_err(|error| super::ipc_error(&error))?
            {
                Canceled::Accepted => Ok(CancelOutcome::Requested),
                Canceled::TooLate => Err(IpcError::service(
                    "the deployment is being applied and runs to its end",
                )),
                Canceled::Unknown => Ok(CancelOutcome::AlreadyFinished),
            }
        })
    }
}

/// The request as the deployer reads it. Both spell the same members; what differs is named here.
fn local_request(
    request: CreateLocalDeploymentRequest,
    id: DeploymentUuid,
) -> Result<LocalRequest, IpcError> {
    let policy = request.failure_handling_policy.map(|policy| json!(policy));
    let members = json!({
        "requestId": id.to_string(),
        "requestTimestamp": id.created_ms(),
        "componentsToMerge": request.root_component_versions_to_add,
        "componentsToRemove": request.root_components_to_remove,
        "groupName": request.group_name,
        "configurationUpdate": request.component_to_configuration,
        "componentToRunWithInfo": request.component_to_run_with_info,
        "recipeDirectoryPath": request.recipe_directory_path,
        "artifactsDirectoryPath": request.artifacts_directory_path,
        "failureHandlingPolicy": policy,
    });
    let Value::Object(members) = members else {
        return Err(IpcError::service("the request was not built"));
    };
    let present: serde_json::Map<String, Value> = members
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect();
    serde_json::from_value(Value::Object(present))
        .map_err(|error| IpcError::invalid(format!("the deployment request is wrong: {error}")))
}

fn shown(summary: &DeploymentSummary) -> LocalDeployment {
    let created = summary.id.parse::<DeploymentUuid>().ok();
    LocalDeployment {
        deployment_id: summary.id.clone(),
        status: match summary.status {
            DeploymentStatus::Rejected => DeploymentStatus::Failed.as_str(),
            status => status.as_str(),
        }
        .to_owned(),
        created_on: created.map(DeploymentUuid::created_on),
        deployment_status_details: summary.last.as_ref().and_then(details),
    }
}

fn details(update: &DeploymentStatusUpdate) -> Option<DeploymentStatusDetails> {
    let detailed = update.detailed?;
    let names = |names: Vec<String>| (!names.is_empty()).then_some(names);
    Some(DeploymentStatusDetails {
        detailed_deployment_status: Some(detailed.as_str().to_owned()),
        deployment_error_stack: names(update.error_stack.iter().map(ToString::to_string).collect()),
        deployment_error_types: names(update.error_types.iter().map(ToString::to_string).collect()),
        deployment_failure_cause: update.failure_cause.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn a_request_keeps_everything_that_was_asked() {
        let id = DeploymentUuid::new();
        let mut configuration = BTreeMap::new();
        let update = json!({ "MERGE": { "a": 1 }, "RESET": ["/b"] });
        configuration.insert(
            "com.x".to_owned(),
            update.as_object().expect("an object").clone(),
        );
        let request = CreateLocalDeploymentRequest {
            root_component_versions_to_add: Some(BTreeMap::from([(
                "com.x".to_owned(),
                "1.0.0".to_owned(),
            )])),
            component_to_configuration: Some(configuration),
            recipe_directory_path: Some("/r".into()),
            failure_handling_policy: Some(sward_ipc_model::FailureHandlingPolicy::Rollback),
            ..CreateLocalDeploymentRequest::default()
        };
        let read = local_request(request, id).expect("it is a request");
        let text = serde_json::to_value(&read).expect("it is written");
        assert_eq!(text["requestId"], id.to_string());
        assert_eq!(text["componentsToMerge"]["com.x"], "1.0.0");
        assert_eq!(text["configurationUpdate"]["com.x"], update);
        assert_eq!(text["failureHandlingPolicy"], "ROLLBACK");
        assert_eq!(text["recipeDirectoryPath"], "/r");
    }
}
