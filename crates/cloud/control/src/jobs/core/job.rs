//! One job: whom to give an execution and when, when to give up, when it is done.

use super::config::{AbortConfig, FailureType, RolloutConfig};
use super::execution::ExecutionStatus;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Where a job stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    InProgress,
    Canceled,
    Completed,
    DeletionInProgress,
}

impl JobStatus {
    /// The wire name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            JobStatus::InProgress => "IN_PROGRESS",
            JobStatus::Canceled => "CANCELED",
            JobStatus::Completed => "COMPLETED",
            JobStatus::DeletionInProgress => "DELETION_IN_PROGRESS",
        }
    }
}

/// Whether things that join a target later get the job too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum TargetSelection {
    /// No; the job is complete when all are done.
    Snapshot,
    /// Yes; the job never completes by itself.
    Continuous,
}

/// Executions by status, as `jobProcessDetails` shows them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub queued: u64,
    pub in_progress: u64,
    pub succeeded: u64,
    pub failed: u64,
    pub rejected: u64,
    pub timed_out: u64,
    pub canceled: u64,
    pub removed: u64,
}

impl Counts {
    fn of(&mut self, status: ExecutionStatus) -> &mut u64 {
        match status {
            ExecutionStatus::Queued => &mut self.queued,
            ExecutionStatus::InProgress => &mut self.in_progress,
            ExecutionStatus::Succeeded => &mut self.succeeded,
            ExecutionStatus::Failed => &mut self.failed,
            ExecutionStatus::Rejected => &mut self.rejected,
            ExecutionStatus::TimedOut => &mut self.timed_out,
            ExecutionStatus::Canceled => &mut self.canceled,
            ExecutionStatus::Removed => &mut self.removed,
        }
    }

    /// Things whose device (or timer) brought the job to an end.
    fn executed(&self) -> u64 {
        self.succeeded + self.failed + self.rejected + self.timed_out
    }

    fn failures(&self, kind: FailureType) -> u64 {
        match kind {
            FailureType::Failed => self.failed,
            FailureType::Rejected => self.rejected,
            FailureType::TimedOut => self.timed_out,
            FailureType::All => self.failed + self.rejected + self.timed_out,
        }
    }
}

/// What happens to a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEvent {
    /// Things of the target that have no pending execution of this job: its members when the
    /// job is made, later those that join (continuous jobs only).
    Joined(Vec<String>),
    /// Things that left the target.
    Left(Vec<String>),
    /// An execution was queued (`from: None`) or moved.
    ExecutionChanged {
        from: Option<ExecutionStatus>,
        to: ExecutionStatus,
    },
    /// The time asked for by [`JobEffect::Wake`] has come.
    Tick,
    /// CancelJob. Without `force`, executions in progress go on; with it they end, also those of a
    /// job that was cancelled before.
    Cancel { force: bool, reason_code: String },
}

/// What to do because of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobEffect {
    /// Give the thing a queued execution.
    Queue { thing: String },
    /// End the executions of all things as CANCELED.
    CancelExecutions { only_queued: bool },
    /// End the thing's execution as REMOVED when it is still queued.
    RemoveQueued { thing: String },
    /// The job has a new status; store it with this reason.
    StatusChanged(JobStatus),
    /// Send [`JobEvent::Tick`] at this time (epoch milliseconds); replaces an earlier wish.
    Wake { at_ms: u64 },
}

/// One job. Its JSON form is what a store keeps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobState {
    pub status: JobStatus,
    pub target_selection: TargetSelection,
    #[serde(default)]
    pub rollout: RolloutConfig,
    #[serde(default)]
    pub abort: AbortConfig,
    /// Why it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason_code: Option<String>,
    #[serde(default)]
    pub counts: Counts,
    /// Things that wait for their turn, first come first served.
    #[serde(default)]
    pub waiting: VecDeque<String>,
    /// Things that got an execution, ever.
    #[serde(default)]
    pub notified: u64,
    #[serde(default)]
    window_start_ms: u64,
    #[serde(default)]
    released_in_window: u64,
}

const WINDOW_MS: u64 = 60_000;
const ABORTED: &str = "ABORT_CONFIG_CRITERIA_MET";

