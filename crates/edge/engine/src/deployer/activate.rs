//! Changing the device as an intent says, and changing it back. Every step can be done again, so
//! what a loss of power interrupted is simply done from its beginning.

use super::context::Context;
use super::failure;
use super::log::{Entry, Intent, Open};
use super::ports::{ServiceSpec, Settled, SupervisorChanges};
use super::run::group_records;
use crate::configuration::{Source, now_ms};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use sward_deployment::document::FailureHandlingPolicy;
use sward_deployment::plan::{Effect, is_core_service};
use sward_deployment::target::service_behavior;
use sward_deployment::tree::{Node, StampedTree, UpdateBehavior};
use sward_deployment::{DeploymentFailure, DeploymentOutcome, DetailedStatus, Plan};
use sward_diagnosis::Diagnose;
use sward_model::{ComponentName, ComponentState, NUCLEUS_NAME};

/// What every wait for components gets besides the time-outs of their steps.
const SETTLE_MARGIN: Duration = Duration::from_secs(120);
/// How often a step is tried before a component is BROKEN.
const STEP_TRIES: u32 = 3;
/// Install and startup where the recipe does not say otherwise.
const STEP_SECONDS: u64 = 120;
/// How long components that go may take to stop and uninstall.
const REMOVAL_TIME: Duration = Duration::from_secs(300);
/// How often a deployment is taken up again before it counts as what ends the core: a component
/// that reboots the device, or takes all its memory, must not do so for ever.
const MOST_RESUMPTIONS: u32 = 5;
/// What a deployment records of groups, below `services.DeploymentService`.
const GROUP_RECORDS: [&str; 3] = [
    "GroupToRootComponents",
    "GroupToLastDeployment",
    "ComponentToGroups",
];

impl Context {
    /// Hands the components of the configuration to the supervisor: the start of a core on which
    /// no deployment is open. One that the supervisor does not take keeps no other from starting.
    pub(super) async fn launch(&self) {
        if !self.is_first_launch() {
            return;
        }
        let mut set = service_specs(&self.services(), |_| Some(Effect::Install));
        loop {
            let changes = SupervisorChanges {
                set: set.clone(),
                remove: Vec::new(),
            };
            let Err(error) = self.supervisor.apply(changes).await else {
                break;
            };
            tracing::error!(%error, "a component cannot be started");
            let count = set.len();
            set.retain(|spec| spec.name.as_str() != error.component);
            if set.len() == count {
                return;
            }
        }
        self.note_launch();
    }

    /// Goes on with what was interrupted.
    pub(super) async fn resume(&self, open: &Open) -> DeploymentOutcome {
        tracing::info!(
            deployment_id = open.intent.id,
            is_rolling_back = open.failure.is_some(),
            times = open.resumptions,
            "going on with an interrupted deployment"
        );
        let entry = Entry::Resuming {
            times: open.resumptions.saturating_add(1),
        };
        if let Err(error) = self.record(entry).await {
            tracing::error!(%error, "cannot record that a deployment is taken up again");
        }
        let is_hopeless = open.resumptions >= MOST_RESUMPTIONS;
        let outcome = match &open.failure {
            None if is_hopeless => {
                let failure = failure::of_interruptions(open.resumptions);
                self.give_up(&open.intent, failure).await
            }
            None => self.activate(&open.intent).await,
            Some(failure) if is_hopeless => DeploymentOutcome::failed(
                DetailedStatus::FailedUnableToRollback,
                failure
                    .clone()
                    .because("the rollback failed too")
                    .caused_by(failure::of_interruptions(open.resumptions)),
            ),
            Some(failure) => self.roll_back(&open.intent, failure.clone()).await,
        };
        // Whatever became of it, the device runs what its configuration says.
        self.launch().await;
        self.gate.after_update(&open.intent.id);
        self.clean(&open.intent, outcome.failure.is_some()).await;
        outcome
    }

    /// Carries out an intent that is on disk.
    pub(super) async fn activate(&self, intent: &Intent) -> DeploymentOutcome {
        match self.apply_target(intent).await {
            Ok(()) => match self.settle_bookkeeping(intent, true).await {
                Ok(()) => DeploymentOutcome::succeeded(),
                Err(failure) => self.give_up(intent, failure).await,
            },
            Err(failure) => self.give_up(intent, failure).await,
        }
    }

