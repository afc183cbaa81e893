//! Choosing versions: the pure resolver, driven by the local store and the cloud (core-device
//! §6.7).

use super::context::{Context, blocking};
use super::failure;
use super::ports::{CandidateRequest, CloudCandidate, CloudError};
use super::wait::{Ended, Stop};
use crate::component_store::StoreError;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use sward_deployment::document::LOCAL_DEPLOYMENT_GROUP;
use sward_deployment::groups::OtherRoot;
use sward_deployment::target::TargetComponent;
use sward_deployment::{DeploymentErrorCode as Code, DeploymentFailure, DeploymentSpec};
use sward_diagnosis::Diagnose;
use sward_model::{Arn, ComponentName, ComponentVersion, VersionRequirement};
use sward_recipe::{Artifact, ComponentType, DependencyType, Format, Recipe};
use sward_resolver::{Candidate, Dependency, DependencyKind, Query, Resolver, Step, no_version};
use sward_task::CancellationToken;

/// How long to wait for the cloud's choice where the device has a version of its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// A component with its version, and what its recipe says for this device.
pub(super) struct Chosen {
    /// The version that satisfies what is required. A part of the program itself may answer to
    /// it although `target` has another.
    pub(super) version: ComponentVersion,
    pub(super) target: TargetComponent,
    pub(super) artifacts: Vec<Artifact>,
}

/// What was chosen, every dependency before those that depend on it.
pub(super) struct Resolved {
    pub(super) components: Vec<Chosen>,
    /// The root components of all groups.
    pub(super) roots: BTreeSet<String>,
}

type Root = (ComponentName, String, VersionRequirement);

impl Context {
    /// Chooses one version of every component that this deployment and the other groups need.
    pub(super) async fn resolve(
        &self,
        spec: &DeploymentSpec,
        others: &[OtherRoot],
        cancel: &CancellationToken,
    ) -> Result<Resolved, Stop> {
        let wanted = roots(spec, others)?;
        let root_names = wanted.iter().map(|root| root.0.to_string()).collect();
        let mut resolver = Resolver::new(wanted);
        let mut recipes: BTreeMap<ComponentName, Option<Recipe>> = BTreeMap::new();
        let resolution = loop {
            let query = match resolver.step() {
                Ok(Step::Done(resolution)) => break resolution,
                Ok(Step::Query(query)) => query,
                Err(error) => return Err(failure::of_resolution(&error).into()),
            };
            let (version, recipe) = self.candidate(&query, cancel).await?;
            let dependencies = recipe.as_ref().map(dependencies_of).unwrap_or_default();
            let candidate = Candidate {
                version,
                dependencies,
            };
            recipes.insert(query.component.clone(), recipe);
            resolver
                .answer(query, candidate)
                .map_err(|error| failure::of_resolution(&error))?;
        };
        let mut components = Vec::new();
        for name in resolution.dependencies_first() {
            let version = &resolution.components[&name].version;
            let recipe = recipes.remove(&name).flatten();
            components.push(self.choose(&name, version, recipe)?);
        }
        Ok(Resolved {
            components,
            roots: root_names,
        })
    }

    /// The version and recipe of one component; no recipe for one of the program's own.
    async fn candidate(
        &self,
        query: &Query,
        cancel: &CancellationToken,
    ) -> Result<(ComponentVersion, Option<Recipe>), Stop> {
        let local = self.local_candidate(query).await?;
        let is_local_wish = query.requirements.contains_key(LOCAL_DEPLOYMENT_GROUP);
        if let Some(local) = &local
            && is_local_wish
            && self.is_of_this_region(&local.recipe)
        {
            return Ok((local.recipe.version.clone(), Some(local.recipe.clone())));
        }
        if self.builtins.get(&query.component).is_some()
            && let Some(version) = self.builtins.answer(&query.component, &query.requirements)
        {
            return Ok((version, local.map(|local| local.recipe)));
        }
        let request = CandidateRequest {
            component: query.component.clone(),
            local_version: local.as_ref().map(|local| local.recipe.version.clone()),
            requirements: query.requirements.clone(),
            platform: self.platform.clone(),
        };
        let answer = match &local {
            // With a version at hand nothing is worth a long wait.
            Some(_) => {
                let asked = tokio::time::timeout(PATIENCE, self.cloud.resolve(request));
                tokio::select! {
                    answer = asked => answer.unwrap_or_else(|_| Err(no_answer())),
                    () = cancel.cancelled() => return Err(Stop::Canceled),
                }
            }
            None => {
                let for_what = format!("a version of component {}", query.component);
                let attempt = || self.cloud.resolve(request.clone());
                match self.until_reachable(&for_what, cancel, attempt).await {
                    Ok(answer) => Ok(answer),
                    Err(Ended::Canceled) => return Err(Stop::Canceled),
                    Err(Ended::Error(error)) => Err(error),
                }
            }
        };
        match (answer, local) {
            (Ok(answer), _) => self.keep(query, answer).await,
            (Err(error), Some(local)) => {
                if !matches!(error, CloudError::NotConfigured) {
                    tracing::info!(
                        component = %query.component,
                        version = %local.recipe.version,
                        error = %error,
                        "the cloud did not answer, the local version is taken"
                    );
                }
                Ok((local.recipe.version.clone(), Some(local.recipe)))
            }
            (Err(error), None) => Err(self.no_candidate(query, &error).await.into()),
        }
    }

