//! How the rest of the gateway reaches a connection task.

use crate::ports::{DirectoryChange, DisconnectReason, Tenant};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use sward_model::CertificateId;
use sward_mqtt::Reason;
use tokio::sync::Notify;

/// One connection, seen from outside. The task looks at its flags whenever it is woken.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) tenant: Tenant,
    pub(crate) certificate_id: CertificateId,
    wake: Notify,
    messages: AtomicBool,
    judge: AtomicBool,
    end: OnceLock<End>,
}

/// Why a connection is ended from outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct End {
    pub(crate) reason: Reason,
    pub(crate) why: DisconnectReason,
    pub(crate) text: &'static str,
}

impl Handle {
    pub(crate) fn new(tenant: Tenant, certificate_id: CertificateId) -> Arc<Handle> {
        Arc::new(Handle {
            tenant,
            certificate_id,
            wake: Notify::new(),
            messages: AtomicBool::new(false),
            judge: AtomicBool::new(false),
            end: OnceLock::new(),
        })
    }

    /// Messages wait in the broker.
    pub(crate) fn messages_wait(&self) {
        self.messages.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// Its policies may have changed.
    pub(crate) fn judge_anew(&self) {
        self.judge.store(true, Ordering::Release);
        self.wake.notify_one();
    }

    /// It must end; the first reason counts.
    pub(crate) fn end(&self, end: End) {
        self.end.set(end).ok();
        self.wake.notify_one();
    }

    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }

    pub(crate) fn take_messages_wait(&self) -> bool {
        self.messages.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn take_judge(&self) -> bool {
        self.judge.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn ended(&self) -> Option<End> {
        self.end.get().copied()
    }
}

/// Every live connection.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    handles: Mutex<HashMap<u64, Arc<Handle>>>,
    changes: AtomicU64,
}

impl Registry {
    pub(crate) fn add(&self, connection: u64, handle: Arc<Handle>) {
        self.lock().insert(connection, handle);
    }

    pub(crate) fn remove(&self, connection: u64) {
        self.lock().remove(&connection);
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    /// How many changes of the directory there were. A client who is let in on an answer from
    /// before a change, and is added after it, is judged anew by whoever adds it.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::Acquire)
    }

    /// Has every connection that a change concerns judged anew; `None` concerns all.
    pub(crate) fn judge(&self, change: Option<&DirectoryChange>) {
        let handles = self.lock();
        self.changes.fetch_add(1, Ordering::AcqRel);
        for handle in handles.values() {
            let concerned = change.is_none_or(|change| {
                change.tenant == handle.tenant
                    && change
                        .certificate_id
                        .as_ref()
                        .is_none_or(|id| *id == handle.certificate_id)
            });
            if concerned {
                handle.judge_anew();
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<u64, Arc<Handle>>> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