    async fn apply_target(&self, intent: &Intent) -> Result<(), DeploymentFailure> {
        let source = Source::Deployment {
            id: intent.id.clone(),
        };
        let behavior = service_behavior(intent.timestamp_ms, now_ms());
        let main = UpdateBehavior::merge(now_ms());
        self.configuration.transaction(source, |tree| {
            let mut changes = Vec::new();
            for (name, service) in &intent.target {
                let Value::Object(service) = service else {
                    continue;
                };
                let behavior = if name == "main" { &main } else { &behavior };
                changes.extend(tree.update(&["services", name], service, behavior));
            }
            changes
        });
        self.sync().await?;
        let removed: BTreeSet<&str> = intent.plan.with_effect(Effect::Remove).collect();
        let all = self.is_first_launch();
        let set = service_specs(&self.services(), |name| {
            if removed.contains(name) {
                return None;
            }
            Some(effect_in(&intent.plan, name, all))
        });
        self.set_and_settle(set, intent.plan.disrupted().map(str::to_owned).collect())
            .await
    }

    /// Gives components to the supervisor and waits for those that are touched.
    async fn set_and_settle(
        &self,
        set: Vec<ServiceSpec>,
        touched: BTreeSet<String>,
    ) -> Result<(), DeploymentFailure> {
        let deadline = settle_deadline(&set, &self.supervisor.states());
        if !set.is_empty() {
            let changes = SupervisorChanges {
                set,
                remove: Vec::new(),
            };
            self.supervisor.apply(changes).await.map_err(|error| {
                DeploymentFailure::new(
                    "cannot hand the components to the supervisor",
                    &[
                        sward_deployment::DeploymentErrorCode::ComponentUpdateError,
                        sward_deployment::DeploymentErrorCode::ComponentLoadFailure,
                    ],
                )
                .because_of(&error, &[])
            })?;
        }
        self.note_launch();
        let names: Vec<ComponentName> = touched
            .iter()
            .filter(|name| !is_core_service(name))
            .filter_map(|name| name.parse().ok())
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        self.wait_until_steady(names, deadline).await
    }

    /// Waits until all of these run or have finished, and still do a moment later.
    async fn wait_until_steady(
        &self,
        names: Vec<ComponentName>,
        deadline: Duration,
    ) -> Result<(), DeploymentFailure> {
        let end = tokio::time::Instant::now() + deadline;
        loop {
            let left = end.saturating_duration_since(tokio::time::Instant::now());
            match self.supervisor.settled(names.clone(), left).await {
                Settled::Fine => {}
                settled => return Err(failure::of_settled(&settled, |name| self.arn_of(name))),
            }
            tokio::select! {
                () = tokio::time::sleep(self.retry.steady) => {
                    if self.are_up(&names) {
                        return Ok(());
                    }
                }
                () = self.supervisor.unsettled(names.clone()) => {}
            }
            if tokio::time::Instant::now() >= end {
                return Err(failure::of_restless(&names, &self.supervisor.states()));
            }
        }
    }

    fn are_up(&self, names: &[ComponentName]) -> bool {
        let states = self.supervisor.states();
        names
            .iter()
            .all(|name| states.get(name).is_none_or(|state| is_up(*state)))
    }

    /// The ARN of the version of a component that the configuration names.
    fn arn_of(&self, name: &str) -> Option<String> {
        let version = self.text(&["services", name, "version"]);
        self.store.arn(&name.parse().ok()?, &version.parse().ok()?)
    }

    /// Takes away what is not wanted any more and records who wanted what.
    async fn settle_bookkeeping(
        &self,
        intent: &Intent,
        removes: bool,
    ) -> Result<(), DeploymentFailure> {
        let obsolete: Vec<String> = match removes {
            true => intent
                .plan
                .with_effect(Effect::Remove)
                .map(str::to_owned)
                .collect(),
            false => Vec::new(),
        };
        self.remove_components(&obsolete).await?;
        let mut records = group_records(&self.services());
        records.record(
            &intent.spec,
            &intent.id,
            &intent.versions,
            &intent.memberships,
        );
        let (roots, last) = records.to_maps();
        let groups = records.component_to_groups(&intent.dependencies);
        let replace = UpdateBehavior::replace(now_ms()).forced();
        let source = Source::Deployment {
            id: intent.id.clone(),
        };
        self.configuration.transaction(source, |tree| {
            let mut changes = Vec::new();
            for name in &obsolete {
                changes.extend(tree.remove(&["services", name], now_ms()));
            }
            for (key, map) in GROUP_RECORDS.into_iter().zip([&roots, &last, &groups]) {
                changes.extend(tree.update(&["services", "DeploymentService", key], map, &replace));
            }
            changes
        });
        self.sync().await
    }

