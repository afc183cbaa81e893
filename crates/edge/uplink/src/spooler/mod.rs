//! What waits to be sent to the cloud: accounting of the in-memory spool.
//!
//! First in, first out, bounded by bytes of payload. Values in, values out; who sends and when is
//! the connection's business; time is an argument in milliseconds. A message counts until it is
//! acknowledged or given up.
//!
//! - Messages of hardly any payload have a bound as well: all that is kept is at most
//!   [`MEMORY`] times the bytes of payload that are allowed.
//! - A message that failed for now waits, longer each time, before it is tried again.
//! - A message larger than the spool is refused.
//! - Where room is missing, the oldest QoS 0 messages that were not taken yet go first; if that does
//!   not help, the new message is refused.
//! - QoS 0 is refused while offline, and thrown away when the connection is lost, unless
//!   `keepQos0WhenOffline` is set.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use sward_diagnosis::{Diagnose, Kind, Place};

/// The spooler's settings (`mqtt.spooler` of the nucleus configuration).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpoolerSettings {
    /// `maxSizeInBytes`.
    pub max_size_bytes: usize,
    /// `keepQos0WhenOffline`.
    pub keep_qos0_when_offline: bool,
}

impl Default for SpoolerSettings {
    fn default() -> Self {
        SpoolerSettings {
            max_size_bytes: 2_621_440,
            keep_qos0_when_offline: false,
        }
    }
}

/// Why the spool did not take a message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// It can never fit.
    #[error("the message of {size} bytes is larger than the spool of {limit} bytes")]
    LargerThanSpool { size: usize, limit: usize },
    /// No message may be that large.
    #[error("the message has {size} bytes, at most {limit} are allowed")]
    LargerThanAllowed { size: usize, limit: usize },
    /// It does not fit now.
    #[error("the message spool is full: {used} of {limit} bytes")]
    Full { used: usize, limit: usize },
    /// QoS 0 is not kept for later.
    #[error("the device is offline, and QoS 0 messages are not kept")]
    Offline,
}

impl Diagnose for SpoolError {
    fn kind(&self) -> Kind {
        match self {
            SpoolError::LargerThanSpool { .. } | SpoolError::LargerThanAllowed { .. } => {
                Kind::TooLarge
            }
            SpoolError::Full { .. } => Kind::Limit,
            SpoolError::Offline => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            SpoolError::LargerThanSpool { .. } | SpoolError::LargerThanAllowed { .. } => {
                "spool-message-too-large"
            }
            SpoolError::Full { .. } => "spool-full",
            SpoolError::Offline => "spool-offline",
        }
    }

    fn place(&self) -> Option<Place> {
        let name = match self {
            SpoolError::Offline => "mqtt.spooler.keepQos0WhenOffline",
            SpoolError::LargerThanAllowed { .. } => "mqtt.maxMessageSizeInBytes",
            _ => "mqtt.spooler.maxSizeInBytes",
        };
        Some(Place::Setting { name: name.into() })
    }
}

/// How many times the bytes of payload that are allowed all messages may take in memory.
pub const MEMORY: usize = 4;

/// What a message counts for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// Bytes of its payload.
    pub payload: usize,
    /// Bytes that it takes in memory.
    pub memory: usize,
}

/// The waits of a message that failed for now: the first, doubled each time up to the longest.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    pub first_ms: u64,
    pub longest_ms: u64,
}

/// Names a message in the spool; ascends.
pub type SpoolId = u64;

/// The spool. `M` is the message with whatever its sender waits for.
#[derive(Debug)]
pub struct Spooler<M> {
    settings: SpoolerSettings,
    entries: BTreeMap<SpoolId, Entry<M>>,
    waiting: VecDeque<SpoolId>,
    /// Messages that failed for now, by the time at which they wait again.
    later: BTreeSet<(u64, SpoolId)>,
    used: Weight,
    next: SpoolId,
}

#[derive(Debug)]
struct Entry<M> {
    message: M,
    weight: Weight,
    qos0: bool,
    taken: bool,
    retries: u32,
}

/// What [`Spooler::add`] did.
#[derive(Debug, PartialEq, Eq)]
pub struct Added<M> {
    pub id: SpoolId,
    /// QoS 0 messages that had to go.
    pub dropped: Vec<M>,
}

impl<M> Spooler<M> {
    /// An empty spool.
    #[must_use]
    pub fn new(settings: SpoolerSettings) -> Self {
        Spooler {
            settings,
            entries: BTreeMap::new(),
            waiting: VecDeque::new(),
            later: BTreeSet::new(),
            used: Weight::default(),
            next: 1,
        }
    }

    /// Takes new settings; what is there already stays.
    pub fn configure(&mut self, settings: SpoolerSettings) {
        self.settings = settings;
    }

    /// Bytes of payload in the spool.
    #[must_use]
    pub fn used_bytes(&self) -> usize {
        self.used.payload
    }

    /// Messages in the spool, those on their way included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether a message of this QoS would be taken now.
    pub fn accepts(&self, qos0: bool, online: bool) -> Result<(), SpoolError> {
        if qos0 && !online && !self.settings.keep_qos0_when_offline {
            return Err(SpoolError::Offline);
        }
        Ok(())
    }

