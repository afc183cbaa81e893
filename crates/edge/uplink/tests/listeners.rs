//! The listeners against a cloud that is played step by step.

use serde_json::{Value, json};
use sward_uplink::deployments::{
    DeploymentSource, DeploymentStatus, DetailedStatus, Effect, Event, Machine, StatusUpdate,
};
use sward_uplink::jobs::JobsListener;
use sward_uplink::shadow_deployments::ShadowListener;

const JOBS: &str = "$aws/things/T/jobs/";
const NS: &str = "/namespace-aws-gg-deployment/";
const SHADOW: &str = "$aws/things/T/shadow/name/AWSManagedGreengrassV2Deployment/";

/// Effects in short: `sub f`, `unsub f`, `pub topic [status]`, `submit id`, `cancel id`, `saved`,
/// `delivered id status`.
fn brief(effects: &[Effect]) -> Vec<String> {
    let short = |topic: &str| topic.replace(JOBS, "").replace(NS, ":").replace(SHADOW, "");
    effects
        .iter()
        .map(|effect| match effect {
            Effect::Subscribe(filter) => format!("sub {}", short(filter)),
            Effect::Unsubscribe(filter) => format!("unsub {}", short(filter)),
            Effect::Publish { topic, payload } => {
                let reported = &payload["state"]["reported"]["status"];
                let status = payload["status"].as_str().or(reported.as_str());
                format!("pub {} {}", short(topic), status.unwrap_or(""))
                    .trim_end()
                    .to_owned()
            }
            Effect::Persist => "saved".into(),
            Effect::Submit(deployment) => format!("submit {}", deployment.id),
            Effect::Cancel(id) => format!("cancel {id}"),
            Effect::Delivered {
                id,
                status,
                refused,
            } => {
                let refused = if refused.is_some() { " refused" } else { "" };
                format!("delivered {id} {status}{refused}")
            }
        })
        .collect()
}

fn say(machine: &mut impl Machine, topic: &str, body: Value, now_ms: u64) -> Vec<String> {
    let payload = body.to_string();
    let event = Event::Message {
        topic,
        payload: payload.as_bytes(),
    };
    brief(&machine.handle(event, now_ms))
}

fn connect(machine: &mut impl Machine) -> Vec<String> {
    let mut all = Vec::new();
    for effect in machine.handle(Event::Connected, 0) {
        if let Effect::Subscribe(filter) = effect {
            all.extend(brief(&machine.handle(Event::Subscribed(&filter), 0)));
        }
    }
    all
}

fn status(id: &str, source: DeploymentSource, status: DeploymentStatus) -> StatusUpdate {
    StatusUpdate {
        id: id.into(),
        source,
        deployment_id: format!("uuid-{id}"),
        configuration_arn: Some(id.into()),
        status,
        detailed: status.is_terminal().then_some(DetailedStatus::Successful),
        failure_cause: None,
        error_stack: None,
        error_types: None,
    }
}

fn job_status(id: &str, s: DeploymentStatus) -> Event<'static> {
    Event::Status(status(id, DeploymentSource::Jobs, s))
}