    async fn remove_components(&self, names: &[String]) -> Result<(), DeploymentFailure> {
        let names: Vec<ComponentName> = names.iter().filter_map(|name| name.parse().ok()).collect();
        if names.is_empty() {
            return Ok(());
        }
        let changes = SupervisorChanges {
            set: Vec::new(),
            remove: names.clone(),
        };
        self.supervisor.apply(changes).await.map_err(|error| {
            DeploymentFailure::new(
                "cannot remove components",
                &[sward_deployment::DeploymentErrorCode::RemoveComponentError],
            )
            .because_of(&error, &[])
        })?;
        self.supervisor.removed(names, REMOVAL_TIME).await;
        Ok(())
    }

    /// What follows a failure: leave it, or put everything back.
    async fn give_up(&self, intent: &Intent, failure: DeploymentFailure) -> DeploymentOutcome {
        if intent.spec.failure_handling_policy == FailureHandlingPolicy::DoNothing {
            if let Err(error) = self.settle_bookkeeping(intent, false).await {
                tracing::error!(%error, "cannot record a failed deployment");
            }
            let detailed = DetailedStatus::FailedRollbackNotRequested;
            return DeploymentOutcome::failed(detailed, failure);
        }
        let entry = Entry::RollingBack {
            failure: failure.clone(),
        };
        if let Err(error) = self.record(entry).await {
            // The way back is taken all the same; after a loss of power it begins anew.
            tracing::error!(%error, "cannot record that a deployment is rolled back");
        }
        self.roll_back(intent, failure).await
    }

    /// Puts everything back as it was before the intent.
    async fn roll_back(&self, intent: &Intent, failure: DeploymentFailure) -> DeploymentOutcome {
        self.enter(super::message::Stage::RollingBack);
        tracing::warn!(deployment_id = intent.id, cause = %failure, "rolling back");
        match self.restore(intent).await {
            Ok(()) => DeploymentOutcome::failed(DetailedStatus::FailedRollbackComplete, failure),
            Err(second) => {
                let failure = failure.because("the rollback failed too").caused_by(second);
                DeploymentOutcome::failed(DetailedStatus::FailedUnableToRollback, failure)
            }
        }
    }

    async fn restore(&self, intent: &Intent) -> Result<(), DeploymentFailure> {
        let snapshot = intent.snapshot();
        let broken: BTreeSet<String> = self
            .supervisor
            .states()
            .into_iter()
            .filter(|(_, state)| *state == ComponentState::Broken)
            .map(|(name, _)| name.to_string())
            .collect();
        let back = Plan::new(&self.services(), &component_map(&snapshot), &broken);
        let added: Vec<String> = intent
            .plan
            .with_effect(Effect::Install)
            .map(str::to_owned)
            .collect();
        let added: Vec<String> = added
            .into_iter()
            .filter(|name| snapshot.get(&[name]).is_none())
            .collect();
        let source = || Source::Rollback {
            id: intent.id.clone(),
        };
        let target = intent.target.keys().map(|name| vec![name.as_str()]);
        let removed = intent.plan.with_effect(Effect::Remove);
        let records = GROUP_RECORDS.map(|key| vec!["DeploymentService", key]);
        for path in target.chain(removed.map(|name| vec![name])).chain(records) {
            let place = [&["services"], &path[..]].concat();
            match snapshot.get(&path).and_then(Node::as_map) {
                Some(before) => {
                    self.configuration.restore(&place, before, source());
                }
                None if is_core_service(path[0]) => {
                    self.configuration.remove(&place, now_ms(), source());
                }
                // A component that was added goes once it has stopped.
                None => {}
            }
        }
        // A disk that takes nothing keeps no component from going back.
        let first_recorded = self.sync().await;
        let all = self.is_first_launch();
        let set = service_specs(&snapshot, |name| Some(effect_in(&back, name, all)));
        let ignored = with_hard_dependers(&intent.broken_before, &snapshot);
        let touched = intent
            .plan
            .disrupted()
            .filter(|name| snapshot.get(&[name]).is_some() && !ignored.contains(*name))
            .map(str::to_owned)
            .collect();
        self.remove_components(&added).await?;
        self.configuration.transaction(source(), |tree| {
            added
                .iter()
                .filter_map(|name| tree.remove(&["services", name], now_ms()))
                .collect()
        });
        let recorded = self.sync().await;
        self.set_and_settle(set, touched).await?;
        first_recorded.and(recorded)
    }

    async fn sync(&self) -> Result<(), DeploymentFailure> {
        self.configuration.sync().await.map_err(|error| {
            let error: &dyn Diagnose = &error;
            failure::of_journal(error)
        })
    }
}

/// What happens to a component: on the first launch, all of them start.
fn effect_in(plan: &Plan, name: &str, is_first_launch: bool) -> Effect {
    let change = plan.components.get(name);
    match change.map(|change| change.effect) {
        _ if is_first_launch => Effect::Install,
        None => Effect::Keep,
        Some(effect) => effect,
    }
}

