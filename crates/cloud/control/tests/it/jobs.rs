use crate::world::{World, text};
use serde_json::{Value, json};

fn arn(kind: &str, name: &str) -> String {
    format!("arn:aws:iot:us-east-1:123456789012:{kind}/{name}")
}

async fn job(world: &World, id: &str, mut more: Value) {
    more["document"] = json!("{\"do\":1}");
    world.iot("PUT", &format!("/jobs/{id}"), more).await;
}

fn body(reply: &sward_control::Reply) -> Value {
    serde_json::from_str(&reply.payload).expect("JSON")
}

#[tokio::test]
async fn a_snapshot_job_runs_to_completion() {
    let world = World::new().await;
    world.iot("POST", "/things/t", json!({})).await;
    job(&world, "j", json!({ "targets": [arn("thing", "t")] })).await;
    let published = world.published().await;
    assert_eq!(published[0].0, "$aws/things/t/jobs/notify");
    assert_eq!(published[0].1["jobs"]["QUEUED"][0]["jobId"], "j");
    assert_eq!(published[1].0, "$aws/things/t/jobs/notify-next");
    assert_eq!(
        published[1].1["execution"]["jobDocument"],
        json!({ "do": 1 })
    );

    let replies = world
        .publish(
            "$aws/things/t/jobs/$next/get",
            json!({ "clientToken": "c" }),
        )
        .await;
    assert_eq!(replies[0].topic, "$aws/things/t/jobs/$next/get/accepted");
    assert_eq!(body(&replies[0])["execution"]["status"], "QUEUED");
    assert_eq!(body(&replies[0])["clientToken"], "c");

    let none = world
        .publish(
            "$aws/things/t/jobs/j/update",
            json!({ "status": "IN_PROGRESS" }),
        )
        .await;
    assert!(none.is_empty());
    let topics: Vec<String> = world
        .published()
        .await
        .into_iter()
        .map(|one| one.0)
        .collect();
    assert_eq!(topics, ["$aws/things/t/jobs/j/update/accepted"]);

    let stale = world
        .publish(
            "$aws/things/t/jobs/j/update",
            json!({ "status": "SUCCEEDED", "expectedVersion": 1 }),
        )
        .await;
    assert_eq!(stale[0].topic, "$aws/things/t/jobs/j/update/rejected");
    assert_eq!(body(&stale[0])["code"], "VersionMismatch");

    world
        .publish(
            "$aws/things/t/jobs/j/update",
            json!({ "status": "SUCCEEDED", "expectedVersion": 2, "statusDetails": { "k": "v" } }),
        )
        .await;
    let published = world.published().await;
    let topics: Vec<&str> = published.iter().map(|one| one.0.as_str()).collect();
    assert_eq!(
        topics,
        [
            "$aws/things/t/jobs/j/update/accepted",
            "$aws/things/t/jobs/notify",
            "$aws/things/t/jobs/notify-next",
        ]
    );
    assert_eq!(published[1].1["jobs"], json!({}));

    let shown = world.iot("GET", "/jobs/j", json!(null)).await;
    assert_eq!(shown["job"]["status"], "COMPLETED");
    assert_eq!(
        shown["job"]["jobProcessDetails"]["numberOfSucceededThings"],
        1
    );
    let execution = world.iot("GET", "/things/t/jobs/j", json!(null)).await;
    assert_eq!(
        execution["execution"]["statusDetails"]["detailsMap"]["k"],
        "v"
    );
    assert_eq!(execution["execution"]["versionNumber"], 3);
    let document = world.iot("GET", "/jobs/j/job-document", json!(null)).await;
    assert_eq!(document["document"], "{\"do\":1}");

    let late = world
        .publish("$aws/things/t/jobs/j/update", json!({ "status": "FAILED" }))
        .await;
    assert_eq!(body(&late[0])["code"], "InvalidStateTransition");
}

