//! Retained messages by topic.

use super::{Broker, Message};
use crate::topic::matches;
use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

#[derive(Default)]
pub(super) struct Retained(BTreeMap<Box<str>, Arc<Message>>);

impl Retained {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn get(&self, topic: &str) -> Option<&Arc<Message>> {
        self.0.get(topic)
    }

    pub(super) fn put(&mut self, topic: Box<str>, message: Arc<Message>) {
        self.0.insert(topic, message);
    }

    pub(super) fn remove(&mut self, topic: &str) -> bool {
        self.0.remove(topic).is_some()
    }

    /// Removes what has expired; the topics.
    pub(super) fn remove_expired(&mut self, now: u64) -> Vec<Box<str>> {
        let expired: Vec<Box<str>> = self
            .0
            .iter()
            .filter(|(_, message)| message.is_expired(now))
            .map(|(topic, _)| topic.clone())
            .collect();
        for topic in &expired {
            self.0.remove(topic);
        }
        expired
    }

    /// When the next message expires.
    pub(super) fn next_expiry(&self) -> Option<u64> {
        self.0
            .values()
            .filter_map(|message| message.expires_at)
            .min()
    }

    /// Every message that a filter covers, by topic. Only topics that begin with the filter's
    /// literal part are looked at.
    pub(super) fn matching(&self, filter: &str, now: u64) -> Vec<Arc<Message>> {
        let literal = filter.find(['+', '#']).map_or(filter, |at| &filter[..at]);
        // `a/#` covers `a` too, which sorts before `a/`.
        let prefix = literal.strip_suffix('/').unwrap_or(literal);
        self.0
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(topic, _)| topic.starts_with(prefix))
            .filter(|(topic, message)| matches(filter, topic) && !message.is_expired(now))
            .map(|(_, message)| Arc::clone(message))
            .collect()
    }
}

impl<H> Broker<H> {
    /// The retained message of a topic.
    #[must_use]
    pub fn retained(&self, topic: &str) -> Option<&Arc<Message>> {
        self.retained.get(topic)
    }

    /// All retained messages by topic.
    pub fn all_retained(&self) -> impl Iterator<Item = &Arc<Message>> {
        self.retained.0.values()
    }
}
