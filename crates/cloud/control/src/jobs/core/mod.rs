//! Jobs as values: executions, the queue of a thing, rollout, abort, timeouts and membership.
//!
//! Nothing here stores, publishes or reads a clock. Two machines share the work:
//!
//! - [`Queue`] is one thing's executions in one namespace. It answers what a device asks
//!   (`get`, `start-next`, describe, `update`) and says which notifications follow a change.
//! - [`JobState`] is one job: whom to give an execution now, when to look again, when to abort,
//!   when it is complete. [`JobState::handle`] takes an event and gives effects.
//!
//! The owner of the tables loads a value, hands it the event, stores what changed and publishes
//! what follows, in one transaction. Every change of an execution's status that a queue reports
//! goes to the job as [`JobEvent::ExecutionChanged`], queueing included.
//!
//! Invariants:
//! - A terminal execution never changes; `versionNumber` grows by one with every change.
//! - A notification follows exactly the changes of the pending list or of its head.
//! - Namespaces do not see each other.
//!
//! When a new job replaces an older one for the same things, queue the new executions before
//! cancelling the old: a device then never sees an empty list, which it takes for "cancel".

mod body;
mod config;
mod execution;
mod job;
mod queue;
mod topic;

pub use config::{
    AbortConfig, AbortCriterion, ConfigError, ExponentialRate, FailureType, RateIncrease,
    RolloutConfig, TimeoutConfig,
};
pub use execution::{Execution, ExecutionStatus};
pub use job::{Counts, JobEffect, JobEvent, JobState, JobStatus, TargetSelection};
pub use queue::{Entry, Notification, NotificationKind, Outcome, Queue, RejectCode, Rejection};
pub use topic::{JobReference, Request, RequestTopic};

#[cfg(test)]
mod tests;