#[tokio::test]
async fn things_that_join_later_get_continuous_jobs_and_those_that_leave_lose_them() {
    let world = World::new().await;
    for thing in ["a", "b"] {
        world
            .iot("POST", &format!("/things/{thing}"), json!({}))
            .await;
    }
    world.group("Top", &["a"]).await;
    world
        .iot(
            "POST",
            "/thing-groups/Inner",
            json!({ "parentGroupName": "Top" }),
        )
        .await;
    job(
        &world,
        "j",
        json!({ "targets": [arn("thinggroup", "Top")], "targetSelection": "CONTINUOUS" }),
    )
    .await;
    job(
        &world,
        "snap",
        json!({ "targets": [arn("thinggroup", "Top")] }),
    )
    .await;
    world.published().await;
    world.join("Inner", "b").await;
    let published = world.published().await;
    assert_eq!(published[0].0, "$aws/things/b/jobs/notify");
    let queued = published[0].1["jobs"]["QUEUED"].as_array().expect("a list");
    assert_eq!(
        queued.len(),
        1,
        "the snapshot job does not follow: {queued:?}"
    );

    // Joining by a second way changes nothing.
    world.join("Top", "b").await;
    assert!(world.published().await.is_empty());

    for group in ["Top", "Inner"] {
        world
            .iot(
                "PUT",
                "/thing-groups/removeThingFromThingGroup",
                json!({ "thingGroupName": group, "thingName": "b" }),
            )
            .await;
    }
    let published = world.published().await;
    assert_eq!(published[0].1["jobs"], json!({}));
    let execution = world.iot("GET", "/things/b/jobs/j", json!(null)).await;
    assert_eq!(execution["execution"]["status"], "REMOVED");

    world.join("Top", "b").await;
    let execution = world.iot("GET", "/things/b/jobs/j", json!(null)).await;
    assert_eq!(execution["execution"]["status"], "QUEUED");
    assert_eq!(execution["execution"]["executionNumber"], 2);
    let shown = world.iot("GET", "/jobs/j", json!(null)).await;
    assert_eq!(shown["job"]["status"], "IN_PROGRESS");

    // What is in progress goes on when the thing leaves, and is not doubled when it comes back.
    world
        .publish(
            "$aws/things/b/jobs/j/update",
            json!({ "status": "IN_PROGRESS" }),
        )
        .await;
    let member = json!({ "thingGroupName": "Top", "thingName": "b" });
    world
        .iot("PUT", "/thing-groups/removeThingFromThingGroup", member)
        .await;
    world.join("Top", "b").await;
    let execution = world.iot("GET", "/things/b/jobs/j", json!(null)).await;
    assert_eq!(execution["execution"]["status"], "IN_PROGRESS");
    assert_eq!(execution["execution"]["executionNumber"], 2);
}

#[tokio::test]
async fn a_cancel_spares_what_is_in_progress_unless_forced() {
    let world = World::new().await;
    for thing in ["a", "b"] {
        world
            .iot("POST", &format!("/things/{thing}"), json!({}))
            .await;
    }
    let targets = json!({ "targets": [arn("thing", "a"), arn("thing", "b")] });
    job(&world, "j", targets).await;
    world
        .publish(
            "$aws/things/a/jobs/j/update",
            json!({ "status": "IN_PROGRESS" }),
        )
        .await;
    world
        .iot(
            "PUT",
            "/jobs/j/cancel",
            json!({ "reasonCode": "R", "comment": "C" }),
        )
        .await;
    let a = world.iot("GET", "/things/a/jobs/j", json!(null)).await;
    let b = world.iot("GET", "/things/b/jobs/j", json!(null)).await;
    assert_eq!(a["execution"]["status"], "IN_PROGRESS");
    assert_eq!(b["execution"]["status"], "CANCELED");
    let shown = world.iot("GET", "/jobs/j", json!(null)).await;
    assert_eq!(shown["job"]["status"], "CANCELED");
    assert_eq!(shown["job"]["reasonCode"], "R");
    assert_eq!(shown["job"]["comment"], "C");
    world
        .refused(
            "iot",
            "PUT",
            "/things/a/jobs/j/cancel",
            json!({}),
            409,
            "InvalidStateTransitionException",
        )
        .await;
    world
        .iot("PUT", "/things/a/jobs/j/cancel?force=true", json!({}))
        .await;
    let a = world.iot("GET", "/things/a/jobs/j", json!(null)).await;
    assert_eq!(a["execution"]["status"], "CANCELED");
    world.iot("DELETE", "/jobs/j", json!(null)).await;
    world
        .refused(
            "iot",
            "GET",
            "/jobs/j",
            json!(null),
            404,
            "ResourceNotFoundException",
        )
        .await;
}

