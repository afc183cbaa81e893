//! Local publish/subscribe: from one connection straight into the outboxes of others.

mod trie;

use crate::outbox::{Delivery, Outbox};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use sward_event_stream::{MessageTemplate, MessageType};
use sward_ipc_model::{
    IpcError, PublishMessage, ReceiveMode, StreamingOperation, SubscribeToTopic,
};
use sward_policy::topic::{Invalid, check_local_publish};
use trie::Trie;

/// A publisher whose frames have been larger than this gives their buffer back.
const KEPT_FRAME: usize = 64 * 1024;

/// One SubscribeToTopic stream.
#[derive(Debug)]
pub(crate) struct Subscriber {
    id: u64,
    outbox: Arc<Outbox>,
    stream: i32,
    /// Name of the component or CLI client that subscribed.
    owner: Arc<str>,
    receive_mode: ReceiveMode,
}

/// The subscribers that one topic reaches.
pub(crate) type Route = Arc<[Arc<Subscriber>]>;

/// A message as the payload of an event, in parts that borrow the publisher's request.
pub(crate) struct EventPayload<'a> {
    parts: [&'a [u8]; 5],
}

impl<'a> EventPayload<'a> {
    /// `topic` and `object` are JSON texts.
    pub(crate) fn json(topic: &'a [u8], object: &'a [u8]) -> Self {
        EventPayload {
            parts: [
                br#"{"jsonMessage":{"message":"#,
                object,
                br#","context":{"topic":"#,
                topic,
                b"}}}",
            ],
        }
    }

    /// `topic` is a JSON text, `base64` the text between quotes.
    pub(crate) fn binary(topic: &'a [u8], base64: &'a [u8]) -> Self {
        EventPayload {
            parts: [
                br#"{"binaryMessage":{"message":""#,
                base64,
                br#"","context":{"topic":"#,
                topic,
                b"}}}",
            ],
        }
    }
}

/// All subscriptions of this device.
#[derive(Debug)]
pub(crate) struct Bus {
    trie: Mutex<Trie<Arc<Subscriber>>>,
    /// Counts changes, so that cached routes know that they are void.
    generation: AtomicU64,
    next_id: AtomicU64,
    event: MessageTemplate,
}

impl Default for Bus {
    fn default() -> Self {
        Bus {
            trie: Mutex::default(),
            generation: AtomicU64::new(0),
            next_id: AtomicU64::new(0),
            event: MessageTemplate::json(
                MessageType::ApplicationMessage,
                0,
                SubscribeToTopic::EVENT_TYPE,
            ),
        }
    }
}

impl Bus {
    fn trie(&self) -> MutexGuard<'_, Trie<Arc<Subscriber>>> {
        self.trie.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Subscribes a stream whose response is already in the outbox. The subscription ends when
    /// the answer is dropped.
    pub(crate) fn subscribe(
        self: &Arc<Self>,
        filter: &str,
        receive_mode: ReceiveMode,
        owner: Arc<str>,
        outbox: Arc<Outbox>,
        stream: i32,
    ) -> Subscription {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let subscriber = Subscriber {
            id,
            outbox,
            stream,
            owner,
            receive_mode,
        };
        self.trie().insert(filter, Arc::new(subscriber));
        self.generation.fetch_add(1, Ordering::Release);
        Subscription {
            bus: Arc::clone(self),
            filter: filter.into(),
            id,
        }
    }

    /// The subscribers that a topic reaches now; those whose event is the same frame are neighbours.
    pub(crate) fn route(&self, topic: &str) -> Route {
        let mut subscribers = Vec::new();
        self.trie()
            .matches(topic, |subscriber| subscribers.push(Arc::clone(subscriber)));
        subscribers.sort_by_key(|subscriber| subscriber.stream);
        subscribers.into()
    }

