use super::*;
use crate::codec::fuzz::{Dice, iterations, mutate, seeds_of};
use crate::packet::{Properties, SubscribeOptions, Will};
use bytes::Bytes;

fn connect(version: Version) -> Connect {
    Connect {
        version,
        clean_start: true,
        keep_alive: 60,
        client_id: "c".into(),
        will: None,
        username: Some("?SDK=x".into()),
        password: None,
        properties: Properties::new(),
    }
}

fn publish(topic: &str, qos: Qos, packet_id: u16, properties: Vec<Property>) -> Packet {
    Packet::Publish(Publish {
        dup: false,
        qos,
        retain: false,
        topic: topic.into(),
        packet_id,
        properties: Properties(properties),
        payload: Bytes::from_static(b"x"),
    })
}

struct Peer {
    connection: Connection,
    version: Version,
}

impl Peer {
    fn opened(connect: Connect) -> Result<Peer, (Violation, Vec<Packet>)> {
        let version = connect.version;
        let mut peer = Peer {
            connection: Connection::new(Options::default(), 0),
            version,
        };
        match peer.send(&Packet::Connect(Box::new(connect))) {
            Ok(event) => assert!(matches!(event, Some(Event::Connect(_)))),
            Err(violation) => {
                peer.connection.close(violation.reason, violation.what);
                return Err((violation, peer.answers()));
            }
        }
        Ok(peer)
    }

    fn connected(connect: Connect) -> Peer {
        let mut peer = Peer::opened(connect).expect("a good CONNECT");
        peer.connection.accept(0, Acceptance::default());
        assert!(matches!(peer.answers()[..], [Packet::ConnAck(_)]));
        peer
    }

    fn send(&mut self, packet: &Packet) -> Result<Option<Event>, Violation> {
        encode(self.connection.input(), packet, self.version);
        self.connection.poll()
    }

    fn answers(&mut self) -> Vec<Packet> {
        let mut out = self.connection.output().split();
        let limits = Limits { packet: 1 << 20 };
        let mut packets = Vec::new();
        while let Some(packet) = decode(&mut out, Some(self.version), limits).expect("ours") {
            packets.push(packet);
        }
        assert!(out.is_empty());
        packets
    }

    fn refused(&mut self, packet: &Packet, reason: Reason) {
        let violation = self.send(packet).expect_err("a violation");
        assert_eq!(violation.reason, reason, "{packet:?}: {violation}");
    }
}

#[test]
fn packets_out_of_order_or_of_the_other_side_end_the_connection() {
    use Reason as R;
    for version in [Version::V311, Version::V5] {
        let check = |packet: Packet, reason: Reason| {
            Peer::connected(connect(version)).refused(&packet, reason);
        };
        check(
            Packet::Connect(Box::new(connect(version))),
            R::PROTOCOL_ERROR,
        );
        check(Packet::PingResp, R::PROTOCOL_ERROR);
        check(
            publish("t", Qos::ExactlyOnce, 1, vec![]),
            R::QOS_NOT_SUPPORTED,
        );
        check(
            publish("t/+", Qos::AtMostOnce, 0, vec![]),
            R::TOPIC_NAME_INVALID,
        );
        check(
            publish("", Qos::AtMostOnce, 0, vec![]),
            R::TOPIC_NAME_INVALID,
        );
        let ack = Ack {
            packet_id: 1,
            reason: R::SUCCESS,
            properties: Properties::new(),
        };
        check(Packet::PubRel(ack), R::PROTOCOL_ERROR);
    }
}

