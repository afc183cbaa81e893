//! The executions of one thing in one namespace: what devices ask, and what they are told.

use super::body::{Update, flag, number, read, status_details, step_minutes};
use super::execution::{Execution, ExecutionStatus};
use super::topic::{JobReference, Request, RequestTopic};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// Most entries of one notification, as AWS has it.
const MAX_NOTIFIED: usize = 15;

/// An execution and the document of its job.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub execution: Execution,
    pub document: Arc<Value>,
}

/// One thing's executions in one namespace.
///
/// Load all pending ones, and for a request that names a job also that job's latest execution,
/// whatever its status.
#[derive(Clone, Debug, PartialEq)]
pub struct Queue {
    pub thing: String,
    pub namespace: Option<String>,
    pub entries: Vec<Entry>,
}

/// Which of the two notifications.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationKind {
    /// The pending list changed.
    Notify,
    /// Its head changed.
    NotifyNext,
}

/// A message to publish.
#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    pub kind: NotificationKind,
    pub topic: String,
    pub body: Value,
}

/// A code of `…/rejected`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectCode {
    InvalidJson,
    InvalidRequest,
    InvalidStateTransition,
    ResourceNotFound,
    VersionMismatch,
    TerminalStateReached,
}

impl RejectCode {
    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RejectCode::InvalidJson => "InvalidJson",
            RejectCode::InvalidRequest => "InvalidRequest",
            RejectCode::InvalidStateTransition => "InvalidStateTransition",
            RejectCode::ResourceNotFound => "ResourceNotFound",
            RejectCode::VersionMismatch => "VersionMismatch",
            RejectCode::TerminalStateReached => "TerminalStateReached",
        }
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{message}")]
pub struct Rejection {
    pub code: RejectCode,
    pub message: String,
    /// The execution as it is, where that helps the device.
    pub execution_state: Option<Value>,
    pub client_token: Option<String>,
}

impl Rejection {
    pub(super) fn new(code: RejectCode, message: impl Into<String>) -> Self {
        Rejection {
            code,
            message: message.into(),
            execution_state: None,
            client_token: None,
        }
    }

    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Rejection::new(RejectCode::InvalidRequest, message)
    }

    /// The body of `…/rejected`.
    #[must_use]
    pub fn to_json(&self, now_ms: u64) -> Value {
        let mut body = json!({
            "code": self.code.as_str(),
            "message": self.message,
            "timestamp": now_ms / 1000,
        });
        if let Some(state) = &self.execution_state {
            body["executionState"] = state.clone();
        }
        if let Some(token) = &self.client_token {
            body["clientToken"] = token.as_str().into();
        }
        body
    }
}

impl Diagnose for Rejection {
    fn kind(&self) -> Kind {
        match self.code {
            RejectCode::InvalidJson | RejectCode::InvalidRequest => Kind::Invalid,
            RejectCode::ResourceNotFound => Kind::NotFound,
            RejectCode::InvalidStateTransition
            | RejectCode::VersionMismatch
            | RejectCode::TerminalStateReached => Kind::Conflict,
        }
    }
    fn code(&self) -> &'static str {
        self.code.as_str()
    }
    fn place(&self) -> Option<Place> {
        None
    }
}

/// What follows a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The body of `…/accepted`, or why there is none.
    pub reply: Result<Value, Rejection>,
    /// Executions to store, each with the status it had.
    pub changed: Vec<(ExecutionStatus, Execution)>,
    /// What to publish after the reply.
    pub notifications: Vec<Notification>,
}

impl Queue {
    /// The pending executions: in progress first, then queued, each oldest first.
    fn pending(&self) -> Vec<&Entry> {
        let mut pending: Vec<_> = self
            .entries
            .iter()
            .filter(|entry| !entry.execution.status.is_terminal())
            .collect();
        pending.sort_by(|a, b| order(a).cmp(&order(b)));
        pending
    }

