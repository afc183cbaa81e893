//! The way from what a device has to what it shall have, as a value.
//!
//! A [`Plan`] says for every component what happens to it and why, and which configuration keys
//! change. The deployer carries out what stands in it and nothing else, so a dry run shows the
//! truth. The rules are those of core-device §4.8, with one difference: only the component's own
//! `version`, `runWith` and `lifecycle.install` make it install again, never keys of its
//! configuration that happen to have such a name (docs/compatibility.d/deployment.md).

mod difference;
#[cfg(test)]
mod tests;

pub use difference::KeyChange;

use crate::tree::{Node, StampedTree};
use difference::differences;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use sward_model::NUCLEUS_NAME;

/// What happens to a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Nothing.
    Keep,
    /// Only its configuration (or what does not touch its processes) is written.
    ConfigurationOnly,
    /// Its limits change while it runs.
    Limits,
    /// It is stopped and started.
    Restart,
    /// It is stopped, installed and started again.
    Reinstall,
    /// It is new.
    Install,
    /// It is stopped, uninstalled and forgotten, after everything else runs.
    Remove,
}

/// Why a component is touched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "cause")]
pub enum Cause {
    /// The device does not have it yet.
    New,
    /// Nothing requires it any more.
    NotRequired,
    /// Another version is wanted.
    Version { from: String, to: String },
    /// The user, group or shell changes.
    RunWith,
    /// The limits change.
    Limits,
    /// The text of a lifecycle step changes; `step` is its name.
    Lifecycle { step: String },
    /// It depends on something it did not depend on.
    DependencyAdded { dependency: String },
    /// It is BROKEN and gets another chance.
    Broken,
    /// Keys of its configuration change.
    Configuration,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::New => f.write_str("it is new"),
            Cause::NotRequired => f.write_str("nothing requires it"),
            Cause::Version { from, to } => write!(f, "its version changes from {from} to {to}"),
            Cause::RunWith => f.write_str("it runs as another user"),
            Cause::Limits => f.write_str("its limits change"),
            Cause::Lifecycle { step } => write!(f, "its {step} step changes"),
            Cause::DependencyAdded { dependency } => write!(f, "it now depends on {dependency}"),
            Cause::Broken => f.write_str("it is BROKEN"),
            Cause::Configuration => f.write_str("its configuration changes"),
        }
    }
}

/// What a plan says about one component.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ComponentChange {
    /// What happens.
    pub effect: Effect,
    /// The version there is now.
    pub from: Option<String>,
    /// The version afterwards.
    pub to: Option<String>,
    /// Why; empty if it is kept.
    pub causes: Vec<Cause>,
    /// Keys of its configuration, with the values before and after.
    pub configuration: Vec<KeyChange>,
}

/// What a deployment will do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// By component; every component of before and after is here.
    pub components: BTreeMap<String, ComponentChange>,
}

/// Parts of `services` that belong to the core and that no deployment removes.
#[must_use]
pub fn is_core_service(name: &str) -> bool {
    const CORE: [&str; 6] = [
        "main",
        "DeploymentService",
        "FleetStatusService",
        "TelemetryAgent",
        "UpdateSystemPolicyService",
        "_AUTHENTICATION_TOKENS",
    ];
    CORE.iter().any(|core| core.eq_ignore_ascii_case(name))
        || NUCLEUS_NAME.eq_ignore_ascii_case(name)
}

impl Plan {
    /// The way from the running `services` to the target `services`; `broken` names the
    /// components that are BROKEN now.
    #[must_use]
    pub fn new(
        running: &StampedTree,
        target: &Map<String, Value>,
        broken: &BTreeSet<String>,
    ) -> Self {
        let target = StampedTree::of(target, 0);
        let mut plan = Plan::default();
        for (name, node) in target.iter() {
            let Some(after) = node.as_map() else { continue };
            if is_core_service(name) && !name.eq_ignore_ascii_case(NUCLEUS_NAME) {
                continue;
            }
            let before = running.get(&[name]).and_then(Node::as_map);
            let change = compare(before, after, broken.contains(name));
            plan.components.insert(name.to_owned(), change);
        }
        for (name, node) in running.iter() {
            if target.get(&[name]).is_some() || is_core_service(name) {
                continue;
            }
            let Some(before) = node.as_map() else {
                continue;
            };
            let change = ComponentChange {
                effect: Effect::Remove,
                from: text(before, "version"),
                to: None,
                causes: vec![Cause::NotRequired],
                configuration: Vec::new(),
            };
            plan.components.insert(name.to_owned(), change);
        }
        plan
    }

    /// The components with this effect.
    pub fn with_effect(&self, effect: Effect) -> impl Iterator<Item = &str> {
        self.components
            .iter()
            .filter(move |(_, change)| change.effect == effect)
            .map(|(name, _)| name.as_str())
    }

