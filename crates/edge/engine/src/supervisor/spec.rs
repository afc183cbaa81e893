//! What the supervisor is told: components and changes.

use super::lifecycle::Lifecycle;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use sward_model::ComponentName;

/// How a component depends on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependencyKind {
    /// It waits for the other to run, and restarts when the other does.
    Hard,
    /// It only needs the other to be there.
    Soft,
}

/// Who runs a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComponentKind {
    /// Scripts in processes.
    Generic,
    /// A part of the core: it has no scripts, and runs as soon as its dependencies do.
    Builtin,
}

/// A component as it shall be.
#[derive(Clone, Debug, PartialEq)]
pub struct ComponentSpec {
    pub name: ComponentName,
    pub version: String,
    pub kind: ComponentKind,
    /// Deployed by name, not only as a dependency.
    pub is_root: bool,
    /// The lifecycle, selected and interpolated.
    pub lifecycle: Value,
    pub dependencies: Vec<(ComponentName, DependencyKind)>,
    /// `runWith.posixUser` of this component: `user[:group]`.
    pub posix_user: Option<String>,
    /// What the core gives its processes (`SVCUID`, …). A change takes effect at the next start
    /// and restarts nothing.
    pub environment: BTreeMap<String, String>,
    /// `setenv` of this component. A change restarts it.
    pub setenv: BTreeMap<String, String>,
    /// The working folder, made before the first script runs.
    pub work_directory: PathBuf,
    /// Folders whose content is given to the component's user when the core runs as root.
    pub artifact_directories: Vec<PathBuf>,
}

impl ComponentSpec {
    /// A generic component without dependencies, for the caller to fill in.
    #[must_use]
    pub fn new(
        name: ComponentName,
        version: &str,
        lifecycle: Value,
        work_directory: PathBuf,
    ) -> Self {
        ComponentSpec {
            name,
            version: version.to_owned(),
            kind: ComponentKind::Generic,
            is_root: true,
            lifecycle,
            dependencies: Vec::new(),
            posix_user: None,
            environment: BTreeMap::new(),
            setenv: BTreeMap::new(),
            work_directory,
            artifact_directories: Vec::new(),
        }
    }

    /// A part of the core, running as soon as it is told of.
    #[must_use]
    pub fn builtin(name: ComponentName, version: &str) -> Self {
        ComponentSpec {
            kind: ComponentKind::Builtin,
            is_root: false,
            ..ComponentSpec::new(name, version, Value::Null, PathBuf::new())
        }
    }

    pub(crate) fn hard_dependencies(&self) -> impl Iterator<Item = &ComponentName> {
        self.dependencies
            .iter()
            .filter(|(_, kind)| *kind == DependencyKind::Hard)
            .map(|(name, _)| name)
    }
}

/// What shall change at once; components not named stay as they are.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// New or changed components. One that is BROKEN is installed again, changed or not.
    pub set: Vec<ComponentSpec>,
    /// Components to stop, uninstall and forget; unknown ones are passed over.
    pub remove: Vec<ComponentName>,
}

/// What became of the components of [`Changes`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    pub started: Vec<ComponentName>,
    /// From install on, with the old version's shutdown before.
    pub reinstalled: Vec<ComponentName>,
    /// From startup on.
    pub restarted: Vec<ComponentName>,
    pub unchanged: Vec<ComponentName>,
    pub removed: Vec<ComponentName>,
    /// Part of a cycle of hard dependencies: they are not started.
    pub in_cycle: Vec<ComponentName>,
}

/// A spec with its lifecycle read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Plan {
    pub(crate) spec: ComponentSpec,
    pub(crate) lifecycle: Lifecycle,
}

impl Plan {
    pub(crate) fn new(spec: ComponentSpec) -> Plan {
        let lifecycle = Lifecycle::read(&spec.lifecycle);
        Plan { spec, lifecycle }
    }
}

/// What a change of a spec asks for (core-device §4.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Consequence {
    Nothing,
    Restart,
    Reinstall,
}

