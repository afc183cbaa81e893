//! The conversations of a running Java nucleus, its side played against our services
//! (golden/wire/README.md, column "A cloud must").

use crate::world::{World, text};
use serde_json::{Value, json};
use std::collections::BTreeMap;

#[expect(clippy::print_stderr, reason = "a test that is passed over says so")]
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

/// A captured id of the other cloud, and ours for the same thing.
type Ours = BTreeMap<String, String>;

fn json_of(event: &Value) -> &Value {
    &event["payload"]
}

/// The shadow files: what the captured cloud did is done by our API, what the nucleus reported is
/// published; in the end each deployment is what the nucleus said of it last.
#[tokio::test]
async fn thing_deployments_end_as_the_captures_show() {
    for name in [
        "java-thing-deployment",
        "java-thing-deployment-failures",
        "java-thing-deployment-replaced",
        "java-shadow-conflict",
    ] {
        let Some(events) = events(name) else { return };
        let world = World::new().await;
        world.iot("POST", "/things/core1", json!({})).await;
        let mut arns = Ours::new();
        let mut ids = Ours::new();
        let mut said = BTreeMap::new();
        let mut canceled = Vec::new();
        let update = "$aws/things/core1/shadow/name/AWSManagedGreengrassV2Deployment/update";
        for event in events.iter().filter(|event| event["kind"] == "publish") {
            let topic = text(&event["topic"]);
            if event["dir"] == "cloud" && topic == format!("{update}/accepted") {
                let desired = &json_of(event)["state"]["desired"];
                if desired.is_object() {
                    follow_cloud(&world, desired, &mut arns, &mut ids, &mut canceled).await;
                }
            }
            if event["dir"] == "nucleus" && topic == update {
                let mut payload = json_of(event).clone();
                let reported = &mut payload["state"]["reported"];
                let captured = text(&reported["fleetConfigurationArnForStatus"]);
                let Some(ours) = arns.get(&captured) else {
                    continue;
                };
                reported["fleetConfigurationArnForStatus"] = json!(ours);
                said.insert(captured, text(&reported["status"]));
                let shadow = world
                    .ok(
                        "iotdata",
                        "GET",
                        "/things/core1/shadow?name=AWSManagedGreengrassV2Deployment",
                        json!(null),
                    )
                    .await;
                payload["version"] = shadow.body["version"].clone();
                assert!(world.publish(update, payload).await.is_empty(), "{name}");
            }
        }
        assert!(!said.is_empty(), "{name}");
        let newest = arns.keys().max_by_key(|arn| revision(arn)).cloned();
        for (captured, status) in said {
            let shown = world
                .gg(
                    "GET",
                    &format!("/deployments/{}", ids[&captured]),
                    json!(null),
                )
                .await;
            let expected = match status.as_str() {
                _ if canceled.contains(&captured) => "CANCELED",
                _ if Some(&captured) != newest.as_ref() && status != "FAILED" => "INACTIVE",
                "SUCCEEDED" => "COMPLETED",
                other => other,
            };
            assert_eq!(shown["deploymentStatus"], expected, "{name} {captured}");
        }
    }
}

fn revision(arn: &str) -> u64 {
    arn.rsplit(':')
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}

async fn follow_cloud(
    world: &World,
    desired: &Value,
    arns: &mut Ours,
    ids: &mut Ours,
    canceled: &mut Vec<String>,
) {
    let document: Value =
        serde_json::from_str(&text(&desired["fleetConfig"])).expect("a document as text");
    let captured = text(&document["configurationArn"]);
    if desired["desiredStatus"] == "CANCELED" {
        let id = ids[&captured].clone();
        world
            .gg("POST", &format!("/deployments/{id}/cancel"), json!({}))
            .await;
        canceled.push(captured);
    } else if !arns.contains_key(&captured) {
        let mut components = serde_json::Map::new();
        for (name, component) in document["components"].as_object().expect("components") {
            components.insert(
                name.clone(),
                json!({ "componentVersion": component["version"] }),
            );
        }
        let made = world
            .gg(
                "POST",
                "/deployments",
                json!({
                    "targetArn": "arn:aws:iot:us-east-1:123456789012:thing/core1",
                    "components": components,
                }),
            )
            .await;
        let id = text(&made["deploymentId"]);
        let shown = world
            .gg("GET", &format!("/deployments/{id}"), json!(null))
            .await;
        let ours = format!(
            "arn:aws:greengrass:us-east-1:123456789012:configuration:thing/core1:{}",
            text(&shown["revisionId"])
        );
        arns.insert(captured.clone(), ours);
        ids.insert(captured, id);
    }
}

