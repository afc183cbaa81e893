//! The ports of a core that exists in memory only: configurations in a map, a broker that loops
//! back, deployments that succeed when they are asked for.

use serde_json::{Map, Value};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use sward_ipc_model::{
    ComponentDetails, ComponentUpdatePolicyEvents, ConfigurationValidityReport,
    CreateLocalDeploymentRequest, DeploymentStatusDetails, IpcError, LocalDeployment, MqttMessage,
    PostComponentUpdateEvent, PreComponentUpdateEvent, PublishToIoTCoreRequest, Qos,
    ReportedLifecycleState, ValidateConfigurationUpdateEvent,
};
use sward_ipc_server::ports::{
    CancelOutcome, ComponentsPort, ConfigurationPort, DeploymentsPort, IotCorePort,
    IotCoreSubscription, LifecyclePort, PortFuture, Ports, UpdateOutcome,
};
use tokio::sync::mpsc;

const QUEUE: usize = 64;
/// The topic that the broker never answers for.
const SILENT: &str = "allowed/silent";

#[derive(Default)]
struct State {
    configurations: BTreeMap<String, Value>,
    /// When a component's configuration was last updated, in milliseconds.
    updated: HashMap<String, u64>,
    states: HashMap<String, &'static str>,
    watches: Vec<(String, Vec<String>, mpsc::Sender<Vec<String>>)>,
    validations: HashMap<String, mpsc::Sender<ValidateConfigurationUpdateEvent>>,
    notices: Vec<mpsc::Sender<ComponentUpdatePolicyEvents>>,
    deployments: Vec<LocalDeployment>,
    subscriptions: Vec<(String, mpsc::Sender<MqttMessage>)>,
}

/// The core; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct MemoryNucleus(Arc<Mutex<State>>);

impl MemoryNucleus {
    /// A core with these components and their configurations.
    pub(crate) fn new(configurations: BTreeMap<String, Value>) -> Self {
        let nucleus = MemoryNucleus::default();
        nucleus.state().configurations = configurations;
        nucleus
    }

    /// All its ports.
    pub(crate) fn ports(&self) -> Ports {
        Ports {
            configuration: Arc::new(self.clone()),
            lifecycle: Arc::new(self.clone()),
            components: Arc::new(self.clone()),
            deployments: Arc::new(self.clone()),
            iot_core: Arc::new(self.clone()),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no port panics")
    }
}

fn key<'m>(members: &'m Map<String, Value>, name: &str) -> Option<&'m String> {
    members.keys().find(|key| key.eq_ignore_ascii_case(name))
}

fn find<'v>(root: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(root, |value, name| {
        let members = value.as_object()?;
        members.get(key(members, name)?)
    })
}

/// Merges and notes the paths of what changed.
fn merge(target: &mut Value, value: Value, path: &[String], changed: &mut Vec<Vec<String>>) {
    match (target, value) {
        (Value::Object(members), Value::Object(new)) => {
            for (name, value) in new {
                let name = key(members, &name).cloned().unwrap_or(name);
                let mut path = path.to_vec();
                path.push(name.clone());
                let initial = if value.is_object() {
                    Value::Object(Map::new())
                } else {
                    Value::Null
                };
                merge(
                    members.entry(name).or_insert(initial),
                    value,
                    &path,
                    changed,
                );
            }
        }
        (target, value) => {
            if *target != value {
                *target = value;
                changed.push(path.to_vec());
            }
        }
    }
}

impl ConfigurationPort for MemoryNucleus {
    fn get(&self, component: &str, key_path: &[String]) -> Option<Value> {
        find(self.state().configurations.get(component)?, key_path).cloned()
    }