#[test]
fn a_refused_connect_is_answered() {
    let mut with_will = connect(Version::V5);
    with_will.will = Some(Will {
        topic: "w".into(),
        payload: Bytes::new(),
        qos: Qos::ExactlyOnce,
        retain: false,
        properties: Properties::new(),
    });
    let mut nameless = connect(Version::V311);
    nameless.client_id = "".into();
    nameless.clean_start = false;
    let mut enhanced = connect(Version::V5);
    enhanced.properties = Properties::new().with(Property::AuthenticationMethod("x".into()));
    for (connect, reason) in [
        (with_will, Reason::QOS_NOT_SUPPORTED),
        (nameless, Reason::CLIENT_IDENTIFIER_NOT_VALID),
        (enhanced, Reason::BAD_AUTHENTICATION_METHOD),
    ] {
        let Err((violation, answers)) = Peer::opened(connect) else {
            panic!("accepted");
        };
        assert_eq!(violation.reason, reason);
        let [Packet::ConnAck(connack)] = &answers[..] else {
            panic!("{answers:?}");
        };
        assert_eq!(connack.reason, reason);
    }
    // A version that nobody speaks gets the return code of 3.1.1.
    let mut connection = Connection::new(Options::default(), 0);
    let bytes = [0x10, 12, 0, 4, b'M', b'Q', b'T', b'T', 9, 2, 0, 0, 0, 0];
    connection.input().extend_from_slice(&bytes);
    let violation = connection.poll().expect_err("a strange version");
    connection.close(violation.reason, "");
    assert_eq!(&connection.output()[..], [0x20, 2, 0, 1]);
}

#[test]
fn aliases_stand_for_topics_both_ways() {
    let mut asking = connect(Version::V5);
    asking.properties = Properties::new().with(Property::TopicAliasMaximum(1));
    let mut peer = Peer::connected(asking);
    let alias = |number| vec![Property::TopicAlias(number)];
    let mut topic_of = |packet: Packet| match peer.send(&packet) {
        Ok(Some(Event::Publish(publish))) => Ok(publish.topic.to_string()),
        Ok(other) => panic!("{other:?}"),
        Err(violation) => Err(violation.reason),
    };
    let zero = Qos::AtMostOnce;
    assert_eq!(topic_of(publish("a", zero, 0, alias(8))), Ok("a".into()));
    assert_eq!(topic_of(publish("", zero, 0, alias(8))), Ok("a".into()));
    assert_eq!(topic_of(publish("b", zero, 0, alias(8))), Ok("b".into()));
    assert_eq!(topic_of(publish("", zero, 0, alias(8))), Ok("b".into()));
    for (number, reason) in [
        (0, Reason::TOPIC_ALIAS_INVALID),
        (9, Reason::TOPIC_ALIAS_INVALID),
        (7, Reason::PROTOCOL_ERROR),
    ] {
        Peer::connected(connect(Version::V5)).refused(&publish("", zero, 0, alias(number)), reason);
    }
    let mut seen = Vec::new();
    for topic in ["x", "y", "x"] {
        assert!(peer.connection.deliver(0, &delivery(topic, 10)));
    }
    for packet in peer.answers() {
        let Packet::Publish(publish) = packet else {
            panic!("{packet:?}");
        };
        let alias = publish.properties.topic_alias().copied();
        seen.push((publish.topic.to_string(), alias));
    }
    assert_eq!(
        seen,
        [
            ("x".into(), Some(1)),
            ("y".into(), None),
            (String::new(), Some(1))
        ]
    );
}

fn delivery(topic: &str, size: usize) -> Delivery {
    Delivery {
        message: std::sync::Arc::new(crate::broker::Message {
            topic: topic.into(),
            payload: Bytes::from(vec![0; size]),
            qos: Qos::AtMostOnce,
            retain: false,
            properties: Properties::new(),
            expires_at: None,
        }),
        qos: Qos::AtMostOnce,
        retain: false,
        dup: false,
        packet_id: 0,
        identifiers: None,
    }
}

#[test]
fn messages_larger_than_the_client_takes_are_left_out() {
    let mut small = connect(Version::V5);
    small.properties = Properties::new().with(Property::MaximumPacketSize(50));
    let mut peer = Peer::connected(small);
    assert!(!peer.connection.deliver(0, &delivery("t", 100)));
    assert!(peer.connection.deliver(0, &delivery("t", 10)));
    assert_eq!(peer.answers().len(), 1);
}