const NOTIFY: &str = "$aws/things/core1/jobs/notify-namespace-aws-gg-deployment";

/// The job files: each job that the captured cloud announced is a deployment for a group of its
/// own, each update of the nucleus is published under our job id, and every notification that the
/// captured cloud sent must come from us too, with the same jobs in the same lists.
#[tokio::test]
async fn jobs_go_as_the_captures_show() {
    for name in [
        "java-job-deployment",
        "java-job-failures",
        "java-job-canceled",
        "java-job-two-queued",
        "java-job-while-disconnected",
    ] {
        let Some(events) = events(name) else { return };
        let world = World::new().await;
        world.iot("POST", "/things/core1", json!({})).await;
        let mut jobs = Ours::new();
        let mut said: BTreeMap<String, String> = BTreeMap::new();
        for event in events.iter().filter(|event| event["kind"] == "publish") {
            let topic = text(&event["topic"]);
            if event["dir"] == "cloud" && topic == NOTIFY {
                world.advance(1000);
                follow_jobs(&world, json_of(event), &mut jobs, &mut said).await;
                let published = world.published().await;
                let ours = published.iter().rfind(|(topic, _)| topic == NOTIFY);
                if let Some((_, body)) = ours {
                    assert_eq!(
                        named(body, None),
                        named(json_of(event), Some(&jobs)),
                        "{name}"
                    );
                }
                continue;
            }
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
            let Some(ours) = jobs.get(*id) else { continue };
            if event["dir"] == "nucleus" {
                said.insert((*id).to_owned(), text(&json_of(event)["status"]));
                // A repeat of the last update is rejected; the nucleus takes either.
                world
                    .publish(&topic.replace(*id, ours), json_of(event).clone())
                    .await;
            }
        }
        assert!(!said.is_empty(), "{name}");
        for (captured, status) in said {
            let shown = world
                .iot(
                    "GET",
                    &format!("/things/core1/jobs/{}", jobs[&captured]),
                    json!(null),
                )
                .await;
            assert_eq!(
                shown["execution"]["status"],
                status.as_str(),
                "{name} {captured}"
            );
        }
    }
}

/// The jobs of a notification by list, under our ids.
fn named(body: &Value, jobs: Option<&Ours>) -> BTreeMap<String, Vec<String>> {
    let mut lists = BTreeMap::new();
    for (status, list) in body["jobs"].as_object().expect("jobs") {
        let ids = list.as_array().expect("a list").iter().map(|one| {
            let id = text(&one["jobId"]);
            jobs.map_or(id.clone(), |jobs| jobs[&id].clone())
        });
        lists.insert(status.clone(), ids.collect());
    }
    lists
}

async fn follow_jobs(
    world: &World,
    body: &Value,
    jobs: &mut Ours,
    said: &mut BTreeMap<String, String>,
) {
    let mut pending = Vec::new();
    for list in body["jobs"].as_object().expect("jobs").values() {
        for one in list.as_array().expect("a list") {
            pending.push(text(&one["jobId"]));
        }
    }
    for id in &pending {
        if !jobs.contains_key(id) {
            let group = world.group(&format!("G-{id}"), &["core1"]).await;
            let made = world
                .gg("POST", "/deployments", json!({ "targetArn": group }))
                .await;
            jobs.insert(id.clone(), text(&made["iotJobId"]));
        }
    }
    // A job that is gone while the nucleus worked on it was cancelled by the cloud.
    for (id, ours) in jobs.iter() {
        let works = said.get(id).is_some_and(|status| status == "IN_PROGRESS");
        if works && !pending.contains(id) {
            world
                .iot("PUT", &format!("/jobs/{ours}/cancel?force=true"), json!({}))
                .await;
            said.insert(id.clone(), "CANCELED".to_owned());
        }
    }
}
