use crate::world::World;
use serde_json::{Value, json};

const TOPIC: &str = "$aws/things/t/shadow";

#[tokio::test]
async fn a_get_is_answered_to_the_asker_and_changes_to_all() {
    let world = World::new().await;
    let replies = world
        .publish(&format!("{TOPIC}/name/S/get"), json!({}))
        .await;
    assert_eq!(replies[0].topic, "$aws/things/t/shadow/name/S/get/rejected");
    let body: Value = serde_json::from_str(&replies[0].payload).expect("JSON");
    assert_eq!(body["code"], 404);
    assert_eq!(body["message"], "No shadow exists with name: 't~S'");

    let none = world
        .publish(
            &format!("{TOPIC}/update"),
            json!({ "state": { "desired": { "a": 1 } }, "clientToken": "x" }),
        )
        .await;
    assert!(none.is_empty());
    let published = world.published().await;
    let topics: Vec<&str> = published.iter().map(|(topic, _)| topic.as_str()).collect();
    assert_eq!(
        topics,
        [
            "$aws/things/t/shadow/update/accepted",
            "$aws/things/t/shadow/update/delta",
            "$aws/things/t/shadow/update/documents",
        ]
    );
    assert_eq!(published[0].1["version"], 1);
    assert_eq!(published[0].1["clientToken"], "x");
    assert_eq!(published[1].1["state"], json!({ "a": 1 }));

    let replies = world.publish(&format!("{TOPIC}/get"), json!({})).await;
    let body: Value = serde_json::from_str(&replies[0].payload).expect("JSON");
    assert_eq!(replies[0].topic, "$aws/things/t/shadow/get/accepted");
    assert_eq!(body["state"]["delta"], json!({ "a": 1 }));

    let replies = world
        .publish(
            &format!("{TOPIC}/update"),
            json!({ "state": { "reported": {} }, "version": 9 }),
        )
        .await;
    assert_eq!(replies[0].topic, "$aws/things/t/shadow/update/rejected");
    let body: Value = serde_json::from_str(&replies[0].payload).expect("JSON");
    assert_eq!(body["code"], 409);
    assert!(world.published().await.is_empty());

    world.publish(&format!("{TOPIC}/delete"), json!({})).await;
    let published = world.published().await;
    assert_eq!(published[0].0, "$aws/things/t/shadow/delete/accepted");
}

#[tokio::test]
async fn https_speaks_the_same_documents() {
    let world = World::new().await;
    let body = json!({ "state": { "reported": { "a": 1.0, "b": 1 } } });
    let made = world
        .ok("iotdata", "POST", "/things/t/shadow?name=N", body)
        .await;
    assert_eq!(made.body["version"], 1);
    let got = world
        .ok("iotdata", "GET", "/things/t/shadow?name=N", json!(null))
        .await;
    assert_eq!(
        got.body["state"]["reported"].to_string(),
        r#"{"a":1.0,"b":1}"#
    );
    world
        .refused(
            "iotdata",
            "GET",
            "/things/t/shadow",
            json!(null),
            404,
            "ResourceNotFoundException",
        )
        .await;
    let conflict = json!({ "state": {}, "version": 7 });
    world
        .refused(
            "iotdata",
            "POST",
            "/things/t/shadow?name=N",
            conflict,
            409,
            "ConflictException",
        )
        .await;
    let large = json!({ "state": { "desired": { "a": "x".repeat(9000) } } });
    world
        .refused(
            "iotdata",
            "POST",
            "/things/t/shadow?name=N",
            large,
            413,
            "RequestEntityTooLargeException",
        )
        .await;
    for (target, body) in [
        ("/things/t/shadow?name=N", json!({})),
        ("/things/t/shadow?name=N%2F", json!({ "state": {} })),
        ("/things/a%20b/shadow", json!({ "state": {} })),
    ] {
        world
            .refused(
                "iotdata",
                "POST",
                target,
                body,
                400,
                "InvalidRequestException",
            )
            .await;
    }
    let listed = world
        .ok(
            "iotdata",
            "GET",
            "/api/things/shadow/ListNamedShadowsForThing/t",
            json!(null),
        )
        .await;
    assert_eq!(listed.body["results"], json!(["N"]));
    world
        .ok("iotdata", "DELETE", "/things/t/shadow?name=N", json!(null))
        .await;
    let listed = world
        .ok(
            "iotdata",
            "GET",
            "/api/things/shadow/ListNamedShadowsForThing/t",
            json!(null),
        )
        .await;
    assert_eq!(listed.body["results"], json!([]));
    // Versions go on after a deletion.
    let again = world
        .ok(
            "iotdata",
            "POST",
            "/things/t/shadow?name=N",
            json!({ "state": {} }),
        )
        .await;
    assert_eq!(again.body["version"], 3);
}

