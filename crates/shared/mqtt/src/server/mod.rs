//! One connection as a server sees it.
//!
//! Bytes are put into [`Connection::input`], events come out of [`Connection::poll`], and what must
//! be sent gathers in [`Connection::output`]. The protocol's order, limits, aliases, pings and the
//! keep-alive are kept here; who may do what, and where messages go, is not.

mod aliases;

use crate::Violation;
use crate::broker::Delivery;
use crate::codec::{Limits, decode, encode, encode_publish, publish_length};
use crate::packet::{
    Ack, ConnAck, Connect, Disconnect, Packet, Properties, Property, Publish, Qos, Reason, SubAck,
    Subscribe, Text, Unsubscribe, Version,
};
use aliases::{InboundAliases, OutboundAliases};
use bytes::BytesMut;

/// What a server grants.
#[derive(Clone, Debug)]
pub struct Options {
    /// Bytes of a packet from the client.
    pub packet: usize,
    /// Unacknowledged QoS 1 messages from the client (MQTT 5 is told, and held to it).
    pub receive_maximum: u16,
    /// Topic aliases from the client, and the most that are used towards it.
    pub topic_aliases: u16,
    /// Shortest and longest keep-alive in seconds; a client that wants none gets the longest.
    pub keep_alive: (u16, u16),
    /// Longest life of a session in seconds (MQTT 5).
    pub session_expiry: u32,
    /// Life of a session with clean session 0 (3.1.1), in seconds.
    pub session_expiry_v311: u32,
    /// Whether subscriptions may carry identifiers.
    pub subscription_identifiers: bool,
    /// Milliseconds until CONNECT must be there.
    pub connect_timeout: u64,
}

impl Default for Options {
    /// What AWS IoT Core grants.
    fn default() -> Self {
        Options {
            packet: 149_504,
            receive_maximum: 100,
            topic_aliases: 8,
            keep_alive: (30, 1200),
            session_expiry: 604_800,
            session_expiry_v311: 3600,
            subscription_identifiers: false,
            connect_timeout: 10_000,
        }
    }
}

/// What a client wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The first event, once; to be answered by `accept` or `refuse`.
    Connect(Box<Connect>),
    /// A message with its topic in full. QoS 1 is to be answered by `puback`.
    Publish(Publish),
    /// The client has a message (MQTT 5 may say that it failed; it is done with either way).
    PubAck { packet_id: u16, reason: Reason },
    /// To be answered by `suback`.
    Subscribe(Subscribe),
    /// To be answered by `unsuback`.
    Unsubscribe(Unsubscribe),
    /// The client leaves.
    Disconnect {
        /// It wants its will published all the same, or leaves because of a fault.
        with_will: bool,
        /// It changes the life of its session.
        session_expiry: Option<u32>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing came yet.
    Opened,
    /// CONNECT came and is not answered.
    Asked,
    Connected,
    Closed,
}

/// The state of one connection.
pub struct Connection {
    options: Options,
    phase: Phase,
    version: Version,
    input: BytesMut,
    output: BytesMut,
    /// When something last came in.
    heard_at: u64,
    /// Milliseconds of silence that end the connection; 0 = none.
    patience: u64,
    inbound: InboundAliases,
    outbound: OutboundAliases,
    unacknowledged: u16,
    wants_reasons: bool,
    client_packet: usize,
    session_expiry: u32,
    receive_maximum: u16,
    keep_alive: u16,
}

/// How a connection is accepted.
#[derive(Clone, Debug, Default)]
pub struct Acceptance {
    pub session_present: bool,
    /// The client id that the server chose, where the client sent none.
    pub assigned_client_id: Option<Text>,
}

impl Connection {
    /// A connection that was opened at `now`.
    #[must_use]
    pub fn new(options: Options, now: u64) -> Connection {
        Connection {
            inbound: InboundAliases::new(options.topic_aliases),
            outbound: OutboundAliases::default(),
            patience: options.connect_timeout,
            phase: Phase::Opened,
            version: Version::V311,
            input: BytesMut::new(),
            output: BytesMut::new(),
            heard_at: now,
            unacknowledged: 0,
            wants_reasons: true,
            client_packet: usize::MAX,
            session_expiry: 0,
            receive_maximum: u16::MAX,
            keep_alive: 0,
            options,
        }
    }

