//! From the spool to the wire, and what the cloud says to it.

use super::ConnectionTask;
use crate::mqtt::error::PublishFailure;
use crate::mqtt::is_final;
use crate::spooler::Patience;
use sward_mqtt::Reason;
use sward_mqtt::client::Outcome;
use sward_mqtt::packet::{Publish, Text};

/// Between tries of a message that the cloud could not take just then.
const AFTER_REFUSAL: Patience = Patience {
    first_ms: 100,
    longest_ms: 30_000,
};
/// Between tries of a message that seems to end connections.
const AFTER_BLAME: Patience = Patience {
    first_ms: 10_000,
    longest_ms: 600_000,
};
/// Connections in a row that must end on the same message without a word from the cloud.
const STRIKES: u32 = 3;

impl ConnectionTask {
    /// Sends what the spool holds, as far as the window allows. Only the first connection does.
    pub(super) fn send_spooled(&mut self) {
        if self.index != 0 {
            return;
        }
        let now = self.now();
        let mut done = Vec::new();
        let mut inner = self.shared.lock();
        inner.spool.wake(now);
        while let Some((_, qos0)) = inner.spool.peek() {
            if (!qos0 && !self.client.has_room()) || self.client.output().len() > 256 * 1024 {
                break;
            }
            let Some((id, spooled)) = inner.spool.take() else {
                break;
            };
            let publish = Publish {
                dup: false,
                qos: spooled.message.qos,
                retain: spooled.message.retain,
                topic: Text::from(spooled.message.topic.as_str()),
                packet_id: 0,
                properties: spooled.message.properties.to_wire(),
                payload: spooled.message.payload.clone(),
            };
            let topic = spooled.message.topic.clone();
            match self.client.publish(now, id, publish) {
                Outcome::Sent if qos0 => done.extend(inner.spool.remove(id).map(|m| (m, Ok(())))),
                Outcome::Sent => {}
                Outcome::Refused(reason) => {
                    let failure = PublishFailure::Refused { topic, reason };
                    done.extend(inner.spool.remove(id).map(|m| (m, Err(failure))));
                }
            }
        }
        drop(inner);
        for (message, outcome) in done {
            message.done.send(outcome).ok();
        }
    }

    pub(super) fn published(&mut self, id: u64, reason: Reason) {
        let now = self.now();
        let limit = self.shared.settings.borrow().settings.max_publish_retry;
        let mut inner = self.shared.lock();
        let (finished, outcome) = if is_final(reason) {
            (inner.spool.remove(id), !reason.is_failure())
        } else {
            (inner.spool.retry(now, id, limit, AFTER_REFUSAL), false)
        };
        drop(inner);
        let Some(spooled) = finished else { return };
        let topic = spooled.message.topic;
        let outcome = if outcome {
            Ok(())
        } else {
            tracing::warn!(%topic, %reason, "the cloud did not take a message");
            Err(if is_final(reason) {
                PublishFailure::Refused { topic, reason }
            } else {
                PublishFailure::GivenUp { topic, reason }
            })
        };
        spooled.done.send(outcome).ok();
    }

    /// The cloud ended a connection on which messages were not acknowledged. Where it did so because
    /// of one of them, sending that again at once would end each connection, and nothing else would
    /// reach the cloud any more: it goes behind the others.
    pub(super) fn blame(&mut self, reason: Option<Reason>) {
        let Some(id) = self.client.oldest_in_flight().filter(|_| self.index == 0) else {
            self.suspect = None;
            return;
        };
        let enough = match reason {
            None => STRIKES,
            Some(reason) if is_about_a_message(reason) => 1,
            Some(_) => return,
        };
        let strikes = match self.suspect {
            Some((suspect, strikes)) if suspect == id => strikes + 1,
            _ => 1,
        };
        if strikes < enough {
            self.suspect = Some((id, strikes));
            return;
        }
        self.suspect = None;
        self.client.forget(id);
        let now = self.now();
        let limit = self.shared.settings.borrow().settings.max_publish_retry;
        let given_up = self.shared.lock().spool.retry(now, id, limit, AFTER_BLAME);
        let reason = reason.unwrap_or(Reason::UNSPECIFIED_ERROR);
        match given_up {
            None => {
                tracing::warn!(message = id, %reason, "the cloud ends the connection when it gets a message; the others go first");
            }
            Some(spooled) => {
                let topic = spooled.message.topic;
                tracing::warn!(%topic, %reason, "a message that ends the connection is given up");
                let failure = PublishFailure::GivenUp { topic, reason };
                spooled.done.send(Err(failure)).ok();
            }
        }
    }
}

/// Whether a DISCONNECT of the cloud is about what it was sent.
fn is_about_a_message(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::UNSPECIFIED_ERROR
            | Reason::MALFORMED_PACKET
            | Reason::PROTOCOL_ERROR
            | Reason::IMPLEMENTATION_SPECIFIC
            | Reason::NOT_AUTHORIZED
            | Reason::TOPIC_NAME_INVALID
            | Reason::PACKET_TOO_LARGE
            | Reason::QUOTA_EXCEEDED
            | Reason::PAYLOAD_FORMAT_INVALID
            | Reason::RETAIN_NOT_SUPPORTED
            | Reason::QOS_NOT_SUPPORTED
    )
}
