//! What a cloud said to a real Java nucleus, said to our listeners: they must say the same back.
//!
//! The deployer is played by the capture: a status that the nucleus published first is given to
//! the listener at that moment; everything else a listener says comes from itself. Known
//! differences are listed per file, with their reason.

use serde_json::{Value, json};
use std::collections::BTreeSet;
use sward_deployment::{DeploymentDocument, DeploymentSpec};
use sward_uplink::deployments::{
    DeploymentSource, DeploymentStatus, DetailedStatus, Effect, Event, Machine, StatusUpdate,
};
use sward_uplink::jobs::JobsListener;
use sward_uplink::shadow_deployments::ShadowListener;

#[expect(clippy::print_stderr, reason = "says aloud what is not tested")]
fn events(name: &str) -> Option<Vec<Value>> {
    let directory = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../../shared/golden/wire"
    );
    let path = format!("{directory}/{name}.jsonl");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("passed over: {path} is not there");
        return None;
    };
    let parse = |line| serde_json::from_str(line).expect("captures are JSON lines");
    Some(text.lines().map(parse).collect())
}

struct Core {
    machines: [Box<dyn Machine>; 2],
    said: Vec<(String, Value)>,
    given: BTreeSet<(String, String)>,
    submitted: Vec<String>,
    canceled: Vec<String>,
    now_ms: u64,
}

impl Core {
    fn new() -> Self {
        Core {
            machines: [
                Box::new(JobsListener::new("core1", Vec::new())),
                Box::new(ShadowListener::new("core1", "2.18.0", Vec::new())),
            ],
            said: Vec::new(),
            given: BTreeSet::new(),
            submitted: Vec::new(),
            canceled: Vec::new(),
            now_ms: 0,
        }
    }

    fn all(&mut self, event: &Event<'_>) {
        for index in 0..2 {
            self.one(index, event.clone());
        }
    }

    /// Lets time pass, with its timers.
    fn advance(&mut self, to_ms: u64) {
        for index in 0..2 {
            while let Some(at) = self.machines[index].deadline().filter(|at| *at <= to_ms) {
                self.now_ms = at;
                self.one(index, Event::Tick);
            }
        }
        self.now_ms = to_ms;
    }

    fn one(&mut self, index: usize, event: Event<'_>) {
        let effects = self.machines[index].handle(event, self.now_ms);
        for effect in effects {
            match effect {
                Effect::Subscribe(filter) => self.one(index, Event::Subscribed(&filter)),
                Effect::Publish { topic, payload } => self.said.push((topic, payload)),
                Effect::Submit(deployment) => {
                    let document = DeploymentDocument::from_value(&deployment.document);
                    let readable = document.and_then(DeploymentSpec::of_document).is_ok();
                    self.submitted.push(deployment.id.clone());
                    if !readable {
                        let status = failed(&deployment.id, deployment.source);
                        self.one(index, Event::Status(status));
                    }
                }
                Effect::Cancel(id) => self.canceled.push(id),
                Effect::Unsubscribe(_) | Effect::Persist | Effect::Delivered { .. } => {}
            }
        }
    }

    /// Gives the status that the nucleus publishes here, unless it was given already.
    fn play(&mut self, topic: &str, payload: &Value) {
        let (index, update) = if topic.contains("/jobs/") {
            (0, job_status(payload))
        } else {
            (1, shadow_status(&payload["state"]["reported"]))
        };
        let key = (update.id.clone(), update.status.as_str().to_owned());
        if self.given.insert(key) {
            self.one(index, Event::Status(update));
        }
    }
}

fn failed(id: &str, source: DeploymentSource) -> StatusUpdate {
    StatusUpdate {
        id: id.into(),
        source,
        deployment_id: "x".into(),
        configuration_arn: None,
        status: DeploymentStatus::Failed,
        detailed: Some(DetailedStatus::FailedNoStateChange),
        failure_cause: Some("the document is not readable".into()),
        error_stack: None,
        error_types: None,
    }
}

fn parsed<T: serde::de::DeserializeOwned>(value: &Value) -> Option<T> {
    serde_json::from_value(value.clone()).ok()
}

fn job_status(payload: &Value) -> StatusUpdate {
    let details = &payload["statusDetails"];
    let list = |key: &str| serde_json::from_str(details[key].as_str()?).ok();
    StatusUpdate {
        id: payload["jobId"].as_str().expect("a job").into(),
        source: DeploymentSource::Jobs,
        deployment_id: String::new(),
        configuration_arn: None,
        status: parsed(&payload["status"]).expect("a status"),
        detailed: parsed(&details["detailed-deployment-status"]),
        failure_cause: details["deployment-failure-cause"].as_str().map(Into::into),
        error_stack: list("deployment-error-stack"),
        error_types: list("deployment-error-types"),
    }
}

fn shadow_status(reported: &Value) -> StatusUpdate {
    let details = &reported["statusDetails"];
    let arn = reported["fleetConfigurationArnForStatus"]
        .as_str()
        .expect("an ARN");
    StatusUpdate {
        id: arn.into(),
        source: DeploymentSource::Shadow,
        deployment_id: String::new(),
        configuration_arn: Some(arn.into()),
        status: parsed(&reported["status"]).expect("a status"),
        detailed: parsed(&details["detailedStatus"]),
        failure_cause: details["failureCause"].as_str().map(Into::into),
        error_stack: parsed(&details["errorStack"]),
        error_types: parsed(&details["errorTypes"]),
    }
}

