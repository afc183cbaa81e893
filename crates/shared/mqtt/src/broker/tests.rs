use super::*;
use crate::packet::{Properties, Property, Qos, Reason, RetainHandling, Text};
use bytes::Bytes;

const EXPIRY: u32 = 60;
const PLENTY: Portion = Portion {
    messages: 1000,
    bytes: usize::MAX,
};

struct Fixture {
    broker: Broker<&'static str>,
    now: u64,
    next: ConnectionId,
}

#[derive(Clone, Copy)]
struct Connected1 {
    key: SessionKey,
    connection: ConnectionId,
    present: bool,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture {
            broker: Broker::new(Config::default()),
            now: 1_000_000,
            next: 1,
        }
    }

    fn connect(&mut self, id: &'static str, clean: bool, expiry: u32) -> Connected1 {
        self.connect_with(id, clean, expiry, None, 100)
    }

    fn connect_with(
        &mut self,
        id: &'static str,
        clean_start: bool,
        session_expiry: u32,
        will: Option<Will>,
        receive_maximum: u16,
    ) -> Connected1 {
        let connection = self.next;
        self.next += 1;
        let connected = self.broker.connect(
            self.now,
            Arrival {
                client_id: Arc::from(id),
                clean_start,
                session_expiry,
                will,
                receive_maximum,
                connection,
                handle: id,
            },
        );
        Connected1 {
            key: connected.session,
            connection,
            present: connected.session_present,
        }
    }

    fn subscribe(&mut self, client: Connected1, filter: &str, options: SubscribeOptions) -> Reason {
        self.broker.subscribe(
            self.now,
            client.key,
            client.connection,
            filter,
            options,
            None,
        )
    }

    fn publish(&mut self, topic: &str, payload: &str, qos: u8, retain: bool) -> Routed {
        self.publish_from(None, topic, payload, qos, retain)
    }

    fn publish_from(
        &mut self,
        from: Option<SessionKey>,
        topic: &str,
        payload: &str,
        qos: u8,
        retain: bool,
    ) -> Routed {
        self.broker.publish(Publication {
            message: message(topic, payload, qos, retain),
            from,
            also_to: None,
        })
    }

    /// What waits for a client: payload, QoS, retain, dup, packet identifier.
    fn take(&mut self, client: Connected1) -> Vec<(String, u8, bool, bool, u16)> {
        let mut out = Vec::new();
        self.broker
            .take(self.now, client.key, client.connection, PLENTY, &mut out);
        out.iter()
            .map(|delivery| {
                (
                    String::from_utf8_lossy(&delivery.message.payload).into_owned(),
                    delivery.qos as u8,
                    delivery.retain,
                    delivery.dup,
                    delivery.packet_id,
                )
            })
            .collect()
    }

    fn payloads(&mut self, client: Connected1) -> Vec<String> {
        self.take(client).into_iter().map(|taken| taken.0).collect()
    }

    fn leave(&mut self, client: Connected1, with_will: bool) {
        self.broker
            .disconnect(self.now, client.key, client.connection, with_will, None);
    }

    fn woken(&mut self) -> Vec<&'static str> {
        let mut woken = Vec::new();
        self.broker.take_woken(&mut woken);
        woken
    }
}

fn message(topic: &str, payload: &str, qos: u8, retain: bool) -> Message {
    Message {
        topic: Text::from(topic),
        payload: Bytes::copy_from_slice(payload.as_bytes()),
        qos: Qos::from_bits(qos).expect("a QoS"),
        retain,
        properties: Properties::new(),
        expires_at: None,
    }
}

fn qos(level: u8) -> SubscribeOptions {
    SubscribeOptions {
        qos: Qos::from_bits(level).expect("a QoS"),
        ..SubscribeOptions::default()
    }
}

