//! Certificates with their keys, and roots, read from files or text.

use super::{TlsError, pem};
use rustls::RootCertStore;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A certificate chain and its private key. Its `Debug` shows no key.
#[derive(Clone)]
struct Pair {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
    place: String,
}

impl Pair {
    fn from_pem(
        chain: (&[u8], &str),
        key: (&[u8], &str),
        what: &'static str,
    ) -> Result<Pair, TlsError> {
        Ok(Pair {
            chain: pem::certificates(chain.0, what, chain.1)?,
            key: Arc::new(pem::private_key(key.0, key.1)?),
            place: format!("{} and {}", chain.1, key.1),
        })
    }

    fn from_files(chain: &Path, key: &Path, what: &'static str) -> Result<Pair, TlsError> {
        let chain_text = read(chain, what)?;
        let key_text = read(key, "private key")?;
        Pair::from_pem(
            (&chain_text, &chain.display().to_string()),
            (&key_text, &key.display().to_string()),
            what,
        )
    }
}

fn read(path: &Path, what: &'static str) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        what,
        path: path.display().to_string(),
        source,
    })
}

macro_rules! identity {
    ($name:ident, $what:literal, $doc:literal) => {
        #[doc = $doc]
        #[derive(Clone)]
        pub struct $name(Pair);

        impl $name {
            /// From PEM text; faults name the place `memory`.
            pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
                Pair::from_pem((chain, "memory"), (key, "memory"), $what).map(Self)
            }

            /// From two PEM files: the certificate followed by its chain, and the key.
            pub fn from_files(chain: &Path, key: &Path) -> Result<Self, TlsError> {
                Pair::from_files(chain, key, $what).map(Self)
            }

            /// The end-entity certificate.
            #[must_use]
            pub fn certificate(&self) -> &CertificateDer<'static> {
                &self.0.chain[0]
            }

            pub(super) fn parts(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
                (self.0.chain.clone(), self.0.key.clone_key())
            }

            pub(super) fn place(&self) -> &str {
                &self.0.place
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0.place)
            }
        }
    };
}

identity!(
    ServerIdentity,
    "server certificate",
    "A server's certificate chain and key."
);
identity!(
    ClientIdentity,
    "client certificate",
    "A device's certificate chain and key."
);

/// The trust anchors of a client: nothing else is trusted.
#[derive(Clone)]
pub struct Roots(Arc<RootCertStore>);

impl Roots {
    /// From a PEM text with one or more CA certificates.
    pub fn from_pem(text: &[u8]) -> Result<Roots, TlsError> {
        Roots::parse(text, "memory")
    }

    /// From a PEM file with one or more CA certificates.
    pub fn from_file(path: &Path) -> Result<Roots, TlsError> {
        Roots::parse(&read(path, "root CA")?, &path.display().to_string())
    }

    fn parse(text: &[u8], path: &str) -> Result<Roots, TlsError> {
        let mut store = RootCertStore::empty();
        for certificate in pem::certificates(text, "root CA certificate", path)? {
            store.add(certificate).map_err(|source| TlsError::Root {
                path: path.to_owned(),
                source,
            })?;
        }
        Ok(Roots(Arc::new(store)))
    }

    pub(super) fn store(&self) -> Arc<RootCertStore> {
        Arc::clone(&self.0)
    }
}

impl fmt::Debug for Roots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Roots({})", self.0.len())
    }
}
