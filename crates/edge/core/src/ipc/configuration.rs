//! Components read and change configuration: `services.<component>.configuration`
//! (wire-protocols §2.4).

use crate::gate::Gate;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
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

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
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
            let mut outcome = None;
            let source = Source::Component {
                name: component.to_owned(),
            };
            self.configuration.transaction(source, |tree| {
                // A component that was removed and still runs its last steps must not come back
                // as a service that nobody deployed.
                if tree.get(&path[..2]).is_none() {
                    return Vec::new();
                }
                // What did not exist has the time at which it was made, as in the nucleus.
                let is_new = !key_path.is_empty() && tree.get(&path).is_none();
                let timestamp_ms = if is_new { now_ms() } else { timestamp_ms };
                let changes = tree.update(&path, &value, &UpdateBehavior::merge(timestamp_ms));
                let newest = tree.get(&path).and_then(Node::newest_ms);
                outcome = Some(match newest {
                    Some(newest) if newest > timestamp_ms => UpdateOutcome::Newer,
                    _ => UpdateOutcome::Applied,
                });
                changes
            });
            let outcome = outcome.ok_or_else(|| {
                IpcError::invalid(format!(
                    "Component config not found for component {component}"
                ))
            })?;
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
        Some(self.gate.validate_for(component))
    }

    fn report_validity(
        &self,
        component: &str,
        report: ConfigurationValidityReport,
    ) -> Result<(), IpcError> {
        self.gate.report(component, report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use sward_ipc_model::ErrorName;
    use sward_journal::{RealFileSystem, Storage};

    const A: &str = "com.example.A";

    async fn update(
        configurations: &Configurations,
        component: &str,
        key_path: &[&str],
        value: Value,
        timestamp_ms: u64,
    ) -> Result<UpdateOutcome, IpcError> {
        let key_path = key_path.iter().map(|key| (*key).to_owned()).collect();
        let value = value.as_object().cloned().expect("an object");
        configurations
            .update(component, key_path, value, timestamp_ms)
            .await
    }

    #[tokio::test]
    async fn an_update_changes_only_components_that_are_there_and_times_new_keys_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = Storage::start().expect("a thread");
        let configuration = Configuration::open(&storage, Arc::new(RealFileSystem), folder.path())
            .await
            .expect("opens");
        let own = ["services", A, "configuration"];
        let source = Source::Component { name: A.to_owned() };
        configuration.update(&own, &json!({"a": {"k": 1}}), 5000, source);
        let gate = Arc::new(Gate::default());
        let configurations = Configurations::new(configuration.clone(), &gate, &Tasks::new());

        let gone = update(
            &configurations,
            "com.example.Gone",
            &[],
            json!({"k": 1}),
            9000,
        )
        .await;
        assert_eq!(
            gone.map_err(|error| error.name),
            Err(ErrorName::InvalidArgumentsError)
        );
        assert_eq!(configuration.get(&["services", "com.example.Gone"]), None);

        let older = update(&configurations, A, &["a"], json!({"k": 2}), 4000).await;
        assert_eq!(older, Ok(UpdateOutcome::Newer));
        let newer = update(&configurations, A, &["a"], json!({"k": 3}), 6000).await;
        assert_eq!(newer, Ok(UpdateOutcome::Applied));

        let before = now_ms();
        let made = update(&configurations, A, &["new", "map"], json!({"k": 4}), 1).await;
        assert_eq!(made, Ok(UpdateOutcome::Applied));
        let path = path_of(A, &["new".to_owned(), "map".to_owned(), "k".to_owned()]);
        let leaf = configuration.get_stamped(&path).expect("it is there");
        assert!(leaf.newest_ms().expect("a time") >= before);
    }
}
