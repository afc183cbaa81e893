//! The queue and the job against tables and a small model.

use super::*;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

const NS: &str = "aws-gg-deployment";

fn entry(job: &str, at_ms: u64) -> Entry {
    Entry {
        execution: Execution::queued(job, "T", 1, Some(1), at_ms),
        document: Arc::new(json!({ "doc": job })),
    }
}

fn queue(jobs: &[(&str, u64)]) -> Queue {
    Queue {
        thing: "T".into(),
        namespace: Some(NS.into()),
        entries: jobs.iter().map(|(job, at)| entry(job, *at)).collect(),
    }
}

fn ask(queue: &mut Queue, request: Request<'_>, body: Value, now_ms: u64) -> Outcome {
    queue.handle(&request, body.to_string().as_bytes(), now_ms)
}

fn kinds(outcome: &Outcome) -> Vec<NotificationKind> {
    outcome.notifications.iter().map(|n| n.kind).collect()
}

#[test]
fn a_job_from_queue_to_success() {
    let mut queue = queue(&[]);
    let told = queue.add(entry("J", 5_000), 5_000);
    assert_eq!(told.len(), 2);
    assert_eq!(
        told[0].topic,
        "$aws/things/T/jobs/notify-namespace-aws-gg-deployment"
    );
    assert_eq!(
        told[0].body,
        json!({"timestamp": 5, "jobs": {"QUEUED": [{"jobId": "J", "queuedAt": 5, "lastUpdatedAt": 5, "executionNumber": 1, "versionNumber": 1}]}})
    );
    let got = ask(
        &mut queue,
        Request::Describe(JobReference::Next),
        json!({"thingName": "T", "jobId": "$next", "includeJobDocument": true}),
        6_000,
    );
    assert_eq!(
        got.reply.expect("there is one"),
        json!({"execution": {"jobId": "J", "thingName": "T", "status": "QUEUED", "queuedAt": 5, "lastUpdatedAt": 5,
            "versionNumber": 1, "executionNumber": 1, "jobDocument": {"doc": "J"}}, "timestamp": 6})
    );
    let started = ask(
        &mut queue,
        Request::Update("J"),
        json!({"status": "IN_PROGRESS", "statusDetails": {}, "expectedVersion": "1", "includeJobExecutionState": true}),
        7_000,
    );
    assert_eq!(
        started.reply.clone().expect("accepted"),
        json!({"executionState": {"status": "IN_PROGRESS", "statusDetails": {}, "versionNumber": 2}, "timestamp": 7})
    );
    assert_eq!(kinds(&started), []);
    assert_eq!(started.changed[0].0, ExecutionStatus::Queued);
    assert_eq!(started.changed[0].1.deadline_ms(), Some(67_000));
    let done = ask(
        &mut queue,
        Request::Update("J"),
        json!({"status": "SUCCEEDED", "statusDetails": {"detailed-deployment-status": "SUCCESSFUL"}}),
        8_000,
    );
    assert_eq!(
        done.reply.clone().expect("accepted"),
        json!({"timestamp": 8})
    );
    assert_eq!(
        kinds(&done),
        [NotificationKind::Notify, NotificationKind::NotifyNext]
    );
    assert_eq!(
        done.notifications[0].body,
        json!({"timestamp": 8, "jobs": {}})
    );
    assert_eq!(done.notifications[1].body, json!({"timestamp": 8}));
    let again = ask(
        &mut queue,
        Request::Update("J"),
        json!({"status": "SUCCEEDED"}),
        9_000,
    );
    let rejection = again.reply.expect_err("terminal states never change");
    assert_eq!(rejection.code, RejectCode::InvalidStateTransition);
    assert_eq!(
        rejection.to_json(9_000)["executionState"]["status"],
        "SUCCEEDED"
    );
    let described = ask(
        &mut queue,
        Request::Describe(JobReference::Id("J")),
        json!({}),
        9_000,
    );
    assert_eq!(
        described.reply.expect_err("terminal").code,
        RejectCode::TerminalStateReached
    );
    let next = ask(
        &mut queue,
        Request::Describe(JobReference::Next),
        json!({"clientToken": "c"}),
        9_000,
    );
    assert_eq!(
        next.reply.expect("nothing waits"),
        json!({"timestamp": 9, "clientToken": "c"})
    );
}

