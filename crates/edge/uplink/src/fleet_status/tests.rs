//! The reducer against the rules and against what the Java nucleus said.

use super::*;
use serde_json::Value;

fn identity() -> Identity {
    Identity {
        thing: "core1".into(),
        ggc_version: "2.18.0".into(),
        platform: "linux".into(),
        architecture: "amd64".into(),
    }
}

fn component(name: &str, state: ComponentState) -> ComponentStatus {
    ComponentStatus {
        name: name.into(),
        version: Some("1.0.0".into()),
        fleet_config_arns: vec!["arn".into()],
        is_root: true,
        is_system: false,
        state,
        status_codes: vec!["RUN_ERROR".into()],
        status_reason: "why".into(),
        is_uninstalled: false,
    }
}

fn launched() -> FleetStatus {
    let mut status = FleetStatus::new(identity(), Saved::default(), DEFAULT_CADENCE_MS, 1 << 40);
    status.handle(Event::Component(component("A", ComponentState::New)), 0);
    status.handle(Event::Connected, 0);
    let told = status.handle(Event::Launched, 0);
    assert_eq!(told.len(), 1);
    status
}

fn brief(messages: &[Message]) -> Vec<String> {
    let of = |message: &Message| {
        let p = &message.payload;
        let names: Vec<_> = p["components"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|c| {
                format!(
                    "{}={}",
                    c["componentName"].as_str().expect("a name"),
                    c["status"].as_str().expect("a state")
                )
            })
            .collect();
        let text = |key: &str| p[key].as_str().expect("a text").to_owned();
        format!(
            "{} {} {} {} [{}]",
            p["sequenceNumber"],
            text("messageType"),
            text("trigger"),
            text("overallDeviceStatus"),
            names.join(" ")
        )
    };
    messages.iter().map(of).collect()
}

#[test]
fn from_launch_to_settled() {
    let mut status = FleetStatus::new(identity(), Saved::default(), DEFAULT_CADENCE_MS, 1 << 40);
    status.handle(Event::Component(component("A", ComponentState::New)), 0);
    assert!(status.handle(Event::Launched, 1).is_empty());
    let told = status.handle(Event::Connected, 2);
    assert_eq!(brief(&told), ["0 COMPLETE NUCLEUS_LAUNCH HEALTHY [A=NEW]"]);
    assert!(
        status
            .handle(
                Event::Component(component("A", ComponentState::Starting)),
                10
            )
            .is_empty()
    );
    assert!(
        status
            .handle(
                Event::Component(component("A", ComponentState::Running)),
                20
            )
            .is_empty()
    );
    assert_eq!(status.deadline(), Some(3_002));
    assert!(status.handle(Event::Tick, 3_001).is_empty());
    let told = status.handle(Event::Tick, 3_002);
    assert_eq!(
        brief(&told),
        ["1 PARTIAL COMPONENT_STATUS_CHANGE HEALTHY [A=RUNNING]"]
    );
    assert!(
        status
            .handle(
                Event::Component(component("A", ComponentState::Running)),
                9_000
            )
            .is_empty()
    );
    assert_eq!(status.saved().next_sequence_number, 2);
}

#[test]
fn faults_are_told_at_once_and_ends_of_deployments_tell_the_rest() {
    let mut status = launched();
    status.handle(
        Event::Component(component("A", ComponentState::Running)),
        4_000,
    );
    status.handle(Event::DeploymentStarted, 10_000);
    assert!(
        status
            .handle(
                Event::Component(component("B", ComponentState::New)),
                10_001
            )
            .is_empty()
    );
    let told = status.handle(
        Event::Component(component("B", ComponentState::Errored)),
        10_002,
    );
    assert_eq!(
        brief(&told),
        ["2 PARTIAL COMPONENT_STATUS_CHANGE HEALTHY [B=ERRORED]"]
    );
    assert_eq!(
        told[0].payload["components"][0]["componentStatusDetails"]["statusCodes"][0],
        "RUN_ERROR"
    );
    assert!(
        status
            .handle(
                Event::Component(component("B", ComponentState::Broken)),
                10_003
            )
            .is_empty()
    );
    status.handle(
        Event::Removed {
            name: "B".into(),
            rolled_back: true,
        },
        10_004,
    );
    let ended = Event::DeploymentEnded {
        kind: DeploymentKind::Thing,
        information: Some(DeploymentInformation {
            status: "FAILED".into(),
            deployment_id: "d".into(),
            configuration_arn: Some("arn:3".into()),
            ..DeploymentInformation::default()
        }),
        roots: vec!["A".into()],
    };
    let told = status.handle(ended, 10_005);
    assert_eq!(
        brief(&told),
        ["3 PARTIAL THING_DEPLOYMENT HEALTHY [B=UNINSTALLED]"]
    );
    let payload = &told[0].payload;
    assert_eq!(payload["components"][0]["version"], Value::Null);
    assert_eq!(
        payload["deploymentInformation"]["unchangedRootComponents"][0],
        "A"
    );
    assert_eq!(
        payload["deploymentInformation"]["statusDetails"]["errorStack"],
        Value::Null
    );
}

