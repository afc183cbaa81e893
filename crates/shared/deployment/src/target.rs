//! What `services` of the configuration shall be after a deployment (core-device §6.10).
//!
//! Each component becomes one service: version, type, dependencies, lifecycle with its variables
//! replaced, `runWith` and configuration. `main` depends on all roots and the nucleus. A nucleus
//! that no deployment names is not in the target: it stays as it is.

use crate::configuration::{ConfigurationError, resolve_configuration};
use crate::document::{DeploymentSpec, RunWith, SpecComponent};
use crate::error::{DeploymentErrorCode as Code, DeploymentFailure};
use crate::tree::{Node, StampedTree, UpdateBehavior};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_model::{ComponentName, ComponentVersion, NUCLEUS_NAME};
use sward_recipe::interpolate::{InterpolationError, Service, World};
use sward_recipe::{ComponentType, DependencyType, Recipe};
use thiserror::Error;

/// A resolved component: what its recipe says for this device.
#[derive(Clone, Debug, PartialEq)]
pub struct TargetComponent {
    pub name: ComponentName,
    pub version: ComponentVersion,
    pub component_type: ComponentType,
    pub dependencies: Vec<(ComponentName, DependencyType)>,
    pub default_configuration: Option<Value>,
    /// Of the manifest that fits the device, as written.
    pub lifecycle: Map<String, Value>,
}

impl TargetComponent {
    /// The component of a recipe, with the lifecycle that was selected for this device.
    #[must_use]
    pub fn of_recipe(recipe: &Recipe, lifecycle: Map<String, Value>) -> Self {
        TargetComponent {
            name: recipe.name.clone(),
            version: recipe.version.clone(),
            component_type: recipe.effective_type(),
            dependencies: recipe
                .dependencies
                .iter()
                .map(|dependency| (dependency.name.clone(), dependency.dependency_type))
                .collect(),
            default_configuration: recipe.default_configuration.clone(),
            lifecycle,
        }
    }
}

/// What a target depends on besides the components.
#[derive(Clone, Copy, Debug)]
pub struct TargetWorld<'a> {
    /// The root folder, absolute, without a slash at the end.
    pub root: &'a str,
    /// Empty while the core is not provisioned.
    pub thing_name: &'a str,
    /// `services` as it is now.
    pub running: &'a StampedTree,
    /// The time that the document's configuration gets, ms.
    pub timestamp_ms: i64,
}

/// Why a target cannot be computed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TargetError {
    #[error("cannot compute the configuration of component {component}")]
    Configuration {
        component: ComponentName,
        #[source]
        source: ConfigurationError,
    },
    #[error("cannot interpolate the lifecycle of component {component}")]
    Interpolation {
        component: ComponentName,
        #[source]
        source: InterpolationError,
    },
}

impl TargetError {
    /// The failure that is reported for it.
    #[must_use]
    pub fn failure(&self) -> DeploymentFailure {
        match self {
            TargetError::Configuration { source, .. } => {
                DeploymentFailure::new(self.to_string(), &[]).because_of(source, &[])
            }
            TargetError::Interpolation { source, .. } => {
                DeploymentFailure::new(self.to_string(), &[Code::ConfigInterpolateError])
                    .because_of(source, &[])
            }
        }
    }
}

impl Diagnose for TargetError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        match self {
            TargetError::Configuration { .. } => "target-configuration",
            TargetError::Interpolation { .. } => "target-interpolation",
        }
    }
    fn place(&self) -> Option<Place> {
        let (TargetError::Configuration { component, .. }
        | TargetError::Interpolation { component, .. }) = self;
        Some(Place::Component {
            name: component.to_string(),
            version: None,
        })
    }
    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            TargetError::Configuration { source, .. } => Some(source),
            TargetError::Interpolation { source, .. } => Some(source),
        }
    }
}

/// The target `services`. `components` come in the order in which variables are replaced (a
/// dependency before its depender is seen with its own variables replaced); `roots` are the root
/// components of all groups.
pub fn target_services(
    components: &[TargetComponent],
    spec: &DeploymentSpec,
    roots: &BTreeSet<String>,
    world: TargetWorld<'_>,
) -> Result<Map<String, Value>, TargetError> {
    let mut configurations = BTreeMap::new();
    for component in components {
        let resolved = configuration_of(component, spec, world)?;
        configurations.insert(component.name.clone(), Value::Object(resolved));
    }
    let interpolates = interpolates_configuration(components, &configurations, world.running);
    let mut services = Map::new();
    for component in components {
        if interpolates {
            let world = variables(component, components, &configurations, world, interpolates);
            let configuration = &configurations[&component.name];
            let new = world
                .configuration(configuration)
                .map_err(|source| interpolation(component, source))?;
            configurations.insert(component.name.clone(), new);
        }
        let variables = variables(component, components, &configurations, world, interpolates);
        let lifecycle = variables
            .lifecycle(&Value::Object(component.lifecycle.clone()))
            .map_err(|source| interpolation(component, source))?;
        let running = world
            .running
            .get(&[component.name.as_str()])
            .and_then(Node::as_map);
        let root = spec.root(component.name.as_str());
        let mut service = Map::new();
        service.insert(
            "componentType".into(),
            json!(component.component_type.name()),
        );
        service.insert("dependencies".into(), dependency_list(component));
        service.insert("lifecycle".into(), lifecycle);
        put_version(&mut service, component, running);
        put_run_with(&mut service, root, running);
        services.insert(component.name.to_string(), Value::Object(service));
    }
    for (name, configuration) in configurations {
        services[name.as_str()]["configuration"] = configuration;
    }
    services.insert("main".into(), main_service(components, roots));
    Ok(services)
}

