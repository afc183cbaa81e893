use super::*;
use crate::codec::fuzz::{Dice, iterations, mutate, seeds_of};
use bytes::Bytes;

struct World {
    client: Client,
    version: Version,
    now: u64,
}

impl World {
    fn new(version: Version) -> World {
        World {
            client: Client::new(ClientOptions::new("core1", version)),
            version,
            now: 1000,
        }
    }

    fn connected(version: Version) -> World {
        let mut world = World::new(version);
        world.client.start(world.now, true);
        world.sent();
        world.let_in(false, Properties::new());
        world
    }

    fn let_in(&mut self, session_present: bool, properties: Properties) {
        let event = self.receive(&Packet::ConnAck(ConnAck {
            session_present,
            reason: Reason::SUCCESS,
            properties,
        }));
        assert_eq!(event, Ok(Some(Event::Connected { session_present })));
    }

    fn receive(&mut self, packet: &Packet) -> Result<Option<Event>, Violation> {
        encode(self.client.input(), packet, self.version);
        self.client.poll(self.now)
    }

    fn sent(&mut self) -> Vec<Packet> {
        let mut out = self.client.output().split();
        let limits = Limits { packet: 1 << 20 };
        let mut packets = Vec::new();
        loop {
            let version = (out.first() != Some(&0x10)).then_some(self.version);
            match decode(&mut out, version, limits).expect("ours") {
                Some(packet) => packets.push(packet),
                None => return packets,
            }
        }
    }

    fn publish(&mut self, token: u64, qos: Qos) {
        let publish = message("t", qos, 0);
        assert_eq!(self.client.publish(self.now, token, publish), Outcome::Sent);
    }
}

fn message(topic: &str, qos: Qos, packet_id: u16) -> Publish {
    Publish {
        dup: false,
        qos,
        retain: false,
        topic: topic.into(),
        packet_id,
        properties: Properties::new(),
        payload: Bytes::from_static(b"x"),
    }
}

fn puback(packet_id: u16) -> Packet {
    Packet::PubAck(Ack {
        packet_id,
        reason: Reason::SUCCESS,
        properties: Properties::new(),
    })
}

#[test]
fn connect_is_what_the_nucleus_sends() {
    let mut world = World::new(Version::V5);
    world.client.start(0, true);
    let [Packet::Connect(connect)] = &world.sent()[..] else {
        panic!("no CONNECT");
    };
    assert_eq!(connect.client_id, "core1");
    assert!(connect.clean_start && connect.password.is_none());
    assert_eq!(connect.keep_alive, 60);
    assert_eq!(
        connect.properties.0,
        [
            Property::SessionExpiryInterval(604_800),
            Property::ReceiveMaximum(100),
            Property::RequestProblemInformation(1),
        ]
    );
}

