//! The XML documents of S3, in and out.

use crate::{Code, S3Error};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use sward_net::http::{self, Body, HeaderValue, Response, StatusCode};

pub(crate) const XMLNS: &str = "http://s3.amazonaws.com/doc/2006-03-01/";

/// Reads a document of a request.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, S3Error> {
    quick_xml::de::from_str(text).map_err(|error| {
        S3Error::new(
            Code::MalformedXML,
            format!("the document is not what this operation takes: {error}"),
        )
    })
}

/// A 200 answer: `content` inside the root element.
pub(crate) fn answer(root: &str, content: &str) -> Response<Body> {
    with_status(
        200,
        http::full(format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<{root} xmlns=\"{XMLNS}\">{content}</{root}>"
        )),
        Some("application/xml"),
    )
}

/// An answer without a body.
pub(crate) fn empty(status: u16) -> Response<Body> {
    with_status(status, http::empty(), None)
}

fn with_status(status: u16, body: Body, content_type: Option<&'static str>) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).expect("a constant status between 100 and 999");
    if let Some(content_type) = content_type {
        response
            .headers_mut()
            .insert("content-type", HeaderValue::from_static(content_type));
    }
    response
}

/// Sets a header, unless the value holds what no header can.
pub(crate) fn set(response: &mut Response<Body>, name: &str, value: &str) {
    if let (Ok(name), Ok(value)) = (
        http::HeaderName::from_bytes(name.as_bytes()),
        HeaderValue::from_bytes(value.as_bytes()),
    ) {
        response.headers_mut().insert(name, value);
    }
}

/// `2026-11-25T19:00:00.000Z`.
pub(crate) fn iso(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms).map_or_else(|_| String::new(), |t| format!("{t:.3}"))
}

/// `Wed, 25 Nov 2026 19:00:00 GMT`.
pub(crate) fn http_date(ms: i64) -> String {
    jiff::Timestamp::from_millisecond(ms)
        .ok()
        .and_then(|time| {
            jiff::fmt::rfc2822::DateTimePrinter::new()
                .timestamp_to_rfc9110_string(&time)
                .ok()
        })
        .unwrap_or_default()
}

/// Unix seconds of an HTTP date.
pub(crate) fn parse_http_date(text: &str) -> Option<i64> {
    jiff::fmt::rfc2822::DateTimeParser::new()
        .parse_timestamp(text)
        .ok()
        .map(|time| time.as_second())
}

#[derive(Debug, Deserialize)]
pub(crate) struct CreateBucketConfiguration {
    #[serde(rename = "LocationConstraint", default)]
    pub(crate) location: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct VersioningConfiguration {
    #[serde(rename = "Status", default)]
    pub(crate) status: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Delete {
    #[serde(rename = "Quiet", default)]
    pub(crate) quiet: bool,
    #[serde(rename = "Object", default)]
    pub(crate) objects: Vec<DeleteEntry>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct DeleteEntry {
    #[serde(rename = "Key")]
    pub(crate) key: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CompleteMultipartUpload {
    #[serde(rename = "Part", default)]
    pub(crate) parts: Vec<CompletedPart>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CompletedPart {
    #[serde(rename = "PartNumber")]
    pub(crate) number: i64,
    #[serde(rename = "ETag")]
    pub(crate) etag: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Tagging {
    #[serde(rename = "TagSet", default)]
    pub(crate) set: TagSet,
}

#[derive(Debug, Default, Deserialize)]
pub(crate) struct TagSet {
    #[serde(rename = "Tag", default)]
    pub(crate) tags: Vec<Tag>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Tag {
    #[serde(rename = "Key")]
    pub(crate) key: String,
    #[serde(rename = "Value", default)]
    pub(crate) value: String,
}
