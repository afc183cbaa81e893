//! When a message is acknowledged: not before what must remember it has.

use crate::world::{OPEN, World};
use std::time::Duration;
use sward_gateway::ServiceMessage;
use sward_gateway::ports::*;
use sward_mqtt::client::Event;
use sward_mqtt::packet::SubscribeOptions;
use sward_mqtt::{Reason, Version};
use tokio::time::timeout;

/// A persistent reader of `kept/#` that has left.
async fn with_reader_away(world: &World) {
    let mut reader = world.connect("reader", Version::V5, true).await;
    reader.subscribe("kept/#").await;
    reader.client.disconnect();
    let last = reader.client.output().split();
    reader.wire.finish(last).await.expect("a farewell");
}

#[tokio::test]
async fn a_message_for_a_persistent_session_is_acknowledged_after_its_commit() {
    let world = World::new().await;
    with_reader_away(&world).await;
    let mut writer = world.connect("writer", Version::V5, true).await;
    world.store.gate.forget_permits(OPEN);
    writer.publish(1, "kept/1", "one");
    writer.publish(2, "nobody/hears", "two");
    writer.publish(3, "kept/3", "three");
    assert!(writer.is_silent().await, "acknowledged without a commit");
    // The second needs no commit, but stands behind the first.
    world.store.gate.add_permits(OPEN);
    for token in 1..=3 {
        assert_eq!(writer.published().await, (token, Reason::SUCCESS));
    }
    let kept = world.store.kept.lock().expect("not poisoned").clone();
    let queued = |change: &&Change| matches!(change, Change::Queued { .. });
    assert_eq!(kept.iter().filter(queued).count(), 2);
}

#[tokio::test]
async fn a_message_that_nobody_must_remember_waits_for_nothing() {
    let world = World::new().await;
    let mut reader = world.connect("clean", Version::V311, true).await;
    reader.subscribe("t").await;
    let mut writer = world.connect("writer", Version::V311, true).await;
    world.store.gate.forget_permits(OPEN);
    writer.publish(1, "t", "one");
    assert_eq!(writer.published().await, (1, Reason::SUCCESS));
    let event = reader.event().await;
    assert!(matches!(event, Event::Message(_)), "{event:?}");
}

#[tokio::test]
async fn a_store_that_fails_delays_and_loses_nothing() {
    let world = World::new().await;
    with_reader_away(&world).await;
    let mut writer = world.connect("writer", Version::V5, true).await;
    world.store.failing.send_replace(true);
    writer.publish(1, "kept/1", "one");
    assert!(writer.is_silent().await, "acknowledged without a commit");
    world.store.failing.send_replace(false);
    assert_eq!(writer.published().await, (1, Reason::SUCCESS));
    let mut reader = world.connect("reader", Version::V5, false).await;
    let event = reader.event().await;
    assert!(matches!(event, Event::Message(_)), "{event:?}");
}

#[tokio::test]
async fn a_subscription_of_a_persistent_session_is_granted_after_its_commit() {
    let world = World::new().await;
    let mut reader = world.connect("reader", Version::V5, true).await;
    world.store.gate.forget_permits(OPEN);
    let options = SubscribeOptions::default();
    reader.client.subscribe(0, 1, vec![("t".into(), options)]);
    assert!(reader.is_silent().await, "granted without a commit");
    world.store.gate.add_permits(OPEN);
    let event = reader.event().await;
    assert!(matches!(event, Event::Subscribed { .. }), "{event:?}");
}

#[tokio::test]
async fn a_service_is_asked_in_order_and_acknowledges_when_it_is_done() {
    let world = World::new().await;
    let mut core = world.connect("core1", Version::V5, true).await;
    world.service.gate.forget_permits(OPEN);
    core.publish(1, "$aws/things/core1/shadow/update", "first");
    core.publish(2, "$aws/things/core1/shadow/get", "second");
    core.publish(3, "plain", "third");
    assert!(core.is_silent().await, "acknowledged before the service");
    assert_eq!(*world.service.asked.borrow(), ["first"]);
    world.service.gate.add_permits(1);
    assert_eq!(core.published().await.0, 1);
    let mut asked = world.service.asked.subscribe();
    timeout(
        Duration::from_secs(20),
        asked.wait_for(|asked| *asked == ["first", "second"]),
    )
    .await
    .expect("the second question in time")
    .expect("the service lives");
    world.service.gate.add_permits(1);
    assert_eq!(core.published().await.0, 2);
    assert_eq!(core.published().await.0, 3);
}

#[tokio::test]
async fn the_services_own_message_returns_once_it_is_durable() {
    let world = World::new().await;
    with_reader_away(&world).await;
    world.store.gate.forget_permits(OPEN);
    let publisher = world.hub.publisher();
    let tenant = Tenant::default();
    let message = || ServiceMessage::new("kept/x", "x");
    let early = timeout(
        Duration::from_millis(150),
        publisher.publish(&tenant, message()),
    );
    assert!(early.await.is_err(), "returned without a commit");
    world.store.gate.add_permits(OPEN);
    let delivered = publisher.publish(&tenant, message()).await;
    assert_eq!(delivered.expect("sent").sessions, 1);
    let wrong = publisher.publish(&tenant, ServiceMessage::new("a/+", "x"));
    assert!(wrong.await.is_err());
}

#[tokio::test]
async fn a_stopping_gateway_says_goodbye_and_keeps_what_it_owes() {
    let world = World::new().await;
    with_reader_away(&world).await;
    let mut writer = world.connect("writer", Version::V5, true).await;
    writer.publish(1, "kept/1", "one");
    assert_eq!(writer.published().await.0, 1);
    let goodbye = async {
        match writer.event().await {
            Event::Closed { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    };
    let (stopped, reason) = tokio::join!(world.tasks.shutdown(Duration::from_secs(10)), goodbye);
    stopped.expect("all tasks end");
    assert_eq!(reason, Reason::SERVER_SHUTTING_DOWN);
    let last = world
        .visitors
        .0
        .lock()
        .expect("not poisoned")
        .last()
        .cloned();
    assert_eq!(
        last,
        Some(("writer".into(), Some(DisconnectReason::ServerInitiated)))
    );
    let kept = world.store.kept.lock().expect("not poisoned");
    assert!(
        kept.iter()
            .any(|change| matches!(change, Change::Queued { .. }))
    );
}
