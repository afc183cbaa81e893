//! The broker: sessions, subscriptions, retained messages and wills of one tenant.
//!
//! One value, no IO. Whoever drives it keeps it behind a short lock, calls it with the time in
//! milliseconds, and after each call takes out of it
//!
//! - [`Broker::take_woken`]: the handles of connections that have something to send now,
//! - [`Broker::take_changes`]: what must become durable, in order.
//!
//! A connection with a woken handle calls [`Broker::take`] until nothing is left, which opens its
//! next wake-up. `H` is the driver's handle of a connection, such as a notifier.

mod change;
mod message;
mod publish;
mod record;
mod retained;
mod session;
mod subscribe;

pub use change::Change;
pub use message::{Delivery, Message};
pub use publish::{Publication, Routed};

use crate::packet::{SubscribeOptions, Will};
use crate::topic::Trie;
use retained::Retained;
use session::{Live, Session};
use std::collections::HashMap;
use std::sync::Arc;

/// The limits of a broker.
#[derive(Clone, Debug)]
pub struct Config {
    /// Unacknowledged messages to one client, below the client's own receive maximum.
    pub in_flight: u16,
    /// Messages that wait for one session.
    pub queued_messages: usize,
    /// Bytes that wait for one session.
    pub queued_bytes: usize,
    /// Longest life of a session without its client, in seconds.
    pub session_expiry: u32,
    /// Subscriptions of one session.
    pub subscriptions: usize,
    /// Retained messages.
    pub retained: usize,
}

impl Default for Config {
    /// The figures of AWS IoT Core where it has any.
    fn default() -> Self {
        Config {
            in_flight: 100,
            queued_messages: 10_000,
            queued_bytes: 32 << 20,
            session_expiry: 604_800,
            subscriptions: 50,
            retained: 5_000,
        }
    }
}

/// How much [`Broker::take`] hands out at once; the last message may go beyond the bytes.
#[derive(Clone, Copy, Debug)]
pub struct Portion {
    pub messages: usize,
    pub bytes: usize,
}

/// Tells connections of one client apart; never used twice.
pub type ConnectionId = u64;

/// A session's place in the broker. Valid together with the id of the connection that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionKey(pub(crate) u32);

/// A client that was let in.
#[derive(Clone, Debug)]
pub struct Arrival<H> {
    pub client_id: Arc<str>,
    pub clean_start: bool,
    /// Seconds that the session outlives the connection; 0 ends it with the connection.
    pub session_expiry: u32,
    pub will: Option<Will>,
    /// What the client takes unacknowledged.
    pub receive_maximum: u16,
    pub connection: ConnectionId,
    pub handle: H,
}

/// What [`Broker::connect`] found.
#[derive(Debug)]
pub struct Connected<H> {
    pub session: SessionKey,
    pub session_present: bool,
    /// The connection that had this client id and must now be closed.
    pub taken_over: Option<H>,
}

/// What a subscription asks for, as the trie keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Subscription {
    pub(crate) options: SubscribeOptions,
    pub(crate) identifier: Option<u32>,
}

/// Sessions, subscriptions, retained messages and wills.
pub struct Broker<H> {
    config: Config,
    sessions: Vec<Option<Box<Session<H>>>>,
    free: Vec<u32>,
    by_client: HashMap<Arc<str>, u32>,
    trie: Trie<u32, Subscription>,
    retained: Retained,
    woken: Vec<H>,
    changes: Vec<Change>,
    /// Ascends with every publish: marks sessions that a message has reached already.
    mark: u64,
    targets: Vec<publish::Target>,
    dropped: u64,
    /// The earliest time at which a will is due, a session ends or a retained message expires.
    next_due: Option<u64>,
}

impl<H: Clone> Broker<H> {
    /// An empty broker.
    #[must_use]
    pub fn new(config: Config) -> Self {
        Broker {
            config,
            sessions: Vec::new(),
            free: Vec::new(),
            by_client: HashMap::new(),
            trie: Trie::new(),
            retained: Retained::default(),
            woken: Vec::new(),
            changes: Vec::new(),
            mark: 0,
            targets: Vec::new(),
            dropped: 0,
            next_due: None,
        }
    }