    /// Puts a message into the outbox of each subscriber that wants it. The event is encoded into
    /// `frame` once for all subscribers that have the same stream number.
    pub(crate) fn deliver(
        &self,
        route: &Route,
        publisher: &str,
        payload: &EventPayload<'_>,
        frame: &mut Vec<u8>,
    ) {
        let mut encoded_for = None;
        for subscriber in route.iter() {
            if subscriber.receive_mode == ReceiveMode::FromOthers && *subscriber.owner == *publisher
            {
                continue;
            }
            if encoded_for != Some(subscriber.stream) {
                frame.clear();
                let written = self.event.write(frame, subscriber.stream, &payload.parts);
                if let Err(error) = written {
                    tracing::warn!(%error, "a message is too long for its subscribers");
                    return;
                }
                encoded_for = Some(subscriber.stream);
            }
            let delivery = subscriber.outbox.deliver(frame.len(), |frames| {
                frames.extend_from_slice(frame);
            });
            if delivery == Delivery::Dropped && subscriber.outbox.dropped().is_power_of_two() {
                tracing::warn!(
                    component = &*subscriber.owner,
                    dropped = subscriber.outbox.dropped(),
                    "messages are dropped, the subscriber does not keep up"
                );
            }
        }
        if frame.capacity() > KEPT_FRAME {
            *frame = Vec::new();
        }
    }
}

/// A subscription; dropping it ends it.
#[derive(Debug)]
pub(crate) struct Subscription {
    bus: Arc<Bus>,
    filter: Box<str>,
    id: u64,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.bus
            .trie()
            .remove(&self.filter, |subscriber| subscriber.id == self.id);
        self.bus.generation.fetch_add(1, Ordering::Release);
    }
}

/// Publishes local messages for parts of the core itself.
#[derive(Clone, Debug)]
pub struct LocalPublisher {
    pub(crate) bus: Arc<Bus>,
}

impl LocalPublisher {
    /// Publishes in the name of a component of the core.
    ///
    /// # Errors
    /// A topic with wildcards or of slashes only, or a message that is neither JSON nor binary.
    pub fn publish(
        &self,
        publisher: &str,
        topic: &str,
        message: &PublishMessage,
    ) -> Result<(), IpcError> {
        check_topic(topic)?;
        let route = self.bus.route(topic);
        let topic_json = serde_json::to_vec(topic).expect("a text serialises");
        let (json, base64);
        let payload = match message {
            PublishMessage {
                json_message: Some(message),
                ..
            } => {
                let document = message.message.clone().unwrap_or_default();
                json = serde_json::to_vec(&document).expect("a document serialises");
                EventPayload::json(&topic_json, &json)
            }
            PublishMessage {
                binary_message: Some(message),
                ..
            } => {
                let bytes = message.message.as_ref().map_or(&[][..], |blob| &blob.0);
                base64 = sward_ipc_model::Blob::encode(bytes);
                EventPayload::binary(&topic_json, base64.as_bytes())
            }
            _ => return Err(IpcError::invalid("The message is neither JSON nor binary")),
        };
        self.bus
            .deliver(&route, publisher, &payload, &mut Vec::new());
        Ok(())
    }
}

/// Whether one can publish to a topic, asked after authorization.
pub(crate) fn check_topic(topic: &str) -> Result<(), IpcError> {
    match check_local_publish(topic) {
        Ok(()) => Ok(()),
        // The nucleus fails over such a topic, and answers that it did.
        Err(Invalid::NoLevels) => Err(IpcError::service("The topic has no levels, only slashes")),
        Err(_) => Err(IpcError::invalid(
            "Publish topic must not contain a wildcard.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use sward_ipc_model::ErrorName;

    #[expect(clippy::print_stdout, reason = "says what was not tested")]
    #[test]
    fn topics_are_as_valid_as_the_nucleus_says() {
        let path = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../../shared/golden/topic_validity.jsonl"
        );
        let Ok(cases) = std::fs::read_to_string(path) else {
            println!("passed over: {path} is not there");
            return;
        };
        for line in cases.lines() {
            let case: Value = serde_json::from_str(line).expect("a case");
            let topic = case["topic"].as_str().expect("a topic");
            let found = match check_topic(topic) {
                Ok(()) => "ok",
                Err(error) if error.name == ErrorName::InvalidArgumentsError => "invalid",
                Err(_) => "crash",
            };
            assert_eq!(case["localPublish"], found, "{topic:?}");
        }
    }
}