fn next_is(machine: &mut JobsListener, job: &str, queued_at: u64) -> Vec<String> {
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
fn nonsense_is_survived() {
    for body in [
        "",
        "null",
        "[]",
        "{",
        r#"{"jobs":5}"#,
        r#"{"execution":{"status":"QUEUED"}}"#,
        r#"{"execution":5}"#,
        r#"{"state":{"desired":5},"version":"x"}"#,
        r#"{"state":null,"version":1}"#,
    ] {
        let mut jobs = JobsListener::new("T", Vec::new());
        let mut shadow = ShadowListener::new("T", "2.18.0", Vec::new());
        connect(&mut jobs);
        connect(&mut shadow);
        for topic in [
            format!("{JOBS}$next{NS}get/accepted"),
            format!("{JOBS}$next{NS}get/rejected"),
            format!("{JOBS}notify-namespace-aws-gg-deployment"),
            format!("{SHADOW}get/accepted"),
            format!("{SHADOW}update/accepted"),
            format!("{SHADOW}update/rejected"),
            "elsewhere".to_owned(),
        ] {
            let event = || Event::Message {
                topic: &topic,
                payload: body.as_bytes(),
            };
            let effects = [jobs.handle(event(), 1), shadow.handle(event(), 1)].concat();
            assert!(
                !effects.iter().any(|e| matches!(e, Effect::Submit(_))),
                "{topic} {body}"
            );
        }
        assert!(next_is(&mut jobs, "J", 5).contains(&"submit J".to_owned()));
    }
}

fn desired(arn: &str, wanted: &str, reported: Option<(&str, &str)>, version: u64) -> Value {
    let config = json!({"configurationArn": arn, "deploymentId": "d"}).to_string();
    let mut body = json!({"state": {"desired": {"fleetConfig": config, "desiredStatus": wanted}}, "version": version});
    if let Some((arn, status)) = reported {
        body["state"]["reported"] =
            json!({"fleetConfigurationArnForStatus": arn, "status": status});
    }
    body
}

fn shadow() -> ShadowListener {
    let mut shadow = ShadowListener::new("T", "2.18.0", Vec::new());
    assert_eq!(connect(&mut shadow), ["pub get"]);
    shadow
}

fn shadow_status(id: &str, s: DeploymentStatus) -> Event<'static> {
    Event::Status(status(id, DeploymentSource::Shadow, s))
}

#[test]
fn what_the_first_shadow_says_decides() {
    let get = format!("{SHADOW}get/accepted");
    for (body, expected) in [
        (desired("a:1", "SUCCEEDED", None, 1), vec!["submit a:1"]),
        (
            desired("a:1", "SUCCEEDED", Some(("a:1", "IN_PROGRESS")), 1),
            vec!["submit a:1"],
        ),
        (
            desired("a:1", "SUCCEEDED", Some(("a:1", "SUCCEEDED")), 1),
            vec![],
        ),
        (
            desired("a:2", "SUCCEEDED", Some(("a:1", "SUCCEEDED")), 1),
            vec!["submit a:2"],
        ),
        (desired("a:1", "CANCELED", None, 1), vec![]),
    ] {
        let mut shadow = shadow();
        assert_eq!(say(&mut shadow, &get, body.clone(), 1), expected, "{body}");
        assert!(say(&mut shadow, &get, body, 1).is_empty());
    }
}

#[test]
fn later_shadows_replace_and_cancel() {
    let update = format!("{SHADOW}update/accepted");
    let mut shadow = shadow();
    assert_eq!(
        say(
            &mut shadow,
            &update,
            desired("a:1", "SUCCEEDED", None, 1),
            1
        ),
        ["submit a:1"]
    );
    assert!(
        say(
            &mut shadow,
            &update,
            desired("a:1", "SUCCEEDED", None, 2),
            1
        )
        .is_empty()
    );
    assert_eq!(
        say(
            &mut shadow,
            &update,
            desired("a:2", "SUCCEEDED", None, 3),
            1
        ),
        ["cancel a:1", "submit a:2"]
    );
    assert!(
        say(
            &mut shadow,
            &update,
            desired("a:9", "SUCCEEDED", None, 2),
            1
        )
        .is_empty()
    );
    assert_eq!(
        say(&mut shadow, &update, desired("a:2", "CANCELED", None, 4), 1),
        ["cancel a:2"]
    );
    assert!(say(&mut shadow, &update, desired("a:2", "CANCELED", None, 5), 1).is_empty());
    let told = shadow.handle(shadow_status("a:2", DeploymentStatus::Canceled), 2);
    assert_eq!(brief(&told), ["saved", "pub update CANCELED"]);
}

