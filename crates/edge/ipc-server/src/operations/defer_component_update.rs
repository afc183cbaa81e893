//! Answers a notice of SubscribeToComponentUpdates.

use super::{Call, Handled, Handler, later, refused};
use std::sync::Arc;
use sward_ipc_model::{DeferComponentUpdate, DeferComponentUpdateRequest, Empty, IpcError};

impl Handler for DeferComponentUpdate {
    fn handle(call: &Call<'_>, request: DeferComponentUpdateRequest) -> Handled {
        let Some(deployment_id) = request.deployment_id else {
            return refused(IpcError::invalid(
                "Cannot defer the update without deployment ID",
            ));
        };
        let lifecycle = Arc::clone(&call.shared.ports.lifecycle);
        let component = Arc::clone(call.caller());
        let recheck_after_ms = request
            .recheck_after_ms
            .and_then(|delay| u64::try_from(delay).ok())
            .unwrap_or(0);
        later::<DeferComponentUpdate>(async move {
            lifecycle
                .defer_update(
                    &component,
                    &deployment_id,
                    request.message.as_deref(),
                    recheck_after_ms,
                )
                .await?;
            Ok(Empty {})
        })
    }
}
