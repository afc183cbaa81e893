//! The conversations of a running Java nucleus, its side played against our services
//! (golden/wire/README.md, column "A cloud must").

use crate::world::{World, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;

fn events(name: &str) -> Option<Vec<Value>> {
    let path = format!(
        "{}/../../../../shared/golden/wire/{name}.jsonl",
        env!("CARGO_MANIFEST_DIR")
    );
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("{path} is absent, passed over");
        return None;
    };
    Some(
        text.lines()
            .map(|line| serde_json::from_str(line).expect("a golden line"))
            .collect(),
    )
}

fn publishes(events: &[Value]) -> impl Iterator<Item = (String, Value)> + '_ {
    events
        .iter()
        .filter(|event| event["dir"] == "nucleus" && event["kind"] == "publish")
        .filter(|event| {
            event["topic"]
                .as_str()
                .is_some_and(|topic| topic.starts_with("$aws/"))
        })
        .filter(|event| event.get("payload").is_some())
        .map(|event| {
            let mut payload = event["payload"].clone();
            // Long lists are shortened in the capture: "<403 more>".
            if let Some(list) = payload.get_mut("components").and_then(Value::as_array_mut) {
                list.retain(Value::is_object);
            }
            (text(&event["topic"]), payload)
        })
}

const FILES: &[&str] = &[
    "java-fleet-status-chunked",
    "java-fleet-status-forty",
    "java-fleet-status-triggers",
    "java-iotcore-ipc",
    "java-job-bad-document",
    "java-job-canceled",
    "java-job-deployment",
    "java-job-failures",
    "java-job-stale",
    "java-job-two-queued",
    "java-job-while-disconnected",
    "java-mqtt3-start",
    "java-reconnect",
    "java-restart-cadence-telemetry",
    "java-shadow-conflict",
    "java-start",
    "java-thing-deployment",
    "java-thing-deployment-failures",
    "java-thing-deployment-replaced",
    "java-token-exchange",
];

/// After every file: the device is shown, and each component in the state in which the last
/// message that named it left it.
#[tokio::test]
async fn every_fleet_status_of_a_nucleus_is_taken() {
    for name in FILES {
        let Some(events) = events(name) else { return };
        let world = World::new().await;
        for thing in ["core1", "core2"] {
            world
                .iot("POST", &format!("/things/{thing}"), json!({}))
                .await;
        }
        let mut last: BTreeMap<String, String> = BTreeMap::new();
        let mut thing = None;
        for (topic, payload) in publishes(&events) {
            let taken = world
                .control
                .reserved_publish(&world.scope(), &topic, payload.to_string().as_bytes())
                .await;
            taken.unwrap_or_else(|error| panic!("{name}: {topic}: {error}"));
            if !topic.ends_with("greengrassv2/health/json") {
                continue;
            }
            thing = Some(text(&payload["thing"]));
            let chunk = payload["chunkInfo"]["chunkId"].as_i64().unwrap_or(1);
            if payload["messageType"] == "COMPLETE" && chunk == 1 {
                last.clear();
            }
            for component in payload["components"].as_array().into_iter().flatten() {
                let component_name = text(&component["componentName"]);
                match text(&component["status"]).as_str() {
                    "UNINSTALLED" => {
                        last.remove(&component_name);
                    }
                    "STATELESS" => {
                        last.insert(component_name, "FINISHED".to_owned());
                    }
                    state => {
                        last.insert(component_name, state.to_owned());
                    }
                }
            }
        }
        let Some(thing) = thing else { continue };
        let mut shown = BTreeMap::new();
        let mut target =
            format!("/coreDevices/{thing}/installedComponents?topologyFilter=ALL&maxResults=100");
        loop {
            let page = world.gg("GET", &target, json!(null)).await;
            for one in page["installedComponents"].as_array().expect("a list") {
                shown.insert(text(&one["componentName"]), text(&one["lifecycleState"]));
            }
            let Some(token) = page.get("nextToken") else {
                break;
            };
            target = format!(
                "/coreDevices/{thing}/installedComponents?topologyFilter=ALL&maxResults=100&nextToken={}",
                text(token)
            );
        }
        assert_eq!(shown, last, "{name}");
    }
}

/// java-start: nothing waits, so `$next/get` is answered with the time alone, the shadow's get
/// with 404.
#[tokio::test]
async fn a_start_is_answered_as_the_capture_shows() {
    let Some(events) = events("java-start") else {
        return;
    };
    let world = World::new().await;
    world.iot("POST", "/things/core1", json!({})).await;
    let mut answers = Vec::new();
    for (topic, payload) in publishes(&events) {
        answers.extend(world.publish(&topic, payload).await);
    }
    let shadow = "$aws/things/core1/shadow/name/AWSManagedGreengrassV2Deployment/get/rejected";
    assert_eq!(answers[0].topic, shadow);
    let body: Value = serde_json::from_str(&answers[0].payload).expect("JSON");
    let expected = events
        .iter()
        .find(|event| event["topic"] == shadow)
        .expect("the capture has it");
    assert_eq!(body["code"], expected["payload"]["code"]);
    assert_eq!(body["message"], expected["payload"]["message"]);
    assert_eq!(
        answers[1].topic,
        "$aws/things/core1/jobs/$next/namespace-aws-gg-deployment/get/accepted"
    );
    let body: Value = serde_json::from_str(&answers[1].payload).expect("JSON");
    let members: Vec<&String> = body.as_object().expect("an object").keys().collect();
    assert_eq!(members, ["timestamp"]);
}