#[test]
fn the_lower_qos_counts_and_2_is_granted_as_1() {
    for (published, subscribed, granted, delivered) in
        [(0, 1, 1, 0), (1, 0, 0, 0), (1, 1, 1, 1), (1, 2, 1, 1)]
    {
        let mut world = Fixture::new();
        let client = world.connect("c", true, 0);
        assert_eq!(
            world.subscribe(client, "t", qos(subscribed)),
            Reason(granted)
        );
        assert_eq!(world.publish("t", "x", published, false).sessions, 1);
        assert_eq!(world.take(client)[0].1, delivered);
    }
}

#[test]
fn overlapping_subscriptions_give_one_copy_with_the_higher_qos() {
    let mut world = Fixture::new();
    let client = world.connect("c", true, 0);
    world.subscribe(client, "t/#", qos(0));
    world.subscribe(client, "t/+", qos(1));
    assert_eq!(world.publish("t/x", "x", 1, false).sessions, 1);
    assert_eq!(world.take(client), [("x".into(), 1, false, false, 1)]);
}

#[test]
fn a_connection_is_woken_once_until_it_comes() {
    let mut world = Fixture::new();
    let client = world.connect("c", true, 0);
    world.subscribe(client, "t", qos(0));
    world.publish("t", "1", 0, false);
    world.publish("t", "2", 0, false);
    assert_eq!(world.woken(), ["c"]);
    assert_eq!(world.payloads(client), ["1", "2"]);
    world.publish("t", "3", 0, false);
    assert_eq!(world.woken(), ["c"]);
}

#[test]
fn the_window_holds_messages_back_in_order() {
    let mut world = Fixture::new();
    let client = world.connect_with("c", true, 0, None, 2);
    world.subscribe(client, "t", qos(1));
    for payload in ["1", "2", "3", "4"] {
        world.publish("t", payload, 1, false);
    }
    assert_eq!(world.payloads(client), ["1", "2"]);
    assert!(world.payloads(client).is_empty());
    world.woken();
    assert!(world.broker.acknowledge(client.key, client.connection, 2));
    assert_eq!(world.woken(), ["c"]);
    assert_eq!(world.payloads(client), ["3"]);
    assert!(!world.broker.acknowledge(client.key, client.connection, 2));
    assert!(!world.broker.acknowledge(client.key, 99, 1));
}

#[test]
fn a_resumed_session_gets_what_was_in_flight_again_with_its_identifiers() {
    let mut world = Fixture::new();
    let client = world.connect("c", true, EXPIRY);
    world.subscribe(client, "t", qos(1));
    for payload in ["1", "2", "3"] {
        world.publish("t", payload, 1, false);
    }
    assert_eq!(world.payloads(client).len(), 3);
    world.broker.acknowledge(client.key, client.connection, 2);
    world.leave(client, false);
    world.publish("t", "4", 1, false);
    world.publish("t", "lost", 0, false);
    let client = world.connect("c", false, EXPIRY);
    assert!(client.present);
    assert_eq!(
        world.take(client),
        [
            ("1".into(), 1, false, true, 1),
            ("3".into(), 1, false, true, 3),
            ("4".into(), 1, false, false, 2),
        ]
    );
}

#[test]
fn sessions_end_when_they_should() {
    let mut world = Fixture::new();
    let clean = world.connect("clean", true, 0);
    world.subscribe(clean, "t", qos(1));
    world.leave(clean, false);
    assert!(!world.connect("clean", false, 0).present);

    let kept = world.connect("kept", true, EXPIRY);
    world.subscribe(kept, "t", qos(1));
    world.leave(kept, false);
    world.now += u64::from(EXPIRY) * 1000 - 1;
    world.broker.tick(world.now);
    assert_eq!(world.publish("t", "x", 1, false).sessions, 1);
    world.now += 1;
    world.broker.tick(world.now);
    assert_eq!(world.publish("t", "x", 1, false).sessions, 0);
    assert!(!world.connect("kept", false, EXPIRY).present);

    // A clean start throws the old session away.
    let fresh = world.connect("kept", true, EXPIRY);
    assert!(!fresh.present);
    // DISCONNECT may end it at once.
    world
        .broker
        .disconnect(world.now, fresh.key, fresh.connection, false, Some(0));
    assert!(!world.connect("kept", false, EXPIRY).present);
}

