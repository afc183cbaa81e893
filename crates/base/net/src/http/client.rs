//! The HTTP client: one connection per exchange from a small pool, every wait with a deadline.

use super::body::{Body, BodyError};
use super::error::HttpError;
use crate::tls::{ClientConfig, TlsError};
use ::http::{HeaderValue, Request, Response, Uri, header};
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use sward_task::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsConnector;

/// The deadlines of a client.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// TCP and TLS together.
    pub connect: Duration,
    /// From the request's last byte to the head of the answer.
    pub response: Duration,
    /// Between two pieces of the answer's body.
    pub read: Duration,
    /// How long an unused connection is kept.
    pub idle: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        ClientOptions {
            connect: Duration::from_secs(10),
            response: Duration::from_secs(60),
            read: Duration::from_secs(30),
            idle: Duration::from_secs(20),
        }
    }
}

/// An HTTP/1.1 client for `http` and `https` URLs. Cheap to clone; clones share the pool.
///
/// Redirects are not followed and failures are not repeated: both are the caller's policy.
#[derive(Clone)]
pub struct Client {
    shared: Arc<Shared>,
}

struct Shared {
    tls: Mutex<Option<Arc<ClientConfig>>>,
    options: ClientOptions,
    tasks: Tasks,
    idle: Mutex<HashMap<String, Vec<Idle>>>,
}

/// A request of which nothing was sent.
struct Unsent {
    request: Request<Body>,
    source: hyper::Error,
}

struct Idle {
    sender: SendRequest<Body>,
    since: Instant,
}

/// Unused connections kept for each authority.
const IDLE_PER_AUTHORITY: usize = 4;

impl Client {
    /// A client; without `tls` only `http` URLs can be asked.
    #[must_use]
    pub fn new(tasks: &Tasks, tls: Option<Arc<ClientConfig>>, options: ClientOptions) -> Client {
        Client {
            shared: Arc::new(Shared {
                tls: Mutex::new(tls),
                options,
                tasks: tasks.clone(),
                idle: Mutex::new(HashMap::new()),
            }),
        }
    }

    /// Takes roots and identity for the connections that begin from now on.
    pub fn set_tls(&self, tls: Arc<ClientConfig>) {
        let current = self.shared.tls.lock();
        *current.unwrap_or_else(PoisonError::into_inner) = Some(tls);
        let idle = self.shared.idle.lock();
        idle.unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Sends a request with an absolute URL; the answer's body is streamed and breaks with an
    /// error when it pauses for longer than [`ClientOptions::read`].
    ///
    /// `Host` is added where it is missing. For a range set the `Range` header and look for 206.
    pub async fn send(&self, request: Request<Body>) -> Result<Response<Body>, HttpError> {
        let target = Target::of(request.uri())?;
        let mut request = relative(request, &target)?;
        // A kept connection may have been closed by the peer meanwhile: what was not sent on it is
        // sent on the next, the last being a fresh one.
        while let Some(sender) = self.take_idle(&target.key) {
            match self.exchange(sender, request, &target).await? {
                Ok(response) => return Ok(response),
                Err(unsent) => request = unsent.request,
            }
        }
        let sender = self.connect(&target).await?;
        self.exchange(sender, request, &target)
            .await?
            .map_err(|unsent| HttpError::Exchange {
                authority: target.key.clone(),
                source: unsent.source,
            })
    }

    /// One exchange; the inner error gives the request back when none of it was sent.
    async fn exchange(
        &self,
        mut sender: SendRequest<Body>,
        request: Request<Body>,
        target: &Target,
    ) -> Result<Result<Response<Body>, Box<Unsent>>, HttpError> {
        let timeout = self.shared.options.response;
        let answered = tokio::time::timeout(timeout, sender.try_send_request(request))
            .await
            .map_err(|_| HttpError::ResponseTimeout {
                authority: target.key.clone(),
                seconds: timeout.as_secs(),
            })?;
        let response = match answered {
            Ok(response) => response,
            Err(mut failure) => {
                let request = failure.take_message();
                let source = failure.into_error();
                return match request {
                    Some(request) => Ok(Err(Box::new(Unsent { request, source }))),
                    None => Err(HttpError::Exchange {
                        authority: target.key.clone(),
                        source,
                    }),
                };
            }
        };
        let read = self.shared.options.read;
        let back = Return {
            client: self.clone(),
            key: target.key.clone(),
            sender: Some(sender),
        };
        Ok(Ok(response.map(|incoming| {
            Watched {
                incoming,
                read,
                timer: Box::pin(tokio::time::sleep(read)),
                back,
            }
            .boxed()
        })))
    }

    fn take_idle(&self, key: &str) -> Option<SendRequest<Body>> {
        let mut idle = self
            .shared
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let list = idle.get_mut(key)?;
        while let Some(candidate) = list.pop() {
            if candidate.sender.is_ready() && candidate.since.elapsed() < self.shared.options.idle {
                return Some(candidate.sender);
            }
        }
        idle.remove(key);
        None
    }

    fn keep(&self, key: String, sender: SendRequest<Body>) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self
            .shared
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let list = idle.entry(key).or_default();
        list.retain(|candidate| {
            !candidate.sender.is_closed() && candidate.since.elapsed() < self.shared.options.idle
        });
        if list.len() < IDLE_PER_AUTHORITY {
            list.push(Idle {
                sender,
                since: Instant::now(),
            });
        }
    }