#[test]
fn statuses_carry_the_version_and_survive_conflicts_and_silence() {
    let (update, get) = (
        format!("{SHADOW}update/accepted"),
        format!("{SHADOW}get/accepted"),
    );
    let rejected = format!("{SHADOW}update/rejected");
    let mut shadow = shadow();
    say(
        &mut shadow,
        &update,
        desired("a:1", "SUCCEEDED", None, 5),
        1,
    );
    let told = shadow.handle(shadow_status("a:1", DeploymentStatus::Succeeded), 2);
    let Some(Effect::Publish { payload, .. }) = told.last() else {
        panic!("{told:?}")
    };
    assert_eq!(payload["version"], 5);
    assert_eq!(
        say(&mut shadow, &rejected, json!({"code": 409}), 3),
        ["pub get"]
    );
    let body = desired("a:1", "SUCCEEDED", Some(("a:1", "IN_PROGRESS")), 7);
    assert_eq!(say(&mut shadow, &get, body, 4), ["pub update SUCCEEDED"]);
    // Silence: asked and said again.
    assert_eq!(shadow.deadline(), Some(30_004));
    assert_eq!(brief(&shadow.handle(Event::Tick, 30_004)), ["pub get"]);
    assert_eq!(
        brief(&shadow.handle(Event::Tick, 35_004)),
        ["pub update SUCCEEDED"]
    );
    // It had arrived after all.
    let body = desired("a:1", "SUCCEEDED", Some(("a:1", "SUCCEEDED")), 8);
    assert_eq!(
        say(&mut shadow, &get, body, 35_005),
        ["saved", "delivered a:1 SUCCEEDED"]
    );
    // Somebody overwrote it: written again at the next question's answer.
    shadow.handle(Event::Disconnected, 35_006);
    assert_eq!(brief(&shadow.handle(Event::Connected, 35_007)), ["pub get"]);
    let body = desired("a:1", "SUCCEEDED", Some(("a:1", "IN_PROGRESS")), 9);
    assert_eq!(
        say(&mut shadow, &get, body, 35_008),
        ["saved", "pub update SUCCEEDED"]
    );
    // Refused for good.
    assert_eq!(
        say(
            &mut shadow,
            &rejected,
            json!({"code": 400, "message": "no"}),
            35_009
        ),
        ["saved", "delivered a:1 SUCCEEDED refused"]
    );
}

#[test]
fn a_deleted_shadow_does_not_hold_the_end_back() {
    let update = format!("{SHADOW}update/accepted");
    let mut shadow = shadow();
    say(
        &mut shadow,
        &update,
        desired("a:1", "SUCCEEDED", None, 5),
        1,
    );
    shadow.handle(shadow_status("a:1", DeploymentStatus::Succeeded), 2);
    say(
        &mut shadow,
        &format!("{SHADOW}update/rejected"),
        json!({"code": 409}),
        3,
    );
    assert_eq!(shadow.deadline(), Some(30_003));
    assert_eq!(
        brief(&shadow.handle(Event::Tick, 30_003)),
        ["pub update SUCCEEDED"]
    );
}

