use crate::world::{World, text};
use serde_json::{Value, json};

const TOPIC: &str = "$aws/things/core1/greengrassv2/health/json";

fn component(name: &str, version: &str, status: &str, root: bool) -> Value {
    json!({
        "componentName": name, "version": version, "fleetConfigArns": ["LOCAL_DEPLOYMENT"],
        "componentStatusDetails": null, "isRoot": root, "status": status,
    })
}

fn message(kind: &str, sequence: i64, timestamp: i64, components: Value) -> Value {
    json!({
        "ggcVersion": "2.18.0", "platform": "linux", "architecture": "amd64", "thing": "core1",
        "sequenceNumber": sequence, "timestamp": timestamp, "messageType": kind,
        "trigger": if kind == "COMPLETE" { "CADENCE" } else { "COMPONENT_STATUS_CHANGE" },
        "overallDeviceStatus": "HEALTHY", "components": components,
    })
}

async fn world() -> World {
    let world = World::new().await;
    world.iot("POST", "/things/core1", json!({})).await;
    world
}

/// Name and state of what is installed.
async fn installed(world: &World) -> Vec<(String, String)> {
    let listed = world
        .gg(
            "GET",
            "/coreDevices/core1/installedComponents?topologyFilter=ALL",
            json!(null),
        )
        .await;
    listed["installedComponents"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| (text(&one["componentName"]), text(&one["lifecycleState"])))
        .collect()
}

fn pair(name: &str, state: &str) -> (String, String) {
    (name.to_owned(), state.to_owned())
}

#[tokio::test]
async fn a_device_exists_from_its_first_message() {
    let world = world().await;
    for path in ["", "/effectiveDeployments", "/installedComponents"] {
        world
            .refused(
                "greengrass",
                "GET",
                &format!("/greengrass/v2/coreDevices/core1{path}"),
                json!(null),
                404,
                "ResourceNotFoundException",
            )
            .await;
    }
    world
        .publish(
            TOPIC,
            message(
                "COMPLETE",
                0,
                1000,
                json!([component("A", "1.0.0", "RUNNING", true)]),
            ),
        )
        .await;
    let shown = world.gg("GET", "/coreDevices/core1", json!(null)).await;
    assert_eq!(
        shown,
        json!({
            "coreDeviceThingName": "core1", "coreVersion": "2.18.0", "platform": "linux",
            "architecture": "amd64", "runtime": "aws_nucleus_classic", "status": "HEALTHY",
            "lastStatusUpdateTimestamp": 1_795_453_000.25, "tags": {},
        })
    );
    let listed = world
        .gg("GET", "/coreDevices?status=HEALTHY", json!(null))
        .await;
    assert_eq!(listed["coreDevices"][0]["coreDeviceThingName"], "core1");
    let none = world
        .gg("GET", "/coreDevices?status=UNHEALTHY", json!(null))
        .await;
    assert_eq!(none["coreDevices"], json!([]));
    world
        .refused(
            "greengrass",
            "GET",
            "/greengrass/v2/coreDevices?status=X",
            json!(null),
            400,
            "ValidationException",
        )
        .await;
    // Status is never derived from time.
    world.advance(86_400_000 * 30);
    let shown = world.gg("GET", "/coreDevices/core1", json!(null)).await;
    assert_eq!(shown["status"], "HEALTHY");
    let gone = world
        .try_call(
            "greengrass",
            "DELETE",
            "/greengrass/v2/coreDevices/core1",
            &[],
            b"",
        )
        .await
        .expect("deleted");
    assert_eq!(gone.status, 204);
    world
        .publish(TOPIC, message("PARTIAL", 1, 2000, json!([])))
        .await;
    world.gg("GET", "/coreDevices/core1", json!(null)).await;
}

