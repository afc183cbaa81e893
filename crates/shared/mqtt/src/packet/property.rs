//! The properties of MQTT 5: one table for reading, writing and asking.

use super::Text;
use crate::Violation;
use crate::codec::{Reader, Writer};
use bytes::Bytes;

/// One property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Property {
    PayloadFormatIndicator(u8),
    MessageExpiryInterval(u32),
    ContentType(Text),
    ResponseTopic(Text),
    CorrelationData(Bytes),
    SubscriptionIdentifier(u32),
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(Text),
    ServerKeepAlive(u16),
    AuthenticationMethod(Text),
    AuthenticationData(Bytes),
    RequestProblemInformation(u8),
    WillDelayInterval(u32),
    RequestResponseInformation(u8),
    ResponseInformation(Text),
    ServerReference(Text),
    ReasonString(Text),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQos(u8),
    RetainAvailable(u8),
    UserProperty(Text, Text),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(u8),
    SubscriptionIdentifierAvailable(u8),
    SharedSubscriptionAvailable(u8),
}

/// Where properties stand; a property is refused where it has no meaning.
pub(crate) mod place {
    pub(crate) const CONNECT: u16 = 0x0001;
    pub(crate) const CONNACK: u16 = 0x0002;
    pub(crate) const PUBLISH: u16 = 0x0004;
    pub(crate) const PUBACK: u16 = 0x0008;
    pub(crate) const SUBSCRIBE: u16 = 0x0010;
    pub(crate) const SUBACK: u16 = 0x0020;
    pub(crate) const UNSUBSCRIBE: u16 = 0x0040;
    pub(crate) const UNSUBACK: u16 = 0x0080;
    pub(crate) const DISCONNECT: u16 = 0x0100;
    pub(crate) const AUTH: u16 = 0x0200;
    pub(crate) const WILL: u16 = 0x0400;
}

/// The properties of a packet, in the order of the wire.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Properties(pub Vec<Property>);

#[rustfmt::skip]
impl Property {
    /// The identifier on the wire.
    pub(crate) fn id(&self) -> u8 {
        match self {
            Property::PayloadFormatIndicator(..) => 0x01,
            Property::MessageExpiryInterval(..) => 0x02,
            Property::ContentType(..) => 0x03,
            Property::ResponseTopic(..) => 0x08,
            Property::CorrelationData(..) => 0x09,
            Property::SubscriptionIdentifier(..) => 0x0b,
            Property::SessionExpiryInterval(..) => 0x11,
            Property::AssignedClientIdentifier(..) => 0x12,
            Property::ServerKeepAlive(..) => 0x13,
            Property::AuthenticationMethod(..) => 0x15,
            Property::AuthenticationData(..) => 0x16,
            Property::RequestProblemInformation(..) => 0x17,
            Property::WillDelayInterval(..) => 0x18,
            Property::RequestResponseInformation(..) => 0x19,
            Property::ResponseInformation(..) => 0x1a,
            Property::ServerReference(..) => 0x1c,
            Property::ReasonString(..) => 0x1f,
            Property::ReceiveMaximum(..) => 0x21,
            Property::TopicAliasMaximum(..) => 0x22,
            Property::TopicAlias(..) => 0x23,
            Property::MaximumQos(..) => 0x24,
            Property::RetainAvailable(..) => 0x25,
            Property::UserProperty(..) => 0x26,
            Property::MaximumPacketSize(..) => 0x27,
            Property::WildcardSubscriptionAvailable(..) => 0x28,
            Property::SubscriptionIdentifierAvailable(..) => 0x29,
            Property::SharedSubscriptionAvailable(..) => 0x2a,
        }
    }

    fn allowed(id: u8) -> u16 {
        use place::{AUTH, CONNACK, CONNECT, DISCONNECT, PUBACK, PUBLISH, SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE, WILL};
        match id {
            0x01 | 0x02 | 0x03 | 0x08 | 0x09 => PUBLISH | WILL,
            0x0b => PUBLISH | SUBSCRIBE,
            0x11 => CONNECT | CONNACK | DISCONNECT,
            0x12 | 0x13 | 0x1a | 0x24 | 0x25 | 0x28 | 0x29 | 0x2a => CONNACK,
            0x15 | 0x16 => CONNECT | CONNACK | AUTH,
            0x17 | 0x19 => CONNECT,
            0x18 => WILL,
            0x1c => CONNACK | DISCONNECT,
            0x1f => CONNACK | PUBACK | SUBACK | UNSUBACK | DISCONNECT | AUTH,
            0x21 | 0x22 | 0x27 => CONNECT | CONNACK,
            0x23 => PUBLISH,
            0x26 => CONNECT | CONNACK | PUBLISH | PUBACK | SUBSCRIBE | SUBACK | UNSUBSCRIBE | UNSUBACK | DISCONNECT | AUTH | WILL,
            _ => 0,
        }
    }