#[tokio::test]
async fn rollouts_time_outs_and_aborts_are_kept_by_the_tick() {
    let world = World::new().await;
    let mut targets = Vec::new();
    for number in 0..4 {
        world
            .iot("POST", &format!("/things/t{number}"), json!({}))
            .await;
        targets.push(arn("thing", &format!("t{number}")));
    }
    job(
        &world,
        "j",
        json!({
            "targets": targets,
            "jobExecutionsRolloutConfig": { "maximumPerMinute": 2 },
            "timeoutConfig": { "inProgressTimeoutInMinutes": 1 },
            "abortConfig": { "criteriaList": [{
                "failureType": "TIMED_OUT", "action": "CANCEL",
                "thresholdPercentage": 50.0, "minNumberOfExecutedThings": 2,
            }]},
        }),
    )
    .await;
    let count = |answer: &Value| answer["executionSummaries"].as_array().map_or(0, Vec::len);
    let listed = world.iot("GET", "/jobs/j/things", json!(null)).await;
    assert_eq!(count(&listed), 2);
    world
        .publish(
            "$aws/things/t0/jobs/j/update",
            json!({ "status": "IN_PROGRESS" }),
        )
        .await;
    world.advance(59_000);
    world.control.tick().await.expect("a tick");
    let listed = world.iot("GET", "/jobs/j/things", json!(null)).await;
    assert_eq!(count(&listed), 2);
    world.advance(2_000);
    world.control.tick().await.expect("a tick");
    let listed = world.iot("GET", "/jobs/j/things", json!(null)).await;
    assert_eq!(count(&listed), 4);
    let timed = world
        .iot("GET", "/jobs/j/things?status=TIMED_OUT", json!(null))
        .await;
    assert_eq!(
        text(&timed["executionSummaries"][0]["thingArn"]),
        arn("thing", "t0")
    );
    world
        .publish(
            "$aws/things/t1/jobs/j/update",
            json!({ "status": "IN_PROGRESS" }),
        )
        .await;
    world.advance(61_000);
    world.control.tick().await.expect("a tick");
    let shown = world.iot("GET", "/jobs/j", json!(null)).await;
    assert_eq!(shown["job"]["status"], "CANCELED");
    assert_eq!(
        shown["job"]["jobProcessDetails"]["numberOfTimedOutThings"],
        2
    );
    assert_eq!(
        shown["job"]["jobProcessDetails"]["numberOfCanceledThings"],
        2
    );
}

#[tokio::test]
async fn the_data_api_answers_with_documents_as_text() {
    let world = World::new().await;
    world.iot("POST", "/things/t", json!({})).await;
    job(&world, "j", json!({ "targets": [arn("thing", "t")] })).await;
    let service = "iot-jobs-data";
    let pending = world
        .ok(service, "GET", "/things/t/jobs", json!(null))
        .await;
    assert_eq!(pending.body["queuedJobs"][0]["jobId"], "j");
    let started = world
        .ok(service, "PUT", "/things/t/jobs/$next", json!({}))
        .await;
    assert_eq!(started.body["execution"]["jobDocument"], "{\"do\":1}");
    assert_eq!(started.body["execution"]["status"], "IN_PROGRESS");
    let described = world
        .ok(
            service,
            "GET",
            "/things/t/jobs/j?includeJobDocument=true",
            json!(null),
        )
        .await;
    assert_eq!(described.body["execution"]["jobDocument"], "{\"do\":1}");
    world
        .ok(
            service,
            "POST",
            "/things/t/jobs/j",
            json!({ "status": "SUCCEEDED", "includeJobExecutionState": true }),
        )
        .await;
    world
        .refused(
            service,
            "GET",
            "/things/t/jobs/j",
            json!(null),
            410,
            "TerminalStateException",
        )
        .await;
    world
        .refused(
            service,
            "GET",
            "/things/t/jobs/x",
            json!(null),
            404,
            "ResourceNotFoundException",
        )
        .await;
    world
        .refused(
            service,
            "POST",
            "/things/t/jobs/j",
            json!({ "status": "FAILED" }),
            409,
            "InvalidStateTransitionException",
        )
        .await;
}

