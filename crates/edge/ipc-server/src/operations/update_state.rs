//! The caller reports its own state; no policy is needed.

use super::{Call, Handled, Handler, later, refused};
use std::sync::Arc;
use sward_ipc_model::{Empty, UpdateState, UpdateStateRequest};

impl Handler for UpdateState {
    fn handle(call: &Call<'_>, request: UpdateStateRequest) -> Handled {
        let component = match call.component() {
            Ok(component) => Arc::clone(component),
            Err(error) => return refused(error),
        };
        let lifecycle = Arc::clone(&call.shared.ports.lifecycle);
        later::<UpdateState>(async move {
            lifecycle.report_state(&component, request.state).await?;
            Ok(Empty {})
        })
    }
}