#[test]
fn the_head_is_the_oldest_in_progress_then_the_oldest_queued() {
    let mut queue = queue(&[("B", 2_000), ("A", 1_000), ("C", 3_000)]);
    assert_eq!(queue.next().expect("three wait").execution.job_id, "A");
    let outcome = ask(
        &mut queue,
        Request::Update("C"),
        json!({"status": "IN_PROGRESS"}),
        4_000,
    );
    assert_eq!(kinds(&outcome), [NotificationKind::NotifyNext]);
    assert_eq!(queue.next().expect("three wait").execution.job_id, "C");
    let list = ask(&mut queue, Request::GetPending, json!({}), 4_000)
        .reply
        .expect("a list");
    assert_eq!(list["inProgressJobs"][0]["jobId"], "C");
    assert_eq!(list["queuedJobs"][1]["jobId"], "B");
    let (changed, told) = queue.end("A", ExecutionStatus::Canceled, true, 5_000);
    assert_eq!((changed.len(), told.len()), (1, 1));
    assert!(
        queue
            .end("C", ExecutionStatus::Canceled, true, 5_000)
            .0
            .is_empty()
    );
    assert_eq!(
        queue
            .end("C", ExecutionStatus::Canceled, false, 5_000)
            .0
            .len(),
        1
    );
    let started = ask(
        &mut queue,
        Request::StartNext,
        json!({"stepTimeoutInMinutes": 2}),
        6_000,
    );
    assert_eq!(started.changed[0].1.step_deadline_ms, Some(126_000));
    assert_eq!(started.changed[0].1.in_progress_deadline_ms, Some(66_000));
    assert!(queue.expire(65_999).0.is_empty());
    let (changed, _) = queue.expire(66_000);
    assert_eq!(changed[0].1.status, ExecutionStatus::TimedOut);
    let empty = ask(&mut queue, Request::StartNext, json!({}), 70_000);
    assert_eq!(
        empty.reply.expect("nothing waits"),
        json!({"timestamp": 70})
    );
}

#[test]
fn refused_updates() {
    for (job, body, code) in [
        ("J", json!({}), RejectCode::InvalidRequest),
        ("J", json!({"status": "QUEUED"}), RejectCode::InvalidRequest),
        (
            "J",
            json!({"status": "FAILURE"}),
            RejectCode::InvalidRequest,
        ),
        (
            "J",
            json!({"status": "CANCELED"}),
            RejectCode::InvalidRequest,
        ),
        (
            "J",
            json!({"status": "FAILED", "statusDetails": {"a": 1}}),
            RejectCode::InvalidRequest,
        ),
        (
            "J",
            json!({"status": "FAILED", "statusDetails": {"a b": "c"}}),
            RejectCode::InvalidRequest,
        ),
        (
            "J",
            json!({"status": "FAILED", "statusDetails": {"a": "x".repeat(1025)}}),
            RejectCode::InvalidRequest,
        ),
        (
            "J",
            json!({"status": "FAILED", "stepTimeoutInMinutes": 0}),
            RejectCode::InvalidRequest,
        ),
        (
            "J",
            json!({"status": "FAILED", "expectedVersion": 2}),
            RejectCode::VersionMismatch,
        ),
        (
            "J",
            json!({"status": "FAILED", "executionNumber": 2}),
            RejectCode::ResourceNotFound,
        ),
        (
            "K",
            json!({"status": "FAILED"}),
            RejectCode::ResourceNotFound,
        ),
    ] {
        let mut queue = queue(&[("J", 1)]);
        let before = queue.clone();
        let outcome = ask(&mut queue, Request::Update(job), body.clone(), 2);
        assert_eq!(outcome.reply.expect_err("refused").code, code, "{body}");
        assert_eq!(queue, before);
        assert!(outcome.changed.is_empty() && outcome.notifications.is_empty());
    }
    let outcome = queue(&[]).handle(&Request::GetPending, b"[1", 2);
    assert_eq!(
        outcome.reply.expect_err("refused").code,
        RejectCode::InvalidJson
    );
}

