//! When a message is acknowledged: not before what must remember it has.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sward_gateway::ports::*;
use sward_gateway::{Gateway, GatewayOptions, Hub, Ports, ServiceMessage};
use sward_mqtt::client::{Client, ClientOptions, Event};
use sward_mqtt::packet::{Properties, Publish, SubscribeOptions, Text};
use sward_mqtt::{Qos, Reason, Version};
use sward_net::mqtt::{Step, Wire};
use sward_policy::iot;
use sward_task::Tasks;
use tokio::io::DuplexStream;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::timeout;

/// Everybody may do everything.
struct Everybody(broadcast::Sender<DirectoryChange>);

#[async_trait]
impl Directory for Everybody {
    async fn authenticate(&self, _presented: Presented<'_>) -> Result<Principal, Refusal> {
        let policy = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iot:*","Resource":"*"}}"#;
        let policy = iot::Policy::parse(policy).expect("a policy");
        Ok(Principal {
            tenant: Tenant::default(),
            certificate_id: "ab".repeat(32).parse().expect("an id"),
            certificate: iot::Certificate::default(),
            things: Vec::new(),
            policies: Arc::new(iot::PolicySet::compile([iot::Attached::to_certificate(
                "all", policy,
            )])),
        })
    }

    fn changes(&self) -> broadcast::Receiver<DirectoryChange> {
        self.0.subscribe()
    }
}

/// A store that commits when it is told to, and fails when it is told to.
struct Gated {
    gate: Semaphore,
    failing: watch::Sender<bool>,
    kept: Mutex<Vec<Change>>,
}

#[async_trait]
impl SessionStore for Gated {
    async fn load(&self) -> Result<Vec<(Tenant, Change)>, PortError> {
        Ok(Vec::new())
    }

    async fn commit(&self, changes: Vec<(Tenant, Change)>) -> Result<(), PortError> {
        self.gate.acquire().await.expect("the gate stays").forget();
        if *self.failing.borrow() {
            return Err(PortError::new("the disk is full"));
        }
        let mut kept = self.kept.lock().expect("not poisoned");
        kept.extend(changes.into_iter().map(|(_, change)| change));
        Ok(())
    }
}

/// A service that answers when it is told to, and says what it was asked.
struct Service {
    gate: Semaphore,
    asked: watch::Sender<Vec<String>>,
}

#[async_trait]
impl ReservedTopics for Service {
    async fn publish(&self, message: ReservedPublish) -> Result<(), ReservedError> {
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        self.asked.send_modify(|asked| asked.push(text));
        self.gate.acquire().await.expect("the gate stays").forget();
        Ok(())
    }
}

/// Who came and went.
#[derive(Default)]
struct Visitors(Mutex<Vec<(String, Option<DisconnectReason>)>>);

impl Presence for Visitors {
    fn changed(&self, event: PresenceEvent) {
        let entry = (event.origin.client_id.to_string(), event.disconnected);
        self.0.lock().expect("not poisoned").push(entry);
    }
}

struct World {
    tasks: Tasks,
    gateway: Gateway,
    hub: Hub,
    store: Arc<Gated>,
    service: Arc<Service>,
    visitors: Arc<Visitors>,
}

const OPEN: usize = 1_000_000;

impl World {
    async fn new() -> World {
        let tasks = Tasks::new();
        let store = Arc::new(Gated {
            gate: Semaphore::new(OPEN),
            failing: watch::Sender::new(false),
            kept: Mutex::default(),
        });
        let service = Arc::new(Service {
            gate: Semaphore::new(OPEN),
            asked: watch::Sender::new(Vec::new()),
        });
        let visitors = Arc::new(Visitors::default());
        let clock = Arc::new(|| 1_700_000_000_000);
        let options = GatewayOptions::default();
        let hub = Hub::open(store.clone(), options, clock, &tasks)
            .await
            .expect("an empty store");
        let ports = Ports {
            directory: Arc::new(Everybody(broadcast::channel(1).0)),
            reserved: service.clone(),
            presence: visitors.clone(),
        };
        World {
            gateway: Gateway::new(hub.clone(), ports, &tasks),
            tasks,
            hub,
            store,
            service,
            visitors,
        }
    }

    async fn connect(&self, id: &str, version: Version, clean: bool) -> Peer {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let gateway = self.gateway.clone();
        self.tasks.spawn("client", async move {
            let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let certificate = vec![1].into();
            gateway.serve(near, &certificate, None, address).await;
        });
        let mut options = ClientOptions::new(id, version);
        options.in_flight = 100;
        let mut peer = Peer {
            client: Client::new(options),
            wire: Wire::new(far),
            input: BytesMut::new(),
            output: BytesMut::new(),
        };
        peer.client.start(0, clean);
        let event = peer.event().await;
        assert!(matches!(event, Event::Connected { .. }), "{event:?}");
        peer
    }
}

struct Peer {
    client: Client,
    wire: Wire<DuplexStream>,
    input: BytesMut,
    output: BytesMut,
}

impl Peer {
    async fn event(&mut self) -> Event {
        timeout(Duration::from_secs(20), self.next_event())
            .await
            .expect("an event in time")
    }

    /// Sends what is to be sent, and says whether nothing comes for a while.
    async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(150), self.next_event())
            .await
            .is_err()
    }

    async fn next_event(&mut self) -> Event {
        loop {
            if let Some(event) = self.client.poll(0).expect("the gateway keeps the rules") {
                return event;
            }
            self.output.unsplit(self.client.output().split());
            let step = self.wire.step(&mut self.input, &mut self.output, true);
            assert_ne!(step.await.expect("a step"), Step::Closed);
            self.client.input().unsplit(self.input.split());
        }
    }

    async fn subscribe(&mut self, filter: &str) {
        let options = SubscribeOptions {
            qos: Qos::AtLeastOnce,
            ..SubscribeOptions::default()
        };
        self.client
            .subscribe(0, 1, vec![(Text::from(filter), options)]);
        let event = self.event().await;
        assert!(matches!(event, Event::Subscribed { .. }), "{event:?}");
    }

    fn publish(&mut self, token: u64, topic: &str, payload: &'static str) {
        let publish = Publish {
            dup: false,
            qos: Qos::AtLeastOnce,
            retain: false,
            topic: topic.into(),
            packet_id: 0,
            properties: Properties::new(),
            payload: Bytes::from_static(payload.as_bytes()),
        };
        self.client.publish(0, token, publish);
    }

    async fn published(&mut self) -> (u64, Reason) {
        match self.event().await {
            Event::Published { token, reason } => (token, reason),
            other => panic!("{other:?}"),
        }
    }
}

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
