//! The configuration of the core: a stamped tree in memory, a journal on disk, and who set what.
//!
//! The tree has the public layout (`system`, `services.<component>.…`, `setenv`; core-device
//! §5.1). Its rules (times of leaves, keys that ignore case, merging) are those of
//! [`sward_deployment::tree`]; this module adds what a running core needs: one shared handle,
//! durability, watchers, history, and the files that users read and write.
//!
//! Every mutation is one transaction and becomes one record of the journal, with its source and
//! the time of the clock, so the journal is also the history of each value. A mutation is visible
//! at once and durable after [`Configuration::sync`] (or about a second).
//!
//! Invariants:
//! - After a loss of power, the tree is as it was after some transaction, and after all that were
//!   synced; never between two.
//! - Keys that begin with `_` are never written to a file.
//!
//! Read first: [`Configuration`], [`Source`], [`boot()`].

mod boot;
mod defaults;
mod effective;
mod error;
mod history;
mod record;
mod tlog;
mod watch;
mod yaml;

#[cfg(test)]
mod tests;

pub use boot::{BootOptions, BootReport, boot};
pub use effective::{EFFECTIVE_CONFIG, effective_yaml};
pub use error::ConfigurationError;
pub use history::{HistoryEntry, HistoryKind};
pub use record::Source;
pub use watch::{ChangedKeys, Watcher};

use record::Transaction;
use serde_json::{Map, Value};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use sward_deployment::tree::{Change, Node, StampedTree, UpdateBehavior};
use sward_journal::{FileSystem, JournalHandle, JournalOptions, Storage};
use watch::Watchers;

/// Below this size the journal is never rewritten.
const SMALLEST_REWRITE_BYTES: u64 = 512 * 1024;

/// The configuration; clones are the same one.
#[derive(Clone)]
pub struct Configuration {
    shared: Arc<Shared>,
}

struct Shared {
    tree: Mutex<StampedTree>,
    journal: JournalHandle,
    storage: Storage,
    watchers: Watchers,
    /// The journal is rewritten once it is larger than this.
    rewrite_at_bytes: AtomicU64,
    was_empty: bool,
}

impl Configuration {
    /// Opens the journal in `directory` and replays it.
    pub async fn open(
        storage: &Storage,
        fs: Arc<dyn FileSystem>,
        directory: &Path,
    ) -> Result<Configuration, ConfigurationError> {
        let (journal, records) =
            JournalHandle::open(storage, fs, directory, JournalOptions::default()).await?;
        let mut tree = StampedTree::new();
        for record in &records {
            match Transaction::decode(&record.payload) {
                Ok(transaction) => {
                    for change in &transaction.changes {
                        tree.replay(change);
                    }
                }
                Err(error) => {
                    tracing::error!(%error, "a configuration record cannot be read, it is passed over");
                }
            }
        }
        Ok(Configuration {
            shared: Arc::new(Shared {
                was_empty: tree.is_empty(),
                tree: Mutex::new(tree),
                rewrite_at_bytes: AtomicU64::new(rewrite_at(journal.size_bytes())),
                journal,
                storage: storage.clone(),
                watchers: Watchers::default(),
            }),
        })
    }

    /// Whether nothing was stored when this was opened: the first start on this root.
    #[must_use]
    pub fn was_empty(&self) -> bool {
        self.shared.was_empty
    }

    /// The plain value at a path (a map with all below it), the whole tree for the empty path.
    #[must_use]
    pub fn get<K: AsRef<str>>(&self, path: &[K]) -> Option<Value> {
        self.shared.lock().value_at(path)
    }

    /// The text at a path; `None` too where something else stands.
    #[must_use]
    pub fn get_text<K: AsRef<str>>(&self, path: &[K]) -> Option<String> {
        let tree = self.shared.lock();
        let text = tree.get(path)?.as_leaf()?.value.as_str()?;
        Some(text.to_owned())
    }

    /// The node at a path with the times of its leaves.
    #[must_use]
    pub fn get_stamped<K: AsRef<str>>(&self, path: &[K]) -> Option<Node> {
        let tree = self.shared.lock();
        if path.is_empty() {
            return Some(Node::Map(tree.clone()));
        }
        tree.get(path).cloned()
    }