#[test]
fn broken_makes_unhealthy() {
    let mut status = launched();
    let told = status.handle(
        Event::Component(component("A", ComponentState::Broken)),
        5_000,
    );
    assert_eq!(
        brief(&told),
        ["1 PARTIAL COMPONENT_STATUS_CHANGE UNHEALTHY [A=BROKEN]"]
    );
}

#[test]
fn nothing_is_forgotten_offline() {
    let mut status = launched();
    status.handle(Event::Disconnected, 1_000);
    assert_eq!(status.deadline(), None);
    assert!(
        status
            .handle(
                Event::Component(component("A", ComponentState::Running)),
                5_000
            )
            .is_empty()
    );
    let local = |kind| Event::DeploymentEnded {
        kind,
        information: Some(DeploymentInformation::default()),
        roots: vec![],
    };
    assert!(
        status
            .handle(local(DeploymentKind::Local), 6_000)
            .is_empty()
    );
    let told = status.handle(Event::Connected, 7_000);
    assert_eq!(brief(&told), ["1 PARTIAL RECONNECT HEALTHY [A=RUNNING]"]);
    status.handle(Event::Disconnected, 8_000);
    assert!(status.handle(Event::Connected, 9_000).is_empty());
    status.handle(Event::Disconnected, 10_000);
    assert_eq!(
        status
            .handle(local(DeploymentKind::ThingGroup), 11_000)
            .len(),
        1
    );
    assert_eq!(
        brief(&status.handle(Event::Connected, 70_000)),
        ["3 PARTIAL RECONNECT HEALTHY []"]
    );
}

#[test]
fn the_cadence() {
    let mut status = FleetStatus::new(identity(), Saved::default(), 1_000, 500);
    status.handle(Event::Connected, 0);
    status.handle(Event::Launched, 0);
    status.handle(Event::DeploymentStarted, 100);
    assert!(status.handle(Event::Tick, 600).is_empty());
    let canceled = Event::DeploymentEnded {
        kind: DeploymentKind::ThingGroup,
        information: None,
        roots: vec![],
    };
    assert!(status.handle(canceled, 700).is_empty());
    assert_eq!(
        brief(&status.handle(Event::Tick, 800)),
        ["1 COMPLETE CADENCE HEALTHY []"]
    );
    assert_eq!(
        (status.deadline(), status.saved().last_periodic_ms),
        (Some(1_800), 800)
    );
    assert_eq!(
        brief(&status.handle(Event::NetworkReconfigured, 900)),
        ["2 COMPLETE NETWORK_RECONFIGURE HEALTHY []"]
    );
}

#[test]
fn chunks_hold_each_component_once() {
    let mut status = FleetStatus::new(identity(), Saved::default(), DEFAULT_CADENCE_MS, 1 << 40);
    for i in 0..600 {
        let name = format!("{i:0>128}");
        status.handle(
            Event::Component(component(&name, ComponentState::Running)),
            0,
        );
    }
    status.handle(Event::Connected, 0);
    let told = status.handle(Event::Launched, 0);
    assert!(told.len() > 1);
    let mut names = BTreeSet::new();
    for (index, message) in told.iter().enumerate() {
        let payload = &message.payload;
        assert!(payload.to_string().len() <= 128_000);
        assert_eq!(payload["sequenceNumber"], 0);
        assert_eq!(payload["chunkInfo"]["chunkId"], index + 1);
        assert_eq!(payload["chunkInfo"]["totalChunks"], told.len());
        for component in payload["components"].as_array().expect("a list") {
            assert!(names.insert(component["componentName"].to_string()));
        }
    }
    assert_eq!(names.len(), 600);
}