    /// `$next`: the oldest in progress, else the oldest queued.
    #[must_use]
    pub fn next(&self) -> Option<&Entry> {
        self.pending().first().copied()
    }

    /// Answers a request.
    ///
    /// `payload` is the request's body (an empty one counts as `{}`); the queue is changed as
    /// the outcome says.
    pub fn handle(&mut self, request: &Request<'_>, payload: &[u8], now_ms: u64) -> Outcome {
        let before = self.fingerprint();
        let mut changed = Vec::new();
        let members = match read(payload) {
            Ok(members) => members,
            Err(rejection) => return Outcome::rejected(rejection),
        };
        let token = match members.get("clientToken") {
            None | Some(Value::Null) => None,
            Some(Value::String(token)) if token.len() <= 64 => Some(token.clone()),
            Some(_) => return Outcome::rejected(Rejection::invalid("clientToken is invalid")),
        };
        let reply = match request {
            Request::GetPending => Ok(self.list()),
            Request::StartNext => self.start_next(&members, now_ms, &mut changed),
            Request::Describe(reference) => self.describe(*reference, &members, now_ms),
            Request::Update(job) => self.update(job, &members, now_ms, &mut changed),
        };
        let reply = match reply {
            Ok(mut body) => {
                body.insert("timestamp".into(), (now_ms / 1000).into());
                if let Some(token) = &token {
                    body.insert("clientToken".into(), token.as_str().into());
                }
                Ok(Value::Object(body))
            }
            Err(rejection) => Err(Rejection {
                client_token: token,
                ..rejection
            }),
        };
        Outcome {
            reply,
            changed,
            notifications: self.notifications(&before, now_ms),
        }
    }

    /// Changes made by the service: puts an execution in, or moves one to a terminal status.
    /// Returns what changed and what to publish.
    pub fn service_change(
        &mut self,
        change: impl FnOnce(&mut Vec<Entry>) -> Vec<(ExecutionStatus, Execution)>,
        now_ms: u64,
    ) -> (Vec<(ExecutionStatus, Execution)>, Vec<Notification>) {
        let before = self.fingerprint();
        let changed = change(&mut self.entries);
        (changed, self.notifications(&before, now_ms))
    }

    /// Adds a queued execution and says what to publish.
    pub fn add(&mut self, entry: Entry, now_ms: u64) -> Vec<Notification> {
        let add = |entries: &mut Vec<Entry>| {
            entries.push(entry);
            Vec::new()
        };
        self.service_change(add, now_ms).1
    }

    /// Ends one job's pending execution: `Canceled`, `Removed` or `TimedOut`. With
    /// `only_queued`, one in progress is left alone.
    pub fn end(
        &mut self,
        job_id: &str,
        status: ExecutionStatus,
        only_queued: bool,
        now_ms: u64,
    ) -> (Vec<(ExecutionStatus, Execution)>, Vec<Notification>) {
        let ends = |execution: &Execution| {
            execution.job_id == job_id
                && match execution.status {
                    ExecutionStatus::Queued => true,
                    ExecutionStatus::InProgress => !only_queued,
                    _ => false,
                }
        };
        self.service_change(|entries| end_all(entries, ends, status, now_ms), now_ms)
    }

    /// Ends every execution whose timer ran out.
    pub fn expire(
        &mut self,
        now_ms: u64,
    ) -> (Vec<(ExecutionStatus, Execution)>, Vec<Notification>) {
        let ends = |execution: &Execution| {
            !execution.status.is_terminal()
                && execution.deadline_ms().is_some_and(|at| at <= now_ms)
        };
        let status = ExecutionStatus::TimedOut;
        self.service_change(|entries| end_all(entries, ends, status, now_ms), now_ms)
    }

    fn list(&self) -> Map<String, Value> {
        let of = |status: ExecutionStatus| -> Value {
            let pending = self.pending().into_iter();
            pending
                .filter(|entry| entry.execution.status == status)
                .map(|entry| entry.execution.summary())
                .collect()
        };
        Map::from_iter([
            ("inProgressJobs".to_owned(), of(ExecutionStatus::InProgress)),
            ("queuedJobs".to_owned(), of(ExecutionStatus::Queued)),
        ])
    }

