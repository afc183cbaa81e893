//! Why a call to the cloud failed.

use std::borrow::Cow;
use std::sync::Arc;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_net::http::HttpError;
use thiserror::Error;

/// Who refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// The Greengrass data plane.
    Greengrass,
    /// The credentials provider.
    Credentials,
    /// S3, or a pre-signed URL.
    S3,
}

/// A failed call.
#[derive(Clone, Debug, Error)]
pub enum CloudCallError {
    /// This device is not set up for a cloud.
    #[error("this device is not connected to a cloud")]
    NotConfigured,
    /// The URL cannot be used.
    #[error("the URL {url} cannot be used: {reason}")]
    Url { url: String, reason: String },
    /// No connection, no TLS, no answer in time.
    #[error("cannot reach {url}")]
    Unreachable {
        url: String,
        #[source]
        source: Arc<HttpError>,
    },
    /// There are no credentials now.
    #[error("there are no credentials for {url}: {reason}")]
    NoCredentials { url: String, reason: String },
    /// An answer that says no.
    #[error("{operation} was refused with status {status}: {message}")]
    Refused {
        service: Service,
        operation: &'static str,
        status: u16,
        /// AWS's error code, empty when the answer has none.
        exception: String,
        message: String,
    },
    /// An answer that cannot be read.
    #[error("the answer to {operation} cannot be read: {reason}")]
    BadAnswer {
        operation: &'static str,
        reason: String,
    },
}

impl CloudCallError {
    pub(crate) fn url(url: &str, reason: &str) -> Self {
        CloudCallError::Url {
            url: url.to_owned(),
            reason: reason.to_owned(),
        }
    }

    pub(crate) fn unreachable(url: &str, source: HttpError) -> Self {
        // A query may carry a signature.
        let url = url.split('?').next().unwrap_or(url).to_owned();
        CloudCallError::Unreachable {
            url,
            source: Arc::new(source),
        }
    }

    pub(crate) fn bad_answer(operation: &'static str, reason: &str) -> Self {
        CloudCallError::BadAnswer {
            operation,
            reason: reason.to_owned(),
        }
    }

    /// The status of a refusal.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            CloudCallError::Refused { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// Refusals that pass with new credentials.
const STALE_CREDENTIALS: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "TokenRefreshRequired",
];

pub(crate) fn is_stale_credentials(exception: &str) -> bool {
    STALE_CREDENTIALS.contains(&exception)
}

impl Diagnose for CloudCallError {
    fn kind(&self) -> Kind {
        match self {
            CloudCallError::NotConfigured => Kind::Unsupported,
            CloudCallError::Url { .. } => Kind::Invalid,
            CloudCallError::Unreachable { .. } | CloudCallError::NoCredentials { .. } => {
                Kind::Unavailable
            }
            CloudCallError::Refused { status, .. } => match status {
                401 | 403 => Kind::Denied,
                404 => Kind::NotFound,
                409 => Kind::Conflict,
                429 => Kind::Limit,
                500.. => Kind::Unavailable,
                _ => Kind::Invalid,
            },
            CloudCallError::BadAnswer { .. } => Kind::Corrupt,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            CloudCallError::NotConfigured => "cloud-not-configured",
            CloudCallError::Url { .. } => "cloud-url-invalid",
            CloudCallError::Unreachable { .. } => "cloud-unreachable",
            CloudCallError::NoCredentials { .. } => "cloud-no-credentials",
            CloudCallError::Refused { .. } => "cloud-refused",
            CloudCallError::BadAnswer { .. } => "cloud-answer-unreadable",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            CloudCallError::Url { url, .. }
            | CloudCallError::Unreachable { url, .. }
            | CloudCallError::NoCredentials { url, .. } => Some(Place::Url { url: url.clone() }),
            _ => None,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            CloudCallError::NotConfigured => {
                Some("provision the device, for example with sward device create".into())
            }
            CloudCallError::Refused {
                service: Service::Greengrass,
                operation,
                status: 403,
                ..
            } => Some(Cow::Owned(format!(
                "grant greengrass:{operation} in the IoT policy of this device's certificate"
            ))),
            CloudCallError::Refused {
                service: Service::S3,
                status: 403,
                ..
            } => Some("grant s3:GetObject on the artifact to the token exchange role".into()),
            _ => None,
        }
    }

    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            CloudCallError::Unreachable { source, .. } => Some(&**source),
            _ => None,
        }
    }
}
