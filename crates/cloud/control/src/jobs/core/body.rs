//! The body of a device's request, read and checked.

use super::execution::ExecutionStatus;
use super::queue::{RejectCode, Rejection};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const MAX_DETAIL_LENGTH: usize = 1024;
const MAX_STEP_MINUTES: i64 = 10_080;

/// What an update asks for, read and checked.
pub(super) struct Update {
    pub(super) status: ExecutionStatus,
    pub(super) details: Option<BTreeMap<String, String>>,
    pub(super) expected_version: Option<u64>,
    pub(super) execution_number: Option<u64>,
    pub(super) include_state: bool,
    pub(super) include_document: bool,
    /// `Some(None)` clears the timer.
    pub(super) step_minutes: Option<Option<u64>>,
}

pub(super) fn read(payload: &[u8]) -> Result<Map<String, Value>, Rejection> {
    if payload.trim_ascii().is_empty() {
        return Ok(Map::new());
    }
    serde_json::from_slice(payload)
        .map_err(|_| Rejection::new(RejectCode::InvalidJson, "The payload is not a JSON object"))
}

/// A number, or a text that holds one.
pub(super) fn number(members: &Map<String, Value>, key: &str) -> Result<Option<u64>, Rejection> {
    match members.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => value
            .as_u64()
            .or_else(|| value.as_str()?.parse().ok())
            .map(Some)
            .ok_or_else(|| Rejection::invalid(format!("{key} is not a number"))),
    }
}

pub(super) fn flag(members: &Map<String, Value>, key: &str) -> Result<Option<bool>, Rejection> {
    match members.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(flag)) => Ok(Some(*flag)),
        Some(_) => Err(Rejection::invalid(format!("{key} is not a boolean"))),
    }
}

pub(super) fn step_minutes(members: &Map<String, Value>) -> Result<Option<Option<u64>>, Rejection> {
    let Some(value) = members.get("stepTimeoutInMinutes").filter(|v| !v.is_null()) else {
        return Ok(None);
    };
    match value.as_i64() {
        Some(-1) => Ok(Some(None)),
        Some(minutes @ 1..=MAX_STEP_MINUTES) => Ok(Some(Some(minutes.unsigned_abs()))),
        _ => Err(Rejection::invalid(
            "stepTimeoutInMinutes must be -1 or 1 to 10080",
        )),
    }
}

pub(super) fn status_details(
    members: &Map<String, Value>,
) -> Result<Option<BTreeMap<String, String>>, Rejection> {
    let details = match members.get("statusDetails") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(details)) => details,
        Some(_) => return Err(Rejection::invalid("statusDetails is not an object")),
    };
    let key_fits = |key: &str| {
        (1..=128).contains(&key.len())
            && key
                .bytes()
                .all(|c| c.is_ascii_alphanumeric() || matches!(c, b':' | b'_' | b'-'))
    };
    details
        .iter()
        .map(|(key, value)| match value {
            Value::String(text) if key_fits(key) && text.chars().count() <= MAX_DETAIL_LENGTH => {
                Ok((key.clone(), text.clone()))
            }
            _ => Err(Rejection::invalid(format!(
                "statusDetails member \"{key}\" must be a text of at most {MAX_DETAIL_LENGTH} \
                 characters under a key of letters, digits, ':', '_' and '-'"
            ))),
        })
        .collect::<Result<_, _>>()
        .map(Some)
}

impl Update {
    pub(super) fn read(members: &Map<String, Value>) -> Result<Self, Rejection> {
        let status = members.get("status").and_then(Value::as_str);
        let status = match status.and_then(ExecutionStatus::parse) {
            Some(
                status @ (ExecutionStatus::InProgress
                | ExecutionStatus::Succeeded
                | ExecutionStatus::Failed
                | ExecutionStatus::Rejected),
            ) => status,
            _ => {
                return Err(Rejection::invalid(
                    "status must be IN_PROGRESS, SUCCEEDED, FAILED or REJECTED",
                ));
            }
        };
        Ok(Update {
            status,
            details: status_details(members)?,
            expected_version: number(members, "expectedVersion")?,
            execution_number: number(members, "executionNumber")?,
            include_state: flag(members, "includeJobExecutionState")?.unwrap_or(false),
            include_document: flag(members, "includeJobDocument")?.unwrap_or(false),
            step_minutes: step_minutes(members)?,
        })
    }
}
