//! Accepting connections and telling MQTT from HTTP.

use crate::gateway::Gateway;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use sward_net::http::{Handler, Peer, ServeOptions, serve_connection};
use sward_net::tls::{TlsAcceptor, alpn};
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
    let _ = stream.set_nodelay(true);
    let accepted = match acceptor.accept(stream).await {
        Ok(accepted) => accepted,
        Err(error) => {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            tracing::info!(%address, %error, cause, "TLS handshake failed");
            return;
        }
    };
    let mqtt = http.is_none() || accepted.protocol.as_deref() == Some(alpn::MQTT);
    match (http, accepted.certificate) {
        (Some(http), certificate) if !mqtt => {
            let peer = Peer {
                address,
                certificate,
                server_name: accepted.server_name,
                encrypted: true,
            };
            let options = ServeOptions::new("device");
            serve_connection(accepted.stream, peer, http, &options, &gateway.tasks).await;
        }
        (_, Some(certificate)) => {
            let name = accepted.server_name.as_deref();
            // The future is large; on the heap it does not weigh on HTTP connections.
            Box::pin(gateway.serve(accepted.stream, &certificate, name, address.ip())).await;
        }
        (_, None) => {
            tracing::info!(%address, "MQTT without a client certificate");
        }
    }
}
