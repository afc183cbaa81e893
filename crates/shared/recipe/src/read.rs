//! From the tree of a text to a [`Recipe`]: keys without regard to case, Jackson's coercions, and
//! every fault with its key and line.

use crate::artifact::{Access, Artifact, Permission, Unarchive};
use crate::error::{Category, RecipeError};
use crate::format::Format;
use crate::model::{ComponentType, Dependency, DependencyType, Manifest, Recipe};
use crate::node::{Data, Node, Scalar, child};
use crate::uri;
use serde_json::{Map, Value};
use std::str::FromStr;
use sward_model::{ComponentName, ComponentVersion, VersionRequirement};

type Result<T> = std::result::Result<T, RecipeError>;

impl Recipe {
    /// Reads a recipe.
    ///
    /// # Errors
    /// The first fault that is found, with its key and line.
    pub fn parse(bytes: &[u8], format: Format) -> Result<Self> {
        let node = format.read(bytes)?;
        recipe(&At {
            node: &node,
            pointer: String::new(),
        })
    }
}

/// A node and the way to it.
struct At<'a> {
    node: &'a Node,
    pointer: String,
}

impl<'a> At<'a> {
    fn child(&self, key: &str, node: &'a Node) -> Self {
        At {
            node,
            pointer: child(&self.pointer, key),
        }
    }

    fn fault(&self, category: Category, problem: impl Into<String>) -> RecipeError {
        RecipeError::new(category, self.pointer.as_str(), self.node.line, problem)
    }

    fn wrong_type(&self, wanted: &str) -> RecipeError {
        let what = self.node.what();
        self.fault(
            Category::Type,
            format!("is {what} where {wanted} is needed"),
        )
    }

    fn missing(&self, key: &str) -> RecipeError {
        RecipeError::new(
            Category::Missing,
            child(&self.pointer, key),
            self.node.line,
            "is missing",
        )
    }