    /// Connects a client: resumes or begins its session and takes it from an older connection,
    /// whose will is published.
    pub fn connect(&mut self, now: u64, arrival: Arrival<H>) -> Connected<H> {
        let mut taken_over = None;
        if let Some(&key) = self.by_client.get(&arrival.client_id) {
            taken_over = self.release(now, key, true, None);
        }
        let resumed = match self.by_client.get(&arrival.client_id).copied() {
            Some(key) if arrival.clean_start => {
                self.end_session(now, key);
                None
            }
            known => known,
        };
        let expiry = arrival.session_expiry.min(self.config.session_expiry);
        let key = resumed.unwrap_or_else(|| self.begin_session(&arrival.client_id));
        let session = self
            .session_mut(key)
            .expect("the session was found or made just now");
        let was_persistent = session.is_persistent();
        session.expiry = expiry;
        session.expires_at = None;
        session.will_due = None;
        session.will = arrival.will;
        session.next_packet_id = 1;
        session.live = Some(Live {
            connection: arrival.connection,
            handle: arrival.handle,
            notified: false,
            window: arrival.receive_maximum.max(1),
        });
        let persistent = session.is_persistent();
        let waiting = session.has_waiting();
        if persistent {
            let change = Change::Session {
                client_id: session.client_id.to_string(),
                record: record::session(expiry, None),
            };
            self.changes.push(change);
        } else if was_persistent {
            session.forget_sequences();
            let client_id = session.client_id.to_string();
            self.changes.push(Change::SessionGone { client_id });
        }
        if waiting {
            self.wake(key);
        }
        Connected {
            session: SessionKey(key),
            session_present: resumed.is_some(),
            taken_over,
        }
    }

    /// Ends a connection. `with_will` says whether its will is published; `expiry` replaces the
    /// life of the session (DISCONNECT may say so).
    pub fn disconnect(
        &mut self,
        now: u64,
        session: SessionKey,
        connection: ConnectionId,
        with_will: bool,
        expiry: Option<u32>,
    ) {
        if self.live_mut(session, connection).is_some() {
            self.release(now, session.0, with_will, expiry);
        }
    }

    /// Takes the connection off a session; the session stays, or ends where it has no life left.
    fn release(&mut self, now: u64, key: u32, with_will: bool, expiry: Option<u32>) -> Option<H> {
        let limit = self.config.session_expiry;
        let session = self.session_mut(key)?;
        let live = session.live.take()?;
        if let Some(expiry) = expiry
            && session.is_persistent()
        {
            session.expiry = expiry.min(limit);
            if expiry == 0 {
                session.forget_sequences();
                let client_id = session.client_id.to_string();
                self.changes.push(Change::SessionGone { client_id });
            }
        }
        let session = self.session_mut(key)?;
        if !with_will {
            session.will = None;
        }
        let persistent = session.is_persistent();
        if persistent {
            session.requeue();
            let expires_at = now + u64::from(session.expiry) * 1000;
            session.expires_at = Some(expires_at);
            let delay = session.will.as_ref().map(will_delay);
            session.will_due = delay.filter(|delay| *delay > 0).map(|delay| now + delay);
            let due = session
                .will_due
                .map_or(expires_at, |will| will.min(expires_at));
            let change = Change::Session {
                client_id: session.client_id.to_string(),
                record: record::session(session.expiry, Some(expires_at)),
            };
            let will_now = delay == Some(0);
            self.changes.push(change);
            self.due_at(due);
            if will_now {
                self.publish_will(now, key);
            }
        } else {
            self.end_session(now, key);
        }
        Some(live.handle)
    }