/// java-thing-deployment: each reported update is echoed with the next version, and ends in
/// COMPLETED.
#[tokio::test]
async fn a_thing_deployment_ends_as_the_capture_shows() {
    let Some(events) = events("java-thing-deployment") else {
        return;
    };
    let world = World::new().await;
    world.iot("POST", "/things/core1", json!({})).await;
    let target = "arn:aws:iot:us-east-1:123456789012:thing/core1";
    let made = world
        .gg(
            "POST",
            "/deployments",
            json!({
                "targetArn": target, "deploymentName": "wire",
                "components": { "com.example.Hello": { "componentVersion": "1.0.0" } },
            }),
        )
        .await;
    // The document has the members of the captured one.
    let published = world.published().await;
    let config = text(&published[0].1["state"]["desired"]["fleetConfig"]);
    let ours: Value = serde_json::from_str(&config).expect("JSON");
    let captured = text(&events[0]["payload"]["state"]["desired"]["fleetConfig"]);
    let captured: Value = serde_json::from_str(&captured).expect("JSON");
    let members = |value: &Value| {
        let mut names: Vec<String> = value
            .as_object()
            .expect("an object")
            .keys()
            .cloned()
            .collect();
        names.sort();
        names
    };
    assert_eq!(members(&ours), members(&captured));
    for name in [
        "components",
        "configurationArn",
        "componentUpdatePolicy",
        "schemaDate",
    ] {
        assert_eq!(ours[name], captured[name], "{name}");
    }
    let mut version = 1;
    for (topic, payload) in publishes(&events) {
        if !topic.ends_with("/shadow/name/AWSManagedGreengrassV2Deployment/update") {
            continue;
        }
        let revision = payload["state"]["reported"]["fleetConfigurationArnForStatus"]
            .as_str()
            .is_some_and(|arn| arn.ends_with(":1"));
        if !revision {
            break;
        }
        assert!(world.publish(&topic, payload.clone()).await.is_empty());
        version += 1;
        let published = world.published().await;
        assert_eq!(published[0].0, format!("{topic}/accepted"));
        assert_eq!(published[0].1["version"], version);
        assert_eq!(
            published[0].1["state"]["reported"],
            payload["state"]["reported"]
        );
    }
    let shown = world
        .gg(
            "GET",
            &format!("/deployments/{}", text(&made["deploymentId"])),
            json!(null),
        )
        .await;
    assert_eq!(shown["deploymentStatus"], "COMPLETED");
}

/// The job files: with our job id in the topics, each conversation ends in the status that the
/// nucleus sent last.
#[tokio::test]
async fn jobs_end_as_the_captures_show() {
    for (name, expected) in [
        ("java-job-deployment", "SUCCEEDED"),
        ("java-job-while-disconnected", "SUCCEEDED"),
    ] {
        let Some(events) = events(name) else { return };
        let world = World::new().await;
        world.iot("POST", "/things/core1", json!({})).await;
        let group = world.group("G1", &["core1"]).await;
        let made = world
            .gg(
                "POST",
                "/deployments",
                json!({ "targetArn": group, "components": { "com.example.Hello": { "componentVersion": "1.0.0" } } }),
            )
            .await;
        let job = text(&made["iotJobId"]);
        let mut first = None;
        for (topic, payload) in publishes(&events) {
            let parts: Vec<&str> = topic.split('/').collect();
            let [
                "$aws",
                "things",
                "core1",
                "jobs",
                id,
                "namespace-aws-gg-deployment",
                "update",
            ] = parts.as_slice()
            else {
                continue;
            };
            let captured = *first.get_or_insert((*id).to_owned()) == **id;
            if !captured {
                break;
            }
            let ours = topic.replace(*id, &job);
            // A repeat of the last update may be rejected; the nucleus takes either.
            world.publish(&ours, payload).await;
        }
        let listed = world
            .iot("GET", &format!("/things/core1/jobs/{job}"), json!(null))
            .await;
        assert_eq!(listed["execution"]["status"], expected, "{name}");
        let published = world.published().await;
        let last = published
            .iter()
            .rfind(|(topic, _)| topic.ends_with("/jobs/notify-namespace-aws-gg-deployment"))
            .expect("a notification");
        assert_eq!(last.1["jobs"], json!({}), "{name}");
    }
}
