//! Events go in, rows and notifications come out: the one place that changes jobs.

use super::core::{
    Entry, Execution, ExecutionStatus, JobEffect, JobEvent, JobState, JobStatus, Notification,
    NotificationKind, TargetSelection,
};
use super::store::{self, JobRow};
use super::{AbortConfig, GREENGRASS, RolloutConfig, TimeoutConfig};
use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::scope::Scope;
use crate::{greengrass, iot, outbox};
use serde_json::Value as Json;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use sward_model::{Arn, DeploymentTarget};
use sward_store::{Row, Tx};

/// A job to make.
#[derive(Clone, Debug)]
pub(crate) struct NewJob {
    pub(crate) id: String,
    /// Empty for none.
    pub(crate) namespace: String,
    pub(crate) targets: Vec<Arn>,
    pub(crate) document: String,
    pub(crate) description: Option<String>,
    pub(crate) selection: TargetSelection,
    pub(crate) rollout: RolloutConfig,
    pub(crate) abort: AbortConfig,
    pub(crate) timeout: TimeoutConfig,
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

/// Makes a job, and the first executions as far as its rollout allows.
pub(crate) async fn create(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    new: NewJob,
) -> Outcome<()> {
    let now = control.now_ms();
    let mut members = BTreeSet::new();
    for target in &new.targets {
        members.extend(members_of(tx, scope, target).await?);
    }
    let mut row = JobRow {
        id: new.id,
        namespace: new.namespace,
        targets: new.targets.iter().map(ToString::to_string).collect(),
        document: new.document,
        description: new.description,
        state: JobState::new(new.selection, new.rollout, new.abort),
        timeout_minutes: new
            .timeout
            .in_progress_timeout_in_minutes
            .and_then(|minutes| i64::try_from(minutes).ok()),
        wake_ms: None,
        comment: None,
        forced: false,
        created_ms: now,
        updated_ms: now,
        completed_ms: None,
    };
    // The row must stand before executions refer to its document.
    store::save(tx, scope, &row).await?;
    for target in &row.targets {
        store::add_target(tx, scope, &row.id, target).await?;
    }
    for thing in &members {
        store::set_member(tx, scope, &row.id, thing, true).await?;
    }
    let joined = JobEvent::Joined(members.into_iter().collect());
    drive(control, tx, scope, &mut row, vec![joined]).await
}

/// The things that a target means now.
async fn members_of(tx: &mut Tx, scope: &Scope, target: &Arn) -> Outcome<BTreeSet<String>> {
    match target.as_target() {
        Some(DeploymentTarget::Thing(name)) => {
            if iot::thing(tx, scope, name.as_str()).await?.is_none() {
                return Err(Fault::not_found("thing", name.as_str()));
            }
            Ok(BTreeSet::from([name.to_string()]))
        }
        Some(DeploymentTarget::ThingGroup(name)) => {
            if iot::group(tx, scope, name.as_str()).await?.is_none() {
                return Err(Fault::not_found("thing group", name.as_str()));
            }
            iot::members_recursive(tx, scope, name.as_str()).await
        }
        None => Err(Fault::field(
            "targets",
            format!("{target} is neither a thing nor a thing group"),
        )),
    }
}

/// Cancels a job; without `force`, what is in progress goes on.
pub(crate) async fn cancel(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    id: &str,
    reason: &str,
    force: bool,
) -> Outcome<()> {
    let Some(mut row) = store::job(tx, scope, id).await? else {
        return Err(Fault::not_found("job", id));
    };
    row.forced |= force && row.state.status != JobStatus::Completed;
    let event = JobEvent::Cancel {
        force,
        reason_code: reason.to_owned(),
    };
    drive(control, tx, scope, &mut row, vec![event]).await
}

/// Runs events through a job until nothing follows, and stores it.
pub(super) async fn drive(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    row: &mut JobRow,
    events: Vec<JobEvent>,
) -> Outcome<()> {
    let now = control.now_ms();
    let mut events = VecDeque::from(events);
    while let Some(event) = events.pop_front() {
        if matches!(event, JobEvent::Tick) {
            row.wake_ms = None;
        }
        for effect in row.state.handle(event, unsigned(now)) {
            match effect {
                JobEffect::Queue { thing } => {
                    let change = queue_execution(control, tx, scope, row, &thing).await?;
                    events.push_back(change);
                }
                JobEffect::CancelExecutions { only_queued } => {
                    for thing in pending_things(tx, scope, &row.id).await? {
                        let status = ExecutionStatus::Canceled;
                        let end = End {
                            status,
                            only_queued,
                        };
                        events.extend(end_execution(control, tx, scope, row, &thing, end).await?);
                    }
                }
                JobEffect::RemoveQueued { thing } => {
                    let end = End {
                        status: ExecutionStatus::Removed,
                        only_queued: true,
                    };
                    events.extend(end_execution(control, tx, scope, row, &thing, end).await?);
                }
                JobEffect::StatusChanged(status) => {
                    if status != JobStatus::InProgress {
                        row.completed_ms = Some(now);
                        store::forget_members(tx, scope, &row.id).await?;
                    }
                    if row.namespace == GREENGRASS && status == JobStatus::Canceled {
                        greengrass::job_canceled(tx, scope, &row.id).await?;
                    }
                }
                JobEffect::Wake { at_ms } => {
                    row.wake_ms = Some(i64::try_from(at_ms).unwrap_or(i64::MAX));
                }
            }
        }
    }
    row.updated_ms = now;
    store::save(tx, scope, row).await
}

async fn pending_things(tx: &mut Tx, scope: &Scope, job: &str) -> Outcome<BTreeSet<String>> {
    Ok(store::executions_of_job(tx, scope, job)
        .await?
        .into_iter()
        .filter(|execution| !execution.status.is_terminal())
        .map(|execution| execution.thing_name)
        .collect())
}

async fn queue_execution(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    row: &JobRow,
    thing: &str,
) -> Outcome<JobEvent> {
    let now = unsigned(control.now_ms());
    let number = store::executions(tx, scope, &row.id, thing)
        .await?
        .last()
        .map_or(1, |last| last.execution_number + 1);
    let execution = Execution::queued(
        &row.id,
        thing,
        number,
        row.timeout_minutes.map(unsigned),
        now,
    );
    let mut queue = store::queue(tx, scope, thing, &row.namespace, None).await?;
    let document =
        serde_json::from_str(&row.document).unwrap_or_else(|_| Json::String(row.document.clone()));
    let entry = Entry {
        execution: execution.clone(),
        document: Arc::new(document),
    };
    let notifications = queue.add(entry, now);
    keep(control, tx, scope, &row.namespace, &execution).await?;
    announce(tx, scope, thing, &row.namespace, notifications).await?;
    Ok(JobEvent::ExecutionChanged {
        from: None,
        to: ExecutionStatus::Queued,
    })
}

#[derive(Clone, Copy)]
struct End {
    status: ExecutionStatus,
    only_queued: bool,
}

async fn end_execution(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    row: &JobRow,
    thing: &str,
    end: End,
) -> Outcome<Vec<JobEvent>> {
    let now = unsigned(control.now_ms());
    let mut queue = store::queue(tx, scope, thing, &row.namespace, None).await?;
    let (changed, notifications) = queue.end(&row.id, end.status, end.only_queued, now);
    let mut events = Vec::new();
    for (from, execution) in changed {
        keep(control, tx, scope, &row.namespace, &execution).await?;
        events.push(JobEvent::ExecutionChanged {
            from: Some(from),
            to: execution.status,
        });
    }
    announce(tx, scope, thing, &row.namespace, notifications).await?;
    Ok(events)
}

/// Stores an execution and tells Greengrass of its own.
async fn keep(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    namespace: &str,
    execution: &Execution,
) -> Outcome<()> {
    store::save_execution(tx, scope, namespace, execution).await?;
    if namespace == GREENGRASS {
        greengrass::execution_changed(control, tx, scope, execution).await?;
    }
    Ok(())
}

/// Puts notifications into the outbox. What they say is read when they are published: an empty
/// list that is sent again after a crash would cancel the deployment that began since.
pub(super) async fn announce(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    namespace: &str,
    notifications: Vec<Notification>,
) -> Outcome<()> {
    for notification in notifications {
        outbox::notify(tx, scope, thing, namespace, notification.kind).await?;
    }
    Ok(())
}

/// What a notification says now.
pub(crate) async fn notification(
    control: &Control,
    scope: &Scope,
    thing: &str,
    namespace: &str,
    kind: NotificationKind,
) -> Outcome<Notification> {
    let mut tx = control.read().await?;
    let queue = store::queue(&mut tx, scope, thing, namespace, None).await?;
    Ok(queue.notification(kind, unsigned(control.now_ms())))
}

/// Stores what a queue changed and lets the jobs know.
pub(super) async fn settle(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    namespace: &str,
    changed: Vec<(ExecutionStatus, Execution)>,
) -> Outcome<()> {
    for (from, execution) in changed {
        keep(control, tx, scope, namespace, &execution).await?;
        let Some(mut row) = store::job(tx, scope, &execution.job_id).await? else {
            continue;
        };
        let event = JobEvent::ExecutionChanged {
            from: Some(from),
            to: execution.status,
        };
        drive(control, tx, scope, &mut row, vec![event]).await?;
    }
    Ok(())
}

/// A thing's groups changed: continuous jobs gain or lose it. One that is no more is lost to all
/// jobs.
pub(crate) async fn membership_changed(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
) -> Outcome<()> {
    let mut wanted = BTreeSet::new();
    for group in iot::groups_with_ancestors(tx, scope, thing).await? {
        let target = scope.iot("thinggroup", &group).to_string();
        wanted.extend(store::jobs_of_target(tx, scope, &target).await?);
    }
    let exists = iot::thing(tx, scope, thing).await?.is_some();
    if exists {
        let target = scope.iot("thing", thing).to_string();
        wanted.extend(store::jobs_of_target(tx, scope, &target).await?);
    }
    let counted: BTreeSet<String> = store::jobs_of_member(tx, scope, thing)
        .await?
        .into_iter()
        .collect();
    for id in wanted.difference(&counted) {
        change_member(control, tx, scope, id, thing, Member::Joins).await?;
    }
    let leaves = if exists {
        Member::Leaves
    } else {
        Member::IsGone
    };
    for id in counted.difference(&wanted) {
        change_member(control, tx, scope, id, thing, leaves).await?;
    }
    Ok(())
}

/// What happened to a thing, seen from a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Member {
    Joins,
    Leaves,
    /// The thing itself was deleted.
    IsGone,
}