    /// Publishes due wills, ends sessions whose life is over and forgets retained messages that
    /// have expired; when to call again.
    pub fn tick(&mut self, now: u64) -> Option<u64> {
        if self.next_due.is_none_or(|due| due > now) {
            return self.next_due;
        }
        self.next_due = None;
        for topic in self.retained.remove_expired(now) {
            self.changes.push(Change::RetainedGone {
                topic: topic.into(),
            });
        }
        if let Some(due) = self.retained.next_expiry() {
            self.due_at(due);
        }
        for key in 0..self.sessions.len() {
            let key = key as u32;
            let Some(session) = self.session_mut(key) else {
                continue;
            };
            if session.live.is_some() {
                continue;
            }
            let (will_due, expires_at) = (session.will_due, session.expires_at);
            if expires_at.is_some_and(|at| at <= now) {
                self.end_session(now, key);
                continue;
            }
            if will_due.is_some_and(|at| at <= now) {
                self.publish_will(now, key);
            } else if let Some(due) = will_due {
                self.due_at(due);
            }
            if let Some(expires_at) = expires_at {
                self.due_at(expires_at);
            }
        }
        self.next_due
    }

    /// When [`tick`](Broker::tick) has work.
    #[must_use]
    pub fn next_timeout(&self) -> Option<u64> {
        self.next_due
    }

    fn due_at(&mut self, due: u64) {
        self.next_due = Some(self.next_due.map_or(due, |next| next.min(due)));
    }

    /// Moves the handles that must be woken into `out`.
    pub fn take_woken(&mut self, out: &mut Vec<H>) {
        out.append(&mut self.woken);
    }

    /// What must become durable, in order.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// How many messages were dropped because a queue was full.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// How many sessions there are: all, and those with a connection.
    #[must_use]
    pub fn session_counts(&self) -> (usize, usize) {
        let live = self
            .sessions
            .iter()
            .flatten()
            .filter(|session| session.live.is_some())
            .count();
        (self.by_client.len(), live)
    }

    /// The handle of the connection that a client has now.
    #[must_use]
    pub fn connection_of(&self, client_id: &str) -> Option<(ConnectionId, &H)> {
        let key = self.by_client.get(client_id)?;
        let live = self.sessions.get(*key as usize)?.as_ref()?.live.as_ref()?;
        Some((live.connection, &live.handle))
    }

    fn session_mut(&mut self, key: u32) -> Option<&mut Session<H>> {
        self.sessions.get_mut(key as usize)?.as_deref_mut()
    }

    /// The session, if this connection still has it.
    fn live_mut(&mut self, key: SessionKey, connection: ConnectionId) -> Option<&mut Session<H>> {
        let session = self.session_mut(key.0)?;
        let owner = session.live.as_ref()?.connection == connection;
        owner.then_some(session)
    }

    fn begin_session(&mut self, client_id: &Arc<str>) -> u32 {
        let session = Some(Box::new(Session::new(Arc::clone(client_id))));
        let key = match self.free.pop() {
            Some(key) => {
                self.sessions[key as usize] = session;
                key
            }
            None => {
                self.sessions.push(session);
                u32::try_from(self.sessions.len() - 1).expect("memory ends before 2^32 sessions")
            }
        };
        self.by_client.insert(Arc::clone(client_id), key);
        key
    }

    /// Publishes what is left of the will and forgets the session with its subscriptions.
    fn end_session(&mut self, now: u64, key: u32) {
        self.publish_will(now, key);
        let Some(session) = self.sessions.get_mut(key as usize).and_then(Option::take) else {
            return;
        };
        for text in session.subscriptions.keys() {
            if let Some(parsed) = crate::topic::parse_subscription(text) {
                self.trie.remove(parsed, key);
            }
        }
        self.by_client.remove(&session.client_id);
        self.free.push(key);
        if session.is_persistent() {
            self.changes.push(Change::SessionGone {
                client_id: session.client_id.to_string(),
            });
        }
    }

    fn wake(&mut self, key: u32) {
        let Some(session) = self
            .sessions
            .get_mut(key as usize)
            .and_then(Option::as_deref_mut)
        else {
            return;
        };
        if let Some(live) = &mut session.live
            && !live.notified
        {
            live.notified = true;
            self.woken.push(live.handle.clone());
        }
    }