    /// Where bytes from the client are put.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Bytes for the client.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Says that bytes came in.
    pub fn heard(&mut self, now: u64) {
        if self.phase != Phase::Opened {
            self.heard_at = now;
        }
    }

    /// When the client must have been heard again.
    #[must_use]
    pub fn next_timeout(&self) -> Option<u64> {
        (self.patience > 0).then(|| self.heard_at + self.patience)
    }

    /// Ends a connection that was silent for too long.
    pub fn handle_timeout(&mut self, now: u64) -> Result<(), Violation> {
        match self.next_timeout() {
            Some(due) if due <= now => Err(Violation::new(
                Reason::KEEP_ALIVE_TIMEOUT,
                "nothing was heard for one and a half times the keep-alive",
            )),
            _ => Ok(()),
        }
    }

    /// The version that the client speaks; 3.1.1 before CONNECT.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The life of the session in seconds, as asked for and bounded.
    #[must_use]
    pub fn session_expiry(&self) -> u32 {
        self.session_expiry
    }

    /// What the client takes unacknowledged.
    #[must_use]
    pub fn receive_maximum(&self) -> u16 {
        self.receive_maximum
    }

    /// The next event, once its packet is whole. After an error only [`close`](Self::close) is of
    /// use.
    pub fn poll(&mut self) -> Result<Option<Event>, Violation> {
        loop {
            let version = match self.phase {
                Phase::Opened => None,
                Phase::Connected => Some(self.version),
                Phase::Asked | Phase::Closed => return Ok(None),
            };
            let limits = Limits {
                packet: self.options.packet,
            };
            let Some(packet) = decode(&mut self.input, version, limits)? else {
                return Ok(None);
            };
            if let Some(event) = self.packet(packet)? {
                return Ok(Some(event));
            }
        }
    }

    fn packet(&mut self, packet: Packet) -> Result<Option<Event>, Violation> {
        Ok(Some(match packet {
            Packet::Connect(connect) if self.phase == Phase::Opened => {
                self.connect(&connect)?;
                Event::Connect(connect)
            }
            Packet::Connect(_) => return Err(Violation::protocol("a second CONNECT")),
            Packet::Publish(publish) => Event::Publish(self.publish(publish)?),
            Packet::PubAck(ack) => Event::PubAck {
                packet_id: ack.packet_id,
                reason: ack.reason,
            },
            Packet::Subscribe(subscribe) => {
                self.check_subscribe(&subscribe)?;
                Event::Subscribe(subscribe)
            }
            Packet::Unsubscribe(unsubscribe) => Event::Unsubscribe(unsubscribe),
            Packet::PingReq => {
                encode(&mut self.output, &Packet::PingResp, self.version);
                return Ok(None);
            }
            Packet::Disconnect(disconnect) => self.leave(&disconnect)?,
            Packet::PubRec(_) | Packet::PubRel(_) | Packet::PubComp(_) => {
                return Err(Violation::protocol(
                    "a packet of QoS 2, which does not exist here",
                ));
            }
            Packet::Auth(_) => {
                return Err(Violation::protocol("AUTH without an authentication method"));
            }
            Packet::ConnAck(_) | Packet::SubAck(_) | Packet::UnsubAck(_) | Packet::PingResp => {
                return Err(Violation::protocol("a packet that only servers send"));
            }
        }))
    }

