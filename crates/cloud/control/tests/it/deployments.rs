use crate::world::{World, text};
use serde_json::{Value, json};

const SHADOW: &str = "$aws/things/core1/shadow/name/AWSManagedGreengrassV2Deployment";

fn thing_arn(name: &str) -> String {
    format!("arn:aws:iot:us-east-1:123456789012:thing/{name}")
}

async fn deploy(world: &World, target: &str, version: &str) -> Value {
    let body = json!({
        "targetArn": target,
        "deploymentName": "wire",
        "components": { "com.example.Hello": { "componentVersion": version } },
    });
    let made = world
        .ok("greengrass", "POST", "/greengrass/v2/deployments", body)
        .await;
    assert_eq!(made.status, 201);
    made.body
}

async fn deployment(world: &World, id: &str) -> Value {
    world
        .gg("GET", &format!("/deployments/{id}"), json!(null))
        .await
}

/// A first fleet status, so that there is a core device to look at.
async fn report(world: &World, thing: &str) {
    world
        .publish(
            &format!("$aws/things/{thing}/greengrassv2/health/json"),
            json!({
                "ggcVersion": "2.18.0", "platform": "linux", "architecture": "amd64",
                "thing": thing, "sequenceNumber": 0, "timestamp": 1,
                "messageType": "COMPLETE", "trigger": "NUCLEUS_LAUNCH",
                "overallDeviceStatus": "HEALTHY", "components": [],
            }),
        )
        .await;
}

async fn effective(world: &World, thing: &str) -> Vec<Value> {
    let listed = world
        .gg(
            "GET",
            &format!("/coreDevices/{thing}/effectiveDeployments"),
            json!(null),
        )
        .await;
    listed["effectiveDeployments"]
        .as_array()
        .expect("a list")
        .clone()
}

async fn thing_world() -> World {
    let world = World::new().await;
    world.iot("POST", "/things/core1", json!({})).await;
    report(&world, "core1").await;
    world
}

#[tokio::test]
async fn a_thing_gets_its_deployment_by_shadow_and_reports_it() {
    let world = thing_world().await;
    let made = deploy(&world, &thing_arn("core1"), "1.0.0").await;
    assert_eq!(made.get("iotJobId"), None);
    let id = text(&made["deploymentId"]);
    let published = world.published().await;
    assert_eq!(published[0].0, format!("{SHADOW}/update/accepted"));
    let desired = &published[0].1["state"]["desired"];
    assert_eq!(published[0].1["version"], 1);
    assert_eq!(desired["desiredStatus"], "SUCCEEDED");
    let document: Value =
        serde_json::from_str(&text(&desired["fleetConfig"])).expect("a document as text");
    let configuration = "arn:aws:greengrass:us-east-1:123456789012:configuration:thing/core1:1";
    assert_eq!(document["configurationArn"], configuration);
    assert_eq!(document["deploymentId"], id.as_str());
    assert_eq!(document["deploymentName"], "wire");
    assert_eq!(document["creationTimestamp"], json!(1_795_453_000_250_i64));
    assert_eq!(
        document["components"],
        json!({ "com.example.Hello": { "version": "1.0.0" } })
    );

    // The device is silent: nothing but QUEUED is shown.
    world.advance(3_600_000);
    world.control.tick().await.expect("a tick");
    let shown = effective(&world, "core1").await;
    assert_eq!(shown[0]["coreDeviceExecutionStatus"], "QUEUED");
    assert_eq!(deployment(&world, &id).await["deploymentStatus"], "ACTIVE");

    let report = |status: &str, version: u64| {
        json!({
            "state": { "reported": {
                "ggcVersion": "2.18.0", "fleetConfigurationArnForStatus": configuration,
                "statusDetails": { "detailedStatus": "SUCCESSFUL", "failureCause": "", "errorTypes": [], "errorStack": [] },
                "status": status,
            }},
            "version": version,
        })
    };
    let update = format!("{SHADOW}/update");
    assert!(
        world
            .publish(&update, report("IN_PROGRESS", 1))
            .await
            .is_empty()
    );
    let shown = effective(&world, "core1").await;
    assert_eq!(shown[0]["coreDeviceExecutionStatus"], "IN_PROGRESS");
    let published = world.published().await;
    assert_eq!(published[0].1["version"], 2);
    world.publish(&update, report("SUCCEEDED", 2)).await;
    let shown = effective(&world, "core1").await;
    assert_eq!(shown[0]["coreDeviceExecutionStatus"], "COMPLETED");
    assert_eq!(shown[0]["reason"], "SUCCESSFUL");
    assert_eq!(shown[0]["deploymentName"], "wire");
    assert_eq!(
        deployment(&world, &id).await["deploymentStatus"],
        "COMPLETED"
    );
}

