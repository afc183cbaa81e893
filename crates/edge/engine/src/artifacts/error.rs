//! Why an artifact is not there.

use crate::deployer::ports::CloudError;
use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use sward_deployment::DeploymentErrorCode as Code;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// What is wrong with an artifact's URI.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UriFault {
    Empty,
    NoScheme,
    Unsupported,
    BadS3,
    NoFileName,
    /// Docker images are not served yet.
    Docker,
}

/// Why an artifact could not be made present.
#[derive(Debug, Error)]
pub enum ArtifactError {
    #[error("the artifact URI \"{uri}\" of component {component} cannot be used")]
    BadUri {
        component: String,
        uri: String,
        fault: UriFault,
    },
    #[error("cannot fetch the artifact {uri}")]
    Fetch {
        uri: String,
        #[source]
        source: CloudError,
    },
    #[error("the artifact {uri} is not here, and the recipe has no digest and algorithm for it")]
    NoDigest { uri: String },
    #[error("the digest algorithm \"{algorithm}\" of the artifact {uri} is not known")]
    UnknownAlgorithm { uri: String, algorithm: String },
    #[error("the artifact {uri} has the digest {found} instead of {wanted}")]
    WrongDigest {
        uri: String,
        wanted: String,
        found: String,
    },
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot set the permissions of {}", .path.display())]
    Permissions {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot unpack {}: {reason}", .path.display())]
    Unzip { path: PathBuf, reason: String },
    #[error("the disk of {} has {free} bytes left and {needed} are needed", .path.display())]
    DiskFull {
        path: PathBuf,
        free: u64,
        needed: u64,
    },
    #[error("the component store has {used} bytes, {more} more would exceed its limit of {limit}")]
    StoreFull { used: u64, more: u64, limit: u64 },
    #[error("the core is stopping")]
    Stopped,
}

impl ArtifactError {
    /// The codes of the error stack that stand for it, without those of its cause.
    #[must_use]
    pub fn codes(&self) -> Vec<Code> {
        match self {
            ArtifactError::BadUri { fault, .. } => match fault {
                UriFault::Empty => vec![Code::ArtifactUriNotValid, Code::EmptyArtifactUri],
                UriFault::NoScheme => vec![Code::ArtifactUriNotValid, Code::EmptyArtifactScheme],
                UriFault::Unsupported | UriFault::Docker => {
                    vec![Code::ArtifactUriNotValid, Code::UnsupportedArtifactScheme]
                }
                UriFault::BadS3 | UriFault::NoFileName => {
                    vec![Code::ArtifactUriNotValid, Code::S3ArtifactUriNotValid]
                }
            },
            ArtifactError::Fetch { source, .. } => fetch_codes(source),
            ArtifactError::NoDigest { .. } => vec![
                Code::ArtifactDownloadError,
                Code::RecipeMissingArtifactHashAlgorithm,
            ],
            ArtifactError::UnknownAlgorithm { .. } => vec![
                Code::ComponentPackageLoadingError,
                Code::HashingAlgorithmUnavailable,
            ],
            ArtifactError::WrongDigest { .. } => {
                vec![Code::ArtifactDownloadError, Code::ArtifactChecksumMismatch]
            }
            ArtifactError::Read { .. } => {
                vec![
                    Code::ArtifactDownloadError,
                    Code::IoError,
                    Code::IoReadError,
                ]
            }
            ArtifactError::Write { .. } => {
                vec![
                    Code::ArtifactDownloadError,
                    Code::IoError,
                    Code::IoWriteError,
                ]
            }
            ArtifactError::Permissions { .. } => vec![
                Code::ArtifactDownloadError,
                Code::IoError,
                Code::SetPermissionError,
            ],
            ArtifactError::Unzip { .. } => vec![
                Code::ComponentPackageLoadingError,
                Code::IoError,
                Code::IoUnzipError,
            ],
            ArtifactError::DiskFull { .. } | ArtifactError::StoreFull { .. } => {
                vec![Code::ArtifactDownloadError, Code::DiskSpaceCritical]
            }
            ArtifactError::Stopped => vec![Code::DeploymentInterrupted],
        }
    }
}

fn fetch_codes(source: &CloudError) -> Vec<Code> {
    let mut codes = vec![Code::ArtifactDownloadError];
    if let CloudError::Refused {
        operation, status, ..
    } = source
    {
        let denied = *status == 403;
        let missing = *status == 404;
        codes.extend(match operation.as_str() {
            "GetObject" if denied => Some(Code::S3GetObjectAccessDenied),
            "GetObject" if missing => Some(Code::S3GetObjectResourceNotFound),
            "HeadObject" if denied => Some(Code::S3HeadObjectAccessDenied),
            "HeadObject" if missing => Some(Code::S3HeadObjectResourceNotFound),
            "GetBucketLocation" if denied => Some(Code::S3GetBucketLocationAccessDenied),
            "GetBucketLocation" if missing => Some(Code::S3GetBucketLocationResourceNotFound),
            "GetComponentVersionArtifact" if denied => {
                Some(Code::GetComponentVersionArtifactAccessDenied)
            }
            _ => None,
        });
    }
    codes.extend(source.codes());
    codes
}

impl Diagnose for ArtifactError {
    fn kind(&self) -> Kind {
        match self {
            ArtifactError::BadUri { fault, .. } => match fault {
                UriFault::Docker => Kind::Unsupported,
                _ => Kind::Invalid,
            },
            ArtifactError::NoDigest { .. } | ArtifactError::UnknownAlgorithm { .. } => {
                Kind::Invalid
            }
            ArtifactError::Fetch { source, .. } => source.kind(),
            ArtifactError::WrongDigest { .. } | ArtifactError::Unzip { .. } => Kind::Corrupt,
            ArtifactError::Stopped => Kind::Cancelled,
            _ => Kind::Device,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            ArtifactError::BadUri { .. } => "artifact-uri-invalid",
            ArtifactError::Fetch { .. } => "artifact-fetch",
            ArtifactError::NoDigest { .. } => "artifact-digest-missing",
            ArtifactError::UnknownAlgorithm { .. } => "artifact-algorithm-unknown",
            ArtifactError::WrongDigest { .. } => "artifact-digest-wrong",
            ArtifactError::Read { .. } => "artifact-read",
            ArtifactError::Write { .. } => "artifact-write",
            ArtifactError::Permissions { .. } => "artifact-permissions",
            ArtifactError::Unzip { .. } => "artifact-unzip",
            ArtifactError::DiskFull { .. } => "disk-full",
            ArtifactError::StoreFull { .. } => "store-full",
            ArtifactError::Stopped => "stopped",
        }
    }
    fn place(&self) -> Option<Place> {
        match self {
            ArtifactError::BadUri { uri, .. }
            | ArtifactError::Fetch { uri, .. }
            | ArtifactError::NoDigest { uri }
            | ArtifactError::UnknownAlgorithm { uri, .. }
            | ArtifactError::WrongDigest { uri, .. } => Some(Place::Url { url: uri.clone() }),
            ArtifactError::Read { path, .. }
            | ArtifactError::Write { path, .. }
            | ArtifactError::Permissions { path, .. }
            | ArtifactError::Unzip { path, .. }
            | ArtifactError::DiskFull { path, .. } => Some(Place::file(path)),
            ArtifactError::StoreFull { .. } => Some(Place::Setting {
                name: "componentStoreMaxSizeBytes".into(),
            }),
            ArtifactError::Stopped => None,
        }
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            ArtifactError::BadUri { fault, .. } => match fault {
                UriFault::Docker => "Docker images are not supported by this version",
                UriFault::BadS3 => "write it as s3://BUCKET/KEY",
                _ => "write it as s3://BUCKET/KEY or greengrass:NAME",
            },
            ArtifactError::Fetch { source, .. } => match source.status() {
                Some(403) => {
                    "allow s3:GetObject on it in the policy of the device's token exchange role"
                }
                Some(404) => "upload it, or correct its URI in the recipe",
                _ => return source.hint(),
            },
            ArtifactError::NoDigest { .. } => {
                "put the file into the artifacts folder, or deploy a version created in the cloud"
            }
            ArtifactError::WrongDigest { .. } => {
                "the object changed after the component version was created: create a new version"
            }
            ArtifactError::DiskFull { .. } => "free some space on this disk",
            ArtifactError::StoreFull { .. } => {
                "raise componentStoreMaxSizeBytes, or remove components"
            }
            _ => return None,
        };
        Some(hint.into())
    }
    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            ArtifactError::Fetch { source, .. } => Some(source),
            _ => None,
        }
    }
}