#[tokio::test]
async fn bad_jobs_are_refused() {
    let world = World::new().await;
    world.iot("POST", "/things/t", json!({})).await;
    let target = arn("thing", "t");
    let good = json!({ "targets": [target], "document": "{}" });
    world.iot("PUT", "/jobs/j", good.clone()).await;
    world
        .refused(
            "iot",
            "PUT",
            "/jobs/j",
            good,
            409,
            "ResourceAlreadyExistsException",
        )
        .await;
    for body in [
        json!({ "targets": [target] }),
        json!({ "targets": [], "document": "{}" }),
        json!({ "targets": ["x"], "document": "{}" }),
        json!({ "targets": [target.replace("123456789012", "210987654321")], "document": "{}" }),
        json!({ "targets": [target], "document": "{}", "namespaceId": "a/b" }),
        json!({ "targets": [target], "document": "{" }),
        json!({ "targets": [target], "document": format!("\"{}\"", "x".repeat(32_768)) }),
        json!({ "targets": [target], "document": "{}", "targetSelection": "SOMETIMES" }),
        json!({ "targets": [target], "document": "{}", "timeoutConfig": { "inProgressTimeoutInMinutes": 0 } }),
        json!({ "targets": [target], "namespaceId": "aws-gg-deployment", "document": "{\"components\":{\"com.example.Hello\":{}}}" }),
        json!({ "targets": [target], "document": "{}", "jobExecutionsRolloutConfig": { "maximumPerMinute": 0 } }),
    ] {
        world
            .refused(
                "iot",
                "PUT",
                "/jobs/k",
                body,
                400,
                "InvalidRequestException",
            )
            .await;
    }
    world
        .refused(
            "iot",
            "PUT",
            "/jobs/k",
            json!({ "targets": [arn("thinggroup", "none")], "document": "{}" }),
            404,
            "ResourceNotFoundException",
        )
        .await;
}

#[tokio::test]
async fn a_notification_says_how_things_are_when_it_is_sent() {
    let world = World::new().await;
    world.iot("POST", "/things/t", json!({})).await;
    job(&world, "j", json!({ "targets": [arn("thing", "t")] })).await;
    world.published().await;
    *world.broker.broken.lock().expect("not poisoned") = true;
    world
        .publish(
            "$aws/things/t/jobs/j/update",
            json!({ "status": "SUCCEEDED" }),
        )
        .await;
    job(&world, "k", json!({ "targets": [arn("thing", "t")] })).await;
    *world.broker.broken.lock().expect("not poisoned") = false;
    // An empty list now would cancel the job that waits.
    for (topic, body) in world.published().await {
        if topic.ends_with("/notify") {
            assert_eq!(body["jobs"]["QUEUED"][0]["jobId"], "k", "{body}");
        }
    }
}

#[tokio::test]
async fn deleting_an_old_execution_leaves_the_one_that_waits() {
    let world = World::new().await;
    world.iot("POST", "/things/t", json!({})).await;
    world.group("G", &["t"]).await;
    job(
        &world,
        "j",
        json!({ "targets": [arn("thinggroup", "G")], "targetSelection": "CONTINUOUS" }),
    )
    .await;
    let member = json!({ "thingGroupName": "G", "thingName": "t" });
    world
        .iot("PUT", "/thing-groups/removeThingFromThingGroup", member)
        .await;
    world.join("G", "t").await;
    world.published().await;
    world
        .iot("DELETE", "/things/t/jobs/j/executionNumber/1", json!(null))
        .await;
    assert_eq!(world.published().await, []);
    let left = world.iot("GET", "/things/t/jobs", json!(null)).await;
    let left = left["executionSummaries"].as_array().expect("a list");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["jobExecutionSummary"]["executionNumber"], 2);
    assert_eq!(left[0]["jobExecutionSummary"]["status"], "QUEUED");
}

