//! The codes that belong to an answer of a cloud service (core-device §6.15).

use super::DeploymentErrorCode::{self, *};

/// The codes of an answer of the Greengrass data plane.
#[must_use]
pub fn codes_of_cloud_status(status: u16) -> Vec<DeploymentErrorCode> {
    let mut codes = vec![CloudApiError];
    codes.extend(match status {
        400 => Some(BadRequest),
        403 => Some(AccessDenied),
        404 => Some(ResourceNotFound),
        409 => Some(ConflictedRequest),
        429 => Some(ThrottlingError),
        500 => Some(ServerError),
        _ => None,
    });
    codes
}

/// The codes of an answer of S3.
#[must_use]
pub fn codes_of_s3_status(status: u16) -> Vec<DeploymentErrorCode> {
    let mut codes = vec![S3Error];
    codes.extend(match status {
        403 => Some(S3AccessDenied),
        404 => Some(S3ResourceNotFound),
        400..500 => Some(S3BadRequest),
        500.. => Some(S3ServerError),
        _ => None,
    });
    codes
}
