//! What a client can make the server do, hold and wait for has an end.

use super::world::*;
use serde_json::json;
use std::time::Duration;
use sward_event_stream::{ClientHandshake, ClientSession, Message, MessageType};
use sward_ipc_client::Client;
use sward_ipc_model::*;

/// A connection whose streams are opened and ended by hand.
struct Hand {
    raw: Raw,
    session: ClientSession,
    out: Vec<u8>,
}

impl Hand {
    async fn connect(world: &World) -> Self {
        let mut raw = world.raw().await;
        raw.connect(world.tokens.issue(A).reveal()).await;
        raw.next().await.expect("an acknowledgement");
        let session = ClientHandshake::new()
            .connect(b"{}", &mut Vec::new())
            .expect("short")
            .receive(&Message::parse(ack_frame()).expect("a message"))
            .expect("accepted");
        Hand {
            raw,
            session,
            out: Vec::new(),
        }
    }

    /// Opens a stream in the next write.
    fn open<O: Operation>(&mut self, request: &O::Request) -> i32 {
        let payload = serde_json::to_vec(request).expect("JSON");
        self.session
            .open(O::NAME, O::REQUEST_TYPE, &payload, &mut self.out)
            .expect("short")
    }

    async fn write(&mut self) {
        let out = std::mem::take(&mut self.out);
        self.raw.send(&out).await;
    }

    /// The next answer where it is an error.
    async fn refusal(&mut self) -> Option<IpcError> {
        let (kind, _, payload) = self.raw.next().await.expect("an answer");
        (kind == MessageType::ApplicationError).then(|| IpcError::from_wire(None, &payload))
    }
}

fn silent_publish() -> PublishToIoTCoreRequest {
    serde_json::from_value(json!({"topicName": "allowed/silent", "qos": "0", "payload": ""}))
        .expect("a request")
}

fn silent_subscribe() -> SubscribeToIoTCoreRequest {
    SubscribeToIoTCoreRequest {
        topic_name: "allowed/silent".to_owned(),
        qos: Qos::AtMostOnce,
    }
}

async fn ping(client: &Client) {
    client
        .call::<PublishToTopic>(&publish("ping", b"x"))
        .await
        .expect("the server lives");
}

/// Each level of a filter is a node of a tree, and the way down such a tree has an end.
#[tokio::test]
async fn a_filter_of_very_many_levels_is_refused() {
    let world = World::start();
    let client = world.client(A).await;
    let deep = vec!["a"; 200_000].join("/");
    let refused = client
        .subscribe::<SubscribeToTopic>(&subscribe(&deep, None))
        .await
        .map(drop);
    ping(&client).await;
    assert_eq!(refusal(refused).name, ErrorName::InvalidArgumentsError);
    let deepest = vec!["a"; 256].join("/");
    let (_, mut messages) = client
        .subscribe::<SubscribeToTopic>(&subscribe(&deepest, None))
        .await
        .expect("as deep as allowed");
    client
        .call::<PublishToTopic>(&publish(&deepest, b"x"))
        .await
        .expect("publishes");
    assert_eq!(next(&mut messages).await, delivered(&deepest, b"x"));
}

#[tokio::test]
async fn calls_whose_streams_were_ended_are_counted_until_they_are_done() {
    let world = World::start_with(|options| options.max_streams = 8);
    let mut hand = Hand::connect(&world).await;
    for _ in 0..20 {
        let stream = hand.open::<PublishToIoTCore>(&silent_publish());
        hand.session.close(stream, &mut hand.out);
    }
    hand.open::<PublishToIoTCore>(&silent_publish());
    hand.write().await;
    let error = hand.refusal().await.expect("there are too many");
    assert_eq!(error.message, "Too many streams are open");
}

#[tokio::test]
async fn a_subscription_that_was_given_up_waits_for_nothing() {
    let world = World::start_with(|options| options.max_streams = 8);
    let mut hand = Hand::connect(&world).await;
    for _ in 0..20 {
        let stream = hand.open::<SubscribeToIoTCore>(&silent_subscribe());
        hand.session.close(stream, &mut hand.out);
        // A call that is answered shows that the server has seen all before it.
        hand.open::<PublishToTopic>(&publish("ping", b"x"));
        hand.write().await;
        assert_eq!(hand.refusal().await, None);
    }
    hand.open::<SubscribeToConfigurationUpdate>(&SubscribeToConfigurationUpdateRequest::default());
    hand.write().await;
    assert_eq!(hand.refusal().await, None, "nothing is left of the others");
}

#[tokio::test]
async fn many_short_requests_for_a_long_answer_are_answered_as_they_are_read() {
    let world = World::start_with(|options| options.outbox_limit = 64 * 1024);
    let witness = world.client(B).await;
    world.policies.load(B, &allow_all());
    let (_, mut messages) = witness
        .subscribe::<SubscribeToTopic>(&subscribe("done", None))
        .await
        .expect("subscribes");
    let owner = world.client(A).await;
    owner
        .call::<UpdateConfiguration>(&UpdateConfigurationRequest {
            key_path: None,
            timestamp: Some(1000.0),
            value_to_merge: json!({"long": "x".repeat(128 * 1024)}).as_object().cloned(),
        })
        .await
        .expect("updates");
    let mut hand = Hand::connect(&world).await;
    for _ in 0..20 {
        hand.open::<GetConfiguration>(&GetConfigurationRequest::default());
    }
    hand.open::<PublishToTopic>(&publish("done", b"x"));
    hand.write().await;
    let too_soon = tokio::time::timeout(Duration::from_millis(300), messages.next()).await;
    assert!(
        too_soon.is_err(),
        "2.5 MiB wait for a client that reads nothing"
    );
    for _ in 0..20 {
        let (kind, _, payload) = hand.raw.next().await.expect("an answer");
        assert_eq!(kind, MessageType::ApplicationMessage);
        assert!(payload.len() > 128 * 1024);
    }
    assert_eq!(next(&mut messages).await, delivered("done", b"x"));
}

#[tokio::test]
async fn who_is_no_component_has_no_configuration_and_no_say_in_updates() {
    let world = World::start();
    let cli = world.cli().await;
    let updated = cli
        .call::<UpdateConfiguration>(&UpdateConfigurationRequest {
            key_path: None,
            timestamp: Some(1000.0),
            value_to_merge: Some(Document::new()),
        })
        .await;
    assert_eq!(refusal(updated).name, ErrorName::ResourceNotFoundError);
    let updates = cli
        .subscribe::<SubscribeToComponentUpdates>(&Empty {})
        .await;
    assert_eq!(
        refusal(updates.map(drop)).name,
        ErrorName::ResourceNotFoundError
    );
    let questions = cli
        .subscribe::<SubscribeToValidateConfigurationUpdates>(&Empty {})
        .await;
    assert_eq!(
        refusal(questions.map(drop)).name,
        ErrorName::ResourceNotFoundError
    );
}