#[tokio::test]
async fn a_cancel_by_version_meets_that_version_only_and_leaves_its_details() {
    let world = World::new().await;
    world.iot("POST", "/things/t", json!({})).await;
    job(&world, "j", json!({ "targets": [arn("thing", "t")] })).await;
    let cancel = "/things/t/jobs/j/cancel";
    world
        .refused(
            "iot",
            "PUT",
            cancel,
            json!({ "expectedVersion": 2 }),
            409,
            "VersionConflictException",
        )
        .await;
    world
        .iot(
            "PUT",
            cancel,
            json!({ "expectedVersion": 1, "statusDetails": { "why": "enough" } }),
        )
        .await;
    let shown = world.iot("GET", "/things/t/jobs/j", json!(null)).await;
    assert_eq!(shown["execution"]["status"], "CANCELED");
    assert_eq!(
        shown["execution"]["statusDetails"]["detailsMap"],
        json!({ "why": "enough" })
    );
}

/// A job on `t` whose execution the device works on, cancelled so that it may end its work.
async fn spared(world: &World) {
    world.iot("POST", "/things/t", json!({})).await;
    job(world, "j", json!({ "targets": [arn("thing", "t")] })).await;
    let update = "$aws/things/t/jobs/j/update";
    world
        .publish(update, json!({ "status": "IN_PROGRESS" }))
        .await;
    world.iot("PUT", "/jobs/j/cancel", json!({})).await;
    world.published().await;
}

#[tokio::test]
async fn a_forced_cancel_ends_what_the_one_before_spared() {
    let world = World::new().await;
    spared(&world).await;
    world
        .iot("PUT", "/jobs/j/cancel?force=true", json!({}))
        .await;
    let shown = world.iot("GET", "/things/t/jobs/j", json!(null)).await;
    assert_eq!(shown["execution"]["status"], "CANCELED");
    let published = world.published().await;
    assert_eq!(published[0].0, "$aws/things/t/jobs/notify");
    assert_eq!(published[0].1["jobs"], json!({}));
}

#[tokio::test]
async fn a_device_hears_that_the_job_it_works_on_was_deleted() {
    let world = World::new().await;
    spared(&world).await;
    world.iot("DELETE", "/jobs/j", json!(null)).await;
    let published = world.published().await;
    assert_eq!(published[0].0, "$aws/things/t/jobs/notify");
    assert_eq!(published[0].1["jobs"], json!({}));
}

#[tokio::test]
async fn a_deleted_thing_holds_up_no_job() {
    let world = World::new().await;
    for thing in ["a", "b"] {
        world
            .iot("POST", &format!("/things/{thing}"), json!({}))
            .await;
    }
    let targets = json!({ "targets": [arn("thing", "a"), arn("thing", "b")] });
    job(&world, "j", targets).await;
    world
        .publish(
            "$aws/things/a/jobs/j/update",
            json!({ "status": "SUCCEEDED" }),
        )
        .await;
    world.iot("DELETE", "/things/b", json!(null)).await;
    let shown = world.iot("GET", "/jobs/j", json!(null)).await;
    assert_eq!(shown["job"]["status"], "COMPLETED");
    assert_eq!(
        shown["job"]["jobProcessDetails"]["numberOfRemovedThings"],
        1
    );
}

#[tokio::test]
async fn jobs_have_tags_and_lists_have_filters() {
    let world = World::new().await;
    world.iot("POST", "/things/t", json!({})).await;
    world.group("G", &["t"]).await;
    job(
        &world,
        "of-group",
        json!({
            "targets": [arn("thinggroup", "G")], "tags": [{ "Key": "team", "Value": "a" }],
        }),
    )
    .await;
    job(
        &world,
        "of-thing",
        json!({ "targets": [arn("thing", "t")] }),
    )
    .await;
    let tags = format!("/tags?resourceArn={}", arn("job", "of-group"));
    let shown = world.iot("GET", &tags, json!(null)).await;
    assert_eq!(shown["tags"], json!([{ "Key": "team", "Value": "a" }]));
    let listed = world
        .iot("GET", "/jobs?thingGroupName=G", json!(null))
        .await;
    let listed = listed["jobs"].as_array().expect("a list");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["jobId"], "of-group");
    let listed = world
        .iot("GET", "/things/t/jobs?jobId=of-thing", json!(null))
        .await;
    let listed = listed["executionSummaries"].as_array().expect("a list");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0]["jobId"], "of-thing");
}
