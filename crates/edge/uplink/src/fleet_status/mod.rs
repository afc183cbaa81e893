//! Fleet status: what the cloud knows of the components of this core.
//!
//! A reducer without IO. Components and deployments come in as they change; messages go out by
//! the rules of core-device §9.2: complete ones at launch and on the cadence, partial ones after
//! deployments, changes and reconnects, never closer than 3 s for mere changes, in chunks of at
//! most 128,000 bytes.
//!
//! Where this is better than AWS's nucleus, knowingly: sequence numbers grow in the order of the
//! messages and are never used again, also after a rollback; a message's timestamp is the moment
//! it is made; nothing that changed while offline is forgotten.
//!
//! Read first: [`FleetStatus`], [`Event`], [`Message`].

mod message;

pub use message::{ComponentStatus, DeploymentInformation, Identity, Message, Trigger};

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use sward_model::ComponentState;

/// Least time between a message and one about mere changes.
pub const MIN_SPACING_MS: u64 = 3_000;
/// A reconnect without any change is told at most this often.
const RECONNECT_SPACING_MS: u64 = 60_000;
/// The cadence of complete messages where nothing else is configured.
pub const DEFAULT_CADENCE_MS: u64 = 86_400_000;

/// What the reducer has to remember over restarts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// The number of the next message.
    pub next_sequence_number: u64,
    /// When the last complete message on the cadence was made, epoch milliseconds.
    pub last_periodic_ms: u64,
}

/// Which deployment runs or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeploymentKind {
    Local,
    Thing,
    ThingGroup,
}

/// What happens on the core.
#[derive(Clone, Debug)]
pub enum Event {
    /// All components are known and started as far as they will by themselves.
    Launched,
    /// A component is new or has changed.
    Component(ComponentStatus),
    /// A component is gone. `version` is left out when a rollback took it away.
    Removed { name: String, rolled_back: bool },
    /// A deployment began to change components.
    DeploymentStarted,
    /// A deployment ended. `roots`: its root components, for `unchangedRootComponents`. A group
    /// deployment that the cloud canceled is not told (`information: None`).
    DeploymentEnded {
        kind: DeploymentKind,
        information: Option<DeploymentInformation>,
        roots: Vec<String>,
    },
    /// The connection to the cloud stands.
    Connected,
    /// It is gone.
    Disconnected,
    /// Identity or endpoints changed and the connection stands anew.
    NetworkReconfigured,
    /// The time of [`FleetStatus::deadline`] has come.
    Tick,
}

/// The reducer.
#[derive(Debug)]
pub struct FleetStatus {
    identity: Identity,
    saved: Saved,
    cadence_ms: u64,
    components: BTreeMap<String, ComponentStatus>,
    changed: BTreeSet<String>,
    removed: BTreeMap<String, ComponentStatus>,
    launched: bool,
    launch_told: bool,
    connected: bool,
    connections: u64,
    in_deployment: bool,
    last_message_ms: Option<u64>,
    last_reconnect_ms: Option<u64>,
    change_due_ms: Option<u64>,
    periodic_due_ms: u64,
}

impl FleetStatus {
    /// A reducer for this core. `saved` is what was remembered; `first_periodic_ms` a random
    /// moment within the cadence for the first complete message, so that a fleet spreads.
    #[must_use]
    pub fn new(identity: Identity, saved: Saved, cadence_ms: u64, first_periodic_ms: u64) -> Self {
        FleetStatus {
            identity,
            saved,
            cadence_ms: cadence_ms.max(1),
            components: BTreeMap::new(),
            changed: BTreeSet::new(),
            removed: BTreeMap::new(),
            launched: false,
            launch_told: false,
            connected: false,
            connections: 0,
            in_deployment: false,
            last_message_ms: None,
            last_reconnect_ms: None,
            change_due_ms: None,
            periodic_due_ms: first_periodic_ms,
        }
    }

    /// What to save; changes with every message, and must be durable before it is sent.
    #[must_use]
    pub fn saved(&self) -> Saved {
        self.saved
    }