pub(crate) fn consequence(old: &ComponentSpec, new: &ComponentSpec) -> Consequence {
    let is_other_user = old.posix_user != new.posix_user;
    if old.version != new.version || is_other_user || old.kind != new.kind {
        return Consequence::Reinstall;
    }
    let lifecycle = lifecycle_consequence(&old.lifecycle, &new.lifecycle);
    let is_dependency_new = new
        .dependencies
        .iter()
        .any(|(name, _)| !old.dependencies.iter().any(|(known, _)| known == name));
    if is_dependency_new || old.setenv != new.setenv {
        return lifecycle.max(Consequence::Restart);
    }
    lifecycle
}

/// Compares step by step, keys ignoring case; a new shutdown script alone does nothing.
fn lifecycle_consequence(old: &Value, new: &Value) -> Consequence {
    let empty = serde_json::Map::new();
    let old = old.as_object().unwrap_or(&empty);
    let new = new.as_object().unwrap_or(&empty);
    let find = |map: &serde_json::Map<String, Value>, key: &str| -> Option<Value> {
        let found = map.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| fold_keys(value))
    };
    old.keys()
        .chain(new.keys())
        .filter(|key| find(old, key) != find(new, key))
        .map(|key| match key.to_ascii_lowercase().as_str() {
            "shutdown" => Consequence::Nothing,
            "install" => Consequence::Reinstall,
            _ => Consequence::Restart,
        })
        .max()
        .unwrap_or(Consequence::Nothing)
}

fn fold_keys(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map
                .iter()
                .map(|(key, value)| (key.to_ascii_lowercase(), fold_keys(value)))
                .collect();
            entries.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Object(entries.into_iter().collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn spec(lifecycle: Value) -> ComponentSpec {
        let name = "com.example.A".parse().expect("a name");
        ComponentSpec::new(name, "1.0.0", lifecycle, PathBuf::from("/work"))
    }

    #[test]
    fn what_a_change_asks_for() {
        fn check(change: impl FnOnce(&mut ComponentSpec), expected: Consequence) {
            let old = spec(json!({"install": "i", "Run": {"Script": "r"}, "shutdown": "s"}));
            let mut new = old.clone();
            change(&mut new);
            assert_eq!(consequence(&old, &new), expected, "{new:?}");
        }
        let other = || "com.example.B".parse::<ComponentName>().expect("a name");
        check(|_| {}, Consequence::Nothing);
        check(|spec| spec.version = "1.0.1".into(), Consequence::Reinstall);
        check(
            |spec| spec.posix_user = Some("u".into()),
            Consequence::Reinstall,
        );
        check(
            |spec| spec.lifecycle["install"] = json!("j"),
            Consequence::Reinstall,
        );
        check(
            |spec| spec.lifecycle["Run"]["Script"] = json!("q"),
            Consequence::Restart,
        );
        check(
            |spec| spec.lifecycle["shutdown"] = json!("t"),
            Consequence::Nothing,
        );
        check(
            |spec| spec.lifecycle["setenv"] = json!({"A": 1}),
            Consequence::Restart,
        );
        check(
            |spec| {
                spec.lifecycle = json!({"INSTALL": "i", "run": {"script": "r"}, "shutdown": "s"})
            },
            Consequence::Nothing,
        );
        check(
            |spec| drop(spec.setenv.insert("A".into(), "1".into())),
            Consequence::Restart,
        );
        check(
            |spec| drop(spec.environment.insert("A".into(), "1".into())),
            Consequence::Nothing,
        );
        check(
            |spec| spec.dependencies.push((other(), DependencyKind::Soft)),
            Consequence::Restart,
        );
    }

    #[test]
    fn a_dependency_that_changes_its_kind_or_goes_does_nothing() {
        let mut old = spec(json!({}));
        old.dependencies = vec![("B".parse().expect("a name"), DependencyKind::Hard)];
        let mut new = old.clone();
        new.dependencies[0].1 = DependencyKind::Soft;
        assert_eq!(consequence(&old, &new), Consequence::Nothing);
        new.dependencies.clear();
        assert_eq!(consequence(&old, &new), Consequence::Nothing);
    }
}