#[tokio::test]
async fn https_publishes_and_reads_retained_messages() {
    let world = World::new().await;
    for target in ["/topics/a%2Fb?qos=1", "/topics/a/b?qos=1"] {
        world
            .try_call("iotdata", "POST", target, &[], b"hello")
            .await
            .expect("published");
        let published = std::mem::take(&mut *world.broker.published.lock().expect("not poisoned"));
        assert_eq!(published.len(), 1);
        assert_eq!(published[0].topic, "a/b");
        assert_eq!(published[0].qos, 1);
        assert_eq!(&published[0].payload[..], b"hello");
    }
    for target in [
        "/topics/a%2B",
        "/topics/%23",
        "/topics/$SYS/x",
        "/topics/a?qos=2",
        // The broker's rule, not ours.
        "/topics/a/b/c/d/e/f/g/h/i",
    ] {
        let refused = world.try_call("iotdata", "POST", target, &[], b"x").await;
        assert_eq!(refused.expect_err(target).code, "InvalidRequestException");
    }
    let large = vec![b'x'; 128 * 1024 + 1];
    let refused = world
        .try_call("iotdata", "POST", "/topics/a", &[], &large)
        .await;
    assert_eq!(refused.expect_err("too large").status, 413);

    // A request to a service by its topic.
    world
        .try_call(
            "iotdata",
            "POST",
            "/topics/%24aws%2Fthings%2Ft%2Fshadow%2Fupdate",
            &[],
            br#"{"state":{"desired":{"a":1}}}"#,
        )
        .await
        .expect("served");
    assert_eq!(world.published().await.len(), 3);

    let message = sward_control::RetainedMessage {
        topic: "r/1".to_owned(),
        payload: bytes::Bytes::from_static(b"kept"),
        qos: 1,
        last_modified_ms: 5,
    };
    world
        .broker
        .retained
        .lock()
        .expect("not poisoned")
        .insert("r/1".to_owned(), message);
    let got = world
        .ok("iotdata", "GET", "/retainedMessage/r/1", json!(null))
        .await;
    assert_eq!(got.body["payload"], "a2VwdA==");
    let listed = world
        .ok("iotdata", "GET", "/retainedMessage", json!(null))
        .await;
    assert_eq!(listed.body["retainedTopics"][0]["payloadSize"], 4);
    world
        .refused(
            "iotdata",
            "GET",
            "/retainedMessage/none",
            json!(null),
            404,
            "ResourceNotFoundException",
        )
        .await;
}

#[tokio::test]
async fn what_the_broker_did_not_take_is_published_later_in_order() {
    let world = World::new().await;
    *world.broker.broken.lock().expect("not poisoned") = true;
    for value in 1..=3 {
        world
            .publish(
                &format!("{TOPIC}/update"),
                json!({ "state": { "reported": { "a": value } } }),
            )
            .await;
    }
    assert!(!world.control.flush_outbox().await);
    assert!(
        world
            .broker
            .published
            .lock()
            .expect("not poisoned")
            .is_empty()
    );
    *world.broker.broken.lock().expect("not poisoned") = false;
    let versions: Vec<u64> = world
        .published()
        .await
        .into_iter()
        .filter(|(topic, _)| topic.ends_with("/accepted"))
        .filter_map(|(_, body)| body["version"].as_u64())
        .collect();
    assert_eq!(versions, [1, 2, 3]);
}

#[tokio::test]
async fn other_reserved_topics_are_nobody_s() {
    let world = World::new().await;
    for topic in [
        "$aws/things/t/unknown",
        "$aws/things//shadow/get",
        "$aws/things/t/shadow/get/accepted",
        "$aws/x",
    ] {
        let refused = world
            .control
            .reserved_publish(&world.scope(), topic, b"{}")
            .await;
        assert!(
            matches!(
                refused,
                Err(sward_control::ReservedError::UnknownTopic { .. })
            ),
            "{topic}"
        );
        assert!(
            !sward_control::Control::is_reserved_request(topic),
            "{topic}"
        );
    }
}

#[tokio::test]
async fn a_message_that_the_broker_never_takes_holds_up_no_other() {
    let world = World::new().await;
    // The answer names the key twice: in the state and in the metadata.
    let key = "x".repeat(100_000);
    let update = format!("{TOPIC}/update");
    world
        .publish(&update, json!({ "state": { "reported": { key: null } } }))
        .await;
    world
        .publish(&update, json!({ "state": { "reported": { "a": 1 } } }))
        .await;
    let told = world.published().await;
    assert!(told.iter().any(|(topic, body)| {
        topic.ends_with("/accepted") && body["state"]["reported"]["a"] == 1
    }));
}

#[tokio::test]
async fn a_shadow_has_a_valid_name_over_mqtt_too() {
    let world = World::new().await;
    let topic = "$aws/things/t/shadow/name/not a name";
    let replies = world
        .publish(
            &format!("{topic}/update"),
            json!({ "state": { "reported": { "a": 1 } } }),
        )
        .await;
    assert_eq!(replies[0].topic, format!("{topic}/update/rejected"));
    let body: Value = serde_json::from_str(&replies[0].payload).expect("JSON");
    assert_eq!(body["code"], 400);
    let listed = world
        .ok(
            "iotdata",
            "GET",
            "/api/things/shadow/ListNamedShadowsForThing/t",
            json!(null),
        )
        .await;
    assert_eq!(listed.body["results"], json!([]));
}
