//! What can go wrong before and while a TLS connection is made.

use std::borrow::Cow;
use sward_diagnosis::{Diagnose, Kind, Place};

/// A key, certificate or root that cannot be used, or a handshake that failed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read the {what}")]
    Read {
        what: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// The text is not PEM, or a block of it is damaged.
    #[error("the {what} is not valid PEM: {reason}")]
    Pem {
        what: &'static str,
        path: String,
        line: u64,
        reason: String,
    },
    /// The PEM text holds none of the blocks that are needed.
    #[error("no {what} in the PEM text ({found})")]
    Missing {
        what: &'static str,
        path: String,
        found: String,
    },
    /// The private key is locked by a pass phrase.
    #[error("the private key is encrypted")]
    EncryptedKey { path: String, line: u64 },
    /// A root certificate cannot serve as a trust anchor.
    #[error("a root certificate cannot be used")]
    Root {
        path: String,
        #[source]
        source: rustls::Error,
    },
    /// Key and certificate do not belong together, or the key's kind is unknown.
    #[error("the certificate and its key cannot be used")]
    Identity {
        place: String,
        #[source]
        source: rustls::Error,
    },
    /// A certificate is not well-formed.
    #[error("the certificate is not well-formed: {reason}")]
    Certificate { reason: String },
    /// The provider refused the configuration.
    #[error("the TLS configuration is not possible")]
    Configuration(#[source] rustls::Error),
    /// The handshake failed.
    #[error("the TLS handshake failed")]
    Handshake(#[source] std::io::Error),
    /// The peer did not finish the handshake in time.
    #[error("the TLS handshake took longer than {seconds} s")]
    HandshakeTimeout { seconds: u64 },
}

impl Diagnose for TlsError {
    fn kind(&self) -> Kind {
        match self {
            TlsError::Read { .. } => Kind::Device,
            TlsError::Handshake(_) => Kind::Unavailable,
            TlsError::HandshakeTimeout { .. } => Kind::Timeout,
            _ => Kind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            TlsError::Read { .. } => "tls-file-unreadable",
            TlsError::Pem { .. } => "tls-pem-invalid",
            TlsError::Missing { .. } => "tls-pem-missing",
            TlsError::EncryptedKey { .. } => "tls-key-encrypted",
            TlsError::Root { .. } => "tls-root-invalid",
            TlsError::Identity { .. } => "tls-identity-invalid",
            TlsError::Certificate { .. } => "tls-certificate-invalid",
            TlsError::Configuration(_) => "tls-configuration-invalid",
            TlsError::Handshake(_) => "tls-handshake-failed",
            TlsError::HandshakeTimeout { .. } => "tls-handshake-timeout",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            TlsError::Read { path, .. }
            | TlsError::Missing { path, .. }
            | TlsError::Root { path, .. } => Some(Place::File {
                path: path.clone(),
                line: None,
            }),
            TlsError::Pem { path, line, .. } | TlsError::EncryptedKey { path, line } => {
                Some(Place::File {
                    path: path.clone(),
                    line: Some(*line),
                })
            }
            TlsError::Identity { place, .. } => Some(Place::File {
                path: place.clone(),
                line: None,
            }),
            _ => None,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            TlsError::EncryptedKey { .. } => Some(
                "write the key without a pass phrase, for example with openssl pkey -in KEY -out NEWKEY"
                    .into(),
            ),
            TlsError::Missing { what, .. } => {
                Some(format!("give a PEM file that holds a {what}").into())
            }
            TlsError::Identity { .. } => {
                Some("certificate and private key must be a pair; RSA and ECDSA keys are accepted".into())
            }
            _ => None,
        }
    }
}
