//! Writing packets.

use crate::packet::{
    Ack, ConnAck, Connect, Disconnect, Packet, Properties, Property, Publish, Qos, Reason, SubAck,
    Subscribe, SubscribeOptions, Unsubscribe, Version, Will,
};
use bytes::{BufMut as _, BytesMut};

/// Where bytes go: a buffer, or a count.
pub(crate) trait Writer {
    fn raw(&mut self, bytes: &[u8]);

    fn u8(&mut self, value: u8) {
        self.raw(&[value]);
    }

    fn u16(&mut self, value: u16) {
        self.raw(&value.to_be_bytes());
    }

    fn u32(&mut self, value: u32) {
        self.raw(&value.to_be_bytes());
    }

    fn varint(&mut self, mut value: u32) {
        loop {
            let byte = (value & 0x7f) as u8;
            value >>= 7;
            if value == 0 {
                self.u8(byte);
                return;
            }
            self.u8(byte | 0x80);
        }
    }

    /// Bytes with a two-byte length. What is longer than the wire can say is cut; strings of this
    /// crate never are.
    fn binary(&mut self, bytes: &[u8]) {
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        self.u16(length);
        self.raw(&bytes[..usize::from(length)]);
    }
}

impl Writer for BytesMut {
    fn raw(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }
}

/// Counts what would be written.
pub(crate) struct Counter(pub(crate) usize);

impl Writer for Counter {
    fn raw(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

/// A message to be written, put together from shared parts.
#[derive(Clone, Copy, Debug)]
pub struct PublishFrame<'a> {
    pub dup: bool,
    pub qos: Qos,
    pub retain: bool,
    /// Empty where an alias stands for it.
    pub topic: &'a str,
    /// 0 where QoS is 0.
    pub packet_id: u16,
    /// Properties of the message.
    pub properties: &'a [Property],
    /// Properties of this delivery: alias, subscription identifiers, what is left of the expiry.
    pub more: &'a [Property],
    pub payload: &'a [u8],
}

fn publish_body(frame: &PublishFrame<'_>, version: Version) -> usize {
    let id = if frame.qos == Qos::AtMostOnce { 0 } else { 2 };
    let properties = match version {
        Version::V5 => Properties::size(frame.properties, frame.more),
        Version::V311 => 0,
    };
    2 + frame.topic.len() + id + properties + frame.payload.len()
}

fn varint_length(value: usize) -> usize {
    match value {
        0..=0x7f => 1,
        0x80..=0x3fff => 2,
        0x4000..=0x1f_ffff => 3,
        _ => 4,
    }
}

/// How many bytes a message takes on the wire.
#[must_use]
pub fn publish_length(frame: &PublishFrame<'_>, version: Version) -> usize {
    let body = publish_body(frame, version);
    1 + varint_length(body) + body
}

/// Appends a message.
pub fn encode_publish(out: &mut BytesMut, frame: &PublishFrame<'_>, version: Version) {
    let body = publish_body(frame, version);
    out.reserve(5 + body);
    let flags = (u8::from(frame.dup) << 3) | ((frame.qos as u8) << 1) | u8::from(frame.retain);
    Writer::u8(out, 0x30 | flags);
    out.varint(u32::try_from(body).unwrap_or(u32::MAX));
    out.binary(frame.topic.as_bytes());
    if frame.qos != Qos::AtMostOnce {
        Writer::u16(out, frame.packet_id);
    }
    if version == Version::V5 {
        Properties::write_all(out, frame.properties, frame.more);
    }
    out.raw(frame.payload);
}

/// Appends any packet.
pub fn encode(out: &mut BytesMut, packet: &Packet, version: Version) {
    match packet {
        Packet::Connect(connect) => framed(out, 0x10, |w| write_connect(w, connect)),
        Packet::ConnAck(connack) => framed(out, 0x20, |w| write_connack(w, connack, version)),
        Packet::Publish(publish) => encode_publish(out, &frame_of(publish), version),
        Packet::PubAck(ack) => framed(out, 0x40, |w| write_ack(w, ack, version)),
        Packet::PubRec(ack) => framed(out, 0x50, |w| write_ack(w, ack, version)),
        Packet::PubRel(ack) => framed(out, 0x62, |w| write_ack(w, ack, version)),
        Packet::PubComp(ack) => framed(out, 0x70, |w| write_ack(w, ack, version)),
        Packet::Subscribe(subscribe) => {
            framed(out, 0x82, |w| write_subscribe(w, subscribe, version));
        }
        Packet::SubAck(suback) => framed(out, 0x90, |w| write_suback(w, suback, version, true)),
        Packet::Unsubscribe(unsubscribe) => {
            framed(out, 0xa2, |w| write_unsubscribe(w, unsubscribe, version));
        }
        Packet::UnsubAck(suback) => framed(out, 0xb0, |w| {
            write_suback(w, suback, version, version == Version::V5);
        }),
        Packet::PingReq => out.put_slice(&[0xc0, 0]),
        Packet::PingResp => out.put_slice(&[0xd0, 0]),
        Packet::Disconnect(disconnect) => {
            framed(out, 0xe0, |w| write_disconnect(w, disconnect, version));
        }
        Packet::Auth(auth) => framed(out, 0xf0, |w| write_disconnect(w, auth, version)),
    }
}

fn frame_of(publish: &Publish) -> PublishFrame<'_> {
    PublishFrame {
        dup: publish.dup,
        qos: publish.qos,
        retain: publish.retain,
        topic: &publish.topic,
        packet_id: publish.packet_id,
        properties: &publish.properties.0,
        more: &[],
        payload: &publish.payload,
    }
}

