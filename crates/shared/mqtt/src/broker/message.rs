//! A message inside the broker, and one delivery of it.

use crate::codec::PublishFrame;
use crate::packet::{Properties, Property, Publish, Qos, Text};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// A message, shared by everybody who gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: Text,
    pub payload: Bytes,
    pub qos: Qos,
    /// As the publisher set it.
    pub retain: bool,
    /// What travels on to receivers: no alias, no subscription identifier, no expiry.
    pub properties: Properties,
    /// When it is no longer of use, in milliseconds.
    pub expires_at: Option<u64>,
}

impl Message {
    /// A message as it came in, whose alias is resolved already.
    #[must_use]
    pub fn of(publish: Publish, now: u64) -> Message {
        let Publish {
            qos,
            retain,
            topic,
            mut properties,
            payload,
            ..
        } = publish;
        let expires_at = properties
            .message_expiry_interval()
            .map(|seconds| now + u64::from(*seconds) * 1000);
        if !properties.is_empty() {
            properties.0.retain(|property| {
                !matches!(
                    property,
                    Property::TopicAlias(_)
                        | Property::SubscriptionIdentifier(_)
                        | Property::MessageExpiryInterval(_)
                )
            });
        }
        Message {
            topic,
            payload,
            qos,
            retain,
            properties,
            expires_at,
        }
    }

    /// The same message with bytes of its own, so that it keeps no read buffer alive.
    #[must_use]
    pub fn detached(&self) -> Message {
        let mut bytes = BytesMut::with_capacity(self.topic.len() + self.payload.len());
        bytes.extend_from_slice(self.topic.as_bytes());
        bytes.extend_from_slice(&self.payload);
        let mut bytes = bytes.freeze();
        let payload = bytes.split_off(self.topic.len());
        Message {
            topic: Text::from_wire(bytes).unwrap_or_else(|| self.topic.detached()),
            payload,
            properties: Properties(self.properties.0.iter().map(detached).collect()),
            ..*self
        }
    }

    /// What it weighs in a queue: all that it keeps in memory.
    pub(crate) fn weight(&self) -> usize {
        let properties = if self.properties.is_empty() {
            0
        } else {
            self.properties.0.len() * size_of::<Property>()
                + Properties::size(&self.properties.0, &[])
        };
        self.topic.len() + self.payload.len() + properties + 64
    }

    pub(crate) fn is_expired(&self, now: u64) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

fn detached(property: &Property) -> Property {
    match property {
        Property::ContentType(text) => Property::ContentType(text.detached()),
        Property::ResponseTopic(text) => Property::ResponseTopic(text.detached()),
        Property::CorrelationData(bytes) => {
            Property::CorrelationData(Bytes::copy_from_slice(bytes))
        }
        Property::UserProperty(name, value) => {
            Property::UserProperty(name.detached(), value.detached())
        }
        other => other.clone(),
    }
}

/// One message for one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub message: Arc<Message>,
    pub qos: Qos,
    pub retain: bool,
    pub dup: bool,
    /// 0 where QoS is 0.
    pub packet_id: u16,
    /// Identifiers of the subscriptions that it matched.
    pub identifiers: Option<Box<[u32]>>,
}

/// Subscription identifiers; almost always none.
pub(crate) type Identifiers = Option<Box<[u32]>>;

impl Delivery {
    /// The properties of this delivery alone: identifiers, and what is left of the expiry.
    #[must_use]
    pub fn own_properties(&self, now: u64) -> Vec<Property> {
        let mut more = Vec::new();
        if let Some(at) = self.message.expires_at {
            let left = at.saturating_sub(now).div_ceil(1000);
            more.push(Property::MessageExpiryInterval(
                u32::try_from(left).unwrap_or(u32::MAX),
            ));
        }
        for identifier in self.identifiers.iter().flatten() {
            more.push(Property::SubscriptionIdentifier(*identifier));
        }
        more
    }

    /// The delivery as a packet to write.
    #[must_use]
    pub fn frame<'a>(&'a self, topic: &'a str, more: &'a [Property]) -> PublishFrame<'a> {
        PublishFrame {
            dup: self.dup,
            qos: self.qos,
            retain: self.retain,
            topic,
            packet_id: self.packet_id,
            properties: &self.message.properties.0,
            more,
            payload: &self.message.payload,
        }
    }
}