    /// Takes messages for a connection, oldest first, as its window and `limit` allow; whether
    /// more could be taken now, which the connection is not woken for.
    pub fn take(
        &mut self,
        now: u64,
        session: SessionKey,
        connection: ConnectionId,
        limit: Portion,
        out: &mut Vec<Delivery>,
    ) -> bool {
        let in_flight = self.config.in_flight;
        let Some(session) = self
            .sessions
            .get_mut(session.0 as usize)
            .and_then(Option::as_deref_mut)
        else {
            return false;
        };
        if session.live.as_ref().map(|live| live.connection) != Some(connection) {
            return false;
        }
        session.take(now, in_flight, limit, out, &mut self.changes)
    }

    /// Throws a connection's will away: its client may no longer publish it.
    pub fn drop_will(&mut self, session: SessionKey, connection: ConnectionId) {
        if let Some(session) = self.live_mut(session, connection) {
            session.will = None;
        }
    }

    /// A client acknowledged a message. `false`: there is none with this identifier.
    pub fn acknowledge(
        &mut self,
        session: SessionKey,
        connection: ConnectionId,
        packet_id: u16,
    ) -> bool {
        let Some(found) = self.live_mut(session, connection) else {
            return false;
        };
        let Some(sequence) = found.acknowledge(packet_id) else {
            return false;
        };
        let waiting = found.has_waiting();
        if sequence > 0 {
            let client_id = found.client_id.to_string();
            self.changes.push(Change::Delivered {
                client_id,
                sequence,
            });
        }
        if waiting {
            self.wake(session.0);
        }
        true
    }

    /// Puts back what a store kept; sessions have no connection and live on from `now`.
    /// Records that cannot be read are left out and counted.
    pub fn restore(&mut self, now: u64, changes: impl IntoIterator<Item = Change>) -> usize {
        let mut unreadable = 0;
        for change in changes {
            if self.restore_one(now, change).is_none() {
                unreadable += 1;
            }
        }
        unreadable
    }

    fn restore_one(&mut self, now: u64, change: Change) -> Option<()> {
        match change {
            Change::Session { client_id, record } => {
                let (expiry, expires_at) = record::read_session(&record)?;
                let key = self.begin_session(&Arc::from(client_id));
                let expires_at = expires_at.unwrap_or(now + u64::from(expiry) * 1000);
                let session = self.session_mut(key)?;
                session.expiry = expiry;
                session.expires_at = Some(expires_at);
                self.due_at(expires_at);
            }
            Change::Subscription {
                client_id,
                filter,
                record,
            } => {
                let subscription = record::read_subscription(&record)?;
                let parsed = crate::topic::parse_subscription(&filter)?;
                let key = *self.by_client.get(client_id.as_str())?;
                self.trie.insert(parsed, key, subscription);
                let session = self.session_mut(key)?;
                session.subscriptions.insert(filter.into(), subscription);
            }
            Change::Queued {
                client_id,
                sequence,
                record,
            } => {
                let (message, delivery) = record::read_message(&record)?;
                let key = *self.by_client.get(client_id.as_str())?;
                self.session_mut(key)?.restore(message, delivery, sequence);
            }
            Change::Retained { topic, record } => {
                let (message, _) = record::read_message(&record)?;
                if let Some(expires_at) = message.expires_at {
                    self.due_at(expires_at);
                }
                self.retained.put(topic.as_str().into(), Arc::new(message));
            }
            Change::SessionGone { .. }
            | Change::SubscriptionGone { .. }
            | Change::Delivered { .. }
            | Change::RetainedGone { .. } => return None,
        }
        Some(())
    }
}

/// Milliseconds between the loss of a client and its will.
fn will_delay(will: &Will) -> u64 {
    will.properties
        .will_delay_interval()
        .map_or(0, |seconds| u64::from(*seconds) * 1000)
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