    /// Puts a message at the end.
    pub fn add(
        &mut self,
        message: M,
        weight: Weight,
        qos0: bool,
        online: bool,
    ) -> Result<Added<M>, SpoolError> {
        self.accepts(qos0, online)?;
        let limit = self.settings.max_size_bytes;
        if weight.payload > limit {
            let size = weight.payload;
            return Err(SpoolError::LargerThanSpool { size, limit });
        }
        let mut dropped = Vec::new();
        if self.excess(weight, Weight::default()).is_some() {
            dropped = self.make_room(weight);
        }
        if let Some(full) = self.excess(weight, Weight::default()) {
            return Err(full);
        }
        let id = self.next;
        self.next += 1;
        self.used.payload += weight.payload;
        self.used.memory += weight.memory;
        self.waiting.push_back(id);
        self.entries.insert(
            id,
            Entry {
                message,
                weight,
                qos0,
                taken: false,
                retries: 0,
            },
        );
        Ok(Added { id, dropped })
    }

    /// Why a message does not fit, once `room` is made; `None` where it does.
    fn excess(&self, weight: Weight, room: Weight) -> Option<SpoolError> {
        let limit = self.settings.max_size_bytes;
        let memory = limit.saturating_mul(MEMORY);
        if self.used.payload - room.payload + weight.payload > limit {
            return Some(SpoolError::Full {
                used: self.used.payload,
                limit,
            });
        }
        // An empty spool takes any message that may be sent at all.
        let others = self.used.memory - room.memory;
        (others > 0 && others + weight.memory > memory).then_some(SpoolError::Full {
            used: self.used.memory,
            limit: memory,
        })
    }

    /// Drops QoS 0 messages, oldest first, until there is room, but only if there then is.
    fn make_room(&mut self, weight: Weight) -> Vec<M> {
        let mut room = Weight::default();
        let mut victims = Vec::new();
        for (id, entry) in &self.entries {
            if self.excess(weight, room).is_none() {
                break;
            }
            if entry.qos0 && !entry.taken {
                room.payload += entry.weight.payload;
                room.memory += entry.weight.memory;
                victims.push(*id);
            }
        }
        if self.excess(weight, room).is_some() {
            return Vec::new();
        }
        victims
            .into_iter()
            .filter_map(|id| self.remove(id))
            .collect()
    }

    /// The next message to be sent; it stays in the spool until [`remove`](Self::remove).
    pub fn take(&mut self) -> Option<(SpoolId, &M)> {
        let id = self.waiting.pop_front()?;
        let entry = self.entries.get_mut(&id)?;
        entry.taken = true;
        Some((id, &entry.message))
    }

    /// The next message to be sent, and whether it is QoS 0, without taking it.
    #[must_use]
    pub fn peek(&self) -> Option<(&M, bool)> {
        let entry = self.entries.get(self.waiting.front()?)?;
        Some((&entry.message, entry.qos0))
    }

    /// The message is done with.
    pub fn remove(&mut self, id: SpoolId) -> Option<M> {
        let entry = self.entries.remove(&id)?;
        self.used.payload -= entry.weight.payload;
        self.used.memory -= entry.weight.memory;
        if !entry.taken {
            self.waiting.retain(|waiting| *waiting != id);
            self.later.retain(|(_, waiting)| *waiting != id);
        }
        Some(entry.message)
    }

    /// The message could not be delivered: after a while it goes to the end, at most `limit` times
    /// (`None`: always). The message comes back when it is given up.
    pub fn retry(
        &mut self,
        now: u64,
        id: SpoolId,
        limit: Option<u32>,
        patience: Patience,
    ) -> Option<M> {
        let entry = self.entries.get_mut(&id)?;
        if limit.is_some_and(|limit| entry.retries >= limit) {
            return self.remove(id);
        }
        let wait = patience
            .first_ms
            .saturating_mul(1 << entry.retries.min(20))
            .min(patience.longest_ms);
        entry.retries += 1;
        entry.taken = false;
        self.later.insert((now + wait, id));
        None
    }

    /// Puts what has waited long enough at the end.
    pub fn wake(&mut self, now: u64) {
        while let Some((due, id)) = self.later.first().copied()
            && due <= now
        {
            self.later.pop_first();
            self.waiting.push_back(id);
        }
    }

    /// When [`wake`](Self::wake) has work.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        self.later.first().map(|(due, _)| *due)
    }

    /// A new client starts from nothing: what was on its way waits again, in its order.
    pub fn return_taken(&mut self) {
        for entry in self.entries.values_mut() {
            entry.taken = false;
        }
        self.later.clear();
        self.waiting = self.entries.keys().copied().collect();
    }

    /// The connection is lost: QoS 0 messages that go with it.
    pub fn went_offline(&mut self) -> Vec<M> {
        if self.settings.keep_qos0_when_offline {
            return Vec::new();
        }
        let lost: Vec<SpoolId> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.qos0)
            .map(|(id, _)| *id)
            .collect();
        lost.into_iter().filter_map(|id| self.remove(id)).collect()
    }
}

#[cfg(test)]
mod tests;