#[test]
fn the_limit_of_the_session_expiry_is_the_brokers() {
    let mut world = Fixture::new();
    let client = world.connect("c", true, u32::MAX);
    world.leave(client, false);
    assert_eq!(
        world.broker.next_timeout(),
        Some(world.now + u64::from(world.broker.config.session_expiry) * 1000)
    );
}

#[test]
fn a_second_connection_takes_the_session_over() {
    let mut world = Fixture::new();
    let first = world.connect("c", true, EXPIRY);
    world.subscribe(first, "t", qos(1));
    let second = world.connect("c", false, EXPIRY);
    assert!(second.present);
    // The first one's farewell must not touch the session any more.
    world.leave(first, true);
    assert_eq!(world.publish("t", "x", 1, false).sessions, 1);
    assert!(world.payloads(first).is_empty());
    assert_eq!(world.payloads(second), ["x"]);
    assert_eq!(
        world.subscribe(first, "u", qos(1)),
        Reason::UNSPECIFIED_ERROR
    );
}

fn will(delay: u32) -> Will {
    Will {
        topic: Text::from("will"),
        payload: Bytes::from_static(b"gone"),
        qos: Qos::AtLeastOnce,
        retain: false,
        properties: Properties::new()
            .with_some((delay > 0).then_some(Property::WillDelayInterval(delay))),
    }
}

#[test]
fn wills_are_published_when_they_are_due_and_not_otherwise() {
    let check = |delay: u32, expiry: u32, case: fn(&mut Fixture, Connected1), expected: bool| {
        let mut world = Fixture::new();
        let watcher = world.connect("w", true, 0);
        world.subscribe(watcher, "will", qos(1));
        let client = world.connect_with("c", true, expiry, Some(will(delay)), 100);
        case(&mut world, client);
        let got = world.payloads(watcher);
        assert_eq!(got == ["gone"], expected, "{delay} {expiry} {got:?}");
    };
    let lost = |world: &mut Fixture, client: Connected1| world.leave(client, true);
    let left = |world: &mut Fixture, client: Connected1| world.leave(client, false);
    let lost_for_10s = |world: &mut Fixture, client: Connected1| {
        world.leave(client, true);
        world.now += 10_000;
        world.broker.tick(world.now);
    };
    let back_within_10s = |world: &mut Fixture, client: Connected1| {
        world.leave(client, true);
        world.now += 5_000;
        world.connect("c", false, EXPIRY);
        world.now += 5_000;
        world.broker.tick(world.now);
    };
    let taken_over = |world: &mut Fixture, _: Connected1| {
        world.connect("c", false, 0);
    };
    check(0, 0, lost, true);
    check(0, EXPIRY, lost, true);
    check(0, EXPIRY, left, false);
    check(10, EXPIRY, lost, false);
    check(10, EXPIRY, lost_for_10s, true);
    check(10, EXPIRY, back_within_10s, false);
    // The session ends before the delay: the will does not wait longer than that.
    check(10, 0, lost, true);
    check(100, 5, lost_for_10s, true);
    check(0, 0, taken_over, true);
}

#[test]
fn retained_messages_follow_the_options_of_the_subscription() {
    let handling = |handling| SubscribeOptions {
        retain_handling: handling,
        ..qos(1)
    };
    let mut world = Fixture::new();
    world.publish("r/1", "one", 1, true);
    world.publish("r/2", "two", 0, true);
    world.publish("r", "root", 1, true);
    world.publish("s", "other", 1, true);
    let client = world.connect("c", true, 0);
    world.subscribe(client, "r/#", handling(RetainHandling::Always));
    assert_eq!(
        world.take(client),
        [
            ("root".into(), 1, true, false, 1),
            ("one".into(), 1, true, false, 2),
            ("two".into(), 0, true, false, 0),
        ]
    );
    world.subscribe(client, "r/#", handling(RetainHandling::OnlyNew));
    assert!(world.payloads(client).is_empty());
    world.subscribe(client, "r/#", handling(RetainHandling::Always));
    assert_eq!(world.payloads(client).len(), 3);
    world.subscribe(client, "s", handling(RetainHandling::Never));
    world.subscribe(client, "$share/g/s", qos(1));
    assert!(world.payloads(client).is_empty());
    world.publish("r/1", "", 1, true);
    world.payloads(client);
    let late = world.connect("late", true, 0);
    world.subscribe(late, "+/1", qos(1));
    assert!(world.payloads(late).is_empty());
    assert_eq!(world.broker.all_retained().count(), 3);
}

