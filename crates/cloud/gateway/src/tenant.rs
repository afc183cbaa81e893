//! One tenant's broker behind its lock.

use crate::durability::{Durability, Ticket};
use crate::handle::Handle;
use crate::ports::Tenant;
use std::sync::{Arc, Mutex, PoisonError};
use sward_mqtt::broker::{Broker, Config};

/// A tenant and its broker.
pub(crate) struct TenantBroker {
    pub(crate) tenant: Tenant,
    /// `arn:aws:iot:<region>:<account>:`
    pub(crate) arn: String,
    broker: Mutex<Broker<Arc<Handle>>>,
    durability: Arc<Durability>,
}

impl TenantBroker {
    pub(crate) fn new(tenant: Tenant, config: Config, durability: Arc<Durability>) -> Self {
        TenantBroker {
            arn: format!("arn:aws:iot:{}:{}:", tenant.region, tenant.account),
            tenant,
            broker: Mutex::new(Broker::new(config)),
            durability,
        }
    }

    /// Works on the broker under its lock, hands its changes to the store in their order, and wakes
    /// whom it woke. The ticket is there when something must become durable.
    pub(crate) fn with<R>(
        &self,
        work: impl FnOnce(&mut Broker<Arc<Handle>>) -> R,
    ) -> (R, Option<Ticket>) {
        let mut woken = Vec::new();
        let (result, ticket) = {
            let mut broker = self.broker.lock().unwrap_or_else(PoisonError::into_inner);
            let result = work(&mut broker);
            broker.take_woken(&mut woken);
            let changes = broker.take_changes();
            // Inside the lock, so that the store sees the broker's order.
            let ticket = (!changes.is_empty()).then(|| self.durability.add(&self.tenant, changes));
            (result, ticket)
        };
        for handle in woken {
            handle.messages_wait();
        }
        (result, ticket)
    }

    /// Looks at the broker without changing it.
    pub(crate) fn look<R>(&self, look: impl FnOnce(&Broker<Arc<Handle>>) -> R) -> R {
        look(&self.broker.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
