//! Who may call what: `accessControl` of all components, compiled, and the rules around it.

use crate::tokens::Identity;
use serde_json::Value;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use sward_ipc_model::IpcError;
use sward_policy::access_control::{AccessControl, Problem, Refusal};

/// The component that answers the CLI's operations and may use them itself.
const CLI_COMPONENT: &str = "aws.greengrass.Cli";

/// The services whose operations are checked here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Service {
    PubSub,
    MqttProxy,
    Lifecycle,
    Cli,
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Service::PubSub => "aws.greengrass.ipc.pubsub",
            Service::MqttProxy => "aws.greengrass.ipc.mqttproxy",
            Service::Lifecycle => "aws.greengrass.ipc.lifecycle",
            Service::Cli => "aws.greengrass.Cli",
        }
    }
}

#[derive(Default)]
struct Inner {
    control: RwLock<AccessControl>,
    /// Counts changes, so that cached verdicts know that they are void.
    generation: AtomicU64,
}

/// The policies in force; clones are the same. The wiring loads a component's configuration at
/// start and at every change of it.
#[derive(Clone, Default)]
pub struct AccessPolicies(Arc<Inner>);

impl AccessPolicies {
    /// Nothing allowed yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts the `accessControl` of a component's configuration in force, in place of what it had.
    /// The faults found are returned for the log; what is sound beside them is in force.
    pub fn load(&self, component: &str, configuration: &Value) -> Vec<Problem> {
        let problems = self.write(|control| control.load(component, configuration));
        self.0.generation.fetch_add(1, Ordering::Release);
        problems
    }

    /// Takes a component's policies away.
    pub fn remove(&self, component: &str) {
        self.write(|control| control.remove(component));
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    fn write<R>(&self, change: impl FnOnce(&mut AccessControl) -> R) -> R {
        // A panic inside leaves one component without policies at worst, which denies.
        let mut control = self
            .0
            .control
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        change(&mut control)
    }

    pub(crate) fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::Acquire)
    }

    /// Whether `identity` may call `operation` on `resource`.
    pub(crate) fn check(
        &self,
        identity: &Identity,
        service: Service,
        operation: &str,
        resource: &str,
    ) -> Result<(), IpcError> {
        let is_granted = match identity {
            Identity::CliUser { .. } | Identity::CliGroup { .. } => {
                service != Service::Lifecycle && !resource.trim().is_empty()
            }
            Identity::Component(name) => service == Service::Cli && &**name == CLI_COMPONENT,
        };
        if is_granted {
            return Ok(());
        }
        self.0
            .control
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .authorize(identity.name(), service.name(), operation, Some(resource))
            .map_err(|refusal| IpcError::unauthorized(explain(&refusal)))
    }
}

/// The nucleus's sentence, which tools match on, or ours where it has none.
fn explain(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Denied {
            principal,
            service,
            operation,
            resource,
        } => format!(
            "Principal {principal} is not authorized to perform {service}:{operation} on resource {resource}"
        ),
        other => other.to_string(),
    }
}
