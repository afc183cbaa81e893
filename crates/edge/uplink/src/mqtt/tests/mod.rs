mod cloud;

use super::*;
use cloud::Cloud;
use serde_json::json;
use std::sync::atomic::Ordering;
use std::time::Duration;
use sward_diagnosis::Diagnose as _;
use sward_mqtt::Version;
use tokio::time::timeout;

fn settings(cloud: &Cloud, version: Version) -> MqttSettings {
    MqttSettings {
        port: cloud.port,
        version,
        first_reconnect_delay: Duration::from_millis(10),
        longest_reconnect_delay: Duration::from_millis(50),
        ..MqttSettings::new("localhost", "core1".parse().expect("a name"))
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen in time"))
}

async fn connected(client: &MqttClient) {
    let mut state = client.connection();
    soon(
        "a connection",
        state.wait_for(ConnectionState::is_connected),
    )
    .await
    .expect("the client lives");
}

async fn world(version: Version) -> (Tasks, Arc<Cloud>, MqttClient) {
    let tasks = Tasks::new();
    let cloud = Cloud::start(&tasks).await;
    let client = MqttClient::start(settings(&cloud, version), cloud.tls(), &tasks);
    (tasks, cloud, client)
}

async fn subscribe(client: &MqttClient, filter: &str) -> Subscription {
    soon("a subscription", client.subscribe(filter, Qos::AtLeastOnce))
        .await
        .expect("granted")
}

async fn payload(subscription: &mut Subscription) -> String {
    let message = soon("a message", subscription.recv()).await;
    String::from_utf8(message.expect("the client lives").payload.to_vec()).expect("text")
}

#[tokio::test]
async fn messages_go_both_ways_in_both_versions() {
    for version in [Version::V5, Version::V311] {
        let (tasks, cloud, client) = world(version).await;
        let mut all = subscribe(&client, "t/#").await;
        let acknowledgement = client
            .publish(OutgoingMessage::new("t/1", "hello"))
            .expect("spooled");
        assert_eq!(soon("an answer", acknowledgement).await, Ok(Ok(())));
        assert_eq!(payload(&mut all).await, "hello");
        cloud.publish("t/2", "from the cloud");
        assert_eq!(payload(&mut all).await, "from the cloud");
        let seen = cloud.seen.borrow().clone();
        // 3.1.1 clears the session with a connection of its own.
        let expected: &[bool] = match version {
            Version::V5 => &[true],
            Version::V311 => &[true, false],
        };
        let clean: Vec<bool> = seen.connects.iter().map(|connect| connect.1).collect();
        assert_eq!(clean, expected);
        soon("the end", tasks.shutdown(Duration::from_secs(10)))
            .await
            .expect("all tasks end");
        cloud
            .until("a farewell", |seen| seen.disconnects >= 1)
            .await;
        assert!(all.recv().await.is_none());
    }
}

#[tokio::test]
async fn a_broken_connection_is_made_again_and_the_session_resumed() {
    let (_tasks, cloud, client) = world(Version::V5).await;
    let mut subscription = subscribe(&client, "t").await;
    cloud.break_connections();
    cloud
        .until("a reconnect", |seen| seen.connects.len() == 2)
        .await;
    cloud.publish("t", "after");
    assert_eq!(payload(&mut subscription).await, "after");
    let seen = cloud.seen.borrow().clone();
    assert!(!seen.connects[1].1, "a reconnect resumes");
    assert_eq!(seen.subscribes.len(), 1, "the session was still there");
}

#[tokio::test]
async fn a_lost_session_is_built_again() {
    let (_tasks, cloud, client) = world(Version::V5).await;
    let mut one = subscribe(&client, "t/1").await;
    let mut two = subscribe(&client, "t/2").await;
    cloud.forget();
    cloud.break_connections();
    cloud
        .until("both subscriptions", |seen| seen.subscribes.len() == 4)
        .await;
    // Subscribing is seen before it is answered; a message of ours comes after both.
    let answered = client
        .publish(OutgoingMessage::new("x", "x"))
        .expect("spooled");
    soon("an answer", answered)
        .await
        .expect("sent")
        .expect("ok");
    cloud.publish("t/1", "1");
    cloud.publish("t/2", "2");
    assert_eq!(payload(&mut one).await, "1");
    assert_eq!(payload(&mut two).await, "2");
}

#[tokio::test]
async fn unacknowledged_messages_are_sent_again_after_a_reconnect() {
    let (_tasks, cloud, client) = world(Version::V5).await;
    connected(&client).await;
    cloud.holds_acks.store(true, Ordering::SeqCst);
    let mut answers = Vec::new();
    for number in 0..8 {
        let message = OutgoingMessage::new("t", number.to_string());
        answers.push(client.publish(message).expect("spooled"));
    }
    // The window holds 5.
    cloud
        .until("the first messages", |seen| seen.publishes.len() == 5)
        .await;
    assert_eq!(client.spooled(), (8, 8));
    cloud.holds_acks.store(false, Ordering::SeqCst);
    cloud.break_connections();
    for answer in answers {
        assert_eq!(soon("an answer", answer).await, Ok(Ok(())));
    }
    let seen = cloud.seen.borrow().clone();
    let again: Vec<(String, bool)> = seen.publishes[5..].to_vec();
    let expected: Vec<(String, bool)> = (0..8)
        .map(|number: u32| (number.to_string(), number < 5))
        .collect();
    assert_eq!(again, expected);
    assert_eq!(client.spooled(), (0, 0));
}

#[tokio::test]
async fn what_is_published_offline_waits_and_why_is_visible() {
    let tasks = Tasks::new();
    let cloud = Cloud::start(&tasks).await;
    let mut nowhere = settings(&cloud, Version::V5);
    // Nothing listens on a port that was just given back.
    nowhere.port = {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        listener.local_addr().expect("an address").port()
    };
    let client = MqttClient::start(nowhere, cloud.tls(), &tasks);
    let mut state = client.connection();
    let waiting = soon(
        "a failure",
        state.wait_for(|state| matches!(state, ConnectionState::Waiting { .. })),
    )
    .await
    .expect("the client lives")
    .to_string();
    assert!(waiting.contains("cannot connect to localhost"), "{waiting}");
    let mut zero = OutgoingMessage::new("t", "0");
    zero.qos = Qos::AtMostOnce;
    let refused = client.publish(zero).expect_err("offline");
    assert_eq!(refused.code(), "spool-offline");
    let answer = client
        .publish(OutgoingMessage::new("t", "1"))
        .expect("spooled");
    client.reconfigure(settings(&cloud, Version::V5), cloud.tls());
    assert_eq!(soon("an answer", answer).await, Ok(Ok(())));
}

#[tokio::test]
async fn the_fifty_first_subscription_opens_a_second_connection() {
    let (_tasks, cloud, client) = world(Version::V5).await;
    let mut subscriptions = Vec::new();
    for number in 0..51 {
        subscriptions.push(subscribe(&client, &format!("t/{number}")).await);
    }
    let seen = cloud.seen.borrow().clone();
    let clients: Vec<&str> = seen.connects.iter().map(|connect| &*connect.0).collect();
    assert_eq!(clients, ["core1", "core1#2"]);
    cloud.publish("t/0", "first");
    cloud.publish("t/50", "second");
    assert_eq!(payload(&mut subscriptions[0]).await, "first");
    assert_eq!(payload(&mut subscriptions[50]).await, "second");
    drop(subscriptions);
    cloud
        .until("the end of all", |seen| seen.unsubscribes.len() == 51)
        .await;
}

#[tokio::test]
async fn a_filter_is_subscribed_once_for_all_who_want_it() {
    let (_tasks, cloud, client) = world(Version::V5).await;
    let mut one = subscribe(&client, "t").await;
    let mut two = soon("it", client.subscribe("t", Qos::AtMostOnce))
        .await
        .expect("granted");
    cloud.publish("t", "both");
    assert_eq!(payload(&mut one).await, "both");
    assert_eq!(payload(&mut two).await, "both");
    drop(one);
    cloud.publish("t", "one");
    assert_eq!(payload(&mut two).await, "one");
    assert_eq!(cloud.seen.borrow().subscribes.len(), 1);
    assert!(cloud.seen.borrow().unsubscribes.is_empty());
    drop(two);
    cloud
        .until("the end", |seen| seen.unsubscribes == ["t"])
        .await;
}

#[tokio::test]
async fn refusals_say_which_permission_is_missing() {
    let (_tasks, _cloud, client) = world(Version::V5).await;
    let refused = soon("an answer", client.subscribe("no/x", Qos::AtLeastOnce)).await;
    let error = refused.err().expect("refused");
    assert_eq!(error.code(), "mqtt-subscribe-refused");
    assert!(
        error.report().one_line().contains("topicfilter/no/x"),
        "{error:?}"
    );
    let wrong = soon("an answer", client.subscribe("a/#/b", Qos::AtLeastOnce)).await;
    assert_eq!(
        wrong.err().expect("no filter").code(),
        "mqtt-filter-invalid"
    );
    let answer = client
        .publish(OutgoingMessage::new("refused", "x"))
        .expect("spooled");
    let outcome = soon("an answer", answer).await.expect("answered");
    assert_eq!(
        outcome.expect_err("refused").place().expect("a place"),
        sward_diagnosis::Place::permission("iot:Publish", "topic/refused")
    );
}

#[tokio::test]
async fn a_message_that_fails_for_now_is_tried_until_it_is_given_up() {
    let tasks = Tasks::new();
    let cloud = Cloud::start(&tasks).await;
    let mut settings = settings(&cloud, Version::V5);
    settings.max_publish_retry = Some(3);
    let client = MqttClient::start(settings, cloud.tls(), &tasks);
    let answer = client
        .publish(OutgoingMessage::new("busy", "x"))
        .expect("spooled");
    let outcome = soon("an answer", answer).await.expect("answered");
    assert_eq!(
        outcome.expect_err("given up").code(),
        "mqtt-publish-given-up"
    );
    assert_eq!(cloud.seen.borrow().publishes.len(), 4);
}

#[tokio::test]
async fn a_message_that_ends_connections_does_not_hold_up_the_others() {
    // The cloud says why, or says nothing.
    for (topic, version, tries) in [
        ("wrong", Version::V5, 1),
        ("deadly", Version::V5, 3),
        ("wrong", Version::V311, 3),
    ] {
        let (tasks, cloud, client) = world(version).await;
        let publish = |topic: &str, payload: &str| {
            client
                .publish(OutgoingMessage::new(topic, payload.to_owned()))
                .expect("spooled")
        };
        let mut bad = publish(topic, "bad");
        let good: Vec<Acknowledgement> = (0..8)
            .map(|number: u32| publish("t", &number.to_string()))
            .collect();
        for answer in good {
            assert_eq!(soon("an answer", answer).await, Ok(Ok(())), "{topic}");
        }
        let seen = cloud.seen.borrow().clone();
        let bad_ones = seen.publishes.iter().filter(|(text, _)| text == "bad");
        assert_eq!(bad_ones.count(), tries, "{topic}");
        assert!(bad.try_recv().is_err(), "it is tried again later");
        tasks
            .shutdown(Duration::from_secs(10))
            .await
            .expect("the end");
    }
}

#[tokio::test]
async fn a_message_that_ends_connections_is_given_up_in_the_end() {
    let tasks = Tasks::new();
    let cloud = Cloud::start(&tasks).await;
    let mut settings = settings(&cloud, Version::V5);
    settings.max_publish_retry = Some(0);
    let client = MqttClient::start(settings, cloud.tls(), &tasks);
    let answer = client
        .publish(OutgoingMessage::new("wrong", "x"))
        .expect("spooled");
    let outcome = soon("an answer", answer).await.expect("answered");
    assert_eq!(
        outcome.expect_err("given up").code(),
        "mqtt-publish-given-up"
    );
    assert_eq!(client.spooled(), (0, 0));
}

#[tokio::test]
async fn a_full_connection_exchanges_one_filter_for_another() {
    let (_tasks, cloud, client) = world(Version::V5).await;
    let mut subscriptions = Vec::new();
    for number in 0..50 {
        subscriptions.push(subscribe(&client, &format!("t/{number}")).await);
    }
    // Both wishes are there before the connection's task looks at them.
    subscriptions.remove(0);
    let mut late = subscribe(&client, "late").await;
    cloud.publish("late", "in time");
    assert_eq!(payload(&mut late).await, "in time");
    assert_eq!(cloud.seen.borrow().connects.len(), 1);
}

#[tokio::test]
async fn an_unsubscribe_that_was_lost_is_said_again() {
    let (_tasks, cloud, client) = world(Version::V5).await;
    let kept = subscribe(&client, "kept").await;
    let gone = subscribe(&client, "gone").await;
    cloud.breaks_on_unsubscribe.store(true, Ordering::SeqCst);
    drop(gone);
    cloud
        .until("a reconnect", |seen| seen.connects.len() >= 2)
        .await;
    cloud.breaks_on_unsubscribe.store(false, Ordering::SeqCst);
    cloud
        .until("the end", |seen| seen.unsubscribes == ["gone"])
        .await;
    drop(kept);
}

#[tokio::test]
async fn a_bound_for_the_devices_messages_does_not_bind_the_cloud() {
    let tasks = Tasks::new();
    let cloud = Cloud::start(&tasks).await;
    let mut settings = settings(&cloud, Version::V5);
    settings.max_message_size = 10;
    let client = MqttClient::start(settings, cloud.tls(), &tasks);
    let mut subscription = subscribe(&client, "t").await;
    cloud.publish("t", &"x".repeat(131_072));
    assert_eq!(payload(&mut subscription).await.len(), 131_072);
    let refused = client.publish(OutgoingMessage::new("t", "eleven byte"));
    let place = refused.expect_err("too large").place();
    let setting = sward_diagnosis::Place::Setting {
        name: "mqtt.maxMessageSizeInBytes".into(),
    };
    assert_eq!(place, Some(setting));
}

#[test]
fn settings_are_read_as_the_nucleus_reads_them() {
    let read = |mqtt: serde_json::Value| {
        MqttSettings::from_configuration(
            "core1".parse().expect("a name"),
            &json!({"iotDataEndpoint": "localhost", "MQTT": mqtt}),
        )
    };
    let name = "core1".parse().expect("a name");
    assert_eq!(
        read(json!({})),
        Ok(MqttSettings {
            connect_timeout: Duration::from_secs(6),
            ..MqttSettings::new("localhost", name)
        })
    );
    let other = read(json!({
        "port": "443", "version": "mqtt3", "keepAliveTimeoutMs": 45_000, "pingTimeoutMs": "5000",
        "maxPublishRetry": -1, "maxInFlightPublishes": 7, "minimumReconnectDelaySeconds": 1,
        "spooler": {"maxSizeInBytes": "100", "keepQos0WhenOffline": "true"},
    }))
    .expect("valid");
    assert_eq!((other.port, other.version), (443, Version::V311));
    assert_eq!((other.keep_alive, other.max_in_flight), (45, 7));
    assert_eq!(other.ping_timeout, Duration::from_secs(5));
    assert_eq!(other.max_publish_retry, None);
    assert_eq!(other.first_reconnect_delay, Duration::from_secs(1));
    assert_eq!(other.spooler.max_size_bytes, 100);
    assert!(other.spooler.keep_qos0_when_offline);
    assert_eq!(other.client_id(0), "core1");
    assert_eq!(other.client_id(2), "core1#3");
    for (mqtt, setting) in [
        (json!({"port": 0}), "mqtt.port"),
        (json!({"port": "x"}), "mqtt.port"),
        (
            json!({"maxInFlightPublishes": 101}),
            "mqtt.maxInFlightPublishes",
        ),
        (
            json!({"keepAliveTimeoutMs": 20_000}),
            "mqtt.keepAliveTimeoutMs",
        ),
        (
            json!({"spooler": {"maxSizeInBytes": []}}),
            "mqtt.maxSizeInBytes",
        ),
    ] {
        assert_eq!(read(mqtt).expect_err("invalid").name, setting);
    }
    let without = MqttSettings::from_configuration("core1".parse().expect("a name"), &json!({}));
    assert_eq!(without.expect_err("no endpoint").name, "iotDataEndpoint");
}

/// Given up and wanted again before the connection's task could look: the cloud still has it, and
/// who asks is answered all the same.
#[tokio::test]
async fn a_filter_given_up_and_wanted_at_once_is_answered() {
    let (tasks, cloud, client) = world(Version::V5).await;
    drop(subscribe(&client, "t/#").await);
    let mut again = subscribe(&client, "t/#").await;
    cloud.publish("t/1", "still heard");
    assert_eq!(payload(&mut again).await, "still heard");
    soon("the end", tasks.shutdown(Duration::from_secs(10)))
        .await
        .expect("all tasks end");
}
