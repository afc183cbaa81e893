//! Which processes were started, on disk, so that the next core can end what this one leaves.
//!
//! Each root has an instance id that its processes carry in their marker; that alone finds almost
//! all of them. The ledger adds the sessions of those that emptied their environment. Nothing here
//! needs an fsync: a kill -9 leaves the page cache, and after a loss of power no process is left.

use super::tree::{self, Target};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use sward_journal::{
    FileSystem, JournalError, JournalHandle, JournalOptions, RealFileSystem, Record, Storage,
};
use sward_model::ComponentName;
use sward_sys::ProcessId;

/// Beyond this size the ledger is written anew.
const MOST_BYTES: u64 = 64 * 1024;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
enum Entry {
    /// The first record: who we are, in which boot, and where. A copy of a root is another core:
    /// it must not end the processes of the one it was copied from.
    Core {
        instance: String,
        boot: String,
        directory: String,
    },
    Started {
        component: ComponentName,
        pid: u32,
        start_time: u64,
    },
    Cleared {
        component: ComponentName,
    },
}

impl Entry {
    fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts and numbers serialise")
    }
}

#[derive(Clone)]
pub(crate) struct Ledger {
    instance: Arc<str>,
    boot: Arc<str>,
    directory: Arc<str>,
    journal: JournalHandle,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    sessions: BTreeMap<ComponentName, Vec<ProcessId>>,
    /// Children that somebody here waits for; all others are strays.
    awaited: HashSet<u32>,
}

impl Ledger {
    /// Opens the ledger; the target is what an earlier core of this root may have left.
    pub(crate) async fn open(
        storage: &Storage,
        directory: &Path,
    ) -> Result<(Ledger, Target), JournalError> {
        Ledger::on(Arc::new(RealFileSystem), storage, directory).await
    }

    async fn on(
        fs: Arc<dyn FileSystem>,
        storage: &Storage,
        directory: &Path,
    ) -> Result<(Ledger, Target), JournalError> {
        let options = JournalOptions {
            lazy_sync: None,
            ..JournalOptions::default()
        };
        let (journal, records) = JournalHandle::open(storage, fs, directory, options).await?;
        let boot = sward_sys::boot_id().unwrap_or_default();
        let place = directory
            .canonicalize()
            .unwrap_or_else(|_| directory.to_owned())
            .display()
            .to_string();
        let (instance, sessions) = left_over(&records, &boot, &place);
        let instance = instance.unwrap_or_else(new_instance);
        let ledger = Ledger {
            instance: instance.into(),
            boot: boot.into(),
            directory: place.into(),
            journal,
            state: Arc::default(),
        };
        let orphans = Target {
            marker: format!("{}:", ledger.instance),
            sessions,
        };
        Ok((ledger, orphans))
    }

    /// Forgets what earlier cores left, once it is ended.
    pub(crate) async fn begin(&self) -> Result<(), JournalError> {
        self.write_anew().await
    }

    pub(crate) fn marker(&self, component: &ComponentName, run: u64) -> String {
        format!("{}:{component}:{run}", self.instance)
    }

    /// Spawns under the lock that the reaper of strays takes, so that it never takes this child.
    pub(crate) fn spawn<C>(
        &self,
        component: &ComponentName,
        spawn: impl FnOnce() -> std::io::Result<(u32, C)>,
    ) -> std::io::Result<C> {
        let mut state = self.lock();
        let (pid, child) = spawn()?;
        state.awaited.insert(pid);
        if let Some(process) = ProcessId::of(pid) {
            let sessions = state.sessions.entry(component.clone()).or_default();
            sessions.push(process);
            let entry = Entry::Started {
                component: component.clone(),
                pid,
                start_time: process.start_time,
            };
            self.journal.append(entry.encode());
        }
        Ok(child)
    }

    /// The child was waited for.
    pub(crate) fn collected(&self, pid: u32) {
        self.lock().awaited.remove(&pid);
    }

    /// Collects ended children that nobody waits for.
    pub(crate) fn reap_strays(&self) {
        let state = self.lock();
        let reaped = sward_sys::reap_strays(|pid| state.awaited.contains(&pid));
        drop(state);
        for pid in reaped {
            tracing::debug!(pid, "an orphan of a component has ended");
        }
    }

    /// Everything of one component.
    pub(crate) fn target(&self, component: &ComponentName) -> Target {
        Target {
            marker: format!("{}:{component}:", self.instance),
            sessions: self
                .lock()
                .sessions
                .get(component)
                .cloned()
                .unwrap_or_default(),
        }
    }

    /// Everything of all components.
    pub(crate) fn everything(&self) -> Target {
        Target {
            marker: format!("{}:", self.instance),
            sessions: self.lock().sessions.values().flatten().copied().collect(),
        }
    }

    /// All processes of a component are gone.
    pub(crate) fn cleared(&self, component: &ComponentName) {
        if self.lock().sessions.remove(component).is_some() {
            let component = component.clone();
            self.journal.append(Entry::Cleared { component }.encode());
        }
    }

    /// Keeps the file small, and whole again once the disk has room.
    pub(crate) async fn tidy(&self) -> Result<(), JournalError> {
        if self.journal.size_bytes() > MOST_BYTES || self.journal.failure().is_some() {
            self.write_anew().await?;
        }
        Ok(())
    }