    async fn connect(&self, target: &Target) -> Result<SendRequest<Body>, HttpError> {
        let deadline = self.shared.options.connect;
        tokio::time::timeout(deadline, self.connect_now(target))
            .await
            .map_err(|_| HttpError::ConnectTimeout {
                authority: target.key.clone(),
                seconds: deadline.as_secs(),
            })?
    }

    async fn connect_now(&self, target: &Target) -> Result<SendRequest<Body>, HttpError> {
        let stream = TcpStream::connect((target.host.as_str(), target.port))
            .await
            .map_err(|source| HttpError::Connect {
                authority: target.key.clone(),
                source,
            })?;
        // Requests are written whole; waiting for more only delays them.
        stream.set_nodelay(true).ok();
        if !target.tls {
            return self.handshake(stream, target).await;
        }
        let url_fault = |reason: &str| HttpError::Url {
            url: target.key.clone(),
            reason: reason.to_owned(),
        };
        let tls = self.shared.tls.lock();
        let tls = tls.unwrap_or_else(PoisonError::into_inner).clone();
        let config = tls.ok_or_else(|| url_fault("this client has no TLS roots"))?;
        let name = ServerName::try_from(target.host.clone())
            .map_err(|_| url_fault("the host is not a name that TLS can check"))?;
        let stream = TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|source| HttpError::Tls {
                authority: target.key.clone(),
                source: TlsError::Handshake(source),
            })?;
        self.handshake(stream, target).await
    }

    async fn handshake<S>(&self, stream: S, target: &Target) -> Result<SendRequest<Body>, HttpError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(256 * 1024)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|source| HttpError::Exchange {
                authority: target.key.clone(),
                source,
            })?;
        let token = self.shared.tasks.token();
        self.shared.tasks.spawn("http-connection", async move {
            tokio::select! {
                result = connection => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "HTTP connection ended");
                    }
                }
                () = token.cancelled() => {}
            }
        });
        Ok(sender)
    }
}

/// Where a URL leads.
struct Target {
    tls: bool,
    host: String,
    port: u16,
    /// `scheme://host:port`: pool key and name in messages.
    key: String,
}

impl Target {
    fn of(uri: &Uri) -> Result<Target, HttpError> {
        let fault = |reason: &str| HttpError::Url {
            url: uri.to_string(),
            reason: reason.to_owned(),
        };
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err(fault("it must begin with http:// or https://")),
        };
        let host = uri.host().ok_or_else(|| fault("it names no host"))?;
        let host = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .to_owned();
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        let key = format!(
            "{}://{}",
            if tls { "https" } else { "http" },
            if host.contains(':') {
                format!("[{host}]:{port}")
            } else {
                format!("{host}:{port}")
            }
        );
        Ok(Target {
            tls,
            host,
            port,
            key,
        })
    }
}

/// Turns the absolute URL into origin form with a `Host` header.
fn relative(mut request: Request<Body>, target: &Target) -> Result<Request<Body>, HttpError> {
    let fault = |reason: String| HttpError::Url {
        url: target.key.clone(),
        reason,
    };
    if !request.headers().contains_key(header::HOST) {
        let authority = request
            .uri()
            .authority()
            .map_or_else(|| target.host.clone(), |authority| authority.to_string());
        let host = HeaderValue::from_str(authority.rsplit('@').next().unwrap_or_default())
            .map_err(|error| fault(error.to_string()))?;
        request.headers_mut().insert(header::HOST, host);
    }
    let path = request
        .uri()
        .path_and_query()
        .map_or("/", |path| path.as_str());
    let uri = path
        .parse::<Uri>()
        .map_err(|error| fault(error.to_string()))?;
    *request.uri_mut() = uri;
    Ok(request)
}

/// Gives the connection back to the pool once the body has been read to its end.
struct Return {
    client: Client,
    key: String,
    sender: Option<SendRequest<Body>>,
}

/// A received body with a deadline between its pieces.
struct Watched {
    incoming: Incoming,
    read: Duration,
    timer: Pin<Box<Sleep>>,
    back: Return,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.incoming).poll_frame(context) {
            Poll::Ready(None) => {
                if let Some(sender) = this.back.sender.take() {
                    this.back
                        .client
                        .keep(std::mem::take(&mut this.back.key), sender);
                }
                Poll::Ready(None)
            }
            Poll::Ready(Some(frame)) => {
                let next = Instant::now() + this.read;
                this.timer.as_mut().reset(next);
                Poll::Ready(Some(frame.map_err(Into::into)))
            }
            Poll::Pending => match this.timer.as_mut().poll(context) {
                Poll::Ready(()) => Poll::Ready(Some(Err(format!(
                    "nothing was received for {} s",
                    this.read.as_secs()
                )
                .into()))),
                Poll::Pending => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        // The end is reported by poll_frame, which also returns the connection to the pool.
        false
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.incoming)
    }
}
