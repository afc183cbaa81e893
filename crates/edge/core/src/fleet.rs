//! Feeds the fleet-status reducer with what happens on this core, and publishes what it says.

mod unsent;

use crate::cloud::not_before;
use crate::listeners::errors;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use sward_deployment::groups::GroupRecords;
use sward_deployment::{DeploymentSource, DeploymentStatus};
use sward_engine::configuration::{Configuration, Source};
use sward_engine::deployer::{Deployer, DeploymentStatusUpdate};
use sward_engine::supervisor::{self, Statuses, Supervisor};
use sward_model::{NUCLEUS_VERSION, PlatformAttributes};
use sward_task::Tasks;
use sward_uplink::fleet_status::{
    ComponentStatus, DeploymentInformation, DeploymentKind, Event, FleetStatus, Identity, Saved,
};
use sward_uplink::mqtt::{MqttClient, OutgoingMessage};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use unsent::Unsent;

/// Where the reducer's memory stands in the configuration, as AWS's nucleus keeps it.
const MEMORY: [&str; 2] = ["services", "FleetStatusService"];

/// How long the first message waits for components to settle: one that installs for an hour, or that
/// cannot be started at all, must not make the device look dead.
const LAUNCH_PATIENCE: Duration = Duration::from_secs(10);
/// How long until a message that the spool did not take is given to it again.
const RETRY: Duration = Duration::from_secs(5);

/// The task and what it works with.
pub(crate) struct FleetReporter {
    pub(crate) cadence_ms: u64,
    pub(crate) configuration: Configuration,
    pub(crate) supervisor: Supervisor,
    pub(crate) deployer: Deployer,
    pub(crate) client: MqttClient,
    pub(crate) thing: String,
    pub(crate) platform: PlatformAttributes,
}

struct Reporting {
    with: FleetReporter,
    reducer: FleetStatus,
    known: Statuses,
    unsent: Unsent,
}

impl FleetReporter {
    /// Runs until the core stops.
    pub(crate) fn start(self, tasks: &Tasks) {
        let stop = tasks.token();
        let saved = self.saved();
        let identity = Identity {
            thing: self.thing.clone(),
            ggc_version: NUCLEUS_VERSION.to_owned(),
            platform: self.platform.get("os").unwrap_or("linux").to_owned(),
            architecture: self
                .platform
                .get("architecture")
                .unwrap_or_default()
                .to_owned(),
        };
        // The first complete message on the cadence comes a whole cadence after the last one.
        let last = saved.last_periodic_ms.max(now_ms());
        let first = last.saturating_add(self.cadence_ms);
        let reducer = FleetStatus::new(identity, saved, self.cadence_ms, first);
        let reporting = Reporting {
            with: self,
            reducer,
            known: Statuses::default(),
            unsent: Unsent::default(),
        };
        tasks.spawn_essential("fleet-status", async move {
            tokio::select! {
                () = reporting.run() => {}
                () = stop.cancelled() => {}
            }
        });
    }

    fn saved(&self) -> Saved {
        let number = |key: &str| {
            let path = [MEMORY[0], MEMORY[1], key];
            self.configuration
                .get(&path)
                .and_then(|value| value.as_u64())
                .unwrap_or(0)
        };
        Saved {
            next_sequence_number: number("sequenceNumber"),
            last_periodic_ms: number("lastPeriodicUpdateTime"),
        }
    }
}

impl Reporting {
    async fn run(mut self) {
        let mut states = self.with.supervisor.states();
        let mut updates = self.with.deployer.updates();
        let mut connection = self.with.client.connection();
        let mut launched = false;
        let launch_by = Instant::now() + LAUNCH_PATIENCE;
        let mut connected = false;
        loop {
            self.send();
            // Everything that is known now goes in before anybody waits.
            let now = states.borrow_and_update().clone();
            let is_quiet = !launched
                && now.values().all(|status| status.is_settled)
                && self.expected().all(|name| now.contains_key(name.as_str()));
            self.take_components(now).await;
            if !launched && (is_quiet || Instant::now() >= launch_by) {
                launched = true;
                self.take(Event::Launched).await;
            }
            let is_connected = connection.borrow_and_update().is_connected();
            if is_connected != connected {
                connected = is_connected;
                self.take(if connected {
                    Event::Connected
                } else {
                    Event::Disconnected
                })
                .await;
            }
            let tick = self.until_deadline();
            tokio::select! {
                changed = states.changed() => if changed.is_err() { return },
                changed = connection.changed() => if changed.is_err() { return },
                update = updates.recv() => match update {
                    Ok(update) => {
                        let now = states.borrow_and_update().clone();
                        self.take_components(now).await;
                        self.take_deployment(update).await;
                    }
                    Err(RecvError::Lagged(missed)) => {
                        tracing::warn!(missed, "fleet status missed deployment updates");
                        self.take_silence().await;
                    }
                    Err(RecvError::Closed) => return,
                },
                () = tick => self.take(Event::Tick).await,
                () = tokio::time::sleep_until(launch_by), if !launched => {}
                () = tokio::time::sleep(RETRY), if !self.unsent.is_empty() => {}
            }
        }
    }

    /// The components that a start brings up: those of the configuration.
    fn expected(&self) -> impl Iterator<Item = String> + use<> {
        let services = self.with.configuration.get(&["services"]);
        let services = match services {
            Some(Value::Object(services)) => services,
            _ => serde_json::Map::new(),
        };
        services
            .into_iter()
            .filter(|(_, service)| service["version"].is_string())
            .map(|(name, _)| name)
    }

