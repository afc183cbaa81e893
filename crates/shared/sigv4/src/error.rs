//! Why a signature is refused, and under which code each protocol says so (cloud.md §1.1).

use std::borrow::Cow;
use sward_diagnosis::{Diagnose, Kind};
use thiserror::Error;

/// How a service words its errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// restJson1 and JSON 1.1: greengrass, iot, iotdata, secretsmanager …
    Json,
    /// Query/XML: sts, iam.
    Query,
    /// S3's REST-XML.
    S3,
}

/// Why a request is not who it claims to be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SignatureError {
    /// There is neither an authorization header nor a presigned query.
    #[error("the request is not signed")]
    Missing,
    /// The authorization header lacks something or is not of its form.
    #[error("the authorization header is incomplete: {0}")]
    MalformedHeader(&'static str),
    /// The presigned query lacks something or is not of its form.
    #[error("the presigned query is incomplete: {0}")]
    MalformedQuery(&'static str),
    /// Nobody has this access key.
    #[error("the access key {0} is not known here")]
    UnknownKey(String),
    /// The session token does not belong to the access key, or is missing.
    #[error("the session token does not belong to the access key")]
    Token,
    /// The session is over.
    #[error("the session token has expired")]
    TokenExpired,
    /// The signature was made with another secret or for another request.
    #[error("the signature does not match the request")]
    Mismatch,
    /// The request's time is too far from ours.
    #[error("the request was signed at {signed}, which is more than 15 minutes from now, {now}")]
    Skewed { signed: String, now: String },
    /// A presigned URL is over.
    #[error("the presigned URL has expired at {0}")]
    Expired(String),
    /// A header that must be signed is not.
    #[error("the header {0} is present but not signed")]
    UnsignedHeader(String),
    /// The body is not the one that was signed.
    #[error("the body does not match x-amz-content-sha256")]
    ContentHash,
}

impl SignatureError {
    /// HTTP status and AWS code in the given dialect.
    #[must_use]
    pub fn wire(&self, dialect: Dialect) -> (u16, &'static str) {
        use Dialect::{Json, Query, S3};
        match (self, dialect) {
            (SignatureError::Missing, Json) => (403, "MissingAuthenticationTokenException"),
            (SignatureError::Missing, Query) => (403, "MissingAuthenticationToken"),
            (SignatureError::Missing, S3) => (403, "AccessDenied"),
            (SignatureError::MalformedHeader(_), Json) => (403, "IncompleteSignatureException"),
            (SignatureError::MalformedHeader(_), Query) => (403, "IncompleteSignature"),
            (SignatureError::MalformedHeader(_), S3) => (400, "AuthorizationHeaderMalformed"),
            (SignatureError::MalformedQuery(_), Json) => (403, "IncompleteSignatureException"),
            (SignatureError::MalformedQuery(_), Query) => (403, "IncompleteSignature"),
            (SignatureError::MalformedQuery(_), S3) => (400, "AuthorizationQueryParametersError"),
            (SignatureError::UnknownKey(_), Json) => (403, "UnrecognizedClientException"),
            (SignatureError::UnknownKey(_), Query) => (403, "InvalidClientTokenId"),
            (SignatureError::UnknownKey(_), S3) => (403, "InvalidAccessKeyId"),
            (SignatureError::Token, Json) => (403, "UnrecognizedClientException"),
            (SignatureError::Token, Query) => (403, "InvalidClientTokenId"),
            (SignatureError::Token, S3) => (400, "InvalidToken"),
            (SignatureError::TokenExpired, Json) => (403, "ExpiredTokenException"),
            (SignatureError::TokenExpired, Query) => (403, "ExpiredToken"),
            (SignatureError::TokenExpired, S3) => (400, "ExpiredToken"),
            (SignatureError::Skewed { .. }, S3) => (403, "RequestTimeTooSkewed"),
            (SignatureError::Expired(_) | SignatureError::UnsignedHeader(_), S3) => {
                (403, "AccessDenied")
            }
            (SignatureError::ContentHash, S3) => (400, "XAmzContentSHA256Mismatch"),
            (_, Json) => (403, "InvalidSignatureException"),
            (_, Query | S3) => (403, "SignatureDoesNotMatch"),
        }
    }
}

impl Diagnose for SignatureError {
    fn kind(&self) -> Kind {
        Kind::Unauthenticated
    }

    fn code(&self) -> &'static str {
        match self {
            SignatureError::Missing => "signature-missing",
            SignatureError::MalformedHeader(_) | SignatureError::MalformedQuery(_) => {
                "signature-malformed"
            }
            SignatureError::UnknownKey(_) => "access-key-unknown",
            SignatureError::Token => "session-token-invalid",
            SignatureError::TokenExpired => "session-token-expired",
            SignatureError::Mismatch => "signature-mismatch",
            SignatureError::Skewed { .. } => "signature-skewed",
            SignatureError::Expired(_) => "signature-expired",
            SignatureError::UnsignedHeader(_) => "header-unsigned",
            SignatureError::ContentHash => "content-hash-mismatch",
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        Some(match self {
            SignatureError::Missing => "configure credentials, for example with `sward env`".into(),
            SignatureError::UnknownKey(_) | SignatureError::Token => {
                "use the credentials file in the cloud's data directory".into()
            }
            SignatureError::TokenExpired => "ask for new credentials".into(),
            SignatureError::Mismatch => {
                "check the secret access key, and that no proxy changes the request".into()
            }
            SignatureError::Skewed { .. } => "set the caller's clock".into(),
            _ => return None,
        })
    }
}
