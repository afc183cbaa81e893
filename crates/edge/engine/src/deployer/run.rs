//! One deployment from its document to its outcome.

use super::context::{Context, blocking};
use super::failure;
use super::log::{Entry, Intent, Planned};
use super::message::{DeploymentRequest, DeploymentStatusUpdate, RequestDocument, Stage};
use super::ports::CloudError;
use super::resolve::Resolved;
use super::wait::{Ended, Stop};
use crate::artifacts::Artifacts;
use crate::component_store::ComponentId;
use crate::configuration::now_ms;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;
use sward_deployment::document::UpdateAction;
use sward_deployment::groups::GroupRecords;
use sward_deployment::plan::Effect;
use sward_deployment::target::{TargetWorld, target_services};
use sward_deployment::tree::{Node, StampedTree};
use sward_deployment::{
    DeploymentDocument, DeploymentErrorCode as Code, DeploymentFailure, DeploymentOutcome,
    DeploymentSource, DeploymentSpec, DeploymentStatus, DetailedStatus, LocalRequest, Plan,
};
use sward_model::{ComponentState, NUCLEUS_NAME};
use sward_task::CancellationToken;

/// How long a local deployment waits for a cloud that it does not need.
const LOCAL_PATIENCE: Duration = Duration::from_secs(3);

/// Whether a deployment can still be canceled. Once it is committed, it cannot.
#[derive(Debug, Default)]
pub(super) struct Commitment {
    is_committed: Mutex<bool>,
    pub(super) cancel: CancellationToken,
}

impl Commitment {
    /// Cancels; `false` if it is too late.
    pub(super) fn try_cancel(&self) -> bool {
        let committed = self.lock();
        if !*committed {
            self.cancel.cancel();
        }
        !*committed
    }