    /// The entries of an object; `None` for null.
    fn object(&self) -> Result<Option<impl Iterator<Item = (&'a str, At<'a>)> + '_>> {
        match &self.node.data {
            Data::Null => Ok(None),
            Data::Map(entries) => Ok(Some(
                entries
                    .iter()
                    .map(|(key, node)| (key.as_str(), self.child(key, node))),
            )),
            Data::Faulty(error) => Err((**error).clone()),
            _ => Err(self.wrong_type("an object")),
        }
    }

    /// The items of a list; none for null.
    fn list(&self) -> Result<impl Iterator<Item = At<'a>> + '_> {
        let items = match &self.node.data {
            Data::Null => &[],
            Data::List(items) => items.as_slice(),
            _ => return Err(self.wrong_type("a list")),
        };
        Ok(items
            .iter()
            .enumerate()
            .map(|(index, node)| self.child(&index.to_string(), node)))
    }

    /// Text; numbers and booleans are taken as they are written.
    fn text(&self) -> Result<Option<&'a str>> {
        match &self.node.data {
            Data::Null => Ok(None),
            Data::Scalar { text, .. } => Ok(Some(text)),
            _ => Err(self.wrong_type("text")),
        }
    }

    fn owned_text(&self) -> Result<Option<String>> {
        Ok(self.text()?.map(str::to_owned))
    }

    /// One of a few words, in any case and with blanks around it, or where `by_number` holds its
    /// index; `None` for null.
    fn word<T: Copy>(
        &self,
        words: &[T],
        spelling: fn(T) -> &'static str,
        by_number: bool,
    ) -> Result<Option<T>> {
        let Data::Scalar { text, scalar } = &self.node.data else {
            return match self.node.data {
                Data::Null => Ok(None),
                _ => Err(self.wrong_type("text")),
            };
        };
        let found = match scalar {
            Scalar::Text => words
                .iter()
                .find(|word| spelling(**word).eq_ignore_ascii_case(text.trim())),
            Scalar::Number(number) if by_number => number
                .as_u64()
                .and_then(|index| words.get(usize::try_from(index).ok()?)),
            Scalar::Boolean(_) => return Err(self.wrong_type("text")),
            Scalar::Number(_) | Scalar::NoNumber => None,
        };
        match found {
            Some(word) => Ok(Some(*word)),
            None => {
                let allowed: Vec<&str> = words.iter().map(|word| spelling(*word)).collect();
                Err(self.fault(
                    Category::Value,
                    format!("is {text:?}, allowed is {}", allowed.join(", ")),
                ))
            }
        }
    }

    /// A free-form object without its null entries; empty for null.
    fn lifecycle(&self) -> Result<Map<String, Value>> {
        match &self.node.data {
            Data::Null => Ok(Map::new()),
            Data::Map(_) | Data::Faulty(_) => {
                match without_nulls(self.node.value(&self.pointer)?) {
                    Value::Object(map) => Ok(map),
                    _ => Ok(Map::new()),
                }
            }
            _ => Err(self.wrong_type("an object")),
        }
    }

    /// Keeps an unknown key; a value that JSON cannot hold is left out, nobody reads it.
    fn keep(&self, key: &str, unknown: &mut Map<String, Value>) {
        if let Ok(value) = self.node.value(&self.pointer) {
            unknown.insert(key.to_owned(), value);
        }
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

fn recipe(at: &At<'_>) -> Result<Recipe> {
    let Some(entries) = at.object()? else {
        return Err(at.wrong_type("an object"));
    };
    let (mut format_version, mut name, mut version) = (None, None, None);
    let mut recipe = Recipe {
        name: placeholder_name(),
        version: placeholder_version(),
        component_type: Some(ComponentType::Generic),
        description: None,
        publisher: None,
        source: None,
        default_configuration: None,
        dependencies: Vec::new(),
        manifests: Vec::new(),
        lifecycle: Map::new(),
        unknown: Map::new(),
        unknown_configuration: Map::new(),
    };
    for (key, at) in entries {
        match key.to_ascii_lowercase().as_str() {
            "recipeformatversion" => {
                format_version = at.word(&[()], |()| Recipe::FORMAT_VERSION, true)?;
                if format_version.is_none() {
                    return Err(at.fault(Category::Missing, "is null"));
                }
            }
            "componentname" => name = Some(component_name(&at)?),
            "componentversion" => version = Some(component_version(&at)?),
            "componenttype" => {
                recipe.component_type =
                    at.word(&ComponentType::ALL, ComponentType::as_str, true)?;
            }
            "componentdescription" => recipe.description = at.owned_text()?,
            "componentpublisher" => recipe.publisher = at.owned_text()?,
            "componentsource" => recipe.source = at.owned_text()?,
            "componentconfiguration" => {
                (recipe.default_configuration, recipe.unknown_configuration) = configuration(&at)?;
            }
            "componentdependencies" => recipe.dependencies = dependencies(&at)?,
            "manifests" => recipe.manifests = elements(&at, manifest)?,
            "lifecycle" => recipe.lifecycle = at.lifecycle()?,
            _ => at.keep(key, &mut recipe.unknown),
        }
    }
    format_version.ok_or_else(|| at.missing("RecipeFormatVersion"))?;
    recipe.name = name.ok_or_else(|| at.missing("ComponentName"))?;
    recipe.version = version.ok_or_else(|| at.missing("ComponentVersion"))?;
    Ok(recipe)
}

fn placeholder_name() -> ComponentName {
    ComponentName::from_str("a").expect("a letter is a component name")
}

fn placeholder_version() -> ComponentVersion {
    ComponentVersion::from_str("0.0.0").expect("three numbers are a version")
}

fn component_name(at: &At<'_>) -> Result<ComponentName> {
    let text = at
        .text()?
        .ok_or_else(|| at.fault(Category::Missing, "is null"))?;
    name(at, text)
}

fn name(at: &At<'_>, text: &str) -> Result<ComponentName> {
    if matches!(text, "." | "..") {
        // A component's name is a folder of the component store.
        return Err(at.fault(
            Category::Name,
            format!("is {text:?}, which no folder can be"),
        ));
    }
    ComponentName::from_str(text)
        .map_err(|error| at.fault(Category::Name, format!("is no component name: {error}")))
}

fn component_version(at: &At<'_>) -> Result<ComponentVersion> {
    let text = match &at.node.data {
        Data::Null => return Err(at.fault(Category::Missing, "is null")),
        Data::Scalar {
            text,
            scalar: Scalar::Text,
        } => text,
        Data::Scalar { .. } => {
            return Err(at
                .wrong_type("text")
                .help("put the version into quotes, as in \"1.0.0\""));
        }
        _ => return Err(at.wrong_type("text")),
    };
    ComponentVersion::from_str(text).map_err(|error| {
        at.fault(
            Category::Version,
            format!("is {:?}, which is no version: {}", error.text, error.reason),
        )
        .help("write it as major.minor.patch, such as 1.0.0")
    })
}

fn configuration(at: &At<'_>) -> Result<(Option<Value>, Map<String, Value>)> {
    let (mut default, mut unknown) = (None, Map::new());
    for (key, at) in at.object()?.into_iter().flatten() {
        if key.eq_ignore_ascii_case("DefaultConfiguration") {
            default = Some(at.node.value(&at.pointer)?);
        } else {
            at.keep(key, &mut unknown);
        }
    }
    Ok((default, unknown))
}

fn dependencies(at: &At<'_>) -> Result<Vec<Dependency>> {
    let mut dependencies = Vec::new();
    if let Data::List(_) | Data::Scalar { .. } = at.node.data {
        let what = at.node.what();
        let problem = format!("is {what} where an object from names to requirements is needed");
        return Err(at.fault(Category::Requirement, problem));
    }
    for (key, at) in at.object()?.into_iter().flatten() {
        if let Some(dependency) = dependency(key, &at)? {
            dependencies.push(dependency);
        }
    }
    Ok(dependencies)
}

/// One dependency; `None` where its body is null.
fn dependency(key: &str, at: &At<'_>) -> Result<Option<Dependency>> {
    if let Data::List(_) | Data::Scalar { .. } = at.node.data {
        let what = at.node.what();
        let problem = format!("is {what} where an object with VersionRequirement is needed");
        return Err(at.fault(Category::Requirement, problem));
    }
    let Some(entries) = at.object()? else {
        return Ok(None);
    };
    let (mut requirement, mut dependency_type) = (None, DependencyType::Hard);
    let mut unknown = Map::new();
    for (key, at) in entries {
        if key.eq_ignore_ascii_case("VersionRequirement") {
            let text = at
                .text()?
                .ok_or_else(|| at.fault(Category::Missing, "is null"))?;
            requirement = Some(VersionRequirement::from_str(text).map_err(|error| {
                at.fault(
                    Category::Requirement,
                    format!("is {:?}, which is no range: {}", error.text, error.reason),
                )
                .help("write a range such as ^1.0.0 or >=1.0.0 <2.0.0")
            })?);
        } else if key.eq_ignore_ascii_case("DependencyType") {
            let word = at.word(&DependencyType::ALL, DependencyType::as_str, true)?;
            dependency_type = word.unwrap_or_default();
        } else {
            at.keep(key, &mut unknown);
        }
    }
    Ok(Some(Dependency {
        name: name(at, key)?,
        requirement: requirement.ok_or_else(|| at.missing("VersionRequirement"))?,
        dependency_type,
        unknown,
    }))
}

/// A list of objects, in which null may not stand.
fn elements<T>(at: &At<'_>, read: fn(&At<'_>) -> Result<T>) -> Result<Vec<T>> {
    let mut elements = Vec::new();
    for item in at.list()? {
        if item.node.is_null() {
            return Err(RecipeError::new(
                Category::NullElement,
                at.pointer.as_str(),
                item.node.line,
                format!("holds null as element {}", elements.len()),
            ));
        }
        elements.push(read(&item)?);
    }
    Ok(elements)
}