#[test]
fn the_retain_flag_shows_only_where_it_is_asked_for() {
    let mut world = Fixture::new();
    let plain = world.connect("plain", true, 0);
    world.subscribe(plain, "r", qos(1));
    let kept = world.connect("kept", true, 0);
    let options = SubscribeOptions {
        retain_as_published: true,
        ..qos(1)
    };
    world.subscribe(kept, "r", options);
    world.publish("r", "x", 1, true);
    assert!(!world.take(plain)[0].2);
    assert!(world.take(kept)[0].2);
}

#[test]
fn no_local_keeps_a_clients_own_messages_from_it() {
    let mut world = Fixture::new();
    let client = world.connect("c", true, 0);
    let options = SubscribeOptions {
        no_local: true,
        ..qos(1)
    };
    world.subscribe(client, "t", options);
    assert_eq!(
        world
            .publish_from(Some(client.key), "t", "own", 1, false)
            .sessions,
        0
    );
    assert_eq!(world.publish("t", "other", 1, false).sessions, 1);
}

#[test]
fn groups_prefer_members_who_are_there() {
    let mut world = Fixture::new();
    let away = world.connect("away", true, EXPIRY);
    world.subscribe(away, "$share/g/t", qos(1));
    world.leave(away, false);
    let there = world.connect("there", true, 0);
    world.subscribe(there, "$share/g/t", qos(1));
    let other = world.connect("other", true, 0);
    world.subscribe(other, "$share/h/t", qos(1));
    for index in 0..4 {
        assert_eq!(world.publish("t", &index.to_string(), 1, false).sessions, 2);
    }
    assert_eq!(world.payloads(there).len(), 4);
    assert_eq!(world.payloads(other).len(), 4);
    world.leave(there, false);
    assert_eq!(world.publish("t", "kept", 1, false).sessions, 2);
    let away = world.connect("away", false, EXPIRY);
    assert_eq!(world.payloads(away), ["kept"]);
}

#[test]
fn the_asking_connection_gets_its_answer_once() {
    let mut world = Fixture::new();
    let client = world.connect("c", true, 0);
    let ask = |world: &mut Fixture| {
        let routed = world.broker.publish(Publication {
            message: message("$aws/a", "answer", 1, false),
            from: None,
            also_to: Some(("c", client.connection)),
        });
        (routed.sessions, world.payloads(client))
    };
    assert_eq!(ask(&mut world), (1, vec!["answer".to_owned()]));
    world.subscribe(client, "$aws/+", qos(1));
    assert_eq!(ask(&mut world), (1, vec!["answer".to_owned()]));
    world.broker.publish(Publication {
        message: message("x", "for another connection", 1, false),
        from: None,
        also_to: Some(("c", client.connection + 1)),
    });
    assert!(world.payloads(client).is_empty());
}

#[test]
fn a_full_queue_loses_the_oldest_and_says_so() {
    let mut world = Fixture::new();
    world.broker.config.queued_messages = 3;
    let client = world.connect("c", true, EXPIRY);
    world.subscribe(client, "t", qos(1));
    world.leave(client, false);
    for index in 0..5 {
        world.publish("t", &index.to_string(), 1, false);
    }
    assert_eq!(world.broker.dropped(), 2);
    let client = world.connect("c", false, EXPIRY);
    assert_eq!(world.payloads(client), ["2", "3", "4"]);
}