#[test]
fn a_lost_session_is_subscribed_again_before_anything_is_asked() {
    let mut jobs = JobsListener::new("T", Vec::new());
    connect(&mut jobs);
    jobs.handle(Event::Disconnected, 1);
    assert!(jobs.handle(Event::SessionLost, 2).is_empty());
    assert_eq!(connect(&mut jobs), ["pub $next:get"]);
    let mut shadow = shadow();
    shadow.handle(Event::Disconnected, 1);
    shadow.handle(Event::SessionLost, 2);
    assert_eq!(connect(&mut shadow), ["pub get"]);
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

/// `reported` is one place: what is written last shows, so ends keep their order.
#[test]
fn an_older_end_does_not_overwrite_a_newer_one() {
    let update = format!("{SHADOW}update/accepted");
    let mut shadow = shadow();
    say(
        &mut shadow,
        &update,
        desired("a:1", "SUCCEEDED", None, 1),
        1,
    );
    shadow.handle(shadow_status("a:1", DeploymentStatus::Canceled), 2);
    say(
        &mut shadow,
        &update,
        desired("a:2", "SUCCEEDED", None, 2),
        3,
    );
    shadow.handle(shadow_status("a:2", DeploymentStatus::Succeeded), 4);
    shadow.handle(Event::Tick, 30_002);
    let order: Vec<_> = shadow
        .pending()
        .into_iter()
        .map(|update| update.id)
        .collect();
    assert_eq!(order, ["a:1", "a:2"]);
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

/// A chatty component has filled the spool while the device was offline.
#[test]
fn a_question_that_was_not_taken_is_asked_again() {
    let mut shadow = shadow();
    shadow.handle(Event::NotTaken(&format!("{SHADOW}get")), 1);
    assert_eq!(shadow.deadline(), Some(5_001));
    assert_eq!(brief(&shadow.handle(Event::Tick, 5_001)), ["pub get"]);
    assert_eq!(shadow.deadline(), None);
    shadow.handle(Event::NotTaken(&format!("{SHADOW}get")), 5_001);
    assert_eq!(shadow.deadline(), Some(15_001));
    shadow.handle(Event::Disconnected, 5_002);
    assert_eq!(connect(&mut shadow), Vec::<String>::new());
    assert_eq!(shadow.deadline(), None);

    let mut jobs = JobsListener::new("T", Vec::new());
    connect(&mut jobs);
    jobs.handle(Event::NotTaken(&format!("{JOBS}$next{NS}get")), 1);
    assert_eq!(jobs.deadline(), Some(5_001));
    assert_eq!(brief(&jobs.handle(Event::Tick, 5_001)), ["pub $next:get"]);
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

/// A cloud that was restored from a copy counts from an earlier version.
#[test]
fn after_a_lost_session_any_version_is_taken() {
    let get = format!("{SHADOW}get/accepted");
    let mut shadow = shadow();
    say(&mut shadow, &get, desired("a:1", "SUCCEEDED", None, 50), 1);
    shadow.handle(Event::Disconnected, 2);
    shadow.handle(Event::SessionLost, 3);
    assert_eq!(connect(&mut shadow), ["pub get"]);
    let older = desired("a:2", "SUCCEEDED", None, 40);
    assert_eq!(
        say(&mut shadow, &get, older, 4),
        ["cancel a:1", "submit a:2"]
    );
    // Only the first one: from then on an older one is late.
    assert!(say(&mut shadow, &get, desired("a:3", "SUCCEEDED", None, 39), 5).is_empty());
}

/// A failed script may have written a lot; a shadow holds 8 kB.
#[test]
fn a_long_cause_does_not_keep_the_end_from_the_cloud() {
    let update = format!("{SHADOW}update/accepted");
    let mut shadow = shadow();
    say(
        &mut shadow,
        &update,
        desired("a:1", "SUCCEEDED", None, 1),
        1,
    );
    let mut failed = status("a:1", DeploymentSource::Shadow, DeploymentStatus::Failed);
    failed.failure_cause = Some("no such file ".repeat(50_000));
    let cause = |effects: &[Effect]| match effects.last() {
        Some(Effect::Publish { payload, .. }) => {
            let details = &payload["state"]["reported"]["statusDetails"];
            details["failureCause"].as_str().expect("a text").len()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(cause(&shadow.handle(Event::Status(failed), 2)), 1024);
    let refusal = json!({"code": 413, "message": "too large"}).to_string();
    let event = Event::Message {
        topic: &format!("{SHADOW}update/rejected"),
        payload: refusal.as_bytes(),
    };
    assert_eq!(cause(&shadow.handle(event.clone(), 3)), 0);
    assert_eq!(
        brief(&shadow.handle(event, 4)),
        ["saved", "delivered a:1 FAILED refused"]
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
