//! Recipe variables: `{configuration:/key}`, `{artifacts:path}`, `{dep:work:path}` (core-device §2).
//!
//! Lifecycles take all variables. Configurations take all but `configuration`, and only where the
//! nucleus's `interpolateComponentConfiguration` says so, which is the caller's to know. Only
//! texts are interpolated, never keys. What cannot be resolved stays as it is written, so that
//! braces of shell and JSON survive.

use crate::number::java_number;
use serde_json::{Map, Value};
use sward_diagnosis::{Diagnose, Kind};
use thiserror::Error;

/// The longest text that may come out; placeholders inside values could double for ever.
const LONGEST_BYTES: usize = 4 * 1024 * 1024;

/// Why a text cannot be interpolated. Both faults exist in lifecycles only.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InterpolationError {
    /// A pointer does not begin with a slash.
    #[error("{placeholder} holds \"{pointer}\", which is no JSON pointer")]
    BadPointer {
        /// The whole placeholder.
        placeholder: String,
        /// The part that should be a pointer.
        pointer: String,
    },
    /// The result is larger than 4 MiB.
    #[error("a text grows beyond {LONGEST_BYTES} bytes by its variables")]
    TooLarge,
}

impl Diagnose for InterpolationError {
    fn kind(&self) -> Kind {
        match self {
            InterpolationError::BadPointer { .. } => Kind::Invalid,
            InterpolationError::TooLarge => Kind::TooLarge,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            InterpolationError::BadPointer { .. } => "recipe-variable-pointer",
            InterpolationError::TooLarge => "recipe-variable-too-large",
        }
    }
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        match self {
            InterpolationError::BadPointer { .. } => {
                Some("begin the pointer with a slash, as in {configuration:/key}".into())
            }
            InterpolationError::TooLarge => None,
        }
    }
}

/// A component as variables see it.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    /// The component.
    pub name: &'a str,
    /// The version that this deployment resolved.
    pub version: &'a str,
    /// Its resolved configuration; `None` where it has none at all.
    pub configuration: Option<&'a Value>,
}

/// All that the variables of one component can name.
#[derive(Clone, Debug)]
pub struct World<'a> {
    /// The core's root folder, absolute, without a slash at the end.
    pub root: &'a str,
    /// The thing name; empty while the core is not provisioned.
    pub thing_name: &'a str,
    /// The component whose texts are interpolated.
    pub component: Service<'a>,
    /// Its direct dependencies, hard and soft, as far as this deployment resolved them.
    pub dependencies: Vec<Service<'a>>,
    /// Whether configurations are interpolated on this core. It changes one thing here: in which
    /// order the keys of a whole object come.
    pub interpolates_configuration: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Lifecycle,
    Configuration,
}

/// A placeholder found in a text.
struct Placeholder<'t> {
    whole: &'t str,
    component: Option<&'t str>,
    namespace: &'t str,
    key: &'t str,
}

impl World<'_> {
    /// A lifecycle with its variables replaced.
    ///
    /// # Errors
    /// See [`InterpolationError`]; the deployment fails then.
    pub fn lifecycle(&self, value: &Value) -> Result<Value, InterpolationError> {
        self.value(value, Place::Lifecycle)
    }

    /// One text of a lifecycle with its variables replaced.
    ///
    /// # Errors
    /// See [`InterpolationError`].
    pub fn lifecycle_text(&self, text: &str) -> Result<String, InterpolationError> {
        self.text(text, Place::Lifecycle)
    }

    /// A configuration with its variables replaced, all but those that name configurations.
    ///
    /// # Errors
    /// Only [`InterpolationError::TooLarge`].
    pub fn configuration(&self, value: &Value) -> Result<Value, InterpolationError> {
        self.value(value, Place::Configuration)
    }

    fn value(&self, value: &Value, place: Place) -> Result<Value, InterpolationError> {
        Ok(match value {
            Value::String(text) => Value::String(self.text(text, place)?),
            Value::Array(items) => Value::Array(
                items
                    .iter()
                    .map(|item| self.value(item, place))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(map) => Value::Object(
                map.iter()
                    .map(|(key, value)| Ok((key.clone(), self.value(value, place)?)))
                    .collect::<Result<Map<_, _>, InterpolationError>>()?,
            ),
            other => other.clone(),
        })
    }

    /// First the component's own variables, then those of dependencies in what came out. Every
    /// occurrence of a placeholder is replaced at once, also one that a value brought in.
    fn text(&self, text: &str, place: Place) -> Result<String, InterpolationError> {
        if !text.contains('{') {
            return Ok(text.to_owned());
        }
        let own = self.replace(text, false, place)?;
        self.replace(&own, true, place)
    }

    fn replace(
        &self,
        text: &str,
        of_others: bool,
        place: Place,
    ) -> Result<String, InterpolationError> {
        let mut result = text.to_owned();
        for placeholder in placeholders(text, of_others) {
            if let Some(value) = self.look_up(&placeholder, place)? {
                let count = result.matches(placeholder.whole).count();
                if result.len() + count * value.len() > LONGEST_BYTES {
                    return Err(InterpolationError::TooLarge);
                }
                result = result.replace(placeholder.whole, &value);
            }
        }
        Ok(result)
    }

    fn look_up(
        &self,
        placeholder: &Placeholder<'_>,
        place: Place,
    ) -> Result<Option<String>, InterpolationError> {
        let service = match placeholder.component {
            None => &self.component,
            Some(name) => match self.dependencies.iter().find(|one| one.name == name) {
                Some(service) => service,
                None => return Ok(None),
            },
        };
        if placeholder.namespace == "configuration" {
            return match place {
                Place::Lifecycle => self.configuration_value(placeholder, service),
                Place::Configuration => Ok(None),
            };
        }
        let (root, name, version) = (self.root, service.name, service.version);
        Ok(match (placeholder.namespace, placeholder.key) {
            ("artifacts", "path") => Some(format!("{root}/packages/artifacts/{name}/{version}")),
            ("artifacts", "decompressedPath") => Some(format!(
                "{root}/packages/artifacts-unarchived/{name}/{version}"
            )),
            ("work", "path") => Some(format!("{root}/work/{name}")),
            ("kernel", "rootPath") => Some(root.to_owned()),
            ("iot", "thingName") => Some(self.thing_name.to_owned()),
            _ => None,
        })
    }

    fn configuration_value(
        &self,
        placeholder: &Placeholder<'_>,
        service: &Service<'_>,
    ) -> Result<Option<String>, InterpolationError> {
        let pointer = placeholder.key;
        if !pointer.is_empty() && !pointer.starts_with('/') {
            return Err(InterpolationError::BadPointer {
                placeholder: placeholder.whole.to_owned(),
                pointer: pointer.to_owned(),
            });
        }
        let found = service
            .configuration
            .and_then(|configuration| at_pointer(configuration, pointer));
        Ok(found.map(|value| match value {
            Value::String(text) => text.clone(),
            value => {
                let mut text = String::new();
                write_json(&mut text, value, !self.interpolates_configuration);
                text
            }
        }))
    }
}

