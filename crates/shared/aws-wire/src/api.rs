//! One API call in neutral form: what is left of HTTP once signature and framing are checked.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use std::fmt;
use sward_diagnosis::{Kind, Report};
use sward_model::{AccountId, Arn, Region};

/// Who calls, as the verified signature or the client certificate says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    pub account: AccountId,
    /// From the credential scope, or for a certificate from its registration.
    pub region: Region,
    /// User, assumed-role session, or certificate.
    pub arn: Arn,
    /// The access key id or certificate id, for the audit log.
    pub credential: String,
}

/// A verified request. `path` and `query` are as sent on the wire apart from one percent-decoding
/// of each path segment, left to the service because ARNs in paths come encoded and raw.
#[derive(Clone, Debug)]
pub struct ApiRequest {
    /// Upper-case HTTP method.
    pub method: String,
    /// The raw path, percent-encoding kept.
    pub path: String,
    /// Decoded pairs in the order sent.
    pub query: Vec<(String, String)>,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl ApiRequest {
    /// The first value of a header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// The first value of a query parameter.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }
}

/// A successful answer.
#[derive(Clone, Debug)]
pub struct ApiResponse {
    pub status: u16,
    pub content_type: &'static str,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl ApiResponse {
    /// A JSON answer of the given status.
    #[must_use]
    pub fn json(status: u16, body: &Value) -> Self {
        ApiResponse {
            status,
            content_type: "application/json",
            headers: Vec::new(),
            body: Bytes::from(body.to_string()),
        }
    }

    /// An answer without a body (204).
    #[must_use]
    pub fn empty(status: u16) -> Self {
        ApiResponse {
            status,
            content_type: "application/json",
            headers: Vec::new(),
            body: Bytes::new(),
        }
    }
}

/// A refused call: AWS's code and status, the report behind it, and modeled members.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// HTTP status.
    pub status: u16,
    /// AWS's code, such as `ResourceNotFoundException`.
    pub code: String,
    /// What went wrong; its one-line form is the `message`.
    pub report: Report,
    /// Further members that the model asks for (`resourceId`, `fields`, `reason` …).
    pub members: Map<String, Value>,
}

impl ApiError {
    /// An error with AWS's code and status.
    #[must_use]
    pub fn new(status: u16, code: &str, report: Report) -> Self {
        ApiError {
            status,
            code: code.to_owned(),
            report,
            members: Map::new(),
        }
    }

    /// An error from a message alone.
    #[must_use]
    pub fn message(status: u16, code: &str, kind: Kind, message: impl Into<String>) -> Self {
        ApiError::new(status, code, Report::new(kind, code, message))
    }

    /// Adds a modeled member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// The restJson1 body: `message` and the modeled members.
    #[must_use]
    pub fn json_body(&self) -> Value {
        let mut body = json!({ "message": self.report.one_line() });
        if let Some(object) = body.as_object_mut() {
            object.extend(self.members.clone());
        }
        body
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.report.one_line())
    }
}

impl std::error::Error for ApiError {}
