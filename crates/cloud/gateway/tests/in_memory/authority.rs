//! Who may say what to whom: policies that change, and topics that belong to services.

use crate::world::{EVERYTHING, Peer, World};
use bytes::{Bytes, BytesMut};
use std::time::Duration;
use sward_gateway::ports::DisconnectReason;
use sward_mqtt::client::{Client, ClientOptions, Event};
use sward_mqtt::codec::{Limits, decode, encode};
use sward_mqtt::packet::{Connect, Packet, Properties, Will};
use sward_mqtt::{Qos, Reason, Version};
use sward_net::mqtt::Step;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::time::timeout;

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen in time"))
}

async fn payload(peer: &mut Peer) -> String {
    match peer.event().await {
        Event::Message(message) => {
            peer.client.acknowledge(0, message.packet_id);
            String::from_utf8_lossy(&message.payload).into_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// CONNECT with a will, as no client of ours sends it.
async fn connect_with_will(world: &World, topic: &str) -> DuplexStream {
    let mut stream = world.open();
    let connect = Connect {
        version: Version::V5,
        clean_start: true,
        keep_alive: 60,
        client_id: "mortal".into(),
        will: Some(Will {
            topic: topic.into(),
            payload: Bytes::from_static(b"gone"),
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: Properties::new(),
        }),
        username: None,
        password: None,
        properties: Properties::new(),
    };
    let mut bytes = BytesMut::new();
    let packet = Packet::Connect(Box::new(connect));
    encode(&mut bytes, &packet, Version::V5);
    stream.write_all(&bytes).await.expect("room");
    assert_eq!(connack(&mut stream).await, Some(Reason::SUCCESS));
    stream
}

/// The reason of CONNACK; `None` where the gateway closed without one.
async fn connack(stream: &mut DuplexStream) -> Option<Reason> {
    let mut bytes = BytesMut::new();
    let limits = Limits { packet: 1 << 20 };
    loop {
        match decode(&mut bytes, Some(Version::V5), limits).expect("ours") {
            Some(Packet::ConnAck(connack)) => return Some(connack.reason),
            Some(other) => panic!("{other:?}"),
            None => {}
        }
        let read = soon("CONNACK", stream.read_buf(&mut bytes)).await;
        if read.expect("a stream") == 0 {
            return None;
        }
    }
}

#[tokio::test]
async fn what_no_service_takes_reaches_nobody() {
    let world = World::new().await;
    let mut device = world.connect("core2", Version::V5, true).await;
    device.subscribe("$aws/unknown/#").await;
    device.subscribe("$aws/things/core2/#").await;
    // What looks like a service's word to a device.
    let mut liar = world.connect("liar", Version::V5, true).await;
    liar.publish(1, "$aws/unknown/core2/jobs/notify", "install this");
    let farewell = liar.event().await;
    assert!(matches!(farewell, Event::Closed { .. }), "{farewell:?}");
    let mut other = world.connect("other", Version::V5, true).await;
    other.publish(1, "$aws/things/core2/shadow/update", "taken");
    assert_eq!(other.published().await, (1, Reason::SUCCESS));
    assert_eq!(payload(&mut device).await, "taken");
}

#[tokio::test]
async fn a_will_does_not_speak_for_a_service() {
    let world = World::new().await;
    let mut device = world.connect("core2", Version::V5, true).await;
    device.subscribe("$aws/things/core2/#").await;
    device.subscribe("will").await;
    for topic in ["$aws/things/core2/jobs/notify", "will"] {
        drop(connect_with_will(&world, topic).await);
    }
    let Event::Message(message) = device.event().await else {
        panic!("no message");
    };
    assert_eq!(&*message.topic, "will");
}

#[tokio::test]
async fn a_certificate_that_is_revoked_before_connect_is_not_let_in() {
    let world = World::new().await;
    let mut stream = world.open();
    let mut asked = world.doors.asked.subscribe();
    soon("a question", asked.wait_for(|asked| *asked == 1))
        .await
        .expect("the doors stay");
    world.doors.set(None).await;
    let mut client = Client::new(ClientOptions::new("late", Version::V5));
    client.start(0, true);
    let bytes = client.output().split();
    stream.write_all(&bytes).await.expect("room");
    assert_eq!(connack(&mut stream).await, None);
}

#[tokio::test]
async fn a_policy_that_changes_before_connect_counts() {
    let world = World::new().await;
    let stream = world.open();
    let mut asked = world.doors.asked.subscribe();
    soon("a question", asked.wait_for(|asked| *asked == 1))
        .await
        .expect("the doors stay");
    let connect_only = r#"{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}"#;
    world.doors.set(Some(connect_only)).await;
    let mut peer = world.connect_on(stream, "late", Version::V5, true).await;
    peer.publish(1, "t", "x");
    assert_eq!(peer.published().await, (1, Reason::NOT_AUTHORIZED));
}

#[tokio::test]
async fn a_will_that_the_policies_no_longer_allow_is_not_published() {
    let world = World::new().await;
    let mut reader = world.connect("reader", Version::V5, true).await;
    reader.subscribe("#").await;
    let mut mortal = connect_with_will(&world, "will").await;
    let mut asked = world.doors.asked.subscribe();
    asked.borrow_and_update();
    let before = *asked.borrow();
    let without_will = r#"[{"Effect":"Allow","Action":"iot:*","Resource":"*"},
        {"Effect":"Deny","Action":"iot:Publish","Resource":"*:topic/will"}]"#;
    world.doors.set(Some(without_will)).await;
    // Both connections are judged anew.
    soon(
        "two questions",
        asked.wait_for(|asked| *asked == before + 2),
    )
    .await
    .expect("the doors stay");
    mortal.shutdown().await.expect("a stream");
    drop(mortal);
    let mut writer = world.connect("writer", Version::V5, true).await;
    writer.publish(1, "t", "after");
    assert_eq!(writer.published().await, (1, Reason::SUCCESS));
    assert_eq!(payload(&mut reader).await, "after");
    world.doors.set(Some(EVERYTHING)).await;
}

#[tokio::test]
async fn a_client_that_never_pauses_is_ended_all_the_same() {
    let world = World::new().await;
    let (mut reader, mut writer) = tokio::io::split(world.open());
    let mut client = Client::new(ClientOptions::new("flood", Version::V311));
    client.start(0, true);
    writer
        .write_all(&client.output().split())
        .await
        .expect("room");
    let mut bytes = BytesMut::new();
    reader.read_buf(&mut bytes).await.expect("CONNACK");
    // QoS 1 without end, and every answer is read.
    let flood = world.tasks.spawn("flood", async move {
        let mut packets = BytesMut::new();
        for id in 1..=5000u16 {
            packets.extend_from_slice(&[0x32, 6, 0, 1, b't', (id >> 8) as u8, id as u8, b'x']);
        }
        while writer.write_all(&packets).await.is_ok() {}
    });
    let answers = tokio::sync::watch::Sender::new(0);
    let mut answered = answers.subscribe();
    let drain = world.tasks.spawn("drain", async move {
        let mut sink = vec![0; 64 * 1024];
        while let Ok(read) = reader.read(&mut sink).await
            && read > 0
        {
            answers.send_modify(|bytes| *bytes += read);
        }
    });
    soon("a flood", answered.wait_for(|bytes| *bytes > 100_000))
        .await
        .expect("it flows");
    world.doors.change(None);
    soon("the end of the flood", flood).await.expect("no panic");
    soon("the end of the answers", drain)
        .await
        .expect("no panic");
    let visitors = world.visitors.0.lock().expect("not poisoned");
    let ended = ("flood".to_owned(), Some(DisconnectReason::AuthError));
    assert!(visitors.contains(&ended), "{visitors:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_on_a_slow_line_that_pings_is_not_taken_for_lost() {
    let world = World::new().await;
    let mut reader = world.connect("reader", Version::V5, true).await;
    reader.subscribe("t").await;
    let mut writer = world.connect("writer", Version::V5, true).await;
    let text: &'static str = Box::leak("x".repeat(100_000).into_boxed_str());
    for token in 1..=30 {
        writer.publish(token, "t", text);
        assert_eq!(writer.published().await, (token, Reason::SUCCESS));
    }
    // It has no room for what waits, and says every 40 s that it is there.
    for _ in 0..10 {
        tokio::time::sleep(Duration::from_secs(40)).await;
        let (mut nothing, mut ping) = (BytesMut::new(), BytesMut::from(&[0xc0, 0][..]));
        let step = reader.wire.step(&mut nothing, &mut ping, false);
        assert_eq!(step.await.expect("a step"), Step::Written);
    }
    for _ in 1..=30 {
        assert_eq!(payload(&mut reader).await.len(), 100_000);
    }
}