    /// The running version if it satisfies everything, else the best one in the store.
    async fn local_candidate(&self, query: &Query) -> Result<Option<Local>, Stop> {
        let joined = VersionRequirement::all_of(query.requirements.values()).map_err(|error| {
            DeploymentFailure::new(
                format!("cannot combine what is required of {}", query.component),
                &[Code::ComponentVersionNotValid],
            )
            .because_of(&error, &[])
        })?;
        let name = query.component.clone();
        let running = self
            .configuration
            .get_text(&["services", name.as_str(), "version"])
            .and_then(|version| version.parse::<ComponentVersion>().ok());
        let requirements: Vec<VersionRequirement> = query.requirements.values().cloned().collect();
        let store = self.store.clone();
        let found = blocking(move || {
            let fits = |version: &ComponentVersion| {
                joined.is_satisfied_by(version)
                    && requirements.iter().all(|one| one.is_satisfied_by(version))
            };
            if let Some(version) = running.filter(&fits)
                && let Some(recipe) = store.recipe(&name, &version)?
            {
                return Ok(Some(Local { recipe }));
            }
            for version in store.versions(&name)?.into_iter().rev() {
                if fits(&version)
                    && let Some(recipe) = store.recipe(&name, &version)?
                {
                    return Ok(Some(Local { recipe }));
                }
            }
            Ok::<_, StoreError>(None)
        })
        .await;
        let what = format!("cannot look for component {} in the store", query.component);
        Ok(found.map_err(|error| failure::of_store(&what, &error))?)
    }

    /// A local version that came from a cloud counts only in that cloud's region.
    fn is_of_this_region(&self, recipe: &Recipe) -> bool {
        let arn = self.store.arn(&recipe.name, &recipe.version);
        let Some(arn) = arn.and_then(|arn| arn.parse::<Arn>().ok()) else {
            return true;
        };
        let region = self.text(&[
            "services",
            sward_model::NUCLEUS_NAME,
            "configuration",
            "awsRegion",
        ]);
        region.is_empty() || arn.region == region
    }

    /// Keeps the cloud's answer in the store.
    async fn keep(
        &self,
        query: &Query,
        answer: CloudCandidate,
    ) -> Result<(ComponentVersion, Option<Recipe>), Stop> {
        let what = format!(
            "cannot use the cloud's answer for component {}",
            query.component
        );
        let recipe =
            Recipe::parse(&answer.recipe, Format::detect(&answer.recipe)).map_err(|error| {
                let codes = [
                    Code::ComponentPackageLoadingError,
                    Code::IoError,
                    Code::IoMappingError,
                    Code::RecipeParseError,
                ];
                DeploymentFailure::new(what.clone(), &codes).because_of(&error, &[])
            })?;
        if recipe.name != query.component || recipe.version != answer.version {
            let message = format!(
                "{what}: it is the recipe of {} {}",
                recipe.name, recipe.version
            );
            let codes = [Code::ResolveComponentCandidatesBadResponse];
            return Err(DeploymentFailure::new(message, &codes).into());
        }
        let (store, kept) = (self.store.clone(), recipe.clone());
        blocking(move || {
            store.save_recipe(&kept)?;
            store.save_arn(&kept.name, &kept.version, &answer.arn)
        })
        .await
        .map_err(|error| failure::of_store(&what, &error))?;
        Ok((recipe.version.clone(), Some(recipe)))
    }

    async fn no_candidate(&self, query: &Query, error: &CloudError) -> DeploymentFailure {
        match error {
            CloudError::NotConfigured | CloudError::Refused { status: 404, .. } => {
                let failure = |known: &[ComponentVersion]| {
                    failure::of_resolution(&no_version(query.clone(), known))
                };
                if *error == CloudError::NotConfigured {
                    let (store, name) = (self.store.clone(), query.component.clone());
                    let known = blocking(move || store.versions(&name)).await;
                    return failure(&known.unwrap_or_default()).because(
                        "this device is not connected to a cloud, so only its own store counts",
                    );
                }
                // Which versions the cloud has, it does not say. Its words, not its codes: the
                // nucleus's stack ends with the requirements.
                let cause = DeploymentFailure::new(error.to_string(), &[]);
                failure(&[]).caused_by(cause)
            }
            error => failure::of_cloud(
                &format!("cannot resolve a version of component {}", query.component),
                error,
            ),
        }
    }

