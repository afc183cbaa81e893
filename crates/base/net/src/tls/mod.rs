//! TLS configurations of both roles, and the acceptor that tells protocols apart by ALPN.

mod acceptor;
mod certificate;
mod client_verifier;
mod error;
mod identity;
mod pem;

pub use acceptor::{Accepted, TlsAcceptor};
pub use certificate::CertificateFacts;
pub use error::TlsError;
pub use identity::{ClientIdentity, Roots, ServerIdentity};
pub use rustls::{ClientConfig, ServerConfig};
pub use rustls_pki_types::CertificateDer;

use client_verifier::AnyClientCertificate;
use rustls::crypto::CryptoProvider;
use rustls::server::NoServerSessionStorage;
use std::sync::{Arc, OnceLock};

/// The protocol names that AWS's clients offer.
pub mod alpn {
    /// MQTT with a client certificate; offered by device SDKs and nuclei on every port.
    pub const MQTT: &[u8] = b"x-amzn-mqtt-ca";
    /// HTTPS with a client certificate.
    pub const HTTP: &[u8] = b"x-amzn-http-ca";
    /// Ordinary HTTP/1.1.
    pub const HTTP_1_1: &[u8] = b"http/1.1";
}

/// Whether a server asks its clients for a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Never asked for (API and console).
    Ignored,
    /// Asked for, and a client without one is let in (browsers and SigV4 callers on a device port).
    Optional,
    /// A client without one is refused.
    Required,
}

/// The one crypto provider of the program.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

/// A server's configuration. `protocols` are the ALPN names it selects from, best first; empty
/// means that ALPN is ignored.
///
/// Sessions are not resumed: each connection proves its key again.
pub fn server_config(
    identity: &ServerIdentity,
    clients: ClientCertificates,
    protocols: &[&[u8]],
) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = provider();
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Configuration)?;
    let builder =
        match clients {
            ClientCertificates::Ignored => builder.with_no_client_auth(),
            ClientCertificates::Optional => builder
                .with_client_cert_verifier(Arc::new(AnyClientCertificate::new(provider, false))),
            ClientCertificates::Required => builder
                .with_client_cert_verifier(Arc::new(AnyClientCertificate::new(provider, true))),
        };
    let (chain, key) = identity.parts();
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|source| TlsError::Identity {
            place: identity.place().to_owned(),
            source,
        })?;
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// A client's configuration: the server must chain to `roots` and carry the name asked for.
/// `protocols` are the ALPN names it offers; with none, the extension is not sent.
pub fn client_config(
    roots: &Roots,
    identity: Option<&ClientIdentity>,
    protocols: &[&[u8]],
) -> Result<Arc<ClientConfig>, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Configuration)?
        .with_root_certificates(roots.store());
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let (chain, key) = identity.parts();
            builder
                .with_client_auth_cert(chain, key)
                .map_err(|source| TlsError::Identity {
                    place: identity.place().to_owned(),
                    source,
                })?
        }
    };
    config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(Arc::new(config))
}

#[cfg(test)]
mod tests;
