//! A journal for async code: appends are queued, and many syncs become one.

use crate::{
    FileSystem, Journal, JournalError, JournalOptions, Record, Recovered, Sequence, Storage,
};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

type Reply = oneshot::Sender<Result<(), JournalError>>;

/// A shared journal on the [`Storage`] thread; clones are the same journal.
///
/// The queue is bounded by its users: whoever takes input from outside waits for
/// [`sync`](JournalHandle::sync) before it takes more.
#[derive(Clone)]
pub struct JournalHandle {
    shared: Arc<Shared>,
}

struct Shared {
    storage: Storage,
    queue: Mutex<Queue>,
    journal: Mutex<Journal>,
    recovered: Recovered,
    lazy_sync: Option<Duration>,
}

struct Queue {
    next: Sequence,
    pending: Vec<Vec<u8>>,
    waiting: Vec<Reply>,
    /// A flush is on its way to the storage thread.
    is_scheduled: bool,
    /// A lazy sync is on its way to the storage thread.
    is_sync_scheduled: bool,
    /// The first failure since the last compaction: later records would leave a gap.
    failed: Option<JournalError>,
    bytes: u64,
}

impl JournalHandle {
    /// Opens or makes a journal on the storage thread.
    pub async fn open(
        storage: &Storage,
        fs: Arc<dyn FileSystem>,
        directory: &Path,
        options: JournalOptions,
    ) -> Result<(JournalHandle, Vec<Record>), JournalError> {
        let place = directory.to_owned();
        let directory = directory.to_owned();
        let (journal, records) = storage
            .run(move || Journal::open(fs, &directory, options))
            .await
            .map_err(|_| JournalError::Stopped)??;
        let mended = journal.recovered();
        if mended.cut_bytes > 0 {
            tracing::warn!(
                journal = %place.display(),
                cut_bytes = mended.cut_bytes,
                damaged_segments = mended.damaged_segments,
                "a journal had a torn or damaged end, which was cut"
            );
        }
        let queue = Queue {
            next: journal.next_sequence(),
            pending: Vec::new(),
            waiting: Vec::new(),
            is_scheduled: false,
            is_sync_scheduled: false,
            failed: None,
            bytes: journal.size_bytes(),
        };
        let shared = Shared {
            storage: storage.clone(),
            queue: Mutex::new(queue),
            recovered: journal.recovered().clone(),
            lazy_sync: options.lazy_sync,
            journal: Mutex::new(journal),
        };
        let handle = JournalHandle {
            shared: Arc::new(shared),
        };
        Ok((handle, records))
    }

    /// What was mended when the journal was opened.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.shared.recovered
    }

    /// Queues a record. It is written soon, and durable after [`sync`](JournalHandle::sync) or
    /// about a second, whichever comes first.
    pub fn append(&self, payload: Vec<u8>) -> Sequence {
        let mut queue = self.shared.lock_queue();
        let sequence = queue.next;
        queue.next = sequence.next();
        queue.pending.push(payload);
        self.schedule(queue);
        sequence
    }

    /// Returns once everything appended before this call is durable.
    pub async fn sync(&self) -> Result<(), JournalError> {
        let (reply, result) = oneshot::channel();
        {
            // In a block of its own, so that the future can be sent between threads.
            let mut queue = self.shared.lock_queue();
            queue.waiting.push(reply);
            self.schedule(queue);
        }
        result.await.map_err(|_| JournalError::Stopped)?
    }

    /// Bytes of all segments, as of the last flush.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.shared.lock_queue().bytes
    }

    /// The failure that keeps the journal from taking records, if there is one; a compaction
    /// clears it.
    #[must_use]
    pub fn failure(&self) -> Option<JournalError> {
        self.shared.lock_queue().failed.clone()
    }

    /// Replaces the whole content durably.
    ///
    /// `records` is called on the storage thread, once everything queued until then was dropped
    /// from the queue: it must yield a content that includes it, and appends made after it was
    /// called are kept behind the new content.
    pub async fn compact<F>(&self, records: F) -> Result<(), JournalError>
    where
        F: FnOnce() -> Vec<Vec<u8>> + Send + 'static,
    {
        let shared = self.shared.clone();
        self.shared
            .storage
            .run(move || shared.compact(records))
            .await
            .map_err(|_| JournalError::Stopped)?
    }

    /// All records as they are now, queued ones included; for history.
    pub async fn records(&self) -> Result<Vec<Record>, JournalError> {
        let shared = self.shared.clone();
        self.shared
            .storage
            .run(move || {
                shared.flush();
                shared.lock_journal().records()
            })
            .await
            .map_err(|_| JournalError::Stopped)?
    }

    /// Replaces the whole content by what `rewrite` makes of it, durably. Appends made meanwhile
    /// follow it.
    pub async fn rewrite<F>(&self, rewrite: F) -> Result<(), JournalError>
    where
        F: FnOnce(Vec<Record>) -> Vec<Vec<u8>> + Send + 'static,
    {
        let shared = self.shared.clone();
        self.shared
            .storage
            .run(move || shared.rewrite(rewrite))
            .await
            .map_err(|_| JournalError::Stopped)?
    }

    /// As [`JournalHandle::rewrite`] without waiting; `done` is called on the storage thread.
    pub fn post_rewrite<F, D>(&self, rewrite: F, done: D) -> Result<(), JournalError>
    where
        F: FnOnce(Vec<Record>) -> Vec<Vec<u8>> + Send + 'static,
        D: FnOnce(Result<(), JournalError>) + Send + 'static,
    {
        let shared = self.shared.clone();
        self.shared
            .storage
            .post(move || done(shared.rewrite(rewrite)))
            .map_err(|_| JournalError::Stopped)
    }

    /// Drops whole segments before a sequence.
    pub async fn trim(&self, before: Sequence) -> Result<(), JournalError> {
        let shared = self.shared.clone();
        self.shared
            .storage
            .run(move || shared.lock_journal().trim(before))
            .await
            .map_err(|_| JournalError::Stopped)?
    }

    fn schedule(&self, mut queue: MutexGuard<'_, Queue>) {
        if std::mem::replace(&mut queue.is_scheduled, true) {
            return;
        }
        let shared = self.shared.clone();
        if self.shared.storage.post(move || shared.flush()).is_err() {
            // Dropping the replies tells the waiting ones.
            queue.waiting.clear();
        }
    }
}

