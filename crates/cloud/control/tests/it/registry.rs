use crate::world::{World, text};
use serde_json::{Value, json};

#[tokio::test]
async fn things_are_made_once_changed_by_version_and_deleted_when_free() {
    let world = World::new().await;
    let made = world
        .iot(
            "POST",
            "/things/core1",
            json!({ "attributePayload": { "attributes": { "a": "1" } } }),
        )
        .await;
    assert_eq!(
        made["thingArn"],
        "arn:aws:iot:us-east-1:123456789012:thing/core1"
    );
    let again = world
        .iot(
            "POST",
            "/things/core1",
            json!({ "attributePayload": { "attributes": { "a": "1" } } }),
        )
        .await;
    assert_eq!(made, again);
    world
        .refused(
            "iot",
            "POST",
            "/things/core1",
            json!({}),
            409,
            "ResourceAlreadyExistsException",
        )
        .await;
    world
        .iot(
            "PATCH",
            "/things/core1",
            json!({ "attributePayload": { "attributes": { "b": "2" }, "merge": true }, "expectedVersion": 1 }),
        )
        .await;
    let shown = world.iot("GET", "/things/core1", json!(null)).await;
    assert_eq!(shown["attributes"], json!({ "a": "1", "b": "2" }));
    assert_eq!(shown["version"], 2);
    assert_eq!(shown["defaultClientId"], "core1");
    world
        .refused(
            "iot",
            "PATCH",
            "/things/core1",
            json!({ "expectedVersion": 1 }),
            409,
            "VersionConflictException",
        )
        .await;
    world
        .refused(
            "iot",
            "GET",
            "/things/none",
            json!(null),
            404,
            "ResourceNotFoundException",
        )
        .await;
    world
        .refused(
            "iot",
            "POST",
            "/things/a%2Fb",
            json!({}),
            400,
            "InvalidRequestException",
        )
        .await;

    let (arn, _, _) = world.certificate("core1").await;
    world.attach_thing("core1", &arn).await;
    let listed = world
        .iot("GET", "/things/core1/principals", json!(null))
        .await;
    assert_eq!(listed["principals"], json!([arn]));
    world
        .refused(
            "iot",
            "DELETE",
            "/things/core1",
            json!(null),
            400,
            "InvalidRequestException",
        )
        .await;
    let things = world
        .try_call(
            "iot",
            "GET",
            "/principals/things",
            &[("x-amzn-principal", &arn)],
            b"",
        )
        .await
        .expect("an answer");
    assert_eq!(
        crate::world::parse(&things.body)["things"],
        json!(["core1"])
    );
    world
        .try_call(
            "iot",
            "DELETE",
            "/things/core1/principals",
            &[("x-amzn-principal", &arn)],
            b"",
        )
        .await
        .expect("detached");
    world.iot("DELETE", "/things/core1", json!(null)).await;
    let none = world.iot("GET", "/things", json!(null)).await;
    assert_eq!(none["things"], json!([]));
}

#[tokio::test]
async fn lists_come_in_pages_and_refuse_foreign_tokens() {
    let world = World::new().await;
    for number in 0..5 {
        world
            .iot("POST", &format!("/things/t{number}"), json!({}))
            .await;
    }
    let mut names = Vec::new();
    let mut target = "/things?maxResults=2".to_owned();
    loop {
        let page = world.iot("GET", &target, json!(null)).await;
        for thing in page["things"].as_array().expect("a list") {
            names.push(text(&thing["thingName"]));
        }
        match page.get("nextToken") {
            Some(token) => target = format!("/things?maxResults=2&nextToken={}", text(token)),
            None => break,
        }
    }
    assert_eq!(names, ["t0", "t1", "t2", "t3", "t4"]);
    for target in [
        "/things?nextToken=zzz",
        "/things?maxResults=0",
        "/things?maxResults=x",
    ] {
        world
            .refused(
                "iot",
                "GET",
                target,
                json!(null),
                400,
                "InvalidRequestException",
            )
            .await;
    }
}