    /// A copy of the whole tree, for planning and for a rollback.
    #[must_use]
    pub fn snapshot(&self) -> StampedTree {
        self.shared.lock().clone()
    }

    /// Sets a leaf, or merges a map, where `timestamp_ms` is not older than what is there.
    /// Returns whether any value changed.
    pub fn update<K: AsRef<str>>(
        &self,
        path: &[K],
        value: &Value,
        timestamp_ms: i64,
        source: Source,
    ) -> bool {
        self.transaction(source, |tree| tree.set(path, value, timestamp_ms))
    }

    /// Merges a map at a path; keys not named stay.
    pub fn merge<K: AsRef<str>>(
        &self,
        path: &[K],
        map: &Map<String, Value>,
        timestamp_ms: i64,
        source: Source,
    ) -> bool {
        self.apply(path, map, &UpdateBehavior::merge(timestamp_ms), source)
    }

    /// Makes the map at a path equal to `map`, times permitting; keys not named go.
    pub fn replace<K: AsRef<str>>(
        &self,
        path: &[K],
        map: &Map<String, Value>,
        timestamp_ms: i64,
        source: Source,
    ) -> bool {
        self.apply(path, map, &UpdateBehavior::replace(timestamp_ms), source)
    }

    /// Updates the map at a path with any behaviour.
    pub fn apply<K: AsRef<str>>(
        &self,
        path: &[K],
        map: &Map<String, Value>,
        behavior: &UpdateBehavior,
        source: Source,
    ) -> bool {
        self.transaction(source, |tree| tree.update(path, map, behavior))
    }

    /// Removes a node whatever its time is; whether there was one.
    pub fn remove<K: AsRef<str>>(&self, path: &[K], timestamp_ms: i64, source: Source) -> bool {
        self.transaction(source, |tree| {
            tree.remove(path, timestamp_ms).into_iter().collect()
        })
    }

    /// Makes the map at a path what it was in a snapshot, times included; other keys go.
    pub fn restore<K: AsRef<str>>(
        &self,
        path: &[K],
        snapshot: &StampedTree,
        source: Source,
    ) -> bool {
        self.transaction(source, |tree| restore_changes(tree, path, snapshot))
    }

    /// Does several mutations as one: all or none of them survive a loss of power.
    ///
    /// `mutate` returns what its calls to the tree returned. Returns whether any value changed.
    pub fn transaction(
        &self,
        source: Source,
        mutate: impl FnOnce(&mut StampedTree) -> Vec<Change>,
    ) -> bool {
        let mut tree = self.shared.lock();
        let changes = mutate(&mut tree);
        if changes.is_empty() {
            return false;
        }
        self.shared.watchers.notify(&changes);
        let is_visible = changes.iter().any(Change::is_visible);
        // Under the tree's lock, so that the journal has the order of the tree.
        if let Some(record) = Transaction::public(now_ms(), source, changes) {
            self.shared.journal.append(record.encode());
            self.rewrite_if_large();
        }
        is_visible
    }

    /// Tells of changes at or below a path from now on, coalesced while nobody looks.
    #[must_use]
    pub fn watch<K: AsRef<str>>(&self, prefix: &[K]) -> Watcher {
        self.shared.watchers.add(prefix)
    }

    /// Returns once everything set before this call is durable.
    pub async fn sync(&self) -> Result<(), ConfigurationError> {
        if self.shared.journal.failure().is_some() {
            // The disk may have room again: the tree in memory is whole, write it anew.
            self.write_anew().await?;
        }
        self.shared.journal.sync().await?;
        Ok(())
    }

    /// What happened to the node at a path and below it, oldest first.
    pub async fn history<K: AsRef<str>>(
        &self,
        path: &[K],
    ) -> Result<Vec<HistoryEntry>, ConfigurationError> {
        let records = self.shared.journal.records().await?;
        Ok(history::of_path(&records, path))
    }

    /// The storage thread behind this configuration, for files that belong to it.
    #[must_use]
    pub fn storage(&self) -> &Storage {
        &self.shared.storage
    }

    async fn write_anew(&self) -> Result<(), ConfigurationError> {
        let shared = self.shared.clone();
        let content = move || {
            let changes = shared.lock().as_changes();
            let record = Transaction::public(now_ms(), Source::Restored, changes);
            record.iter().map(Transaction::encode).collect()
        };
        self.shared.journal.compact(content).await?;
        Ok(())
    }