#[tokio::test]
async fn a_failed_thing_deployment_tells_its_errors() {
    let world = thing_world().await;
    let id = text(&deploy(&world, &thing_arn("core1"), "1.0.0").await["deploymentId"]);
    world
        .publish(
            &format!("{SHADOW}/update"),
            json!({ "state": { "reported": {
                "fleetConfigurationArnForStatus": "arn:aws:greengrass:us-east-1:123456789012:configuration:thing/core1:1",
                "status": "FAILED",
                "statusDetails": {
                    "detailedStatus": "FAILED_ROLLBACK_COMPLETE", "failureCause": "it broke",
                    "errorStack": ["DEPLOYMENT_FAILURE", "COMPONENT_BROKEN"], "errorTypes": ["USER_COMPONENT_ERROR"],
                },
            }}}),
        )
        .await;
    let shown = effective(&world, "core1").await;
    assert_eq!(shown[0]["coreDeviceExecutionStatus"], "FAILED");
    assert_eq!(shown[0]["reason"], "FAILED_ROLLBACK_COMPLETE: it broke");
    assert_eq!(
        shown[0]["statusDetails"],
        json!({
            "errorStack": ["DEPLOYMENT_FAILURE", "COMPONENT_BROKEN"],
            "errorTypes": ["USER_COMPONENT_ERROR"],
        })
    );
    assert_eq!(deployment(&world, &id).await["deploymentStatus"], "FAILED");
}

#[tokio::test]
async fn a_device_cannot_report_for_another_target() {
    let world = thing_world().await;
    world.iot("POST", "/things/core2", json!({})).await;
    report(&world, "core2").await;
    let id = text(&deploy(&world, &thing_arn("core1"), "1.0.0").await["deploymentId"]);
    world
        .publish(
            "$aws/things/core2/shadow/name/AWSManagedGreengrassV2Deployment/update",
            json!({ "state": { "reported": {
                "fleetConfigurationArnForStatus": "arn:aws:greengrass:us-east-1:123456789012:configuration:thing/core1:1",
                "status": "SUCCEEDED",
            }}}),
        )
        .await;
    assert_eq!(deployment(&world, &id).await["deploymentStatus"], "ACTIVE");
    assert!(effective(&world, "core2").await.is_empty());
}

