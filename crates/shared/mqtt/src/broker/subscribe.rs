//! Subscribing and unsubscribing.

use super::session::Offer;
use super::{Broker, Change, ConnectionId, SessionKey, Subscription, record};
use crate::packet::{Qos, Reason, RetainHandling, SubscribeOptions};
use crate::topic::parse_subscription;
use std::sync::Arc;

impl<H: Clone> Broker<H> {
    /// Subscribes a client to one filter; QoS 2 is granted as 1. Retained messages are queued as
    /// the options say, never for a shared subscription.
    pub fn subscribe(
        &mut self,
        now: u64,
        session: SessionKey,
        connection: ConnectionId,
        text: &str,
        options: SubscribeOptions,
        identifier: Option<u32>,
    ) -> Reason {
        let limit = self.config.subscriptions;
        let Some(parsed) = parse_subscription(text) else {
            return Reason::TOPIC_FILTER_INVALID;
        };
        let options = SubscribeOptions {
            qos: options.qos.min(Qos::AtLeastOnce),
            ..options
        };
        let subscription = Subscription {
            options,
            identifier,
        };
        let Some(found) = self.live_mut(session, connection) else {
            return Reason::UNSPECIFIED_ERROR;
        };
        let known = found.subscriptions.contains_key(text);
        if !known && found.subscriptions.len() >= limit {
            return Reason::QUOTA_EXCEEDED;
        }
        found.subscriptions.insert(text.into(), subscription);
        if found.is_persistent() {
            let client_id = found.client_id.to_string();
            self.changes.push(Change::Subscription {
                client_id,
                filter: text.to_owned(),
                record: record::subscription(subscription),
            });
        }
        self.trie.insert(parsed, session.0, subscription);
        let wanted = match options.retain_handling {
            RetainHandling::Always => true,
            RetainHandling::OnlyNew => !known,
            RetainHandling::Never => false,
        };
        if wanted && parsed.group.is_none() {
            self.offer_retained(now, session.0, parsed.filter, subscription);
        }
        match options.qos {
            Qos::AtMostOnce => Reason::SUCCESS,
            _ => Reason::GRANTED_QOS_1,
        }
    }

    fn offer_retained(&mut self, now: u64, key: u32, filter: &str, subscription: Subscription) {
        for message in self.retained.matching(filter, now) {
            let offer = Offer {
                qos: message.qos.min(subscription.options.qos),
                retain: true,
                identifiers: subscription.identifier.map(|id| Box::from([id])),
            };
            let (messages, bytes) = (self.config.queued_messages, self.config.queued_bytes);
            let Some(session) = self.session_mut(key) else {
                return;
            };
            if session.is_full(messages, bytes, message.weight()) {
                self.dropped += 1;
                continue;
            }
            let record = record::message(&message, &offer);
            let sequence = session.push(Arc::clone(&message), offer);
            if sequence > 0 {
                let client_id = session.client_id.to_string();
                self.changes.push(Change::Queued {
                    client_id,
                    sequence,
                    record,
                });
            }
            self.wake(key);
        }
    }

    /// Ends a subscription.
    pub fn unsubscribe(
        &mut self,
        session: SessionKey,
        connection: ConnectionId,
        text: &str,
    ) -> Reason {
        let Some(parsed) = parse_subscription(text) else {
            return Reason::TOPIC_FILTER_INVALID;
        };
        let Some(found) = self.live_mut(session, connection) else {
            return Reason::UNSPECIFIED_ERROR;
        };
        if found.subscriptions.remove(text).is_none() {
            return Reason::NO_SUBSCRIPTION_EXISTED;
        }
        if found.is_persistent() {
            let client_id = found.client_id.to_string();
            self.changes.push(Change::SubscriptionGone {
                client_id,
                filter: text.to_owned(),
            });
        }
        self.trie.remove(parsed, session.0);
        Reason::SUCCESS
    }

    /// The subscriptions of a client, as it wrote them.
    #[must_use]
    pub fn subscriptions_of(&self, client_id: &str) -> Vec<String> {
        self.by_client
            .get(client_id)
            .and_then(|key| self.sessions.get(*key as usize)?.as_ref())
            .map(|session| {
                let mut texts: Vec<String> = session
                    .subscriptions
                    .keys()
                    .map(ToString::to_string)
                    .collect();
                texts.sort_unstable();
                texts
            })
            .unwrap_or_default()
    }
}
