//! Group commit: changes gather while the store writes the batch before.
//!
//! A message that its reader acknowledges before its batch is written is never written at all.

use crate::ports::{Change, SessionStore, Tenant};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, watch};

/// Counts batches of changes; a change is durable once [`Durability::committed`] reaches its ticket.
pub(crate) type Ticket = u64;

/// Gathers changes and tells when they are durable.
#[derive(Debug)]
pub(crate) struct Durability {
    pending: Mutex<Pending>,
    work: Notify,
    committed: watch::Sender<Ticket>,
}

#[derive(Debug, Default)]
struct Pending {
    changes: Vec<Option<(Tenant, Change)>>,
    /// Where a queued message of this batch stands, by client and sequence.
    queued: HashMap<(String, u64), usize>,
    last: Ticket,
}

impl Durability {
    pub(crate) fn new() -> Arc<Durability> {
        Arc::new(Durability {
            pending: Mutex::new(Pending::default()),
            work: Notify::new(),
            committed: watch::Sender::new(0),
        })
    }

    /// Adds changes in their order; the ticket that says when they are durable.
    pub(crate) fn add(&self, tenant: &Tenant, changes: Vec<Change>) -> Ticket {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.last += 1;
        for change in changes {
            pending.add(tenant, change);
        }
        let ticket = pending.last;
        drop(pending);
        self.work.notify_one();
        ticket
    }

    /// The newest ticket that is durable.
    pub(crate) fn committed(&self) -> watch::Receiver<Ticket> {
        self.committed.subscribe()
    }

    /// Waits until a ticket is durable.
    pub(crate) async fn wait(&self, ticket: Ticket) {
        let mut committed = self.committed();
        // The sender lives as long as this value.
        committed.wait_for(|done| *done >= ticket).await.ok();
    }

    /// Writes batches until `stop` resolves, and then what is left. A store that fails is asked
    /// again with the same batch: what depends on it waits, and nothing is skipped.
    pub(crate) async fn run(
        &self,
        store: Arc<dyn SessionStore>,
        stop: impl Future<Output = ()> + Send,
    ) {
        let mut stop = std::pin::pin!(stop);
        let mut stopping = false;
        loop {
            let (changes, ticket) = self.take();
            if ticket > *self.committed.borrow() {
                let mut pause = Duration::from_millis(50);
                while !changes.is_empty()
                    && let Err(error) = store.commit(changes.clone()).await
                {
                    tracing::error!(%error, changes = changes.len(), "sessions cannot be stored; acknowledgements wait");
                    if stopping {
                        return;
                    }
                    tokio::select! {
                        () = tokio::time::sleep(pause) => {}
                        () = stop.as_mut() => stopping = true,
                    }
                    pause = (pause * 2).min(Duration::from_secs(5));
                }
                self.committed.send_replace(ticket);
                continue;
            }
            if stopping {
                return;
            }
            tokio::select! {
                () = self.work.notified() => {}
                () = stop.as_mut() => stopping = true,
            }
        }
    }

    fn take(&self) -> (Vec<(Tenant, Change)>, Ticket) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        pending.queued.clear();
        let changes = std::mem::take(&mut pending.changes);
        let ticket = pending.last;
        drop(pending);
        (changes.into_iter().flatten().collect(), ticket)
    }
}

impl Pending {
    fn add(&mut self, tenant: &Tenant, change: Change) {
        match &change {
            Change::Queued {
                client_id,
                sequence,
                ..
            } => {
                self.queued
                    .insert((client_id.clone(), *sequence), self.changes.len());
            }
            Change::Delivered {
                client_id,
                sequence,
            } => {
                let index = self.queued.remove(&(client_id.clone(), *sequence));
                let same_tenant = index.filter(
                    |index| matches!(&self.changes[*index], Some((known, _)) if known == tenant),
                );
                if let Some(index) = same_tenant {
                    self.changes[index] = None;
                    return;
                }
            }
            _ => {}
        }
        self.changes.push(Some((tenant.clone(), change)));
    }
}
