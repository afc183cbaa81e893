//! Watchers: each is told which keys changed, once, however often they did.

use super::history::concerns;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use sward_deployment::tree::Change;
use tokio::sync::Notify;

/// Beyond so many keys a watcher is only told that something changed.
const MOST_KEYS: usize = 256;

/// What changed since the last look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangedKeys {
    /// Paths as the tree spells them, sorted. A removed map is named once, by its own path.
    pub keys: Vec<Vec<String>>,
    /// More changed than is listed: look at everything below the prefix.
    pub is_overflown: bool,
}

#[derive(Debug, Default)]
struct Pending {
    keys: BTreeSet<Vec<String>>,
    is_overflown: bool,
}

#[derive(Debug)]
struct Slot {
    prefix: Vec<String>,
    pending: Mutex<Pending>,
    changed: Notify,
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One watcher; dropping it ends the watch.
#[derive(Debug)]
pub struct Watcher(Arc<Slot>);

impl Watcher {
    /// Waits for a change. Cancel-safe: what is not returned stays.
    pub async fn changed(&mut self) -> ChangedKeys {
        loop {
            if let Some(changed) = self.take() {
                return changed;
            }
            self.0.changed.notified().await;
        }
    }

    /// What changed until now, without waiting.
    pub fn take(&mut self) -> Option<ChangedKeys> {
        let mut pending = self.0.lock();
        let taken = std::mem::take(&mut *pending);
        (taken.is_overflown || !taken.keys.is_empty()).then(|| ChangedKeys {
            keys: taken.keys.into_iter().collect(),
            is_overflown: taken.is_overflown,
        })
    }
}

/// All watchers of a configuration.
#[derive(Debug, Default)]
pub(crate) struct Watchers(Mutex<Vec<Weak<Slot>>>);

impl Watchers {
    pub(crate) fn add<K: AsRef<str>>(&self, prefix: &[K]) -> Watcher {
        let slot = Arc::new(Slot {
            prefix: prefix.iter().map(|key| key.as_ref().to_owned()).collect(),
            pending: Mutex::default(),
            changed: Notify::new(),
        });
        let mut slots = self.lock();
        // Those that were dropped go, also where nothing ever changes.
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        drop(slots);
        Watcher(slot)
    }

    /// Tells whoever is concerned; a new time alone concerns nobody.
    pub(crate) fn notify(&self, changes: &[Change]) {
        self.lock().retain(|slot| match slot.upgrade() {
            Some(slot) => {
                notify_one(&slot, changes);
                true
            }
            None => false,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Weak<Slot>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn notify_one(slot: &Slot, changes: &[Change]) {
    let concerned = changes.iter().filter(|change| {
        let is_seen = match change {
            Change::Touched { .. } => false,
            // A map made above the prefix shows nothing below it yet.
            Change::MapAdded { path, .. } => path.len() >= slot.prefix.len(),
            Change::Set { .. } | Change::Removed { .. } => true,
        };
        is_seen && concerns(change.path(), &slot.prefix)
    });
    let mut any = false;
    let mut pending = slot.lock();
    for change in concerned {
        any = true;
        if pending.keys.len() < MOST_KEYS {
            pending.keys.insert(change.path().to_vec());
        } else {
            pending.is_overflown = true;
        }
    }
    drop(pending);
    if any {
        slot.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn watchers_that_are_gone_take_no_room() {
        let watchers = Watchers::default();
        let kept = watchers.add(&["services"]);
        for _ in 0..100 {
            drop(watchers.add(&["services"]));
        }
        assert!(watchers.lock().len() <= 2);
        drop(kept);
    }
}
