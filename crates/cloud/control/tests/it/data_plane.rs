use crate::world::{World, parse, request, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sward_aws_wire::api::ApiError;
use sward_control::Principal;

async fn device_call(
    world: &World,
    principal: &Principal,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: Value,
) -> Result<Value, ApiError> {
    let bytes = if body.is_null() {
        Vec::new()
    } else {
        body.to_string().into_bytes()
    };
    let request = request(method, target, headers, &bytes);
    let answer = world.control.data_plane_call(principal, request).await?;
    Ok(parse(&answer.body))
}

fn allow(action: &str, resource: &str) -> Value {
    json!([{ "Effect": "Allow", "Action": action, "Resource": resource }])
}

const THING: &str = "arn:aws:iot:us-east-1:123456789012:thing/core1";
const COMPONENT: &str =
    "arn:aws:greengrass:us-east-1:123456789012:components:com.example.A:versions:1.0.0";

/// A cloud in which every call of the table below succeeds when it is allowed.
async fn prepared() -> World {
    let world = World::new().await;
    world
        .buckets
        .0
        .lock()
        .expect("not poisoned")
        .insert("s3://b/a.zip".to_owned(), b"zip".to_vec());
    let recipe = json!({
        "RecipeFormatVersion": "2020-01-25", "ComponentName": "com.example.A", "ComponentVersion": "1.0.0",
        "Manifests": [{ "Lifecycle": { "run": "x" }, "Artifacts": [{ "URI": "s3://b/a.zip" }] }],
    });
    world
        .gg(
            "POST",
            "/createComponentVersion",
            json!({ "inlineRecipe": STANDARD.encode(recipe.to_string()) }),
        )
        .await;
    world
        .iot(
            "POST",
            "/role-aliases/Alias",
            json!({ "roleArn": "arn:aws:iam::123456789012:role/Device" }),
        )
        .await;
    world
}

#[tokio::test]
async fn each_call_needs_its_statement() {
    let cases: &[(&str, &str, &str, String, Value)] = &[
        (
            "greengrass:ResolveComponentCandidates",
            "*",
            "POST",
            "/greengrass/v2/resolveComponentCandidates".to_owned(),
            json!({ "componentCandidates": [{ "componentName": "com.example.A" }] }),
        ),
        (
            "greengrass:GetComponentVersionArtifact",
            COMPONENT,
            "GET",
            format!("/greengrass/v2/components/{COMPONENT}/artifacts/a.zip"),
            json!(null),
        ),
        (
            "greengrass:ListThingGroupsForCoreDevice",
            THING,
            "GET",
            "/greengrass/v2/coreDevices/core1/thingGroups".to_owned(),
            json!(null),
        ),
        (
            "iot:AssumeRoleWithCertificate",
            "arn:aws:iot:us-east-1:123456789012:rolealias/Alias",
            "GET",
            "/role-aliases/Alias/credentials".to_owned(),
            json!(null),
        ),
        (
            "iot:UpdateThingShadow",
            THING,
            "POST",
            "/things/core1/shadow".to_owned(),
            json!({ "state": { "reported": { "a": 1 } } }),
        ),
        (
            "iot:GetThingShadow",
            THING,
            "GET",
            "/things/core1/shadow".to_owned(),
            json!(null),
        ),
        (
            "iot:DeleteThingShadow",
            THING,
            "DELETE",
            "/things/core1/shadow".to_owned(),
            json!(null),
        ),
        (
            "iot:ListNamedShadowsForThing",
            THING,
            "GET",
            "/api/things/shadow/ListNamedShadowsForThing/core1".to_owned(),
            json!(null),
        ),
        (
            "iot:Publish",
            "arn:aws:iot:us-east-1:123456789012:topic/a/b",
            "POST",
            "/topics/a/b".to_owned(),
            json!({}),
        ),
        (
            "iotjobsdata:GetPendingJobExecutions",
            THING,
            "GET",
            "/things/core1/jobs".to_owned(),
            json!(null),
        ),
        (
            "iotjobsdata:StartNextPendingJobExecution",
            THING,
            "PUT",
            "/things/core1/jobs/$next".to_owned(),
            json!({}),
        ),
        (
            "iotjobsdata:DescribeJobExecution",
            THING,
            "GET",
            "/things/core1/jobs/j".to_owned(),
            json!(null),
        ),
        (
            "iotjobsdata:UpdateJobExecution",
            THING,
            "POST",
            "/things/core1/jobs/j".to_owned(),
            json!({ "status": "IN_PROGRESS" }),
        ),
    ];
    for (action, resource, method, target, body) in cases {
        let world = prepared().await;
        // With the statement.
        let principal = world.device("core1", allow(action, resource)).await;
        world
            .iot(
                "PUT",
                "/jobs/j",
                json!({ "targets": [THING], "document": "{}" }),
            )
            .await;
        world
            .ok(
                "iotdata",
                "POST",
                "/things/core1/shadow",
                json!({ "state": { "reported": { "x": 1 } } }),
            )
            .await;
        // Without it: another action, and the same action on another resource.
        let other_action = world.device("core2", allow("iot:Connect", "*")).await;
        let elsewhere = allow(action, "arn:aws:iot:us-east-1:123456789012:thing/other");
        let other_resource = world.device("core3", elsewhere).await;
        for (principal, name) in [(&other_action, "core2"), (&other_resource, "core3")] {
            let refused = device_call(&world, principal, method, target, &[], body.clone()).await;
            let error = refused.expect_err(action);
            assert_eq!(error.status, 403, "{action} {name}");
            assert!(
                error.report.one_line().contains(action),
                "{action}: {error}"
            );
        }
        device_call(&world, &principal, method, target, &[], body.clone())
            .await
            .unwrap_or_else(|error| panic!("{action}: {error}"));
    }
}

#[tokio::test]
async fn retaining_needs_its_own_statement() {
    let world = World::new().await;
    let publish = "arn:aws:iot:us-east-1:123456789012:topic/a";
    let one = world.device("a", allow("iot:Publish", publish)).await;
    let refused = device_call(
        &world,
        &one,
        "POST",
        "/topics/a?retain=true",
        &[],
        json!({}),
    )
    .await;
    assert_eq!(refused.expect_err("not allowed").status, 403);
    let both = json!([{ "Effect": "Allow", "Action": ["iot:Publish", "iot:RetainPublish"], "Resource": publish }]);
    let two = world.device("b", both).await;
    device_call(
        &world,
        &two,
        "POST",
        "/topics/a?retain=true",
        &[],
        json!({}),
    )
    .await
    .expect("allowed");
}

#[tokio::test]
async fn credentials_are_for_the_attached_thing() {
    let world = prepared().await;
    let principal = world
        .device("core1", allow("iot:AssumeRoleWithCertificate", "*"))
        .await;
    let target = "/role-aliases/Alias/credentials";
    let named = [("x-amzn-iot-thingname", "core1")];
    let got = device_call(&world, &principal, "GET", target, &named, json!(null))
        .await
        .expect("credentials");
    let credentials = &got["credentials"];
    assert_eq!(credentials["accessKeyId"], "ASIATEST");
    assert_eq!(credentials["expiration"], "2026-11-23T17:56:40Z");
    assert_eq!(
        text(&credentials["sessionToken"]),
        format!("{}/3600", principal.certificate_id)
    );
    let other = [("x-amzn-iot-thingname", "core2")];
    let refused = device_call(&world, &principal, "GET", target, &other, json!(null)).await;
    assert_eq!(refused.expect_err("not attached").status, 403);
    let none = "/role-aliases/None/credentials";
    let refused = device_call(&world, &principal, "GET", none, &named, json!(null)).await;
    assert_eq!(refused.expect_err("no alias").status, 404);
    world
        .iot(
            "PUT",
            "/role-aliases/Alias",
            json!({ "roleArn": "arn:aws:iam::123456789012:role/Other" }),
        )
        .await;
    let refused = device_call(&world, &principal, "GET", target, &named, json!(null)).await;
    assert_eq!(refused.expect_err("no role").status, 403);
}

async fn resolve(
    world: &World,
    principal: &Principal,
    candidate: Value,
) -> Result<Value, ApiError> {
    let body = json!({
        "platform": { "attributes": { "os": "linux", "architecture": "amd64" } },
        "componentCandidates": [candidate],
    });
    let target = "/greengrass/v2/resolveComponentCandidates";
    device_call(world, principal, "POST", target, &[], body).await
}

#[tokio::test]
async fn candidates_are_the_highest_that_everybody_wants() {
    let world = World::new().await;
    for version in ["1.0.0", "1.1.0", "2.0.0"] {
        world.component("com.example.C", version).await;
    }
    let principal = world.device("core1", allow("greengrass:*", "*")).await;
    let check = async |candidate: Value, expected: &str| {
        let answer = resolve(&world, &principal, candidate)
            .await
            .expect(expected);
        let resolved = answer["resolvedComponentVersions"]
            .as_array()
            .expect("a list");
        assert_eq!(resolved.len(), 1);
        assert_eq!(resolved[0]["componentVersion"], expected);
        assert_eq!(resolved[0]["vendorGuidance"], "ACTIVE");
        let recipe = STANDARD
            .decode(text(&resolved[0]["recipe"]))
            .expect("base64");
        let recipe: Value = serde_json::from_slice(&recipe).expect("JSON");
        assert_eq!(recipe["ComponentVersion"], expected);
    };
    let name = "com.example.C";
    check(json!({ "componentName": name }), "2.0.0").await;
    check(
        json!({ "componentName": name, "versionRequirements": { "thinggroup/G": "==1.0.0" } }),
        "1.0.0",
    )
    .await;
    check(
        json!({ "componentName": name, "versionRequirements": { "A": ">=1.0.0 <2.0.0", "B": ">=1.0.0" } }),
        "1.1.0",
    )
    .await;
    check(
        json!({ "componentName": name, "componentVersion": "1.0.0", "versionRequirements": { "A": ">=1.0.0" } }),
        "1.0.0",
    )
    .await;
    check(
        json!({ "componentName": name, "componentVersion": "1.5.0", "versionRequirements": { "A": ">=1.0.0" } }),
        "2.0.0",
    )
    .await;
    check(
        json!({ "componentName": "aws.greengrass.Nucleus", "componentVersion": "2.18.0", "versionRequirements": { "A": ">=2.0.0 <3.0.0" } }),
        "2.18.0",
    )
    .await;
    check(
        json!({ "componentName": "aws.greengrass.Cli", "versionRequirements": { "thing/core1": "=2.12.3" } }),
        "2.12.3",
    )
    .await;
}

#[tokio::test]
async fn what_cannot_be_resolved_says_so_in_the_words_devices_look_for() {
    let world = World::new().await;
    world.component("com.example.C", "1.0.0").await;
    let principal = world.device("core1", allow("greengrass:*", "*")).await;
    for (candidate, words) in [
        (json!({ "componentName": "none" }), "no usable version"),
        (
            json!({ "componentName": "com.example.C", "versionRequirements": { "A": ">=2.0.0" } }),
            "no usable version",
        ),
    ] {
        let error = resolve(&world, &principal, candidate)
            .await
            .expect_err(words);
        assert_eq!(
            (error.status, error.code.as_str()),
            (404, "ResourceNotFoundException")
        );
        assert!(
            error.json_body()["message"].to_string().contains(words),
            "{error}"
        );
    }
    let body = json!({
        "platform": { "attributes": { "os": "windows" } },
        "componentCandidates": [{ "componentName": "com.example.C" }],
    });
    let target = "/greengrass/v2/resolveComponentCandidates";
    let error = device_call(&world, &principal, "POST", target, &[], body)
        .await
        .expect_err("no manifest");
    assert_eq!(error.status, 404);
    let message = error.json_body()["message"].to_string();
    assert!(message.contains("claim platform") && !message.contains("no usable version"));
    for body in [
        json!({}),
        json!({ "componentCandidates": [{ "componentName": "a b" }] }),
        json!({ "componentCandidates": [{ "componentName": "a", "versionRequirements": { "A": "~~" } }] }),
    ] {
        let error = device_call(&world, &principal, "POST", target, &[], body)
            .await
            .expect_err("bad");
        assert_eq!(error.code, "ValidationException");
    }
}

#[tokio::test]
async fn groups_of_a_core_come_with_those_above() {
    let world = World::new().await;
    let principal = world.device("core1", allow("greengrass:*", "*")).await;
    world.group("Top", &[]).await;
    world
        .iot(
            "POST",
            "/thing-groups/Inner",
            json!({ "parentGroupName": "Top" }),
        )
        .await;
    world.join("Inner", "core1").await;
    world.group("Alone", &["core1"]).await;
    let target = "/greengrass/v2/coreDevices/core1/thingGroups";
    let got = device_call(&world, &principal, "GET", target, &[], json!(null))
        .await
        .expect("groups");
    let arn = |name: &str| format!("arn:aws:iot:us-east-1:123456789012:thinggroup/{name}");
    assert_eq!(
        got,
        json!({ "thingGroups": [
            { "thingGroupName": "Alone", "thingGroupArn": arn("Alone"), "rootToParentThingGroups": [] },
            { "thingGroupName": "Inner", "thingGroupArn": arn("Inner"), "rootToParentThingGroups": [
                { "thingGroupName": "Top", "thingGroupArn": arn("Top") },
            ]},
        ]})
    );
}

#[tokio::test]
async fn artifacts_are_found_by_name_under_raw_and_encoded_arns() {
    let world = prepared().await;
    let principal = world.device("core1", allow("greengrass:*", "*")).await;
    for arn in [COMPONENT.to_owned(), COMPONENT.replace(':', "%3A")] {
        let target =
            format!("/greengrass/v2/components/{arn}/artifacts/some/a.zip?s3EndpointType=GLOBAL");
        let got = device_call(&world, &principal, "GET", &target, &[], json!(null))
            .await
            .expect("a URL");
        assert_eq!(got["preSignedUrl"], "https://objects.test/s3://b/a.zip");
    }
    let target = format!("/greengrass/v2/components/{COMPONENT}/artifacts/b.zip");
    let error = device_call(&world, &principal, "GET", &target, &[], json!(null))
        .await
        .expect_err("no such artifact");
    assert_eq!(error.status, 404);
}