/// Every message of the captures, rebuilt by our code from its own content, is the same JSON with
/// the members in the same order.
#[test]
#[expect(clippy::print_stderr, reason = "says aloud what is not tested")]
fn the_form_is_the_nucleus_s() {
    let directory = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../../shared/golden/wire"
    );
    let Ok(files) = std::fs::read_dir(directory) else {
        eprintln!("passed over: {directory} is not there");
        return;
    };
    let mut compared = 0;
    for file in files {
        let path = file.expect("a file").path();
        let text = std::fs::read_to_string(&path).expect("a text");
        for line in text
            .lines()
            .filter(|line| line.contains("greengrassv2/health/json"))
        {
            let event: Value = serde_json::from_str(line).unwrap_or_default();
            if event["kind"] != "publish" || event.get("trimmed").is_some() {
                continue;
            }
            let payload = &event["payload"];
            assert_eq!(
                rebuilt(payload).to_string(),
                payload.to_string(),
                "{}",
                path.display()
            );
            compared += 1;
        }
    }
    assert!(compared > 20, "{compared}");
}

fn rebuilt(payload: &Value) -> Value {
    let text = |value: &Value| value.as_str().map(String::from);
    let list = |value: &Value| -> Option<Vec<String>> {
        Some(value.as_array()?.iter().filter_map(text).collect())
    };
    let need = |key: &str| text(&payload[key]).expect("a text");
    let components: Vec<_> = payload["components"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|c| {
            let status = c["status"].as_str().expect("a text");
            ComponentStatus {
                name: text(&c["componentName"]).expect("a text"),
                version: text(&c["version"]),
                fleet_config_arns: list(&c["fleetConfigArns"]).expect("a list"),
                is_root: c["isRoot"] == true,
                is_system: false,
                state: serde_json::from_value(c["status"].clone()).unwrap_or(ComponentState::New),
                status_codes: list(&c["componentStatusDetails"]["statusCodes"]).unwrap_or_default(),
                status_reason: text(&c["componentStatusDetails"]["statusReason"])
                    .unwrap_or_default(),
                is_uninstalled: status == "UNINSTALLED",
            }
        })
        .collect();
    let triggers = [
        Trigger::LocalDeployment,
        Trigger::ThingDeployment,
        Trigger::ThingGroupDeployment,
        Trigger::ComponentStatusChange,
        Trigger::Reconnect,
        Trigger::NucleusLaunch,
        Trigger::NetworkReconfigure,
        Trigger::Cadence,
    ];
    let trigger = triggers.into_iter().find(|t| t.as_str() == need("trigger"));
    let information = payload
        .get("deploymentInformation")
        .map(|d| DeploymentInformation {
            status: text(&d["status"]).expect("a text"),
            detailed_status: text(&d["statusDetails"]["detailedStatus"]),
            failure_cause: text(&d["statusDetails"]["failureCause"]),
            error_stack: list(&d["statusDetails"]["errorStack"]),
            error_types: list(&d["statusDetails"]["errorTypes"]),
            configuration_arn: text(&d["fleetConfigurationArnForStatus"]),
            deployment_id: text(&d["deploymentId"]).expect("a text"),
            unchanged_root_components: list(&d["unchangedRootComponents"]).expect("a list"),
        });
    let mut messages = message::messages(&message::Content {
        identity: &Identity {
            thing: need("thing"),
            ggc_version: need("ggcVersion"),
            platform: need("platform"),
            architecture: need("architecture"),
        },
        sequence_number: payload["sequenceNumber"].as_u64().expect("a number"),
        timestamp: payload["timestamp"].as_u64().expect("a number"),
        trigger: trigger.expect("a known trigger"),
        is_healthy: payload["overallDeviceStatus"] == "HEALTHY",
        components: &components,
        information: information.as_ref(),
    });
    let mut message = messages.remove(0).payload;
    if let Some(chunk) = payload.get("chunkInfo") {
        // One chunk of several: its number is not ours to know.
        let mut body = serde_json::Map::new();
        for (key, value) in message.as_object().expect("an object") {
            body.insert(key.clone(), value.clone());
            if key == "trigger" {
                body.insert("chunkInfo".into(), chunk.clone());
            }
        }
        message = body.into();
    }
    message
}

/// Twenty lines of 32 kB are what a failed script may leave.
#[test]
fn a_long_cause_leaves_the_message_small_enough() {
    let mut status = launched();
    let information = DeploymentInformation {
        status: "FAILED".into(),
        failure_cause: Some("x".repeat(640_000)),
        deployment_id: "d".into(),
        ..DeploymentInformation::default()
    };
    let told = status.handle(
        Event::DeploymentEnded {
            kind: DeploymentKind::Thing,
            information: Some(information),
            roots: Vec::new(),
        },
        10_000,
    );
    assert_eq!(told.len(), 1);
    assert!(told[0].payload.to_string().len() < 4_000);
}
