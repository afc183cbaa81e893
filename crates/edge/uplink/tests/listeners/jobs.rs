//! Group deployments: the jobs listener.

use super::*;

fn job_status(id: &str, s: DeploymentStatus) -> Event<'static> {
    Event::Status(status(id, DeploymentSource::Jobs, s))
}

pub(crate) fn next_is(machine: &mut JobsListener, job: &str, queued_at: u64) -> Vec<String> {
    let body = json!({"timestamp": queued_at, "execution": {"jobId": job, "status": "QUEUED",
        "queuedAt": queued_at, "jobDocument": {"deploymentId": format!("uuid-{job}")}}});
    say(
        machine,
        &format!("{JOBS}$next{NS}get/accepted"),
        body,
        queued_at * 1000,
    )
}

fn notify(machine: &mut JobsListener, timestamp: u64, jobs: Value) -> Vec<String> {
    let body = json!({"timestamp": timestamp, "jobs": jobs});
    say(
        machine,
        &format!("{JOBS}notify-namespace-aws-gg-deployment"),
        body,
        timestamp * 1000,
    )
}

#[test]
fn the_question_follows_the_subscriptions() {
    let mut jobs = JobsListener::new("T", Vec::new());
    let effects = jobs.handle(Event::Connected, 0);
    assert_eq!(
        brief(&effects),
        [
            "sub $next:get/accepted",
            "sub $next:get/rejected",
            "sub notify-namespace-aws-gg-deployment"
        ]
    );
    let mut said = Vec::new();
    for effect in &effects {
        let Effect::Subscribe(filter) = effect else {
            continue;
        };
        said.push(brief(&jobs.handle(Event::Subscribed(filter), 0)));
    }
    assert_eq!(said, [vec![], vec![], vec!["pub $next:get".to_owned()]]);
    // No answer: asked again.
    assert_eq!(jobs.deadline(), Some(30_000));
    assert_eq!(brief(&jobs.handle(Event::Tick, 30_000)), ["pub $next:get"]);
    assert!(next_is(&mut jobs, "J", 40).contains(&"submit J".to_owned()));
    assert_eq!(jobs.deadline(), None);
}

#[test]
fn a_refused_subscription_is_tried_again() {
    let mut jobs = JobsListener::new("T", Vec::new());
    let effects = jobs.handle(Event::Connected, 0);
    let filters: Vec<_> = effects
        .iter()
        .map(|effect| match effect {
            Effect::Subscribe(filter) => filter.clone(),
            other => panic!("{other:?}"),
        })
        .collect();
    jobs.handle(Event::Subscribed(&filters[0]), 1);
    jobs.handle(Event::SubscribeFailed(&filters[1]), 1);
    jobs.handle(Event::Subscribed(&filters[2]), 1);
    assert_eq!(jobs.deadline(), Some(120_001));
    assert_eq!(
        brief(&jobs.handle(Event::Tick, 120_001)),
        ["sub $next:get/rejected"]
    );
    assert_eq!(
        brief(&jobs.handle(Event::Subscribed(&filters[1]), 120_002)),
        ["pub $next:get"]
    );
}

fn deliver(jobs: &mut JobsListener, job: &str, effects: &[String]) -> Vec<String> {
    assert_eq!(
        effects[effects.len() - 2..],
        [
            format!("sub {job}:update/accepted"),
            format!("sub {job}:update/rejected")
        ]
    );
    let mut said = Vec::new();
    for end in ["accepted", "rejected"] {
        let filter = format!("{JOBS}{job}{NS}update/{end}");
        said.extend(brief(&jobs.handle(Event::Subscribed(&filter), 50)));
    }
    said
}

fn accepted(jobs: &mut JobsListener, job: &str) -> Vec<String> {
    say(
        jobs,
        &format!("{JOBS}{job}{NS}update/accepted"),
        json!({"timestamp": 1}),
        60,
    )
}

#[test]
fn a_status_is_saved_before_it_is_sent_and_until_it_is_accepted() {
    let mut jobs = JobsListener::new("T", Vec::new());
    connect(&mut jobs);
    next_is(&mut jobs, "J", 1);
    let effects = brief(&jobs.handle(job_status("J", DeploymentStatus::InProgress), 50));
    assert_eq!(effects[0], "saved");
    assert_eq!(
        deliver(&mut jobs, "J", &effects),
        ["pub J:update IN_PROGRESS"]
    );
    assert_eq!(jobs.pending().len(), 1);
    assert_eq!(
        accepted(&mut jobs, "J"),
        [
            "saved",
            "delivered J IN_PROGRESS",
            "unsub J:update/accepted",
            "unsub J:update/rejected"
        ]
    );
    assert!(jobs.pending().is_empty());
    // The end is told after a disconnect, too.
    jobs.handle(Event::Disconnected, 70);
    assert_eq!(
        brief(&jobs.handle(job_status("J", DeploymentStatus::Succeeded), 80)),
        ["saved"]
    );
    let effects = brief(&jobs.handle(Event::Connected, 90));
    assert_eq!(effects[0], "pub $next:get");
    assert_eq!(
        deliver(&mut jobs, "J", &effects),
        ["pub J:update SUCCEEDED"]
    );
    // Not answered: said again by a restarted core from what was saved.
    let mut jobs = JobsListener::new("T", jobs.pending());
    assert_eq!(
        connect(&mut jobs),
        ["pub $next:get", "pub J:update SUCCEEDED"]
    );
    // The cloud still lists it: not run again.
    assert!(next_is(&mut jobs, "J", 1).is_empty());
    accepted(&mut jobs, "J");
    assert!(jobs.pending().is_empty());
}

