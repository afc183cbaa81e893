//! One client over many connections.
//!
//! Like [`crate::server::Connection`] it takes bytes and gives events and bytes. What outlives a
//! connection stays inside: QoS 1 messages that were not acknowledged, which are sent again, with
//! their identifiers, as soon as the next connection stands.

mod state;

pub use state::{ClientOptions, Event, Outcome};

use crate::Violation;
use crate::codec::{Limits, PublishFrame, decode, encode, encode_publish, publish_length};
use crate::packet::{
    Ack, ConnAck, Connect, Disconnect, Packet, Properties, Property, Publish, Qos, Reason, SubAck,
    Subscribe, SubscribeOptions, Text, Unsubscribe, Version,
};
use bytes::BytesMut;
use state::{InFlight, Operation, Phase};
use std::collections::VecDeque;

/// The state of a client.
pub struct Client {
    options: ClientOptions,
    phase: Phase,
    input: BytesMut,
    output: BytesMut,
    in_flight: VecDeque<InFlight>,
    operations: VecDeque<Operation>,
    next_packet_id: u16,
    sent_at: u64,
    heard_at: u64,
    ping_sent_at: Option<u64>,
    started_at: u64,
    keep_alive: u64,
    server_receive_maximum: u16,
    server_packet: usize,
    server_retains: bool,
}

impl Client {
    /// A client that has not connected yet.
    #[must_use]
    pub fn new(options: ClientOptions) -> Client {
        Client {
            keep_alive: u64::from(options.keep_alive) * 1000,
            options,
            phase: Phase::Idle,
            input: BytesMut::new(),
            output: BytesMut::new(),
            in_flight: VecDeque::new(),
            operations: VecDeque::new(),
            next_packet_id: 1,
            sent_at: 0,
            heard_at: 0,
            ping_sent_at: None,
            started_at: 0,
            server_receive_maximum: u16::MAX,
            server_packet: usize::MAX,
            server_retains: true,
        }
    }

    /// Begins a connection: CONNECT is in the output.
    pub fn start(&mut self, now: u64, clean_start: bool) {
        self.input.clear();
        self.output.clear();
        self.phase = Phase::Connecting;
        self.started_at = now;
        self.sent_at = now;
        self.heard_at = now;
        self.ping_sent_at = None;
        let options = &self.options;
        let mut properties = Vec::new();
        if options.version == Version::V5 {
            if options.session_expiry > 0 {
                properties.push(Property::SessionExpiryInterval(options.session_expiry));
            }
            if options.receive_maximum > 0 {
                properties.push(Property::ReceiveMaximum(options.receive_maximum));
            }
            properties.push(Property::RequestProblemInformation(1));
        }
        let connect = Packet::Connect(Box::new(Connect {
            version: options.version,
            clean_start,
            keep_alive: options.keep_alive,
            client_id: options.client_id.clone(),
            will: None,
            username: options.username.clone(),
            password: None,
            properties: Properties(properties),
        }));
        encode(&mut self.output, &connect, self.options.version);
    }

    /// Where bytes from the server are put.
    pub fn input(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Says that bytes came in.
    pub fn heard(&mut self, now: u64) {
        self.heard_at = now;
    }

    /// Bytes for the server.
    pub fn output(&mut self) -> &mut BytesMut {
        &mut self.output
    }

    /// Whether CONNACK let this client in.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.phase == Phase::Connected
    }

    /// Whether a QoS 1 message may be sent now.
    #[must_use]
    pub fn has_room(&self) -> bool {
        let window = self.options.in_flight.min(self.server_receive_maximum);
        self.is_connected() && self.in_flight.len() < usize::from(window)
    }

    /// How many QoS 1 messages are not acknowledged.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// The token of the QoS 1 message that waits longest for its acknowledgement.
    #[must_use]
    pub fn oldest_in_flight(&self) -> Option<u64> {
        self.in_flight.front().map(|entry| entry.token)
    }

    /// Sends a message. QoS 1 is kept until it is acknowledged, and its outcome is an event with
    /// `token`. Call only while [`is_connected`](Self::is_connected); QoS 1 only with room.
    pub fn publish(&mut self, now: u64, token: u64, mut publish: Publish) -> Outcome {
        if publish.retain && !self.server_retains {
            return Outcome::Refused(Reason::RETAIN_NOT_SUPPORTED);
        }
        publish.dup = false;
        publish.packet_id = 0;
        if publish.qos != Qos::AtMostOnce {
            publish.qos = Qos::AtLeastOnce;
            publish.packet_id = self.free_id();
        }
        let version = self.options.version;
        let frame = frame(&publish);
        if publish_length(&frame, version) > self.server_packet {
            return Outcome::Refused(Reason::PACKET_TOO_LARGE);
        }
        encode_publish(&mut self.output, &frame, version);
        self.sent_at = now;
        if publish.qos != Qos::AtMostOnce {
            self.in_flight.push_back(InFlight { token, publish });
        }
        Outcome::Sent
    }