#[tokio::test]
async fn groups_nest_and_hold_things() {
    let world = World::new().await;
    world.iot("POST", "/things/a", json!({})).await;
    world.iot("POST", "/things/b", json!({})).await;
    world.group("Top", &["a"]).await;
    let inner = world
        .iot(
            "POST",
            "/thing-groups/Inner",
            json!({ "parentGroupName": "Top" }),
        )
        .await;
    world.join("Inner", "b").await;
    let again = world
        .iot(
            "POST",
            "/thing-groups/Inner",
            json!({ "parentGroupName": "Top" }),
        )
        .await;
    assert_eq!(inner, again);
    let shown = world.iot("GET", "/thing-groups/Inner", json!(null)).await;
    assert_eq!(
        shown["thingGroupMetadata"]["rootToParentThingGroups"][0]["groupName"],
        "Top"
    );
    let direct = world
        .iot("GET", "/thing-groups/Top/things", json!(null))
        .await;
    assert_eq!(direct["things"], json!(["a"]));
    let all = world
        .iot(
            "GET",
            "/thing-groups/Top/things?recursive=true",
            json!(null),
        )
        .await;
    assert_eq!(all["things"], json!(["a", "b"]));
    let of_b = world
        .iot("GET", "/things/b/thing-groups", json!(null))
        .await;
    assert_eq!(of_b["thingGroups"][0]["groupName"], "Inner");
    world
        .refused(
            "iot",
            "DELETE",
            "/thing-groups/Top",
            json!(null),
            400,
            "InvalidRequestException",
        )
        .await;
    world
        .refused(
            "iot",
            "PUT",
            "/thing-groups/addThingToThingGroup",
            json!({ "thingGroupName": "Top", "thingName": "none" }),
            404,
            "ResourceNotFoundException",
        )
        .await;
    world
        .refused(
            "iot",
            "POST",
            "/thing-groups/X",
            json!({ "parentGroupName": "none" }),
            404,
            "ResourceNotFoundException",
        )
        .await;
    world
        .iot(
            "PUT",
            "/thing-groups/removeThingFromThingGroup",
            json!({ "thingGroupName": "Inner", "thingName": "b" }),
        )
        .await;
    world
        .iot("DELETE", "/thing-groups/Inner", json!(null))
        .await;
    world.iot("DELETE", "/thing-groups/Top", json!(null)).await;
    let none = world.iot("GET", "/thing-groups", json!(null)).await;
    assert_eq!(none["thingGroups"], json!([]));
}