#[tokio::test]
async fn partial_messages_patch_and_complete_ones_replace() {
    let world = world().await;
    let list = json!([
        component("A", "1.0.0", "RUNNING", true),
        component("B", "1.0.0", "FINISHED", false),
        component("C", "1.0.0", "STATELESS", false),
    ]);
    world
        .publish(TOPIC, message("COMPLETE", 0, 1000, list))
        .await;
    assert_eq!(
        installed(&world).await,
        [
            pair("A", "RUNNING"),
            pair("B", "FINISHED"),
            pair("C", "FINISHED")
        ]
    );
    let roots = world
        .gg("GET", "/coreDevices/core1/installedComponents", json!(null))
        .await;
    assert_eq!(
        roots["installedComponents"].as_array().map(Vec::len),
        Some(1)
    );
    let root = &roots["installedComponents"][0];
    assert_eq!(root["lastInstallationSource"], "LOCAL");
    assert_eq!(root["isRoot"], true);
    world.advance(5000);
    let mut broken = component("A", "1.0.0", "BROKEN", true);
    broken["componentStatusDetails"] =
        json!({ "statusCodes": ["RUN_ERROR"], "statusReason": "it ended with 1" });
    let list = json!([broken, component("B", "1.0.0", "UNINSTALLED", false)]);
    world
        .publish(TOPIC, message("PARTIAL", 1, 2000, list))
        .await;
    assert_eq!(
        installed(&world).await,
        [pair("A", "BROKEN"), pair("C", "FINISHED")]
    );
    let roots = world
        .gg("GET", "/coreDevices/core1/installedComponents", json!(null))
        .await;
    let root = &roots["installedComponents"][0];
    assert_eq!(root["lifecycleStatusCodes"], json!(["RUN_ERROR"]));
    assert_eq!(root["lifecycleStateDetails"], "it ended with 1");
    assert_eq!(root["lastStatusChangeTimestamp"], json!(1_795_453_005.25));
    world
        .publish(
            TOPIC,
            message(
                "COMPLETE",
                2,
                3000,
                json!([component("A", "1.0.0", "RUNNING", true)]),
            ),
        )
        .await;
    assert_eq!(installed(&world).await, [pair("A", "RUNNING")]);
}

#[tokio::test]
async fn old_messages_are_passed_over_and_used_numbers_are_not() {
    let world = world().await;
    let send = |kind: &'static str, sequence, timestamp, state: &'static str| {
        message(
            kind,
            sequence,
            timestamp,
            json!([component("A", "1.0.0", state, true)]),
        )
    };
    world
        .publish(TOPIC, send("COMPLETE", 4, 4000, "RUNNING"))
        .await;
    // The very message again, and one that is older in both.
    world
        .publish(TOPIC, send("PARTIAL", 4, 4000, "BROKEN"))
        .await;
    world
        .publish(TOPIC, send("PARTIAL", 3, 3000, "BROKEN"))
        .await;
    assert_eq!(installed(&world).await, [pair("A", "RUNNING")]);
    // A rollback on the device uses numbers again.
    world
        .publish(TOPIC, send("PARTIAL", 4, 4500, "ERRORED"))
        .await;
    assert_eq!(installed(&world).await, [pair("A", "ERRORED")]);
    // A device whose clock went back goes on counting.
    world
        .publish(TOPIC, send("COMPLETE", 5, 100, "RUNNING"))
        .await;
    assert_eq!(installed(&world).await, [pair("A", "RUNNING")]);
    // A new installation starts over in both.
    let mut launch = send("COMPLETE", 0, 50, "STARTING");
    launch["trigger"] = json!("NUCLEUS_LAUNCH");
    world.publish(TOPIC, launch).await;
    assert_eq!(installed(&world).await, [pair("A", "STARTING")]);
    world
        .publish(TOPIC, send("PARTIAL", 1, 60, "RUNNING"))
        .await;
    assert_eq!(installed(&world).await, [pair("A", "RUNNING")]);
}

