//! MQTT 3.1.1 and 5 without IO: packets, topics, connections of both roles, and the broker.
//!
//! | Room | Holds |
//! |---|---|
//! | [`packet`] | packets of both versions as values, reasons, properties |
//! | [`codec`] | bytes to packets and back, incrementally, within limits |
//! | [`topic`] | what topics and filters are valid, what matches what, the subscription trie |
//! | [`server`] | one connection as a server sees it: protocol order, limits, keep-alive, aliases |
//! | [`client`] | one client over many connections: in-flight messages, acknowledgements, pings |
//! | [`broker`] | sessions, subscriptions, retained messages and wills of one tenant |
//!
//! Both versions share every room but the codec's writers: 3.1.1 is MQTT 5 without properties.
//!
//! It never opens a socket, reads a clock or draws a random number: time is an argument in
//! milliseconds, bytes come in and go out through buffers. It decides no permission.
//!
//! Invariants:
//! - No input makes it panic; what breaks the protocol is a [`Violation`] with the reason that the
//!   peer is told.
//! - No buffer, window or queue grows beyond a limit that its owner set.
//! - A QoS 1 message stays with its session until it is acknowledged or expires.
//!
//! Knowing limit: QoS 2 does not exist here, as on AWS IoT Core.
//!
//! Read first: [`packet::Packet`], [`codec::decode`], [`server::Connection`], [`broker::Broker`],
//! [`client::Client`].

pub mod broker;
pub mod client;
pub mod codec;
pub mod packet;
pub mod server;
pub mod topic;
mod violation;

pub use packet::{Packet, Qos, Reason, Text, Version};
pub use violation::Violation;