fn manifest(at: &At<'_>) -> Result<Manifest> {
    let mut manifest = Manifest::default();
    for (key, at) in at.object()?.into_iter().flatten() {
        match key.to_ascii_lowercase().as_str() {
            "name" => manifest.name = at.owned_text()?,
            "platform" => manifest.platform = platform(&at)?,
            "lifecycle" => manifest.lifecycle = at.lifecycle()?,
            "selections" => {
                manifest.selections.clear();
                for item in at.list()? {
                    manifest.selections.extend(item.owned_text()?);
                }
            }
            "artifacts" => manifest.artifacts = elements(&at, artifact)?,
            _ => at.keep(key, &mut manifest.unknown),
        }
    }
    Ok(manifest)
}

fn platform(at: &At<'_>) -> Result<Vec<(String, Option<String>)>> {
    let mut platform = Vec::new();
    for (key, at) in at.object()?.into_iter().flatten() {
        let value = at.owned_text().map_err(|error| {
            error.help("for one of several values write a pattern, such as /linux|windows/")
        })?;
        platform.push((key.to_owned(), value));
    }
    Ok(platform)
}

fn artifact(at: &At<'_>) -> Result<Artifact> {
    let mut uri = None;
    let mut artifact = Artifact {
        uri: String::new(),
        digest: None,
        algorithm: None,
        unarchive: Unarchive::None,
        permission: Permission::default(),
        unknown: Map::new(),
    };
    for (key, at) in at.object()?.into_iter().flatten() {
        match key.to_ascii_lowercase().as_str() {
            "uri" => {
                let text = at
                    .text()?
                    .ok_or_else(|| at.fault(Category::Missing, "is null"))?;
                let text = text.trim_matches(|c| c <= ' ');
                uri::check(text).map_err(|problem| {
                    let problem = format!("is {text:?}, which is no URI: {problem}");
                    at.fault(Category::Uri, problem)
                })?;
                uri = Some(text.to_owned());
            }
            "digest" => artifact.digest = at.owned_text()?,
            "algorithm" => artifact.algorithm = at.owned_text()?,
            "unarchive" => {
                let word = at.word(&Unarchive::ALL, Unarchive::as_str, false)?;
                artifact.unarchive = word.unwrap_or_default();
            }
            "permission" => artifact.permission = permission(&at)?,
            _ => at.keep(key, &mut artifact.unknown),
        }
    }
    artifact.uri = uri.ok_or_else(|| at.missing("Uri"))?;
    Ok(artifact)
}

fn permission(at: &At<'_>) -> Result<Permission> {
    let mut permission = Permission::default();
    for (key, at) in at.object()?.into_iter().flatten() {
        let field = match key.to_ascii_lowercase().as_str() {
            "read" => &mut permission.read,
            "execute" => &mut permission.execute,
            _ => continue,
        };
        *field = at
            .word(&Access::ALL, Access::as_str, true)?
            .ok_or_else(|| at.fault(Category::Missing, "is null"))?;
    }
    Ok(permission)
}
