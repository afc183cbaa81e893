//! Who came and went, for the log.

use sward_gateway::ports::{Presence, PresenceEvent};

/// Logs connections.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct LoggedPresence;

impl Presence for LoggedPresence {
    fn changed(&self, event: PresenceEvent) {
        let client_id = &*event.origin.client_id;
        match event.disconnected {
            None => tracing::info!(client_id, address = %event.address, "device connected"),
            Some(reason) => {
                tracing::info!(client_id, reason = reason.as_str(), "device disconnected");
            }
        }
    }
}