async fn change_member(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    id: &str,
    thing: &str,
    change: Member,
) -> Outcome<()> {
    let Some(mut row) = store::job(tx, scope, id).await? else {
        return Ok(());
    };
    let follows = row.state.target_selection == TargetSelection::Continuous;
    if row.state.status != JobStatus::InProgress || !(follows || change == Member::IsGone) {
        return Ok(());
    }
    let member = change == Member::Joins;
    store::set_member(tx, scope, id, thing, member).await?;
    let pending = store::executions(tx, scope, id, thing)
        .await?
        .iter()
        .any(|execution| !execution.status.is_terminal());
    if member && pending {
        // It left and came back while the device was at work.
        return Ok(());
    }
    let things = vec![thing.to_owned()];
    let event = if member {
        JobEvent::Joined(things)
    } else {
        JobEvent::Left(things)
    };
    drive(control, tx, scope, &mut row, vec![event]).await
}

/// Lets rollouts go on and ends executions whose time is over. Idempotent; the background work
/// calls it every few seconds.
pub(crate) async fn tick(control: &Control) -> Outcome<()> {
    let now = control.now_ms();
    // A reader finds out whether there is anything to do, so that idle clouds never write.
    let due = {
        let mut tx = control.read().await?;
        let jobs = tx
            .all(
                "SELECT account, region, id FROM jobs WHERE wake_ms IS NOT NULL AND wake_ms <= $1",
                &[now.into()],
            )
            .await?;
        let executions = tx
            .all(
                "SELECT DISTINCT account, region, thing, namespace FROM job_executions
                 WHERE deadline_ms IS NOT NULL AND deadline_ms <= $1 AND pending = 1",
                &[now.into()],
            )
            .await?;
        (jobs, executions)
    };
    // One that fails holds up none of the others; the first failure is told at the end.
    let mut outcome = Ok(());
    for row in &due.0 {
        outcome = outcome.and(roll_out(control, row).await);
    }
    for row in &due.1 {
        outcome = outcome.and(expire(control, row, now).await);
    }
    outcome
}