#[test]
fn topics() {
    let parse = |topic| RequestTopic::parse(topic).map(|t| (t.thing, t.namespace, t.request));
    for (topic, expected) in [
        (
            "$aws/things/T/jobs/get",
            Some(("T", None, Request::GetPending)),
        ),
        (
            "$aws/things/T/jobs/start-next",
            Some(("T", None, Request::StartNext)),
        ),
        (
            "$aws/things/T/jobs/start-next-namespace-N",
            Some(("T", Some("N"), Request::StartNext)),
        ),
        (
            "$aws/things/T/jobs/$next/get",
            Some(("T", None, Request::Describe(JobReference::Next))),
        ),
        (
            "$aws/things/T/jobs/$next/namespace-N/get",
            Some(("T", Some("N"), Request::Describe(JobReference::Next))),
        ),
        (
            "$aws/things/T/jobs/J/namespace-N/update",
            Some(("T", Some("N"), Request::Update("J"))),
        ),
        (
            "$aws/things/T/jobs/J/update",
            Some(("T", None, Request::Update("J"))),
        ),
        ("$aws/things/T/jobs/J/update/accepted", None),
        ("$aws/things/T/jobs/J/namespace-N/update/accepted", None),
        ("$aws/things/T/jobs/$next/update", None),
        ("$aws/things/T/jobs/notify", None),
        ("$aws/things/T/jobs/J/namespace-/get", None),
        ("$aws/things//jobs/get", None),
        ("$aws/things/T/shadow/get", None),
    ] {
        assert_eq!(parse(topic), expected, "{topic}");
    }
}

fn rollout(maximum: Option<u32>, exponential: Option<(u32, f64, RateIncrease)>) -> RolloutConfig {
    RolloutConfig {
        maximum_per_minute: maximum,
        exponential_rate: exponential.map(|(base, factor, criteria)| ExponentialRate {
            base_rate_per_minute: base,
            increment_factor: factor,
            rate_increase_criteria: criteria,
        }),
    }
}

fn job(rollout: RolloutConfig, abort: AbortConfig) -> JobState {
    JobState::new(TargetSelection::Continuous, rollout, abort)
}

fn things(n: usize) -> JobEvent {
    JobEvent::Joined((0..n).map(|i| format!("T{i:04}")).collect())
}

fn queued(effects: &[JobEffect]) -> usize {
    let is_queue = |effect: &&JobEffect| matches!(effect, JobEffect::Queue { .. });
    effects.iter().filter(is_queue).count()
}

#[test]
fn rollout_by_the_minute() {
    let mut state = job(rollout(Some(3), None), AbortConfig::default());
    let effects = state.handle(things(7), 100_000);
    assert_eq!(queued(&effects), 3);
    assert_eq!(effects.last(), Some(&JobEffect::Wake { at_ms: 160_000 }));
    assert_eq!(queued(&state.handle(JobEvent::Tick, 159_999)), 0);
    assert_eq!(queued(&state.handle(JobEvent::Tick, 160_000)), 3);
    let last = state.handle(JobEvent::Tick, 220_000);
    assert_eq!((queued(&last), last.len()), (1, 1));
}

#[test]
fn an_exponential_rate_grows_with_its_criterion() {
    let by_notified = rollout(
        Some(50),
        Some((2, 2.0, RateIncrease::NumberOfNotifiedThings(2))),
    );
    let mut state = job(by_notified, AbortConfig::default());
    let mut sizes = vec![queued(&state.handle(things(100), 0))];
    for minute in 1..6 {
        sizes.push(queued(&state.handle(JobEvent::Tick, minute * 60_000)));
    }
    assert_eq!(sizes, [2, 4, 16, 50, 28, 0]);
    let by_succeeded = rollout(
        Some(50),
        Some((2, 2.0, RateIncrease::NumberOfSucceededThings(2))),
    );
    assert_eq!(by_succeeded.rate_per_minute(90, 1), 2);
    assert_eq!(by_succeeded.rate_per_minute(90, 3), 4);
    assert_eq!(by_succeeded.rate_per_minute(90, 1_000_000), 50);
    let unbounded = RolloutConfig {
        maximum_per_minute: None,
        ..by_succeeded
    };
    assert!(unbounded.validate().is_err());
}

fn change(from: ExecutionStatus, to: ExecutionStatus) -> JobEvent {
    JobEvent::ExecutionChanged {
        from: Some(from),
        to,
    }
}

