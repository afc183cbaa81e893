//! The recipe as a value: every key of format `2020-01-25`, and what else was written.

use crate::artifact::Artifact;
use serde_json::{Map, Value};
use sward_model::{ComponentName, ComponentVersion, VersionRequirement};

/// What runs a component (core-device §1.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum ComponentType {
    /// Lifecycle scripts run as processes.
    #[default]
    Generic,
    /// A Lambda function of Greengrass V1.
    Lambda,
    /// Runs inside the core; ours are built in.
    Plugin,
    /// The core itself.
    Nucleus,
}

impl ComponentType {
    pub(crate) const ALL: [ComponentType; 4] = [
        ComponentType::Generic,
        ComponentType::Lambda,
        ComponentType::Plugin,
        ComponentType::Nucleus,
    ];

    /// The spelling of recipes, such as `aws.greengrass.generic`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ComponentType::Generic => "aws.greengrass.generic",
            ComponentType::Lambda => "aws.greengrass.lambda",
            ComponentType::Plugin => "aws.greengrass.plugin",
            ComponentType::Nucleus => "aws.greengrass.nucleus",
        }
    }

    /// The spelling of the device's configuration (`componentType`), such as `GENERIC`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            ComponentType::Generic => "GENERIC",
            ComponentType::Lambda => "LAMBDA",
            ComponentType::Plugin => "PLUGIN",
            ComponentType::Nucleus => "NUCLEUS",
        }
    }
}

/// How a dependency's states act on the depender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum DependencyType {
    /// The depender stops and restarts with it.
    #[default]
    Hard,
    /// Only the start order.
    Soft,
}

impl DependencyType {
    pub(crate) const ALL: [DependencyType; 2] = [DependencyType::Hard, DependencyType::Soft];

    /// `HARD` or `SOFT`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            DependencyType::Hard => "HARD",
            DependencyType::Soft => "SOFT",
        }
    }
}

/// One entry of `ComponentDependencies`.
#[derive(Clone, Debug, PartialEq)]
pub struct Dependency {
    /// The component needed.
    pub name: ComponentName,
    /// Its versions that fit.
    pub requirement: VersionRequirement,
    /// Hard (also where the recipe is silent) or soft.
    pub dependency_type: DependencyType,
    /// Keys that the format does not know, as written.
    pub unknown: Map<String, Value>,
}

/// One entry of `Manifests`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Manifest {
    /// A name for people.
    pub name: Option<String>,
    /// Attributes that a device must have, in the order of the recipe; empty fits all. A value
    /// of `None` (null) fits all.
    pub platform: Vec<(String, Option<String>)>,
    /// The manifest's own lifecycle; the recipe's is used where it is empty.
    pub lifecycle: Map<String, Value>,
    /// Keywords that select from the recipe's lifecycle, in order of preference.
    pub selections: Vec<String>,
    /// What to fetch.
    pub artifacts: Vec<Artifact>,
    /// Keys that the format does not know, as written.
    pub unknown: Map<String, Value>,
}

/// A component recipe of format `2020-01-25`, valid by construction.
///
/// Null entries of lifecycles and dependencies without a body are dropped when the recipe is
/// read, as the nucleus drops them when it stores one.
#[derive(Clone, Debug, PartialEq)]
pub struct Recipe {
    /// The component.
    pub name: ComponentName,
    /// Its version.
    pub version: ComponentVersion,
    /// Who runs it; `None` only where the recipe says null.
    pub component_type: Option<ComponentType>,
    /// A sentence for people.
    pub description: Option<String>,
    /// Who published it.
    pub publisher: Option<String>,
    /// ARN of the Lambda function it was made from.
    pub source: Option<String>,
    /// `ComponentConfiguration.DefaultConfiguration`: any value, an object in every sane recipe.
    pub default_configuration: Option<Value>,
    /// `ComponentDependencies` in the order of the recipe.
    pub dependencies: Vec<Dependency>,
    /// `Manifests` in order of preference.
    pub manifests: Vec<Manifest>,
    /// The lifecycle for manifests that have none.
    pub lifecycle: Map<String, Value>,
    /// Top-level keys that the format does not know, as written.
    pub unknown: Map<String, Value>,
    /// Further keys of `ComponentConfiguration`, as written.
    pub unknown_configuration: Map<String, Value>,
}

impl Recipe {
    /// The only format there is.
    pub const FORMAT_VERSION: &'static str = "2020-01-25";

    /// The type to run it as: generic where the recipe says null.
    #[must_use]
    pub fn effective_type(&self) -> ComponentType {
        self.component_type.unwrap_or_default()
    }

    /// All artifacts of all manifests, with the index of their manifest.
    pub fn artifacts(&self) -> impl Iterator<Item = (usize, &Artifact)> {
        self.manifests
            .iter()
            .enumerate()
            .flat_map(|(index, manifest)| manifest.artifacts.iter().map(move |one| (index, one)))
    }

    /// The same recipe with digests for the artifacts for which `digest` gives one (base64 of the
    /// SHA-256), as the cloud answers `GetComponent`.
    #[must_use]
    pub fn with_digests(&self, mut digest: impl FnMut(&Artifact) -> Option<String>) -> Self {
        let mut recipe = self.clone();
        for manifest in &mut recipe.manifests {
            for artifact in &mut manifest.artifacts {
                if let Some(digest) = digest(artifact) {
                    artifact.digest = Some(digest);
                    artifact.algorithm = Some("SHA-256".to_owned());
                }
            }
        }
        recipe
    }
}
