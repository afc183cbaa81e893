//! Who runs where: the count behind every scope.

use crate::EssentialTaskFailed;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::sync::{Notify, watch};

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
    /// The first essential task that panicked.
    failure: watch::Sender<Option<EssentialTaskFailed>>,
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

    pub(crate) fn fail(&self, failure: EssentialTaskFailed) {
        self.failure.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(failure);
            is_first
        });
    }

    pub(crate) async fn failed(&self) -> EssentialTaskFailed {
        let mut failure = self.failure.subscribe();
        let first = failure.wait_for(Option::is_some).await;
        let first = first.expect("the sender lives as long as this registry");
        first.clone().expect("it was waited for")
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