    fn until_deadline(&self) -> impl Future<Output = ()> + use<> {
        let wait = self
            .reducer
            .deadline()
            .map(|at| Duration::from_millis(at.saturating_sub(now_ms())));
        async move {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        }
    }

    async fn take_components(&mut self, now: Statuses) {
        let wanted = WantedBy::read(&self.with.configuration);
        let gone: Vec<String> = self
            .known
            .keys()
            .filter(|name| !now.contains_key(*name))
            .map(ToString::to_string)
            .collect();
        for name in gone {
            self.take(Event::Removed {
                name,
                rolled_back: false,
            })
            .await;
        }
        for status in now.values() {
            self.take(Event::Component(wanted.component(status))).await;
        }
        self.known = now;
    }

    async fn take_deployment(&mut self, update: DeploymentStatusUpdate) {
        if update.status == DeploymentStatus::InProgress {
            self.take(Event::DeploymentStarted).await;
        }
        if !update.status.is_terminal() {
            return;
        }
        let kind = match update.source {
            DeploymentSource::Local => DeploymentKind::Local,
            DeploymentSource::Shadow => DeploymentKind::Thing,
            DeploymentSource::Jobs => DeploymentKind::ThingGroup,
        };
        let is_canceled = update.status == DeploymentStatus::Canceled;
        let information =
            (!(is_canceled && kind == DeploymentKind::ThingGroup)).then(|| information(&update));
        let event = Event::DeploymentEnded {
            kind,
            information,
            roots: update.unchanged_roots,
        };
        self.take(event).await;
    }

    /// After missed updates: nothing may wait for the end of a deployment that has ended.
    async fn take_silence(&mut self) {
        let is_running = self.with.deployer.progress().borrow().running.is_some();
        if !is_running {
            self.take(Event::DeploymentEnded {
                kind: DeploymentKind::Local,
                information: None,
                roots: Vec::new(),
            })
            .await;
        }
    }

    async fn take(&mut self, event: Event) {
        let messages = self.reducer.handle(event, now_ms());
        if messages.is_empty() {
            return;
        }
        self.remember().await;
        for message in messages {
            self.unsent.push(message);
        }
        self.send();
    }

    /// A number is used once, whatever happens to the message that carries it.
    async fn remember(&self) {
        let saved = self.reducer.saved();
        let memory = serde_json::json!({
            "sequenceNumber": saved.next_sequence_number,
            "lastPeriodicUpdateTime": saved.last_periodic_ms,
        });
        if let Value::Object(memory) = memory {
            let at_ms = not_before(&self.with.configuration, &MEMORY);
            self.with
                .configuration
                .merge(&MEMORY, &memory, at_ms, Source::Core);
        }
        if let Err(error) = self.with.configuration.sync().await {
            tracing::error!(error = %error, "the fleet-status number cannot be saved");
        }
    }

    fn send(&mut self) {
        let client = &self.with.client;
        self.unsent.send(|message| {
            let payload = message.payload.to_string();
            let message = OutgoingMessage::new(message.topic.as_str(), payload);
            client.publish(message).map(drop)
        });
    }
}

fn information(update: &DeploymentStatusUpdate) -> DeploymentInformation {
    let (error_stack, error_types) = errors(update);
    DeploymentInformation {
        status: update.status.as_str().to_owned(),
        detailed_status: update.detailed.map(|detailed| detailed.as_str().to_owned()),
        failure_cause: update.failure_cause.clone(),
        error_stack,
        error_types,
        configuration_arn: update.configuration_arn.clone(),
        deployment_id: update
            .deployment_id
            .clone()
            .unwrap_or_else(|| update.id.clone()),
        unchanged_root_components: Vec::new(),
    }
}

/// Which configurations want which component, and which components were asked for by name.
struct WantedBy {
    configurations: BTreeMap<String, Vec<String>>,
    roots: BTreeSet<String>,
}

impl WantedBy {
    fn read(configuration: &Configuration) -> Self {
        let service = configuration.get_stamped(&["services", "DeploymentService"]);
        let service = service.as_ref().and_then(|node| node.as_map());
        let records = GroupRecords::read(service);
        let roots = records
            .roots
            .values()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        let groups = service.and_then(|service| service.value_at(&["ComponentToGroups"]));
        let configurations = groups
            .as_ref()
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
            .map(|(name, wanting)| {
                let arns = wanting
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(arn, _)| arn.clone())
                    .collect();
                (name.clone(), arns)
            })
            .collect();
        WantedBy {
            configurations,
            roots,
        }
    }

    fn component(&self, status: &supervisor::ComponentStatus) -> ComponentStatus {
        let name = status.name.as_str();
        ComponentStatus {
            name: name.to_owned(),
            version: Some(status.version.clone()).filter(|version| !version.is_empty()),
            fleet_config_arns: self.configurations.get(name).cloned().unwrap_or_default(),
            is_root: self.roots.contains(name),
            is_system: status.is_builtin,
            state: status.state,
            status_codes: vec![status.status_code.as_str().to_owned()],
            status_reason: reason_of(status),
            is_uninstalled: false,
        }
    }
}

/// The reason with what a person needs to see why: the last lines of the script.
fn reason_of(status: &supervisor::ComponentStatus) -> String {
    match &status.failure {
        Some(failure) if !failure.last_output.is_empty() => {
            format!("{}: {}", failure.reason, failure.last_output.join(" | "))
        }
        Some(failure) => failure.reason.clone(),
        None => status.status_reason.clone(),
    }
}

fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0)
}