async fn roll_out(control: &Control, row: &Row) -> Outcome<()> {
    let scope = scope_of(row)?;
    let id = row.text("id")?;
    let mut tx = control.write().await?;
    if let Some(mut job) = store::job(&mut tx, &scope, &id).await? {
        drive(control, &mut tx, &scope, &mut job, vec![JobEvent::Tick]).await?;
        tx.commit().await?;
    }
    Ok(())
}

async fn expire(control: &Control, row: &Row, now: i64) -> Outcome<()> {
    let scope = scope_of(row)?;
    let (thing, namespace) = (row.text("thing")?, row.text("namespace")?);
    let mut tx = control.write().await?;
    let mut queue = store::queue(&mut tx, &scope, &thing, &namespace, None).await?;
    let (changed, notifications) = queue.expire(unsigned(now));
    settle(control, &mut tx, &scope, &namespace, changed).await?;
    announce(&mut tx, &scope, &thing, &namespace, notifications).await?;
    tx.commit().await?;
    Ok(())
}

fn scope_of(row: &Row) -> Outcome<Scope> {
    let read = |error| {
        Fault::new(
            Refusal::Internal,
            format!("a stored row is damaged: {error}"),
        )
    };
    Ok(Scope {
        account: row.text("account")?.parse().map_err(read)?,
        region: row.text("region")?.parse().map_err(read)?,
    })
}
