//! The Query protocol: a form in, XML out.

use sward_aws_wire::api::{ApiError, ApiRequest, ApiResponse};
pub(super) use sward_aws_wire::xml::element;
use sward_aws_wire::xml::escape;
use sward_diagnosis::{Diagnose, Kind, Place, Report};

/// The XML name space of IAM's answers.
pub const IAM_XMLNS: &str = "https://iam.amazonaws.com/doc/2010-05-08/";
/// The XML name space of STS's answers.
pub const STS_XMLNS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";

/// A parsed call.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) action: String,
    pairs: Vec<(String, String)>,
    request_id: String,
}

impl Query {
    /// Reads the form body, or for GET the URL's query.
    pub(super) fn parse(request: &ApiRequest, request_id: &str) -> Result<Self, ApiError> {
        let mut pairs = request.query.clone();
        if let Ok(text) = std::str::from_utf8(&request.body) {
            pairs.extend(text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            }));
        }
        let action = pairs
            .iter()
            .find(|(name, _)| name == "Action")
            .map(|(_, value)| value.clone())
            .ok_or_else(|| {
                ApiError::message(
                    400,
                    "MissingAction",
                    Kind::Invalid,
                    "the form has no Action",
                )
            })?;
        Ok(Query {
            action,
            pairs,
            request_id: request_id.to_owned(),
        })
    }

    /// A parameter that is present and not empty.
    pub(super) fn optional(&self, name: &str) -> Option<&str> {
        self.pairs
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }

    /// A parameter that must be there.
    pub(super) fn required(&self, name: &str) -> Result<&str, ApiError> {
        self.optional(name)
            .ok_or_else(|| invalid(name, "is missing"))
    }

    /// A name of `limit` characters at most, of the alphabet that IAM allows.
    pub(super) fn name(&self, parameter: &str, limit: usize) -> Result<&str, ApiError> {
        let name = self.required(parameter)?;
        let allowed = |c: char| {
            c.is_ascii_alphanumeric() || matches!(c, '+' | '=' | ',' | '.' | '@' | '_' | '-')
        };
        if name.chars().count() > limit {
            return Err(invalid(
                parameter,
                &format!("is longer than {limit} characters"),
            ));
        }
        match name.chars().find(|c| !allowed(*c)) {
            Some(c) => Err(invalid(parameter, &format!("holds {c:?}"))),
            None => Ok(name),
        }
    }

    /// A whole number within bounds, or the default.
    pub(super) fn number(
        &self,
        parameter: &str,
        default: i64,
        bounds: std::ops::RangeInclusive<i64>,
    ) -> Result<i64, ApiError> {
        match self.optional(parameter) {
            None => Ok(default),
            Some(text) => text
                .parse()
                .ok()
                .filter(|number| bounds.contains(number))
                .ok_or_else(|| {
                    let why = format!("is not {} to {}", bounds.start(), bounds.end());
                    invalid(parameter, &why)
                }),
        }
    }

    pub(super) fn unknown_action(&self) -> ApiError {
        ApiError::message(
            400,
            "InvalidAction",
            Kind::Unsupported,
            format!("the operation {} is not known here", self.action),
        )
    }

    /// The whole answer; `result` is the XML inside `<ActionResult>`, and without it the element is
    /// left out as AWS does.
    pub(super) fn answer(&self, xmlns: &str, result: Option<&str>) -> ApiResponse {
        let action = &self.action;
        let mut xml = format!("<{action}Response xmlns=\"{xmlns}\">");
        if let Some(result) = result {
            xml.push_str(&format!("<{action}Result>{result}</{action}Result>"));
        }
        xml.push_str(&format!(
            "<ResponseMetadata><RequestId>{}</RequestId></ResponseMetadata></{action}Response>",
            escape(&self.request_id)
        ));
        ApiResponse {
            status: 200,
            content_type: "text/xml",
            headers: Vec::new(),
            body: xml.into(),
        }
    }
}

/// A policy document as IAM returns it: percent-encoded.
pub(super) fn encoded_document(document: &str) -> String {
    let mut encoded = String::with_capacity(document.len() * 2);
    for byte in document.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

/// ISO 8601 with seconds, as IAM and STS spell times.
pub(super) fn iso(ms: i64) -> String {
    jiff::Timestamp::from_second(ms.div_euclid(1000))
        .map_or_else(|_| String::new(), |time| time.to_string())
}

pub(super) fn invalid(parameter: &str, why: &str) -> ApiError {
    let report = Report::new(
        Kind::Invalid,
        "parameter-invalid",
        format!("the parameter {parameter} {why}"),
    )
    .at(Place::field(parameter));
    ApiError::new(400, "ValidationError", report)
}

pub(super) fn no_such(what: &str, name: &str) -> ApiError {
    let report = Report::new(
        Kind::NotFound,
        "no-such-entity",
        format!("the {what} {name} cannot be found"),
    );
    ApiError::new(404, "NoSuchEntity", report)
}

pub(super) fn exists(what: &str, name: &str) -> ApiError {
    let report = Report::new(
        Kind::Conflict,
        "entity-exists",
        format!("the {what} {name} already exists"),
    );
    ApiError::new(409, "EntityAlreadyExists", report)
}

pub(super) fn in_use(message: String) -> ApiError {
    ApiError::message(409, "DeleteConflict", Kind::Conflict, message)
}

pub(super) fn malformed_policy(error: &dyn Diagnose) -> ApiError {
    ApiError::new(400, "MalformedPolicyDocument", Report::of(error))
}

fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut index = 0;
    while index < bytes.len() {
        let pair = bytes
            .get(index + 1..index + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok())
            .and_then(|pair| u8::from_str_radix(pair, 16).ok());
        match (bytes[index], pair) {
            (b'%', Some(byte)) => {
                decoded.push(byte);
                index += 3;
            }
            (b'+', _) => {
                decoded.push(b' ');
                index += 1;
            }
            (byte, _) => {
                decoded.push(byte);
                index += 1;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
