//! Reading JSON members the way AWS's nucleus does: lenient about numbers and text, strict about
//! shapes, and never without saying where.

use crate::error::{DeploymentErrorCode, DeploymentErrorType, DeploymentFailure};
use crate::status::DeploymentSource;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use std::borrow::Cow;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_model::ComponentVersion;
use thiserror::Error;

/// The class of a fault in a document; decides the error stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentFault {
    /// There is no text.
    Empty,
    /// No JSON, or a member of another type.
    Parse,
    /// JSON of the right shape that says something impossible.
    Invalid,
    /// A `merge` that is no object.
    MergeNoObject,
    /// The document is null, or limits are half given.
    Incomplete,
}

/// Why a document was refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct DocumentError {
    /// The class.
    pub fault: DocumentFault,
    /// JSON pointer of the member at fault (`""` is the document).
    pub pointer: String,
    message: String,
}

impl DocumentError {
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self::new(DocumentFault::Invalid, String::new(), message)
    }

    pub(super) fn unreadable(message: impl Into<String>) -> Self {
        Self::new(DocumentFault::Parse, String::new(), message)
    }

    pub(super) fn merge_no_object(component: &str) -> Self {
        Self::new(
            DocumentFault::MergeNoObject,
            format!("/components/{component}/configurationUpdate/merge"),
            format!("the configuration to merge of component {component} is no object"),
        )
    }

    pub(super) fn limits_incomplete(component: &str) -> Self {
        Self::new(
            DocumentFault::Incomplete,
            format!("/components/{component}/runWith/systemResourceLimits"),
            format!("the limits of component {component} need both memory and cpus"),
        )
    }

    fn new(fault: DocumentFault, pointer: String, message: impl Into<String>) -> Self {
        DocumentError {
            fault,
            pointer,
            message: message.into(),
        }
    }

    /// The failure that is reported for a deployment with this document.
    #[must_use]
    pub fn failure(&self, source: DeploymentSource) -> DeploymentFailure {
        use DeploymentErrorCode as Code;
        let codes: &[DeploymentErrorCode] = match self.fault {
            DocumentFault::Empty => &[
                Code::DeploymentDocumentNotValid,
                Code::EmptyDeploymentRequest,
            ],
            DocumentFault::Parse => &[
                Code::DeploymentDocumentNotValid,
                Code::IoError,
                Code::IoMappingError,
                Code::DeploymentDocumentParseError,
            ],
            DocumentFault::Invalid => &[Code::DeploymentDocumentNotValid],
            DocumentFault::MergeNoObject => &[
                Code::DeploymentDocumentNotValid,
                Code::DeploymentTypeNotValid,
                Code::IoError,
                Code::IoMappingError,
            ],
            DocumentFault::Incomplete => &[],
        };
        let failure = DeploymentFailure::new(self.message.clone(), codes);
        match self.fault {
            DocumentFault::Empty | DocumentFault::Parse if source.is_cloud() => {
                failure.of_type(DeploymentErrorType::CloudServiceError)
            }
            DocumentFault::Empty | DocumentFault::Parse => {
                failure.of_type(DeploymentErrorType::NucleusError)
            }
            _ => failure,
        }
    }
}

impl Diagnose for DocumentError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        match self.fault {
            DocumentFault::Empty => "deployment-document-empty",
            DocumentFault::Parse => "deployment-document-unreadable",
            DocumentFault::Invalid => "deployment-document-invalid",
            DocumentFault::MergeNoObject => "deployment-merge-invalid",
            DocumentFault::Incomplete => "deployment-document-incomplete",
        }
    }
    fn place(&self) -> Option<Place> {
        Some(Place::Pointer {
            document: "deployment document".into(),
            pointer: self.pointer.clone(),
        })
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        None
    }
}

/// One object of a document and where it stands.
pub(super) struct Reader<'a> {
    value: &'a Value,
    pointer: String,
    name: String,
}

type Result<T> = std::result::Result<T, DocumentError>;

impl<'a> Reader<'a> {
    /// The first JSON value of a text; what follows it is ignored.
    pub(super) fn document(text: &str) -> Result<Value> {
        if text.is_empty() {
            return Err(DocumentError::new(
                DocumentFault::Empty,
                String::new(),
                "the deployment document is empty",
            ));
        }
        let mut deserializer = serde_json::Deserializer::from_str(text);
        Value::deserialize(&mut deserializer).map_err(|error| {
            DocumentError::new(
                DocumentFault::Parse,
                String::new(),
                format!("the deployment document is no JSON: {error}"),
            )
        })
    }

    pub(super) fn root(value: &'a Value) -> Result<Self> {
        let reader = Reader {
            value,
            pointer: String::new(),
            name: String::new(),
        };
        match value {
            Value::Object(_) => Ok(reader),
            Value::Null => Err(DocumentError::new(
                DocumentFault::Incomplete,
                String::new(),
                "the deployment document is null",
            )),
            _ => Err(reader.wrong("", "an object")),
        }
    }

