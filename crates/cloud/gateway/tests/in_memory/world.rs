//! The gateway, its fake ports and its clients.

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sward_gateway::ports::*;
use sward_gateway::{Gateway, GatewayOptions, Hub, Ports};
use sward_mqtt::client::{Client, ClientOptions, Event};
use sward_mqtt::packet::{Properties, Publish, SubscribeOptions, Text};
use sward_mqtt::{Qos, Reason, Version};
use sward_net::mqtt::{Step, Wire};
use sward_policy::iot;
use sward_task::Tasks;
use tokio::io::DuplexStream;
use tokio::sync::{Semaphore, broadcast, watch};
use tokio::time::timeout;

/// One policy for everybody, which a test can change.
pub(crate) struct Doors {
    /// The statement of the policy; `None` lets nobody in.
    pub(crate) statement: Mutex<Option<&'static str>>,
    /// How often somebody asked to be let in.
    pub(crate) asked: watch::Sender<usize>,
    changes: broadcast::Sender<DirectoryChange>,
}

pub(crate) const EVERYTHING: &str = r#"{"Effect":"Allow","Action":"iot:*","Resource":"*"}"#;

impl Doors {
    /// Changes the statement, and tells the gateway that something changed.
    pub(crate) fn change(&self, statement: Option<&'static str>) {
        *self.statement.lock().expect("not poisoned") = statement;
        let change = DirectoryChange {
            tenant: Tenant::default(),
            certificate_id: None,
        };
        self.changes.send(change).expect("the gateway listens");
    }

    /// Changes the statement; done when the gateway knows that something changed.
    pub(crate) async fn set(&self, statement: Option<&'static str>) {
        self.change(statement);
        // On one thread: who has taken it has also passed it on.
        while !self.changes.is_empty() {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Directory for Doors {
    async fn authenticate(&self, _presented: Presented<'_>) -> Result<Principal, Refusal> {
        self.asked.send_modify(|asked| *asked += 1);
        let statement = *self.statement.lock().expect("not poisoned");
        let Some(statement) = statement else {
            return Err(Refusal::NotActive {
                certificate_id: "ab".repeat(32),
                status: "INACTIVE".into(),
            });
        };
        let policy = format!(r#"{{"Version":"2012-10-17","Statement":{statement}}}"#);
        let policy = iot::Policy::parse(&policy).expect("a policy");
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
        self.changes.subscribe()
    }
}

/// A store that commits when it is told to, and fails when it is told to.
pub(crate) struct Gated {
    pub(crate) gate: Semaphore,
    pub(crate) failing: watch::Sender<bool>,
    pub(crate) kept: Mutex<Vec<Change>>,
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

/// A service that answers when it is told to, and says what it was asked. It knows no topic that
/// begins with `$aws/unknown/`.
pub(crate) struct Service {
    pub(crate) gate: Semaphore,
    pub(crate) asked: watch::Sender<Vec<String>>,
}

#[async_trait]
impl ReservedTopics for Service {
    async fn publish(&self, message: ReservedPublish) -> Result<(), ReservedError> {
        if message.topic.starts_with("$aws/unknown/") {
            let topic = message.topic;
            return Err(ReservedError::NotATopic { topic });
        }
        let text = String::from_utf8_lossy(&message.payload).into_owned();
        self.asked.send_modify(|asked| asked.push(text));
        self.gate.acquire().await.expect("the gate stays").forget();
        Ok(())
    }
}

/// Who came and went.
#[derive(Default)]
pub(crate) struct Visitors(pub(crate) Mutex<Vec<(String, Option<DisconnectReason>)>>);

impl Presence for Visitors {
    fn changed(&self, event: PresenceEvent) {
        let entry = (event.origin.client_id.to_string(), event.disconnected);
        self.0.lock().expect("not poisoned").push(entry);
    }
}

pub(crate) struct World {
    pub(crate) tasks: Tasks,
    pub(crate) gateway: Gateway,
    pub(crate) hub: Hub,
    pub(crate) store: Arc<Gated>,
    pub(crate) doors: Arc<Doors>,
    pub(crate) service: Arc<Service>,
    pub(crate) visitors: Arc<Visitors>,
}

pub(crate) const OPEN: usize = 1_000_000;

impl World {
    pub(crate) async fn new() -> World {
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
        let doors = Arc::new(Doors {
            statement: Mutex::new(Some(EVERYTHING)),
            asked: watch::Sender::new(0),
            changes: broadcast::channel(8).0,
        });
        let visitors = Arc::new(Visitors::default());
        let clock = Arc::new(|| 1_700_000_000_000);
        let options = GatewayOptions::default();
        let hub = Hub::open(store.clone(), options, clock, &tasks)
            .await
            .expect("an empty store");
        let ports = Ports {
            directory: doors.clone(),
            reserved: service.clone(),
            presence: visitors.clone(),
        };
        World {
            gateway: Gateway::new(hub.clone(), ports, &tasks),
            tasks,
            hub,
            store,
            doors,
            service,
            visitors,
        }
    }

    /// A stream to the gateway on which nothing was said yet.
    pub(crate) fn open(&self) -> DuplexStream {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let gateway = self.gateway.clone();
        self.tasks.spawn("client", async move {
            let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let certificate = vec![1].into();
            gateway.serve(near, &certificate, None, address).await;
        });
        far
    }

    pub(crate) async fn connect(&self, id: &str, version: Version, clean: bool) -> Peer {
        self.connect_on(self.open(), id, version, clean).await
    }

    /// Like [`connect`](World::connect), on a stream that was opened before.
    pub(crate) async fn connect_on(
        &self,
        stream: DuplexStream,
        id: &str,
        version: Version,
        clean: bool,
    ) -> Peer {
        let mut options = ClientOptions::new(id, version);
        options.in_flight = 100;
        let mut peer = Peer {
            client: Client::new(options),
            wire: Wire::new(stream),
            input: BytesMut::new(),
            output: BytesMut::new(),
        };
        peer.client.start(0, clean);
        let event = peer.event().await;
        assert!(matches!(event, Event::Connected { .. }), "{event:?}");
        peer
    }
}

pub(crate) struct Peer {
    pub(crate) client: Client,
    pub(crate) wire: Wire<DuplexStream>,
    pub(crate) input: BytesMut,
    pub(crate) output: BytesMut,
}

impl Peer {
    pub(crate) async fn event(&mut self) -> Event {
        timeout(Duration::from_secs(20), self.next_event())
            .await
            .expect("an event in time")
    }

    /// Sends what is to be sent, and says whether nothing comes for a while.
    pub(crate) async fn is_silent(&mut self) -> bool {
        timeout(Duration::from_millis(150), self.next_event())
            .await
            .is_err()
    }

    pub(crate) async fn next_event(&mut self) -> Event {
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

    pub(crate) async fn subscribe(&mut self, filter: &str) {
        let options = SubscribeOptions {
            qos: Qos::AtLeastOnce,
            ..SubscribeOptions::default()
        };
        self.client
            .subscribe(0, 1, vec![(Text::from(filter), options)]);
        let event = self.event().await;
        assert!(matches!(event, Event::Subscribed { .. }), "{event:?}");
    }

    pub(crate) fn publish(&mut self, token: u64, topic: &str, payload: &'static str) {
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

    pub(crate) async fn published(&mut self) -> (u64, Reason) {
        match self.event().await {
            Event::Published { token, reason } => (token, reason),
            other => panic!("{other:?}"),
        }
    }
}