#[test]
fn the_receive_maximum_binds_mqtt_5_clients() {
    let mut peer = Peer::connected(connect(Version::V5));
    for id in 1..=100 {
        let packet = publish("t", Qos::AtLeastOnce, id, vec![]);
        assert!(peer.send(&packet).expect("within the maximum").is_some());
    }
    peer.connection.puback(1, Reason::SUCCESS);
    let packet = publish("t", Qos::AtLeastOnce, 101, vec![]);
    assert!(peer.send(&packet).expect("one was answered").is_some());
    peer.refused(
        &publish("t", Qos::AtLeastOnce, 102, vec![]),
        Reason::RECEIVE_MAXIMUM_EXCEEDED,
    );
}

#[test]
fn silence_ends_the_connection_after_one_and_a_half_keep_alives() {
    let mut waiting = Connection::new(Options::default(), 0);
    assert!(waiting.handle_timeout(9_999).is_ok());
    assert!(waiting.handle_timeout(10_000).is_err());
    for (asked, granted) in [(60, 60), (5, 30), (0, 1200), (9999, 1200)] {
        let mut asking = connect(Version::V5);
        asking.keep_alive = asked;
        let mut peer = Peer::connected(asking);
        let patience = granted * 1500;
        assert_eq!(peer.connection.next_timeout(), Some(patience));
        peer.connection.heard(7);
        assert!(peer.connection.handle_timeout(patience + 6).is_ok());
        let late = peer.connection.handle_timeout(patience + 7);
        assert_eq!(
            late.expect_err("silence").reason,
            Reason::KEEP_ALIVE_TIMEOUT
        );
    }
}

#[test]
fn pings_are_answered_and_a_disconnect_is_the_last_word() {
    let mut asking = connect(Version::V5);
    asking.properties = Properties::new().with(Property::SessionExpiryInterval(100));
    let mut peer = Peer::connected(asking);
    assert_eq!(peer.send(&Packet::PingReq), Ok(None));
    assert_eq!(peer.answers(), [Packet::PingResp]);
    let goodbye = Packet::Disconnect(Disconnect {
        reason: Reason::DISCONNECT_WITH_WILL,
        properties: Properties::new().with(Property::SessionExpiryInterval(0)),
    });
    assert_eq!(
        peer.send(&goodbye),
        Ok(Some(Event::Disconnect {
            with_will: true,
            session_expiry: Some(0)
        }))
    );
    assert_eq!(peer.send(&Packet::PingReq), Ok(None));
    assert!(peer.answers().is_empty());
    let mut short = Peer::connected(connect(Version::V5));
    let longer = Packet::Disconnect(Disconnect {
        reason: Reason::SUCCESS,
        properties: Properties::new().with(Property::SessionExpiryInterval(5)),
    });
    short.refused(&longer, Reason::PROTOCOL_ERROR);
}

#[test]
fn only_a_normal_goodbye_takes_the_will_back() {
    for (reason, with_will) in [
        (Reason::SUCCESS, false),
        (Reason::DISCONNECT_WITH_WILL, true),
        (Reason::UNSPECIFIED_ERROR, true),
        (Reason::PACKET_TOO_LARGE, true),
    ] {
        let mut peer = Peer::connected(connect(Version::V5));
        let goodbye = Packet::Disconnect(Disconnect {
            reason,
            properties: Properties::new(),
        });
        let expected = Event::Disconnect {
            with_will,
            session_expiry: None,
        };
        assert_eq!(peer.send(&goodbye), Ok(Some(expected)));
    }
}

