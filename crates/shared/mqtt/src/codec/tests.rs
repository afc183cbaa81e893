use super::*;
use crate::packet::*;
use crate::{Violation, packet::Property};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

pub(super) const LIMITS: Limits = Limits { packet: 1 << 20 };

fn one(hex: &str, version: Option<Version>) -> Result<Option<Packet>, Violation> {
    let bytes: Vec<u8> = hex
        .split_whitespace()
        .map(|byte| u8::from_str_radix(byte, 16).expect("hex"))
        .collect();
    decode(&mut BytesMut::from(&bytes[..]), version, LIMITS)
}

#[test]
fn malformed_packets_are_refused_with_the_reason() {
    let v5 = Some(Version::V5);
    let v3 = Some(Version::V311);
    let check = |hex: &str, version: Option<Version>, reason: Reason| {
        let error = one(hex, version).expect_err(hex);
        assert_eq!(error.reason, reason, "{hex}: {error}");
    };
    use Reason as R;
    check("30 00", None, R::PROTOCOL_ERROR); // not CONNECT first
    check("10 ff ff ff ff", None, R::MALFORMED_PACKET); // five-byte length
    check("10 ff ff ff 7f", None, R::PACKET_TOO_LARGE);
    check("11 00", None, R::PROTOCOL_ERROR); // flags on CONNECT
    check(
        "10 0a 00 04 4d 51 54 54 03 02 00 00",
        None,
        R::UNSUPPORTED_PROTOCOL_VERSION,
    );
    check(
        "10 0c 00 04 4d 51 54 54 04 03 00 00 00 00",
        None,
        R::MALFORMED_PACKET,
    ); // reserved flag
    check(
        "10 0c 00 04 4d 51 54 54 04 42 00 00 00 00",
        None,
        R::MALFORMED_PACKET,
    ); // password alone
    check(
        "10 0c 00 04 4d 51 54 54 04 0a 00 00 00 00",
        None,
        R::MALFORMED_PACKET,
    ); // will QoS, no will
    check(
        "10 0c 00 04 4d 51 54 54 04 1e 00 00 00 00",
        None,
        R::MALFORMED_PACKET,
    ); // will QoS 3
    check("36 05 00 01 61 00 01", v3, R::MALFORMED_PACKET); // QoS 3
    check("32 05 00 01 61 00 00", v3, R::PROTOCOL_ERROR); // packet identifier 0
    check("38 03 00 01 61", v3, R::MALFORMED_PACKET); // DUP on QoS 0
    check("30 04 00 02 61 00", v3, R::MALFORMED_PACKET); // U+0000
    check("30 04 00 02 c3 28", v3, R::MALFORMED_PACKET); // not UTF-8
    check("30 02 00 05", v3, R::MALFORMED_PACKET); // short
    check("80 06 00 01 00 01 61 00", v3, R::MALFORMED_PACKET); // flags of SUBSCRIBE
    check("82 02 00 01", v3, R::PROTOCOL_ERROR); // no filter
    check("82 06 00 01 00 01 61 03", v3, R::MALFORMED_PACKET); // QoS 3
    check("82 06 00 01 00 01 61 04", v3, R::MALFORMED_PACKET); // reserved
    check("82 07 00 01 00 00 01 61 30", v5, R::PROTOCOL_ERROR); // retain handling 3
    check("f0 00", v3, R::MALFORMED_PACKET); // no AUTH in 3.1.1
    check("00 00", v3, R::MALFORMED_PACKET);
    check("c0 01 00", v3, R::MALFORMED_PACKET); // PINGREQ with a body
    check("e0 02 00 00", v3, R::MALFORMED_PACKET); // DISCONNECT with a body in 3.1.1
    check("30 07 00 01 61 02 2a 01 00", v5, R::PROTOCOL_ERROR); // property of another packet
    check("30 06 00 01 61 02 7f 00", v5, R::MALFORMED_PACKET); // unknown property
    check("30 08 00 01 61 04 01 00 01 00", v5, R::PROTOCOL_ERROR); // twice
    check("30 06 00 01 61 02 01 02", v5, R::PROTOCOL_ERROR); // neither 0 nor 1
    check("30 06 00 01 61 02 0b 00", v5, R::PROTOCOL_ERROR); // subscription identifier 0
    check("30 04 00 01 61 05", v5, R::MALFORMED_PACKET); // property block too long
}

#[test]
fn a_topic_alias_maximum_of_zero_and_a_user_name_without_password_are_legal() {
    let packet = one(
        "10 16 00 04 4d 51 54 54 05 82 00 3c 03 22 00 00 00 01 63 00 03 3f 61 62",
        None,
    )
    .expect("legal")
    .expect("whole");
    let Packet::Connect(connect) = packet else {
        panic!("{packet:?}");
    };
    assert_eq!(connect.properties.topic_alias_maximum(), Some(&0));
    assert_eq!(connect.username.as_deref(), Some("?ab"));
    assert_eq!(connect.password, None);
    assert_eq!(connect.keep_alive, 60);
}

