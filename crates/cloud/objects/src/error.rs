//! What S3 refuses, with its codes.

use std::path::PathBuf;
use sward_aws_wire::xml::element;
use sward_diagnosis::{Diagnose, Kind, Report};
use sward_net::http::{self, Body, HeaderValue, Response, StatusCode};
use sward_store::StoreError;
use thiserror::Error;

macro_rules! codes {
    ($($name:ident $status:literal $kind:ident,)*) => {
        /// An S3 error code.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code {
            $($name,)*
        }

        impl Code {
            /// HTTP status.
            #[must_use]
            pub fn status(self) -> u16 {
                match self { $(Code::$name => $status,)* }
            }

            /// The name on the wire.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Code::$name => stringify!($name),)* }
            }

            fn kind(self) -> Kind {
                match self { $(Code::$name => Kind::$kind,)* }
            }
        }
    };
}

codes! {
    AccessDenied 403 Denied,
    BadDigest 400 Invalid,
    BucketAlreadyExists 409 Conflict,
    BucketAlreadyOwnedByYou 409 Conflict,
    BucketNotEmpty 409 Conflict,
    EntityTooLarge 400 TooLarge,
    EntityTooSmall 400 Invalid,
    IllegalLocationConstraintException 400 Invalid,
    IncompleteBody 400 Invalid,
    InternalError 500 Internal,
    InvalidArgument 400 Invalid,
    InvalidBucketName 400 Invalid,
    InvalidDigest 400 Invalid,
    InvalidPart 400 Invalid,
    InvalidPartOrder 400 Invalid,
    InvalidRange 416 Invalid,
    InvalidRequest 400 Invalid,
    InvalidTag 400 Invalid,
    KeyTooLongError 400 TooLarge,
    MalformedXML 400 Invalid,
    MethodNotAllowed 405 Invalid,
    MissingContentLength 411 Invalid,
    NoSuchBucket 404 NotFound,
    NoSuchBucketPolicy 404 NotFound,
    NoSuchKey 404 NotFound,
    NoSuchTagSet 404 NotFound,
    NoSuchUpload 404 NotFound,
    NotImplemented 501 Unsupported,
    PreconditionFailed 412 Conflict,
    ServerSideEncryptionConfigurationNotFoundError 404 NotFound,
    ServiceUnavailable 503 Unavailable,
    SignatureDoesNotMatch 403 Unauthenticated,
    XAmzContentChecksumMismatch 400 Invalid,
    XAmzContentSHA256Mismatch 400 Invalid,
}

/// A refused or failed S3 call.
#[derive(Debug, Error)]
pub enum S3Error {
    /// The call is refused.
    #[error("{message}")]
    Refused { code: Code, message: String },
    /// The call is refused, and a layer above says why.
    #[error("{}", .report.chain())]
    Reported { code: Code, report: Report },
    /// The store failed.
    #[error("cannot read or write objects")]
    Store(#[from] StoreError),
    /// A file of the blob directory failed.
    #[error("cannot {what} a blob")]
    File {
        what: &'static str,
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// The caller's body broke off.
    #[error("the body broke off")]
    Body(#[source] http::BodyError),
}

impl S3Error {
    /// A refusal with its message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        S3Error::Refused {
            code,
            message: message.into(),
        }
    }

    /// The code on the wire.
    #[must_use]
    pub fn s3_code(&self) -> Code {
        match self {
            S3Error::Refused { code, .. } | S3Error::Reported { code, .. } => *code,
            S3Error::Store(error) if error.is_retryable() => Code::ServiceUnavailable,
            S3Error::Store(_) | S3Error::File { .. } => Code::InternalError,
            S3Error::Body(_) => Code::IncompleteBody,
        }
    }

    /// The answer. `head` leaves the body out, `resource` is the path that was asked.
    #[must_use]
    pub fn response(&self, resource: &str, request_id: &str, head: bool) -> Response<Body> {
        let message = match self {
            S3Error::Reported { report, .. } => report.one_line(),
            other => other.report().one_line(),
        };
        error_response(
            self.s3_code().status(),
            self.s3_code().as_str(),
            &message,
            resource,
            request_id,
            head,
        )
    }
}

/// An S3 error document as an answer; also for refusals that are decided before S3 is asked.
#[must_use]
pub fn error_response(
    status: u16,
    code: &str,
    message: &str,
    resource: &str,
    request_id: &str,
    head: bool,
) -> Response<Body> {
    let mut xml = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>");
    for (name, text) in [
        ("Code", code),
        ("Message", message),
        ("Resource", resource),
        ("RequestId", request_id),
    ] {
        xml.push_str(&element(name, text).to_string());
    }
    xml.push_str("</Error>");
    let body = if head { http::empty() } else { http::full(xml) };
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/xml"));
    response
}

impl Diagnose for S3Error {
    fn kind(&self) -> Kind {
        match self {
            S3Error::Store(error) => error.kind(),
            S3Error::File { .. } => Kind::Device,
            other => other.s3_code().kind(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            S3Error::Refused { .. } | S3Error::Reported { .. } => "s3-refused",
            S3Error::Store(_) => "s3-store",
            S3Error::File { .. } => "s3-blob",
            S3Error::Body(_) => "s3-body",
        }
    }

    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            S3Error::Store(error) => Some(error),
            _ => None,
        }
    }
}
