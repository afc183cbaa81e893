//! Who runs where: the count behind every scope.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::Notify;

/// One scope of one registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScopeId(u64);

#[derive(Debug, Default)]
struct Running {
    next: u64,
    tasks: BTreeMap<u64, (&'static str, Arc<[ScopeId]>)>,
}

#[derive(Debug, Default)]
pub(crate) struct Registry {
    running: Mutex<Running>,
    /// Woken whenever a task ends.
    ended: Notify,
}

impl Registry {
    pub(crate) fn new_scope(&self) -> ScopeId {
        let mut running = self.lock();
        running.next += 1;
        ScopeId(running.next)
    }

    pub(crate) fn enter(
        self: &Arc<Self>,
        name: &'static str,
        path: &Arc<[ScopeId]>,
    ) -> RunningGuard {
        let mut running = self.lock();
        running.next += 1;
        let id = running.next;
        running.tasks.insert(id, (name, path.clone()));
        RunningGuard {
            registry: self.clone(),
            id,
        }
    }

    pub(crate) fn names(&self, scope: ScopeId) -> Vec<&'static str> {
        self.lock()
            .tasks
            .values()
            .filter(|(_, path)| path.contains(&scope))
            .map(|(name, _)| *name)
            .collect()
    }

    /// Returns once no task of the scope runs.
    pub(crate) async fn empty(&self, scope: ScopeId) {
        loop {
            // Registered before the look, so that an end in between still wakes us.
            let ended = self.ended.notified();
            if self.names(scope).is_empty() {
                return;
            }
            ended.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Running> {
        // A holder cannot panic in the few lines above; a poisoned count is still a count.
        self.running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// Counts one task until it is dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct RunningGuard {
    registry: Arc<Registry>,
    id: u64,
}

impl Drop for RunningGuard {
    fn drop(&mut self) {
        self.registry.lock().tasks.remove(&self.id);
        self.registry.ended.notify_waiters();
    }
}
