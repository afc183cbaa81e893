//! The gateway as a whole: its options, its ports, its listeners.

use crate::connection;
use crate::hub::Hub;
use crate::listener;
use crate::ports::{Directory, Presence, ReservedTopics};
use std::net::IpAddr;
use std::sync::Arc;
use sward_mqtt::broker::Config;
use sward_mqtt::server::Options;
use sward_net::http::Handler;
use sward_net::tls::{CertificateDer, ServerConfig, TlsAcceptor};
use sward_task::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::broadcast::error::RecvError;

/// Milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The limits of the gateway; the defaults are those of AWS IoT Core where it has any.
#[derive(Clone, Debug)]
pub struct GatewayOptions {
    /// What a connection is granted.
    pub connection: Options,
    /// What a session is granted.
    pub broker: Config,
    /// Bytes of a payload.
    pub payload: usize,
    /// Filters of one SUBSCRIBE.
    pub filters: usize,
    /// Connections at once on one listener.
    pub connections: usize,
}

impl Default for GatewayOptions {
    fn default() -> Self {
        GatewayOptions {
            connection: Options::default(),
            broker: Config::default(),
            payload: 131_072,
            filters: 8,
            connections: 100_000,
        }
    }
}

/// What the gateway asks and tells.
#[derive(Clone)]
pub struct Ports {
    pub directory: Arc<dyn Directory>,
    pub reserved: Arc<dyn ReservedTopics>,
    pub presence: Arc<dyn Presence>,
}

/// Serves MQTT clients. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    pub(crate) hub: Hub,
    pub(crate) ports: Ports,
    pub(crate) tasks: Tasks,
}

impl Gateway {
    /// A gateway without listeners; it follows the directory's changes from now on.
    #[must_use]
    pub fn new(hub: Hub, ports: Ports, tasks: &Tasks) -> Gateway {
        let gateway = Gateway {
            hub,
            ports,
            tasks: tasks.clone(),
        };
        let (follower, token) = (gateway.clone(), tasks.token());
        let mut changes = follower.ports.directory.changes();
        tasks.spawn_essential("directory-changes", async move {
            while let Some(change) = token.run_until_cancelled(changes.recv()).await {
                match change {
                    Ok(change) => follower.hub.registry().judge(Some(&change)),
                    Err(RecvError::Lagged(_)) => follower.hub.registry().judge(None),
                    Err(RecvError::Closed) => return,
                }
            }
        });
        gateway
    }

    /// Serves MQTT alone (port 8883). `tls` must require client certificates.
    pub fn listen_mqtt(&self, listener: TcpListener, tls: Arc<ServerConfig>) {
        self.tasks.spawn_essential(
            "mqtt-listener",
            listener::run(self.clone(), listener, TlsAcceptor::new(tls), None),
        );
    }

    /// Serves MQTT to those who agreed on `x-amzn-mqtt-ca`, and hands everybody else to `http`
    /// with their certificate (ports 443 and 8443).
    pub fn listen_device(
        &self,
        listener: TcpListener,
        tls: Arc<ServerConfig>,
        http: Arc<dyn Handler>,
    ) {
        self.tasks.spawn_essential(
            "device-listener",
            listener::run(self.clone(), listener, TlsAcceptor::new(tls), Some(http)),
        );
    }

    /// Serves one client over any stream whose certificate was proven elsewhere.
    pub async fn serve<S>(
        &self,
        stream: S,
        certificate: &CertificateDer<'static>,
        server_name: Option<&str>,
        address: IpAddr,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        connection::run(self, stream, certificate, server_name, address).await;
    }
}
