//! Reading packets.

use super::Reader;
use crate::Violation;
use crate::packet::property::place;
use crate::packet::{
    Ack, ConnAck, Connect, Disconnect, Packet, Properties, Publish, Qos, Reason, RetainHandling,
    SubAck, Subscribe, SubscribeOptions, Unsubscribe, Version, Will,
};
use bytes::{Bytes, BytesMut};

/// What a reader accepts.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a whole packet with its header.
    pub packet: usize,
}

/// The length of the packet at the front: its header and all of it, once both are known.
pub fn packet_length(buffer: &[u8]) -> Result<Option<(usize, usize)>, Violation> {
    let mut length = 0usize;
    for (index, shift) in [0, 7, 14, 21].into_iter().enumerate() {
        let Some(byte) = buffer.get(1 + index) else {
            return Ok(None);
        };
        length |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            let header = 2 + index;
            return Ok(Some((header, header + length)));
        }
    }
    Err(Violation::malformed("the length has more than four bytes"))
}

/// Takes the packet at the front of `buffer`, once it is whole.
///
/// `version` is that of the connection; before CONNECT it is `None`, and only CONNECT is read.
/// A packet larger than the limit is refused by its header, before it is buffered.
pub fn decode(
    buffer: &mut BytesMut,
    version: Option<Version>,
    limits: Limits,
) -> Result<Option<Packet>, Violation> {
    let Some(&first) = buffer.first() else {
        return Ok(None);
    };
    if version.is_none() && first != 0x10 {
        return Err(Violation::protocol("the first packet is not CONNECT"));
    }
    let Some((header, total)) = packet_length(buffer)? else {
        return Ok(None);
    };
    if total > limits.packet {
        return Err(Violation::new(
            Reason::PACKET_TOO_LARGE,
            "the packet is larger than allowed",
        ));
    }
    if buffer.len() < total {
        return Ok(None);
    }
    let mut frame = buffer.split_to(total).freeze();
    let body = frame.split_off(header);
    packet(first, body, version).map(Some)
}

fn packet(first: u8, body: Bytes, version: Option<Version>) -> Result<Packet, Violation> {
    let flags = first & 0x0f;
    let kind = first >> 4;
    let expected = match kind {
        3 => flags,
        6 | 8 | 10 => 2,
        _ => 0,
    };
    if flags != expected {
        return Err(Violation::malformed("reserved flags of the header are set"));
    }
    let mut reader = Reader::new(body);
    if kind == 1 {
        return connect(&mut reader).map(|connect| Packet::Connect(Box::new(connect)));
    }
    let version = version.unwrap_or(Version::V311);
    let v5 = version == Version::V5;
    Ok(match kind {
        2 => Packet::ConnAck(connack(&mut reader, v5)?),
        3 => Packet::Publish(publish(flags, reader, v5)?),
        4 => Packet::PubAck(ack(&mut reader, v5)?),
        5 => Packet::PubRec(ack(&mut reader, v5)?),
        6 => Packet::PubRel(ack(&mut reader, v5)?),
        7 => Packet::PubComp(ack(&mut reader, v5)?),
        8 => Packet::Subscribe(subscribe(&mut reader, v5)?),
        9 => Packet::SubAck(suback(&mut reader, v5, place::SUBACK)?),
        10 => Packet::Unsubscribe(unsubscribe(&mut reader, v5)?),
        11 => Packet::UnsubAck(suback(&mut reader, v5, place::UNSUBACK)?),
        12 | 13 => {
            reader.end()?;
            if kind == 12 {
                Packet::PingReq
            } else {
                Packet::PingResp
            }
        }
        14 => Packet::Disconnect(disconnect(&mut reader, v5, place::DISCONNECT)?),
        15 if v5 => Packet::Auth(disconnect(&mut reader, v5, place::AUTH)?),
        _ => return Err(Violation::malformed("an unknown kind of packet")),
    })
}

fn properties(reader: &mut Reader, v5: bool, place: u16) -> Result<Properties, Violation> {
    if v5 {
        Properties::read(reader, place)
    } else {
        Ok(Properties::new())
    }
}

fn connect(reader: &mut Reader) -> Result<Connect, Violation> {
    let name = reader.binary()?;
    let level = reader.u8()?;
    let version = match (&name[..], level) {
        (b"MQTT", 4) => Version::V311,
        (b"MQTT", 5) => Version::V5,
        (b"MQTT" | b"MQIsdp", _) => {
            return Err(Violation::new(
                Reason::UNSUPPORTED_PROTOCOL_VERSION,
                "the protocol version is neither 3.1.1 nor 5",
            ));
        }
        _ => return Err(Violation::malformed("the protocol name is not MQTT")),
    };
    let v5 = version == Version::V5;
    let flags = reader.u8()?;
    if flags & 1 != 0 {
        return Err(Violation::malformed("the reserved CONNECT flag is set"));
    }
    let (has_user, has_password, has_will) =
        (flags & 0x80 != 0, flags & 0x40 != 0, flags & 0x04 != 0);
    let will_qos =
        Qos::from_bits((flags >> 3) & 3).ok_or(Violation::malformed("the will has QoS 3"))?;
    let will_retain = flags & 0x20 != 0;
    if !has_will && (will_retain || will_qos != Qos::AtMostOnce) {
        return Err(Violation::malformed("will flags without a will"));
    }
    if has_password && !has_user && !v5 {
        return Err(Violation::malformed("a password without a user name"));
    }
    let keep_alive = reader.u16()?;
    let connect_properties = properties(reader, v5, place::CONNECT)?;
    if connect_properties.authentication_data().is_some()
        && connect_properties.authentication_method().is_none()
    {
        return Err(Violation::protocol("authentication data without a method"));
    }
    let client_id = reader.text()?;
    let will = if has_will {
        let will_properties = properties(reader, v5, place::WILL)?;
        Some(Will {
            properties: will_properties,
            topic: reader.text()?,
            payload: reader.binary()?,
            qos: will_qos,
            retain: will_retain,
        })
    } else {
        None
    };
    let username = has_user.then(|| reader.text()).transpose()?;
    let password = has_password.then(|| reader.binary()).transpose()?;
    reader.end()?;
    Ok(Connect {
        version,
        clean_start: flags & 2 != 0,
        keep_alive,
        client_id,
        will,
        username,
        password,
        properties: connect_properties,
    })
}