    /// Folds the older half of the history into its outcome, on the storage thread.
    fn rewrite_if_large(&self) {
        let limit = &self.shared.rewrite_at_bytes;
        let at = limit.load(Ordering::Relaxed);
        // The limit is out of reach while a rewrite is on its way, so there is one at a time.
        let is_due = self.shared.journal.size_bytes() > at
            && limit
                .compare_exchange(at, u64::MAX, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok();
        if !is_due {
            return;
        }
        let shared = self.shared.clone();
        let done = move |result: Result<(), sward_journal::JournalError>| {
            if let Err(error) = result {
                tracing::warn!(%error, "the configuration's journal cannot be shortened");
            }
            let next = rewrite_at(shared.journal.size_bytes());
            shared.rewrite_at_bytes.store(next, Ordering::Relaxed);
        };
        // Fails only once the storage thread has ended.
        drop(self.shared.journal.post_rewrite(history::fold, done));
    }

    #[cfg(test)]
    async fn rewrite(&self) -> Result<(), ConfigurationError> {
        self.shared.journal.rewrite(history::fold).await?;
        Ok(())
    }
}

/// When a journal of this size shall be rewritten next.
fn rewrite_at(size_bytes: u64) -> u64 {
    size_bytes.saturating_mul(2).max(SMALLEST_REWRITE_BYTES)
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, StampedTree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The changes, done to `tree`, that make the map at `path` equal to `snapshot`.
fn restore_changes<K: AsRef<str>>(
    tree: &mut StampedTree,
    path: &[K],
    snapshot: &StampedTree,
) -> Vec<Change> {
    let prefix: Vec<String> = path.iter().map(|key| key.as_ref().to_owned()).collect();
    let mut changes = Vec::new();
    let current = tree.get_map(path).cloned().unwrap_or_default();
    collect_removals(&current, snapshot, &mut prefix.clone(), &mut changes);
    for change in snapshot.as_changes() {
        let change = below(&prefix, change);
        if !already_holds(tree, &change) {
            changes.push(change);
        }
    }
    for change in &changes {
        tree.replay(change);
    }
    changes
}

fn collect_removals(
    current: &StampedTree,
    wanted: &StampedTree,
    at: &mut Vec<String>,
    changes: &mut Vec<Change>,
) {
    for (key, node) in current.iter() {
        at.push(key.to_owned());
        match (node, wanted.get(&[key])) {
            (Node::Map(inner), Some(Node::Map(wanted))) => {
                collect_removals(inner, wanted, at, changes);
            }
            (Node::Leaf(_), Some(Node::Leaf(_))) => {}
            _ => changes.push(Change::Removed {
                path: at.clone(),
                timestamp_ms: now_ms(),
            }),
        }
        at.pop();
    }
}

fn below(prefix: &[String], change: Change) -> Change {
    let under = |path: Vec<String>| prefix.iter().cloned().chain(path).collect();
    match change {
        Change::Set {
            path,
            value,
            timestamp_ms,
        } => Change::Set {
            path: under(path),
            value,
            timestamp_ms,
        },
        Change::Touched { path, timestamp_ms } => Change::Touched {
            path: under(path),
            timestamp_ms,
        },
        Change::MapAdded { path, timestamp_ms } => Change::MapAdded {
            path: under(path),
            timestamp_ms,
        },
        Change::Removed { path, timestamp_ms } => Change::Removed {
            path: under(path),
            timestamp_ms,
        },
    }
}

fn already_holds(tree: &StampedTree, change: &Change) -> bool {
    match (change, tree.get(change.path())) {
        (
            Change::Set {
                value,
                timestamp_ms,
                ..
            },
            Some(Node::Leaf(leaf)),
        ) => leaf.value == *value && leaf.modified_ms == *timestamp_ms,
        (Change::MapAdded { .. }, Some(Node::Map(map))) => map.is_empty(),
        _ => false,
    }
}

/// Milliseconds since 1970 by the clock of the machine.
pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| i64::try_from(elapsed.as_millis()).ok())
        .unwrap_or(0)
}