#[test]
fn expired_messages_are_not_delivered() {
    let mut world = Fixture::new();
    let client = world.connect("c", true, EXPIRY);
    world.subscribe(client, "t", qos(1));
    world.leave(client, false);
    let mut short = message("t", "short", 1, false);
    short.expires_at = Some(world.now + 1000);
    world.broker.publish(Publication {
        message: short,
        from: None,
        also_to: None,
    });
    world.publish("t", "long", 1, false);
    world.now += 1000;
    let client = world.connect("c", false, EXPIRY);
    assert_eq!(world.payloads(client), ["long"]);
}

#[test]
fn durable_changes_rebuild_the_broker() {
    let mut world = Fixture::new();
    let client = world.connect("c", true, EXPIRY);
    world.subscribe(client, "t/#", qos(1));
    world.subscribe(client, "gone", qos(1));
    world
        .broker
        .unsubscribe(client.key, client.connection, "gone");
    let clean = world.connect("clean", true, 0);
    world.subscribe(clean, "t/#", qos(1));
    assert!(world.publish("t/1", "one", 1, false).durable);
    assert!(!world.publish("t/1", "zero", 0, false).durable);
    assert!(world.publish("r", "kept", 0, true).durable);
    world.take(client);
    world.broker.acknowledge(client.key, client.connection, 1);
    world.publish("t/2", "two", 1, false);
    let changes = world.broker.take_changes();
    let mut kept = Vec::new();
    for change in changes {
        match &change {
            Change::SubscriptionGone { filter, .. } => {
                kept.retain(
                    |known| !matches!(known, Change::Subscription { filter: f, .. } if f == filter),
                );
            }
            Change::Delivered { sequence, .. } => {
                kept.retain(
                    |known| !matches!(known, Change::Queued { sequence: s, .. } if s == sequence),
                );
            }
            _ => kept.push(change),
        }
    }
    let mut again = Fixture::new();
    again.now = world.now + 5;
    assert_eq!(again.broker.restore(again.now, kept.clone()), 0);
    assert_eq!(again.broker.subscriptions_of("c"), ["t/#"]);
    assert_eq!(again.broker.session_counts(), (1, 0));
    let client = again.connect("c", false, EXPIRY);
    assert!(client.present);
    assert_eq!(again.payloads(client), ["two"]);
    assert!(again.broker.retained("r").is_some());
    // Damaged records are counted, never trusted.
    for change in &mut kept {
        if let Change::Queued { record, .. } | Change::Session { record, .. } = change {
            *record = record.slice(..record.len() - 1);
        }
    }
    assert!(Fixture::new().broker.restore(0, kept) > 0);
}

#[test]
fn the_number_of_subscriptions_is_bounded() {
    let mut world = Fixture::new();
    let client = world.connect("c", true, 0);
    for index in 0..50 {
        assert_eq!(
            world.subscribe(client, &format!("t/{index}"), qos(1)),
            Reason::GRANTED_QOS_1
        );
    }
    assert_eq!(
        world.subscribe(client, "t/50", qos(1)),
        Reason::QUOTA_EXCEEDED
    );
    assert_eq!(world.subscribe(client, "t/49", qos(0)), Reason::SUCCESS);
    assert_eq!(
        world
            .broker
            .unsubscribe(client.key, client.connection, "nothing"),
        Reason::NO_SUBSCRIPTION_EXISTED
    );
}

#[test]
fn a_portion_is_bounded_by_messages_and_by_bytes() {
    let mut world = Fixture::new();
    let client = world.connect("c", true, 0);
    world.subscribe(client, "t", qos(0));
    for _ in 0..10 {
        world.publish("t", &"x".repeat(1000), 0, false);
    }
    world.woken();
    let mut take = |messages, bytes| {
        let mut out = Vec::new();
        let limit = Portion { messages, bytes };
        let more = world
            .broker
            .take(world.now, client.key, client.connection, limit, &mut out);
        (out.len(), more)
    };
    assert_eq!(take(2, usize::MAX), (2, true));
    assert_eq!(take(1000, 2500), (3, true));
    assert_eq!(take(1000, 1), (1, true));
    assert_eq!(take(1000, usize::MAX), (4, false));
}

