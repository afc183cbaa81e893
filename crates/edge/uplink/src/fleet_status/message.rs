//! The bodies of fleet-status messages, and their division into chunks.

use serde_json::{Map, Value, json};
use sward_model::ComponentState;

/// Most bytes of one message.
const MAX_BYTES: usize = 128_000;
/// Room for `chunkInfo` and its numbers.
const CHUNK_INFO_BYTES: usize = 64;
/// Most characters of a reason: the API shows 1,000.
const MAX_REASON: usize = 1_000;
/// Most characters of a deployment's cause, as in the answer to its job. Without a bound the output
/// of a failed script could make a message that no broker takes.
const MAX_CAUSE: usize = 1_024;

/// Who reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub thing: String,
    /// Version of the nucleus.
    pub ggc_version: String,
    /// `os` of the platform.
    pub platform: String,
    /// `architecture` of the platform.
    pub architecture: String,
}

/// A component as the cloud sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ComponentStatus {
    pub name: String,
    /// `None` for parts of the nucleus that have none.
    pub version: Option<String>,
    /// Configuration ARNs (or local deployment ids) that want it.
    pub fleet_config_arns: Vec<String>,
    pub is_root: bool,
    /// A part of the nucleus itself.
    pub is_system: bool,
    pub state: ComponentState,
    /// Told for ERRORED and BROKEN only.
    pub status_codes: Vec<String>,
    /// Told for ERRORED and BROKEN only.
    pub status_reason: String,
    /// It was removed; the state does not matter then.
    pub is_uninstalled: bool,
}

impl ComponentStatus {
    pub(super) fn uninstalled(self) -> Self {
        ComponentStatus {
            fleet_config_arns: Vec::new(),
            is_root: false,
            is_uninstalled: true,
            ..self
        }
    }

    fn to_json(&self) -> Value {
        let is_faulty = matches!(self.state, ComponentState::Errored | ComponentState::Broken)
            && !self.is_uninstalled;
        let reason: String = self.status_reason.chars().take(MAX_REASON).collect();
        json!({
            "componentName": self.name,
            "version": self.version,
            "fleetConfigArns": self.fleet_config_arns,
            "componentStatusDetails": if is_faulty {
                json!({ "statusCodes": self.status_codes, "statusReason": reason })
            } else {
                Value::Null
            },
            "isRoot": self.is_root,
            "status": if self.is_uninstalled { "UNINSTALLED" } else { self.state.as_str() },
        })
    }
}

/// How a deployment ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeploymentInformation {
    /// `SUCCEEDED`, `FAILED`, `REJECTED`, `CANCELED`.
    pub status: String,
    pub detailed_status: Option<String>,
    pub failure_cause: Option<String>,
    pub error_stack: Option<Vec<String>>,
    pub error_types: Option<Vec<String>>,
    /// `None` for local deployments.
    pub configuration_arn: Option<String>,
    pub deployment_id: String,
    /// Filled in by the reducer.
    pub unchanged_root_components: Vec<String>,
}

impl DeploymentInformation {
    fn to_json(&self) -> Value {
        let cause = self.failure_cause.as_deref();
        let cause: Option<String> = cause.map(|cause| cause.chars().take(MAX_CAUSE).collect());
        json!({
            "status": self.status,
            "statusDetails": {
                "detailedStatus": self.detailed_status,
                "failureCause": cause,
                "errorStack": self.error_stack,
                "errorTypes": self.error_types,
            },
            "fleetConfigurationArnForStatus": self.configuration_arn,
            "deploymentId": self.deployment_id,
            "unchangedRootComponents": self.unchanged_root_components,
        })
    }
}

/// Why a message is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trigger {
    LocalDeployment,
    ThingDeployment,
    ThingGroupDeployment,
    ComponentStatusChange,
    Reconnect,
    NucleusLaunch,
    NetworkReconfigure,
    Cadence,
}

