//! What components say about themselves: their state, and whether an update suits them.

use crate::gate::Gate;
use std::sync::Arc;
use sward_engine::supervisor::Supervisor;
use sward_ipc_model::{ComponentUpdatePolicyEvents, IpcError, ReportedLifecycleState};
use sward_ipc_server::{LifecyclePort, PortFuture};
use sward_model::{ComponentName, ComponentState};
use tokio::sync::mpsc;

/// The port.
pub(crate) struct Lifecycle {
    supervisor: Supervisor,
    gate: Arc<Gate>,
}

impl Lifecycle {
    pub(crate) fn new(supervisor: Supervisor, gate: &Arc<Gate>) -> Arc<Self> {
        Arc::new(Lifecycle {
            supervisor,
            gate: Arc::clone(gate),
        })
    }
}

impl LifecyclePort for Lifecycle {
    fn report_state<'a>(
        &'a self,
        component: &'a str,
        state: ReportedLifecycleState,
    ) -> PortFuture<'a, ()> {
        let state = match state {
            ReportedLifecycleState::Running => ComponentState::Running,
            ReportedLifecycleState::Errored => ComponentState::Errored,
        };
        Box::pin(async move {
            let name: ComponentName = component
                .parse()
                .map_err(|error| super::ipc_error::<sward_model::NameError>(&error))?;
            let taken = self.supervisor.report_state(&name, state).await;
            if !taken.map_err(|error| super::ipc_error(&error))? {
                tracing::debug!(component, state = %state, "a component reported a state that it cannot have now");
            }
            Ok(())
        })
    }

    fn component_updates(&self, component: &str) -> mpsc::Receiver<ComponentUpdatePolicyEvents> {
        self.gate.listen(component)
    }

    fn defer_update<'a>(
        &'a self,
        component: &'a str,
        deployment_id: &'a str,
        message: Option<&'a str>,
        recheck_after_ms: u64,
    ) -> PortFuture<'a, ()> {
        tracing::debug!(
            component,
            deployment_id,
            message,
            recheck_after_ms,
            "a component answered an update"
        );
        let answer: Result<(), IpcError> =
            self.gate.defer(component, deployment_id, recheck_after_ms);
        Box::pin(async move { answer })
    }
}
