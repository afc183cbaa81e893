//! What can go wrong with an HTTP exchange.

use super::BodyError;
use crate::tls::TlsError;
use std::borrow::Cow;
use sward_diagnosis::{Diagnose, Kind, Place};

/// A failed exchange, before an answer or while its body is read.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The URL cannot be used.
    #[error("the URL cannot be used: {reason}")]
    Url { url: String, reason: String },
    /// No TCP connection.
    #[error("cannot connect to {authority}")]
    Connect {
        authority: String,
        #[source]
        source: std::io::Error,
    },
    /// No connection in time.
    #[error("no connection to {authority} within {seconds} s")]
    ConnectTimeout { authority: String, seconds: u64 },
    /// TCP stands, TLS does not.
    #[error("no trusted connection to {authority}")]
    Tls {
        authority: String,
        #[source]
        source: TlsError,
    },
    /// The connection broke, or the peer does not speak HTTP.
    #[error("the exchange with {authority} broke off")]
    Exchange {
        authority: String,
        #[source]
        source: hyper::Error,
    },
    /// No head of an answer in time.
    #[error("no answer from {authority} within {seconds} s")]
    ResponseTimeout { authority: String, seconds: u64 },
    /// A body ended early or broke.
    #[error("the body broke off")]
    Body(#[source] BodyError),
    /// A body is longer than its reader accepts.
    #[error("the body is longer than {limit} bytes")]
    BodyTooLarge { limit: usize },
}

impl Diagnose for HttpError {
    fn kind(&self) -> Kind {
        match self {
            HttpError::Url { .. } => Kind::Invalid,
            HttpError::ConnectTimeout { .. } | HttpError::ResponseTimeout { .. } => Kind::Timeout,
            HttpError::BodyTooLarge { .. } => Kind::TooLarge,
            HttpError::Connect { .. }
            | HttpError::Tls { .. }
            | HttpError::Exchange { .. }
            | HttpError::Body(_) => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            HttpError::Url { .. } => "http-url-invalid",
            HttpError::Connect { .. } => "http-connect-failed",
            HttpError::ConnectTimeout { .. } => "http-connect-timeout",
            HttpError::Tls { .. } => "http-tls-failed",
            HttpError::Exchange { .. } => "http-exchange-broken",
            HttpError::ResponseTimeout { .. } => "http-response-timeout",
            HttpError::Body(_) => "http-body-broken",
            HttpError::BodyTooLarge { .. } => "http-body-too-large",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            HttpError::Url { url, .. } => Some(Place::Url { url: url.clone() }),
            HttpError::Connect { authority, .. }
            | HttpError::ConnectTimeout { authority, .. }
            | HttpError::Tls { authority, .. }
            | HttpError::Exchange { authority, .. }
            | HttpError::ResponseTimeout { authority, .. } => Some(Place::Url {
                url: authority.clone(),
            }),
            HttpError::Body(_) | HttpError::BodyTooLarge { .. } => None,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            HttpError::Tls { .. } => {
                Some("check the root CA file, the host name and this device's certificate".into())
            }
            HttpError::Connect { .. } | HttpError::ConnectTimeout { .. } => {
                Some("check that the endpoint is right and reachable from here".into())
            }
            _ => None,
        }
    }

    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            HttpError::Tls { source, .. } => Some(source),
            _ => None,
        }
    }
}
