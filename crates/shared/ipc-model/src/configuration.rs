//! The component configuration.

use crate::Document;
use crate::operation::{Empty, operation};
use serde::{Deserialize, Serialize};

operation!(
    /// Reads a configuration value of any component.
    GetConfiguration(GetConfigurationRequest) -> GetConfigurationResponse
);
operation!(
    /// Merges values into the caller's own configuration.
    UpdateConfiguration(UpdateConfigurationRequest) -> Empty
);
operation!(
    /// Hears which keys of a component's configuration change.
    SubscribeToConfigurationUpdate(SubscribeToConfigurationUpdateRequest) -> Empty,
    stream ConfigurationUpdateEvents
);
operation!(
    /// Is asked before a deployment changes the caller's configuration.
    SubscribeToValidateConfigurationUpdates(Empty) -> Empty,
    stream ValidateConfigurationUpdateEvents
);
operation!(
    /// Answers such a question.
    SendConfigurationValidityReport(SendConfigurationValidityReportRequest) -> Empty
);

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetConfigurationRequest {
    /// The caller itself where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_name: Option<String>,
    /// Absent and empty mean the whole configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_path: Option<Vec<String>>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetConfigurationResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Document>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UpdateConfigurationRequest {
    /// The container to merge into; absent means the root.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_path: Option<Vec<String>>,
    /// Seconds since 1970 with a fraction; required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timestamp: Option<f64>,
    /// Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value_to_merge: Option<Document>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscribeToConfigurationUpdateRequest {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_path: Option<Vec<String>>,
}

/// The stream's union.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationUpdateEvents {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_update_event: Option<ConfigurationUpdateEvent>,
}

/// A changed key; the value is not told.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationUpdateEvent {
    pub component_name: String,
    /// From the component's configuration to the changed node.
    pub key_path: Vec<String>,
}

/// The stream's union.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidateConfigurationUpdateEvents {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validate_configuration_update_event: Option<ValidateConfigurationUpdateEvent>,
}

/// A deployment asks whether its configuration suits the component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidateConfigurationUpdateEvent {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration: Option<Document>,
    pub deployment_id: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SendConfigurationValidityReportRequest {
    pub configuration_validity_report: ConfigurationValidityReport,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigurationValidityReport {
    pub status: ConfigurationValidityStatus,
    pub deployment_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ConfigurationValidityStatus {
    Accepted,
    Rejected,
}