    /// The key under which this object stands.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn is_null(&self) -> bool {
        self.value.is_null()
    }

    /// A member, null where it is absent.
    pub(super) fn raw(&self, key: &str) -> &'a Value {
        self.value.get(key).unwrap_or(&Value::Null)
    }

    fn wrong(&self, key: &str, wanted: &str) -> DocumentError {
        let pointer = self.pointer_of(key);
        let message = format!("the deployment document needs {wanted} at \"{pointer}\"");
        DocumentError::new(DocumentFault::Parse, pointer, message)
    }

    fn pointer_of(&self, key: &str) -> String {
        if key.is_empty() {
            return self.pointer.clone();
        }
        format!(
            "{}/{}",
            self.pointer,
            key.replace('~', "~0").replace('/', "~1")
        )
    }

    /// Refuses a member that is there and null.
    fn refuse_null(&self, key: &str, wanted: &str) -> Result<()> {
        match self.value.get(key) {
            Some(Value::Null) => Err(self.wrong(key, wanted)),
            _ => Ok(()),
        }
    }

    /// Text; numbers and booleans count as text.
    pub(super) fn text(&self, key: &str) -> Result<Option<String>> {
        scalar_text(self.raw(key)).ok_or_else(|| self.wrong(key, "text"))
    }

    /// A list of texts, perhaps with nulls.
    pub(super) fn texts(&self, key: &str) -> Result<Option<Vec<Option<String>>>> {
        match self.raw(key) {
            Value::Null => Ok(None),
            Value::Array(items) => items
                .iter()
                .map(|item| scalar_text(item).ok_or_else(|| self.wrong(key, "a list of texts")))
                .collect::<Result<Vec<_>>>()
                .map(Some),
            _ => Err(self.wrong(key, "a list of texts")),
        }
    }

    pub(super) fn texts_or_absent(&self, key: &str) -> Result<Vec<String>> {
        self.refuse_null(key, "a list of texts")?;
        Ok(self
            .texts(key)?
            .unwrap_or_default()
            .into_iter()
            .flatten()
            .collect())
    }

    /// A whole number; fractions are cut, text is read.
    pub(super) fn integer(&self, key: &str) -> Result<Option<i64>> {
        let wrong = || self.wrong(key, "a whole number");
        match self.raw(key) {
            Value::Null => Ok(None),
            Value::Number(number) => match (number.as_i64(), number.as_f64()) {
                (Some(whole), _) => Ok(Some(whole)),
                (None, Some(float)) if float.abs() < i64::MAX as f64 => Ok(Some(float as i64)),
                _ => Err(wrong()),
            },
            Value::String(text) if text.trim().is_empty() => Ok(None),
            Value::String(text) => text.trim().parse().map(Some).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }

    pub(super) fn integer_or_absent(&self, key: &str) -> Result<Option<i64>> {
        self.refuse_null(key, "a whole number")?;
        self.integer(key)
    }

    /// Any number, also as text.
    pub(super) fn number(&self, key: &str) -> Result<Option<f64>> {
        let wrong = || self.wrong(key, "a number");
        match self.raw(key) {
            Value::Null => Ok(None),
            Value::Number(number) => number.as_f64().map(Some).ok_or_else(wrong),
            Value::String(text) => text
                .trim()
                .parse()
                .ok()
                .filter(|number: &f64| number.is_finite())
                .map(Some)
                .ok_or_else(wrong),
            _ => Err(wrong()),
        }
    }

    /// A version; blanks around it do not matter.
    pub(super) fn version(&self, key: &str) -> Result<Option<ComponentVersion>> {
        match self.raw(key) {
            Value::Null => Ok(None),
            Value::String(text) => text
                .trim()
                .parse()
                .map(Some)
                .map_err(|error| self.wrong(key, &format!("a version ({error})"))),
            _ => Err(self.wrong(key, "a version")),
        }
    }

    /// An object; absent and null are the same.
    pub(super) fn object(&self, key: &str) -> Result<Option<Reader<'a>>> {
        let value = self.raw(key);
        match value {
            Value::Null => Ok(None),
            Value::Object(_) => Ok(Some(Reader {
                value,
                pointer: self.pointer_of(key),
                name: key.to_owned(),
            })),
            _ => Err(self.wrong(key, "an object")),
        }
    }

    pub(super) fn object_or_absent(&self, key: &str) -> Result<Option<Reader<'a>>> {
        self.refuse_null(key, "an object")?;
        self.object(key)
    }

    /// The entries of an object of objects; an entry may be null.
    pub(super) fn entries(&self, key: &str) -> Result<Vec<Reader<'a>>> {
        let Some(object) = self.object_or_absent(key)? else {
            return Ok(Vec::new());
        };
        let empty = Map::new();
        let entries = object.value.as_object().unwrap_or(&empty);
        entries
            .iter()
            .map(|(name, value)| {
                if !matches!(value, Value::Object(_) | Value::Null) {
                    return Err(object.wrong(name, "an object"));
                }
                Ok(name)
            })
            .map(|name| {
                let name = name?;
                Ok(Reader {
                    value: object.raw(name),
                    pointer: object.pointer_of(name),
                    name: name.clone(),
                })
            })
            .collect()
    }

    /// A word of an enumeration, in its exact case; absent means the default.
    pub(super) fn word_or_default<T: DeserializeOwned + Default>(&self, key: &str) -> Result<T> {
        match self.value.get(key) {
            None => Ok(T::default()),
            Some(Value::String(word)) => serde_json::from_value(Value::String(word.clone()))
                .map_err(|_| self.wrong(key, "another word than this")),
            Some(_) => Err(self.wrong(key, "a word")),
        }
    }

    /// A word out of a list, if it is there.
    pub(super) fn one_of(&self, key: &str, words: &[&str]) -> Result<()> {
        match self.value.get(key) {
            None => Ok(()),
            Some(Value::String(word)) if words.contains(&word.as_str()) => Ok(()),
            Some(_) => Err(self.wrong(key, &format!("one of {}", words.join(", ")))),
        }
    }
}

/// Null gives `Some(None)`, a container `None`.
fn scalar_text(value: &Value) -> Option<Option<String>> {
    match value {
        Value::Null => Some(None),
        Value::String(text) => Some(Some(text.clone())),
        Value::Number(number) => Some(Some(number.to_string())),
        Value::Bool(flag) => Some(Some(flag.to_string())),
        Value::Array(_) | Value::Object(_) => None,
    }
}