fn is_ours(topic: &str) -> bool {
    topic.contains("/jobs/") || topic.contains("/shadow/name/AWSManagedGreengrassV2Deployment/")
}

/// What both sides said.
struct Replay {
    core: Core,
    theirs: Vec<(String, Value)>,
}

fn replay(name: &str, starts_connected: bool) -> Option<Replay> {
    let events = events(name)?;
    let mut core = Core::new();
    let mut theirs = Vec::new();
    if starts_connected {
        // What was said before the capture begins.
        core.all(&Event::Connected);
        core.all(&Event::Message {
            topic: "$aws/things/core1/jobs/$next/namespace-aws-gg-deployment/get/accepted",
            payload: br#"{"timestamp":1}"#,
        });
        core.said.clear();
    }
    for event in &events {
        core.advance((event["t"].as_f64().expect("a time") * 1000.0) as u64);
        let topic = event["topic"].as_str().unwrap_or("");
        let client = event["clientId"].as_str().unwrap_or("core1");
        match (event["dir"].as_str(), event["kind"].as_str()) {
            (Some("cloud"), Some("publish")) if is_ours(topic) => {
                let payload = event["payload"].to_string();
                core.all(&Event::Message {
                    topic,
                    payload: payload.as_bytes(),
                });
            }
            (Some("nucleus"), Some("publish")) if is_ours(topic) => {
                if topic.ends_with("/update") {
                    core.play(topic, &event["payload"]);
                }
                theirs.push((topic.to_owned(), event["payload"].clone()));
            }
            (Some("nucleus"), Some("connect")) if client == "core1" => {
                core.all(&Event::Disconnected);
            }
            (Some("cloud"), Some("connack")) if client == "core1" => core.all(&Event::Connected),
            _ => {}
        }
    }
    Some(Replay { core, theirs })
}

/// Messages in a form that can be compared: as sorted texts, without what is not ours to choose.
fn comparable(said: &[(String, Value)], keep_version: bool) -> Vec<String> {
    let mut lines: Vec<_> = said
        .iter()
        .map(|(topic, payload)| {
            let mut payload = payload.clone();
            if !keep_version && let Some(body) = payload.as_object_mut() {
                body.remove("version");
            }
            // Ours alone: lets a late answer be told from another's.
            if let Some(body) = payload.as_object_mut() {
                body.remove("clientToken");
            }
            // Member order of maps is not the protocol's.
            let details = &mut payload["statusDetails"];
            if let Some(map) = details.as_object_mut() {
                map.sort_keys();
            }
            if payload["statusDetails"].is_null() {
                payload
                    .as_object_mut()
                    .expect("a body")
                    .remove("statusDetails");
            }
            format!("{topic} {payload}")
        })
        .collect();
    lines.sort();
    lines
}

fn check(name: &str) {
    let Some(replay) = replay(name, name != "java-start") else {
        return;
    };
    let ours = comparable(&replay.core.said, true);
    let theirs = comparable(&replay.theirs, true);
    assert_eq!(ours, theirs, "{name}");
    assert!(!theirs.is_empty(), "{name} holds nothing to compare");
}

#[test]
fn the_same_words() {
    for name in [
        "java-start",
        "java-thing-deployment",
        "java-thing-deployment-failures",
        "java-thing-deployment-replaced",
        "java-shadow-conflict",
        "java-job-deployment",
        "java-job-failures",
        "java-job-stale",
        "java-job-two-queued",
        "java-job-canceled",
    ] {
        check(name);
    }
}

#[test]
fn a_canceled_job_is_taken_back_without_a_word() {
    let Some(replay) = replay("java-job-canceled", true) else {
        return;
    };
    assert_eq!(replay.core.canceled, ["job-4"]);
}

#[test]
fn a_replaced_and_a_canceled_thing_deployment_are_taken_back() {
    let Some(replay) = replay("java-thing-deployment-replaced", true) else {
        return;
    };
    let numbers: Vec<_> = replay
        .core
        .canceled
        .iter()
        .map(|arn| arn.rsplit(':').next().expect("a revision").to_owned())
        .collect();
    assert_eq!(numbers, ["7", "9"]);
}

/// The nucleus says nothing and is deaf afterwards; ours answers FAILED and goes on.
#[test]
fn an_unreadable_document_fails_and_the_next_one_runs() {
    let Some(replay) = replay("java-job-bad-document", true) else {
        return;
    };
    for job in ["job-6", "job-16"] {
        let topic = format!("$aws/things/core1/jobs/{job}/namespace-aws-gg-deployment/update");
        let answered = replay
            .core
            .said
            .iter()
            .any(|(said, payload)| *said == topic && payload["status"] == json!("FAILED"));
        assert!(answered, "{job} is not answered");
    }
    assert!(replay.core.submitted.contains(&"job-17".to_owned()));
}

/// Reconnects: every status reaches the cloud; how often each question is asked may differ.
#[test]
fn statuses_survive_disconnects() {
    for name in ["java-reconnect", "java-job-while-disconnected"] {
        let Some(replay) = replay(name, true) else {
            return;
        };
        let distinct = |said: &[(String, Value)]| -> BTreeSet<String> {
            comparable(said, false).into_iter().collect()
        };
        assert_eq!(
            distinct(&replay.core.said),
            distinct(&replay.theirs),
            "{name}"
        );
    }
}
