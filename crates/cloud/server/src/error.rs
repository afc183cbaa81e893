//! Why the cloud cannot start.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::path::PathBuf;
use sward_control::identity::IdentityError;
use sward_control::{CertificateError, ControlError};
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_net::tls::TlsError;
use sward_objects::S3Error;
use sward_store::StoreError;
use thiserror::Error;

/// A failure before the cloud is ready.
#[derive(Debug, Error)]
pub enum StartError {
    #[error("cannot open the cloud's state")]
    Store(#[from] StoreError),
    #[error("cannot open the identity service")]
    Identity(#[from] IdentityError),
    #[error("cannot open the object store")]
    Objects(#[from] S3Error),
    #[error("cannot open the control plane")]
    Control(#[from] ControlError),
    #[error("cannot open the MQTT gateway")]
    Gateway(#[from] sward_gateway::ports::PortError),
    #[error("cannot make the server's certificate")]
    Certificate(#[from] CertificateError),
    #[error("cannot set up TLS")]
    Tls(#[from] TlsError),
    /// A listener's address is taken or not ours.
    #[error("cannot listen for {what} on {address}")]
    Listen {
        what: &'static str,
        option: &'static str,
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    /// Other files show that a cloud lived here; without its database a new one would be made, with
    /// an authority that no device of the old one trusts.
    #[error("a cloud lived here, but its database is {}", if *is_empty { "empty" } else { "gone" })]
    DatabaseGone { path: PathBuf, is_empty: bool },
    /// One of the files by which clients find the cloud.
    #[error("cannot write a file of the data directory")]
    File {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Diagnose for StartError {
    fn kind(&self) -> Kind {
        match self {
            StartError::Listen { source, .. } if source.kind() == std::io::ErrorKind::AddrInUse => {
                Kind::Conflict
            }
            StartError::Listen { .. } | StartError::File { .. } => Kind::Device,
            StartError::DatabaseGone { .. } => Kind::Corrupt,
            other => other.because().map_or(Kind::Internal, Diagnose::kind),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            StartError::Listen { .. } => "cloud-listen",
            StartError::File { .. } => "cloud-file",
            StartError::DatabaseGone { .. } => "cloud-database-gone",
            _ => "cloud-start",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            StartError::Listen { option, .. } => Some(Place::Setting {
                name: (*option).to_owned(),
            }),
            StartError::File { path, .. } | StartError::DatabaseGone { path, .. } => {
                Some(Place::file(path))
            }
            _ => None,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            StartError::Listen { source, option, .. } => match source.kind() {
                std::io::ErrorKind::AddrInUse => {
                    Some(format!("stop what uses it, or choose another with {option}").into())
                }
                std::io::ErrorKind::PermissionDenied => {
                    Some("ports below 1024 need root or the capability to bind them".into())
                }
                _ => None,
            },
            StartError::DatabaseGone { path, .. } => Some(
                format!(
                    "restore it from a backup; or delete {} to begin anew, without the old devices",
                    path.with_file_name("ca.pem").display()
                )
                .into(),
            ),
            _ => None,
        }
    }

    fn because(&self) -> Option<&dyn Diagnose> {
        Some(match self {
            StartError::Store(error) => error,
            StartError::Identity(error) => error,
            StartError::Objects(error) => error,
            StartError::Control(error) => error,
            StartError::Gateway(error) => error,
            StartError::Certificate(error) => error,
            StartError::Tls(error) => error,
            StartError::Listen { .. }
            | StartError::File { .. }
            | StartError::DatabaseGone { .. } => return None,
        })
    }
}
