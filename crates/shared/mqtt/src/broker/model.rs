//! A whole world in one value: clients of both versions, connections that break, a broker that is
//! killed, a store that commits late. Whatever happens: a message that was acknowledged to its
//! publisher reaches every persistent subscriber, in order, and nothing comes unasked.
//!
//! `SWARD_MODEL_WORLDS` raises the number of worlds.

use super::*;
use crate::client::{self, Client, ClientOptions};
use crate::codec::fuzz::Dice;
use crate::packet::{Publish, Qos, Text, Version};
use crate::server::{self, Acceptance, Connection, Options};
use bytes::Bytes;

fn worlds() -> u64 {
    std::env::var("SWARD_MODEL_WORLDS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(150)
}

const STEPS: usize = 400;
const PORTION: Portion = Portion {
    messages: 10,
    bytes: usize::MAX,
};

struct Peer {
    client: Client,
    id: &'static str,
    connection: Option<Link>,
    /// Payload numbers in the order in which they came.
    received: Vec<u64>,
    subscribes: bool,
    subscribed: bool,
    first: bool,
}

struct Link {
    server: Connection,
    session: Option<SessionKey>,
    number: ConnectionId,
    /// Acknowledgements that wait for the store: (changes that must be durable, packet).
    acks: Vec<(usize, u16)>,
    subacks: Vec<(usize, u16)>,
}

struct World {
    now: u64,
    dice: Dice,
    broker: Broker<usize>,
    /// Every change ever made, and how many of them are durable.
    log: Vec<Change>,
    durable: usize,
    peers: Vec<Peer>,
    next_connection: ConnectionId,
    next_message: u64,
    acknowledged: Vec<u64>,
}

fn config() -> Config {
    Config {
        in_flight: 4,
        ..Config::default()
    }
}

fn peer(id: &'static str, version: Version, subscribes: bool) -> Peer {
    let mut options = ClientOptions::new(id, version);
    options.in_flight = 3;
    options.receive_maximum = 3;
    Peer {
        client: Client::new(options),
        id,
        connection: None,
        received: Vec::new(),
        subscribes,
        subscribed: false,
        first: true,
    }
}

impl World {
    fn new(seed: u64) -> World {
        World {
            now: 1_000_000,
            dice: Dice(seed),
            broker: Broker::new(config()),
            log: Vec::new(),
            durable: 0,
            peers: vec![
                peer("publisher", Version::V5, false),
                peer("old", Version::V311, true),
                peer("new", Version::V5, true),
            ],
            next_connection: 1,
            next_message: 1,
            acknowledged: Vec::new(),
        }
    }

    fn connect(&mut self, index: usize) {
        let now = self.now;
        let peer = &mut self.peers[index];
        if peer.connection.is_some() {
            return;
        }
        // 3.1.1 has no session to clear here; 5 begins afresh once.
        let clean = peer.first && !peer.subscribes;
        peer.first = false;
        peer.client.start(now, clean);
        peer.connection = Some(Link {
            server: Connection::new(Options::default(), now),
            session: None,
            number: self.next_connection,
            acks: Vec::new(),
            subacks: Vec::new(),
        });
        self.next_connection += 1;
    }

    fn drop_link(&mut self, index: usize, told: bool) {
        let peer = &mut self.peers[index];
        peer.client.lost();
        if let Some(link) = peer.connection.take()
            && told
            && let Some(session) = link.session
        {
            self.broker
                .disconnect(self.now, session, link.number, true, None);
            self.gather();
        }
    }

    fn gather(&mut self) {
        self.log.extend(self.broker.take_changes());
        self.broker.take_woken(&mut Vec::new());
    }

    fn commit(&mut self) {
        self.durable = self.log.len();
    }

    /// The broker dies; what was not committed is forgotten.
    fn kill(&mut self) {
        self.log.truncate(self.durable);
        for index in 0..self.peers.len() {
            self.drop_link(index, false);
        }
        self.log.truncate(self.durable);
        self.broker = Broker::new(config());
        let kept = compact(&self.log);
        assert_eq!(self.broker.restore(self.now, kept), 0);
    }

    fn publish(&mut self) {
        let now = self.now;
        let publisher = &mut self.peers[0].client;
        if !publisher.has_room() {
            return;
        }
        let number = self.next_message;
        self.next_message += 1;
        let publish = Publish {
            dup: false,
            qos: Qos::AtLeastOnce,
            retain: false,
            topic: Text::from("t/x"),
            packet_id: 0,
            properties: crate::packet::Properties::new(),
            payload: Bytes::from(number.to_string()),
        };
        publisher.publish(now, number, publish);
    }

    /// Moves bytes both ways and lets everybody react, once.
    fn exchange(&mut self, index: usize) {
        let now = self.now;
        let peer = &mut self.peers[index];
        let Some(link) = &mut peer.connection else {
            return;
        };
        // Bytes arrive in pieces of any size.
        let out = peer.client.output();
        let piece = out.len() - self.dice.below(out.len() / 2 + 1);
        let bytes = out.split_to(piece);
        link.server.input().extend_from_slice(&bytes);
        let mut events = Vec::new();
        while let Some(event) = link.server.poll().expect("our client keeps the rules") {
            events.push(event);
            if matches!(events.last(), Some(server::Event::Connect(_))) {
                break;
            }
        }
        for event in events {
            self.server_event(index, event);
        }
        self.settle(index);
        self.deliver(index);
        let peer = &mut self.peers[index];
        let Some(link) = &mut peer.connection else {
            return;
        };
        let bytes = link.server.output().split();
        peer.client.input().extend_from_slice(&bytes);
        while let Some(event) = peer.client.poll(now).expect("our server keeps the rules") {
            match event {
                client::Event::Connected { session_present } => {
                    if !session_present {
                        peer.subscribed = false;
                    }
                    if peer.subscribes && !peer.subscribed {
                        let options = SubscribeOptions {
                            qos: Qos::AtLeastOnce,
                            ..SubscribeOptions::default()
                        };
                        peer.client.subscribe(now, 1, vec![("t/+".into(), options)]);
                    }
                }
                client::Event::Subscribed { .. } => peer.subscribed = true,
                client::Event::Message(message) => {
                    let text = std::str::from_utf8(&message.payload).expect("a number");
                    peer.received.push(text.parse().expect("a number"));
                    peer.client.acknowledge(now, message.packet_id);
                }
                client::Event::Published { token, .. } => self.acknowledged.push(token),
                other => panic!("unexpected {other:?}"),
            }
        }
    }

    fn server_event(&mut self, index: usize, event: server::Event) {
        let now = self.now;
        let id = self.peers[index].id;
        let Some(link) = &mut self.peers[index].connection else {
            return;
        };
        match event {
            server::Event::Connect(connect) => {
                let connected = self.broker.connect(
                    now,
                    Arrival {
                        client_id: Arc::from(id),
                        clean_start: connect.clean_start,
                        session_expiry: link.server.session_expiry(),
                        will: None,
                        receive_maximum: link.server.receive_maximum(),
                        connection: link.number,
                        handle: index,
                    },
                );
                link.session = Some(connected.session);
                link.server.accept(
                    now,
                    Acceptance {
                        session_present: connected.session_present,
                        assigned_client_id: None,
                    },
                );
                self.gather();
            }
            server::Event::Publish(publish) => {
                let packet_id = publish.packet_id;
                self.broker.publish(Publication {
                    message: Message::of(publish, now),
                    from: link.session,
                    also_to: None,
                });
                self.log.extend(self.broker.take_changes());
                link.acks.push((self.log.len(), packet_id));
            }
            server::Event::Subscribe(subscribe) => {
                let session = link.session.expect("connected");
                for (text, options) in &subscribe.filters {
                    let reason =
                        self.broker
                            .subscribe(now, session, link.number, text, *options, None);
                    assert_eq!(reason.0, 1);
                }
                self.log.extend(self.broker.take_changes());
                link.subacks.push((self.log.len(), subscribe.packet_id));
            }
            server::Event::PubAck { packet_id, .. } => {
                let session = link.session.expect("connected");
                self.broker.acknowledge(session, link.number, packet_id);
                self.gather();
            }
            other => panic!("unexpected {other:?}"),
        }
    }

    fn settle(&mut self, index: usize) {
        let durable = self.durable;
        let Some(link) = &mut self.peers[index].connection else {
            return;
        };
        while let Some((needed, packet_id)) = link.acks.first().copied()
            && needed <= durable
        {
            link.server.puback(packet_id, crate::Reason::SUCCESS);
            link.acks.remove(0);
        }
        while let Some((needed, packet_id)) = link.subacks.first().copied()
            && needed <= durable
        {
            link.server
                .suback(packet_id, vec![crate::Reason::GRANTED_QOS_1]);
            link.subacks.remove(0);
        }
    }

    fn deliver(&mut self, index: usize) {
        let now = self.now;
        let Some(link) = &mut self.peers[index].connection else {
            return;
        };
        let Some(session) = link.session else { return };
        let mut deliveries = Vec::new();
        self.broker
            .take(now, session, link.number, PORTION, &mut deliveries);
        for delivery in &deliveries {
            assert!(link.server.deliver(now, delivery));
        }
        self.gather();
    }

    fn step(&mut self) {
        self.now += self.dice.below(50) as u64;
        let index = self.dice.below(self.peers.len());
        match self.dice.below(40) {
            0 => self.drop_link(index, true),
            1 if self.dice.below(4) == 0 => self.kill(),
            2..=6 => self.connect(index),
            7..=11 => self.publish(),
            12..=15 => self.commit(),
            _ => self.exchange(index),
        }
    }

    /// Everybody connects, and everything flows until nothing moves.
    fn quiesce(&mut self) {
        for _ in 0..400 {
            for index in 0..self.peers.len() {
                self.connect(index);
                self.exchange(index);
            }
            self.commit();
            self.now += 10;
        }
    }
}

/// What a store that applied the log would give back.
fn compact(log: &[Change]) -> Vec<Change> {
    let mut sessions: Vec<Change> = Vec::new();
    let mut rest: Vec<Change> = Vec::new();
    let client = |change: &Change| match change {
        Change::Session { client_id, .. }
        | Change::SessionGone { client_id }
        | Change::Subscription { client_id, .. }
        | Change::SubscriptionGone { client_id, .. }
        | Change::Queued { client_id, .. }
        | Change::Delivered { client_id, .. } => client_id.clone(),
        _ => String::new(),
    };
    for change in log {
        let id = client(change);
        match change {
            Change::Session { .. } => {
                sessions.retain(|known| client(known) != id);
                sessions.push(change.clone());
            }
            Change::SessionGone { .. } => {
                sessions.retain(|known| client(known) != id);
                rest.retain(|known| client(known) != id);
            }
            Change::Subscription { filter, .. } => {
                rest.retain(|known| {
                    !matches!(known, Change::Subscription { client_id, filter: f, .. } if *client_id == id && f == filter)
                });
                rest.push(change.clone());
            }
            Change::Delivered { sequence, .. } => rest.retain(|known| {
                !matches!(known, Change::Queued { client_id, sequence: s, .. } if *client_id == id && s == sequence)
            }),
            _ => rest.push(change.clone()),
        }
    }
    sessions.extend(rest);
    sessions
}

/// The first time each number came, in order.
fn firsts(received: &[u64]) -> Vec<u64> {
    let mut seen = std::collections::HashSet::new();
    received
        .iter()
        .copied()
        .filter(|number| seen.insert(*number))
        .collect()
}

#[test]
fn acknowledged_messages_reach_every_persistent_subscriber_in_order() {
    let mut delivered = 0;
    for seed in 0..worlds() {
        let mut world = World::new(seed);
        // The subscribers are there before the first message.
        for _ in 0..50 {
            for index in 1..3 {
                world.connect(index);
                world.exchange(index);
            }
            world.commit();
        }
        assert!(world.peers[1].subscribed && world.peers[2].subscribed);
        for _ in 0..STEPS {
            world.step();
        }
        world.quiesce();
        let acknowledged = firsts(&world.acknowledged);
        assert_eq!(
            acknowledged.len() as u64,
            world.next_message - 1,
            "seed {seed}: a publisher waits forever"
        );
        for peer in &world.peers[1..] {
            let got = firsts(&peer.received);
            assert_eq!(
                got,
                (1..world.next_message).collect::<Vec<_>>(),
                "seed {seed}: {}",
                peer.id
            );
            delivered += got.len();
        }
        assert!(world.peers[0].received.is_empty());
    }
    // Worlds in which nothing happens prove nothing.
    assert!(delivered > 2000, "{delivered}");
}
