//! Components that are part of this program: they have no recipe and no artifacts here, and answer
//! to every version that is asked of them.

use serde_json::{Map, Value};
use std::collections::BTreeMap;
use sward_model::{
    ComponentName, ComponentVersion, NUCLEUS_NAME, NUCLEUS_VERSION, VersionRequirement,
};
use sward_recipe::ComponentType;

/// One component of the program's own.
#[derive(Clone, Debug, PartialEq)]
pub struct BuiltinComponent {
    /// The version it claims where nobody asks for another.
    pub version: ComponentVersion,
    /// How it is stored in the configuration.
    pub component_type: ComponentType,
    /// Its configuration where nothing else is said.
    pub default_configuration: Option<Value>,
}

/// All components of the program's own, by name.
#[derive(Clone, Debug, PartialEq)]
pub struct Builtins(BTreeMap<ComponentName, BuiltinComponent>);

impl Default for Builtins {
    /// The nucleus alone.
    fn default() -> Self {
        let nucleus = BuiltinComponent {
            version: NUCLEUS_VERSION.parse().expect("the constant is a version"),
            component_type: ComponentType::Nucleus,
            default_configuration: None,
        };
        let name = NUCLEUS_NAME.parse().expect("the constant is a name");
        Builtins([(name, nucleus)].into())
    }
}

impl Builtins {
    /// Adds a component.
    #[must_use]
    pub fn with(mut self, name: ComponentName, component: BuiltinComponent) -> Self {
        self.0.insert(name, component);
        self
    }

    /// One of them.
    #[must_use]
    pub fn get(&self, name: &ComponentName) -> Option<&BuiltinComponent> {
        self.0.get(name)
    }

    /// The version that a component of the program's own answers with: the one it claims, else
    /// one that the requirements name themselves.
    #[must_use]
    pub(super) fn answer(
        &self,
        name: &ComponentName,
        requirements: &BTreeMap<String, VersionRequirement>,
    ) -> Option<ComponentVersion> {
        let builtin = self.0.get(name)?;
        let named = requirements.values().flat_map(|requirement| {
            requirement
                .as_str()
                .split([' ', '|'])
                .filter_map(|part| part.trim_start_matches(['<', '>', '=']).parse().ok())
                .collect::<Vec<ComponentVersion>>()
        });
        let fits = |version: &ComponentVersion| {
            requirements
                .values()
                .all(|requirement| requirement.is_satisfied_by(version))
        };
        std::iter::once(builtin.version.clone())
            .chain(named)
            .find(fits)
    }

    /// The empty lifecycle of all of them.
    pub(super) fn lifecycle() -> Map<String, Value> {
        Map::new()
    }
}