/// The services that are components, as a plain map.
fn component_map(services: &StampedTree) -> Map<String, Value> {
    services
        .iter()
        .filter(|(name, _)| !is_core_service(name) || name.eq_ignore_ascii_case(NUCLEUS_NAME))
        .map(|(name, node)| (name.to_owned(), node.to_value()))
        .collect()
}

/// The components of `services` as the supervisor shall run them, as far as `effect` wants them.
fn service_specs(
    services: &StampedTree,
    effect: impl Fn(&str) -> Option<Effect>,
) -> Vec<ServiceSpec> {
    let roots = root_names(services);
    services
        .iter()
        .filter(|(name, _)| !is_core_service(name))
        .filter_map(|(name, node)| {
            let service = node.as_map()?;
            let text = |key: &str| match service.value_at(&[key]) {
                Some(Value::String(text)) => text,
                _ => String::new(),
            };
            Some(ServiceSpec {
                name: name.parse().ok()?,
                version: text("version"),
                component_type: text("componentType"),
                lifecycle: match service.value_at(&["lifecycle"]) {
                    Some(Value::Object(lifecycle)) => lifecycle,
                    _ => Map::new(),
                },
                dependencies: dependencies(service),
                run_with: service.value_at(&["runWith"]),
                is_root: roots.contains(name),
                effect: effect(name)?,
            })
        })
        .collect()
}

/// The names that `main` depends on.
fn root_names(services: &StampedTree) -> BTreeSet<String> {
    let main = services.get_map(&["main"]);
    let list = main.and_then(|main| main.value_at(&["dependencies"]));
    let items = list.as_ref().and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter_map(|item| Some(item.split(':').next()?.to_owned()))
        .collect()
}

/// The dependencies of a stored service: `NAME`, `NAME:HARD`, `NAME:SOFT` (any prefix of it).
fn dependencies(service: &StampedTree) -> Vec<(ComponentName, bool)> {
    let list = service.value_at(&["dependencies"]);
    let items = list.as_ref().and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter_map(|item| {
            let (name, kind) = item.split_once(':').unwrap_or((item, "HARD"));
            let is_hard = !kind.to_ascii_uppercase().starts_with('S');
            Some((name.parse().ok()?, is_hard))
        })
        .filter(|(name, _): &(ComponentName, bool)| !is_core_service(name.as_str()))
        .collect()
}

/// These components and all that depend on them hard, directly or not.
fn with_hard_dependers(names: &BTreeSet<String>, services: &StampedTree) -> BTreeSet<String> {
    let mut all = names.clone();
    loop {
        let before = all.len();
        for (name, node) in services.iter() {
            let Some(service) = node.as_map() else {
                continue;
            };
            if dependencies(service)
                .iter()
                .any(|(on, is_hard)| *is_hard && all.contains(on.as_str()))
            {
                all.insert(name.to_owned());
            }
        }
        if all.len() == before {
            return all;
        }
    }
}

fn is_up(state: ComponentState) -> bool {
    matches!(state, ComponentState::Running | ComponentState::Finished)
}

/// Long enough for every step to run into its time-out as often as it is tried. Steps of
/// different components wait for each other, so their times add up; those of a component that is
/// kept count while it is not up itself.
fn settle_deadline(
    set: &[ServiceSpec],
    states: &BTreeMap<ComponentName, ComponentState>,
) -> Duration {
    let is_awaited = |spec: &&ServiceSpec| {
        spec.effect > Effect::Limits || !states.get(&spec.name).is_some_and(|state| is_up(*state))
    };
    let seconds: u64 = set
        .iter()
        .filter(is_awaited)
        .map(|spec| {
            ["install", "startup", "shutdown"]
                .iter()
                .map(|step| step_seconds(&spec.lifecycle, step))
                .fold(0, u64::saturating_add)
        })
        .fold(0, u64::saturating_add);
    SETTLE_MARGIN + Duration::from_secs(seconds.saturating_mul(u64::from(STEP_TRIES)))
}

fn step_seconds(lifecycle: &Map<String, Value>, step: &str) -> u64 {
    let find = |map: &Map<String, Value>, key: &str| {
        map.iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value.clone())
    };
    let Some(step) = find(lifecycle, step) else {
        return 0;
    };
    let timeout = step.as_object().and_then(|map| find(map, "Timeout"));
    match timeout {
        Some(Value::Number(number)) => number.as_u64().unwrap_or(STEP_SECONDS),
        Some(Value::String(text)) => text.trim().parse().unwrap_or(STEP_SECONDS),
        _ => STEP_SECONDS,
    }
}
