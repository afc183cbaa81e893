//! From a message to the queues of its receivers.

use super::message::{Identifiers, Message};
use super::session::Offer;
use super::{Broker, Change, ConnectionId, SessionKey, Subscription, record};
use crate::packet::{Property, Qos, Will};
use crate::topic::Match;
use std::sync::Arc;

/// A message to be routed.
#[derive(Clone, Debug)]
pub struct Publication<'a> {
    pub message: Message,
    /// Who sent it (for `no local`); `None` for the service's own.
    pub from: Option<SessionKey>,
    /// A connection that gets it in any case: the one that asked for it.
    pub also_to: Option<(&'a str, ConnectionId)>,
}

/// Where a message went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Routed {
    /// How many sessions have it.
    pub sessions: usize,
    /// Something about it must become durable before it is acknowledged.
    pub durable: bool,
}

/// One session that a message reaches, with what its subscriptions say together.
pub(super) struct Target {
    key: u32,
    qos: Qos,
    retain: bool,
    identifiers: Vec<u32>,
}

impl<H: Clone> Broker<H> {
    /// Gives a message to everybody who subscribed to its topic, and keeps it where it is retained.
    pub fn publish(&mut self, publication: Publication<'_>) -> Routed {
        let Publication {
            message,
            from,
            also_to,
        } = publication;
        let mut routed = Routed::default();
        if message.retain {
            routed.durable |= self.retain(&message);
        }
        self.find_targets(&message, from);
        if let Some((client_id, connection)) = also_to {
            self.add_asking(client_id, connection, &message);
        }
        let mut targets = std::mem::take(&mut self.targets);
        routed.sessions = targets.len();
        let message = Arc::new(message);
        let mut stored: Option<Arc<Message>> = None;
        let mut kept: Option<bytes::Bytes> = None;
        for target in targets.drain(..) {
            self.offer(target, &message, &mut stored, &mut kept, &mut routed);
        }
        self.targets = targets;
        routed
    }

    fn find_targets(&mut self, message: &Message, from: Option<SessionKey>) {
        self.mark += 1;
        let Broker {
            trie,
            sessions,
            targets,
            mark,
            ..
        } = self;
        let from = from.map(|key| key.0);
        let mut add = |key: u32, subscription: &Subscription| {
            let Some(session) = sessions
                .get_mut(key as usize)
                .and_then(Option::as_deref_mut)
            else {
                return;
            };
            let options = &subscription.options;
            if options.no_local && from == Some(key) {
                return;
            }
            let qos = message.qos.min(options.qos);
            let retain = options.retain_as_published && message.retain;
            if session.mark == *mark {
                let target = &mut targets[session.target];
                target.qos = target.qos.max(qos);
                target.retain |= retain;
                target.identifiers.extend(subscription.identifier);
                return;
            }
            session.mark = *mark;
            session.target = targets.len();
            targets.push(Target {
                key,
                qos,
                retain,
                identifiers: subscription.identifier.into_iter().collect(),
            });
        };
        let mut groups: Vec<Vec<(u32, Subscription)>> = Vec::new();
        trie.visit(&message.topic, |found| match found {
            Match::Own(key, subscription) => add(*key, subscription),
            // The members in this turn's order; the first that is connected is chosen below.
            Match::Shared(members, turn) => groups.push(
                (0..members.len())
                    .map(|step| members[turn.wrapping_add(step) % members.len()])
                    .collect(),
            ),
        });
        for members in groups {
            self.choose_member(&members, message, from);
        }
    }

    /// One member of a group gets the message: a connected one, else the one whose turn it is.
    fn choose_member(
        &mut self,
        members: &[(u32, Subscription)],
        message: &Message,
        from: Option<u32>,
    ) {
        let live = |key: u32| {
            self.sessions
                .get(key as usize)
                .and_then(Option::as_ref)
                .is_some_and(|session| session.live.is_some())
        };
        let chosen = members
            .iter()
            .find(|(key, _)| live(*key))
            .or(members.first())
            .copied();
        let Some((key, subscription)) = chosen else {
            return;
        };
        if subscription.options.no_local && from == Some(key) {
            return;
        }
        self.targets.push(Target {
            key,
            qos: message.qos.min(subscription.options.qos),
            retain: subscription.options.retain_as_published && message.retain,
            identifiers: subscription.identifier.into_iter().collect(),
        });
    }

