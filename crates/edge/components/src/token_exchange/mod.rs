//! `aws.greengrass.TokenExchangeService`: AWS credentials for components, over local HTTP.
//!
//! Every AWS SDK knows the protocol: it reads `AWS_CONTAINER_CREDENTIALS_FULL_URI` and
//! `AWS_CONTAINER_AUTHORIZATION_TOKEN` from its environment and sends the token with a GET. The
//! statuses and bodies are those of AWS's nucleus (wire-protocols §4.11), byte for byte.
//!
//! Listens on the loopback only and gives nothing to a caller without a component's token. What
//! it hands out is cached by the [`CredentialSource`], not here.

mod answer;

use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_net::http::{HandlerFn, IncomingRequest, ServeOptions, serve};
use sward_task::Tasks;
use thiserror::Error;
use tokio::net::TcpListener;

/// The component's name.
pub const NAME: &str = "aws.greengrass.TokenExchangeService";

/// The path of the one resource.
pub const PATH: &str = "/2016-11-01/credentialprovider/";

/// How long the source may take.
const DEADLINE: Duration = Duration::from_secs(30);

/// A future of a port's method.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Keys of a role session, as they are handed out.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    /// ISO 8601 in UTC.
    pub expiration: String,
}

/// Why there are none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialFailure {
    /// The provider's status; `None` when it did not answer.
    pub status: Option<u16>,
    /// The provider's body, or the reason.
    pub reason: String,
}

/// Where credentials come from.
pub trait CredentialSource: Send + Sync + 'static {
    /// Credentials that are good for some minutes.
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, CredentialFailure>>;
}

/// Who may ask.
pub trait TokenAuthority: Send + Sync + 'static {
    /// Whether the token belongs to a component that may have credentials.
    fn may_have_credentials(&self, token: &str) -> bool;
}

/// The service could not start.
#[derive(Debug, Error)]
#[error("the token exchange cannot listen on port {port}")]
pub struct StartError {
    /// As configured; 0 for any.
    pub port: u16,
    #[source]
    pub source: std::io::Error,
}

impl Diagnose for StartError {
    fn kind(&self) -> Kind {
        Kind::Device
    }
    fn code(&self) -> &'static str {
        "token-exchange-cannot-listen"
    }
    fn place(&self) -> Option<Place> {
        Some(Place::Setting {
            name: format!("services.{NAME}.configuration.port"),
        })
    }
}

/// The running service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenExchange {
    port: u16,
}

impl TokenExchange {
    /// Starts to listen on the loopback; port 0 takes any free one. Ends with the tasks' token.
    pub async fn start(
        port: u16,
        source: Arc<dyn CredentialSource>,
        authority: Arc<dyn TokenAuthority>,
        tasks: &Tasks,
    ) -> Result<TokenExchange, StartError> {
        let failed = |source| StartError { port, source };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let active = listener.local_addr().map_err(failed)?.port();
        let handler = HandlerFn(move |request: IncomingRequest, _| {
            let (source, authority) = (source.clone(), authority.clone());
            async move {
                let token = request
                    .headers()
                    .get("authorization")
                    .and_then(|value| value.to_str().ok());
                let (method, path) = (request.method(), request.uri().path());
                match answer::refusal(method, path, token, &*authority) {
                    Some(response) => response,
                    None => {
                        let asked = tokio::time::timeout(DEADLINE, source.credentials());
                        answer::of_source(asked.await.ok())
                    }
                }
            }
        });
        let options = ServeOptions {
            connections: 64,
            ..ServeOptions::new("token-exchange")
        };
        let server = serve(listener, Arc::new(handler), options, tasks.clone());
        tasks.spawn_essential("token-exchange", server);
        Ok(TokenExchange { port: active })
    }

    /// The port that is listened on; goes to `configuration.activePort`.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The value of `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("http://localhost:{}{PATH}", self.port)
    }
}

#[cfg(test)]
mod tests;
