//! What a broker asks its store to remember.

use bytes::Bytes;

/// One durable change, in the order in which it happened.
///
/// Records are opaque to a store: bytes that this crate wrote and reads again.
/// Loading a store gives the same values back: the changes that put something
/// (`Session`, `Subscription`, `Queued`, `Retained`), each at most once for its key, sessions before
/// what belongs to them, messages of a client in ascending sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A persistent session exists, or its description changed. Key: client id.
    Session { client_id: String, record: Bytes },
    /// A session ended; its subscriptions and messages go with it.
    SessionGone { client_id: String },
    /// A subscription of a persistent session. Key: client id and filter.
    Subscription {
        client_id: String,
        filter: String,
        record: Bytes,
    },
    /// The client unsubscribed.
    SubscriptionGone { client_id: String, filter: String },
    /// A message waits for a client. Key: client id and sequence, which ascends for a client.
    Queued {
        client_id: String,
        sequence: u64,
        record: Bytes,
    },
    /// The client acknowledged a message, or it expired.
    Delivered { client_id: String, sequence: u64 },
    /// The retained message of a topic. Key: topic.
    Retained { topic: String, record: Bytes },
    /// The retained message of a topic was cleared, or has expired.
    RetainedGone { topic: String },
}
