//! From the spool to the wire, and what the cloud says to it.

use super::ConnectionTask;
use crate::mqtt::error::PublishFailure;
use crate::mqtt::is_final;
use sward_mqtt::Reason;
use sward_mqtt::client::Outcome;
use sward_mqtt::packet::{Publish, Text};

impl ConnectionTask {
    /// Sends what the spool holds, as far as the window allows. Only the first connection does.
    pub(super) fn send_spooled(&mut self) {
        if self.index != 0 {
            return;
        }
        let now = self.now();
        let mut done = Vec::new();
        let mut inner = self.shared.lock();
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
        let limit = self.shared.settings.borrow().settings.max_publish_retry;
        let mut inner = self.shared.lock();
        let (finished, outcome) = if is_final(reason) {
            (inner.spool.remove(id), !reason.is_failure())
        } else {
            (inner.spool.retry(id, limit), false)
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
}