/// How a service of the target is written over the one that is there: whatever is not in it goes,
/// but for what the core keeps at run time; the configuration gets the document's time.
#[must_use]
pub fn service_behavior(timestamp_ms: i64, now_ms: i64) -> UpdateBehavior {
    UpdateBehavior::replace(now_ms)
        .with_child("runtime", UpdateBehavior::merge(now_ms))
        .with_child("_private", UpdateBehavior::merge(now_ms))
        .with_child("configuration", UpdateBehavior::replace(timestamp_ms))
}

fn interpolation(component: &TargetComponent, source: InterpolationError) -> TargetError {
    TargetError::Interpolation {
        component: component.name.clone(),
        source,
    }
}

fn configuration_of(
    component: &TargetComponent,
    spec: &DeploymentSpec,
    world: TargetWorld<'_>,
) -> Result<Map<String, Value>, TargetError> {
    let root = spec.root(component.name.as_str());
    resolve_configuration(
        world
            .running
            .get_map(&[component.name.as_str(), "configuration"]),
        component.default_configuration.as_ref(),
        root.and_then(|root| root.configuration_update.as_ref()),
        world.timestamp_ms,
    )
    .map(|tree| tree.to_map())
    .map_err(|source| TargetError::Configuration {
        component: component.name.clone(),
        source,
    })
}

fn variables<'a>(
    component: &'a TargetComponent,
    components: &'a [TargetComponent],
    configurations: &'a BTreeMap<ComponentName, Value>,
    world: TargetWorld<'a>,
    interpolates_configuration: bool,
) -> World<'a> {
    let service = |component: &'a TargetComponent| Service {
        name: component.name.as_str(),
        version: component.version.as_str(),
        configuration: configurations.get(&component.name),
    };
    World {
        root: world.root,
        thing_name: world.thing_name,
        component: service(component),
        dependencies: component
            .dependencies
            .iter()
            .filter_map(|(name, _)| components.iter().find(|other| other.name == *name))
            .map(service)
            .collect(),
        interpolates_configuration,
    }
}

/// The nucleus's flag: of the nucleus component of this deployment, else of the running one.
fn interpolates_configuration(
    components: &[TargetComponent],
    configurations: &BTreeMap<ComponentName, Value>,
    running: &StampedTree,
) -> bool {
    const FLAG: &str = "interpolateComponentConfiguration";
    let of_deployment = components
        .iter()
        .find(|component| component.component_type == ComponentType::Nucleus)
        .and_then(|nucleus| configurations.get(&nucleus.name)?.get(FLAG).cloned());
    let flag = of_deployment
        .or_else(|| running.value_at(&[NUCLEUS_NAME, "configuration", FLAG]))
        .unwrap_or(Value::Null);
    match flag {
        Value::Bool(flag) => flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => matches!(text.as_str(), "true" | "yes" | "on" | "t" | "y" | "Y"),
        _ => false,
    }
}

fn dependency_list(component: &TargetComponent) -> Value {
    let mut list: Vec<String> = component
        .dependencies
        .iter()
        .map(|(name, kind)| format!("{name}:{}", kind.as_str()))
        .collect();
    list.sort();
    json!(list)
}

/// `previousVersion` is the one that ran before; deploying a version again makes it the current
/// one where there was one before (a quirk that cleaning relies on nothing of).
fn put_version(
    service: &mut Map<String, Value>,
    component: &TargetComponent,
    running: Option<&StampedTree>,
) {
    let version = component.version.to_string();
    if let Some(running) = running {
        let current = running.value_at(&["version"]);
        let previous = running.value_at(&["previousVersion"]);
        let is_same = current.as_ref().and_then(Value::as_str) == Some(version.as_str());
        if let Some(current) = current
            && (!is_same || previous.is_some())
        {
            service.insert("previousVersion".into(), current);
        }
    }
    service.insert("version".into(), json!(version));
}

/// A root that says something about `runWith` replaces what is stored, any other keeps it.
fn put_run_with(
    service: &mut Map<String, Value>,
    root: Option<&SpecComponent>,
    running: Option<&StampedTree>,
) {
    let stored = running.and_then(|running| running.value_at(&["runWith"]));
    match root.and_then(|root| root.run_with.as_ref()) {
        Some(run_with) => {
            let value = run_with_value(run_with);
            if stored.is_some() || !value.is_empty() {
                service.insert("runWith".into(), Value::Object(value));
            }
        }
        None => {
            if let Some(stored) = stored {
                service.insert("runWith".into(), stored);
            }
        }
    }
}

fn run_with_value(run_with: &RunWith) -> Map<String, Value> {
    let mut map = Map::new();
    for (key, user) in [
        ("posixUser", &run_with.posix_user),
        ("windowsUser", &run_with.windows_user),
    ] {
        if let Some(user) = user.as_ref().filter(|user| !user.is_empty()) {
            map.insert(key.into(), json!(user));
        }
    }
    if let Some(limits) = run_with.system_resource_limits {
        map.insert(
            "systemResourceLimits".into(),
            json!({"cpus": limits.cpus, "memory": limits.memory_kb}),
        );
    }
    map
}

/// `main` depends on the roots of all groups and on the nucleus, which is always there.
fn main_service(components: &[TargetComponent], roots: &BTreeSet<String>) -> Value {
    let nucleus = components
        .iter()
        .find(|component| component.component_type == ComponentType::Nucleus)
        .map_or(NUCLEUS_NAME, |component| component.name.as_str());
    let mut wanted: BTreeSet<&str> = roots.iter().map(String::as_str).collect();
    wanted.insert(nucleus);
    json!({ "dependencies": wanted })
}