    /// The components whose processes are touched and that must settle again.
    pub fn disrupted(&self) -> impl Iterator<Item = &str> {
        self.components
            .iter()
            .filter(|(_, change)| {
                matches!(
                    change.effect,
                    Effect::Restart | Effect::Reinstall | Effect::Install
                )
            })
            .map(|(name, _)| name.as_str())
    }

    /// Whether nothing at all happens to any component.
    #[must_use]
    pub fn changes_nothing(&self) -> bool {
        self.components
            .values()
            .all(|change| change.effect == Effect::Keep)
    }
}

/// One line per component that is touched, for people.
impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, change) in &self.components {
            let verb = match change.effect {
                Effect::Keep => continue,
                Effect::ConfigurationOnly => "configure",
                Effect::Limits => "limit",
                Effect::Restart => "restart",
                Effect::Reinstall => "reinstall",
                Effect::Install => "install",
                Effect::Remove => "remove",
            };
            let version = change.to.as_ref().or(change.from.as_ref());
            let version = version.map(|v| format!(" {v}")).unwrap_or_default();
            let causes: Vec<String> = change.causes.iter().map(ToString::to_string).collect();
            writeln!(f, "{verb} {name}{version}: {}", causes.join(", "))?;
            for key in &change.configuration {
                writeln!(f, "  {key}")?;
            }
        }
        Ok(())
    }
}

fn compare(before: Option<&StampedTree>, after: &StampedTree, is_broken: bool) -> ComponentChange {
    let empty = StampedTree::new();
    let configuration = differences(
        before
            .and_then(|tree| tree.get_map(&["configuration"]))
            .unwrap_or(&empty),
        after.get_map(&["configuration"]).unwrap_or(&empty),
    );
    let mut change = ComponentChange {
        effect: Effect::Keep,
        from: before.and_then(|tree| text(tree, "version")),
        to: text(after, "version"),
        causes: Vec::new(),
        configuration,
    };
    let Some(before) = before else {
        change.effect = Effect::Install;
        change.causes.push(Cause::New);
        return change;
    };
    note_version(&mut change);
    note_run_with(&mut change, before, after);
    note_lifecycle(&mut change, before, after);
    note_dependencies(&mut change, before, after);
    if is_broken {
        change.note(Effect::Reinstall, Cause::Broken);
    }
    if !change.configuration.is_empty() {
        change.note(Effect::ConfigurationOnly, Cause::Configuration);
    }
    change
}

impl ComponentChange {
    fn note(&mut self, effect: Effect, cause: Cause) {
        self.effect = self.effect.max(effect);
        if !self.causes.contains(&cause) {
            self.causes.push(cause);
        }
    }
}

fn note_version(change: &mut ComponentChange) {
    if change.from != change.to {
        let shown = |version: &Option<String>| version.clone().unwrap_or_else(|| "none".into());
        let cause = Cause::Version {
            from: shown(&change.from),
            to: shown(&change.to),
        };
        change.note(Effect::Reinstall, cause);
    }
}

fn note_run_with(change: &mut ComponentChange, before: &StampedTree, after: &StampedTree) {
    let empty = StampedTree::new();
    let found = differences(
        before.get_map(&["runWith"]).unwrap_or(&empty),
        after.get_map(&["runWith"]).unwrap_or(&empty),
    );
    for key in found {
        let is_limit = key
            .path
            .first()
            .is_some_and(|first| first.eq_ignore_ascii_case("systemResourceLimits"));
        if is_limit {
            change.note(Effect::Limits, Cause::Limits);
        } else {
            change.note(Effect::Reinstall, Cause::RunWith);
        }
    }
}

/// `install` installs again, `shutdown` waits for the next stop, everything else restarts.
fn note_lifecycle(change: &mut ComponentChange, before: &StampedTree, after: &StampedTree) {
    let empty = StampedTree::new();
    let found = differences(
        before.get_map(&["lifecycle"]).unwrap_or(&empty),
        after.get_map(&["lifecycle"]).unwrap_or(&empty),
    );
    for key in found {
        let step = key.path.first().cloned().unwrap_or_default().to_lowercase();
        let effect = match step.as_str() {
            "install" => Effect::Reinstall,
            "shutdown" => Effect::ConfigurationOnly,
            _ => Effect::Restart,
        };
        change.note(effect, Cause::Lifecycle { step });
    }
}

fn note_dependencies(change: &mut ComponentChange, before: &StampedTree, after: &StampedTree) {
    let known = dependency_names(before);
    for dependency in dependency_names(after) {
        if !known.contains(&dependency) {
            change.note(Effect::Restart, Cause::DependencyAdded { dependency });
        }
    }
}

fn dependency_names(component: &StampedTree) -> BTreeSet<String> {
    let list = component.value_at(&["dependencies"]);
    let items = list.as_ref().and_then(Value::as_array);
    items
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|item| item.split(':').next().unwrap_or_default().to_owned())
        .collect()
}

fn text(tree: &StampedTree, key: &str) -> Option<String> {
    tree.get(&[key])?
        .as_leaf()?
        .value
        .as_str()
        .map(str::to_owned)
}