    fn update<'a>(
        &'a self,
        component: &'a str,
        key_path: Vec<String>,
        value: Map<String, Value>,
        timestamp_ms: u64,
    ) -> PortFuture<'a, UpdateOutcome> {
        Box::pin(async move {
            let mut state = self.state();
            let updated = state.updated.entry(component.to_owned()).or_default();
            if *updated > timestamp_ms {
                return Ok(UpdateOutcome::Newer);
            }
            *updated = timestamp_ms;
            let nested = key_path
                .iter()
                .rev()
                .fold(Value::Object(value), |value, name| {
                    Value::Object(Map::from_iter([(name.clone(), value)]))
                });
            let mut changed = Vec::new();
            let root = state
                .configurations
                .entry(component.to_owned())
                .or_insert_with(|| Value::Object(Map::new()));
            merge(root, nested, &[], &mut changed);
            for (watched, prefix, sender) in &state.watches {
                for path in changed.iter().filter(|path| path.starts_with(prefix)) {
                    if watched == component {
                        drop(sender.try_send(path.clone()));
                    }
                }
            }
            Ok(UpdateOutcome::Applied)
        })
    }

    fn watch(&self, component: &str, key_path: &[String]) -> Option<mpsc::Receiver<Vec<String>>> {
        self.get(component, key_path)?;
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.state()
            .watches
            .push((component.to_owned(), key_path.to_vec(), sender));
        Some(receiver)
    }

    fn validations(
        &self,
        component: &str,
    ) -> Option<mpsc::Receiver<ValidateConfigurationUpdateEvent>> {
        let mut state = self.state();
        if state
            .validations
            .get(component)
            .is_some_and(|sender| !sender.is_closed())
        {
            return None;
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        state.validations.insert(component.to_owned(), sender);
        Some(receiver)
    }

    fn report_validity(
        &self,
        _component: &str,
        report: ConfigurationValidityReport,
    ) -> Result<(), IpcError> {
        let mut state = self.state();
        let deployment = state
            .deployments
            .iter_mut()
            .find(|deployment| deployment.deployment_id == report.deployment_id)
            .ok_or_else(|| {
                IpcError::invalid("Validation request either timed out or was never made")
            })?;
        deployment.deployment_status_details = Some(DeploymentStatusDetails {
            detailed_deployment_status: Some("SUCCESSFUL".to_owned()),
            deployment_failure_cause: report.message,
            ..DeploymentStatusDetails::default()
        });
        Ok(())
    }
}

impl LifecyclePort for MemoryNucleus {
    fn report_state<'a>(
        &'a self,
        component: &'a str,
        state: ReportedLifecycleState,
    ) -> PortFuture<'a, ()> {
        let state = match state {
            ReportedLifecycleState::Running => "RUNNING",
            ReportedLifecycleState::Errored => "ERRORED",
        };
        self.state().states.insert(component.to_owned(), state);
        Box::pin(async { Ok(()) })
    }

    fn component_updates(&self, _component: &str) -> mpsc::Receiver<ComponentUpdatePolicyEvents> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.state().notices.push(sender);
        receiver
    }

    fn defer_update<'a>(
        &'a self,
        _component: &'a str,
        deployment_id: &'a str,
        _message: Option<&'a str>,
        recheck_after_ms: u64,
    ) -> PortFuture<'a, ()> {
        Box::pin(async move {
            if recheck_after_ms == 0 {
                let event = ComponentUpdatePolicyEvents {
                    post_update_event: Some(PostComponentUpdateEvent {
                        deployment_id: deployment_id.to_owned(),
                    }),
                    pre_update_event: None,
                };
                for notice in &self.state().notices {
                    drop(notice.try_send(event.clone()));
                }
            }
            Ok(())
        })
    }
}

impl ComponentsPort for MemoryNucleus {
    fn list(&self) -> Vec<ComponentDetails> {
        let names: Vec<String> = self.state().configurations.keys().cloned().collect();
        names.iter().filter_map(|name| self.details(name)).collect()
    }

    fn details(&self, component: &str) -> Option<ComponentDetails> {
        let state = self.state();
        let configuration = state.configurations.get(component)?;
        Some(ComponentDetails {
            component_name: component.to_owned(),
            version: Some("1.0.0".to_owned()),
            state: (*state.states.get(component).unwrap_or(&"STARTING")).to_owned(),
            configuration: configuration.as_object().cloned(),
        })
    }

    fn restart<'a>(&'a self, component: &'a str) -> PortFuture<'a, bool> {
        self.state().states.insert(component.to_owned(), "RUNNING");
        Box::pin(async { Ok(true) })
    }

    fn stop<'a>(&'a self, component: &'a str) -> PortFuture<'a, bool> {
        self.state().states.insert(component.to_owned(), "FINISHED");
        Box::pin(async { Ok(true) })
    }
}

