//! Components that belong to `aws`: what AWS publishes and our core has built in.
//!
//! A built-in component answers to every version in its range and is then that version; by itself
//! it is [`PublicComponent::newest`]. A new one is a recipe file here and a line in [`ALL`]; the
//! file's `ComponentVersion` is a placeholder.

use serde_json::{Value as Json, json};
use sward_model::{ComponentVersion, NUCLEUS_VERSION, VersionRequirement};
use sward_recipe::{Format, Recipe};

/// One public component.
#[derive(Clone, Copy, Debug)]
pub(super) struct PublicComponent {
    pub(super) name: &'static str,
    newest: &'static str,
    /// Every version it may be asked for.
    range: &'static str,
    recipe: &'static str,
}

const ALL: &[PublicComponent] = &[
    PublicComponent {
        name: "aws.greengrass.Cli",
        newest: NUCLEUS_VERSION,
        range: ">=2.0.0 <3.0.0",
        recipe: include_str!("cli.json"),
    },
    PublicComponent {
        name: "aws.greengrass.Nucleus",
        newest: NUCLEUS_VERSION,
        range: ">=2.0.0 <3.0.0",
        recipe: include_str!("nucleus.json"),
    },
    PublicComponent {
        name: "aws.greengrass.TokenExchangeService",
        newest: "2.0.3",
        range: ">=2.0.0 <3.0.0",
        recipe: include_str!("token_exchange_service.json"),
    },
];

/// All of them, by name.
pub(super) fn all() -> &'static [PublicComponent] {
    ALL
}

/// The one of that name.
pub(super) fn find(name: &str) -> Option<&'static PublicComponent> {
    ALL.iter().find(|component| component.name == name)
}

impl PublicComponent {
    /// The version it is by itself.
    pub(super) fn newest(&self) -> ComponentVersion {
        self.newest
            .parse()
            .expect("the table holds versions, and a test reads them all")
    }

    /// Whether it answers to a version.
    pub(super) fn answers_to(&self, version: &ComponentVersion) -> bool {
        self.range
            .parse::<VersionRequirement>()
            .is_ok_and(|range| range.is_satisfied_by(version))
    }

    /// The recipe, as that version.
    pub(super) fn recipe(&self, version: &ComponentVersion) -> Recipe {
        let mut value: Json = serde_json::from_str(self.recipe)
            .expect("the recipe files are JSON, and a test reads them all");
        value["ComponentVersion"] = json!(version.as_str());
        Recipe::parse(value.to_string().as_bytes(), Format::Json)
            .expect("the recipe files are recipes, and a test reads them all")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_public_recipe_is_one_and_answers_to_its_newest_version() {
        for component in all() {
            let newest = component.newest();
            assert!(component.answers_to(&newest), "{}", component.name);
            let recipe = component.recipe(&newest);
            assert_eq!(recipe.name.as_str(), component.name);
            assert_eq!(recipe.version, newest);
            assert!(recipe.validate_for_cloud().is_empty(), "{}", component.name);
        }
        let old: ComponentVersion = "1.9.0".parse().expect("a version");
        assert!(all().iter().all(|component| !component.answers_to(&old)));
    }
}
