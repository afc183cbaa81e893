//! The bodies of shadow messages.

use crate::deployments::{DeploymentStatus, StatusUpdate};
use serde_json::{Map, Value, json};

/// Most characters of a cause: a shadow holds 8 kB, most of which is the document.
const MAX_CAUSE: usize = 1024;

/// What the cloud wants.
pub(super) struct Desired {
    pub(super) configuration_arn: String,
    pub(super) is_canceled: bool,
    pub(super) document: Value,
}

/// What the shadow shows of this device.
pub(super) struct Reported {
    pub(super) arn: String,
    pub(super) status: String,
}

impl Reported {
    /// Whether the deployment is over: anything but in progress.
    pub(super) fn is_end(&self) -> bool {
        self.status != DeploymentStatus::InProgress.as_str()
    }
}

/// A shadow document, as far as it matters here.
pub(super) struct Document {
    pub(super) version: u64,
    pub(super) desired: Option<Desired>,
    pub(super) reported: Option<Reported>,
}

/// Reads `get/accepted` or `update/accepted`; `None` without a state or version.
pub(super) fn document(payload: &[u8]) -> Option<Document> {
    let body: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    let state = body.get("state")?.as_object()?;
    Some(Document {
        version: body.get("version")?.as_u64()?,
        desired: state
            .get("desired")
            .filter(|desired| !desired.is_null())
            .and_then(|wanted| {
                let read = desired(wanted);
                if read.is_none() {
                    tracing::warn!(
                        "the shadow wants a deployment that cannot be read; it is passed over"
                    );
                }
                read
            }),
        reported: state.get("reported").and_then(|reported| {
            Some(Reported {
                arn: reported
                    .get("fleetConfigurationArnForStatus")?
                    .as_str()?
                    .to_owned(),
                status: reported.get("status")?.as_str()?.to_owned(),
            })
        }),
    })
}

/// Both members are required; a document without an ARN cannot be answered, so it is ignored.
fn desired(desired: &Value) -> Option<Desired> {
    let status = desired.get("desiredStatus")?.as_str()?;
    let document: Value = serde_json::from_str(desired.get("fleetConfig")?.as_str()?).ok()?;
    Some(Desired {
        configuration_arn: document.get("configurationArn")?.as_str()?.to_owned(),
        is_canceled: status == "CANCELED",
        document,
    })
}

/// The body of a status update.
pub(super) fn report(
    thing: &str,
    nucleus_version: &str,
    update: &StatusUpdate,
    version: Option<u64>,
) -> Value {
    let mut details = Map::new();
    if let Some(detailed) = update.detailed {
        details.insert("detailedStatus".into(), detailed.as_str().into());
    }
    let cause = update.failure_cause.as_deref().unwrap_or_default();
    let cause: String = cause.chars().take(MAX_CAUSE).collect();
    let list = |list: &Option<Vec<String>>| json!(list.clone().unwrap_or_default());
    details.insert("failureCause".into(), cause.into());
    details.insert("errorTypes".into(), list(&update.error_types));
    details.insert("errorStack".into(), list(&update.error_stack));
    let mut body = json!({
        "thingName": thing,
        "shadowName": super::SHADOW_NAME,
        "state": {
            "reported": {
                "ggcVersion": nucleus_version,
                "fleetConfigurationArnForStatus": update.configuration_arn,
                "statusDetails": details,
                "status": update.status.as_str(),
            }
        },
    });
    if let Some(version) = version {
        body["version"] = version.into();
    }
    body
}

/// Code and text of a rejection; 500 when it has none.
pub(super) fn rejection(payload: &[u8]) -> (u64, String) {
    let body: Value = serde_json::from_slice(payload).unwrap_or_default();
    let code = body["code"].as_u64().unwrap_or(500);
    let message = body["message"].as_str().unwrap_or("");
    (code, format!("{code}: {message}"))
}