/// The placeholders of a text from left to right: `{namespace:key}`, or with the name of another
/// component `{component:namespace:key}`.
fn placeholders(text: &str, of_others: bool) -> Vec<Placeholder<'_>> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(offset) = text[at..].find('{') {
        let start = at + offset;
        match placeholder(&text[start..], of_others) {
            Some(placeholder) => {
                at = start + placeholder.whole.len();
                found.push(placeholder);
            }
            None => at = start + 1,
        }
    }
    found
}

fn placeholder(text: &str, of_others: bool) -> Option<Placeholder<'_>> {
    let (first, rest) = word(text.strip_prefix('{')?)?;
    let (component, namespace, rest) = if of_others {
        let (second, rest) = word(rest)?;
        (Some(first), second, rest)
    } else {
        (None, first, rest)
    };
    let end = rest.find([':', '}'])?;
    if !rest[end..].starts_with('}') {
        return None;
    }
    let length = text.len() - rest.len() + end + 1;
    Some(Placeholder {
        whole: &text[..length],
        component,
        namespace,
        key: &rest[..end],
    })
}

/// A name and the colon behind it.
fn word(text: &str) -> Option<(&str, &str)> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let end = text.find(|c| !is_part(c))?;
    let rest = text[end..].strip_prefix(':')?;
    (end > 0).then_some((&text[..end], rest))
}

/// The value at a JSON pointer, as Jackson finds it: `~` that is no escape stands for itself, an
/// index has no leading zero.
fn at_pointer<'v>(value: &'v Value, pointer: &str) -> Option<&'v Value> {
    let mut value = value;
    for segment in pointer.split('/').skip(1) {
        let key = segment.replace("~1", "/").replace("~0", "~");
        value = match value {
            Value::Object(map) => map.get(&key)?,
            Value::Array(items) => {
                let is_index = key == "0" || !key.starts_with(['0', '+']);
                items.get(key.parse::<usize>().ok().filter(|_| is_index)?)?
            }
            _ => return None,
        };
    }
    Some(value)
}

/// Compact JSON with sorted keys and Java's numbers.
fn write_json(out: &mut String, value: &Value, ignores_case: bool) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(boolean) => {
            out.push_str(&format!("{boolean}"));
        }
        Value::Number(number) => out.push_str(&java_number(number)),
        Value::String(text) => write_text(out, text),
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                // Inside a list the nucleus's maps are no longer its own, which ignore case.
                write_json(out, item, false);
            }
            out.push(']');
        }
        Value::Object(map) => {
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_cached_key(|(key, _)| sort_key(key, ignores_case));
            out.push('{');
            for (index, (key, value)) in entries.into_iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(out, key);
                out.push(':');
                write_json(out, value, ignores_case);
            }
            out.push('}');
        }
    }
}

/// Java compares texts by their UTF-16 units.
fn sort_key(key: &str, ignores_case: bool) -> Vec<u16> {
    if ignores_case {
        key.to_lowercase().encode_utf16().collect()
    } else {
        key.encode_utf16().collect()
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => {
                out.push_str(&format!("\\u{:04X}", u32::from(control)));
            }
            other => out.push(other),
        }
    }
    out.push('"');
}