#[test]
fn a_job_gives_up_at_its_threshold() {
    let criteria = serde_json::from_value(json!({"criteriaList": [{"failureType": "FAILED",
        "action": "CANCEL", "thresholdPercentage": 50.0, "minNumberOfExecutedThings": 3}]}));
    let abort: AbortConfig = criteria.expect("the document is sound");
    abort.validate().expect("in range");
    let mut state = job(rollout(Some(4), None), abort);
    for effect in state.handle(things(9), 0) {
        if matches!(effect, JobEffect::Queue { .. }) {
            state.handle(
                JobEvent::ExecutionChanged {
                    from: None,
                    to: ExecutionStatus::Queued,
                },
                0,
            );
        }
    }
    let (queued, failed) = (ExecutionStatus::Queued, ExecutionStatus::Failed);
    assert!(state.handle(change(queued, failed), 1).is_empty());
    assert!(
        state
            .handle(change(queued, ExecutionStatus::Rejected), 1)
            .is_empty()
    );
    assert_eq!(
        state.handle(change(queued, failed), 1),
        [
            JobEffect::StatusChanged(JobStatus::Canceled),
            JobEffect::CancelExecutions { only_queued: true }
        ]
    );
    assert!(state.waiting.is_empty());
    assert!(state.handle(JobEvent::Tick, 60_000).is_empty());
    assert!(state.handle(things(1), 60_000).is_empty());
}

#[test]
fn membership() {
    let mut state = job(RolloutConfig::default(), AbortConfig::default());
    let effects = state.handle(JobEvent::Joined(vec!["A".into()]), 0);
    assert_eq!(effects, [JobEffect::Queue { thing: "A".into() }]);
    let effects = state.handle(JobEvent::Left(vec!["A".into()]), 1);
    assert_eq!(effects, [JobEffect::RemoveQueued { thing: "A".into() }]);
    assert_eq!(state.status, JobStatus::InProgress);

    let mut snapshot = JobState::new(
        TargetSelection::Snapshot,
        RolloutConfig::default(),
        AbortConfig::default(),
    );
    assert_eq!(queued(&snapshot.handle(things(1), 0)), 1);
    snapshot.handle(
        JobEvent::ExecutionChanged {
            from: None,
            to: ExecutionStatus::Queued,
        },
        0,
    );
    let effects = snapshot.handle(
        change(ExecutionStatus::Queued, ExecutionStatus::Succeeded),
        1,
    );
    assert_eq!(effects, [JobEffect::StatusChanged(JobStatus::Completed)]);
    let text = serde_json::to_string(&snapshot).expect("a state serialises");
    assert_eq!(
        serde_json::from_str::<JobState>(&text).expect("and back"),
        snapshot
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a device sends: versions only grow, terminal stays terminal, and a notification
    /// is sent exactly when the pending set or its head changed.
    #[test]
    fn queues_keep_their_promises(steps in prop::collection::vec((0..4usize, 0..6usize, 1..4u64), 1..40)) {
        let mut queue = queue(&[]);
        let mut now = 1_000;
        for (job, action, wait) in steps {
            now += wait * 500;
            let id = ["A", "B", "C", "D"][job];
            let before = queue.clone();
            let notifications = match action {
                0 if queue.entries.iter().all(|e| e.execution.job_id != id) => queue.add(entry(id, now), now),
                0 | 1 => ask(&mut queue, Request::StartNext, json!({}), now).notifications,
                2 => ask(&mut queue, Request::Update(id), json!({"status": "IN_PROGRESS"}), now).notifications,
                3 => ask(&mut queue, Request::Update(id), json!({"status": "SUCCEEDED"}), now).notifications,
                4 => queue.end(id, ExecutionStatus::Canceled, false, now).1,
                _ => queue.expire(now).1,
            };
            for entry in &before.entries {
                let after = queue.entries.iter().find(|e| e.execution.job_id == entry.execution.job_id);
                let after = &after.expect("entries stay").execution;
                if entry.execution.status.is_terminal() {
                    prop_assert_eq!(after, &entry.execution);
                }
                prop_assert!(after.version_number >= entry.execution.version_number);
                prop_assert_eq!(after == &entry.execution, after.version_number == entry.execution.version_number);
            }
            let pending = |queue: &Queue| {
                let open = queue.entries.iter().filter(|e| !e.execution.status.is_terminal());
                let mut ids: Vec<_> = open.map(|e| e.execution.job_id.clone()).collect();
                ids.sort();
                ids
            };
            let head = |queue: &Queue| queue.next().map(|e| e.execution.job_id.clone());
            let told = |kind| notifications.iter().any(|n| n.kind == kind);
            prop_assert_eq!(told(NotificationKind::Notify), pending(&before) != pending(&queue));
            prop_assert_eq!(told(NotificationKind::NotifyNext), head(&before) != head(&queue));
        }
    }
}
