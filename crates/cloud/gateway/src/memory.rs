//! A session store that forgets with the process: for `--ephemeral` and tests.

use crate::ports::{Change, PortError, SessionStore, Tenant};
use async_trait::async_trait;

/// Keeps nothing beyond the process; the broker itself is the memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct MemorySessions;

#[async_trait]
impl SessionStore for MemorySessions {
    async fn load(&self) -> Result<Vec<(Tenant, Change)>, PortError> {
        Ok(Vec::new())
    }

    async fn commit(&self, _changes: Vec<(Tenant, Change)>) -> Result<(), PortError> {
        Ok(())
    }
}