    fn connect(&mut self, connect: &Connect) -> Result<(), Violation> {
        self.phase = Phase::Asked;
        self.version = connect.version;
        let properties = &connect.properties;
        let bounded = |asked: u32| asked.min(self.options.session_expiry);
        self.session_expiry = match connect.version {
            Version::V5 => properties
                .session_expiry_interval()
                .map_or(0, |s| bounded(*s)),
            Version::V311 if connect.clean_start => 0,
            Version::V311 => self.options.session_expiry_v311,
        };
        self.receive_maximum = properties.receive_maximum().copied().unwrap_or(u16::MAX);
        self.wants_reasons = properties.request_problem_information() != Some(&0);
        self.client_packet = properties
            .maximum_packet_size()
            .map_or(usize::MAX, |size| *size as usize);
        let aliases = properties.topic_alias_maximum().copied().unwrap_or(0);
        self.outbound = OutboundAliases::new(aliases.min(self.options.topic_aliases));
        let (shortest, longest) = self.options.keep_alive;
        self.keep_alive = match connect.keep_alive {
            0 => longest,
            asked => asked.clamp(shortest, longest),
        };
        if properties.authentication_method().is_some() {
            return Err(Violation::new(
                Reason::BAD_AUTHENTICATION_METHOD,
                "enhanced authentication is not offered",
            ));
        }
        if let Some(will) = &connect.will {
            check_response_topic(&will.properties)?;
            if will.qos == Qos::ExactlyOnce {
                return Err(Violation::new(
                    Reason::QOS_NOT_SUPPORTED,
                    "the will has QoS 2",
                ));
            }
            if !crate::topic::is_valid_topic(&will.topic) {
                return Err(Violation::new(
                    Reason::TOPIC_NAME_INVALID,
                    "the will's topic is not a topic",
                ));
            }
        }
        if connect.client_id.is_empty() && connect.version == Version::V311 && !connect.clean_start
        {
            return Err(Violation::new(
                Reason::CLIENT_IDENTIFIER_NOT_VALID,
                "a session without a client id",
            ));
        }
        Ok(())
    }

    fn publish(&mut self, mut publish: Publish) -> Result<Publish, Violation> {
        if publish.qos == Qos::ExactlyOnce {
            return Err(Violation::new(
                Reason::QOS_NOT_SUPPORTED,
                "a message with QoS 2",
            ));
        }
        if publish
            .properties
            .subscription_identifiers()
            .next()
            .is_some()
        {
            return Err(Violation::protocol(
                "a subscription identifier from a client",
            ));
        }
        check_response_topic(&publish.properties)?;
        let alias = publish.properties.topic_alias().copied();
        publish.topic = self.inbound.resolve(publish.topic, alias)?;
        if !crate::topic::is_valid_topic(&publish.topic) {
            return Err(Violation::new(
                Reason::TOPIC_NAME_INVALID,
                "the topic is empty or holds a wildcard",
            ));
        }
        if publish.qos == Qos::AtLeastOnce {
            self.unacknowledged = self.unacknowledged.saturating_add(1);
            let told = self.version == Version::V5;
            if told && self.unacknowledged > self.options.receive_maximum {
                return Err(Violation::new(
                    Reason::RECEIVE_MAXIMUM_EXCEEDED,
                    "more unacknowledged messages than the receive maximum",
                ));
            }
        }
        Ok(publish)
    }

    fn check_subscribe(&self, subscribe: &Subscribe) -> Result<(), Violation> {
        if subscribe.properties.subscription_identifier().is_some()
            && !self.options.subscription_identifiers
        {
            return Err(Violation::new(
                Reason::SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED,
                "a subscription identifier",
            ));
        }
        let shared_no_local = subscribe
            .filters
            .iter()
            .any(|(filter, options)| options.no_local && filter.starts_with("$share/"));
        if shared_no_local {
            return Err(Violation::protocol("no local on a shared subscription"));
        }
        Ok(())
    }

    fn leave(&mut self, disconnect: &Disconnect) -> Result<Event, Violation> {
        let session_expiry = disconnect
            .properties
            .session_expiry_interval()
            .map(|seconds| (*seconds).min(self.options.session_expiry));
        if self.session_expiry == 0 && session_expiry.is_some_and(|seconds| seconds > 0) {
            return Err(Violation::protocol(
                "DISCONNECT gives life to a session that CONNECT gave none",
            ));
        }
        self.phase = Phase::Closed;
        Ok(Event::Disconnect {
            // Only a normal goodbye takes the will back (MQTT-3.14.4-3).
            with_will: disconnect.reason != Reason::SUCCESS,
            session_expiry,
        })
    }

