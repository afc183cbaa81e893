//! What a component reports about itself, and how it defers updates.

use crate::operation::{Empty, operation};
use serde::{Deserialize, Serialize};

operation!(
    /// Reports the caller's own state.
    UpdateState(UpdateStateRequest) -> Empty
);
operation!(
    /// Is told before and after a deployment that changes components.
    SubscribeToComponentUpdates(Empty) -> Empty,
    stream ComponentUpdatePolicyEvents
);
operation!(
    /// Answers such a notice: not now, or go ahead.
    DeferComponentUpdate(DeferComponentUpdateRequest) -> Empty
);
operation!(
    /// Freezes a component's processes.
    PauseComponent(PauseComponentRequest) -> Empty
);
operation!(
    /// Thaws a component's processes.
    ResumeComponent(ResumeComponentRequest) -> Empty
);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpdateStateRequest {
    pub state: ReportedLifecycleState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ReportedLifecycleState {
    Running,
    Errored,
}

/// The stream's union.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentUpdatePolicyEvents {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pre_update_event: Option<PreComponentUpdateEvent>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub post_update_event: Option<PostComponentUpdateEvent>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreComponentUpdateEvent {
    pub deployment_id: String,
    pub is_ggc_restarting: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PostComponentUpdateEvent {
    pub deployment_id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DeferComponentUpdateRequest {
    /// Required.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Absent or 0 lets the update go ahead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recheck_after_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PauseComponentRequest {
    pub component_name: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResumeComponentRequest {
    pub component_name: String,
}
