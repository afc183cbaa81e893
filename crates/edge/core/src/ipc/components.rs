//! The components of the device, as `ListComponents` and the CLI show them.

use serde_json::Value;
use std::sync::Arc;
use sward_engine::configuration::Configuration;
use sward_engine::supervisor::{ComponentStatus, Supervisor};
use sward_ipc_model::ComponentDetails;
use sward_ipc_server::{ComponentsPort, PortFuture};
use sward_model::ComponentName;

/// The port.
pub(crate) struct Components {
    supervisor: Supervisor,
    configuration: Configuration,
}

impl Components {
    pub(crate) fn new(supervisor: Supervisor, configuration: Configuration) -> Arc<Self> {
        Arc::new(Components {
            supervisor,
            configuration,
        })
    }

    fn shown(&self, status: &ComponentStatus) -> ComponentDetails {
        let path = ["services", status.name.as_str(), "configuration"];
        ComponentDetails {
            component_name: status.name.as_str().to_owned(),
            version: Some(status.version.clone()),
            state: status.state.as_str().to_owned(),
            configuration: match self.configuration.get(&path) {
                Some(Value::Object(configuration)) => Some(configuration),
                _ => None,
            },
        }
    }
}

impl ComponentsPort for Components {
    fn list(&self) -> Vec<ComponentDetails> {
        self.supervisor
            .snapshot()
            .values()
            .map(|status| self.shown(status))
            .collect()
    }

    fn details(&self, component: &str) -> Option<ComponentDetails> {
        let name: ComponentName = component.parse().ok()?;
        self.supervisor
            .status(&name)
            .map(|status| self.shown(&status))
    }

    fn restart<'a>(&'a self, component: &'a str) -> PortFuture<'a, bool> {
        Box::pin(async move {
            let name = parsed(component)?;
            self.supervisor
                .restart(&name)
                .await
                .map_err(|error| super::ipc_error(&error))
        })
    }

    fn stop<'a>(&'a self, component: &'a str) -> PortFuture<'a, bool> {
        Box::pin(async move {
            let name = parsed(component)?;
            self.supervisor
                .stop(&name)
                .await
                .map_err(|error| super::ipc_error(&error))?;
            Ok(true)
        })
    }
}

fn parsed(component: &str) -> Result<ComponentName, sward_ipc_model::IpcError> {
    component
        .parse()
        .map_err(|error| super::ipc_error::<sward_model::NameError>(&error))
}
