//! The answers, which are AWS's byte for byte.

use super::{CredentialFailure, Credentials, PATH, TokenAuthority};
use http::{Method, Response, StatusCode};
use serde_json::{Map, Value};
use sward_net::http::{Body, empty, full};

/// Why a request is not even looked at; `None` lets it through.
///
/// Outside the path there is nothing (404, whatever the method); below it only the path itself
/// (400); on it only GET (405), and only with a token (403).
pub(super) fn refusal(
    method: &Method,
    path: &str,
    token: Option<&str>,
    authority: &dyn TokenAuthority,
) -> Option<Response<Body>> {
    if !path.starts_with(PATH) {
        let mut response = with_body(
            StatusCode::NOT_FOUND,
            "<h1>404 Not Found</h1>No context found for request",
        );
        let html = http::HeaderValue::from_static("text/html");
        response.headers_mut().insert("content-type", html);
        return Some(response);
    }
    if path != PATH {
        return Some(without_body(StatusCode::BAD_REQUEST));
    }
    if method != Method::GET {
        return Some(without_body(StatusCode::METHOD_NOT_ALLOWED));
    }
    let known =
        token.is_some_and(|token| !token.is_empty() && authority.may_have_credentials(token));
    (!known).then(|| without_body(StatusCode::FORBIDDEN))
}

/// The answer of the source; `None` when it took too long.
pub(super) fn of_source(answer: Option<Result<Credentials, CredentialFailure>>) -> Response<Body> {
    match answer {
        None => without_body(StatusCode::GATEWAY_TIMEOUT),
        Some(Ok(credentials)) => with_body(StatusCode::OK, body(credentials)),
        Some(Err(CredentialFailure {
            status: Some(status),
            reason,
        })) => {
            let status = StatusCode::from_u16(status).ok();
            let status = status.filter(|status| status.as_u16() >= 300);
            let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let code = status.as_u16();
            with_body(
                status,
                format!("TES responded with status code: {code}. Caching response. {reason}"),
            )
        }
        Some(Err(CredentialFailure { reason, .. })) => with_body(
            StatusCode::INTERNAL_SERVER_ERROR,
            format!("Failed to get connection: {reason}"),
        ),
    }
}

/// Members in the nucleus's order; its clients do not care, comparisons do.
fn body(credentials: Credentials) -> String {
    let members: [(&str, String); 4] = [
        ("AccessKeyId", credentials.access_key_id),
        ("SecretAccessKey", credentials.secret_access_key),
        ("Expiration", credentials.expiration),
        ("Token", credentials.session_token),
    ];
    let members = members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), Value::from(value)));
    Value::Object(Map::from_iter(members)).to_string()
}

fn with_body(status: StatusCode, body: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(full(body.into()));
    *response.status_mut() = status;
    response
}

fn without_body(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}
