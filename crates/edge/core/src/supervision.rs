//! The deployer's supervisor: turns services of the configuration into components that run.

use crate::environment::ComponentEnvironment;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use sward_engine::component_store::ComponentStore;
use sward_engine::configuration::Configuration;
use sward_engine::deployer::ports::{
    BoxFuture, BrokenComponent, ServiceSpec, Settled, SupervisorChanges, SupervisorError,
    SupervisorPort,
};
use sward_engine::supervisor::{
    self, Changes, ComponentKind, ComponentSpec, ComponentStatus, DependencyKind, Supervisor,
};
use sward_ipc_server::AccessPolicies;
use sward_model::{ComponentName, ComponentState};

/// The port.
pub(crate) struct Supervision {
    pub(crate) supervisor: Supervisor,
    pub(crate) configuration: Configuration,
    pub(crate) store: ComponentStore,
    pub(crate) environment: Arc<ComponentEnvironment>,
    pub(crate) access: AccessPolicies,
}

impl Supervision {
    fn component(&self, service: ServiceSpec) -> Result<ComponentSpec, SupervisorError> {
        let kind = match service.component_type.as_str() {
            "GENERIC" | "" => ComponentKind::Generic,
            "NUCLEUS" | "PLUGIN" => ComponentKind::Builtin,
            other => {
                return Err(SupervisorError {
                    component: service.name.as_str().to_owned(),
                    reason: format!("components of type {other} are not built yet"),
                });
            }
        };
        let version = service.version.parse().ok();
        let folders = version.map(|version| {
            vec![
                self.store.artifacts_folder(&service.name, &version),
                self.store.unarchived_folder(&service.name, &version),
            ]
        });
        let posix_user = service
            .run_with
            .as_ref()
            .and_then(|run_with| run_with["posixUser"].as_str())
            .filter(|user| !user.is_empty())
            .map(str::to_owned);
        Ok(ComponentSpec {
            kind,
            is_root: service.is_root,
            dependencies: service
                .dependencies
                .into_iter()
                .map(|(name, hard)| {
                    (
                        name,
                        if hard {
                            DependencyKind::Hard
                        } else {
                            DependencyKind::Soft
                        },
                    )
                })
                .collect(),
            posix_user,
            environment: self.environment.of(&service.name),
            setenv: self.environment.setenv_of(&service.name),
            artifact_directories: folders.unwrap_or_default(),
            ..ComponentSpec::new(
                service.name.clone(),
                &service.version,
                Value::Object(service.lifecycle),
                self.store.work_folder(&service.name),
            )
        })
    }

    /// Compiles what the component may do over IPC, before its first process can ask.
    fn load_access(&self, component: &ComponentName) {
        load_access(&self.access, &self.configuration, component);
    }
}

/// Compiles a component's `accessControl`.
pub(crate) fn load_access(
    access: &AccessPolicies,
    configuration: &Configuration,
    component: &ComponentName,
) {
    let path = ["services", component.as_str(), "configuration"];
    let section = configuration.get(&path).unwrap_or(Value::Null);
    for problem in access.load(component.as_str(), &section) {
        tracing::warn!(component = component.as_str(), problem = %problem, "an access control policy is passed over");
    }
}

impl SupervisorPort for Supervision {
    fn apply(&self, changes: SupervisorChanges) -> BoxFuture<'_, Result<(), SupervisorError>> {
        Box::pin(async move {
            let mut set = Vec::new();
            // One that cannot run keeps no other from running.
            let mut unusable = None;
            for service in changes.set {
                self.load_access(&service.name);
                match self.component(service) {
                    Ok(component) => set.push(component),
                    Err(error) => unusable = unusable.or(Some(error)),
                }
            }
            let applied = self
                .supervisor
                .apply(Changes {
                    set,
                    remove: changes.remove,
                })
                .await;
            let applied = applied.map_err(|error| SupervisorError {
                component: "all components".to_owned(),
                reason: error.to_string(),
            })?;
            match applied.in_cycle.first() {
                Some(component) => Err(SupervisorError {
                    component: component.as_str().to_owned(),
                    reason: "it is part of a cycle of hard dependencies".to_owned(),
                }),
                None => unusable.map_or(Ok(()), Err),
            }
        })
    }

    fn settled(&self, names: Vec<ComponentName>, deadline: Duration) -> BoxFuture<'_, Settled> {
        Box::pin(async move {
            match self.supervisor.settled(&names, deadline).await {
                supervisor::Settled::Fine => Settled::Fine,
                supervisor::Settled::Broken(status) => Settled::Broken(Box::new(broken(*status))),
                supervisor::Settled::TimedOut(late) => Settled::TimedOut(
                    late.into_iter()
                        .map(|status| (status.name, status.state))
                        .collect(),
                ),
            }
        })
    }

    fn unsettled(&self, names: Vec<ComponentName>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut states = self.supervisor.states();
            let left = states.wait_for(|states| {
                let mut known = names.iter().filter_map(|name| states.get(name));
                known.any(|status| {
                    !matches!(
                        status.state,
                        ComponentState::Running | ComponentState::Finished
                    )
                })
            });
            drop(left.await);
        })
    }

    fn removed(&self, names: Vec<ComponentName>, deadline: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if !self.supervisor.removed(&names, deadline).await {
                tracing::warn!("components that were removed are still stopping");
            }
        })
    }

    fn states(&self) -> BTreeMap<ComponentName, ComponentState> {
        let statuses = self.supervisor.snapshot();
        statuses
            .iter()
            .map(|(name, status)| (name.clone(), status.state))
            .collect()
    }
}

fn broken(status: ComponentStatus) -> BrokenComponent {
    let failure = status.failure;
    BrokenComponent {
        name: status.name,
        status_code: status.status_code.as_str().to_owned(),
        reason: failure
            .as_ref()
            .map_or(status.status_reason, |failure| failure.reason.clone()),
        exit_code: failure.as_ref().and_then(|failure| failure.exit_code),
        last_output: failure
            .map(|failure| failure.last_output)
            .unwrap_or_default(),
    }
}