    /// Asks for messages; the outcome is an event with `token`.
    pub fn subscribe(&mut self, now: u64, token: u64, filters: Vec<(Text, SubscribeOptions)>) {
        let packet_id = self.free_id();
        self.operation(now, token, packet_id);
        let packet = Packet::Subscribe(Subscribe {
            packet_id,
            properties: Properties::new(),
            filters,
        });
        encode(&mut self.output, &packet, self.options.version);
    }

    /// Ends subscriptions; the outcome is an event with `token`.
    pub fn unsubscribe(&mut self, now: u64, token: u64, filters: Vec<Text>) {
        let packet_id = self.free_id();
        self.operation(now, token, packet_id);
        let packet = Packet::Unsubscribe(Unsubscribe {
            packet_id,
            properties: Properties::new(),
            filters,
        });
        encode(&mut self.output, &packet, self.options.version);
    }

    fn operation(&mut self, now: u64, token: u64, packet_id: u16) {
        self.sent_at = now;
        self.operations.push_back(Operation {
            token,
            packet_id,
            started_at: now,
        });
    }

    /// Acknowledges a message that came with an identifier.
    pub fn acknowledge(&mut self, now: u64, packet_id: u16) {
        if packet_id == 0 || !self.is_connected() {
            return;
        }
        let ack = Packet::PubAck(Ack {
            packet_id,
            reason: Reason::SUCCESS,
            properties: Properties::new(),
        });
        encode(&mut self.output, &ack, self.options.version);
        self.sent_at = now;
    }

    /// Says goodbye; the server keeps the session as it was asked to.
    pub fn disconnect(&mut self) {
        if self.is_connected() {
            let packet = Packet::Disconnect(Disconnect {
                reason: Reason::SUCCESS,
                properties: Properties::new(),
            });
            encode(&mut self.output, &packet, self.options.version);
        }
        self.phase = Phase::Idle;
    }

    /// The connection is gone: the tokens of subscribe and unsubscribe operations that will not be
    /// answered any more. Messages in flight stay.
    pub fn lost(&mut self) -> Vec<u64> {
        self.phase = Phase::Idle;
        self.input.clear();
        self.output.clear();
        self.operations.drain(..).map(|op| op.token).collect()
    }

    /// Gives up a message in flight or an operation; nothing will be reported for its token.
    pub fn forget(&mut self, token: u64) {
        self.in_flight.retain(|entry| entry.token != token);
    }

    /// When [`handle_timeout`](Self::handle_timeout) has work.
    #[must_use]
    pub fn next_timeout(&self) -> Option<u64> {
        match self.phase {
            Phase::Idle => None,
            Phase::Connecting => Some(self.started_at + self.options.operation_timeout),
            Phase::Connected => {
                let ping = match self.ping_sent_at {
                    Some(sent) => Some(sent.max(self.heard_at) + self.options.ping_timeout),
                    None => self.ping_due(),
                };
                let operation = self
                    .operations
                    .front()
                    .map(|operation| operation.started_at + self.options.operation_timeout);
                ping.into_iter().chain(operation).min()
            }
        }
    }

    /// When a ping is due: after silence on either side. What is sent without an answer (QoS 0) says
    /// nothing about whether it arrives.
    fn ping_due(&self) -> Option<u64> {
        (self.keep_alive > 0).then(|| self.sent_at.min(self.heard_at) + self.keep_alive)
    }

    /// Sends a ping that is due, fails operations that took too long, and finds a silent server.
    pub fn handle_timeout(&mut self, now: u64) -> Result<Option<Event>, Violation> {
        let late = |what| Err(Violation::new(Reason::KEEP_ALIVE_TIMEOUT, what));
        match self.phase {
            Phase::Idle => Ok(None),
            Phase::Connecting => {
                if self.started_at + self.options.operation_timeout <= now {
                    return late("no CONNACK in time");
                }
                Ok(None)
            }
            Phase::Connected => {
                if let Some(sent) = self.ping_sent_at {
                    // Its answer may stand behind much else on a slow line.
                    if sent.max(self.heard_at) + self.options.ping_timeout <= now {
                        return late("no answer to a ping in time");
                    }
                } else if self.ping_due().is_some_and(|due| due <= now) {
                    encode(&mut self.output, &Packet::PingReq, self.options.version);
                    self.sent_at = now;
                    self.ping_sent_at = Some(now);
                }
                let timeout = self.options.operation_timeout;
                let overdue = self
                    .operations
                    .front()
                    .is_some_and(|operation| operation.started_at + timeout <= now);
                if overdue && let Some(operation) = self.operations.pop_front() {
                    return Ok(Some(Event::TimedOut {
                        token: operation.token,
                    }));
                }
                Ok(None)
            }
        }
    }

