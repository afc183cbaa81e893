//! An object's row and the headers that go with it.

use crate::S3Request;
use crate::checksum::Algorithm;
use crate::xml::{http_date, set};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use sward_net::http::{Body, Response};
use sward_store::{Row, StoreError};

/// Headers that are stored with an object and come back with it.
const STORED_HEADERS: &[&str] = &[
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
];

/// What a caller says of an object besides its bytes, as JSON in its row.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attributes {
    /// Stored headers and `x-amz-meta-…`, by lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    /// Checksum values by header name.
    #[serde(default)]
    pub(crate) checksums: BTreeMap<String, String>,
    /// `FULL_OBJECT` or `COMPOSITE`, where there is a checksum.
    #[serde(default)]
    pub(crate) checksum_type: Option<String>,
}

impl Attributes {
    /// Those in the headers of an upload.
    pub(crate) fn of(request: &S3Request) -> Self {
        let mut headers = BTreeMap::new();
        for (name, value) in request.headers() {
            if name.starts_with("x-amz-meta-") {
                headers
                    .entry(name.clone())
                    .and_modify(|all: &mut String| {
                        all.push(',');
                        all.push_str(value);
                    })
                    .or_insert_with(|| value.clone());
            } else if STORED_HEADERS.contains(&name.as_str()) {
                // `aws-chunked` is how the bytes travelled, not what they are.
                let value = if name == "content-encoding" {
                    value
                        .split(',')
                        .map(str::trim)
                        .filter(|coding| !coding.eq_ignore_ascii_case("aws-chunked"))
                        .collect::<Vec<_>>()
                        .join(",")
                } else {
                    value.clone()
                };
                if !value.is_empty() {
                    headers.insert(name.clone(), value);
                }
            }
        }
        Attributes {
            headers,
            ..Attributes::default()
        }
    }

    pub(crate) fn add_checksums(&mut self, checksums: &[(Algorithm, String)]) {
        for (algorithm, value) in checksums {
            self.checksums
                .insert(algorithm.header().to_owned(), value.clone());
            self.checksum_type = Some("FULL_OBJECT".to_owned());
        }
    }

    pub(crate) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("maps of texts serialise")
    }

    pub(crate) fn set_checksum_headers(&self, response: &mut Response<Body>) {
        for (name, value) in &self.checksums {
            set(response, name, value);
        }
        if let Some(checksum_type) = &self.checksum_type {
            set(response, "x-amz-checksum-type", checksum_type);
        }
    }
}

/// One object.
#[derive(Clone, Debug)]
pub(crate) struct ObjectRow {
    pub(crate) key: String,
    pub(crate) blob: String,
    pub(crate) size: u64,
    /// Without quotes.
    pub(crate) etag: String,
    pub(crate) sha256: String,
    pub(crate) attributes: Attributes,
    pub(crate) tags: Option<String>,
    pub(crate) modified_ms: i64,
}

impl ObjectRow {
    pub(crate) fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(ObjectRow {
            key: row.text("key")?,
            blob: row.text("blob")?,
            size: u64::try_from(row.int("size")?).unwrap_or(0),
            etag: row.text("etag")?,
            sha256: row.text("sha256")?,
            // Written by us; a row of a newer program may say more, never less.
            attributes: serde_json::from_str(&row.text("attributes")?).unwrap_or_default(),
            tags: row.opt_text("tags")?,
            modified_ms: row.int("modified_ms")?,
        })
    }

    /// The headers of a GET or HEAD, but for the length.
    pub(crate) fn set_headers(&self, request: &S3Request, response: &mut Response<Body>) {
        set(response, "etag", &format!("\"{}\"", self.etag));
        set(response, "last-modified", &http_date(self.modified_ms));
        set(response, "accept-ranges", "bytes");
        set(response, "content-type", "binary/octet-stream");
        for (name, value) in &self.attributes.headers {
            set(response, name, value);
        }
        if request
            .header("x-amz-checksum-mode")
            .is_some_and(|mode| mode.eq_ignore_ascii_case("enabled"))
        {
            self.attributes.set_checksum_headers(response);
        }
        if let Some(count) = self.tags.as_deref().map(crate::tagging::count)
            && count > 0
        {
            set(response, "x-amz-tagging-count", &count.to_string());
        }
        for name in STORED_HEADERS {
            if let Some(value) = request.query(&format!("response-{name}")) {
                set(response, name, value);
            }
        }
    }
}
