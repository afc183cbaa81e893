//! One job on one thing.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Where an execution stands. `UPPER_SNAKE` on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutionStatus {
    Queued,
    InProgress,
    Succeeded,
    Failed,
    Rejected,
    /// By the service: a timer ran out.
    TimedOut,
    /// By the service: the job was cancelled.
    Canceled,
    /// By the service: the thing left the target, or the execution was deleted.
    Removed,
}

impl ExecutionStatus {
    /// Whether it can still change.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(self, ExecutionStatus::Queued | ExecutionStatus::InProgress)
    }

    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ExecutionStatus::Queued => "QUEUED",
            ExecutionStatus::InProgress => "IN_PROGRESS",
            ExecutionStatus::Succeeded => "SUCCEEDED",
            ExecutionStatus::Failed => "FAILED",
            ExecutionStatus::Rejected => "REJECTED",
            ExecutionStatus::TimedOut => "TIMED_OUT",
            ExecutionStatus::Canceled => "CANCELED",
            ExecutionStatus::Removed => "REMOVED",
        }
    }

    /// The status of a wire name.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [
            ExecutionStatus::Queued,
            ExecutionStatus::InProgress,
            ExecutionStatus::Succeeded,
            ExecutionStatus::Failed,
            ExecutionStatus::Rejected,
            ExecutionStatus::TimedOut,
            ExecutionStatus::Canceled,
            ExecutionStatus::Removed,
        ]
        .into_iter()
        .find(|status| status.as_str() == name)
    }
}

/// One job on one thing. Times are epoch milliseconds; the wire shows seconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Execution {
    pub job_id: String,
    pub thing_name: String,
    /// Counts the executions of this job on this thing, from 1.
    pub execution_number: u64,
    pub status: ExecutionStatus,
    #[serde(default)]
    pub status_details: BTreeMap<String, String>,
    /// From 1, one more with each change.
    pub version_number: u64,
    pub queued_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at_ms: Option<u64>,
    pub last_updated_at_ms: u64,
    /// Minutes it may be in progress, from the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_progress_timeout_in_minutes: Option<u64>,
    /// When the in-progress timer ends; set when it starts, never moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_progress_deadline_ms: Option<u64>,
    /// When the device's own step timer ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step_deadline_ms: Option<u64>,
}

impl Execution {
    /// A new execution, queued now.
    #[must_use]
    pub fn queued(
        job_id: &str,
        thing_name: &str,
        execution_number: u64,
        in_progress_timeout_in_minutes: Option<u64>,
        now_ms: u64,
    ) -> Self {
        Execution {
            job_id: job_id.to_owned(),
            thing_name: thing_name.to_owned(),
            execution_number,
            status: ExecutionStatus::Queued,
            status_details: BTreeMap::new(),
            version_number: 1,
            queued_at_ms: now_ms,
            started_at_ms: None,
            last_updated_at_ms: now_ms,
            in_progress_timeout_in_minutes,
            in_progress_deadline_ms: None,
            step_deadline_ms: None,
        }
    }

    /// When the first of the two timers ends.
    #[must_use]
    pub fn deadline_ms(&self) -> Option<u64> {
        match (self.in_progress_deadline_ms, self.step_deadline_ms) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Moves to a status; the caller knows that the present one is not terminal.
    pub(crate) fn move_to(&mut self, status: ExecutionStatus, now_ms: u64) {
        if status == ExecutionStatus::InProgress && self.started_at_ms.is_none() {
            self.started_at_ms = Some(now_ms);
            self.in_progress_deadline_ms = self
                .in_progress_timeout_in_minutes
                .map(|minutes| now_ms.saturating_add(minutes.saturating_mul(60_000)));
        }
        if status.is_terminal() {
            self.in_progress_deadline_ms = None;
            self.step_deadline_ms = None;
        }
        self.status = status;
        self.version_number += 1;
        self.last_updated_at_ms = now_ms;
    }

    /// The entry of lists and notifications.
    #[must_use]
    pub fn summary(&self) -> Value {
        let mut summary = json!({
            "jobId": self.job_id,
            "queuedAt": self.queued_at_ms / 1000,
            "lastUpdatedAt": self.last_updated_at_ms / 1000,
            "executionNumber": self.execution_number,
            "versionNumber": self.version_number,
        });
        if let Some(started) = self.started_at_ms {
            summary["startedAt"] = (started / 1000).into();
        }
        summary
    }

    /// The whole execution as devices see it, with the document where wanted.
    #[must_use]
    pub fn describe(&self, document: Option<&Value>, now_ms: u64) -> Value {
        let mut body = Map::new();
        body.insert("jobId".into(), self.job_id.as_str().into());
        body.insert("thingName".into(), self.thing_name.as_str().into());
        body.insert("status".into(), self.status.as_str().into());
        if !self.status_details.is_empty() {
            body.insert("statusDetails".into(), json!(self.status_details));
        }
        body.insert("queuedAt".into(), (self.queued_at_ms / 1000).into());
        if let Some(started) = self.started_at_ms {
            body.insert("startedAt".into(), (started / 1000).into());
        }
        body.insert(
            "lastUpdatedAt".into(),
            (self.last_updated_at_ms / 1000).into(),
        );
        body.insert("versionNumber".into(), self.version_number.into());
        body.insert("executionNumber".into(), self.execution_number.into());
        if let Some(deadline) = self.deadline_ms() {
            let left = deadline.saturating_sub(now_ms) / 1000;
            body.insert("approximateSecondsBeforeTimedOut".into(), left.into());
        }
        if let Some(document) = document {
            body.insert("jobDocument".into(), document.clone());
        }
        body.into()
    }

    /// The short form of replies and rejections.
    #[must_use]
    pub fn state(&self) -> Value {
        json!({
            "status": self.status.as_str(),
            "statusDetails": self.status_details,
            "versionNumber": self.version_number,
        })
    }
}