#[test]
fn unacknowledged_messages_are_sent_again_with_their_identifiers() {
    for session_present in [true, false] {
        let mut world = World::connected(Version::V5);
        for token in 1..=3 {
            world.publish(token, Qos::AtLeastOnce);
        }
        world.publish(4, Qos::AtMostOnce);
        assert_eq!(world.sent().len(), 4);
        assert_eq!(
            world.receive(&puback(2)),
            Ok(Some(Event::Published {
                token: 2,
                reason: Reason::SUCCESS
            }))
        );
        assert_eq!(world.receive(&puback(2)), Ok(None));
        world.client.lost();
        assert!(!world.client.has_room());
        world.client.start(world.now, false);
        world.sent();
        world.let_in(session_present, Properties::new());
        let again: Vec<(u16, bool)> = world
            .sent()
            .into_iter()
            .map(|packet| match packet {
                Packet::Publish(publish) => (publish.packet_id, publish.dup),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(again, [(1, session_present), (3, session_present)]);
        assert_eq!(world.client.in_flight(), 2);
    }
}

#[test]
fn the_smaller_window_counts() {
    let mut world = World::new(Version::V5);
    world.client.start(0, true);
    world.let_in(false, Properties::new().with(Property::ReceiveMaximum(2)));
    world.publish(1, Qos::AtLeastOnce);
    assert!(world.client.has_room());
    world.publish(2, Qos::AtLeastOnce);
    assert!(!world.client.has_room());
    world.receive(&puback(1)).expect("an answer");
    assert!(world.client.has_room());
}

#[test]
fn what_the_server_said_it_does_not_take_is_not_sent() {
    let mut world = World::new(Version::V5);
    world.client.start(0, true);
    let granted = Properties::new()
        .with(Property::MaximumPacketSize(20))
        .with(Property::RetainAvailable(0));
    world.let_in(false, granted);
    world.sent();
    let mut large = message("t", Qos::AtLeastOnce, 0);
    large.payload = Bytes::from(vec![0; 100]);
    assert_eq!(
        world.client.publish(0, 1, large),
        Outcome::Refused(Reason::PACKET_TOO_LARGE)
    );
    let mut retained = message("t", Qos::AtLeastOnce, 0);
    retained.retain = true;
    assert_eq!(
        world.client.publish(0, 1, retained),
        Outcome::Refused(Reason::RETAIN_NOT_SUPPORTED)
    );
    assert!(world.sent().is_empty());
}

#[test]
fn pings_keep_the_connection_and_find_a_silent_server() {
    let mut world = World::connected(Version::V311);
    assert_eq!(world.client.next_timeout(), Some(61_000));
    world.now = 61_000;
    assert_eq!(world.client.handle_timeout(world.now), Ok(None));
    assert_eq!(world.sent(), [Packet::PingReq]);
    assert_eq!(world.client.next_timeout(), Some(91_000));
    world.receive(&Packet::PingResp).expect("a ping's answer");
    assert_eq!(world.client.next_timeout(), Some(121_000));
    world.now = 121_000;
    world.client.handle_timeout(world.now).expect("a ping");
    world.now = 151_000;
    let late = world.client.handle_timeout(world.now);
    assert_eq!(
        late.expect_err("silence").reason,
        Reason::KEEP_ALIVE_TIMEOUT
    );
}

#[test]
fn who_only_sends_still_asks_whether_the_server_is_there() {
    let mut world = World::connected(Version::V5);
    // QoS 0 all the time, and not a word from the server.
    for _ in 0..6 {
        world.now += 10_000;
        world.publish(1, Qos::AtMostOnce);
    }
    world.sent();
    assert_eq!(world.client.handle_timeout(world.now), Ok(None));
    assert_eq!(world.sent(), [Packet::PingReq]);
    world.now += 29_999;
    world.publish(1, Qos::AtMostOnce);
    assert_eq!(world.client.next_timeout(), Some(world.now + 1));
    world.now += 1;
    assert!(world.client.handle_timeout(world.now).is_err());
}

#[test]
fn a_server_that_is_heard_is_not_lost_because_a_pings_answer_is_late() {
    let mut world = World::connected(Version::V5);
    world.now += 60_000;
    world.client.handle_timeout(world.now).expect("a ping");
    // A large message comes slowly.
    for _ in 0..10 {
        world.now += 20_000;
        world.client.heard(world.now);
        assert_eq!(world.client.handle_timeout(world.now), Ok(None));
    }
    world.receive(&Packet::PingResp).expect("a late answer");
    assert_eq!(world.client.next_timeout(), Some(121_000));
}

#[test]
fn the_servers_keep_alive_replaces_ours() {
    let mut world = World::new(Version::V5);
    world.client.start(1000, true);
    world.let_in(false, Properties::new().with(Property::ServerKeepAlive(10)));
    assert_eq!(world.client.next_timeout(), Some(11_000));
}

#[test]
fn operations_are_answered_time_out_or_are_lost() {
    let mut world = World::connected(Version::V5);
    let filters = || vec![(Text::from("t"), SubscribeOptions::default())];
    world.client.subscribe(world.now, 7, filters());
    world.client.subscribe(world.now, 8, filters());
    world.client.unsubscribe(world.now, 9, vec!["t".into()]);
    let ids: Vec<u16> = world
        .sent()
        .into_iter()
        .map(|packet| match packet {
            Packet::Subscribe(subscribe) => subscribe.packet_id,
            Packet::Unsubscribe(unsubscribe) => unsubscribe.packet_id,
            other => panic!("{other:?}"),
        })
        .collect();
    let answer = Packet::SubAck(SubAck {
        packet_id: ids[0],
        properties: Properties::new(),
        reasons: vec![Reason::NOT_AUTHORIZED],
    });
    assert_eq!(
        world.receive(&answer),
        Ok(Some(Event::Subscribed {
            token: 7,
            reasons: vec![Reason::NOT_AUTHORIZED]
        }))
    );
    world.now += 30_000;
    assert_eq!(
        world.client.handle_timeout(world.now),
        Ok(Some(Event::TimedOut { token: 8 }))
    );
    assert_eq!(world.client.lost(), [9]);
}

#[test]
fn messages_with_identifiers_are_acknowledged() {
    let mut world = World::connected(Version::V5);
    let event = world.receive(&Packet::Publish(message("t", Qos::AtLeastOnce, 9)));
    let Ok(Some(Event::Message(publish))) = event else {
        panic!("{event:?}");
    };
    world.client.acknowledge(world.now, publish.packet_id);
    world.client.acknowledge(world.now, 0);
    assert_eq!(world.sent(), [puback(9)]);
}

#[test]
fn a_server_that_breaks_the_rules_is_left() {
    let violation = |packet: Packet, reason: Reason| {
        let error = World::connected(Version::V5).receive(&packet);
        assert_eq!(error.expect_err("a violation").reason, reason);
    };
    violation(Packet::PingReq, Reason::PROTOCOL_ERROR);
    violation(
        Packet::Publish(message("t", Qos::ExactlyOnce, 1)),
        Reason::QOS_NOT_SUPPORTED,
    );
    violation(
        Packet::Publish(message("t/#", Qos::AtMostOnce, 0)),
        Reason::TOPIC_NAME_INVALID,
    );
    let mut aliased = message("t", Qos::AtMostOnce, 0);
    aliased.properties = Properties::new().with(Property::TopicAlias(1));
    violation(Packet::Publish(aliased), Reason::TOPIC_ALIAS_INVALID);
    let mut early = World::new(Version::V5);
    early.client.start(0, true);
    assert!(early.receive(&Packet::PingResp).is_err());
    assert_eq!(early.client.next_timeout(), Some(30_000));
    assert!(early.client.handle_timeout(30_000).is_err());
}

#[test]
fn refusals_and_farewells_carry_their_reason() {
    let mut world = World::new(Version::V5);
    world.client.start(0, true);
    let refusal = Packet::ConnAck(ConnAck {
        session_present: false,
        reason: Reason::NOT_AUTHORIZED,
        properties: Properties::new().with(Property::ReasonString("no policy".into())),
    });
    assert_eq!(
        world.receive(&refusal),
        Ok(Some(Event::Refused {
            reason: Reason::NOT_AUTHORIZED,
            text: Some("no policy".into())
        }))
    );
    let mut world = World::connected(Version::V5);
    let farewell = Packet::Disconnect(Disconnect {
        reason: Reason::SESSION_TAKEN_OVER,
        properties: Properties::new(),
    });
    assert_eq!(
        world.receive(&farewell),
        Ok(Some(Event::Closed {
            reason: Reason::SESSION_TAKEN_OVER,
            text: None
        }))
    );
}

#[test]
fn no_server_makes_a_client_panic() {
    // PUBLISH, PUBACK, SUBACK, UNSUBACK, PINGRESP, DISCONNECT.
    let mut seeds = seeds_of(&[3, 4, 9, 11, 13, 14]);
    for id in 1..60 {
        let mut out = BytesMut::new();
        let packet = Packet::Publish(message("t/a", Qos::AtLeastOnce, id));
        encode(
            &mut out,
            &packet,
            if id % 2 == 0 {
                Version::V311
            } else {
                Version::V5
            },
        );
        seeds.push(out.to_vec());
    }
    let mut dice = Dice(3);
    let mut events = 0u64;
    for round in 0..iterations() / 8 {
        let version = if round % 2 == 0 {
            Version::V5
        } else {
            Version::V311
        };
        let mut world = World::connected(version);
        world.publish(1, Qos::AtLeastOnce);
        for _ in 0..8 {
            let bytes = match dice.below(2) {
                0 => mutate(&mut dice, &seeds),
                _ => seeds[dice.below(seeds.len())].clone(),
            };
            world.client.input().extend_from_slice(&bytes);
            match world.client.poll(world.now) {
                Ok(event) => events += u64::from(event.is_some()),
                Err(_) => break,
            }
        }
    }
    assert!(events > iterations() / 40, "{events}");
}