    /// Takes the point of no return; `false` if it was canceled before.
    pub(super) fn try_commit(&self) -> bool {
        let mut committed = self.lock();
        *committed = !self.cancel.is_cancelled();
        *committed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, bool> {
        self.is_committed
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Context {
    /// Runs a deployment to its end and records it. The end is told afterwards.
    pub(super) async fn run(
        &self,
        request: &DeploymentRequest,
        commitment: &Commitment,
    ) -> DeploymentStatusUpdate {
        self.enter(Stage::Preparing);
        let (spec, outcome, plan) = match self.read(request) {
            Ok(spec) => {
                let status = DeploymentStatus::InProgress;
                let (outcome, plan) = if let Some(outcome) = self.refusal(request, &spec) {
                    (outcome, None)
                } else {
                    self.tell(DeploymentStatusUpdate::new(
                        request,
                        Some(&spec),
                        status,
                        now_ms(),
                    ));
                    self.carry_out(request, spec.clone(), commitment).await
                };
                (Some(spec), outcome, plan)
            }
            Err(failure) => {
                let detailed = DetailedStatus::FailedNoStateChange;
                (None, DeploymentOutcome::failed(detailed, failure), None)
            }
        };
        self.finish(request, spec.as_ref(), &outcome, plan.as_ref())
            .await
    }

    /// Records the end of a deployment, durably, and cleans up after it.
    pub(super) async fn finish(
        &self,
        request: &DeploymentRequest,
        spec: Option<&DeploymentSpec>,
        outcome: &DeploymentOutcome,
        plan: Option<&Plan>,
    ) -> DeploymentStatusUpdate {
        let mut update = DeploymentStatusUpdate::new(request, spec, outcome.status(), now_ms())
            .with_outcome(outcome);
        update.unchanged_roots = unchanged_roots(spec, plan);
        let entry = Entry::Finished {
            update: update.clone(),
        };
        if let Err(error) = self.record(entry).await {
            tracing::error!(deployment_id = request.id, %error, "cannot record the end of a deployment");
        }
        self.records.shorten().await;
        update
    }

    fn read(&self, request: &DeploymentRequest) -> Result<DeploymentSpec, DeploymentFailure> {
        match &request.document {
            RequestDocument::Fleet(text) => DeploymentDocument::parse(text)
                .and_then(DeploymentSpec::of_document)
                .map_err(|error| error.failure(request.source)),
            RequestDocument::Local(local) => Ok(self.local_spec(local)),
        }
    }

    fn local_spec(&self, local: &LocalRequest) -> DeploymentSpec {
        let services = self.services();
        let records = group_records(&services);
        local.to_spec(&records.running_roots(&local.group(), Some(&services)))
    }

    /// What ends a deployment before it is ever in progress: it is stale.
    fn refusal(
        &self,
        request: &DeploymentRequest,
        spec: &DeploymentSpec,
    ) -> Option<DeploymentOutcome> {
        if request.source != DeploymentSource::Jobs
            || !group_records(&self.services()).is_stale(spec)
        {
            return None;
        }
        let failure = DeploymentFailure::rejection(format!(
            "a newer deployment of {} was applied before",
            spec.group()
        ));
        Some(DeploymentOutcome::failed(DetailedStatus::Rejected, failure))
    }

    async fn carry_out(
        &self,
        request: &DeploymentRequest,
        spec: DeploymentSpec,
        commitment: &Commitment,
    ) -> (DeploymentOutcome, Option<Plan>) {
        let intent = match Box::pin(self.prepare(request, spec, commitment)).await {
            Ok(intent) => intent,
            Err(Stop::Canceled) => {
                self.gate.after_update(&request.id);
                return (DeploymentOutcome::canceled(), None);
            }
            Err(Stop::Failed(failure)) => {
                self.gate.after_update(&request.id);
                let detailed = DetailedStatus::FailedNoStateChange;
                return (DeploymentOutcome::failed(detailed, *failure), None);
            }
        };
        let outcome = Box::pin(self.activate(&intent)).await;
        self.gate.after_update(&intent.id);
        self.clean(&intent, outcome.failure.is_some()).await;
        (outcome, Some(intent.plan))
    }

    /// Everything that changes nothing on the device but its store; ends with the intent on disk.
    async fn prepare(
        &self,
        request: &DeploymentRequest,
        spec: DeploymentSpec,
        commitment: &Commitment,
    ) -> Result<Intent, Stop> {
        let cancel = &commitment.cancel;
        check_capabilities(&spec)?;
        self.import(request).await?;
        let records = group_records(&self.services());
        self.enter(Stage::Groups);
        let memberships = self.memberships(request, &records, cancel).await?;
        let others = records.other_roots(spec.group(), &memberships);
        self.enter(Stage::Resolving);
        let resolved = self.resolve(&spec, &others, cancel).await?;
        self.enter(Stage::Artifacts);
        self.fetch(&resolved, cancel).await?;
        let planned = self.plan(spec, memberships, &resolved)?;
        self.enter(Stage::Asking);
        self.ask(&request.id, &planned, cancel).await?;
        if !commitment.try_commit() {
            return Err(Stop::Canceled);
        }
        self.enter(Stage::Activating);
        let planned = self.plan_again(planned, &resolved)?;
        let intent = Intent::new(&request.id, request.source, planned);
        let entry = Entry::Activating {
            intent: Box::new(intent.clone()),
        };
        self.record(entry)
            .await
            .map_err(|error| failure::of_journal(&error))?;
        Ok(intent)
    }

    /// Copies a local request's recipes and artifacts into the store.
    async fn import(&self, request: &DeploymentRequest) -> Result<(), Stop> {
        let RequestDocument::Local(local) = &request.document else {
            return Ok(());
        };
        let recipes = local.recipe_directory_path.clone().map(PathBuf::from);
        let artifacts = local.artifacts_directory_path.clone().map(PathBuf::from);
        let store = self.store.clone();
        let imported = blocking(move || {
            if let Some(folder) = recipes {
                store.import_recipes(&folder)?;
            }
            if let Some(folder) = artifacts {
                store.import_artifacts(&folder)?;
            }
            Ok(())
        })
        .await;
        imported.map_err(|error: crate::component_store::StoreError| {
            let codes = [Code::IoError, Code::IoWriteError];
            DeploymentFailure::new("cannot copy local recipes and artifacts", &codes)
                .because_of(&error, &[])
                .into()
        })
    }

    /// The thing groups of the device, with the prefix of group names.
    ///
    /// A local deployment asks once and then takes what is recorded; so does a device that is
    /// refused, or that has no cloud.
    async fn memberships(
        &self,
        request: &DeploymentRequest,
        records: &GroupRecords,
        cancel: &CancellationToken,
    ) -> Result<BTreeSet<String>, Stop> {
        let answer = if request.source.is_cloud() {
            let attempt = || self.groups.thing_groups();
            match self
                .until_reachable("the thing groups of this device", cancel, attempt)
                .await
            {
                Ok(groups) => Ok(groups),
                Err(Ended::Canceled) => return Err(Stop::Canceled),
                Err(Ended::Error(error)) => Err(error),
            }
        } else {
            let asked = tokio::time::timeout(LOCAL_PATIENCE, self.groups.thing_groups());
            tokio::select! {
                answer = asked => answer.unwrap_or_else(|_| Err(too_slow())),
                () = cancel.cancelled() => return Err(Stop::Canceled),
            }
        };
        match answer {
            Ok(groups) => Ok(groups
                .into_iter()
                .map(|group| format!("thinggroup/{group}"))
                .collect()),
            Err(CloudError::NotConfigured | CloudError::Refused { status: 403, .. }) => {
                Ok(records.thing_groups())
            }
            Err(_) if !request.source.is_cloud() => Ok(records.thing_groups()),
            Err(error) => {
                Err(failure::of_cloud("cannot list the thing groups of this device", &error).into())
            }
        }
    }

    async fn fetch(&self, resolved: &Resolved, cancel: &CancellationToken) -> Result<(), Stop> {
        for chosen in &resolved.components {
            let id = component_id(chosen);
            Artifacts::check(&id, &chosen.artifacts)
                .map_err(|error| failure::of_artifact(id.0.as_str(), &error))?;
        }
        for chosen in &resolved.components {
            if self.builtins.get(&chosen.target.name).is_some() {
                continue;
            }
            let id = component_id(chosen);
            let arn = self.store.arn(&id.0, &id.1);
            let for_what = format!("the artifacts of component {} {}", id.0, id.1);
            let attempt = || {
                self.artifacts
                    .prepare(&id, arn.as_deref(), &chosen.artifacts)
            };
            match self.until_reachable(&for_what, cancel, attempt).await {
                Ok(()) => {}
                Err(Ended::Canceled) => return Err(Stop::Canceled),
                Err(Ended::Error(error)) => {
                    return Err(failure::of_artifact(id.0.as_str(), &error).into());
                }
            }
        }
        Ok(())
    }

    fn plan(
        &self,
        spec: DeploymentSpec,
        memberships: BTreeSet<String>,
        resolved: &Resolved,
    ) -> Result<Planned, Stop> {
        let snapshot = self.services();
        let components: Vec<_> = resolved
            .components
            .iter()
            .map(|chosen| chosen.target.clone())
            .collect();
        let timestamp_ms = self.merge_timestamp(&spec, &snapshot);
        let root = self.store.root().to_string_lossy().into_owned();
        let thing_name = self.text(&["system", "thingName"]);
        let world = TargetWorld {
            root: root.trim_end_matches('/'),
            thing_name: &thing_name,
            running: &snapshot,
            timestamp_ms,
        };
        let target = target_services(&components, &spec, &resolved.roots, world)
            .map_err(|error| error.failure())?;
        let broken_before: BTreeSet<String> = self
            .supervisor
            .states()
            .into_iter()
            .filter(|(_, state)| *state == ComponentState::Broken)
            .map(|(name, _)| name.to_string())
            .collect();
        Ok(Planned {
            plan: Plan::new(&snapshot, &target, &broken_before),
            versions: resolved
                .components
                .iter()
                .map(|one| (one.target.name.to_string(), one.version.to_string()))
                .collect(),
            dependencies: components
                .iter()
                .map(|one| {
                    let names = one.dependencies.iter().map(|(name, _)| name.to_string());
                    (one.name.to_string(), names.collect())
                })
                .collect(),
            spec,
            memberships,
            target,
            timestamp_ms,
            snapshot,
            broken_before,
        })
    }

    /// Components may have set configuration while they were asked: what they set must stay.
    fn plan_again(&self, planned: Planned, resolved: &Resolved) -> Result<Planned, Stop> {
        if self.services() == planned.snapshot {
            return Ok(planned);
        }
        self.plan(planned.spec, planned.memberships, resolved)
    }

    /// The document's time, or now where the nucleus is configured so.
    fn merge_timestamp(&self, spec: &DeploymentSpec, running: &StampedTree) -> i64 {
        const KEY: &str = "deploymentConfigurationTimeSource";
        let incoming = spec
            .root(NUCLEUS_NAME)
            .and_then(|nucleus| nucleus.configuration_update.as_ref()?.merge.as_ref())
            .and_then(|merge| merge.get(KEY).cloned());
        let source = incoming.or_else(|| running.value_at(&[NUCLEUS_NAME, "configuration", KEY]));
        let by_document =
            source.as_ref().and_then(Value::as_str) != Some("deploymentProcessingTime");
        spec.timestamp_ms
            .filter(|time| by_document && *time > 0)
            .unwrap_or_else(now_ms)
    }

    /// Asks components: first whether now is a good time, then whether their new configurations
    /// are good (only of those that keep their version).
    async fn ask(
        &self,
        id: &str,
        planned: &Planned,
        cancel: &CancellationToken,
    ) -> Result<(), Stop> {
        let policy = planned.spec.component_update_policy;
        if policy.action == UpdateAction::NotifyComponents && !planned.plan.changes_nothing() {
            let consent = self.gate.before_update(id, seconds(policy.timeout_seconds));
            let waiting = (
                "the consent of components to the update",
                "a component has not answered yet, or asked for a later time",
            );
            self.until_answered(waiting, cancel, consent).await?;
        }
        let configurations = changed_configurations(planned);
        if configurations.is_empty() {
            return Ok(());
        }
        let timeout = seconds(planned.spec.configuration_validation_timeout_seconds);
        let verdict = self.gate.validate(id, configurations, timeout);
        let waiting = (
            "components to check their new configurations",
            "a component has not answered yet",
        );
        let answer = self.until_answered(waiting, cancel, verdict).await?;
        answer.map_err(|rejection| {
            DeploymentFailure::new(
                format!(
                    "component {} refuses its new configuration",
                    rejection.component
                ),
                &[Code::ComponentConfigurationNotValid],
            )
            .because(rejection.reason)
            .into()
        })
    }

    /// Deletes component versions that neither the device nor a rollback needs.
    pub(super) async fn clean(&self, intent: &Intent, has_failed: bool) {
        let mut keep = BTreeSet::new();
        for (name, node) in self.services().iter() {
            let Some(service) = node.as_map() else {
                continue;
            };
            for key in ["version", "previousVersion"] {
                let version = service.get(&[key]).and_then(Node::as_leaf);
                let version = version.and_then(|leaf| leaf.value.as_str());
                keep.extend(parse_id(name, version.unwrap_or_default()));
            }
        }
        if has_failed {
            let versions = intent.versions.iter();
            keep.extend(versions.filter_map(|(name, version)| parse_id(name, version)));
        }
        let store = self.store.clone();
        match blocking(move || store.clean(&keep)).await {
            Ok(gone) => {
                for (component, version) in gone {
                    tracing::info!(%component, %version, "component version deleted from the store");
                }
            }
            Err(error) => tracing::warn!(%error, "cannot clean the component store"),
        }
    }
}

fn too_slow() -> CloudError {
    CloudError::Unreachable {
        url: "the cloud".to_owned(),
        reason: "no answer in time".to_owned(),
    }
}

pub(super) fn group_records(services: &StampedTree) -> GroupRecords {
    GroupRecords::read(services.get_map(&["DeploymentService"]))
}

fn check_capabilities(spec: &DeploymentSpec) -> Result<(), DeploymentFailure> {
    let missing = spec.missing_capabilities();
    if missing.is_empty() {
        return Ok(());
    }
    Err(DeploymentFailure::new(
        format!(
            "the deployment requires capabilities that this core does not have: {}",
            missing.join(", ")
        ),
        &[Code::NucleusMissingRequiredCapabilities],
    ))
}

fn component_id(chosen: &super::resolve::Chosen) -> ComponentId {
    (chosen.target.name.clone(), chosen.target.version.clone())
}

fn parse_id(name: &str, version: &str) -> Option<ComponentId> {
    Some((name.parse().ok()?, version.parse().ok()?))
}

fn seconds(count: i64) -> Duration {
    Duration::from_secs(u64::try_from(count).unwrap_or(0))
}

/// The new configurations of components that keep their version.
fn changed_configurations(planned: &Planned) -> BTreeMap<sward_model::ComponentName, Value> {
    planned
        .plan
        .components
        .iter()
        .filter(|(_, change)| !change.configuration.is_empty() && change.from == change.to)
        .filter_map(|(name, _)| {
            let service = planned.target.get(name)?;
            Some((name.parse().ok()?, service.get("configuration")?.clone()))
        })
        .collect()
}

fn unchanged_roots(spec: Option<&DeploymentSpec>, plan: Option<&Plan>) -> Vec<String> {
    let (Some(spec), Some(plan)) = (spec, plan) else {
        return Vec::new();
    };
    spec.roots()
        .filter(|root| {
            plan.components
                .get(&root.name)
                .is_some_and(|change| change.effect == Effect::Keep)
        })
        .map(|root| root.name.clone())
        .collect()
}