    fn read(id: u8, reader: &mut Reader) -> Result<Property, Violation> {
        Ok(match id {
            0x01 => Property::PayloadFormatIndicator(reader.bit()?),
            0x02 => Property::MessageExpiryInterval(reader.u32()?),
            0x03 => Property::ContentType(reader.text()?),
            0x08 => Property::ResponseTopic(reader.text()?),
            0x09 => Property::CorrelationData(reader.binary()?),
            0x0b => Property::SubscriptionIdentifier(nonzero32(reader.varint()?)?),
            0x11 => Property::SessionExpiryInterval(reader.u32()?),
            0x12 => Property::AssignedClientIdentifier(reader.text()?),
            0x13 => Property::ServerKeepAlive(reader.u16()?),
            0x15 => Property::AuthenticationMethod(reader.text()?),
            0x16 => Property::AuthenticationData(reader.binary()?),
            0x17 => Property::RequestProblemInformation(reader.bit()?),
            0x18 => Property::WillDelayInterval(reader.u32()?),
            0x19 => Property::RequestResponseInformation(reader.bit()?),
            0x1a => Property::ResponseInformation(reader.text()?),
            0x1c => Property::ServerReference(reader.text()?),
            0x1f => Property::ReasonString(reader.text()?),
            0x21 => Property::ReceiveMaximum(nonzero16(reader.u16()?)?),
            0x22 => Property::TopicAliasMaximum(reader.u16()?),
            0x23 => Property::TopicAlias(reader.u16()?),
            0x24 => Property::MaximumQos(reader.bit()?),
            0x25 => Property::RetainAvailable(reader.bit()?),
            0x26 => Property::UserProperty(reader.text()?, reader.text()?),
            0x27 => Property::MaximumPacketSize(nonzero32(reader.u32()?)?),
            0x28 => Property::WildcardSubscriptionAvailable(reader.bit()?),
            0x29 => Property::SubscriptionIdentifierAvailable(reader.bit()?),
            0x2a => Property::SharedSubscriptionAvailable(reader.bit()?),
            _ => return Err(Violation::malformed("an unknown property")),
        })
    }

    pub(crate) fn write(&self, writer: &mut impl Writer) {
        writer.u8(self.id());
        match self {
            Property::PayloadFormatIndicator(value) | Property::RequestProblemInformation(value) | Property::RequestResponseInformation(value) | Property::MaximumQos(value) | Property::RetainAvailable(value) | Property::WildcardSubscriptionAvailable(value) | Property::SubscriptionIdentifierAvailable(value) | Property::SharedSubscriptionAvailable(value) => writer.u8(*value),
            Property::MessageExpiryInterval(value) | Property::SessionExpiryInterval(value) | Property::WillDelayInterval(value) | Property::MaximumPacketSize(value) => writer.u32(*value),
            Property::ContentType(value) | Property::ResponseTopic(value) | Property::AssignedClientIdentifier(value) | Property::AuthenticationMethod(value) | Property::ResponseInformation(value) | Property::ServerReference(value) | Property::ReasonString(value) => writer.binary(value.as_bytes()),
            Property::CorrelationData(value) | Property::AuthenticationData(value) => writer.binary(value),
            Property::SubscriptionIdentifier(value) => writer.varint(*value),
            Property::ServerKeepAlive(value) | Property::ReceiveMaximum(value) | Property::TopicAliasMaximum(value) | Property::TopicAlias(value) => writer.u16(*value),
            Property::UserProperty(name, value) => {
                writer.binary(name.as_bytes());
                writer.binary(value.as_bytes());
            }
        }
    }
}

fn nonzero16(value: u16) -> Result<u16, Violation> {
    if value == 0 {
        return Err(Violation::protocol("a property is 0 that must not be"));
    }
    Ok(value)
}

fn nonzero32(value: u32) -> Result<u32, Violation> {
    if value == 0 {
        return Err(Violation::protocol("a property is 0 that must not be"));
    }
    Ok(value)
}

