//! Serving a handler over HTTP/1.1, plain or TLS, with limits and an orderly end.

use super::body::{Body, BodyError, patient};
use super::taken::Taken;
use crate::tls::{Accepted, CertificateDer, TlsAcceptor};
use ::http::{Request, Response};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use sward_task::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

/// A request as a handler gets it; its body is streamed (see [`super::collect`]).
pub type IncomingRequest = Request<Body>;

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The address it comes from.
    pub address: SocketAddr,
    /// Its certificate, whose key is proven; `None` on plain connections and where none was shown.
    pub certificate: Option<CertificateDer<'static>>,
    /// The host name it asked for in TLS.
    pub server_name: Option<String>,
    /// Whether the connection is encrypted.
    pub encrypted: bool,
}

/// Answers requests. Every failure is an answer, too.
pub trait Handler: Send + Sync + 'static {
    /// Answers one request of `peer`.
    fn handle(
        &self,
        request: IncomingRequest,
        peer: Arc<Peer>,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send + '_>>;
}

/// A handler made of an async function over shared state.
pub struct HandlerFn<F>(pub F);

impl<F, R> Handler for HandlerFn<F>
where
    F: Fn(IncomingRequest, Arc<Peer>) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    fn handle(
        &self,
        request: IncomingRequest,
        peer: Arc<Peer>,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send + '_>> {
        Box::pin(self.0(request, peer))
    }
}

/// The limits of a listener.
#[derive(Clone, Debug)]
pub struct ServeOptions {
    /// Name of the listener in logs and tasks.
    pub name: &'static str,
    /// Connections served at once; more wait to be accepted.
    pub connections: usize,
    /// Bytes of a request's head.
    pub head: usize,
    /// Time to receive a head, which also ends connections that stay silent.
    pub head_timeout: Duration,
    /// How long a peer may send nothing of a body that it began, or take nothing of an answer.
    pub stall: Duration,
    /// Time that running answers get when the server ends.
    pub drain: Duration,
}

impl ServeOptions {
    /// 4,096 connections, 64 KiB of head within 60 s, 60 s without a byte, 5 s to drain.
    #[must_use]
    pub fn new(name: &'static str) -> ServeOptions {
        ServeOptions {
            name,
            connections: 4096,
            head: 64 * 1024,
            head_timeout: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            drain: Duration::from_secs(5),
        }
    }
}

/// Accepts plain connections until the tasks' token is cancelled. Spawns one task a connection and
/// returns when no new one will be accepted.
pub async fn serve(
    listener: TcpListener,
    handler: Arc<dyn Handler>,
    options: ServeOptions,
    tasks: Tasks,
) {
    accept_loop(listener, None, handler, options, tasks).await;
}

/// Like [`serve`], behind TLS.
pub async fn serve_tls(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    handler: Arc<dyn Handler>,
    options: ServeOptions,
    tasks: Tasks,
) {
    accept_loop(listener, Some(acceptor), handler, options, tasks).await;
}

async fn accept_loop(
    listener: TcpListener,
    acceptor: Option<TlsAcceptor>,
    handler: Arc<dyn Handler>,
    options: ServeOptions,
    tasks: Tasks,
) {
    let token = tasks.token();
    let places = Arc::new(Semaphore::new(options.connections));
    loop {
        let place = tokio::select! {
            place = Arc::clone(&places).acquire_owned() => place,
            () = token.cancelled() => return,
        };
        let Ok(place) = place else { return };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = token.cancelled() => return,
        };
        let (stream, address) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Usually out of file descriptors: wait for others to close instead of spinning.
                tracing::warn!(listener = options.name, %error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        stream.set_nodelay(true).ok();
        let (acceptor, handler) = (acceptor.clone(), Arc::clone(&handler));
        let (options, connection_tasks) = (options.clone(), tasks.clone());
        tasks.spawn("http-connection", async move {
            let _place = place;
            match acceptor {
                None => {
                    let peer = Peer {
                        address,
                        certificate: None,
                        server_name: None,
                        encrypted: false,
                    };
                    serve_connection(stream, peer, handler, &options, &connection_tasks).await;
                }
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(accepted) => {
                        let Accepted {
                            stream,
                            certificate,
                            server_name,
                            ..
                        } = accepted;
                        let peer = Peer {
                            address,
                            certificate,
                            server_name,
                            encrypted: true,
                        };
                        serve_connection(stream, peer, handler, &options, &connection_tasks).await;
                    }
                    Err(error) => {
                        tracing::debug!(listener = options.name, %address, %error, cause = std::error::Error::source(&error).map(tracing::field::display), "TLS handshake failed");
                    }
                },
            }
        });
    }
}

/// Serves one connection until the peer leaves or the tasks' token is cancelled; a request that is
/// being answered then gets [`ServeOptions::drain`] to end.
pub async fn serve_connection<S>(
    stream: S,
    peer: Peer,
    handler: Arc<dyn Handler>,
    options: &ServeOptions,
    tasks: &Tasks,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Arc::new(peer);
    let address = peer.address;
    let stall = options.stall;
    let service = service_fn(move |request: Request<Incoming>| {
        let (handler, peer) = (Arc::clone(&handler), Arc::clone(&peer));
        let request = request.map(|body| patient(body, stall));
        async move { Ok::<_, Infallible>(handler.handle(request, peer).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(options.head_timeout)
        .max_buf_size(options.head)
        .half_close(true)
        .serve_connection(TokioIo::new(Taken::new(stream, stall)), service)
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let token = tasks.token();
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = token.cancelled() => {
            connection.as_mut().graceful_shutdown();
            match tokio::time::timeout(options.drain, connection).await {
                Ok(result) => result,
                Err(_) => return,
            }
        }
    };
    if let Err(error) = result {
        tracing::debug!(listener = options.name, %address, %error, "HTTP connection ended");
    }
}

const _: () = {
    // Bodies must be usable across tasks.
    const fn check<T: Send + Sync>() {}
    check::<http_body_util::combinators::BoxBody<Bytes, BodyError>>();
};