    fn add_asking(&mut self, client_id: &str, connection: ConnectionId, message: &Message) {
        let Some(&key) = self.by_client.get(client_id) else {
            return;
        };
        let reached = self.targets.iter().any(|target| target.key == key);
        if !reached && self.live_mut(SessionKey(key), connection).is_some() {
            self.targets.push(Target {
                key,
                qos: message.qos,
                retain: false,
                identifiers: Vec::new(),
            });
        }
    }

    fn offer(
        &mut self,
        target: Target,
        message: &Arc<Message>,
        stored: &mut Option<Arc<Message>>,
        kept: &mut Option<bytes::Bytes>,
        routed: &mut Routed,
    ) {
        let (messages, bytes) = (self.config.queued_messages, self.config.queued_bytes);
        let Target {
            key,
            qos,
            retain,
            identifiers,
        } = target;
        let Some(session) = self.session_mut(key) else {
            return;
        };
        let live = session.live.is_some();
        if !live && (qos == Qos::AtMostOnce || !session.is_persistent()) {
            return;
        }
        let identifiers: Identifiers =
            (!identifiers.is_empty()).then(|| identifiers.into_boxed_slice());
        let mut dropped = 0;
        if session.is_full(messages, bytes, message.weight()) {
            if qos == Qos::AtMostOnce {
                self.dropped += 1;
                return;
            }
            while let Some(session) = self.session_mut(key)
                && session.is_full(messages, bytes, message.weight())
                && let Some(sequence) = session.drop_oldest()
            {
                dropped += 1;
                if sequence > 0 {
                    let client_id = session.client_id.to_string();
                    self.changes.push(Change::Delivered {
                        client_id,
                        sequence,
                    });
                }
            }
        }
        self.dropped += dropped;
        // What waits for long keeps no read buffer alive.
        let shared = if self
            .session_mut(key)
            .is_some_and(|session| session.keeps_up())
        {
            Arc::clone(message)
        } else {
            Arc::clone(stored.get_or_insert_with(|| Arc::new(message.detached())))
        };
        let Some(session) = self.session_mut(key) else {
            return;
        };
        let offer = Offer {
            qos,
            retain,
            identifiers,
        };
        let record = (session.is_persistent() && qos != Qos::AtMostOnce).then(|| {
            if offer.identifiers.is_none() && !retain && qos == message.qos {
                // Nearly always the same bytes for every session.
                kept.get_or_insert_with(|| record::message(message, &offer))
                    .clone()
            } else {
                record::message(message, &offer)
            }
        });
        let sequence = session.push(shared, offer);
        if let Some(record) = record {
            let client_id = session.client_id.to_string();
            self.changes.push(Change::Queued {
                client_id,
                sequence,
                record,
            });
            routed.durable = true;
        }
        self.wake(key);
    }

    /// Keeps or clears the retained message of a topic; whether that must become durable.
    fn retain(&mut self, message: &Message) -> bool {
        let topic = message.topic.as_str();
        if message.payload.is_empty() {
            let had = self.retained.remove(topic);
            if had {
                self.changes.push(Change::RetainedGone {
                    topic: topic.to_owned(),
                });
            }
            return had;
        }
        if self.retained.len() >= self.config.retained && self.retained.get(topic).is_none() {
            self.dropped += 1;
            return false;
        }
        let stored = Arc::new(message.detached());
        let offer = Offer {
            qos: message.qos,
            retain: true,
            identifiers: None,
        };
        self.changes.push(Change::Retained {
            topic: topic.to_owned(),
            record: record::message(&stored, &offer),
        });
        if let Some(expires_at) = message.expires_at {
            self.due_at(expires_at);
        }
        self.retained.put(topic.into(), stored);
        true
    }

    /// Publishes a session's will, if it still has one.
    pub(super) fn publish_will(&mut self, now: u64, key: u32) {
        let Some(session) = self.session_mut(key) else {
            return;
        };
        session.will_due = None;
        let Some(will) = session.will.take() else {
            return;
        };
        let message = will_message(will, now);
        self.publish(Publication {
            message,
            from: Some(SessionKey(key)),
            also_to: None,
        });
    }
}

fn will_message(will: Will, now: u64) -> Message {
    let expires_at = will
        .properties
        .message_expiry_interval()
        .map(|seconds| now + u64::from(*seconds) * 1000);
    let mut properties = will.properties;
    properties.0.retain(|property| {
        !matches!(
            property,
            Property::WillDelayInterval(_) | Property::MessageExpiryInterval(_)
        )
    });
    Message {
        topic: will.topic,
        payload: will.payload,
        qos: will.qos.min(Qos::AtLeastOnce),
        retain: will.retain,
        properties,
        expires_at,
    }
}
