//! The listeners against a cloud that is played step by step.

mod jobs;
mod shadow;

use jobs::next_is;
use serde_json::{Value, json};
use shadow::shadow;
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