    fn start_next(
        &mut self,
        members: &Map<String, Value>,
        now_ms: u64,
        changed: &mut Vec<(ExecutionStatus, Execution)>,
    ) -> Result<Map<String, Value>, Rejection> {
        let details = status_details(members)?;
        let step = step_minutes(members)?;
        let Some(head) = self.next().map(|entry| entry.execution.job_id.clone()) else {
            return Ok(Map::new());
        };
        let entry = self
            .entry_mut(&head, |execution| !execution.status.is_terminal())
            .expect("the head was found among the entries");
        let execution = &mut entry.execution;
        if execution.status == ExecutionStatus::Queued {
            let was = execution.status;
            execution.move_to(ExecutionStatus::InProgress, now_ms);
            apply(execution, details, step, now_ms);
            changed.push((was, execution.clone()));
        }
        let described = execution.describe(Some(&entry.document), now_ms);
        Ok(Map::from_iter([("execution".to_owned(), described)]))
    }

    fn describe(
        &self,
        reference: JobReference<'_>,
        members: &Map<String, Value>,
        now_ms: u64,
    ) -> Result<Map<String, Value>, Rejection> {
        let with_document = flag(members, "includeJobDocument")?.unwrap_or(true);
        let number = number(members, "executionNumber")?;
        let entry = match reference {
            JobReference::Next => match self.next() {
                Some(entry) => entry,
                None => return Ok(Map::new()),
            },
            JobReference::Id(job) => self
                .latest(job)
                .filter(|entry| number.is_none_or(|n| n == entry.execution.execution_number))
                .ok_or_else(|| not_found(job))?,
        };
        if entry.execution.status.is_terminal() {
            return Err(Rejection::new(
                RejectCode::TerminalStateReached,
                "The job execution is in a terminal state",
            ));
        }
        let document = with_document.then_some(&*entry.document);
        let described = entry.execution.describe(document, now_ms);
        Ok(Map::from_iter([("execution".to_owned(), described)]))
    }

    fn update(
        &mut self,
        job: &str,
        members: &Map<String, Value>,
        now_ms: u64,
        changed: &mut Vec<(ExecutionStatus, Execution)>,
    ) -> Result<Map<String, Value>, Rejection> {
        let update = Update::read(members)?;
        let latest = self
            .latest(job)
            .map(|entry| entry.execution.execution_number);
        let number = update.execution_number.or(latest);
        let entry = self
            .entry_mut(job, |execution| Some(execution.execution_number) == number)
            .ok_or_else(|| not_found(job))?;
        let execution = &mut entry.execution;
        let with_state = |code, message: String| Rejection {
            execution_state: Some(execution.state()),
            ..Rejection::new(code, message)
        };
        if let Some(expected) = update.expected_version
            && expected != execution.version_number
        {
            return Err(with_state(
                RejectCode::VersionMismatch,
                format!(
                    "Expected version {expected}, the execution has version {}",
                    execution.version_number
                ),
            ));
        }
        if execution.status.is_terminal() {
            return Err(with_state(
                RejectCode::InvalidStateTransition,
                format!(
                    "Cannot change from {} to {}",
                    execution.status.as_str(),
                    update.status.as_str()
                ),
            ));
        }
        let was = execution.status;
        execution.move_to(update.status, now_ms);
        apply(execution, update.details, update.step_minutes, now_ms);
        changed.push((was, execution.clone()));
        let mut body = Map::new();
        if update.include_state {
            body.insert("executionState".into(), execution.state());
        }
        if update.include_document {
            body.insert("jobDocument".into(), (*entry.document).clone());
        }
        Ok(body)
    }

    fn latest(&self, job: &str) -> Option<&Entry> {
        let of_job = self.entries.iter().filter(|e| e.execution.job_id == job);
        of_job.max_by_key(|entry| entry.execution.execution_number)
    }

