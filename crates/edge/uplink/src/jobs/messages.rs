//! The bodies of job messages.

use crate::deployments::StatusUpdate;
use serde_json::{Map, Value, json};

/// Most characters of a detail's value.
const MAX_DETAIL: usize = 1024;
/// Most entries of a notification; one that long may be cut.
const MAX_LISTED: usize = 15;

/// Tells executions of one job apart: a thing that leaves a group and comes back gets a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExecutionKey {
    /// Epoch seconds.
    pub(super) queued_at: u64,
    pub(super) number: u64,
}

/// The answer to "what is next".
pub(super) enum Answer {
    Nothing,
    Execution {
        job_id: String,
        key: ExecutionKey,
        /// The cloud has heard nothing of this execution yet.
        is_queued: bool,
        document: Value,
    },
}

/// The pending list, as far as it matters here.
pub(super) struct Notification {
    pub(super) timestamp: u64,
    pub(super) listed: Vec<String>,
    pub(super) has_queued: bool,
    pub(super) is_cut: bool,
}

/// Reads `get/accepted`; `None` when it is not what the protocol says.
pub(super) fn answer(payload: &[u8]) -> Option<Answer> {
    let mut body: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    let Some(Value::Object(mut execution)) = body.remove("execution") else {
        return Some(Answer::Nothing);
    };
    if execution.is_empty() {
        return Some(Answer::Nothing);
    }
    let status = execution.get("status").and_then(Value::as_str);
    let status = status.map(String::from);
    let status = status.as_deref();
    if !matches!(status, None | Some("QUEUED" | "IN_PROGRESS")) {
        return Some(Answer::Nothing);
    }
    Some(Answer::Execution {
        job_id: execution.get("jobId")?.as_str()?.to_owned(),
        key: ExecutionKey {
            queued_at: seconds(execution.get("queuedAt")),
            number: seconds(execution.get("executionNumber")),
        },
        is_queued: status == Some("QUEUED"),
        document: execution.remove("jobDocument").unwrap_or(Value::Null),
    })
}

/// Reads a notification; `jobs` must be there.
pub(super) fn notification(payload: &[u8]) -> Option<Notification> {
    let body: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    let jobs = body.get("jobs")?.as_object()?;
    let of = |list: &Value| -> Vec<String> {
        let entries = list.as_array().map(Vec::as_slice).unwrap_or_default();
        let ids = entries
            .iter()
            .filter_map(|entry| entry.get("jobId")?.as_str());
        ids.map(String::from).collect()
    };
    let listed: Vec<String> = jobs.values().flat_map(of).collect();
    Some(Notification {
        timestamp: seconds(body.get("timestamp")),
        is_cut: listed.len() >= MAX_LISTED,
        listed,
        has_queued: jobs.contains_key("QUEUED"),
    })
}

/// Seconds, written as a whole number or as a fraction.
fn seconds(value: Option<&Value>) -> u64 {
    let value = value.and_then(|v| v.as_u64().or_else(|| v.as_f64().map(|s| s as u64)));
    value.unwrap_or(0)
}

/// The body of a status update.
pub(super) fn update(thing: &str, update: &StatusUpdate) -> Value {
    json!({
        "thingName": thing,
        "jobId": update.id,
        "status": update.status.as_str(),
        "statusDetails": details(update),
        "clientToken": update.status.as_str(),
    })
}

/// The token that an answer gives back.
pub(super) fn client_token(payload: &[u8]) -> Option<String> {
    let body: Map<String, Value> = serde_json::from_slice(payload).ok()?;
    Some(body.get("clientToken")?.as_str()?.to_owned())
}

fn details(update: &StatusUpdate) -> Map<String, Value> {
    let list = |list: &Vec<String>| Value::from(list.as_slice()).to_string();
    let pairs = [
        (
            "detailed-deployment-status",
            update.detailed.map(|d| d.as_str().to_owned()),
        ),
        ("deployment-failure-cause", update.failure_cause.clone()),
        (
            "deployment-error-stack",
            update.error_stack.as_ref().map(list),
        ),
        (
            "deployment-error-types",
            update.error_types.as_ref().map(list),
        ),
    ];
    let mut details = Map::new();
    for (key, value) in pairs {
        if let Some(value) = value {
            details.insert(key.into(), sanitized(&value).into());
        }
    }
    details
}

/// What a detail may hold: no control characters, at most 1,024 characters.
fn sanitized(value: &str) -> String {
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    value.chars().map(printable).take(MAX_DETAIL).collect()
}

/// Whether a rejection will not change by asking again.
pub(super) fn is_final(payload: &[u8]) -> bool {
    let body: Value = serde_json::from_slice(payload).unwrap_or_default();
    !matches!(
        body["code"].as_str(),
        Some("InternalError" | "RequestThrottled")
    )
}

/// Code and message of a rejection, for people.
pub(super) fn reason(payload: &[u8]) -> String {
    let body: Value = serde_json::from_slice(payload).unwrap_or_default();
    let text = |key: &str| body[key].as_str().unwrap_or("").to_owned();
    format!("{}: {}", text("code"), text("message"))
}
