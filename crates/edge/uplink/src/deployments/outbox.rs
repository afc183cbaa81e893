//! Statuses on their way to the cloud, one at a time, in order.

use super::{StatusUpdate, backoff};
use std::collections::VecDeque;

/// Where the first status stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// To be sent.
    Ready,
    /// Waits for something else first (a version) that has its own deadline.
    Waiting,
    /// Waits for the subscriptions of its answer topics, at most until then.
    Subscribing { until_ms: u64 },
    /// Sent; an answer is due by then.
    Sent { until_ms: u64 },
    /// Failed; to be sent again then.
    Later { at_ms: u64 },
}

/// A queue whose first member is being delivered.
#[derive(Debug)]
pub(crate) struct Outbox {
    updates: VecDeque<StatusUpdate>,
    order: Order,
    stage: Stage,
    failures: u32,
}

/// What happens to a status that did not go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// It goes behind the others, so that one without an answer does not hold up the rest.
    Any,
    /// It stays first: the last one written is the one that shows.
    Kept,
}

impl Outbox {
    pub(crate) fn new(updates: Vec<StatusUpdate>, order: Order) -> Self {
        Outbox {
            updates: updates.into(),
            order,
            stage: Stage::Ready,
            failures: 0,
        }
    }

    /// Adds a status. An older one of the same deployment that was not sent is dropped: the
    /// newer says more.
    pub(crate) fn push(&mut self, update: StatusUpdate) {
        let first_is_on_its_way = self.stage != Stage::Ready;
        let mut index = 0;
        self.updates.retain(|waiting| {
            let on_its_way = index == 0 && first_is_on_its_way;
            index += 1;
            on_its_way || waiting.id != update.id
        });
        self.updates.push_back(update);
    }

    pub(crate) fn first(&self) -> Option<&StatusUpdate> {
        self.updates.front()
    }

    pub(crate) fn stage(&self) -> Stage {
        self.stage
    }

    pub(crate) fn set_stage(&mut self, stage: Stage) {
        self.stage = stage;
    }

    /// The first is done with; the next is ready.
    pub(crate) fn pop(&mut self) -> Option<StatusUpdate> {
        self.stage = Stage::Ready;
        self.failures = 0;
        self.updates.pop_front()
    }

    /// The first did not go through and is tried again later, unless a newer one of the same
    /// deployment says more.
    pub(crate) fn failed(&mut self, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        self.stage = Stage::Later {
            at_ms: now_ms + backoff(self.failures),
        };
        if let Some(first) = self.updates.pop_front()
            && !self.updates.iter().any(|newer| newer.id == first.id)
        {
            match self.order {
                Order::Any => self.updates.push_back(first),
                Order::Kept => self.updates.push_front(first),
            }
        }
    }

    /// The first is too long: it is ready again without its cause. Whether it had one.
    pub(crate) fn shorten(&mut self) -> bool {
        let first = self.updates.front_mut();
        let had_cause = first.is_some_and(|first| first.failure_cause.take().is_some());
        if had_cause {
            self.stage = Stage::Ready;
        }
        had_cause
    }

    /// The connection is new: everything is to be said again at once.
    pub(crate) fn restart(&mut self) {
        self.stage = Stage::Ready;
    }

    pub(crate) fn contains_end_of(&self, id: &str) -> bool {
        self.updates
            .iter()
            .any(|update| update.id == id && update.status.is_terminal())
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.updates.front()?;
        match self.stage {
            Stage::Sent { until_ms } | Stage::Subscribing { until_ms } => Some(until_ms),
            Stage::Later { at_ms } => Some(at_ms),
            Stage::Ready | Stage::Waiting => None,
        }
    }

    pub(crate) fn to_vec(&self) -> Vec<StatusUpdate> {
        self.updates.iter().cloned().collect()
    }
}
