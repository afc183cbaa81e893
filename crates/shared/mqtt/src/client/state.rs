//! The values of a client.

use crate::packet::{Publish, Reason, Text, Version};

/// How a client introduces itself and how long it waits.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    pub client_id: Text,
    pub version: Version,
    pub username: Option<Text>,
    /// Seconds; 0 switches pings off.
    pub keep_alive: u16,
    /// Milliseconds from a ping to its answer.
    pub ping_timeout: u64,
    /// Milliseconds from CONNECT, SUBSCRIBE or UNSUBSCRIBE to the answer.
    pub operation_timeout: u64,
    /// Seconds that the session outlives a connection (MQTT 5).
    pub session_expiry: u32,
    /// Unacknowledged messages from the server (MQTT 5); 0 leaves it to the standard.
    pub receive_maximum: u16,
    /// Unacknowledged messages to the server.
    pub in_flight: u16,
    /// Bytes of a packet from the server.
    pub packet: usize,
}

impl ClientOptions {
    /// The Java nucleus's figures.
    #[must_use]
    pub fn new(client_id: impl Into<Text>, version: Version) -> ClientOptions {
        ClientOptions {
            client_id: client_id.into(),
            version,
            username: None,
            keep_alive: 60,
            ping_timeout: 30_000,
            operation_timeout: 30_000,
            session_expiry: 604_800,
            receive_maximum: 100,
            in_flight: 5,
            packet: 1 << 20,
        }
    }
}

/// What became of a message given to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the output; with QoS 1 an event will follow.
    Sent,
    /// The server said in CONNACK that it takes no such message.
    Refused(Reason),
}

/// What a client learns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// CONNACK let it in.
    Connected { session_present: bool },
    /// CONNACK did not.
    Refused { reason: Reason, text: Option<Text> },
    /// A message; one with an identifier is to be acknowledged.
    Message(Publish),
    /// A QoS 1 message was answered.
    Published { token: u64, reason: Reason },
    /// SUBSCRIBE was answered, one reason a filter.
    Subscribed { token: u64, reasons: Vec<Reason> },
    /// UNSUBSCRIBE was answered; 3.1.1 gives no reasons.
    Unsubscribed { token: u64, reasons: Vec<Reason> },
    /// SUBSCRIBE or UNSUBSCRIBE was not answered in time.
    TimedOut { token: u64 },
    /// The server ended the connection and said why (MQTT 5).
    Closed { reason: Reason, text: Option<Text> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Idle,
    Connecting,
    Connected,
}

pub(super) struct InFlight {
    pub(super) token: u64,
    pub(super) publish: Publish,
}

pub(super) struct Operation {
    pub(super) token: u64,
    pub(super) packet_id: u16,
    pub(super) started_at: u64,
}