fn connack(reader: &mut Reader, v5: bool) -> Result<ConnAck, Violation> {
    let flags = reader.u8()?;
    if flags > 1 {
        return Err(Violation::malformed("reserved CONNACK flags are set"));
    }
    let code = reader.u8()?;
    let reason = if v5 {
        Reason(code)
    } else {
        Reason::from_return_code(code)
            .ok_or(Violation::malformed("an unknown CONNACK return code"))?
    };
    let properties = properties(reader, v5, place::CONNACK)?;
    reader.end()?;
    Ok(ConnAck {
        session_present: flags == 1,
        reason,
        properties,
    })
}

fn publish(flags: u8, mut reader: Reader, v5: bool) -> Result<Publish, Violation> {
    let qos =
        Qos::from_bits((flags >> 1) & 3).ok_or(Violation::malformed("a message has QoS 3"))?;
    let dup = flags & 8 != 0;
    if dup && qos == Qos::AtMostOnce {
        return Err(Violation::malformed(
            "a QoS 0 message is marked as repeated",
        ));
    }
    let topic = reader.text()?;
    let packet_id = if qos == Qos::AtMostOnce {
        0
    } else {
        reader.packet_id()?
    };
    let properties = properties(&mut reader, v5, place::PUBLISH)?;
    Ok(Publish {
        dup,
        qos,
        retain: flags & 1 != 0,
        topic,
        packet_id,
        properties,
        payload: reader.rest(),
    })
}

fn ack(reader: &mut Reader, v5: bool) -> Result<Ack, Violation> {
    let packet_id = reader.packet_id()?;
    let reason = if v5 && !reader.is_empty() {
        Reason(reader.u8()?)
    } else {
        Reason::SUCCESS
    };
    let properties = if v5 && !reader.is_empty() {
        Properties::read(reader, place::PUBACK)?
    } else {
        Properties::new()
    };
    reader.end()?;
    Ok(Ack {
        packet_id,
        reason,
        properties,
    })
}

fn subscribe(reader: &mut Reader, v5: bool) -> Result<Subscribe, Violation> {
    let packet_id = reader.packet_id()?;
    let properties = properties(reader, v5, place::SUBSCRIBE)?;
    let mut filters = Vec::new();
    while !reader.is_empty() {
        let filter = reader.text()?;
        filters.push((filter, subscribe_options(reader.u8()?, v5)?));
    }
    if filters.is_empty() {
        return Err(Violation::protocol("SUBSCRIBE without a filter"));
    }
    Ok(Subscribe {
        packet_id,
        properties,
        filters,
    })
}

pub(crate) fn subscribe_options(bits: u8, v5: bool) -> Result<SubscribeOptions, Violation> {
    let reserved = if v5 { 0xc0 } else { 0xfc };
    let bad = Violation::malformed("reserved bits of the subscription options are set");
    if bits & reserved != 0 {
        return Err(bad);
    }
    Ok(SubscribeOptions {
        qos: Qos::from_bits(bits & 3).ok_or(bad)?,
        no_local: bits & 4 != 0,
        retain_as_published: bits & 8 != 0,
        retain_handling: match (bits >> 4) & 3 {
            0 => RetainHandling::Always,
            1 => RetainHandling::OnlyNew,
            2 => RetainHandling::Never,
            _ => return Err(Violation::protocol("retain handling is 3")),
        },
    })
}

fn unsubscribe(reader: &mut Reader, v5: bool) -> Result<Unsubscribe, Violation> {
    let packet_id = reader.packet_id()?;
    let properties = properties(reader, v5, place::UNSUBSCRIBE)?;
    let mut filters = Vec::new();
    while !reader.is_empty() {
        filters.push(reader.text()?);
    }
    if filters.is_empty() {
        return Err(Violation::protocol("UNSUBSCRIBE without a filter"));
    }
    Ok(Unsubscribe {
        packet_id,
        properties,
        filters,
    })
}

fn suback(reader: &mut Reader, v5: bool, place: u16) -> Result<SubAck, Violation> {
    let packet_id = reader.packet_id()?;
    let properties = properties(reader, v5, place)?;
    let mut reasons = Vec::new();
    while !reader.is_empty() {
        reasons.push(Reason(reader.u8()?));
    }
    Ok(SubAck {
        packet_id,
        properties,
        reasons,
    })
}

fn disconnect(reader: &mut Reader, v5: bool, place: u16) -> Result<Disconnect, Violation> {
    let reason = if v5 && !reader.is_empty() {
        Reason(reader.u8()?)
    } else {
        Reason::SUCCESS
    };
    let properties = if v5 && !reader.is_empty() {
        Properties::read(reader, place)?
    } else {
        Properties::new()
    };
    reader.end()?;
    Ok(Disconnect { reason, properties })
}