#[tokio::test]
async fn a_group_deployment_is_a_continuous_job_of_its_namespace() {
    let world = thing_world().await;
    let group = world.group("G", &["core1"]).await;
    let made = deploy(&world, &group, "1.0.0").await;
    let id = text(&made["deploymentId"]);
    let job = text(&made["iotJobId"]);
    assert_eq!(
        made["iotJobArn"],
        format!("arn:aws:iot:us-east-1:123456789012:job/{job}")
    );
    let published = world.published().await;
    let topics: Vec<&str> = published.iter().map(|one| one.0.as_str()).collect();
    assert_eq!(
        topics,
        [
            "$aws/things/core1/jobs/notify-namespace-aws-gg-deployment",
            "$aws/things/core1/jobs/notify-next-namespace-aws-gg-deployment",
        ]
    );
    assert_eq!(published[0].1["jobs"]["QUEUED"][0]["jobId"], job.as_str());

    // The plain namespace does not see it.
    let plain = world
        .publish("$aws/things/core1/jobs/$next/get", json!({}))
        .await;
    assert!(!plain[0].payload.contains("execution"));
    let next = "$aws/things/core1/jobs/$next/namespace-aws-gg-deployment/get";
    let reply = world
        .publish(
            next,
            json!({ "thingName": "core1", "jobId": "$next", "includeJobDocument": true }),
        )
        .await;
    assert_eq!(reply[0].topic, format!("{next}/accepted"));
    let answer: Value = serde_json::from_str(&reply[0].payload).expect("JSON");
    let document = &answer["execution"]["jobDocument"];
    assert_eq!(
        document["configurationArn"],
        "arn:aws:greengrass:us-east-1:123456789012:configuration:thinggroup/G:1"
    );
    let shown = effective(&world, "core1").await;
    assert_eq!(shown[0]["coreDeviceExecutionStatus"], "QUEUED");
    assert_eq!(shown[0]["iotJobId"], job.as_str());

    let update = format!("$aws/things/core1/jobs/{job}/namespace-aws-gg-deployment/update");
    world
        .publish(
            &update,
            json!({ "jobId": job, "status": "IN_PROGRESS", "statusDetails": {} }),
        )
        .await;
    let shown = effective(&world, "core1").await;
    assert_eq!(shown[0]["coreDeviceExecutionStatus"], "IN_PROGRESS");
    world.published().await;
    world
        .publish(
            &update,
            json!({ "status": "SUCCEEDED", "statusDetails": { "detailed-deployment-status": "SUCCESSFUL" } }),
        )
        .await;
    let published = world.published().await;
    assert_eq!(published[0].0, format!("{update}/accepted"));
    assert_eq!(
        published[1].0,
        "$aws/things/core1/jobs/notify-namespace-aws-gg-deployment"
    );
    assert_eq!(published[1].1["jobs"], json!({}));
    let shown = effective(&world, "core1").await;
    assert_eq!(shown[0]["coreDeviceExecutionStatus"], "SUCCEEDED");
    // Later members must get it too, so it stays ACTIVE.
    assert_eq!(deployment(&world, &id).await["deploymentStatus"], "ACTIVE");

    world.iot("POST", "/things/core2", json!({})).await;
    world.join("G", "core2").await;
    let published = world.published().await;
    assert_eq!(
        published[0].0,
        "$aws/things/core2/jobs/notify-namespace-aws-gg-deployment"
    );
    let listed = world
        .gg(
            "GET",
            &format!("/coreDevices?thingGroupArn={group}"),
            json!(null),
        )
        .await;
    assert_eq!(listed["coreDevices"][0]["coreDeviceThingName"], "core1");
    assert_eq!(listed["coreDevices"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_failed_job_tells_its_errors() {
    let world = thing_world().await;
    let group = world.group("G", &["core1"]).await;
    let job = text(&deploy(&world, &group, "1.0.0").await["iotJobId"]);
    world
        .publish(
            &format!("$aws/things/core1/jobs/{job}/namespace-aws-gg-deployment/update"),
            json!({ "status": "FAILED", "statusDetails": {
                "detailed-deployment-status": "FAILED_NO_STATE_CHANGE",
                "deployment-failure-cause": "no version",
                "deployment-error-stack": "[\"DEPLOYMENT_FAILURE\",\"NO_AVAILABLE_COMPONENT_VERSION\"]",
                "deployment-error-types": "[\"REQUEST_ERROR\"]",
            }}),
        )
        .await;
    let shown = effective(&world, "core1").await;
    assert_eq!(shown[0]["coreDeviceExecutionStatus"], "FAILED");
    assert_eq!(shown[0]["reason"], "FAILED_NO_STATE_CHANGE: no version");
    assert_eq!(
        shown[0]["statusDetails"]["errorStack"],
        json!(["DEPLOYMENT_FAILURE", "NO_AVAILABLE_COMPONENT_VERSION"])
    );
}

#[tokio::test]
async fn a_revision_ends_the_one_before_and_the_queue_is_never_empty_between() {
    let world = thing_world().await;
    let group = world.group("G", &["core1"]).await;
    let first = deploy(&world, &group, "1.0.0").await;
    let first_job = text(&first["iotJobId"]);
    world
        .publish(
            &format!("$aws/things/core1/jobs/{first_job}/namespace-aws-gg-deployment/update"),
            json!({ "status": "IN_PROGRESS" }),
        )
        .await;
    world.published().await;
    world.advance(1000);
    let second = deploy(&world, &group, "1.0.1").await;
    let second_job = text(&second["iotJobId"]);
    for (topic, body) in world.published().await {
        if topic.contains("/jobs/notify-namespace") {
            assert_ne!(
                body["jobs"],
                json!({}),
                "an empty list would cancel the new one"
            );
        }
    }
    let next = "$aws/things/core1/jobs/$next/namespace-aws-gg-deployment/get";
    let reply = world.publish(next, json!({})).await;
    let answer: Value = serde_json::from_str(&reply[0].payload).expect("JSON");
    assert_eq!(answer["execution"]["jobId"], second_job.as_str());
    assert_eq!(
        answer["execution"]["jobDocument"]["configurationArn"],
        "arn:aws:greengrass:us-east-1:123456789012:configuration:thinggroup/G:2"
    );
    let old = deployment(&world, &text(&first["deploymentId"])).await;
    assert_eq!(old["deploymentStatus"], "INACTIVE");
    assert_eq!(old["isLatestForTarget"], false);
    let new = deployment(&world, &text(&second["deploymentId"])).await;
    assert_eq!(new["revisionId"], "2");
    assert_eq!(new["isLatestForTarget"], true);
    let old_job = world
        .iot("GET", &format!("/jobs/{first_job}"), json!(null))
        .await;
    assert_eq!(old_job["job"]["status"], "CANCELED");
    let latest = world.gg("GET", "/deployments", json!(null)).await;
    assert_eq!(latest["deployments"].as_array().map(Vec::len), Some(1));
    let all = world
        .gg("GET", "/deployments?historyFilter=ALL", json!(null))
        .await;
    assert_eq!(all["deployments"][0]["revisionId"], "2");
    assert_eq!(all["deployments"].as_array().map(Vec::len), Some(2));
    let other = world
        .gg(
            "GET",
            &format!("/deployments?targetArn={}", thing_arn("core1")),
            json!(null),
        )
        .await;
    assert_eq!(other["deployments"], json!([]));
}

#[tokio::test]
async fn get_deployment_echoes_the_request_with_its_defaults() {
    let world = thing_world().await;
    let components = json!({ "com.example.Hello": {
        "componentVersion": "1.0.0",
        "configurationUpdate": { "merge": "{\"a\":1.0}", "reset": ["/b"] },
        "runWith": { "posixUser": "u:g" },
    }});
    let made = world
        .gg(
            "POST",
            "/deployments",
            json!({
                "targetArn": thing_arn("core1"), "components": components,
                "tags": { "a": "b" }, "futureMember": 1,
            }),
        )
        .await;
    let shown = deployment(&world, &text(&made["deploymentId"])).await;
    assert_eq!(shown["components"], components);
    assert_eq!(
        shown["deploymentPolicies"],
        json!({
            "failureHandlingPolicy": "ROLLBACK",
            "componentUpdatePolicy": { "timeoutInSeconds": 60, "action": "NOTIFY_COMPONENTS" },
            "configurationValidationPolicy": { "timeoutInSeconds": 60 },
        })
    );
    assert_eq!(shown["tags"], json!({ "a": "b" }));
    assert_eq!(shown["targetArn"], thing_arn("core1").as_str());
    assert_eq!(shown.get("deploymentName"), None);
}

#[tokio::test]
async fn an_empty_deployment_removes_everything() {
    let world = thing_world().await;
    world
        .gg(
            "POST",
            "/deployments",
            json!({ "targetArn": thing_arn("core1") }),
        )
        .await;
    let published = world.published().await;
    let config = text(&published[0].1["state"]["desired"]["fleetConfig"]);
    let document: Value = serde_json::from_str(&config).expect("JSON");
    assert_eq!(document["components"], json!({}));
}

#[tokio::test]
async fn only_an_active_deployment_can_be_cancelled_and_only_an_ended_one_deleted() {
    let world = thing_world().await;
    let group = world.group("G", &["core1"]).await;
    for target in [group, thing_arn("core1")] {
        let id = text(&deploy(&world, &target, "1.0.0").await["deploymentId"]);
        let path = format!("/greengrass/v2/deployments/{id}");
        world
            .refused(
                "greengrass",
                "DELETE",
                &path,
                json!(null),
                409,
                "ConflictException",
            )
            .await;
        world.published().await;
        let answer = world
            .ok("greengrass", "POST", &format!("{path}/cancel"), json!({}))
            .await;
        assert!(!text(&answer.body["message"]).is_empty());
        assert_eq!(
            deployment(&world, &id).await["deploymentStatus"],
            "CANCELED"
        );
        let shown = effective(&world, "core1").await;
        let of_target = shown
            .iter()
            .find(|one| one["targetArn"] == target.as_str())
            .expect("shown");
        assert_eq!(of_target["coreDeviceExecutionStatus"], "CANCELED");
        let published = world.published().await;
        if target.contains(":thing/") {
            assert_eq!(
                published[0].1["state"]["desired"]["desiredStatus"],
                "CANCELED"
            );
        } else {
            assert_eq!(published[0].1["jobs"], json!({}));
        }
        world
            .refused(
                "greengrass",
                "POST",
                &format!("{path}/cancel"),
                json!({}),
                409,
                "ConflictException",
            )
            .await;
        let gone = world
            .try_call("greengrass", "DELETE", &path, &[], b"")
            .await
            .expect("deleted");
        assert_eq!(gone.status, 204);
        world
            .refused(
                "greengrass",
                "GET",
                &path,
                json!(null),
                404,
                "ResourceNotFoundException",
            )
            .await;
        // A device ignores a configuration it has seen, so the number is not used again.
        let again = deploy(&world, &target, "1.0.0").await;
        let shown = deployment(&world, &text(&again["deploymentId"])).await;
        assert_eq!(shown["revisionId"], "2");
    }
}

#[tokio::test]
async fn bad_deployments_are_refused() {
    let world = thing_world().await;
    let path = "/greengrass/v2/deployments";
    for (body, status, code) in [
        (json!({}), 400, "ValidationException"),
        (json!({ "targetArn": "x" }), 400, "ValidationException"),
        (
            json!({ "targetArn": "arn:aws:s3:::x" }),
            400,
            "ValidationException",
        ),
        (
            json!({ "targetArn": "arn:aws:iot:eu-west-1:123456789012:thing/core1" }),
            400,
            "ValidationException",
        ),
        (
            json!({ "targetArn": thing_arn("none") }),
            404,
            "ResourceNotFoundException",
        ),
        (
            json!({ "targetArn": "arn:aws:iot:us-east-1:123456789012:thinggroup/none" }),
            404,
            "ResourceNotFoundException",
        ),
        (
            json!({ "targetArn": thing_arn("core1"), "components": { "a": { "componentVersion": "1" } } }),
            400,
            "ValidationException",
        ),
        (
            json!({ "targetArn": thing_arn("core1"), "deploymentPolicies": { "failureHandlingPolicy": "X" } }),
            400,
            "ValidationException",
        ),
        (
            json!({ "targetArn": thing_arn("core1"), "iotJobConfiguration": { "timeoutConfig": { "inProgressTimeoutInMinutes": 0 } } }),
            400,
            "ValidationException",
        ),
        (
            json!({ "targetArn": thing_arn("core1"), "parentTargetArn": thing_arn("core1") }),
            400,
            "ValidationException",
        ),
    ] {
        world
            .refused("greengrass", "POST", path, body, status, code)
            .await;
    }
    // Nothing of it was kept.
    let all = world
        .gg("GET", "/deployments?historyFilter=ALL", json!(null))
        .await;
    assert_eq!(all["deployments"], json!([]));
    assert!(world.published().await.is_empty());
}

#[tokio::test]
async fn a_job_that_aborts_cancels_its_deployment() {
    let world = World::new().await;
    for thing in ["a", "b"] {
        world
            .iot("POST", &format!("/things/{thing}"), json!({}))
            .await;
    }
    let group = world.group("G", &["a", "b"]).await;
    let made = world
        .gg(
            "POST",
            "/deployments",
            json!({ "targetArn": group, "iotJobConfiguration": { "abortConfig": { "criteriaList": [{
                "failureType": "ALL", "action": "CANCEL", "thresholdPercentage": 10.0, "minNumberOfExecutedThings": 1,
            }]}}}),
        )
        .await;
    let job = text(&made["iotJobId"]);
    world
        .publish(
            &format!("$aws/things/a/jobs/{job}/namespace-aws-gg-deployment/update"),
            json!({ "status": "FAILED" }),
        )
        .await;
    let shown = deployment(&world, &text(&made["deploymentId"])).await;
    assert_eq!(shown["deploymentStatus"], "CANCELED");
    assert_eq!(
        shown["iotJobConfiguration"]["abortConfig"]["criteriaList"][0]["failureType"],
        "ALL"
    );
    let execution = world
        .iot("GET", &format!("/things/b/jobs/{job}"), json!(null))
        .await;
    assert_eq!(execution["execution"]["status"], "CANCELED");
}

#[tokio::test]
async fn a_report_without_details_does_not_inherit_those_of_the_deployment_before() {
    let world = thing_world().await;
    let report = |revision: u64, status: &str, details: Value| {
        json!({ "state": { "reported": {
            "fleetConfigurationArnForStatus": format!("arn:aws:greengrass:us-east-1:123456789012:configuration:thing/core1:{revision}"),
            "status": status, "statusDetails": details,
        }}})
    };
    let update = format!("{SHADOW}/update");
    deploy(&world, &thing_arn("core1"), "1.0.0").await;
    let details = json!({ "detailedStatus": "SUCCESSFUL", "failureCause": "", "errorStack": [], "errorTypes": [] });
    world
        .publish(&update, report(1, "SUCCEEDED", details))
        .await;
    deploy(&world, &thing_arn("core1"), "1.0.1").await;
    let details = json!({ "failureCause": "", "errorStack": [], "errorTypes": [] });
    world
        .publish(&update, report(2, "IN_PROGRESS", details))
        .await;
    let shown = effective(&world, "core1").await;
    assert_eq!(shown[0]["coreDeviceExecutionStatus"], "IN_PROGRESS");
    assert_eq!(shown[0].get("reason"), None);
}

#[tokio::test]
async fn large_thing_deployments_reach_the_device_one_after_the_other() {
    let world = thing_world().await;
    for number in 1..=3 {
        let merge = json!({ "number": number, "large": "x".repeat(80_000) }).to_string();
        let made = world
            .gg(
                "POST",
                "/deployments",
                json!({
                    "targetArn": thing_arn("core1"),
                    "components": { "com.example.Hello": {
                        "componentVersion": "1.0.0", "configurationUpdate": { "merge": merge },
                    }},
                }),
            )
            .await;
        let id = text(&made["deploymentId"]);
        let told = world.published().await;
        let accepted = told
            .iter()
            .find(|(topic, _)| *topic == format!("{SHADOW}/update/accepted"))
            .expect("the device is told");
        let document = text(&accepted.1["state"]["desired"]["fleetConfig"]);
        assert!(document.contains(&id));
        // One that was away asks.
        let replies = world.publish(&format!("{SHADOW}/get"), json!({})).await;
        assert!(replies[0].payload.len() <= crate::world::LARGEST_MESSAGE);
        let body: Value = serde_json::from_str(&replies[0].payload).expect("JSON");
        assert!(text(&body["state"]["desired"]["fleetConfig"]).contains(&id));
    }
}

#[tokio::test]
async fn a_device_ends_a_deployment_that_was_deleted_meanwhile() {
    let world = thing_world().await;
    let group = world.group("G", &["core1"]).await;
    let made = deploy(&world, &group, "1.0.0").await;
    let (id, job) = (text(&made["deploymentId"]), text(&made["iotJobId"]));
    let update = format!("$aws/things/core1/jobs/{job}/namespace-aws-gg-deployment/update");
    world
        .publish(&update, json!({ "status": "IN_PROGRESS" }))
        .await;
    let path = format!("/deployments/{id}");
    world.gg("POST", &format!("{path}/cancel"), json!({})).await;
    let job_path = format!("/jobs/{job}");
    world
        .refused(
            "iot",
            "DELETE",
            &job_path,
            json!(null),
            400,
            "InvalidRequestException",
        )
        .await;
    world.gg("DELETE", &path, json!(null)).await;
    for filter in ["ALL", "LATEST_ONLY"] {
        let listed = world
            .gg(
                "GET",
                &format!("/deployments?historyFilter={filter}"),
                json!(null),
            )
            .await;
        assert_eq!(listed["deployments"], json!([]));
    }
    world
        .publish(&update, json!({ "status": "SUCCEEDED" }))
        .await;
    let shown = effective(&world, "core1").await;
    assert_eq!(shown[0]["coreDeviceExecutionStatus"], "SUCCEEDED");
    world.iot("DELETE", &job_path, json!(null)).await;
    world.gg("DELETE", "/coreDevices/core1", json!(null)).await;
}

#[tokio::test]
async fn a_core_device_that_never_came_back_can_be_deleted() {
    let world = thing_world().await;
    let made = deploy(&world, &thing_arn("core1"), "1.0.0").await;
    let id = text(&made["deploymentId"]);
    let reported = json!({
        "fleetConfigurationArnForStatus":
            "arn:aws:greengrass:us-east-1:123456789012:configuration:thing/core1:1",
        "status": "IN_PROGRESS",
    });
    world
        .publish(
            &format!("{SHADOW}/update"),
            json!({ "state": { "reported": reported } }),
        )
        .await;
    let device = "/greengrass/v2/coreDevices/core1";
    world
        .refused(
            "greengrass",
            "DELETE",
            device,
            json!(null),
            409,
            "ConflictException",
        )
        .await;
    world
        .gg("POST", &format!("/deployments/{id}/cancel"), json!({}))
        .await;
    world.gg("DELETE", "/coreDevices/core1", json!(null)).await;
}
