//! What a kill of the cloud leaves behind.

use crate::world::World;
use serde_json::json;

#[tokio::test]
async fn what_was_decided_is_published_after_a_restart() {
    let world = World::new().await;
    world.iot("POST", "/things/core1", json!({})).await;
    let group = world.group("G", &["core1"]).await;
    let (_, _, certificate) = world.certificate("core1").await;
    let root = world.control.authority().ca_pem().to_owned();
    world.published().await;

    // Killed after the commit and before the broker took anything.
    *world.broker.broken.lock().expect("not poisoned") = true;
    let thing = "arn:aws:iot:us-east-1:123456789012:thing/core1";
    for target in [group.as_str(), thing] {
        world
            .gg("POST", "/deployments", json!({ "targetArn": target }))
            .await;
    }
    let world = world.restart().await;
    let topics: Vec<String> = world
        .published()
        .await
        .into_iter()
        .map(|(topic, _)| topic)
        .collect();
    for topic in [
        "$aws/things/core1/jobs/notify-namespace-aws-gg-deployment",
        "$aws/things/core1/jobs/notify-next-namespace-aws-gg-deployment",
        "$aws/things/core1/shadow/name/AWSManagedGreengrassV2Deployment/update/accepted",
    ] {
        assert!(topics.iter().any(|one| one == topic), "{topic}: {topics:?}");
    }
    assert!(world.published().await.is_empty());

    // Trust and registry are the same.
    assert_eq!(world.control.authority().ca_pem(), root);
    world
        .control
        .authenticate_certificate(&certificate, None)
        .await
        .expect("still registered");
    let listed = world.gg("GET", "/deployments", json!(null)).await;
    assert_eq!(listed["deployments"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_rollout_goes_on_after_a_restart() {
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
            json!({ "targetArn": group, "iotJobConfiguration": {
                "jobExecutionsRolloutConfig": { "maximumPerMinute": 1 },
            }}),
        )
        .await;
    let job = crate::world::text(&made["iotJobId"]);
    let world = world.restart().await;
    world.advance(61_000);
    world.control.tick().await.expect("a tick");
    let listed = world
        .iot("GET", &format!("/jobs/{job}/things"), json!(null))
        .await;
    assert_eq!(
        listed["executionSummaries"].as_array().map(Vec::len),
        Some(2)
    );
}