impl Properties {
    /// No properties.
    #[must_use]
    pub const fn new() -> Properties {
        Properties(Vec::new())
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds one at the end.
    #[must_use]
    pub fn with(mut self, property: Property) -> Properties {
        self.0.push(property);
        self
    }

    /// Adds one at the end where it is wanted.
    #[must_use]
    pub fn with_some(self, property: Option<Property>) -> Properties {
        match property {
            Some(property) => self.with(property),
            None => self,
        }
    }

    /// Every user property, in order.
    pub fn user_properties(&self) -> impl Iterator<Item = (&Text, &Text)> {
        self.0.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// Every subscription identifier, in order.
    pub fn subscription_identifiers(&self) -> impl Iterator<Item = u32> {
        self.0.iter().filter_map(|property| match property {
            Property::SubscriptionIdentifier(identifier) => Some(*identifier),
            _ => None,
        })
    }

    /// Reads a property block with its length; `place` says which are allowed.
    pub(crate) fn read(reader: &mut Reader, place: u16) -> Result<Properties, Violation> {
        let length = reader.varint()?;
        let mut block = reader.take(length as usize)?;
        let mut properties = Vec::new();
        let mut seen = 0u64;
        while !block.is_empty() {
            let id = block.u8()?;
            if Property::allowed(id) & place == 0 {
                return Err(if Property::allowed(id) == 0 {
                    Violation::malformed("an unknown property")
                } else {
                    Violation::protocol("a property that this packet cannot have")
                });
            }
            let repeatable = id == 0x26 || (id == 0x0b && place == place::PUBLISH);
            if !repeatable && seen & (1 << id) != 0 {
                return Err(Violation::protocol("a property stands twice"));
            }
            seen |= 1 << id;
            properties.push(Property::read(id, &mut block)?);
        }
        Ok(Properties(properties))
    }

    /// Writes a property block with its length: these, then those of `more`.
    pub(crate) fn write_all(writer: &mut impl Writer, these: &[Property], more: &[Property]) {
        if these.is_empty() && more.is_empty() {
            writer.u8(0);
            return;
        }
        let mut counter = crate::codec::Counter(0);
        for property in these.iter().chain(more) {
            property.write(&mut counter);
        }
        writer.varint(u32::try_from(counter.0).unwrap_or(u32::MAX));
        for property in these.iter().chain(more) {
            property.write(writer);
        }
    }

    /// How many bytes the block takes with its length.
    pub(crate) fn size(these: &[Property], more: &[Property]) -> usize {
        let mut counter = crate::codec::Counter(0);
        Properties::write_all(&mut counter, these, more);
        counter.0
    }
}

macro_rules! getters {
    ($($variant:ident $getter:ident $type:ty;)*) => {
        impl Properties {
            $(
                #[must_use]
                pub fn $getter(&self) -> Option<&$type> {
                    self.0.iter().find_map(|property| match property {
                        Property::$variant(value) => Some(value),
                        _ => None,
                    })
                }
            )*
        }
    };
}

getters! {
    PayloadFormatIndicator payload_format_indicator u8;
    MessageExpiryInterval message_expiry_interval u32;
    ContentType content_type Text;
    ResponseTopic response_topic Text;
    CorrelationData correlation_data Bytes;
    SubscriptionIdentifier subscription_identifier u32;
    SessionExpiryInterval session_expiry_interval u32;
    AssignedClientIdentifier assigned_client_identifier Text;
    ServerKeepAlive server_keep_alive u16;
    AuthenticationMethod authentication_method Text;
    AuthenticationData authentication_data Bytes;
    RequestProblemInformation request_problem_information u8;
    WillDelayInterval will_delay_interval u32;
    RequestResponseInformation request_response_information u8;
    ResponseInformation response_information Text;
    ServerReference server_reference Text;
    ReasonString reason_string Text;
    ReceiveMaximum receive_maximum u16;
    TopicAliasMaximum topic_alias_maximum u16;
    TopicAlias topic_alias u16;
    MaximumQos maximum_qos u8;
    RetainAvailable retain_available u8;
    MaximumPacketSize maximum_packet_size u32;
    WildcardSubscriptionAvailable wildcard_subscription_available u8;
    SubscriptionIdentifierAvailable subscription_identifier_available u8;
    SharedSubscriptionAvailable shared_subscription_available u8;
}