    /// The next event, once its packet is whole. An error ends the connection.
    pub fn poll(&mut self, now: u64) -> Result<Option<Event>, Violation> {
        loop {
            if self.phase == Phase::Idle {
                return Ok(None);
            }
            let limits = Limits {
                packet: self.options.packet,
            };
            let version = Some(self.options.version);
            let Some(packet) = decode(&mut self.input, version, limits)? else {
                return Ok(None);
            };
            if let Some(event) = self.packet(now, packet)? {
                return Ok(Some(event));
            }
        }
    }

    fn packet(&mut self, now: u64, packet: Packet) -> Result<Option<Event>, Violation> {
        if self.phase == Phase::Connecting {
            return match packet {
                Packet::ConnAck(connack) => Ok(Some(self.connack(now, &connack))),
                _ => Err(Violation::protocol("the first packet is not CONNACK")),
            };
        }
        Ok(Some(match packet {
            Packet::Publish(publish) => Event::Message(check_message(publish)?),
            Packet::PubAck(ack) => match self.acknowledged(ack.packet_id) {
                Some(token) => Event::Published {
                    token,
                    reason: ack.reason,
                },
                None => return Ok(None),
            },
            Packet::SubAck(ack) => match self.answered(&ack) {
                Some(token) => Event::Subscribed {
                    token,
                    reasons: ack.reasons,
                },
                None => return Ok(None),
            },
            Packet::UnsubAck(ack) => match self.answered(&ack) {
                Some(token) => Event::Unsubscribed {
                    token,
                    reasons: ack.reasons,
                },
                None => return Ok(None),
            },
            Packet::PingResp => {
                self.heard_at = now;
                self.ping_sent_at = None;
                return Ok(None);
            }
            Packet::Disconnect(disconnect) => {
                self.phase = Phase::Idle;
                Event::Closed {
                    reason: disconnect.reason,
                    text: disconnect.properties.reason_string().cloned(),
                }
            }
            _ => return Err(Violation::protocol("a packet that servers do not send")),
        }))
    }

    fn connack(&mut self, now: u64, connack: &ConnAck) -> Event {
        let properties = &connack.properties;
        if connack.reason.is_failure() {
            self.phase = Phase::Idle;
            return Event::Refused {
                reason: connack.reason,
                text: properties.reason_string().cloned(),
            };
        }
        self.phase = Phase::Connected;
        self.heard_at = now;
        self.server_receive_maximum = properties.receive_maximum().copied().unwrap_or(u16::MAX);
        self.server_packet = properties
            .maximum_packet_size()
            .map_or(usize::MAX, |size| *size as usize);
        self.server_retains = properties.retain_available() != Some(&0);
        let keep_alive = properties
            .server_keep_alive()
            .copied()
            .unwrap_or(self.options.keep_alive);
        self.keep_alive = u64::from(keep_alive) * 1000;
        self.resend(now, connack.session_present);
        Event::Connected {
            session_present: connack.session_present,
        }
    }

    /// Sends again what was not acknowledged, oldest first.
    fn resend(&mut self, now: u64, session_present: bool) {
        for entry in &mut self.in_flight {
            // A server that forgot the session has never seen these identifiers.
            entry.publish.dup = session_present;
            encode_publish(
                &mut self.output,
                &frame(&entry.publish),
                self.options.version,
            );
            self.sent_at = now;
        }
    }

    fn acknowledged(&mut self, packet_id: u16) -> Option<u64> {
        let index = self
            .in_flight
            .iter()
            .position(|entry| entry.publish.packet_id == packet_id)?;
        self.in_flight.remove(index).map(|entry| entry.token)
    }

    fn answered(&mut self, ack: &SubAck) -> Option<u64> {
        let index = self
            .operations
            .iter()
            .position(|operation| operation.packet_id == ack.packet_id)?;
        self.operations
            .remove(index)
            .map(|operation| operation.token)
    }

    fn free_id(&mut self) -> u16 {
        loop {
            let id = self.next_packet_id;
            self.next_packet_id = if id == u16::MAX { 1 } else { id + 1 };
            let taken = self
                .in_flight
                .iter()
                .any(|entry| entry.publish.packet_id == id)
                || self.operations.iter().any(|entry| entry.packet_id == id);
            if !taken {
                return id;
            }
        }
    }
}

fn check_message(publish: Publish) -> Result<Publish, Violation> {
    if publish.qos == Qos::ExactlyOnce {
        return Err(Violation::new(
            Reason::QOS_NOT_SUPPORTED,
            "a message with QoS 2, which was never asked for",
        ));
    }
    if publish.properties.topic_alias().is_some() {
        return Err(Violation::new(
            Reason::TOPIC_ALIAS_INVALID,
            "a topic alias, which was not offered",
        ));
    }
    if !crate::topic::is_valid_topic(&publish.topic) {
        return Err(Violation::new(
            Reason::TOPIC_NAME_INVALID,
            "the topic is empty or holds a wildcard",
        ));
    }
    Ok(publish)
}

fn frame(publish: &Publish) -> PublishFrame<'_> {
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

#[cfg(test)]
mod tests;