#[test]
fn a_packet_is_taken_only_when_whole() {
    let mut whole = BytesMut::new();
    let packet = Packet::Publish(Publish {
        dup: false,
        qos: Qos::AtLeastOnce,
        retain: true,
        topic: "a/b".into(),
        packet_id: 7,
        properties: Properties::new(),
        payload: Bytes::from(vec![1; 300]),
    });
    encode(&mut whole, &packet, Version::V5);
    let mut buffer = BytesMut::new();
    for (index, byte) in whole.iter().enumerate() {
        buffer.extend_from_slice(&[*byte]);
        let decoded = decode(&mut buffer, Some(Version::V5), LIMITS).expect("well-formed");
        assert_eq!(decoded.is_some(), index + 1 == whole.len(), "at {index}");
        if let Some(decoded) = decoded {
            assert_eq!(decoded, packet);
        }
    }
    assert!(buffer.is_empty());
}

fn text() -> impl Strategy<Value = Text> {
    "[a-zä/+#$]{0,12}".prop_map(Text::from)
}

fn binary() -> impl Strategy<Value = Bytes> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

fn qos() -> impl Strategy<Value = Qos> {
    (0u8..3).prop_map(|bits| Qos::from_bits(bits).expect("in range"))
}

fn publish_properties() -> impl Strategy<Value = Properties> {
    (
        prop::option::of((0u8..2, any::<u32>(), text(), text(), binary())),
        prop::collection::vec((text(), text()), 0..3),
        prop::collection::vec(1u32..268_435_456, 0..3),
        prop::option::of(any::<u16>()),
    )
        .prop_map(|(some, pairs, ids, alias)| {
            let mut list = Vec::new();
            if let Some((format, expiry, kind, topic, data)) = some {
                list.extend([
                    Property::PayloadFormatIndicator(format),
                    Property::MessageExpiryInterval(expiry),
                    Property::ContentType(kind),
                    Property::ResponseTopic(topic),
                    Property::CorrelationData(data),
                ]);
            }
            list.extend(pairs.into_iter().map(|(k, v)| Property::UserProperty(k, v)));
            list.extend(ids.into_iter().map(Property::SubscriptionIdentifier));
            list.extend(alias.map(Property::TopicAlias));
            Properties(list)
        })
}

fn reasons() -> impl Strategy<Value = Vec<Reason>> {
    prop::collection::vec((0u8..3).prop_map(Reason), 1..4)
}