    async fn write_anew(&self) -> Result<(), JournalError> {
        let ledger = self.clone();
        self.journal.compact(move || ledger.content()).await
    }

    fn content(&self) -> Vec<Vec<u8>> {
        let core = Entry::Core {
            instance: self.instance.to_string(),
            boot: self.boot.to_string(),
            directory: self.directory.to_string(),
        };
        let state = self.lock();
        let started = state.sessions.iter().flat_map(|(component, processes)| {
            processes.iter().map(|process| Entry::Started {
                component: component.clone(),
                pid: process.pid,
                start_time: process.start_time,
            })
        });
        std::iter::once(core)
            .chain(started)
            .map(|entry| entry.encode())
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends what a target names and says so. Blocking.
pub(crate) fn end_orphans(orphans: &Target, grace: Duration) {
    let found = tree::members(orphans);
    if found.is_empty() {
        return;
    }
    tracing::warn!(
        processes = found.len(),
        "ending processes that an earlier core left running"
    );
    let left = tree::end(orphans, grace);
    if !left.is_empty() {
        tracing::error!(processes = left.len(), "some processes cannot be ended");
    }
}

/// The instance, and the sessions of this boot that were not cleared.
fn left_over(records: &[Record], boot: &str, place: &str) -> (Option<String>, Vec<ProcessId>) {
    let mut instance = None;
    let mut is_this_boot = false;
    let mut sessions: BTreeMap<ComponentName, Vec<ProcessId>> = BTreeMap::new();
    for record in records {
        match serde_json::from_slice(&record.payload) {
            Ok(Entry::Core {
                instance: id,
                boot: its_boot,
                directory,
            }) => {
                let is_here = directory == place;
                instance = is_here.then_some(id);
                is_this_boot = is_here && its_boot == boot;
            }
            Ok(Entry::Started {
                component,
                pid,
                start_time,
            }) => {
                let process = ProcessId { pid, start_time };
                sessions.entry(component).or_default().push(process);
            }
            Ok(Entry::Cleared { component }) => drop(sessions.remove(&component)),
            Err(error) => tracing::warn!(%error, "a ledger record cannot be read"),
        }
    }
    if !is_this_boot {
        sessions.clear();
    }
    (instance, sessions.into_values().flatten().collect())
}

/// A random id from the kernel.
fn new_instance() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/uuid")
        .map(|text| text.trim().replace('-', ""))
        .unwrap_or_else(|_| format!("{}-{}", std::process::id(), crate::configuration::now_ms()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sward_journal::Sequence;
    use sward_journal::memory::{Fault, MemoryFileSystem};

    fn records(entries: &[Entry]) -> Vec<Record> {
        let numbered = (1..).zip(entries);
        numbered
            .map(|(number, entry)| Record {
                sequence: Sequence(number),
                payload: entry.encode(),
            })
            .collect()
    }

    #[tokio::test]
    async fn a_disk_that_was_full_for_a_while_does_not_lose_the_list() {
        let fs = MemoryFileSystem::new(1);
        let storage = Storage::start().expect("a thread");
        let open = async || {
            Ledger::on(Arc::new(fs.clone()), &storage, Path::new("/ledger"))
                .await
                .expect("it opens")
        };
        let (ledger, _) = open().await;
        // The first record of a new root meets a full disk.
        fs.fail_at(fs.operations() + 1, Fault::NoSpace);
        ledger.begin().await.expect_err("the disk is full");
        let component: ComponentName = "com.x".parse().expect("a name");
        fs.fail_at(fs.operations() + 1, Fault::NoSpace);
        let own = std::process::id();
        ledger
            .spawn(&component, || Ok((own, ())))
            .expect("it is spawned");
        ledger.journal.sync().await.expect_err("the disk is full");
        ledger.tidy().await.expect("there is room again");
        let (again, orphans) = open().await;
        assert_eq!(again.instance, ledger.instance);
        let pids: Vec<u32> = orphans.sessions.iter().map(|one| one.pid).collect();
        assert_eq!(pids, [own]);
    }

    #[test]
    fn what_is_left_counts_in_the_same_boot_and_place_only() {
        let component: ComponentName = "com.x".parse().expect("a name");
        let other: ComponentName = "com.y".parse().expect("a name");
        let core = Entry::Core {
            instance: "id".into(),
            boot: "boot".into(),
            directory: "/root".into(),
        };
        let started = |component: &ComponentName, pid| Entry::Started {
            component: component.clone(),
            pid,
            start_time: 7,
        };
        let records = records(&[
            core,
            started(&component, 11),
            started(&other, 12),
            Entry::Cleared {
                component: other.clone(),
            },
            started(&component, 13),
        ]);
        let check = |boot: &str, place: &str, instance: Option<&str>, pids: &[u32]| {
            let (found, sessions) = left_over(&records, boot, place);
            let found_pids: Vec<u32> = sessions.iter().map(|process| process.pid).collect();
            assert_eq!(
                (found.as_deref(), &*found_pids),
                (instance, pids),
                "{boot} {place}"
            );
        };
        check("boot", "/root", Some("id"), &[11, 13]);
        check("later", "/root", Some("id"), &[]);
        check("boot", "/copy", None, &[]);
        assert_eq!(left_over(&[], "boot", "/root"), (None, Vec::new()));
    }
}
