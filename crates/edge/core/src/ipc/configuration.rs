//! Components read and change configuration: `services.<component>.configuration`
//! (wire-protocols §2.4).

use crate::gate::Gate;
use serde_json::{Map, Value};
use std::sync::Arc;
use sward_deployment::tree::{Node, UpdateBehavior};
use sward_engine::configuration::{Configuration, Source};
use sward_ipc_model::{ConfigurationValidityReport, IpcError, ValidateConfigurationUpdateEvent};
use sward_ipc_server::{ConfigurationPort, PortFuture, UpdateOutcome};
use sward_task::Tasks;
use tokio::sync::mpsc;

/// Changes waiting for a slow subscriber; beyond, it is told of the root of what it watches.
const WATCH_QUEUE: usize = 64;

/// The port.
pub(crate) struct Configurations {
    configuration: Configuration,
    tasks: Tasks,
    gate: Arc<Gate>,
}

impl Configurations {
    pub(crate) fn new(configuration: Configuration, gate: &Arc<Gate>, tasks: &Tasks) -> Arc<Self> {
        Arc::new(Configurations {
            configuration,
            tasks: tasks.clone(),
            gate: Arc::clone(gate),
        })
    }
}

fn path_of(component: &str, key_path: &[String]) -> Vec<String> {
    let mut path = vec![
        "services".to_owned(),
        component.to_owned(),
        "configuration".to_owned(),
    ];
    path.extend_from_slice(key_path);
    path
}

impl ConfigurationPort for Configurations {
    fn get(&self, component: &str, key_path: &[String]) -> Option<Value> {
        self.configuration.get(&path_of(component, key_path))
    }

    fn update<'a>(
        &'a self,
        component: &'a str,
        key_path: Vec<String>,
        value: Map<String, Value>,
        timestamp_ms: u64,
    ) -> PortFuture<'a, UpdateOutcome> {
        Box::pin(async move {
            let path = path_of(component, &key_path);
            let timestamp_ms = i64::try_from(timestamp_ms).unwrap_or(i64::MAX);
            let mut outcome = UpdateOutcome::Applied;
            let source = Source::Component {
                name: component.to_owned(),
            };
            self.configuration.transaction(source, |tree| {
                let changes = tree.update(&path, &value, &UpdateBehavior::merge(timestamp_ms));
                let newest = tree.get(&path).and_then(Node::newest_ms);
                if newest.is_some_and(|newest| newest > timestamp_ms) {
                    outcome = UpdateOutcome::Newer;
                }
                changes
            });
            self.configuration
                .sync()
                .await
                .map_err(|error| super::ipc_error(&error))?;
            Ok(outcome)
        })
    }

    fn watch(&self, component: &str, key_path: &[String]) -> Option<mpsc::Receiver<Vec<String>>> {
        let path = path_of(component, key_path);
        self.configuration.get_stamped(&path)?;
        let mut watcher = self.configuration.watch(&path);
        let (sender, receiver) = mpsc::channel(WATCH_QUEUE);
        let own_depth = path_of(component, &[]).len();
        let stop = self.tasks.token();
        let watched: Vec<String> = key_path.to_vec();
        self.tasks.spawn("configuration-watch", async move {
            loop {
                let changed = tokio::select! {
                    changed = watcher.changed() => changed,
                    () = sender.closed() => return,
                    () = stop.cancelled() => return,
                };
                let mut keys: Vec<Vec<String>> = changed
                    .keys
                    .into_iter()
                    .map(|key| key.into_iter().skip(own_depth).collect())
                    .collect();
                if changed.is_overflown {
                    keys.push(watched.clone());
                }
                for key in keys {
                    if sender.send(key).await.is_err() {
                        return;
                    }
                }
            }
        });
        Some(receiver)
    }

    fn validations(
        &self,
        component: &str,
    ) -> Option<mpsc::Receiver<ValidateConfigurationUpdateEvent>> {
        self.gate.validate_for(component)
    }

    fn report_validity(
        &self,
        component: &str,
        report: ConfigurationValidityReport,
    ) -> Result<(), IpcError> {
        self.gate.report(component, report)
    }
}
