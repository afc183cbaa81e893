//! Topic aliases of one connection.

use crate::Violation;
use crate::packet::{Reason, Text};
use std::collections::HashMap;

/// Aliases that the client set.
pub(super) struct InboundAliases {
    maximum: u16,
    topics: Vec<Option<Text>>,
}

impl InboundAliases {
    pub(super) fn new(maximum: u16) -> Self {
        InboundAliases {
            maximum,
            topics: Vec::new(),
        }
    }

    /// The topic in full.
    pub(super) fn resolve(&mut self, topic: Text, alias: Option<u16>) -> Result<Text, Violation> {
        let Some(alias) = alias else {
            return Ok(topic);
        };
        let invalid = |what| Err(Violation::new(Reason::TOPIC_ALIAS_INVALID, what));
        if alias == 0 || alias > self.maximum {
            return invalid("a topic alias is 0 or above the maximum");
        }
        let index = usize::from(alias - 1);
        if !topic.is_empty() {
            if self.topics.len() <= index {
                self.topics.resize(index + 1, None);
            }
            self.topics[index] = Some(topic.detached());
            return Ok(topic);
        }
        match self.topics.get(index) {
            Some(Some(topic)) => Ok(topic.clone()),
            _ => Err(Violation::protocol("a topic alias that was never set")),
        }
    }
}

/// Aliases that the server sets: the first topics get one each, and keep it.
#[derive(Default)]
pub(super) struct OutboundAliases {
    maximum: u16,
    topics: HashMap<Text, u16>,
}

impl OutboundAliases {
    pub(super) fn new(maximum: u16) -> Self {
        OutboundAliases {
            maximum,
            topics: HashMap::new(),
        }
    }

    /// Whether the topic must be written, and the alias to write with it.
    pub(super) fn shorten(&mut self, topic: &Text) -> (bool, Option<u16>) {
        if self.maximum == 0 {
            return (true, None);
        }
        if let Some(alias) = self.topics.get(topic) {
            return (false, Some(*alias));
        }
        if self.topics.len() >= usize::from(self.maximum) {
            return (true, None);
        }
        let alias = u16::try_from(self.topics.len() + 1).unwrap_or(u16::MAX);
        self.topics.insert(topic.detached(), alias);
        (true, Some(alias))
    }

    /// The packet that would have set the newest alias was not sent.
    pub(super) fn take_back(&mut self, topic: &Text) {
        let newest = u16::try_from(self.topics.len()).unwrap_or(u16::MAX);
        if self.topics.get(topic) == Some(&newest) {
            // Sending the topic in full again later is always right.
            self.topics.remove(topic);
        }
    }
}