#[test]
fn answers_that_do_not_come_and_refusals() {
    let mut jobs = JobsListener::new("T", Vec::new());
    connect(&mut jobs);
    next_is(&mut jobs, "J", 1);
    let effects = brief(&jobs.handle(job_status("J", DeploymentStatus::Succeeded), 50));
    assert_eq!(
        deliver(&mut jobs, "J", &effects),
        ["pub J:update SUCCEEDED"]
    );
    assert_eq!(jobs.deadline(), Some(30_050));
    let unsubscribed = ["unsub J:update/accepted", "unsub J:update/rejected"];
    assert_eq!(brief(&jobs.handle(Event::Tick, 30_050)), unsubscribed);
    assert_eq!(jobs.deadline(), Some(35_050));
    let effects = brief(&jobs.handle(Event::Tick, 35_050));
    assert_eq!(
        deliver(&mut jobs, "J", &effects),
        ["pub J:update SUCCEEDED"]
    );
    let rejected = format!("{JOBS}J{NS}update/rejected");
    let throttled = json!({"code": "RequestThrottled"});
    assert_eq!(say(&mut jobs, &rejected, throttled, 36_000), unsubscribed);
    // Another job's status is not held up by this one.
    jobs.handle(job_status("K", DeploymentStatus::Succeeded), 37_000);
    let effects = brief(&jobs.handle(Event::Tick, 60_000));
    assert_eq!(
        deliver(&mut jobs, "J", &effects),
        ["pub J:update SUCCEEDED"]
    );
    let said = say(
        &mut jobs,
        &rejected,
        json!({"code": "InvalidStateTransition"}),
        61_000,
    );
    assert_eq!(said[..2], ["saved", "delivered J SUCCEEDED refused"]);
    assert_eq!(deliver(&mut jobs, "K", &said), ["pub K:update SUCCEEDED"]);
    let late = brief(&jobs.handle(Event::Tick, 91_000));
    assert_eq!(late.len(), 2);
    jobs.handle(job_status("L", DeploymentStatus::Succeeded), 91_001);
    let order: Vec<_> = jobs.pending().into_iter().map(|update| update.id).collect();
    assert_eq!(order, ["K", "L"]);
}

#[test]
fn newer_statuses_replace_older_ones_that_wait() {
    let mut jobs = JobsListener::new("T", Vec::new());
    for (id, s) in [
        ("A", DeploymentStatus::InProgress),
        ("B", DeploymentStatus::InProgress),
        ("A", DeploymentStatus::Succeeded),
    ] {
        jobs.handle(job_status(id, s), 1);
    }
    let pending: Vec<_> = jobs
        .pending()
        .iter()
        .map(|u| format!("{} {}", u.id, u.status))
        .collect();
    assert_eq!(pending, ["B IN_PROGRESS", "A SUCCEEDED"]);
}

#[test]
fn jobs_are_taken_back() {
    let started = || {
        let mut jobs = JobsListener::new("T", Vec::new());
        connect(&mut jobs);
        assert_eq!(next_is(&mut jobs, "J", 10), ["submit J"]);
        assert!(next_is(&mut jobs, "J", 10).is_empty());
        jobs
    };
    let mut jobs = started();
    assert_eq!(notify(&mut jobs, 20, json!({})), ["cancel J"]);
    assert!(notify(&mut jobs, 21, json!({})).is_empty());
    let told = brief(&jobs.handle(job_status("J", DeploymentStatus::Canceled), 1));
    assert_eq!(told, ["delivered J CANCELED"]);

    let mut jobs = started();
    assert!(notify(&mut jobs, 20, json!({"IN_PROGRESS": [{"jobId": "J"}]})).is_empty());
    assert_eq!(
        notify(&mut jobs, 20, json!({"QUEUED": [{"jobId": "K"}]})),
        ["cancel J", "pub $next:get"]
    );
    assert_eq!(next_is(&mut jobs, "K", 20), ["submit K"]);

    let mut jobs = started();
    // Older than the job itself: it cannot know the job.
    assert_eq!(
        notify(&mut jobs, 9, json!({"QUEUED": [{"jobId": "I"}]})),
        ["pub $next:get"]
    );
    assert_eq!(next_is(&mut jobs, "K", 20), ["cancel J", "submit K"]);

    // Canceled by somebody here: the cloud has to learn it.
    let mut jobs = started();
    let effects = brief(&jobs.handle(job_status("J", DeploymentStatus::Canceled), 1));
    assert_eq!(deliver(&mut jobs, "J", &effects), ["pub J:update FAILED"]);
}