#[tokio::test]
async fn policies_keep_five_versions_and_know_their_targets() {
    let world = World::new().await;
    let allow = json!([{ "Effect": "Allow", "Action": "iot:*", "Resource": "*" }]);
    world.policy("P", allow.clone()).await;
    let single = json!({
        "Version": "2012-10-17",
        "Statement": { "Effect": "Allow", "Action": "iot:Connect", "Resource": "*" },
    })
    .to_string();
    world
        .refused(
            "iot",
            "POST",
            "/policies/P",
            json!({ "policyDocument": single }),
            409,
            "ResourceAlreadyExistsException",
        )
        .await;
    for bad in [
        "{",
        "{}",
        "{\"Version\":\"2012-10-17\",\"Statement\":[{\"Effect\":\"Maybe\"}]}",
    ] {
        world
            .refused(
                "iot",
                "POST",
                "/policies/Q",
                json!({ "policyDocument": bad }),
                400,
                "MalformedPolicyException",
            )
            .await;
    }
    for version in 2..=5 {
        let made = world
            .iot(
                "POST",
                "/policies/P/version?setAsDefault=true",
                json!({ "policyDocument": single }),
            )
            .await;
        assert_eq!(made["policyVersionId"], version.to_string());
    }
    world
        .refused(
            "iot",
            "POST",
            "/policies/P/version",
            json!({ "policyDocument": single }),
            409,
            "VersionsLimitExceededException",
        )
        .await;
    let shown = world.iot("GET", "/policies/P", json!(null)).await;
    assert_eq!(shown["defaultVersionId"], "5");
    assert_eq!(shown["policyDocument"], single);
    world
        .refused(
            "iot",
            "DELETE",
            "/policies/P/version/5",
            json!(null),
            409,
            "DeleteConflictException",
        )
        .await;
    world
        .iot("PATCH", "/policies/P/version/1", json!(null))
        .await;
    world
        .iot("DELETE", "/policies/P/version/5", json!(null))
        .await;
    world
        .refused(
            "iot",
            "DELETE",
            "/policies/P",
            json!(null),
            409,
            "DeleteConflictException",
        )
        .await;
    for version in 2..=4 {
        world
            .iot(
                "DELETE",
                &format!("/policies/P/version/{version}"),
                json!(null),
            )
            .await;
    }
    let (arn, _, _) = world.certificate("c").await;
    let target = json!({ "target": arn });
    world.iot("PUT", "/target-policies/P", target.clone()).await;
    world.iot("PUT", "/target-policies/P", target.clone()).await;
    let encoded = arn.replace(':', "%3A").replace('/', "%2F");
    for path in [&arn, &encoded] {
        let attached = world
            .iot("POST", &format!("/attached-policies/{path}"), json!({}))
            .await;
        assert_eq!(attached["policies"][0]["policyName"], "P", "{path}");
    }
    let targets = world.iot("POST", "/policy-targets/P", json!({})).await;
    assert_eq!(targets["targets"], json!([arn]));
    world
        .refused(
            "iot",
            "DELETE",
            "/policies/P",
            json!(null),
            409,
            "DeleteConflictException",
        )
        .await;
    world.iot("POST", "/target-policies/P", target).await;
    world.iot("DELETE", "/policies/P", json!(null)).await;
    world
        .refused(
            "iot",
            "GET",
            "/policies/P",
            json!(null),
            404,
            "ResourceNotFoundException",
        )
        .await;
}

#[tokio::test]
async fn role_aliases_are_bounded() {
    let world = World::new().await;
    let role = "arn:aws:iam::123456789012:role/Device";
    world
        .iot("POST", "/role-aliases/A", json!({ "roleArn": role }))
        .await;
    let shown = world.iot("GET", "/role-aliases/A", json!(null)).await;
    assert_eq!(
        shown["roleAliasDescription"]["credentialDurationSeconds"],
        3600
    );
    assert_eq!(
        shown["roleAliasDescription"]["roleAliasArn"],
        "arn:aws:iot:us-east-1:123456789012:rolealias/A"
    );
    for body in [
        json!({}),
        json!({ "roleArn": "x" }),
        json!({ "roleArn": role, "credentialDurationSeconds": 899 }),
        json!({ "roleArn": role, "credentialDurationSeconds": 43_201 }),
    ] {
        world
            .refused(
                "iot",
                "POST",
                "/role-aliases/B",
                body,
                400,
                "InvalidRequestException",
            )
            .await;
    }
    world
        .refused(
            "iot",
            "POST",
            "/role-aliases/A",
            json!({ "roleArn": role }),
            409,
            "ResourceAlreadyExistsException",
        )
        .await;
    world
        .iot(
            "PUT",
            "/role-aliases/A",
            json!({ "credentialDurationSeconds": 900 }),
        )
        .await;
    let listed = world.iot("GET", "/role-aliases", json!(null)).await;
    assert_eq!(listed["roleAliases"], json!(["A"]));
    world.iot("DELETE", "/role-aliases/A", json!(null)).await;
    world
        .refused(
            "iot",
            "GET",
            "/role-aliases/A",
            json!(null),
            404,
            "ResourceNotFoundException",
        )
        .await;
}

