//! What waits to be written to one client.
//!
//! Any task may append; only the connection's own task takes. An outbox is a plain buffer of
//! frames, so that many messages leave in one write.

use futures_util::task::AtomicWaker;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

#[derive(Debug, Default)]
struct State {
    /// Whole frames.
    frames: Vec<u8>,
    /// Bytes that the connection has taken and not written yet.
    in_flight: usize,
    closed: bool,
    dropped: u64,
}

/// Frames for one client, bounded.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    /// Wakes the connection's task.
    reader: AtomicWaker,
    /// Bytes that may wait.
    limit: usize,
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    Queued,
    /// The client is too slow, the event is lost to it.
    Dropped,
    Closed,
}

impl Outbox {
    pub(crate) fn new(limit: usize) -> Self {
        Outbox {
            state: Mutex::default(),
            reader: AtomicWaker::new(),
            limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Frames are appended whole or not at all, so a panic elsewhere leaves nothing half done.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends an event where there is room. A client that has nothing waiting gets any event,
    /// however large.
    pub(crate) fn deliver(&self, length: usize, write: impl FnOnce(&mut Vec<u8>)) -> Delivery {
        let mut state = self.lock();
        if state.closed {
            return Delivery::Closed;
        }
        let waiting = state.frames.len() + state.in_flight;
        if waiting > 0 && waiting + length > self.limit {
            state.dropped += 1;
            return Delivery::Dropped;
        }
        let was_empty = state.frames.is_empty();
        write(&mut state.frames);
        drop(state);
        if was_empty {
            self.reader.wake();
        }
        Delivery::Queued
    }

    /// Appends answers, which are never dropped, and leaves `frames` empty.
    pub(crate) fn append(&self, frames: &mut Vec<u8>) {
        if frames.is_empty() {
            return;
        }
        let mut state = self.lock();
        if state.closed {
            frames.clear();
            return;
        }
        let was_empty = state.frames.is_empty();
        if was_empty {
            std::mem::swap(&mut state.frames, frames);
        } else {
            state.frames.append(frames);
        }
        frames.clear();
        drop(state);
        if was_empty {
            self.reader.wake();
        }
    }

    /// Exchanges all that waits for an empty buffer, noting that `into` is on its way out;
    /// `false` once the outbox is closed.
    pub(crate) fn take(&self, into: &mut Vec<u8>) -> bool {
        debug_assert!(into.is_empty());
        let mut state = self.lock();
        std::mem::swap(&mut state.frames, into);
        state.in_flight = into.len();
        !state.closed
    }

    /// Whether the client leaves so much unread that it should not be asked for more.
    pub(crate) fn is_full(&self) -> bool {
        let state = self.lock();
        state.frames.len() + state.in_flight > self.limit
    }

    /// Registers the connection's task to be woken by the next append or close.
    pub(crate) fn register(&self, waker: &Waker) {
        self.reader.register(waker);
    }

    /// Ends the connection as soon as what waits is written as far as the socket takes it.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.reader.wake();
    }

    /// Closes it and forgets what waits: the client is gone, while others may hold the outbox for
    /// as long as they remember the client.
    pub(crate) fn abandon(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.frames = Vec::new();
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Events lost to this client so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(outbox: &Outbox, bytes: &[u8]) -> Delivery {
        outbox.deliver(bytes.len(), |frames| frames.extend_from_slice(bytes))
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        let outbox = Outbox::new(8);
        assert_eq!(put(&outbox, b"12345"), Delivery::Queued);
        assert_eq!(put(&outbox, b"6789"), Delivery::Dropped);
        assert_eq!(put(&outbox, b"678"), Delivery::Queued);
        assert_eq!(outbox.dropped(), 1);
        let mut taken = Vec::new();
        assert!(outbox.take(&mut taken));
        assert_eq!(taken, b"12345678");
        // What is being written still counts.
        assert_eq!(put(&outbox, b"x"), Delivery::Dropped);
        taken.clear();
        assert!(outbox.take(&mut taken));
        assert_eq!(put(&outbox, b"longer than the limit"), Delivery::Queued);
    }

    #[test]
    fn answers_are_never_dropped_but_close_the_mouth() {
        let outbox = Outbox::new(4);
        let mut answers = b"an answer".to_vec();
        outbox.append(&mut answers);
        assert!(answers.is_empty());
        assert!(outbox.is_full());
        outbox.close();
        assert_eq!(put(&outbox, b"x"), Delivery::Closed);
        let mut taken = Vec::new();
        assert!(!outbox.take(&mut taken));
        assert_eq!(taken, b"an answer");
    }

    #[test]
    fn an_abandoned_outbox_holds_no_memory() {
        let outbox = Outbox::new(1024);
        put(&outbox, b"never read");
        outbox.abandon();
        assert_eq!(outbox.lock().frames.capacity(), 0);
        assert_eq!(put(&outbox, b"x"), Delivery::Closed);
    }
}