#[test]
fn a_late_answer_is_not_taken_for_another_s() {
    let mut jobs = JobsListener::new("T", Vec::new());
    connect(&mut jobs);
    next_is(&mut jobs, "J", 1);
    let effects = brief(&jobs.handle(job_status("J", DeploymentStatus::InProgress), 50));
    deliver(&mut jobs, "J", &effects);
    jobs.handle(job_status("J", DeploymentStatus::Succeeded), 60);
    jobs.handle(Event::Tick, 30_050);
    let effects = brief(&jobs.handle(Event::Tick, 35_050));
    assert_eq!(
        deliver(&mut jobs, "J", &effects),
        ["pub J:update SUCCEEDED"]
    );
    let topic = format!("{JOBS}J{NS}update/accepted");
    assert!(
        say(
            &mut jobs,
            &topic,
            json!({"clientToken": "IN_PROGRESS"}),
            35_060
        )
        .is_empty()
    );
    assert_eq!(jobs.pending().len(), 1);
    say(
        &mut jobs,
        &topic,
        json!({"clientToken": "SUCCEEDED"}),
        35_070,
    );
    assert!(jobs.pending().is_empty());
}

#[test]
fn a_second_execution_of_a_job_runs() {
    let next = |jobs: &mut JobsListener, number: u64, status: &str| {
        let body = json!({"execution": {"jobId": "J", "status": status, "queuedAt": number,
            "executionNumber": number, "jobDocument": {"deploymentId": "uuid-J"}}});
        say(jobs, &format!("{JOBS}$next{NS}get/accepted"), body, 1)
    };
    let mut jobs = JobsListener::new("T", Vec::new());
    connect(&mut jobs);
    assert_eq!(next(&mut jobs, 1, "QUEUED"), ["submit J"]);
    let effects = brief(&jobs.handle(job_status("J", DeploymentStatus::Succeeded), 2));
    deliver(&mut jobs, "J", &effects);
    accepted(&mut jobs, "J");
    // The same one again: its end is told again. Another one: it runs.
    assert_eq!(next(&mut jobs, 1, "IN_PROGRESS")[0], "saved");
    let filter = |end: &str| format!("{JOBS}J{NS}update/{end}");
    jobs.handle(Event::Subscribed(&filter("accepted")), 3);
    jobs.handle(Event::Subscribed(&filter("rejected")), 3);
    accepted(&mut jobs, "J");
    assert_eq!(next(&mut jobs, 2, "QUEUED"), ["submit J"]);
}

/// The answer topics of a status that gave way to a newer one are not those of the next.
#[test]
fn each_status_has_its_own_answer_topics() {
    let mut jobs = JobsListener::new("T", Vec::new());
    connect(&mut jobs);
    let effects = brief(&jobs.handle(job_status("A", DeploymentStatus::InProgress), 1));
    deliver(&mut jobs, "A", &effects);
    jobs.handle(Event::Disconnected, 2);
    jobs.handle(job_status("B", DeploymentStatus::InProgress), 3);
    jobs.handle(job_status("A", DeploymentStatus::Succeeded), 4);
    let effects = brief(&jobs.handle(Event::Connected, 5));
    assert_eq!(
        effects,
        [
            "pub $next:get",
            "unsub A:update/accepted",
            "unsub A:update/rejected",
            "sub B:update/accepted",
            "sub B:update/rejected"
        ]
    );
    assert_eq!(
        deliver(&mut jobs, "B", &effects),
        ["pub B:update IN_PROGRESS"]
    );
}

#[test]
fn answer_topics_that_nobody_grants_are_asked_for_again() {
    let mut jobs = JobsListener::new("T", Vec::new());
    connect(&mut jobs);
    next_is(&mut jobs, "J", 1);
    let asked = brief(&jobs.handle(job_status("J", DeploymentStatus::InProgress), 1000));
    assert_eq!(
        asked,
        ["saved", "sub J:update/accepted", "sub J:update/rejected"]
    );
    let due = jobs.deadline().expect("silence has an end");
    assert_eq!(
        brief(&jobs.handle(Event::Tick, due)),
        ["unsub J:update/accepted", "unsub J:update/rejected"]
    );
    let due = jobs.deadline().expect("it is tried again");
    assert_eq!(
        brief(&jobs.handle(Event::Tick, due)),
        ["sub J:update/accepted", "sub J:update/rejected"]
    );
}
