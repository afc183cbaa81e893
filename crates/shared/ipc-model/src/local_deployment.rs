//! Deployments that start on the device itself.

use crate::Document;
use crate::operation::{Empty, operation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

operation!(
    /// Queues a local deployment.
    CreateLocalDeployment(CreateLocalDeploymentRequest) -> CreateLocalDeploymentResponse
);
operation!(
    /// Asks to stop one.
    CancelLocalDeployment(CancelLocalDeploymentRequest) -> CancelLocalDeploymentResponse
);
operation!(
    /// How one went.
    GetLocalDeploymentStatus(GetLocalDeploymentStatusRequest) -> GetLocalDeploymentStatusResponse
);
operation!(
    /// All that the device remembers.
    ListLocalDeployments(Empty) -> ListLocalDeploymentsResponse
);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateLocalDeploymentRequest {
    /// Absent means the group `LOCAL_DEPLOYMENT`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    /// Component name to version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_component_versions_to_add: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_components_to_remove: Option<Vec<String>>,
    /// Component name to `{"MERGE": {…}, "RESET": ["/pointer"]}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_to_configuration: Option<BTreeMap<String, Document>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_to_run_with_info: Option<BTreeMap<String, RunWithInfo>>,
    /// A directory on the device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe_directory_path: Option<String>,
    /// A directory on the device, laid out `<name>/<version>/<file>`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts_directory_path: Option<String>,
    /// Absent means [`FailureHandlingPolicy::DoNothing`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_handling_policy: Option<FailureHandlingPolicy>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureHandlingPolicy {
    Rollback,
    DoNothing,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunWithInfo {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub posix_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub windows_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system_resource_limits: Option<SystemResourceLimits>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SystemResourceLimits {
    /// Kilobytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<i64>,
    /// CPUs, with a fraction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CreateLocalDeploymentResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelLocalDeploymentRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct CancelLocalDeploymentResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetLocalDeploymentStatusRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GetLocalDeploymentStatusResponse {
    pub deployment: LocalDeployment,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListLocalDeploymentsResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local_deployments: Option<Vec<LocalDeployment>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LocalDeployment {
    pub deployment_id: String,
    /// QUEUED, IN_PROGRESS, SUCCEEDED, FAILED or CANCELED.
    pub status: String,
    /// `dd-MM-uuuu HH:mm:ss UTC`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_on: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_status_details: Option<DeploymentStatusDetails>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentStatusDetails {
    /// SUCCESSFUL, FAILED_NO_STATE_CHANGE, FAILED_ROLLBACK_NOT_REQUESTED,
    /// FAILED_ROLLBACK_COMPLETE or REJECTED.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detailed_deployment_status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_error_stack: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_error_types: Option<Vec<String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_failure_cause: Option<String>,
}
