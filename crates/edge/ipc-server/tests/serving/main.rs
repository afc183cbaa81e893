//! The server over a real socket, with our client and with raw frames.

mod limits;
mod world;

use serde_json::{Value, json};
use std::time::Duration;
use sward_event_stream::{ClientHandshake, Message, MessageType};
use sward_ipc_client::{Client, ClientError};
use sward_ipc_model::*;
use sward_ipc_server::SocketPath;
use world::*;

#[tokio::test]
async fn local_messages_reach_their_subscribers_in_order() {
    let world = World::start();
    let publisher = world.client(A).await;
    let subscriber = world.client(A).await;
    let (_, mut plain) = subscriber
        .subscribe::<SubscribeToTopic>(&subscribe("a/b", None))
        .await
        .expect("subscribes");
    let (_, mut wildcard) = subscriber
        .subscribe::<SubscribeToTopic>(&subscribe("a/+", Some(ReceiveMode::All)))
        .await
        .expect("subscribes");
    // The default of a wildcard: not the messages of the own component.
    let (_, mut others) = subscriber
        .subscribe::<SubscribeToTopic>(&subscribe("a/#", None))
        .await
        .expect("subscribes");
    for number in 0..500_u16 {
        publisher
            .call::<PublishToTopic>(&publish("a/b", &number.to_be_bytes()))
            .await
            .expect("publishes");
    }
    for number in 0..500_u16 {
        let expected = delivered("a/b", &number.to_be_bytes());
        assert_eq!(next(&mut plain).await, expected);
        assert_eq!(next(&mut wildcard).await, expected);
    }
    world
        .server
        .publisher()
        .publish(
            "aws.greengrass.Nucleus",
            "a/c",
            &PublishMessage::binary(*b"x"),
        )
        .expect("publishes");
    assert_eq!(next(&mut others).await, delivered("a/c", b"x"));
    assert_eq!(next(&mut wildcard).await, delivered("a/c", b"x"));

    drop(plain);
    let json = serde_json::from_str(r#"{"k":1.0}"#).expect("an object");
    let request = PublishToTopicRequest {
        topic: "a/b".to_owned(),
        publish_message: PublishMessage::json(json),
    };
    publisher
        .call::<PublishToTopic>(&request)
        .await
        .expect("publishes");
    let event = next(&mut wildcard).await;
    let message = event
        .json_message
        .expect("JSON")
        .message
        .expect("an object");
    assert_eq!(
        serde_json::to_string(&message).expect("JSON"),
        r#"{"k":1.0}"#
    );
}

#[tokio::test]
async fn without_a_policy_nothing_is_allowed_and_a_new_policy_counts_at_once() {
    let world = World::start();
    let client = world.client(B).await;
    for topic in ["a/b", "", " "] {
        let error = refusal(client.call::<PublishToTopic>(&publish(topic, b"x")).await);
        assert_eq!(error.name, ErrorName::UnauthorizedError, "{topic:?}");
    }
    let error = refusal(
        client
            .subscribe::<SubscribeToTopic>(&subscribe("a/b", None))
            .await,
    );
    assert_eq!(
        error.message,
        "Principal com.example.B is not authorized to perform \
         aws.greengrass.ipc.pubsub:aws.greengrass#SubscribeToTopic on resource a/b"
    );
    world.policies.load(B, &allow_all());
    client
        .call::<PublishToTopic>(&publish("a/b", b"x"))
        .await
        .expect("now it may");
    world.policies.remove(B);
    let error = refusal(client.call::<PublishToTopic>(&publish("a/b", b"x")).await);
    assert_eq!(error.name, ErrorName::UnauthorizedError);
}

#[tokio::test]
async fn faulty_topics_are_refused() {
    let world = World::start();
    let client = world.client(A).await;
    for (topic, expected) in [
        ("a/+", ErrorName::InvalidArgumentsError),
        ("a/#", ErrorName::InvalidArgumentsError),
        ("a*", ErrorName::InvalidArgumentsError),
        ("//", ErrorName::ServiceError),
    ] {
        let error = refusal(client.call::<PublishToTopic>(&publish(topic, b"x")).await);
        assert_eq!(error.name, expected, "{topic}");
    }
}

#[tokio::test]
async fn configuration_is_read_merged_and_watched() {
    let world = World::start();
    let client = world.client(A).await;
    let get = |key_path: &[&str]| GetConfigurationRequest {
        component_name: None,
        key_path: Some(key_path.iter().map(|key| (*key).to_owned()).collect()),
    };
    let leaf = client
        .call::<GetConfiguration>(&get(&["greeting"]))
        .await
        .expect("a leaf");
    assert_eq!(
        serde_json::to_value(leaf).expect("JSON"),
        json!({"componentName": A, "value": {"greeting": "hello"}})
    );
    let object = client
        .call::<GetConfiguration>(&get(&["nested"]))
        .await
        .expect("an object");
    assert_eq!(
        serde_json::to_string(&object.value).expect("JSON"),
        r#"{"port":1,"ratio":1.0}"#
    );
    let error = refusal(client.call::<GetConfiguration>(&get(&["nothing"])).await);
    assert_eq!(error.name, ErrorName::ResourceNotFoundError);

    let (_, mut changes) = client
        .subscribe::<SubscribeToConfigurationUpdate>(&SubscribeToConfigurationUpdateRequest {
            component_name: Some(A.to_owned()),
            key_path: Some(vec!["nested".to_owned()]),
        })
        .await
        .expect("subscribes");
    let update = |timestamp| UpdateConfigurationRequest {
        key_path: Some(vec!["nested".to_owned()]),
        timestamp: Some(timestamp),
        value_to_merge: json!({"port": 2}).as_object().cloned(),
    };
    client
        .call::<UpdateConfiguration>(&update(1000.5))
        .await
        .expect("merges");
    let event = next(&mut changes).await.configuration_update_event;
    assert_eq!(
        event.expect("the member").key_path,
        ["nested".to_owned(), "port".to_owned()]
    );
    let error = refusal(client.call::<UpdateConfiguration>(&update(10.0)).await);
    assert_eq!(error.name, ErrorName::FailedUpdateConditionCheckError);
}

#[tokio::test]
async fn broker_messages_need_a_policy_and_carry_their_format() {
    let world = World::start();
    let client = world.client(A).await;
    let subscribe = |topic: &str| SubscribeToIoTCoreRequest {
        topic_name: topic.to_owned(),
        qos: Qos::AtLeastOnce,
    };
    let publish = |topic: &str| {
        serde_json::from_value::<PublishToIoTCoreRequest>(
            json!({"topicName": topic, "qos": "1", "payload": "aGk="}),
        )
        .expect("a request")
    };
    let (_, mut messages) = client
        .subscribe::<SubscribeToIoTCore>(&subscribe("allowed/+"))
        .await
        .expect("subscribes");
    client
        .call::<PublishToIoTCore>(&publish("allowed/x"))
        .await
        .expect("publishes");
    assert_eq!(
        serde_json::to_value(next(&mut messages).await).expect("JSON"),
        json!({"message": {"topicName": "allowed/x", "payload": "aGk=", "payloadFormat": "0"}})
    );
    let error = refusal(client.call::<PublishToIoTCore>(&publish("other")).await);
    assert_eq!(error.name, ErrorName::UnauthorizedError);
    let mut without = publish("allowed/x");
    without.payload = None;
    let error = refusal(client.call::<PublishToIoTCore>(&without).await);
    assert_eq!(error.name, ErrorName::InvalidArgumentsError);
}

#[tokio::test]
async fn the_cli_may_what_components_may_not() {
    let world = World::start();
    let (component, cli) = (world.client(A).await, world.cli().await);
    let error = refusal(component.call::<ListComponents>(&Empty {}).await);
    assert_eq!(error.name, ErrorName::UnauthorizedError);
    let listed = cli.call::<ListComponents>(&Empty {}).await.expect("lists");
    assert_eq!(
        listed.components.map(|components| components.len()),
        Some(2)
    );
    let created = cli
        .call::<CreateLocalDeployment>(&CreateLocalDeploymentRequest::default())
        .await
        .expect("creates");
    let status = cli
        .call::<GetLocalDeploymentStatus>(&GetLocalDeploymentStatusRequest {
            deployment_id: created.deployment_id,
        })
        .await
        .expect("its status");
    assert_eq!(status.deployment.status, "SUCCEEDED");
    let error = refusal(
        cli.call::<GetLocalDeploymentStatus>(&GetLocalDeploymentStatusRequest {
            deployment_id: Some("not-a-uuid".to_owned()),
        })
        .await,
    );
    assert_eq!(error.name, ErrorName::InvalidArgumentsError);
    let error = refusal(
        cli.call::<RestartComponent>(&RestartComponentRequest {
            component_name: "com.example.None".to_owned(),
        })
        .await,
    );
    assert_eq!(
        error.message,
        "Component with name com.example.None not found in Greengrass"
    );
}

#[tokio::test]
async fn every_operation_of_the_model_has_an_answer() {
    let world = World::start();
    let mut raw = world.raw().await;
    raw.connect(world.tokens.issue(A).reveal()).await;
    let ack = raw.next().await.expect("an acknowledgement");
    assert_eq!((ack.0, ack.1), (MessageType::ConnectAck, 1));
    let names: Vec<&str> = operation_names().collect();
    for (index, name) in names.iter().chain([&"NoSuchOperation"]).enumerate() {
        let mut out = Vec::new();
        sward_event_stream::FrameWriter::begin(&mut out)
            .header(":message-type", sward_event_stream::HeaderValue::Int32(0))
            .header(":message-flags", sward_event_stream::HeaderValue::Int32(0))
            .header(
                ":stream-id",
                sward_event_stream::HeaderValue::Int32(i32::try_from(index).expect("few") + 1),
            )
            .header(
                "operation",
                sward_event_stream::HeaderValue::String(&format!("aws.greengrass#{name}")),
            )
            .payload(b"{}")
            .finish()
            .expect("short");
        raw.send(&out).await;
        let (kind, _, payload) = raw.next().await.expect("an answer");
        if kind == MessageType::ApplicationError {
            let body: Value = serde_json::from_slice(&payload).expect("JSON");
            assert!(body["_errorCode"].is_string(), "{name}: {body}");
            assert_eq!(body["message"], body["_message"], "{name}");
        } else {
            assert_eq!(kind, MessageType::ApplicationMessage, "{name}");
        }
    }
}

#[tokio::test]
async fn strangers_and_breakers_lose_their_own_connection_only() {
    let world = World::start();
    let witness = world.client(A).await;
    let mut stranger = world.raw().await;
    stranger.connect("ABCDEFGHIJKLMNOP").await;
    let ack = stranger.next().await.expect("an acknowledgement");
    assert_eq!((ack.0, ack.1), (MessageType::ConnectAck, 0));
    assert_eq!(stranger.next().await, None);

    let mut garbage = world.raw().await;
    garbage.send(b"GET / HTTP/1.1\r\n\r\n").await;
    let (kind, _, _) = garbage.next().await.expect("a word of farewell");
    assert_eq!(kind, MessageType::ProtocolError);
    assert_eq!(garbage.next().await, None);

    let mut jumper = world.raw().await;
    jumper.connect(world.tokens.issue(A).reveal()).await;
    jumper.next().await.expect("an acknowledgement");
    let mut out = Vec::new();
    let mut session = ClientHandshake::new()
        .connect(b"{}", &mut Vec::new())
        .expect("short")
        .receive(&Message::parse(ack_frame()).expect("a message"))
        .expect("accepted");
    session
        .open("o", "o", b"{}", &mut Vec::new())
        .expect("short");
    session.open("o", "o", b"{}", &mut out).expect("short");
    jumper.send(&out).await;
    let (kind, _, _) = jumper.next().await.expect("a word of farewell");
    assert_eq!(kind, MessageType::ProtocolError);
    assert_eq!(jumper.next().await, None);

    witness
        .call::<PublishToTopic>(&publish("a", b"x"))
        .await
        .expect("others go on");
}

#[tokio::test]
async fn a_subscriber_that_does_not_read_slows_nobody_and_costs_little() {
    let world = World::start_with(|options| options.outbox_limit = 64 * 1024);
    let mut sleeper = world.raw().await;
    sleeper.connect(world.tokens.issue(A).reveal()).await;
    sleeper.next().await.expect("an acknowledgement");
    let mut session = ClientHandshake::new()
        .connect(b"{}", &mut Vec::new())
        .expect("short")
        .receive(&Message::parse(ack_frame()).expect("a message"))
        .expect("accepted");
    let mut out = Vec::new();
    session
        .open(
            SubscribeToTopic::NAME,
            SubscribeToTopic::REQUEST_TYPE,
            br#"{"topic":"t"}"#,
            &mut out,
        )
        .expect("short");
    sleeper.send(&out).await;
    sleeper.next().await.expect("subscribed");

    let awake = world.client(A).await;
    let (_, mut messages) = awake
        .subscribe::<SubscribeToTopic>(&subscribe("t", None))
        .await
        .expect("subscribes");
    let publisher = world.client(A).await;
    for number in 0..3000_u16 {
        publisher
            .call::<PublishToTopic>(&publish("t", &[7; 1000]))
            .await
            .expect("publishes");
        assert_eq!(
            next(&mut messages).await,
            delivered("t", &[7; 1000]),
            "{number}"
        );
    }
    // What the sleeper finds is whole, and less than what was sent.
    drop(publisher);
    let mut received = 0;
    while let Ok(Some(message)) =
        tokio::time::timeout(Duration::from_millis(300), sleeper.next()).await
    {
        assert_eq!(message.0, MessageType::ApplicationMessage);
        received += 1;
    }
    assert!((10..3000).contains(&received), "{received} received");
}

#[tokio::test]
async fn subscriptions_die_with_their_connection_and_the_server_stops_in_time() {
    let world = World::start();
    let client = world.client(A).await;
    let stream = client
        .subscribe::<SubscribeToTopic>(&subscribe("t", None))
        .await
        .expect("subscribes");
    assert_eq!(world.server.connections(), 1);
    drop((stream, client));
    within(async {
        while world.server.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let client = world.client(A).await;
    let (_, mut messages) = client
        .subscribe::<SubscribeToTopic>(&subscribe("t", None))
        .await
        .expect("subscribes");
    world
        .tasks
        .shutdown(Duration::from_secs(5))
        .await
        .expect("all tasks end");
    assert!(matches!(
        within(messages.next()).await,
        None | Some(Err(ClientError::Closed))
    ));
}

#[tokio::test]
async fn a_root_too_deep_for_a_socket_is_served_all_the_same() {
    let mut deep = None;
    let holder = tempfile::tempdir().expect("a directory");
    let world = World::start_with(|options| {
        let root = holder.path().join("d".repeat(70)).join("e".repeat(70));
        std::fs::create_dir_all(&root).expect("directories");
        options.socket = SocketPath::in_root(&root);
        deep = Some(options.socket.clone());
    });
    let socket = deep.expect("chosen above");
    let token = world.tokens.issue(A);
    let client = Client::connect(socket.absolute(), token.reveal(), &world.tasks)
        .await
        .expect("connects");
    client
        .call::<PublishToTopic>(&publish("t", b"x"))
        .await
        .expect("publishes");
}

/// Handshake and requests in one write, as a client in a hurry sends them.
#[tokio::test]
async fn requests_may_follow_the_connect_without_waiting() {
    let world = World::start();
    let mut raw = world.raw().await;
    let mut out = Vec::new();
    let payload = json!({ "authToken": world.tokens.issue(A).reveal() }).to_string();
    let mut session = ClientHandshake::new()
        .connect(payload.as_bytes(), &mut out)
        .expect("short")
        .receive(&Message::parse(ack_frame()).expect("a message"))
        .expect("accepted");
    for _ in 0..3 {
        let request = serde_json::to_vec(&publish("t", b"x")).expect("JSON");
        session
            .open(
                PublishToTopic::NAME,
                PublishToTopic::REQUEST_TYPE,
                &request,
                &mut out,
            )
            .expect("short");
    }
    raw.send(&out).await;
    assert_eq!(raw.next().await.map(|answer| answer.1), Some(1));
    for _ in 0..3 {
        let answer = raw.next().await.expect("an answer");
        assert_eq!(answer, (MessageType::ApplicationMessage, 2, b"{}".to_vec()));
    }
}
