//! What a store keeps of sessions, subscriptions and messages. Each record begins with its version.
//!
//! ```text
//! session       01 expiry:u32 expires_at:u64 (0 = connected)
//! subscription  01 options:u8 identifier:u32 (0 = none)
//! message       01 expires_at:u64 (0 = never) qos:u8 retain:u8
//!               count:u8 identifier:u32 × count   then a whole MQTT 5 PUBLISH packet
//! ```

use super::Subscription;
use super::message::{Identifiers, Message};
use super::session::Offer;
use crate::codec::read::subscribe_options;
use crate::codec::write::options_bits;
use crate::codec::{Limits, PublishFrame, decode, encode_publish};
use crate::packet::{Packet, Qos, Version};
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

const VERSION: u8 = 1;

pub(super) fn session(expiry: u32, expires_at: Option<u64>) -> Bytes {
    let mut out = BytesMut::with_capacity(13);
    out.put_u8(VERSION);
    out.put_u32(expiry);
    out.put_u64(expires_at.unwrap_or(0));
    out.freeze()
}

pub(super) fn read_session(mut record: &[u8]) -> Option<(u32, Option<u64>)> {
    version(&mut record)?;
    let expiry = record.try_get_u32().ok()?;
    let expires_at = record.try_get_u64().ok()?;
    Some((expiry, (expires_at > 0).then_some(expires_at)))
}

pub(super) fn subscription(subscription: Subscription) -> Bytes {
    let mut out = BytesMut::with_capacity(6);
    out.put_u8(VERSION);
    out.put_u8(options_bits(subscription.options, Version::V5));
    out.put_u32(subscription.identifier.unwrap_or(0));
    out.freeze()
}

pub(super) fn read_subscription(mut record: &[u8]) -> Option<Subscription> {
    version(&mut record)?;
    let options = subscribe_options(record.try_get_u8().ok()?, true).ok()?;
    let identifier = record.try_get_u32().ok()?;
    Some(Subscription {
        options,
        identifier: (identifier > 0).then_some(identifier),
    })
}

pub(super) fn message(message: &Message, offer: &Offer) -> Bytes {
    let identifiers: &[u32] = offer.identifiers.as_deref().unwrap_or_default();
    let count = u8::try_from(identifiers.len()).unwrap_or(u8::MAX);
    let mut out = BytesMut::with_capacity(40 + message.weight());
    out.put_u8(VERSION);
    out.put_u64(message.expires_at.unwrap_or(0));
    out.put_u8(offer.qos as u8);
    out.put_u8(u8::from(offer.retain));
    out.put_u8(count);
    for identifier in &identifiers[..usize::from(count)] {
        out.put_u32(*identifier);
    }
    let frame = PublishFrame {
        dup: false,
        qos: message.qos,
        retain: message.retain,
        topic: &message.topic,
        packet_id: 1,
        properties: &message.properties.0,
        more: &[],
        payload: &message.payload,
    };
    encode_publish(&mut out, &frame, Version::V5);
    out.freeze()
}

pub(super) fn read_message(mut record: &[u8]) -> Option<(Message, Offer)> {
    version(&mut record)?;
    let expires_at = record.try_get_u64().ok()?;
    let qos = Qos::from_bits(record.try_get_u8().ok()?)?;
    let retain = record.try_get_u8().ok()? == 1;
    let count = record.try_get_u8().ok()?;
    let mut identifiers = Vec::new();
    for _ in 0..count {
        identifiers.push(record.try_get_u32().ok()?);
    }
    let mut packet = BytesMut::from(record);
    let limits = Limits { packet: usize::MAX };
    let Ok(Some(Packet::Publish(publish))) = decode(&mut packet, Some(Version::V5), limits) else {
        return None;
    };
    let mut message = Message::of(publish, 0);
    message.expires_at = (expires_at > 0).then_some(expires_at);
    let identifiers: Identifiers =
        (!identifiers.is_empty()).then(|| identifiers.into_boxed_slice());
    Some((
        message,
        Offer {
            qos,
            retain,
            identifiers,
        },
    ))
}

fn version(record: &mut &[u8]) -> Option<()> {
    (record.try_get_u8().ok()? == VERSION).then_some(())
}