pub(super) fn any_packet() -> impl Strategy<Value = Packet> {
    let message = (
        any::<bool>(),
        qos(),
        any::<bool>(),
        text(),
        1u16..,
        publish_properties(),
        binary(),
    )
        .prop_map(|(dup, qos, retain, topic, id, properties, payload)| {
            Packet::Publish(Publish {
                dup: dup && qos != Qos::AtMostOnce,
                qos,
                retain,
                topic,
                packet_id: if qos == Qos::AtMostOnce { 0 } else { id },
                properties,
                payload,
            })
        });
    let options =
        (qos(), any::<bool>(), any::<bool>(), 0u8..3).prop_map(|(qos, a, b, handling)| {
            SubscribeOptions {
                qos,
                no_local: a,
                retain_as_published: b,
                retain_handling: match handling {
                    0 => RetainHandling::Always,
                    1 => RetainHandling::OnlyNew,
                    _ => RetainHandling::Never,
                },
            }
        });
    let will = (
        text(),
        binary(),
        qos(),
        any::<bool>(),
        prop::option::of(any::<u32>()),
    )
        .prop_map(|(topic, payload, qos, retain, delay)| Will {
            topic,
            payload,
            qos,
            retain,
            properties: Properties::new().with_some(delay.map(Property::WillDelayInterval)),
        });
    let connect = (
        any::<bool>(),
        any::<u16>(),
        text(),
        prop::option::of(will),
        prop::option::of(text()),
        prop::option::of(binary()),
        prop::option::of((any::<u32>(), 1u16.., any::<u16>(), 1u32..)),
    )
        .prop_map(
            |(clean_start, keep_alive, client_id, will, username, password, some)| {
                Packet::Connect(Box::new(Connect {
                    version: Version::V5,
                    clean_start,
                    keep_alive,
                    client_id,
                    will,
                    username,
                    password,
                    properties: some.map_or_else(Properties::new, |(expiry, max, alias, size)| {
                        Properties(vec![
                            Property::SessionExpiryInterval(expiry),
                            Property::ReceiveMaximum(max),
                            Property::TopicAliasMaximum(alias),
                            Property::MaximumPacketSize(size),
                        ])
                    }),
                }))
            },
        );
    let connack =
        (any::<bool>(), 0u8..6, prop::option::of(text())).prop_map(|(present, code, id)| {
            Packet::ConnAck(ConnAck {
                session_present: present,
                reason: Reason::from_return_code(code).expect("in range"),
                properties: Properties::new().with_some(id.map(Property::AssignedClientIdentifier)),
            })
        });
    let ack =
        (1u16.., any::<u8>(), prop::option::of(text())).prop_map(|(packet_id, reason, text)| {
            Packet::PubAck(Ack {
                packet_id,
                reason: Reason(reason),
                properties: Properties::new().with_some(text.map(Property::ReasonString)),
            })
        });
    let subscribe = (1u16.., prop::collection::vec((text(), options), 1..4)).prop_map(
        |(packet_id, filters)| {
            Packet::Subscribe(Subscribe {
                packet_id,
                properties: Properties::new(),
                filters,
            })
        },
    );
    let unsubscribe =
        (1u16.., prop::collection::vec(text(), 1..4)).prop_map(|(packet_id, filters)| {
            Packet::Unsubscribe(Unsubscribe {
                packet_id,
                properties: Properties::new(),
                filters,
            })
        });
    let suback = (1u16.., reasons(), any::<bool>()).prop_map(|(packet_id, reasons, un)| {
        let ack = SubAck {
            packet_id,
            properties: Properties::new(),
            reasons,
        };
        if un {
            Packet::UnsubAck(ack)
        } else {
            Packet::SubAck(ack)
        }
    });
    let disconnect =
        (any::<u8>(), prop::option::of(text()), any::<bool>()).prop_map(|(reason, text, auth)| {
            let packet = Disconnect {
                reason: Reason(reason),
                properties: Properties::new().with_some(text.map(Property::ReasonString)),
            };
            if auth {
                Packet::Auth(packet)
            } else {
                Packet::Disconnect(packet)
            }
        });
    prop_oneof![
        message,
        connect,
        connack,
        ack,
        subscribe,
        unsubscribe,
        suback,
        disconnect,
        Just(Packet::PingReq),
        Just(Packet::PingResp),
    ]
}

proptest! {
    /// Whatever is written is read back, for both versions where 3.1.1 can say it.
    #[test]
    fn what_is_written_is_read_back(packets in prop::collection::vec(any_packet(), 1..5)) {
        let mut buffer = BytesMut::new();
        for packet in &packets {
            encode(&mut buffer, packet, Version::V5);
        }
        for packet in &packets {
            let read = decode(&mut buffer, Some(Version::V5), LIMITS).expect("well-formed");
            prop_assert_eq!(read.as_ref(), Some(packet));
        }
        prop_assert!(buffer.is_empty());
        for packet in &packets {
            if matches!(packet, Packet::Auth(_)) { continue }
            if let Packet::Connect(connect) = packet && connect.password.is_some() && connect.username.is_none() { continue }
            let plain = plain(packet.clone());
            encode(&mut buffer, &plain, Version::V311);
            let version = if matches!(plain, Packet::Connect(_)) { None } else { Some(Version::V311) };
            let read = decode(&mut buffer, version, LIMITS).expect("well-formed");
            prop_assert_eq!(read, Some(plain));
        }
    }
}

/// The packet without what 3.1.1 cannot say.
fn plain(packet: Packet) -> Packet {
    let options = |options: SubscribeOptions| SubscribeOptions {
        qos: options.qos,
        ..SubscribeOptions::default()
    };
    match packet {
        Packet::Connect(mut connect) => {
            connect.version = Version::V311;
            connect.properties = Properties::new();
            if let Some(will) = &mut connect.will {
                will.properties = Properties::new();
            }
            Packet::Connect(connect)
        }
        Packet::ConnAck(connack) => Packet::ConnAck(ConnAck {
            properties: Properties::new(),
            ..connack
        }),
        Packet::Publish(publish) => Packet::Publish(Publish {
            properties: Properties::new(),
            ..publish
        }),
        Packet::PubAck(ack) => Packet::PubAck(Ack {
            reason: Reason::SUCCESS,
            properties: Properties::new(),
            ..ack
        }),
        Packet::Subscribe(subscribe) => Packet::Subscribe(Subscribe {
            filters: subscribe
                .filters
                .into_iter()
                .map(|(f, o)| (f, options(o)))
                .collect(),
            ..subscribe
        }),
        Packet::UnsubAck(ack) => Packet::UnsubAck(SubAck {
            reasons: Vec::new(),
            ..ack
        }),
        Packet::Disconnect(_) => Packet::Disconnect(Disconnect {
            reason: Reason::SUCCESS,
            properties: Properties::new(),
        }),
        other => other,
    }
}
