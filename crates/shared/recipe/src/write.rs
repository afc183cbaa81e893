//! From a [`Recipe`] back to a document: known keys in their usual order and spelling, unknown
//! ones after them.

use crate::artifact::{Artifact, Permission, Unarchive};
use crate::format::Format;
use crate::model::{Dependency, DependencyType, Manifest, Recipe};
use crate::yaml_write::to_yaml;
use serde_json::{Map, Value, json};

impl Recipe {
    /// The recipe as a JSON value.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut document = Map::new();
        let mut put = |key: &str, value: Value| document.insert(key.to_owned(), value);
        put("RecipeFormatVersion", json!(Recipe::FORMAT_VERSION));
        put("ComponentName", json!(self.name.as_str()));
        put("ComponentVersion", json!(self.version.as_str()));
        put(
            "ComponentType",
            json!(self.component_type.map(|one| one.as_str())),
        );
        for (key, text) in [
            ("ComponentDescription", &self.description),
            ("ComponentPublisher", &self.publisher),
            ("ComponentSource", &self.source),
        ] {
            if let Some(text) = text {
                put(key, json!(text));
            }
        }
        let mut configuration = Map::new();
        if let Some(default) = &self.default_configuration {
            configuration.insert("DefaultConfiguration".to_owned(), default.clone());
        }
        configuration.extend(self.unknown_configuration.clone());
        if !configuration.is_empty() {
            put("ComponentConfiguration", Value::Object(configuration));
        }
        if !self.dependencies.is_empty() {
            let dependencies = self
                .dependencies
                .iter()
                .map(|one| (one.name.to_string(), dependency(one)))
                .collect();
            put("ComponentDependencies", Value::Object(dependencies));
        }
        put("Manifests", self.manifests.iter().map(manifest).collect());
        if !self.lifecycle.is_empty() {
            put("Lifecycle", Value::Object(self.lifecycle.clone()));
        }
        document.extend(self.unknown.clone());
        Value::Object(document)
    }

    /// The recipe as JSON with two blanks of indentation.
    #[must_use]
    pub fn to_json(&self) -> String {
        format!("{:#}", self.to_value())
    }

    /// The recipe as YAML, as the component store keeps it.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        to_yaml(&self.to_value())
    }

    /// The recipe in a format.
    #[must_use]
    pub fn to_text(&self, format: Format) -> String {
        match format {
            Format::Json => self.to_json(),
            Format::Yaml => self.to_yaml(),
        }
    }
}

fn dependency(dependency: &Dependency) -> Value {
    let mut object = Map::new();
    object.insert(
        "VersionRequirement".to_owned(),
        json!(dependency.requirement.as_str()),
    );
    if dependency.dependency_type != DependencyType::Hard {
        object.insert(
            "DependencyType".to_owned(),
            json!(dependency.dependency_type.as_str()),
        );
    }
    object.extend(dependency.unknown.clone());
    Value::Object(object)
}

fn manifest(manifest: &Manifest) -> Value {
    let mut object = Map::new();
    if let Some(name) = &manifest.name {
        object.insert("Name".to_owned(), json!(name));
    }
    if !manifest.platform.is_empty() {
        let platform = manifest
            .platform
            .iter()
            .map(|(key, value)| (key.clone(), json!(value)))
            .collect();
        object.insert("Platform".to_owned(), Value::Object(platform));
    }
    if !manifest.lifecycle.is_empty() {
        let lifecycle = Value::Object(manifest.lifecycle.clone());
        object.insert("Lifecycle".to_owned(), lifecycle);
    }
    if !manifest.selections.is_empty() {
        object.insert("Selections".to_owned(), json!(manifest.selections));
    }
    if !manifest.artifacts.is_empty() {
        let artifacts = manifest.artifacts.iter().map(artifact).collect();
        object.insert("Artifacts".to_owned(), artifacts);
    }
    object.extend(manifest.unknown.clone());
    Value::Object(object)
}

fn artifact(artifact: &Artifact) -> Value {
    let mut object = Map::new();
    object.insert("Uri".to_owned(), json!(artifact.uri));
    for (key, text) in [
        ("Digest", &artifact.digest),
        ("Algorithm", &artifact.algorithm),
    ] {
        if let Some(text) = text {
            object.insert(key.to_owned(), json!(text));
        }
    }
    if artifact.unarchive != Unarchive::None {
        object.insert("Unarchive".to_owned(), json!(artifact.unarchive.as_str()));
    }
    let permission = artifact.permission;
    if permission != Permission::default() {
        object.insert(
            "Permission".to_owned(),
            json!({"Read": permission.read.as_str(), "Execute": permission.execute.as_str()}),
        );
    }
    object.extend(artifact.unknown.clone());
    Value::Object(object)
}