impl JobState {
    /// A job that has given nothing to anybody yet; its members come as [`JobEvent::Joined`].
    #[must_use]
    pub fn new(
        target_selection: TargetSelection,
        rollout: RolloutConfig,
        abort: AbortConfig,
    ) -> Self {
        JobState {
            status: JobStatus::InProgress,
            target_selection,
            rollout,
            abort,
            reason_code: None,
            counts: Counts::default(),
            waiting: VecDeque::new(),
            notified: 0,
            window_start_ms: 0,
            released_in_window: 0,
        }
    }

    /// Takes an event and says what to do.
    pub fn handle(&mut self, event: JobEvent, now_ms: u64) -> Vec<JobEffect> {
        let mut effects = Vec::new();
        match event {
            JobEvent::Joined(things) if self.status == JobStatus::InProgress => {
                for thing in things {
                    if !self.waiting.contains(&thing) {
                        self.waiting.push_back(thing);
                    }
                }
                self.release(now_ms, &mut effects);
                self.complete(&mut effects);
            }
            JobEvent::Left(things) => {
                for thing in things {
                    self.waiting.retain(|waiting| *waiting != thing);
                    effects.push(JobEffect::RemoveQueued { thing });
                }
                self.complete(&mut effects);
            }
            JobEvent::ExecutionChanged { from, to } => {
                if let Some(from) = from {
                    let count = self.counts.of(from);
                    *count = count.saturating_sub(1);
                }
                *self.counts.of(to) += 1;
                if to.is_terminal() {
                    self.give_up(&mut effects);
                    self.complete(&mut effects);
                }
            }
            JobEvent::Tick => self.release(now_ms, &mut effects),
            JobEvent::Cancel { force, reason_code } if self.status == JobStatus::InProgress => {
                self.cancel(&reason_code, !force, &mut effects);
            }
            JobEvent::Cancel { force: true, .. } if self.status == JobStatus::Canceled => {
                // What an earlier cancel spared ends now.
                effects.push(JobEffect::CancelExecutions { only_queued: false });
            }
            JobEvent::Joined(_) | JobEvent::Cancel { .. } => {}
        }
        effects
    }

    /// Whether DeleteJob may go on: a job in progress only by force.
    #[must_use]
    pub fn may_delete(&self, force: bool) -> bool {
        force || matches!(self.status, JobStatus::Canceled | JobStatus::Completed)
    }

    fn release(&mut self, now_ms: u64, effects: &mut Vec<JobEffect>) {
        if self.status != JobStatus::InProgress {
            return;
        }
        if now_ms >= self.window_start_ms.saturating_add(WINDOW_MS) {
            self.window_start_ms = now_ms;
            self.released_in_window = 0;
        }
        let rate = self
            .rollout
            .rate_per_minute(self.notified, self.counts.succeeded);
        while self.released_in_window < rate
            && let Some(thing) = self.waiting.pop_front()
        {
            self.released_in_window += 1;
            self.notified += 1;
            effects.push(JobEffect::Queue { thing });
        }
        if !self.waiting.is_empty() {
            let at_ms = self.window_start_ms + WINDOW_MS;
            effects.push(JobEffect::Wake { at_ms });
        }
    }

    fn give_up(&mut self, effects: &mut Vec<JobEffect>) {
        if self.status != JobStatus::InProgress {
            return;
        }
        let executed = self.counts.executed();
        let met = self.abort.criteria_list.iter().any(|criterion| {
            let failures = self.counts.failures(criterion.failure_type);
            let share = failures as f64 * 100.0 / executed.max(1) as f64;
            executed >= u64::from(criterion.min_number_of_executed_things)
                && share >= criterion.threshold_percentage
        });
        if met {
            self.cancel(ABORTED, true, effects);
        }
    }

    fn cancel(&mut self, reason: &str, only_queued: bool, effects: &mut Vec<JobEffect>) {
        self.status = JobStatus::Canceled;
        self.reason_code = Some(reason.to_owned());
        self.waiting.clear();
        effects.push(JobEffect::StatusChanged(JobStatus::Canceled));
        effects.push(JobEffect::CancelExecutions { only_queued });
    }

    fn complete(&mut self, effects: &mut Vec<JobEffect>) {
        let done = self.status == JobStatus::InProgress
            && self.target_selection == TargetSelection::Snapshot
            && self.waiting.is_empty()
            && self.counts.queued + self.counts.in_progress == 0
            && !effects
                .iter()
                .any(|effect| matches!(effect, JobEffect::Queue { .. }));
        if done {
            self.status = JobStatus::Completed;
            effects.push(JobEffect::StatusChanged(JobStatus::Completed));
        }
    }
}
