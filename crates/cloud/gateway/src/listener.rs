//! Accepting connections and telling MQTT from HTTP.

use crate::gateway::Gateway;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use sward_net::http::{Handler, Peer, ServeOptions, serve_connection};
use sward_net::tls::{Accepted, CertificateDer, TlsAcceptor, alpn};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

/// Accepts until the tasks' token is cancelled.
pub(crate) async fn run(
    gateway: Gateway,
    listener: TcpListener,
    acceptor: TlsAcceptor,
    http: Option<Arc<dyn Handler>>,
) {
    let token = gateway.tasks.token();
    let places = Arc::new(Semaphore::new(gateway.hub.options().connections));
    loop {
        let Some(Ok(place)) = token
            .run_until_cancelled(Arc::clone(&places).acquire_owned())
            .await
        else {
            return;
        };
        let Some(accepted) = token.run_until_cancelled(listener.accept()).await else {
            return;
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually out of file descriptors: wait for others to close instead of spinning.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (gateway_task, acceptor, http) = (gateway.clone(), acceptor.clone(), http.clone());
        gateway.tasks.spawn("device-connection", async move {
            let _place = place;
            serve(gateway_task, stream, address, acceptor, http).await;
        });
    }
}

async fn serve(
    gateway: Gateway,
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    http: Option<Arc<dyn Handler>>,
) {
    // Packets are gathered before they are written; waiting for more only delays them.
    stream.set_nodelay(true).ok();
    // What only a part of a connection's life needs is on the heap for that part alone.
    let accepted = match Box::pin(acceptor.accept(stream)).await {
        Ok(accepted) => accepted,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::info!(%address, %error, cause, "TLS handshake failed");
            return;
        }
    };
    let Accepted {
        stream,
        certificate,
        server_name,
        protocol,
    } = accepted;
    let Some(http) = http else {
        return Box::pin(mqtt(&gateway, stream, certificate, server_name, address)).await;
    };
    let (stream, is_mqtt) = match protocol.as_deref() {
        Some(protocol) => (
            BufReader::with_capacity(PEEK, stream),
            protocol == alpn::MQTT,
        ),
        // Device SDKs offer ALPN on port 443 only: elsewhere the first byte decides.
        None => match Box::pin(peek(stream)).await {
            Some(peeked) => peeked,
            None => return,
        },
    };
    if is_mqtt {
        return Box::pin(mqtt(&gateway, stream, certificate, server_name, address)).await;
    }
    let peer = Peer {
        address,
        certificate,
        server_name,
        encrypted: true,
    };
    let options = ServeOptions::new("device");
    Box::pin(serve_connection(
        stream,
        peer,
        http,
        &options,
        &gateway.tasks,
    ))
    .await;
}

/// Room for the first byte; larger reads pass it by.
const PEEK: usize = 16;

/// Waits for the first byte and says whether it begins a CONNECT.
async fn peek<S: AsyncRead + Unpin>(stream: S) -> Option<(BufReader<S>, bool)> {
    let mut stream = BufReader::with_capacity(PEEK, stream);
    let first = tokio::time::timeout(Duration::from_secs(30), stream.fill_buf()).await;
    let first = *first.ok()?.ok()?.first()?;
    Some((stream, first == 0x10))
}

async fn mqtt<S>(
    gateway: &Gateway,
    stream: S,
    certificate: Option<CertificateDer<'static>>,
    server_name: Option<String>,
    address: SocketAddr,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let Some(certificate) = certificate else {
        tracing::info!(%address, "MQTT without a client certificate");
        return;
    };
    gateway
        .serve(stream, &certificate, server_name.as_deref(), address.ip())
        .await;
}