#[tokio::test]
async fn chunks_are_joined_by_their_number() {
    let world = world().await;
    let chunk = |id: i64, name: &str, sequence: i64| {
        let mut part = message(
            "COMPLETE",
            sequence,
            1000 + sequence,
            json!([component(name, "1.0.0", "RUNNING", true)]),
        );
        part["chunkInfo"] = json!({ "chunkId": id, "totalChunks": 2 });
        part
    };
    world.publish(TOPIC, chunk(1, "lost", 1)).await;
    world.publish(TOPIC, chunk(2, "B", 2)).await;
    world
        .refused(
            "greengrass",
            "GET",
            "/greengrass/v2/coreDevices/core1",
            json!(null),
            404,
            "ResourceNotFoundException",
        )
        .await;
    world.publish(TOPIC, chunk(2, "B", 2)).await;
    world.publish(TOPIC, chunk(1, "A", 2)).await;
    assert_eq!(
        installed(&world).await,
        [pair("A", "RUNNING"), pair("B", "RUNNING")]
    );
}

#[tokio::test]
async fn chunks_that_cannot_be_are_not_kept() {
    let world = world().await;
    for (id, total) in [(7, 2), (8, 2), (-1, 2), (1, 1_000_000)] {
        let mut part = message("COMPLETE", 1, 1000, json!([]));
        part["chunkInfo"] = json!({ "chunkId": id, "totalChunks": total });
        world.publish(TOPIC, part).await;
    }
    let listed = world.gg("GET", "/coreDevices", json!(null)).await;
    assert_eq!(listed["coreDevices"], json!([]));
}

#[tokio::test]
async fn unreadable_messages_change_nothing() {
    let world = world().await;
    for payload in [
        &b"{"[..],
        b"",
        b"[]",
        b"{}",
        b"{\"overallDeviceStatus\":\"GREAT\"}",
    ] {
        let replies = world
            .control
            .reserved_publish(&world.scope(), TOPIC, payload)
            .await
            .expect("taken, because a repeat cannot help");
        assert!(replies.is_empty());
    }
    let listed = world.gg("GET", "/coreDevices", json!(null)).await;
    assert_eq!(listed["coreDevices"], json!([]));
    let unknown = "$aws/things/none/greengrassv2/health/json";
    world
        .publish(unknown, message("COMPLETE", 0, 0, json!([])))
        .await;
    let listed = world.gg("GET", "/coreDevices", json!(null)).await;
    assert_eq!(listed["coreDevices"], json!([]));
}

#[tokio::test]
async fn the_source_is_the_newest_deployment_of_the_component() {
    let world = world().await;
    let made = world
        .gg(
            "POST",
            "/deployments",
            json!({ "targetArn": "arn:aws:iot:us-east-1:123456789012:thing/core1" }),
        )
        .await;
    let mut one = component("A", "1.0.0", "RUNNING", true);
    one["fleetConfigArns"] =
        json!(["arn:aws:greengrass:us-east-1:123456789012:configuration:thing/core1:1"]);
    world
        .publish(TOPIC, message("COMPLETE", 0, 1, json!([one])))
        .await;
    let roots = world
        .gg("GET", "/coreDevices/core1/installedComponents", json!(null))
        .await;
    assert_eq!(
        roots["installedComponents"][0]["lastInstallationSource"],
        made["deploymentId"]
    );
}

#[tokio::test]
async fn a_device_whose_clock_was_put_right_is_believed() {
    let world = world().await;
    let far_ahead = 4_000_000_000_000;
    let running = json!([component("A", "1.0.0", "RUNNING", true)]);
    world
        .publish(TOPIC, message("COMPLETE", 1, far_ahead, running))
        .await;
    let broken = json!([component("A", "1.0.0", "BROKEN", true)]);
    world
        .publish(TOPIC, message("PARTIAL", 2, 1000, broken))
        .await;
    assert_eq!(installed(&world).await, [pair("A", "BROKEN")]);
}