#[test]
fn a_response_topic_with_a_wildcard_is_refused() {
    for topic in ["a/+", "#", ""] {
        let property = Property::ResponseTopic(topic.into());
        Peer::connected(connect(Version::V5)).refused(
            &publish("t", Qos::AtMostOnce, 0, vec![property.clone()]),
            Reason::PROTOCOL_ERROR,
        );
        let mut with_will = connect(Version::V5);
        with_will.will = Some(Will {
            topic: "w".into(),
            payload: Bytes::new(),
            qos: Qos::AtMostOnce,
            retain: false,
            properties: Properties::new().with(property),
        });
        let refused = Peer::opened(with_will);
        assert!(
            matches!(refused, Err((violation, _)) if violation.reason == Reason::PROTOCOL_ERROR)
        );
    }
}

#[test]
fn subscriptions_that_cannot_be_are_refused() {
    let mut peer = Peer::connected(connect(Version::V5));
    let subscribe = |filter: &str, no_local: bool, properties: Properties| {
        Packet::Subscribe(Subscribe {
            packet_id: 1,
            properties,
            filters: vec![(
                filter.into(),
                SubscribeOptions {
                    no_local,
                    ..SubscribeOptions::default()
                },
            )],
        })
    };
    peer.refused(
        &subscribe("$share/g/t", true, Properties::new()),
        Reason::PROTOCOL_ERROR,
    );
    let mut peer = Peer::connected(connect(Version::V5));
    let identified = Properties::new().with(Property::SubscriptionIdentifier(1));
    peer.refused(
        &subscribe("t", false, identified),
        Reason::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
    );
}

#[test]
fn a_client_that_wants_no_reasons_gets_none() {
    let mut quiet = connect(Version::V5);
    quiet.properties = Properties::new().with(Property::RequestProblemInformation(0));
    for (connect, texts) in [(quiet, 0), (connect(Version::V5), 1)] {
        let mut peer = Peer::connected(connect);
        peer.connection.close(Reason::PROTOCOL_ERROR, "why");
        let [Packet::Disconnect(disconnect)] = &peer.answers()[..] else {
            panic!("no DISCONNECT");
        };
        assert_eq!(disconnect.properties.0.len(), texts);
    }
    let mut old = Peer::connected(connect(Version::V311));
    old.connection.close(Reason::PROTOCOL_ERROR, "why");
    assert!(old.answers().is_empty());
}

/// The session core behind the decoder: whole conversations of mutated packets.
#[test]
fn no_conversation_makes_a_connection_panic() {
    // PUBLISH, PUBACK, SUBSCRIBE, UNSUBSCRIBE, PINGREQ, DISCONNECT.
    let mut seeds = seeds_of(&[3, 4, 8, 10, 12, 14]);
    for id in 1..60 {
        let mut out = BytesMut::new();
        let packet = publish(
            "t/a",
            Qos::AtLeastOnce,
            id,
            vec![Property::TopicAlias(id % 9)],
        );
        encode(
            &mut out,
            &packet,
            if id % 3 == 0 {
                Version::V311
            } else {
                Version::V5
            },
        );
        seeds.push(out.to_vec());
    }
    let mut dice = Dice(2);
    let mut events = 0u64;
    for round in 0..iterations() / 8 {
        let version = if round % 2 == 0 {
            Version::V5
        } else {
            Version::V311
        };
        let mut peer = Peer::connected(connect(version));
        for _ in 0..8 {
            let bytes = match dice.below(2) {
                0 => mutate(&mut dice, &seeds),
                _ => seeds[dice.below(seeds.len())].clone(),
            };
            peer.connection.input().extend_from_slice(&bytes);
            match peer.connection.poll() {
                Ok(Some(event)) => {
                    events += 1;
                    if let Event::Publish(publish) = event {
                        assert!(crate::topic::is_valid_topic(&publish.topic));
                        let message = crate::broker::Message::of(publish, 0);
                        let mut copy = delivery("t", 1);
                        copy.message = std::sync::Arc::new(message);
                        peer.connection.deliver(0, &copy);
                    }
                }
                Ok(None) => {}
                Err(violation) => {
                    peer.connection.close(violation.reason, violation.what);
                    break;
                }
            }
        }
    }
    assert!(events > iterations() / 20, "{events}");
}
