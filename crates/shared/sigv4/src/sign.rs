//! Signing, as a client.

use crate::canonical::{self, PathForm, QueryForm};
use crate::{ALGORITHM, Credentials, Request, Scope, SigningKey, amz_date};

/// What the signature says about the body.
#[derive(Clone, Copy, Debug)]
pub enum Payload<'a> {
    /// These bytes.
    Bytes(&'a [u8]),
    /// The hex SHA-256 of the body, or one of the `STREAMING-…` words.
    Hash(&'a str),
    /// Nothing (S3 only).
    Unsigned,
}

impl Payload<'_> {
    fn hash(&self) -> String {
        match self {
            Payload::Bytes(bytes) => crate::sha256_hex(bytes),
            Payload::Hash(hash) => (*hash).to_owned(),
            Payload::Unsigned => crate::UNSIGNED_PAYLOAD.to_owned(),
        }
    }
}

/// Headers that may change on the way and are therefore not signed.
const NOT_SIGNED: &[&str] = &[
    "authorization",
    "connection",
    "expect",
    "transfer-encoding",
    "user-agent",
    "x-amzn-trace-id",
];

fn forms(service: &str) -> (PathForm, QueryForm) {
    let path = if service == "s3" {
        PathForm::AsSent
    } else {
        PathForm::NormalizedTwice
    };
    (path, QueryForm::Encoded)
}

/// Signs in the header form. `request.headers` must hold `host`. The answer is the headers to add:
/// `x-amz-date`, for S3 `x-amz-content-sha256`, with a session `x-amz-security-token`, and
/// `authorization`. `now` is in Unix seconds.
#[must_use]
pub fn sign(
    request: &Request<'_>,
    payload: Payload<'_>,
    credentials: &Credentials,
    region: &str,
    service: &str,
    now: i64,
) -> Vec<(String, String)> {
    let scope = Scope::at(now, region, service);
    let date = amz_date(now);
    let hash = payload.hash();
    let mut added = vec![("x-amz-date".to_owned(), date.clone())];
    if service == "s3" {
        added.push(("x-amz-content-sha256".to_owned(), hash.clone()));
    }
    if let Some(token) = &credentials.session_token {
        added.push(("x-amz-security-token".to_owned(), token.clone()));
    }
    let mut all: Vec<(String, String)> = request
        .headers
        .iter()
        .filter(|(name, _)| !NOT_SIGNED.contains(&name.as_str()))
        .filter(|(name, _)| !added.iter().any(|(new, _)| new == name))
        .cloned()
        .collect();
    all.extend(added.iter().cloned());
    let mut signed: Vec<String> = all.iter().map(|(name, _)| name.clone()).collect();
    signed.sort();
    signed.dedup();
    let full = Request {
        headers: &all,
        ..*request
    };
    let canonical = canonical::request(&full, forms(service), &[], &signed, &hash);
    let signature = SigningKey::derive(&credentials.secret_access_key, &scope)
        .sign(&canonical::string_to_sign(&canonical, &date, &scope));
    added.push((
        "authorization".to_owned(),
        format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={signature}",
            credentials.access_key_id,
            signed.join(";"),
        ),
    ));
    added
}

/// Signs in the query form: the answer is the whole query of a URL that is good for
/// `expires_seconds`. Only `host` is signed, which `request.headers` must hold.
#[must_use]
pub fn presign(
    request: &Request<'_>,
    credentials: &Credentials,
    region: &str,
    service: &str,
    expires_seconds: u32,
    now: i64,
) -> String {
    let scope = Scope::at(now, region, service);
    let date = amz_date(now);
    let mut query = request.query.to_owned();
    let mut add = |name: &str, value: &str| {
        if !query.is_empty() {
            query.push('&');
        }
        query.push_str(name);
        query.push('=');
        query.push_str(&canonical::encode(value));
    };
    add("X-Amz-Algorithm", ALGORITHM);
    add(
        "X-Amz-Credential",
        &format!("{}/{scope}", credentials.access_key_id),
    );
    add("X-Amz-Date", &date);
    add("X-Amz-Expires", &expires_seconds.to_string());
    add("X-Amz-SignedHeaders", "host");
    if let Some(token) = &credentials.session_token {
        add("X-Amz-Security-Token", token);
    }
    let hash = if service == "s3" {
        crate::UNSIGNED_PAYLOAD
    } else {
        crate::EMPTY_SHA256
    };
    let full = Request {
        query: &query,
        ..*request
    };
    let signed = ["host".to_owned()];
    let canonical = canonical::request(&full, forms(service), &[], &signed, hash);
    let signature = SigningKey::derive(&credentials.secret_access_key, &scope)
        .sign(&canonical::string_to_sign(&canonical, &date, &scope));
    query.push_str("&X-Amz-Signature=");
    query.push_str(&signature);
    query
}