#[test]
fn properties_count_as_what_waits_for_a_session() {
    let mut world = Fixture::new();
    world.broker.config.queued_bytes = 100_000;
    let client = world.connect("c", true, EXPIRY);
    world.subscribe(client, "t", qos(1));
    world.leave(client, false);
    for index in 0..20 {
        let mut large = message("t", &index.to_string(), 1, false);
        // As many as a packet holds of the smallest that there are.
        let property = || Property::UserProperty("".into(), "".into());
        large.properties = Properties((0..1000).map(|_| property()).collect());
        world.broker.publish(Publication {
            message: large,
            from: None,
            also_to: None,
        });
    }
    let client = world.connect("c", false, EXPIRY);
    let kept = world.payloads(client);
    assert_eq!(kept.last().map(String::as_str), Some("19"));
    let weight = kept.len() * 1000 * size_of::<Property>();
    assert!(weight <= 100_000, "{} messages", kept.len());
}

#[test]
fn a_message_that_waits_for_long_keeps_no_read_buffer_alive() {
    let mut world = Fixture::new();
    let client = world.connect("c", true, EXPIRY);
    world.subscribe(client, "t", qos(1));
    // A client that takes nothing; each message comes in a buffer of its own.
    let mut buffers = Vec::new();
    for _ in 0..3000 {
        let buffer = Bytes::from(vec![b'x'; 100]);
        let mut small = message("t", "", 1, false);
        small.payload = buffer.slice(..1);
        world.broker.publish(Publication {
            message: small,
            from: None,
            also_to: None,
        });
        buffers.push(buffer);
    }
    let alive = buffers.iter().filter(|buffer| !buffer.is_unique()).count();
    assert!(alive <= 1024, "{alive} buffers are kept");
}

#[test]
fn a_will_that_was_thrown_away_is_not_published() {
    let mut world = Fixture::new();
    let watcher = world.connect("w", true, 0);
    world.subscribe(watcher, "will", qos(1));
    let client = world.connect_with("c", true, EXPIRY, Some(will(0)), 100);
    world.broker.drop_will(client.key, client.connection + 1);
    world.leave(client, true);
    assert_eq!(world.payloads(watcher), ["gone"]);
    let client = world.connect_with("c", true, EXPIRY, Some(will(0)), 100);
    world.broker.drop_will(client.key, client.connection);
    world.leave(client, true);
    assert!(world.payloads(watcher).is_empty());
}

#[test]
fn a_retained_message_that_has_expired_is_gone() {
    let mut world = Fixture::new();
    let retain = |world: &mut Fixture, topic: &str, expires_at| {
        let mut kept = message(topic, "x", 1, true);
        kept.expires_at = expires_at;
        world.broker.publish(Publication {
            message: kept,
            from: None,
            also_to: None,
        });
    };
    let (first, second) = (world.now + 1000, world.now + 2000);
    retain(&mut world, "r/1", Some(first));
    retain(&mut world, "r/2", Some(second));
    retain(&mut world, "r/3", None);
    let stored: Vec<Change> = world.broker.take_changes();
    assert_eq!(world.broker.next_timeout(), Some(first));
    assert_eq!(world.broker.tick(first), Some(second));
    let gone = Change::RetainedGone {
        topic: "r/1".to_owned(),
    };
    assert_eq!(world.broker.take_changes(), [gone]);
    assert!(world.broker.retained("r/1").is_none());
    assert_eq!(world.broker.all_retained().count(), 2);
    // What a store gives back expires as well.
    let mut again = Fixture::new();
    assert_eq!(again.broker.restore(first, stored), 0);
    again.broker.tick(second);
    assert_eq!(again.broker.all_retained().count(), 1);
}
