//! Where a failure is: always something the reader can open, change or ask for.

use serde::{Deserialize, Serialize};
use std::fmt;

/// The thing at fault, by the name under which the reader knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "type")]
pub enum Place {
    /// A file, with a line (from 1) where one is known.
    File { path: String, line: Option<u64> },
    /// A JSON pointer into a document (`""` is the whole document).
    Pointer { document: String, pointer: String },
    /// A member of an API request, by its wire name.
    Field { name: String },
    /// A URL that was asked.
    Url { url: String },
    /// An MQTT topic or filter.
    Topic { topic: String },
    /// A resource by ARN or name.
    Resource { kind: String, id: String },
    /// A component, with its version where one is meant.
    Component {
        name: String,
        version: Option<String>,
    },
    /// The permission that was missing: a policy statement that would have allowed it.
    Permission { action: String, resource: String },
    /// A configuration key, command-line flag or environment variable.
    Setting { name: String },
    /// A position in a stream of bytes.
    Offset { what: String, offset: u64 },
}

impl Place {
    /// A file without a line.
    pub fn file(path: impl AsRef<std::path::Path>) -> Self {
        Place::File {
            path: path.as_ref().display().to_string(),
            line: None,
        }
    }

    /// A member of an API request.
    pub fn field(name: impl Into<String>) -> Self {
        Place::Field { name: name.into() }
    }

    /// A resource, such as `("thing", "core1")`.
    pub fn resource(kind: impl Into<String>, id: impl Into<String>) -> Self {
        Place::Resource {
            kind: kind.into(),
            id: id.into(),
        }
    }

    /// A missing permission.
    pub fn permission(action: impl Into<String>, resource: impl Into<String>) -> Self {
        Place::Permission {
            action: action.into(),
            resource: resource.into(),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { path, line: None } => write!(f, "{path}"),
            Place::File {
                path,
                line: Some(line),
            } => write!(f, "{path}:{line}"),
            Place::Pointer { document, pointer } if pointer.is_empty() => write!(f, "{document}"),
            Place::Pointer { document, pointer } => write!(f, "{document} at {pointer}"),
            Place::Field { name } => write!(f, "member {name}"),
            Place::Url { url } => write!(f, "{url}"),
            Place::Topic { topic } => write!(f, "topic {topic}"),
            Place::Resource { kind, id } => write!(f, "{kind} {id}"),
            Place::Component {
                name,
                version: None,
            } => write!(f, "component {name}"),
            Place::Component {
                name,
                version: Some(version),
            } => {
                write!(f, "component {name} {version}")
            }
            Place::Permission { action, resource } => write!(f, "{action} on {resource}"),
            Place::Setting { name } => write!(f, "setting {name}"),
            Place::Offset { what, offset } => write!(f, "{what} at byte {offset}"),
        }
    }
}