#[tokio::test]
async fn endpoints_are_bare_hosts() {
    let world = World::new().await;
    for kind in ["iot:Data-ATS", "iot:CredentialProvider", "iot:Jobs"] {
        let answer = world
            .iot(
                "GET",
                &format!("/endpoint?endpointType={kind}"),
                json!(null),
            )
            .await;
        assert_eq!(answer["endpointAddress"], "localhost");
    }
    world
        .refused(
            "iot",
            "GET",
            "/endpoint?endpointType=x",
            json!(null),
            400,
            "InvalidRequestException",
        )
        .await;
    world
        .refused(
            "iot",
            "GET",
            "/nowhere",
            json!(null),
            400,
            "InvalidRequestException",
        )
        .await;
}

#[tokio::test]
async fn tags_of_the_registry_are_pairs() {
    let world = World::new().await;
    let made = world
        .iot(
            "POST",
            "/thing-groups/G",
            json!({ "tags": [{ "Key": "a", "Value": "1" }] }),
        )
        .await;
    let arn = text(&made["thingGroupArn"]);
    world
        .iot(
            "POST",
            "/tags",
            json!({ "resourceArn": arn, "tags": [{ "Key": "b", "Value": "2" }] }),
        )
        .await;
    world
        .iot(
            "POST",
            "/untag",
            json!({ "resourceArn": arn, "tagKeys": ["a"] }),
        )
        .await;
    let tags = world
        .iot("GET", &format!("/tags?resourceArn={arn}"), json!(null))
        .await;
    assert_eq!(tags["tags"], json!([{ "Key": "b", "Value": "2" }]));
}

#[tokio::test]
async fn actions_are_named_for_policies() {
    let world = World::new().await;
    let caller = sward_aws_wire::api::Caller {
        account: sward_model::AccountId::default(),
        region: sward_model::Region::default(),
        arn: "arn:aws:iam::123456789012:user/x".parse().expect("an ARN"),
        credential: "AKIA".to_owned(),
    };
    let check = |service: &str, method: &str, path: &str, action: &str, resource: &str| {
        let request = crate::world::request(method, path, &[], b"");
        let found = world
            .control
            .action_of(service, &caller, &request)
            .unwrap_or_else(|| panic!("{method} {path}"));
        assert_eq!(
            (found.action.as_str(), found.resource.as_str()),
            (action, resource)
        );
    };
    check(
        "iot",
        "GET",
        "/things/a",
        "iot:DescribeThing",
        "arn:aws:iot:us-east-1:123456789012:thing/a",
    );
    check(
        "greengrass",
        "GET",
        "/greengrass/v2/coreDevices",
        "greengrass:ListCoreDevices",
        "*",
    );
    check(
        "greengrass",
        "DELETE",
        "/greengrass/v2/components/arn%3Aaws%3Agreengrass%3Aus-east-1%3A123456789012%3Acomponents%3Aa%3Aversions%3A1.0.0",
        "greengrass:DeleteComponent",
        "arn:aws:greengrass:us-east-1:123456789012:components:a:versions:1.0.0",
    );
    check(
        "iotdata",
        "POST",
        "/topics/a/b",
        "iot:Publish",
        "arn:aws:iot:us-east-1:123456789012:topic/a/b",
    );
    check(
        "iotdata",
        "POST",
        "/things/t/shadow",
        "iot:UpdateThingShadow",
        "arn:aws:iot:us-east-1:123456789012:thing/t",
    );
    check(
        "iot-jobs-data",
        "GET",
        "/things/t/jobs",
        "iotjobsdata:GetPendingJobExecutions",
        "arn:aws:iot:us-east-1:123456789012:thing/t",
    );
}

