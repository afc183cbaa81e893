//! Reading a request, and why one is rejected.

use crate::document::{Change, Section};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use sward_diagnosis::{Diagnose, Kind};
use thiserror::Error;

/// The bounds of shadows and of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of both sections together, metadata not counted.
    pub max_document: usize,
    /// Most levels of members below a section.
    pub max_depth: usize,
    /// Most bytes of a client token.
    pub max_client_token: usize,
    /// Whether a request for a shadow that does not exist may say version 0.
    pub zero_means_new: bool,
}

impl Limits {
    /// The cloud's bounds.
    pub const CLOUD: Limits = Limits {
        max_document: 8_192,
        max_depth: 8,
        max_client_token: 64,
        zero_means_new: true,
    };

    /// The bounds of the shadow manager on a core.
    pub const LOCAL: Limits = Limits {
        max_depth: 6,
        zero_means_new: false,
        ..Limits::CLOUD
    };
}

/// Why a request is refused; [`Rejection::code`] and the message go out on `…/rejected`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Rejection {
    #[error("Invalid JSON")]
    InvalidJson,
    #[error("Missing required node: {node}")]
    MissingNode { node: &'static str },
    #[error("{node} node must be an object")]
    NotAnObject { node: &'static str },
    #[error("State contains an invalid node: '{node}'")]
    InvalidNode { node: String },
    #[error("Invalid version")]
    InvalidVersion,
    #[error("Invalid clientToken")]
    InvalidClientToken,
    #[error("JSON contains too many levels of nesting; maximum is {limit}")]
    TooDeep { limit: usize },
    #[error("No shadow exists with name: '{name}'")]
    NotFound {
        /// The shadow's name; the thing's for the classic one.
        name: String,
    },
    #[error("Version conflict")]
    VersionConflict,
    #[error("The payload exceeds the maximum size allowed")]
    TooLarge { limit: usize },
}

impl Rejection {
    /// The code of the rejection, the same numbers as HTTP's.
    #[must_use]
    pub fn status(&self) -> u16 {
        match self {
            Rejection::NotFound { .. } => 404,
            Rejection::VersionConflict => 409,
            Rejection::TooLarge { .. } => 413,
            _ => 400,
        }
    }

    /// The body of `…/rejected` (and of the HTTP error, whose message it carries).
    #[must_use]
    pub fn to_json(&self, now: u64, client_token: Option<&str>) -> Value {
        let mut body = json!({
            "code": self.status(),
            "message": self.to_string(),
            "timestamp": now,
        });
        if let Some(token) = client_token {
            body["clientToken"] = token.into();
        }
        body
    }
}

impl Diagnose for Rejection {
    fn kind(&self) -> Kind {
        match self {
            Rejection::NotFound { .. } => Kind::NotFound,
            Rejection::VersionConflict => Kind::Conflict,
            Rejection::TooLarge { .. } => Kind::TooLarge,
            _ => Kind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Rejection::InvalidJson => "shadow-invalid-json",
            Rejection::MissingNode { .. } => "shadow-missing-node",
            Rejection::NotAnObject { .. } => "shadow-not-an-object",
            Rejection::InvalidNode { .. } => "shadow-invalid-node",
            Rejection::InvalidVersion => "shadow-invalid-version",
            Rejection::InvalidClientToken => "shadow-invalid-client-token",
            Rejection::TooDeep { .. } => "shadow-too-deep",
            Rejection::NotFound { .. } => "shadow-not-found",
            Rejection::VersionConflict => "shadow-version-conflict",
            Rejection::TooLarge { .. } => "shadow-too-large",
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Rejection::VersionConflict => Some("get the shadow and send its version".into()),
            Rejection::TooLarge { limit } => Some(Cow::Owned(format!("{limit} bytes are allowed"))),
            _ => None,
        }
    }
}

/// A request whose envelope was read.
pub(crate) struct Envelope {
    pub(crate) members: Map<String, Value>,
    pub(crate) client_token: Option<String>,
}

impl Envelope {
    /// Reads the payload. An empty one counts as `{}` where `may_be_empty`.
    pub(crate) fn read(
        payload: &[u8],
        may_be_empty: bool,
        limits: &Limits,
    ) -> Result<Self, Rejection> {
        let members = if may_be_empty && payload.trim_ascii().is_empty() {
            Map::new()
        } else {
            serde_json::from_slice(payload).map_err(|_| Rejection::InvalidJson)?
        };
        let client_token = match members.get("clientToken") {
            None | Some(Value::Null) => None,
            Some(Value::String(token)) if token.len() <= limits.max_client_token => {
                Some(token.clone())
            }
            Some(_) => return Err(Rejection::InvalidClientToken),
        };
        Ok(Envelope {
            members,
            client_token,
        })
    }

    pub(crate) fn version(&self) -> Result<Option<u64>, Rejection> {
        match self.members.get("version") {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_u64().map(Some).ok_or(Rejection::InvalidVersion),
        }
    }

    /// The changes an update asks for.
    pub(crate) fn changes(&self, limits: &Limits) -> Result<Vec<(Section, Change<'_>)>, Rejection> {
        let state = match self.members.get("state") {
            None => return Err(Rejection::MissingNode { node: "state" }),
            Some(Value::Null) => {
                return Ok(Section::BOTH
                    .map(|section| (section, Change::Remove))
                    .into());
            }
            Some(Value::Object(state)) => state,
            Some(_) => return Err(Rejection::NotAnObject { node: "State" }),
        };
        let mut changes = Vec::new();
        for (key, value) in state {
            let (section, node) = match key.as_str() {
                "desired" => (Section::Desired, "Desired"),
                "reported" => (Section::Reported, "Reported"),
                _ => return Err(Rejection::InvalidNode { node: key.clone() }),
            };
            let change = match value {
                Value::Null => Change::Remove,
                Value::Object(members) => {
                    if levels(value) > limits.max_depth {
                        return Err(Rejection::TooDeep {
                            limit: limits.max_depth,
                        });
                    }
                    Change::Merge(members)
                }
                _ => return Err(Rejection::NotAnObject { node }),
            };
            changes.push((section, change));
        }
        Ok(changes)
    }
}

/// Levels of members: `{}` has none, `{"a":1}` one. Lists count through.
fn levels(value: &Value) -> usize {
    match value {
        Value::Object(members) => members
            .values()
            .map(|member| levels(member) + 1)
            .max()
            .unwrap_or(0),
        Value::Array(items) => items.iter().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}
