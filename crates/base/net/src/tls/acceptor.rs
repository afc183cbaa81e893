//! Accepting TLS: the handshake with its deadline, and what the client showed in it.

use super::{CertificateDer, ServerConfig, TlsError};
use rustls::server::Acceptor;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// Accepts TLS connections with one configuration.
///
/// A client that offers only protocol names which we do not know is served without ALPN in place
/// of being refused: SDKs and nuclei offer theirs on every port.
#[derive(Clone)]
pub struct TlsAcceptor {
    with_protocols: Arc<ServerConfig>,
    without_protocols: Arc<ServerConfig>,
    deadline: Duration,
}

/// A finished handshake.
pub struct Accepted<S> {
    /// The encrypted stream.
    pub stream: TlsStream<S>,
    /// The client's end-entity certificate, if it showed one; its key is proven.
    pub certificate: Option<CertificateDer<'static>>,
    /// The host name that the client asked for.
    pub server_name: Option<String>,
    /// The protocol agreed upon.
    pub protocol: Option<Vec<u8>>,
}

impl TlsAcceptor {
    /// An acceptor whose handshakes must end within 10 s.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>) -> TlsAcceptor {
        let mut without = (*config).clone();
        without.alpn_protocols.clear();
        TlsAcceptor {
            with_protocols: config,
            without_protocols: Arc::new(without),
            deadline: Duration::from_secs(10),
        }
    }

    /// Replaces the time a handshake may take.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> TlsAcceptor {
        self.deadline = deadline;
        self
    }

    /// Makes the handshake on a fresh connection.
    pub async fn accept<S>(&self, stream: S) -> Result<Accepted<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        tokio::time::timeout(self.deadline, self.handshake(stream))
            .await
            .map_err(|_| TlsError::HandshakeTimeout {
                seconds: self.deadline.as_secs(),
            })?
    }

    async fn handshake<S>(&self, stream: S) -> Result<Accepted<S>, TlsError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let start = LazyConfigAcceptor::new(Acceptor::default(), stream)
            .await
            .map_err(TlsError::Handshake)?;
        let shared_protocol = start.client_hello().alpn().is_none_or(|mut offered| {
            offered.any(|name| {
                self.with_protocols
                    .alpn_protocols
                    .iter()
                    .any(|ours| ours == name)
            })
        });
        let config = if shared_protocol {
            &self.with_protocols
        } else {
            &self.without_protocols
        };
        let stream = start
            .into_stream(Arc::clone(config))
            .await
            .map_err(TlsError::Handshake)?;
        let (_, connection) = stream.get_ref();
        let certificate = connection
            .peer_certificates()
            .and_then(|chain| chain.first())
            .map(|certificate| certificate.clone().into_owned());
        let server_name = connection.server_name().map(str::to_owned);
        let protocol = connection.alpn_protocol().map(<[u8]>::to_vec);
        Ok(Accepted {
            stream,
            certificate,
            server_name,
            protocol,
        })
    }
}