    fn entry_mut(&mut self, job: &str, wanted: impl Fn(&Execution) -> bool) -> Option<&mut Entry> {
        self.entries
            .iter_mut()
            .find(|entry| entry.execution.job_id == job && wanted(&entry.execution))
    }

    /// The pending list by identity, head first.
    fn fingerprint(&self) -> Vec<(String, u64)> {
        let pending = self.pending().into_iter();
        pending
            .map(|e| (e.execution.job_id.clone(), e.execution.execution_number))
            .collect()
    }

    fn notifications(&self, before: &[(String, u64)], now_ms: u64) -> Vec<Notification> {
        let after = self.fingerprint();
        let mut notifications = Vec::new();
        let sorted = |list: &[(String, u64)]| {
            let mut list = list.to_vec();
            list.sort();
            list
        };
        if sorted(before) != sorted(&after) {
            notifications.push(self.notification(NotificationKind::Notify, now_ms));
        }
        if before.first() != after.first() {
            notifications.push(self.notification(NotificationKind::NotifyNext, now_ms));
        }
        notifications
    }

    /// What a notification says now.
    #[must_use]
    pub fn notification(&self, kind: NotificationKind, now_ms: u64) -> Notification {
        let namespace = self.namespace.as_deref();
        let mut body = json!({ "timestamp": now_ms / 1000 });
        let topic = match kind {
            NotificationKind::Notify => {
                body["jobs"] = Value::Object(self.notified_jobs());
                RequestTopic::notify(&self.thing, namespace)
            }
            NotificationKind::NotifyNext => {
                if let Some(head) = self.next() {
                    body["execution"] = head.execution.describe(Some(&head.document), now_ms);
                }
                RequestTopic::notify_next(&self.thing, namespace)
            }
        };
        Notification { kind, topic, body }
    }

    /// `{"IN_PROGRESS": […], "QUEUED": […]}`, only what is not empty.
    fn notified_jobs(&self) -> Map<String, Value> {
        let mut jobs: Map<String, Value> = Map::new();
        for entry in self.pending().into_iter().take(MAX_NOTIFIED) {
            let list = jobs
                .entry(entry.execution.status.as_str())
                .or_insert_with(|| Value::Array(Vec::new()));
            if let Value::Array(list) = list {
                list.push(entry.execution.summary());
            }
        }
        jobs
    }
}

impl Outcome {
    fn rejected(rejection: Rejection) -> Self {
        Outcome {
            reply: Err(rejection),
            changed: Vec::new(),
            notifications: Vec::new(),
        }
    }
}

fn order(entry: &Entry) -> (bool, u64, &str) {
    let execution = &entry.execution;
    (
        execution.status != ExecutionStatus::InProgress,
        execution.queued_at_ms,
        &execution.job_id,
    )
}

fn end_all(
    entries: &mut [Entry],
    ends: impl Fn(&Execution) -> bool,
    status: ExecutionStatus,
    now_ms: u64,
) -> Vec<(ExecutionStatus, Execution)> {
    let mut changed = Vec::new();
    for entry in entries.iter_mut().filter(|entry| ends(&entry.execution)) {
        let was = entry.execution.status;
        entry.execution.move_to(status, now_ms);
        changed.push((was, entry.execution.clone()));
    }
    changed
}

fn apply(
    execution: &mut Execution,
    details: Option<BTreeMap<String, String>>,
    step_minutes: Option<Option<u64>>,
    now_ms: u64,
) {
    if let Some(details) = details {
        execution.status_details = details;
    }
    if let Some(minutes) = step_minutes
        && !execution.status.is_terminal()
    {
        execution.step_deadline_ms = minutes.map(|m| now_ms.saturating_add(m * 60_000));
    }
}

fn not_found(job: &str) -> Rejection {
    Rejection::new(
        RejectCode::ResourceNotFound,
        format!("No execution of job {job} for this thing"),
    )
}
