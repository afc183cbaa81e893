//! Who wants which messages: subscribers by filter, and each filter's connection.

use super::{IncomingMessage, SUBSCRIPTIONS_PER_CONNECTION, SubscribeError};
use std::collections::HashMap;
use sward_mqtt::Qos;
use sward_mqtt::topic::{Match, Trie, parse_subscription};
use tokio::sync::{mpsc, oneshot};

type Answer = oneshot::Sender<Result<(), SubscribeError>>;

/// The wishes.
#[derive(Default)]
pub(crate) struct Table {
    trie: Trie<u32, ()>,
    subscribers: HashMap<u32, Subscriber>,
    filters: HashMap<String, Wish>,
    next: u32,
}

struct Subscriber {
    filter: String,
    qos: Qos,
    sender: mpsc::Sender<IncomingMessage>,
}

/// What is wanted of one filter.
pub(crate) struct Wish {
    pub(crate) connection: usize,
    /// The highest that any subscriber wants.
    pub(crate) qos: Qos,
    subscribers: Vec<u32>,
    /// The highest that the cloud granted on this wish.
    granted: Option<Qos>,
    waiting: Vec<Answer>,
}

/// What [`Table::add`] did.
pub(crate) struct Added {
    pub(crate) id: u32,
    pub(crate) connection: usize,
    pub(crate) answer: oneshot::Receiver<Result<(), SubscribeError>>,
}

impl Table {
    /// Adds a subscriber; the answer comes when the cloud's side is as wanted.
    pub(crate) fn add(
        &mut self,
        filter: &str,
        qos: Qos,
        sender: mpsc::Sender<IncomingMessage>,
    ) -> Result<Added, SubscribeError> {
        let invalid = || SubscribeError::Filter {
            filter: filter.to_owned(),
        };
        let parsed = parse_subscription(filter).ok_or_else(invalid)?;
        self.next += 1;
        let id = self.next;
        let (reply, answer) = oneshot::channel();
        let connection = self.connection_for(filter);
        let wish = self.filters.entry(filter.to_owned()).or_insert(Wish {
            connection,
            qos,
            subscribers: Vec::new(),
            granted: None,
            waiting: Vec::new(),
        });
        wish.qos = wish.qos.max(qos);
        wish.subscribers.push(id);
        if wish.granted.is_some_and(|granted| granted >= qos) {
            reply.send(Ok(())).ok();
        } else {
            wish.waiting.push(reply);
        }
        // Shared subscriptions are routed by their filter: the cloud chose this member.
        let own = sward_mqtt::topic::Parsed {
            group: None,
            filter: parsed.filter,
        };
        self.trie.insert(own, id, ());
        self.subscribers.insert(
            id,
            Subscriber {
                filter: filter.to_owned(),
                qos,
                sender,
            },
        );
        Ok(Added {
            id,
            connection,
            answer,
        })
    }

    /// The connection that has the filter, or the first with room.
    fn connection_for(&self, filter: &str) -> usize {
        if let Some(wish) = self.filters.get(filter) {
            return wish.connection;
        }
        let mut counts: HashMap<usize, usize> = HashMap::new();
        for wish in self.filters.values() {
            *counts.entry(wish.connection).or_default() += 1;
        }
        (0..)
            .find(|connection| {
                counts.get(connection).copied().unwrap_or(0) < SUBSCRIPTIONS_PER_CONNECTION
            })
            .unwrap_or(0)
    }

    /// Removes a subscriber; the connection whose work may have changed.
    pub(crate) fn remove(&mut self, id: u32) -> Option<usize> {
        let Subscriber { filter, .. } = self.subscribers.remove(&id)?;
        if let Some(parsed) = parse_subscription(&filter) {
            let own = sward_mqtt::topic::Parsed {
                group: None,
                filter: parsed.filter,
            };
            self.trie.remove(own, id);
        }
        let wish = self.filters.get_mut(&filter)?;
        wish.subscribers.retain(|known| *known != id);
        let connection = wish.connection;
        if wish.subscribers.is_empty() {
            self.filters.remove(&filter);
        }
        Some(connection)
    }

    /// What a connection shall have subscribed: filters with their QoS.
    pub(crate) fn wanted(&self, connection: usize) -> HashMap<&str, Qos> {
        self.filters
            .iter()
            .filter(|(_, wish)| wish.connection == connection)
            .map(|(filter, wish)| (filter.as_str(), wish.qos))
            .collect()
    }

    /// Whether somebody waits for the answer to a filter.
    pub(crate) fn waits(&self, filter: &str) -> bool {
        let wish = self.filters.get(filter);
        wish.is_some_and(|wish| !wish.waiting.is_empty())
    }

    /// The cloud answered a subscription.
    pub(crate) fn answered(&mut self, filter: &str, outcome: Result<Qos, SubscribeError>) {
        let Some(wish) = self.filters.get_mut(filter) else {
            return;
        };
        let result = match outcome {
            Ok(qos) => {
                wish.granted = Some(qos);
                Ok(())
            }
            Err(error) => Err(error),
        };
        for waiting in wish.waiting.drain(..) {
            waiting.send(result.clone()).ok();
        }
    }

    /// Gives a message to its subscribers; how many were too slow for it.
    pub(crate) fn route(&mut self, message: &IncomingMessage) -> usize {
        let mut targets: Vec<u32> = Vec::new();
        self.trie.visit(&message.topic, |found| {
            if let Match::Own(id, ()) = found {
                targets.push(*id);
            }
        });
        let mut slow = 0;
        for id in targets {
            if let Some(subscriber) = self.subscribers.get(&id) {
                let mut copy = message.clone();
                copy.qos = copy.qos.min(subscriber.qos);
                if let Err(mpsc::error::TrySendError::Full(_)) = subscriber.sender.try_send(copy) {
                    slow += 1;
                }
            }
        }
        slow
    }

    /// The client has stopped: subscribers hear the end.
    pub(crate) fn clear(&mut self) {
        *self = Table {
            next: self.next,
            ..Table::default()
        };
    }
}