impl Trigger {
    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Trigger::LocalDeployment => "LOCAL_DEPLOYMENT",
            Trigger::ThingDeployment => "THING_DEPLOYMENT",
            Trigger::ThingGroupDeployment => "THING_GROUP_DEPLOYMENT",
            Trigger::ComponentStatusChange => "COMPONENT_STATUS_CHANGE",
            Trigger::Reconnect => "RECONNECT",
            Trigger::NucleusLaunch => "NUCLEUS_LAUNCH",
            Trigger::NetworkReconfigure => "NETWORK_RECONFIGURE",
            Trigger::Cadence => "CADENCE",
        }
    }

    /// Whether the message lists every component.
    #[must_use]
    pub fn is_complete(self) -> bool {
        matches!(
            self,
            Trigger::NucleusLaunch | Trigger::NetworkReconfigure | Trigger::Cadence
        )
    }
}

/// One MQTT message.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// `$aws/things/T/greengrassv2/health/json`.
    pub topic: String,
    pub payload: Value,
}

pub(super) struct Content<'c> {
    pub(super) identity: &'c Identity,
    pub(super) sequence_number: u64,
    pub(super) timestamp: u64,
    pub(super) trigger: Trigger,
    pub(super) is_healthy: bool,
    pub(super) components: &'c [ComponentStatus],
    pub(super) information: Option<&'c DeploymentInformation>,
}

/// The message, or its chunks. A component that fits into no chunk is left out, with a warning.
pub(super) fn messages(content: &Content<'_>) -> Vec<Message> {
    let fixed = body(content, None, Vec::new());
    let fixed_bytes = fixed.to_string().len() + CHUNK_INFO_BYTES;
    let mut chunks: Vec<(usize, Vec<Value>)> = vec![(fixed_bytes, Vec::new())];
    for component in content.components {
        let value = component.to_json();
        let bytes = value.to_string().len() + 1;
        let fits = |(used, _): &&mut (usize, Vec<Value>)| *used + bytes <= MAX_BYTES;
        if let Some((used, list)) = chunks.iter_mut().find(fits) {
            *used += bytes;
            list.push(value);
        } else if fixed_bytes + bytes <= MAX_BYTES {
            chunks.push((fixed_bytes + bytes, vec![value]));
        } else {
            tracing::warn!(component = %component.name, bytes, "a component's status is too large to be told");
        }
    }
    let total = chunks.len();
    let topic = format!(
        "$aws/things/{}/greengrassv2/health/json",
        content.identity.thing
    );
    let chunks = chunks.into_iter().enumerate();
    chunks
        .map(|(index, (_, list))| {
            let info = (total > 1).then(|| json!({ "chunkId": index + 1, "totalChunks": total }));
            Message {
                topic: topic.clone(),
                payload: body(content, info, list),
            }
        })
        .collect()
}

fn body(content: &Content<'_>, chunk: Option<Value>, components: Vec<Value>) -> Value {
    let trigger = content.trigger;
    let identity = content.identity;
    let mut body = Map::new();
    let mut put = |key: &str, value: Value| body.insert(key.into(), value);
    put("ggcVersion", identity.ggc_version.as_str().into());
    put("platform", identity.platform.as_str().into());
    put("architecture", identity.architecture.as_str().into());
    put("thing", identity.thing.as_str().into());
    put("sequenceNumber", content.sequence_number.into());
    put("timestamp", content.timestamp.into());
    let kind = if trigger.is_complete() {
        "COMPLETE"
    } else {
        "PARTIAL"
    };
    put("messageType", kind.into());
    put("trigger", trigger.as_str().into());
    if let Some(chunk) = chunk {
        put("chunkInfo", chunk);
    }
    if let Some(information) = content.information {
        put("deploymentInformation", information.to_json());
    }
    let health = if content.is_healthy {
        "HEALTHY"
    } else {
        "UNHEALTHY"
    };
    put("overallDeviceStatus", health.into());
    put("components", components.into());
    body.into()
}
