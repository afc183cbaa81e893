//! The log of deployments on disk: entries are appended, and now and then their sum is written
//! anew in their place.

use super::log::{DeploymentLog, Entry};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use sward_journal::{FileSystem, JournalError, JournalHandle, JournalOptions, Storage};

/// Beyond this size the journal is written anew after a deployment.
const LARGEST_JOURNAL_BYTES: u64 = 256 * 1024;

/// The log and its journal.
pub(super) struct Records {
    journal: JournalHandle,
    /// Locked for each append, so that a sum holds every entry that was appended before it.
    log: Arc<Mutex<DeploymentLog>>,
}

fn lock(log: &Mutex<DeploymentLog>) -> MutexGuard<'_, DeploymentLog> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Records {
    /// Opens the journal and reads the log.
    pub(super) async fn open(
        storage: &Storage,
        file_system: Arc<dyn FileSystem>,
        directory: &Path,
    ) -> Result<Records, JournalError> {
        let options = JournalOptions::default();
        let (journal, records) =
            JournalHandle::open(storage, file_system, directory, options).await?;
        let payloads = records.iter().map(|record| record.payload.as_slice());
        let (log, unreadable) = DeploymentLog::replay(payloads);
        if unreadable > 0 {
            tracing::error!(unreadable, "records of deployments cannot be read");
        }
        Ok(Records {
            journal,
            log: Arc::new(Mutex::new(log)),
        })
    }

    pub(super) fn log(&self) -> MutexGuard<'_, DeploymentLog> {
        lock(&self.log)
    }

    /// Adds an entry to the log, durably. Where that fails, the log in memory has it all the same.
    pub(super) async fn add(&self, entry: Entry) -> Result<(), JournalError> {
        {
            let mut log = self.log();
            self.journal.append(entry.encode());
            log.apply(entry);
        }
        match self.journal.sync().await {
            Ok(()) => Ok(()),
            // The disk may have had a hiccup: the log in memory is whole, write it anew.
            Err(_) => self.write_anew().await,
        }
    }

    pub(super) async fn shorten(&self) {
        if self.journal.size_bytes() > LARGEST_JOURNAL_BYTES
            && let Err(error) = self.write_anew().await
        {
            tracing::warn!(%error, "cannot rewrite the journal of deployments");
        }
    }

    /// The sum is taken on the storage thread, once nothing is queued any more: an entry that
    /// comes between would be dropped from the queue and stand in no sum.
    async fn write_anew(&self) -> Result<(), JournalError> {
        let log = self.log.clone();
        let content = move || lock(&log).entries().iter().map(Entry::encode).collect();
        self.journal.compact(content).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deployer::{DeploymentRequest, RequestDocument};
    use futures_util::poll;
    use std::pin::pin;
    use sward_deployment::DeploymentSource;
    use sward_journal::memory::MemoryFileSystem;

    async fn open(fs: &MemoryFileSystem) -> (Storage, Records) {
        let storage = Storage::start().expect("a thread");
        let records = Records::open(&storage, Arc::new(fs.clone()), Path::new("/deployments"))
            .await
            .expect("it opens");
        (storage, records)
    }

    fn queued(id: &str) -> Entry {
        Entry::Queued {
            request: DeploymentRequest {
                id: id.to_owned(),
                source: DeploymentSource::Jobs,
                document: RequestDocument::Fleet("{}".into()),
            },
        }
    }

    /// The ids that wait after a loss of power.
    async fn found(fs: &MemoryFileSystem) -> Vec<String> {
        let (_, records) = open(&fs.after_power_cut()).await;
        let log = records.log();
        log.requests.iter().map(|one| one.id.clone()).collect()
    }

    #[tokio::test]
    async fn what_is_added_while_the_journal_is_written_anew_stays() {
        let fs = MemoryFileSystem::new(3);
        let (storage, records) = open(&fs).await;
        records.add(queued("d1")).await.expect("there is room");
        let (go, held) = std::sync::mpsc::channel::<()>();
        storage
            .post(move || held.recv().expect("it is let go"))
            .expect("the thread runs");
        let mut rewrite = pin!(records.write_anew());
        assert!(poll!(rewrite.as_mut()).is_pending(), "the thread is held");
        let mut addition = pin!(records.add(queued("d2")));
        assert!(poll!(addition.as_mut()).is_pending(), "the thread is held");
        go.send(()).expect("the thread runs");
        rewrite.await.expect("there is room");
        addition.await.expect("there is room");
        assert_eq!(found(&fs).await, ["d1", "d2"]);
    }
}