/// Writes header, length and body; the body is counted first.
fn framed(out: &mut BytesMut, first: u8, body: impl Fn(&mut dyn DynWriter)) {
    let mut counter = Counter(0);
    body(&mut counter);
    out.reserve(5 + counter.0);
    Writer::u8(out, first);
    out.varint(u32::try_from(counter.0).unwrap_or(u32::MAX));
    body(out);
}

/// The object-safe form, so that each body is compiled once.
trait DynWriter {
    fn put(&mut self, bytes: &[u8]);
}

impl<W: Writer> DynWriter for W {
    fn put(&mut self, bytes: &[u8]) {
        self.raw(bytes);
    }
}

impl Writer for &mut dyn DynWriter {
    fn raw(&mut self, bytes: &[u8]) {
        (**self).put(bytes);
    }
}

fn write_properties(w: &mut impl Writer, properties: &Properties, version: Version) {
    if version == Version::V5 {
        Properties::write_all(w, &properties.0, &[]);
    }
}

fn write_connect(mut w: &mut dyn DynWriter, connect: &Connect) {
    let w = &mut w;
    w.binary(b"MQTT");
    w.u8(match connect.version {
        Version::V311 => 4,
        Version::V5 => 5,
    });
    let will_flags = connect.will.as_ref().map_or(0, |will| {
        0x04 | ((will.qos as u8) << 3) | (u8::from(will.retain) << 5)
    });
    w.u8((u8::from(connect.username.is_some()) << 7)
        | (u8::from(connect.password.is_some()) << 6)
        | will_flags
        | (u8::from(connect.clean_start) << 1));
    w.u16(connect.keep_alive);
    write_properties(w, &connect.properties, connect.version);
    w.binary(connect.client_id.as_bytes());
    if let Some(Will {
        topic,
        payload,
        properties,
        ..
    }) = &connect.will
    {
        write_properties(w, properties, connect.version);
        w.binary(topic.as_bytes());
        w.binary(payload);
    }
    if let Some(username) = &connect.username {
        w.binary(username.as_bytes());
    }
    if let Some(password) = &connect.password {
        w.binary(password);
    }
}

fn write_connack(mut w: &mut dyn DynWriter, connack: &ConnAck, version: Version) {
    let w = &mut w;
    w.u8(u8::from(connack.session_present));
    w.u8(match version {
        Version::V5 => connack.reason.0,
        Version::V311 => connack.reason.to_return_code(),
    });
    write_properties(w, &connack.properties, version);
}

fn write_ack(mut w: &mut dyn DynWriter, ack: &Ack, version: Version) {
    let w = &mut w;
    w.u16(ack.packet_id);
    write_reason(w, ack.reason, &ack.properties, version);
}

/// Reason and properties, left out where they say nothing.
fn write_reason(w: &mut impl Writer, reason: Reason, properties: &Properties, version: Version) {
    if version == Version::V311 || (reason == Reason::SUCCESS && properties.is_empty()) {
        return;
    }
    w.u8(reason.0);
    if !properties.is_empty() {
        write_properties(w, properties, version);
    }
}

pub(crate) fn options_bits(options: SubscribeOptions, version: Version) -> u8 {
    let qos = options.qos as u8;
    match version {
        Version::V311 => qos,
        Version::V5 => {
            qos | (u8::from(options.no_local) << 2)
                | (u8::from(options.retain_as_published) << 3)
                | ((options.retain_handling as u8) << 4)
        }
    }
}

fn write_subscribe(mut w: &mut dyn DynWriter, subscribe: &Subscribe, version: Version) {
    let w = &mut w;
    w.u16(subscribe.packet_id);
    write_properties(w, &subscribe.properties, version);
    for (filter, options) in &subscribe.filters {
        w.binary(filter.as_bytes());
        w.u8(options_bits(*options, version));
    }
}

fn write_unsubscribe(mut w: &mut dyn DynWriter, unsubscribe: &Unsubscribe, version: Version) {
    let w = &mut w;
    w.u16(unsubscribe.packet_id);
    write_properties(w, &unsubscribe.properties, version);
    for filter in &unsubscribe.filters {
        w.binary(filter.as_bytes());
    }
}

fn write_suback(mut w: &mut dyn DynWriter, suback: &SubAck, version: Version, reasons: bool) {
    let w = &mut w;
    w.u16(suback.packet_id);
    write_properties(w, &suback.properties, version);
    if !reasons {
        return;
    }
    for reason in &suback.reasons {
        // 3.1.1 knows one failure only.
        w.u8(if version == Version::V311 && reason.is_failure() {
            0x80
        } else {
            reason.0
        });
    }
}

fn write_disconnect(mut w: &mut dyn DynWriter, disconnect: &Disconnect, version: Version) {
    write_reason(&mut w, disconnect.reason, &disconnect.properties, version);
}