    /// When the reducer wants a [`Event::Tick`].
    #[must_use]
    pub fn deadline(&self) -> Option<u64> {
        if !self.connected || !self.launch_told {
            return None;
        }
        let periodic = Some(self.periodic_due_ms).filter(|_| !self.in_deployment);
        match (self.change_due_ms, periodic) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Takes an event; gives the messages to publish at QoS 1, in order.
    pub fn handle(&mut self, event: Event, now_ms: u64) -> Vec<Message> {
        match event {
            Event::Launched => {
                self.launched = true;
                self.tell_launch(now_ms)
            }
            Event::Component(status) => self.on_component(status, now_ms),
            Event::Removed { name, rolled_back } => {
                self.on_removed(&name, rolled_back);
                Vec::new()
            }
            Event::DeploymentStarted => {
                self.in_deployment = true;
                Vec::new()
            }
            Event::DeploymentEnded {
                kind,
                information,
                roots,
            } => self.on_deployment_ended(kind, information, &roots, now_ms),
            Event::Connected => self.on_connected(now_ms),
            Event::Disconnected => {
                self.connected = false;
                Vec::new()
            }
            Event::NetworkReconfigured => {
                self.connected = true;
                self.launch_told = true;
                self.complete(Trigger::NetworkReconfigure, now_ms)
            }
            Event::Tick => self.on_tick(now_ms),
        }
    }

    fn tell_launch(&mut self, now_ms: u64) -> Vec<Message> {
        if !self.launched || !self.connected || self.launch_told {
            return Vec::new();
        }
        self.launch_told = true;
        self.complete(Trigger::NucleusLaunch, now_ms)
    }

    fn on_connected(&mut self, now_ms: u64) -> Vec<Message> {
        self.connected = true;
        self.connections += 1;
        if !self.launch_told {
            return self.tell_launch(now_ms);
        }
        if self.connections == 1 {
            return Vec::new();
        }
        let is_news = !self.changed.is_empty() || !self.removed.is_empty();
        let is_soon = self
            .last_reconnect_ms
            .is_some_and(|last| last <= now_ms && now_ms < last + RECONNECT_SPACING_MS);
        if is_soon && !is_news {
            return Vec::new();
        }
        self.last_reconnect_ms = Some(now_ms);
        self.partial(Trigger::Reconnect, None, now_ms)
    }

    fn on_component(&mut self, status: ComponentStatus, now_ms: u64) -> Vec<Message> {
        let known = self.components.get(&status.name);
        if known == Some(&status) {
            return Vec::new();
        }
        let is_new_state = known.is_none_or(|known| known.state != status.state);
        let name = status.name.clone();
        let state = status.state;
        self.removed.remove(&name);
        self.components.insert(name.clone(), status);
        self.changed.insert(name.clone());
        if !self.launch_told || !self.connected || !is_new_state {
            return Vec::new();
        }
        match state {
            ComponentState::Errored if self.in_deployment => self.single(&name, now_ms),
            ComponentState::Errored => self.change(now_ms),
            ComponentState::Broken if !self.in_deployment => self.change(now_ms),
            _ if !self.in_deployment && self.is_settled() => self.change(now_ms),
            _ => Vec::new(),
        }
    }

    fn on_removed(&mut self, name: &str, rolled_back: bool) {
        self.changed.remove(name);
        if let Some(mut status) = self.components.remove(name) {
            if rolled_back {
                status.version = None;
            }
            self.removed.insert(name.to_owned(), status.uninstalled());
        }
    }

    fn on_deployment_ended(
        &mut self,
        kind: DeploymentKind,
        information: Option<DeploymentInformation>,
        roots: &[String],
        now_ms: u64,
    ) -> Vec<Message> {
        self.in_deployment = false;
        let Some(mut information) = information else {
            return self.change_if_settled(now_ms);
        };
        let told = |name: &&String| !self.changed.contains(*name);
        information.unchanged_root_components = roots.iter().filter(told).cloned().collect();
        let trigger = match kind {
            DeploymentKind::Local => Trigger::LocalDeployment,
            DeploymentKind::Thing => Trigger::ThingDeployment,
            DeploymentKind::ThingGroup => Trigger::ThingGroupDeployment,
        };
        // A cloud deployment's end is spooled while offline; a local one's is told by RECONNECT.
        let is_told = self.connected || kind != DeploymentKind::Local;
        if !self.launch_told || !is_told {
            return Vec::new();
        }
        self.partial(trigger, Some(information), now_ms)
    }

    fn change_if_settled(&mut self, now_ms: u64) -> Vec<Message> {
        if self.connected && self.launch_told && self.is_settled() {
            self.change(now_ms)
        } else {
            Vec::new()
        }
    }

    fn on_tick(&mut self, now_ms: u64) -> Vec<Message> {
        if !self.connected || !self.launch_told {
            return Vec::new();
        }
        let latest = now_ms.saturating_add(self.cadence_ms);
        self.periodic_due_ms = self.periodic_due_ms.min(latest);
        if !self.in_deployment && self.periodic_due_ms <= now_ms {
            self.periodic_due_ms = now_ms + self.cadence_ms;
            self.saved.last_periodic_ms = now_ms;
            return self.complete(Trigger::Cadence, now_ms);
        }
        let is_due = |due: u64| due <= now_ms || due > now_ms + MIN_SPACING_MS;
        if self.change_due_ms.is_some_and(is_due) {
            return self.change(now_ms);
        }
        Vec::new()
    }

    /// Whether every component is where it will stay.
    fn is_settled(&self) -> bool {
        self.components.values().all(|status| {
            matches!(
                status.state,
                ComponentState::Running | ComponentState::Finished | ComponentState::Broken
            )
        })
    }

    /// A message about mere changes, now or when the spacing allows.
    fn change(&mut self, now_ms: u64) -> Vec<Message> {
        let is_about_components = self
            .changed
            .iter()
            .filter_map(|name| self.components.get(name))
            .any(|status| !status.is_system);
        if !is_about_components && self.removed.is_empty() && self.last_message_ms.is_some() {
            // Only parts of the nucleus moved; told with the next message, but for the launch.
            if self.saved.next_sequence_number > 1 {
                return Vec::new();
            }
        }
        // A clock that was put back must not hold the message up.
        let last = self.last_message_ms.filter(|last| *last <= now_ms);
        let due = last.map_or(0, |last| last + MIN_SPACING_MS);
        if now_ms < due {
            self.change_due_ms = Some(due);
            return Vec::new();
        }
        self.partial(Trigger::ComponentStatusChange, None, now_ms)
    }

    /// One component alone, at once; the others wait for the end of the deployment.
    fn single(&mut self, name: &str, now_ms: u64) -> Vec<Message> {
        let components = self.components.get(name).cloned().into_iter().collect();
        self.message(Trigger::ComponentStatusChange, components, None, now_ms)
    }

    fn partial(
        &mut self,
        trigger: Trigger,
        information: Option<DeploymentInformation>,
        now_ms: u64,
    ) -> Vec<Message> {
        let is_deployment = information.is_some();
        let mut components: Vec<_> = self
            .components
            .values()
            .filter(|status| {
                self.changed.contains(&status.name)
                    || (is_deployment && status.state == ComponentState::New)
            })
            .cloned()
            .collect();
        components.extend(std::mem::take(&mut self.removed).into_values());
        self.changed.clear();
        self.message(trigger, components, information, now_ms)
    }

    fn complete(&mut self, trigger: Trigger, now_ms: u64) -> Vec<Message> {
        self.changed.clear();
        self.removed.clear();
        let components = self.components.values().cloned().collect();
        self.message(trigger, components, None, now_ms)
    }

    fn message(
        &mut self,
        trigger: Trigger,
        components: Vec<ComponentStatus>,
        information: Option<DeploymentInformation>,
        now_ms: u64,
    ) -> Vec<Message> {
        let sequence_number = self.saved.next_sequence_number;
        self.saved.next_sequence_number += 1;
        self.last_message_ms = Some(now_ms);
        self.change_due_ms = None;
        let is_broken = |status: &ComponentStatus| status.state == ComponentState::Broken;
        let is_healthy = !self.components.values().any(is_broken);
        message::messages(&message::Content {
            identity: &self.identity,
            sequence_number,
            timestamp: now_ms,
            trigger,
            is_healthy,
            components: &components,
            information: information.as_ref(),
        })
    }
}

#[cfg(test)]
mod tests;