    /// Lets the client in.
    pub fn accept(&mut self, now: u64, acceptance: Acceptance) {
        self.phase = Phase::Connected;
        self.heard_at = now;
        self.patience = u64::from(self.keep_alive) * 1500;
        let mut properties = Vec::new();
        if self.version == Version::V5 {
            let size = u32::try_from(self.options.packet).unwrap_or(u32::MAX);
            properties.extend([
                Property::SessionExpiryInterval(self.session_expiry),
                Property::ReceiveMaximum(self.options.receive_maximum),
                Property::MaximumQos(1),
                Property::RetainAvailable(1),
                Property::MaximumPacketSize(size),
            ]);
            properties.extend(
                acceptance
                    .assigned_client_id
                    .map(Property::AssignedClientIdentifier),
            );
            properties.extend([
                Property::TopicAliasMaximum(self.options.topic_aliases),
                Property::SubscriptionIdentifierAvailable(u8::from(
                    self.options.subscription_identifiers,
                )),
                Property::SharedSubscriptionAvailable(1),
                Property::ServerKeepAlive(self.keep_alive),
            ]);
        }
        let connack = Packet::ConnAck(ConnAck {
            session_present: acceptance.session_present,
            reason: Reason::SUCCESS,
            properties: Properties(properties),
        });
        encode(&mut self.output, &connack, self.version);
    }

    /// Acknowledges a message of the client. In 3.1.1 a failure cannot be said.
    pub fn puback(&mut self, packet_id: u16, reason: Reason) {
        self.unacknowledged = self.unacknowledged.saturating_sub(1);
        let ack = Packet::PubAck(Ack {
            packet_id,
            reason,
            properties: Properties::new(),
        });
        encode(&mut self.output, &ack, self.version);
    }

    /// Answers SUBSCRIBE.
    pub fn suback(&mut self, packet_id: u16, reasons: Vec<Reason>) {
        let ack = Packet::SubAck(SubAck {
            packet_id,
            properties: Properties::new(),
            reasons,
        });
        encode(&mut self.output, &ack, self.version);
    }

    /// Answers UNSUBSCRIBE.
    pub fn unsuback(&mut self, packet_id: u16, reasons: Vec<Reason>) {
        let ack = Packet::UnsubAck(SubAck {
            packet_id,
            properties: Properties::new(),
            reasons,
        });
        encode(&mut self.output, &ack, self.version);
    }

    /// Writes a message. `false`: it is larger than the client takes, and was left out; the caller
    /// treats it as acknowledged.
    pub fn deliver(&mut self, now: u64, delivery: &Delivery) -> bool {
        let mut more = Vec::new();
        let mut topic = delivery.message.topic.as_str();
        if self.version == Version::V5 {
            more = delivery.own_properties(now);
            let (shown, alias) = self.outbound.shorten(&delivery.message.topic);
            if !shown {
                topic = "";
            }
            more.extend(alias.map(Property::TopicAlias));
        }
        let frame = delivery.frame(topic, &more);
        if self.client_packet != usize::MAX
            && publish_length(&frame, self.version) > self.client_packet
        {
            self.outbound.take_back(&delivery.message.topic);
            return false;
        }
        encode_publish(&mut self.output, &frame, self.version);
        true
    }

    /// Ends the connection from this side: refuses a CONNECT, or says DISCONNECT in MQTT 5.
    /// The output is to be sent before the socket is closed.
    pub fn close(&mut self, reason: Reason, text: &'static str) {
        let packet = match self.phase {
            Phase::Asked | Phase::Opened => {
                let tell =
                    self.phase == Phase::Asked || reason == Reason::UNSUPPORTED_PROTOCOL_VERSION;
                tell.then(|| {
                    Packet::ConnAck(ConnAck {
                        session_present: false,
                        reason,
                        properties: self.reason_text(text),
                    })
                })
            }
            Phase::Connected if self.version == Version::V5 => {
                Some(Packet::Disconnect(Disconnect {
                    reason,
                    properties: self.reason_text(text),
                }))
            }
            Phase::Connected | Phase::Closed => None,
        };
        if let Some(packet) = packet {
            encode(&mut self.output, &packet, self.version);
        }
        self.phase = Phase::Closed;
    }

    fn reason_text(&self, text: &'static str) -> Properties {
        let property = (self.version == Version::V5 && self.wants_reasons && !text.is_empty())
            .then(|| Property::ReasonString(text.into()));
        Properties::new().with_some(property)
    }
}

/// Receivers answer to this topic; one with wildcards would make them break the protocol.
fn check_response_topic(properties: &Properties) -> Result<(), Violation> {
    match properties.response_topic() {
        Some(topic) if !crate::topic::is_valid_topic(topic) => Err(Violation::protocol(
            "the response topic is empty or holds a wildcard",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
