//! The caller reports its own state; no policy is needed.

use super::{Call, Handled, Handler, later, refused};
use std::sync::Arc;
use sward_ipc_model::{Empty, IpcError, UpdateState, UpdateStateRequest};

impl Handler for UpdateState {
    fn handle(call: &Call<'_>, request: UpdateStateRequest) -> Handled {
        let component = Arc::clone(call.caller());
        if call.identity.is_cli() {
            return refused(IpcError::not_found(
                format!("Component with name {component} not found in Greengrass"),
                Some("Component"),
                Some(&component),
            ));
        }
        let lifecycle = Arc::clone(&call.shared.ports.lifecycle);
        later::<UpdateState>(async move {
            lifecycle.report_state(&component, request.state).await?;
            Ok(Empty {})
        })
    }
}
