//! The one thread that waits for disks, so that no async thread does.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};
use thiserror::Error;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// The storage thread has ended, so nothing can be stored any more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the storage thread has stopped")]
pub struct StorageStopped;

/// A handle of the storage thread; jobs run one after the other in the order of their calls. The
/// thread does what was handed to it and ends when the last handle is gone.
///
/// The queue has no bound of its own: a caller either waits for its job, or (like
/// [`crate::JournalHandle`]) keeps at most one job queued.
#[derive(Clone, Debug)]
pub struct Storage {
    sender: Sender<Message>,
}

enum Message {
    Now(Job),
    Later(Instant, Job),
}

impl Storage {
    /// Starts the thread.
    pub fn start() -> io::Result<Storage> {
        Storage::named("storage")
    }

    /// Starts a thread for files of another kind, which must not wait for the others.
    pub fn named(name: &str) -> io::Result<Storage> {
        let (sender, receiver) = channel();
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || run(&receiver))?;
        Ok(Storage { sender })
    }

    /// Runs a job and waits for its result.
    pub async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce() -> R + Send + 'static,
    ) -> Result<R, StorageStopped> {
        let (reply, result) = oneshot::channel();
        self.post(move || {
            // The caller may have stopped waiting; the work is done all the same.
            drop(reply.send(job()));
        })?;
        result.await.map_err(|_| StorageStopped)
    }

    /// Hands over a job without waiting.
    pub fn post(&self, job: impl FnOnce() + Send + 'static) -> Result<(), StorageStopped> {
        self.sender
            .send(Message::Now(Box::new(job)))
            .map_err(|_| StorageStopped)
    }

    /// Hands over a job to be run after a delay, or at once when the thread is about to end.
    pub fn post_later(
        &self,
        delay: Duration,
        job: impl FnOnce() + Send + 'static,
    ) -> Result<(), StorageStopped> {
        self.sender
            .send(Message::Later(Instant::now() + delay, Box::new(job)))
            .map_err(|_| StorageStopped)
    }
}

/// A delayed job; ordered by time, then by arrival.
struct Delayed {
    at: Instant,
    number: u64,
    job: Job,
}

impl PartialEq for Delayed {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Delayed {}
impl PartialOrd for Delayed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Delayed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

fn run(receiver: &Receiver<Message>) {
    let mut delayed: BinaryHeap<Reverse<Delayed>> = BinaryHeap::new();
    let mut number = 0;
    loop {
        let now = Instant::now();
        while delayed.peek().is_some_and(|next| next.0.at <= now) {
            if let Some(Reverse(due)) = delayed.pop() {
                guarded(due.job);
            }
        }
        let message = match delayed.peek() {
            Some(next) => receiver.recv_timeout(next.0.at.saturating_duration_since(now)),
            None => receiver.recv().map_err(|_| RecvTimeoutError::Disconnected),
        };
        match message {
            Ok(Message::Now(job)) => guarded(job),
            Ok(Message::Later(at, job)) => {
                number += 1;
                delayed.push(Reverse(Delayed { at, number, job }));
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    while let Some(Reverse(left)) = delayed.pop() {
        guarded(left.job);
    }
}

/// A job that panics costs its caller the reply, not everybody their storage.
fn guarded(job: Job) {
    if std::panic::catch_unwind(std::panic::AssertUnwindSafe(job)).is_err() {
        tracing::error!("a storage job panicked");
    }
}
