//! The components of the device, as the CLI sees and steers them.

use crate::Document;
use crate::operation::{Empty, operation};
use serde::{Deserialize, Serialize};

operation!(
    /// All components but `main`.
    ListComponents(Empty) -> ListComponentsResponse
);
operation!(
    /// One component.
    GetComponentDetails(GetComponentDetailsRequest) -> GetComponentDetailsResponse
);
operation!(
    /// Stops and starts one component.
    RestartComponent(RestartComponentRequest) -> RestartComponentResponse
);
operation!(
    /// Stops one component until a restart or deployment.
    StopComponent(StopComponentRequest) -> StopComponentResponse
);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ListComponentsResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components: Option<Vec<ComponentDetails>>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentDetails {
    pub component_name: String,
    /// Absent for components of the nucleus that have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The state's public spelling, such as `RUNNING`.
    pub state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Document>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetComponentDetailsRequest {
    pub component_name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetComponentDetailsResponse {
    pub component_details: ComponentDetails,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartComponentRequest {
    pub component_name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestartComponentResponse {
    pub restart_status: RequestStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopComponentRequest {
    pub component_name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StopComponentResponse {
    pub stop_status: RequestStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RequestStatus {
    Succeeded,
    Failed,
}