    /// What the device uses of a recipe.
    fn choose(
        &self,
        name: &ComponentName,
        version: &ComponentVersion,
        recipe: Option<Recipe>,
    ) -> Result<Chosen, Stop> {
        if let Some(builtin) = self.builtins.get(name) {
            let mut target = TargetComponent {
                name: name.clone(),
                version: version.clone(),
                component_type: builtin.component_type,
                dependencies: recipe.as_ref().map(target_dependencies).unwrap_or_default(),
                default_configuration: recipe
                    .and_then(|recipe| recipe.default_configuration)
                    .or_else(|| builtin.default_configuration.clone()),
                lifecycle: super::builtin::Builtins::lifecycle(),
            };
            if builtin.component_type == ComponentType::Nucleus {
                target.version = builtin.version.clone();
            }
            return Ok(Chosen {
                version: version.clone(),
                target,
                artifacts: Vec::new(),
            });
        }
        let Some(recipe) = recipe else {
            let message = format!("the recipe of component {name} {version} is not here");
            let codes = [
                Code::ComponentPackageLoadingError,
                Code::LocalRecipeNotFound,
            ];
            return Err(DeploymentFailure::new(message, &codes).into());
        };
        if recipe.effective_type() != ComponentType::Generic {
            let message = format!(
                "component {name} {version} is of type {}, which this core cannot run",
                recipe.effective_type().as_str()
            );
            return Err(DeploymentFailure::new(message, &[Code::CustomPluginNotSupported]).into());
        }
        let selected = recipe
            .select(&self.platform)
            .map_err(|error| failure::of_manifest(name.as_str(), &error))?;
        let Some(selected) = selected else {
            return Err(self.no_manifest(name, version).into());
        };
        Ok(Chosen {
            version: version.clone(),
            target: TargetComponent::of_recipe(&recipe, selected.lifecycle),
            artifacts: selected.artifacts,
        })
    }

    fn no_manifest(&self, name: &ComponentName, version: &ComponentVersion) -> DeploymentFailure {
        let attributes: Vec<String> = self
            .platform
            .0
            .iter()
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        DeploymentFailure::new(
            format!(
                "no manifest of component {name} {version} fits this device ({})",
                attributes.join(", ")
            ),
            &[
                Code::NoAvailableComponentVersion,
                Code::ComponentVersionRequirementsNotMet,
            ],
        )
        .because("add a manifest for this platform to the recipe")
    }
}

fn no_answer() -> CloudError {
    CloudError::Unreachable {
        url: "the cloud".to_owned(),
        reason: "no answer in time".to_owned(),
    }
}

struct Local {
    recipe: Recipe,
}

/// The roots of this deployment under its group, and those of the other groups under theirs.
fn roots(spec: &DeploymentSpec, others: &[OtherRoot]) -> Result<Vec<Root>, DeploymentFailure> {
    let group = match spec.group() {
        "" => "deployment",
        group => group,
    };
    let own = spec.roots().map(|root| {
        let requirement = root.requirement.as_deref().unwrap_or("*");
        (root.name.as_str(), group, requirement)
    });
    let others = others.iter().map(|root| {
        (
            root.component.as_str(),
            root.group.as_str(),
            root.version.as_str(),
        )
    });
    own.chain(others)
        .map(|(name, source, requirement)| {
            let bad = |error: &dyn Diagnose| {
                DeploymentFailure::new(
                    format!("cannot use component \"{name}\" as {source} asks for it"),
                    &[Code::ComponentVersionNotValid],
                )
                .because_of(error, &[])
            };
            Ok((
                name.parse().map_err(|error| bad(&error))?,
                source.to_owned(),
                requirement
                    .parse()
                    .map_err(|error: sward_model::RequirementError| bad(&error))?,
            ))
        })
        .collect()
}

fn dependencies_of(recipe: &Recipe) -> Vec<Dependency> {
    recipe
        .dependencies
        .iter()
        .map(|dependency| Dependency {
            name: dependency.name.clone(),
            requirement: dependency.requirement.clone(),
            kind: match dependency.dependency_type {
                DependencyType::Hard => DependencyKind::Hard,
                DependencyType::Soft => DependencyKind::Soft,
            },
        })
        .collect()
}

fn target_dependencies(recipe: &Recipe) -> Vec<(ComponentName, DependencyType)> {
    recipe
        .dependencies
        .iter()
        .map(|dependency| (dependency.name.clone(), dependency.dependency_type))
        .collect()
}
