//! Which manifest a device uses, and which lifecycle (core-device §1.5, §1.8).

use crate::artifact::Artifact;
use crate::error::LoadError;
use crate::model::{Manifest, Recipe};
use crate::platform::{self, BadPattern};
use serde_json::{Map, Value};
use sward_model::PlatformAttributes;

/// What a device uses of a recipe.
#[derive(Clone, Debug, PartialEq)]
pub struct SelectedManifest {
    /// Index in `Manifests`.
    pub index: usize,
    /// What to fetch.
    pub artifacts: Vec<Artifact>,
    /// The lifecycle to run: the manifest's own, or what its selections leave of the recipe's.
    pub lifecycle: Map<String, Value>,
}

impl Recipe {
    /// The first manifest that fits the device; `Ok(None)` where none does.
    ///
    /// # Errors
    /// When there is no manifest at all, or a pattern that had to be tried cannot be.
    pub fn select(
        &self,
        device: &PlatformAttributes,
    ) -> Result<Option<SelectedManifest>, LoadError> {
        if self.manifests.is_empty() {
            return Err(LoadError::MissingManifest {
                component: format!("{}-v{}", self.name, self.version),
            });
        }
        for (index, manifest) in self.manifests.iter().enumerate() {
            if fits(index, manifest, device)? {
                return Ok(Some(SelectedManifest {
                    index,
                    artifacts: manifest.artifacts.clone(),
                    lifecycle: self.lifecycle_of(manifest),
                }));
            }
        }
        Ok(None)
    }

    fn lifecycle_of(&self, manifest: &Manifest) -> Map<String, Value> {
        if !manifest.lifecycle.is_empty() {
            return manifest.lifecycle.clone();
        }
        let keywords: Vec<&str> = self
            .manifests
            .iter()
            .flat_map(|manifest| manifest.selections.iter().map(String::as_str))
            .chain(["all"])
            .collect();
        let selection = Selection {
            keywords,
            selections: &manifest.selections,
        };
        match selection.of_map(&self.lifecycle) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }
}

fn fits(index: usize, manifest: &Manifest, device: &PlatformAttributes) -> Result<bool, LoadError> {
    for (attribute, wanted) in &manifest.platform {
        let wanted = wanted.as_deref();
        match platform::matches(attribute, wanted, device) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(BadPattern(reason)) => {
                return Err(LoadError::BadPlatformPattern {
                    manifest: index,
                    attribute: attribute.clone(),
                    pattern: wanted.unwrap_or_default().to_owned(),
                    reason,
                });
            }
        }
    }
    Ok(true)
}

struct Selection<'a> {
    /// The words that select, of all manifests together, and `all`.
    keywords: Vec<&'a str>,
    /// The words of this manifest, in order of preference.
    selections: &'a [String],
}

impl Selection<'_> {
    /// What is left of a value; `None` where nothing is.
    fn of(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Null => None,
            Value::Object(map) => self.of_map(map),
            other => Some(other.clone()),
        }
    }

    fn of_map(&self, map: &Map<String, Value>) -> Option<Value> {
        let selects = |key: &String| self.keywords.contains(&key.as_str());
        if map.keys().any(selects) {
            let picked = self
                .selections
                .iter()
                .map(String::as_str)
                .chain(["all"])
                .find_map(|word| map.get(word).filter(|value| !value.is_null()))?;
            return self.of(picked);
        }
        let kept = map
            .iter()
            .filter_map(|(key, value)| Some((key.clone(), self.of(value)?)))
            .collect();
        Some(Value::Object(kept))
    }
}