impl Shared {
    fn lock_queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_journal(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// On the storage thread: writes what is queued, and syncs if somebody waits.
    fn flush(self: &Arc<Self>) {
        let mut journal = self.lock_journal();
        let (pending, waiting, failed) = {
            let mut queue = self.lock_queue();
            queue.is_scheduled = false;
            (
                std::mem::take(&mut queue.pending),
                std::mem::take(&mut queue.waiting),
                queue.failed.clone(),
            )
        };
        let mut result = failed.map_or(Ok(()), Err);
        if result.is_ok() && !pending.is_empty() {
            result = journal
                .append_all(pending.iter().map(Vec::as_slice))
                .map(drop);
        }
        if result.is_ok() && !waiting.is_empty() {
            result = journal.sync();
        }
        let mut queue = self.lock_queue();
        queue.bytes = journal.size_bytes();
        if let (Err(error), None) = (&result, &queue.failed) {
            tracing::error!(%error, "journal write failed");
            queue.failed = Some(error.clone());
        }
        let wants_lazy_sync = result.is_ok() && waiting.is_empty() && !queue.is_sync_scheduled;
        if let (true, Some(delay)) = (wants_lazy_sync, self.lazy_sync) {
            let shared = self.clone();
            let lazy = self.storage.post_later(delay, move || shared.lazy_sync());
            queue.is_sync_scheduled = lazy.is_ok();
        }
        drop(queue);
        for reply in waiting {
            drop(reply.send(result.clone()));
        }
    }

    fn lazy_sync(&self) {
        self.lock_queue().is_sync_scheduled = false;
        if let Err(error) = self.lock_journal().sync() {
            tracing::error!(%error, "journal sync failed");
            self.lock_queue().failed.get_or_insert(error);
        }
    }

    fn rewrite(
        self: &Arc<Self>,
        rewrite: impl FnOnce(Vec<Record>) -> Vec<Vec<u8>>,
    ) -> Result<(), JournalError> {
        self.flush();
        let mut journal = self.lock_journal();
        if let Some(failed) = self.lock_queue().failed.clone() {
            return Err(failed);
        }
        let records = rewrite(journal.records()?);
        journal.compact(records.iter().map(Vec::as_slice))?;
        let mut queue = self.lock_queue();
        queue.bytes = journal.size_bytes();
        queue.next = journal.next_sequence().advance(queue.pending.len());
        Ok(())
    }

    fn compact(&self, records: impl FnOnce() -> Vec<Vec<u8>>) -> Result<(), JournalError> {
        let mut journal = self.lock_journal();
        // Taken before the content is made, so that each record is in one of both.
        let taken = std::mem::take(&mut self.lock_queue().pending);
        let records = records();
        let count = records.len();
        let result = journal.compact(records.iter().map(Vec::as_slice));
        let mut queue = self.lock_queue();
        match &result {
            Ok(()) => {
                queue.failed = None;
                queue.bytes = journal.size_bytes();
                queue.next = journal.next_sequence().advance(queue.pending.len());
                tracing::debug!(records = count, bytes = queue.bytes, "journal compacted");
            }
            Err(error) => {
                tracing::error!(%error, "journal compaction failed");
                let later = std::mem::replace(&mut queue.pending, taken);
                queue.pending.extend(later);
            }
        }
        result
    }
}