impl DeploymentsPort for MemoryNucleus {
    fn create(&self, request: CreateLocalDeploymentRequest) -> PortFuture<'_, String> {
        Box::pin(async move {
            let mut state = self.state();
            let id = format!(
                "00000000-0000-4000-8000-{:012}",
                state.deployments.len() + 1
            );
            let is_failing = request
                .root_component_versions_to_add
                .iter()
                .flatten()
                .any(|(_, version)| version == "9.9.9");
            state.deployments.push(LocalDeployment {
                deployment_id: id.clone(),
                status: if is_failing { "FAILED" } else { "SUCCEEDED" }.to_owned(),
                created_on: Some("01-02-2026 03:04:05 UTC".to_owned()),
                deployment_status_details: is_failing.then(|| DeploymentStatusDetails {
                    detailed_deployment_status: Some("FAILED_NO_STATE_CHANGE".to_owned()),
                    deployment_error_stack: Some(vec![
                        "DEPLOYMENT_FAILURE".to_owned(),
                        "NO_AVAILABLE_COMPONENT_VERSION".to_owned(),
                    ]),
                    deployment_error_types: Some(vec!["REQUEST_ERROR".to_owned()]),
                    deployment_failure_cause: Some("100 %d of the versions are gone".to_owned()),
                }),
            });
            let notice = ComponentUpdatePolicyEvents {
                pre_update_event: Some(PreComponentUpdateEvent {
                    deployment_id: id.clone(),
                    is_ggc_restarting: false,
                }),
                post_update_event: None,
            };
            for sender in &state.notices {
                drop(sender.try_send(notice.clone()));
            }
            for (component, change) in request.component_to_configuration.iter().flatten() {
                if let Some(sender) = state.validations.get(component) {
                    drop(sender.try_send(ValidateConfigurationUpdateEvent {
                        configuration: change.get("MERGE").and_then(Value::as_object).cloned(),
                        deployment_id: id.clone(),
                    }));
                }
            }
            Ok(id)
        })
    }

    fn status(&self, deployment_id: &str) -> Option<LocalDeployment> {
        let state = self.state();
        let mut deployments = state.deployments.iter();
        deployments
            .find(|deployment| deployment.deployment_id == deployment_id)
            .cloned()
    }

    fn list(&self) -> Vec<LocalDeployment> {
        self.state().deployments.clone()
    }

    fn cancel<'a>(&'a self, deployment_id: &'a str) -> PortFuture<'a, CancelOutcome> {
        let outcome = match self.status(deployment_id) {
            Some(_) => CancelOutcome::AlreadyFinished,
            None => CancelOutcome::Unknown,
        };
        Box::pin(async move { Ok(outcome) })
    }
}

impl IotCorePort for MemoryNucleus {
    fn publish(&self, request: PublishToIoTCoreRequest) -> PortFuture<'_, ()> {
        Box::pin(async move {
            if request.topic_name == SILENT {
                return std::future::pending().await;
            }
            let message = MqttMessage {
                topic_name: request.topic_name.clone(),
                payload: request.payload,
                retain: request.retain,
                user_properties: request.user_properties,
                message_expiry_interval_seconds: request.message_expiry_interval_seconds,
                correlation_data: request.correlation_data,
                response_topic: request.response_topic,
                payload_format: request.payload_format,
                content_type: request.content_type,
            };
            for (filter, sender) in &self.state().subscriptions {
                if sward_policy::topic::mqtt_matches(filter, &request.topic_name) {
                    drop(sender.try_send(message.clone()));
                }
            }
            Ok(())
        })
    }

    fn subscribe<'a>(&'a self, filter: &'a str, _qos: Qos) -> PortFuture<'a, IotCoreSubscription> {
        Box::pin(async move {
            if filter.starts_with("refused/") {
                return Err(IpcError::service("The broker refused the subscription"));
            }
            if filter == SILENT {
                return std::future::pending().await;
            }
            let (sender, messages) = mpsc::channel(QUEUE);
            self.state().subscriptions.push((filter.to_owned(), sender));
            Ok(IotCoreSubscription {
                messages,
                guard: None,
            })
        })
    }
}