#[tokio::test]
async fn what_belongs_to_somebody_else_is_not_taken_for_ours() {
    let world = World::new().await;
    world.iot("POST", "/things/t", json!({})).await;
    let group = world.group("G", &[]).await;
    let allow = json!({ "Effect": "Allow", "Action": "*", "Resource": "*" });
    world.policy("P", allow).await;
    let (certificate, _, _) = world.certificate("t").await;
    for foreign in [
        certificate.replace("us-east-1", "eu-west-1"),
        certificate.replace("123456789012", "210987654321"),
        group.replace("123456789012", "210987654321"),
    ] {
        // Attached under this name, it would give nobody a permission.
        world
            .refused(
                "iot",
                "PUT",
                "/target-policies/P",
                json!({ "target": foreign }),
                400,
                "InvalidRequestException",
            )
            .await;
    }
    let foreign = "arn:aws:iot:us-east-1:210987654321:thing/t";
    world
        .refused(
            "iot",
            "PUT",
            "/thing-groups/addThingToThingGroup",
            json!({ "thingGroupName": "G", "thingArn": foreign }),
            400,
            "InvalidRequestException",
        )
        .await;
}

#[tokio::test]
async fn a_new_description_keeps_a_group_s_attributes() {
    let world = World::new().await;
    let properties = json!({ "attributePayload": { "attributes": { "site": "north" } } });
    world
        .iot(
            "POST",
            "/thing-groups/G",
            json!({ "thingGroupProperties": properties }),
        )
        .await;
    world
        .iot(
            "PATCH",
            "/thing-groups/G",
            json!({ "thingGroupProperties": { "thingGroupDescription": "new" } }),
        )
        .await;
    let shown = world.iot("GET", "/thing-groups/G", json!(null)).await;
    assert_eq!(
        shown["thingGroupProperties"],
        json!({
            "thingGroupDescription": "new",
            "attributePayload": { "attributes": { "site": "north" } },
        })
    );
    let bad = json!({ "attributePayload": { "attributes": { "a b": "c" } } });
    world
        .refused(
            "iot",
            "PATCH",
            "/thing-groups/G",
            json!({ "thingGroupProperties": bad }),
            400,
            "InvalidRequestException",
        )
        .await;
}

#[tokio::test]
async fn a_group_is_deleted_in_the_version_that_was_meant() {
    let world = World::new().await;
    world.group("G", &[]).await;
    for (wanted, status, code) in [
        ("2", 409, "VersionConflictException"),
        ("x", 400, "InvalidRequestException"),
    ] {
        world
            .refused(
                "iot",
                "DELETE",
                &format!("/thing-groups/G?expectedVersion={wanted}"),
                json!(null),
                status,
                code,
            )
            .await;
    }
    world
        .iot("DELETE", "/thing-groups/G?expectedVersion=1", json!(null))
        .await;
    let none = world.iot("GET", "/thing-groups", json!(null)).await;
    assert_eq!(none["thingGroups"], json!([]));
}

#[tokio::test]
async fn tags_are_bounded_and_belong_to_something() {
    let world = World::new().await;
    let group = world.group("G", &[]).await;
    let many = |from: usize, count: usize| -> Value {
        (from..from + count)
            .map(|number| json!({ "Key": format!("k{number}"), "Value": "v" }))
            .collect()
    };
    let tag = |arn: &str, tags: Value| json!({ "resourceArn": arn, "tags": tags });
    world.iot("POST", "/tags", tag(&group, many(0, 50))).await;
    world
        .refused(
            "iot",
            "POST",
            "/tags",
            tag(&group, many(50, 1)),
            410,
            "LimitExceededException",
        )
        .await;
    world.iot("POST", "/tags", tag(&group, many(0, 1))).await;
    let long = json!([{ "Key": "k0", "Value": "v".repeat(257) }]);
    world
        .refused(
            "iot",
            "POST",
            "/tags",
            tag(&group, long),
            400,
            "InvalidRequestException",
        )
        .await;
    let none = group.replace("thinggroup/G", "thinggroup/none");
    world
        .refused(
            "iot",
            "POST",
            "/tags",
            tag(&none, many(0, 1)),
            404,
            "ResourceNotFoundException",
        )
        .await;
    world
        .refused(
            "iot",
            "GET",
            &format!("/tags?resourceArn={none}"),
            json!(null),
            404,
            "ResourceNotFoundException",
        )
        .await;
}
