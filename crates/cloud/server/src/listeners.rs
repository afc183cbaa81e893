//! Binding addresses, and how clients spell them.

use crate::error::StartError;
use crate::files::Endpoints;
use crate::options::CloudOptions;
use std::net::SocketAddr;
use tokio::net::TcpListener;

/// A bound listener.
#[derive(Debug)]
pub(crate) struct Bound {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// All listeners of the cloud; nothing is accepted yet.
#[derive(Debug)]
pub(crate) struct Listeners {
    pub(crate) api: Vec<Bound>,
    pub(crate) device: Vec<Bound>,
    pub(crate) mqtt: Vec<Bound>,
}

impl Listeners {
    pub(crate) async fn bind(options: &CloudOptions) -> Result<Self, StartError> {
        Ok(Listeners {
            api: bind("the AWS APIs", "--api", &options.api).await?,
            device: bind("devices", "--device", &options.device).await?,
            mqtt: bind("MQTT", "--mqtt", &options.mqtt).await?,
        })
    }

    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        [&self.api, &self.device, &self.mqtt]
            .into_iter()
            .flatten()
            .map(|bound| bound.address)
            .collect()
    }

    /// What `endpoints.json` says.
    pub(crate) fn endpoints(&self, options: &CloudOptions) -> Endpoints {
        let api = api_url(&self.api, &options.hostnames);
        Endpoints {
            console: format!("{api}/console"),
            api,
            device: named(&self.device, &options.hostnames),
            mqtt: named(&self.mqtt, &options.hostnames),
            region: options.region.to_string(),
            account: options.account.to_string(),
        }
    }
}

async fn bind(
    what: &'static str,
    option: &'static str,
    addresses: &[SocketAddr],
) -> Result<Vec<Bound>, StartError> {
    let mut all = Vec::with_capacity(addresses.len());
    for address in addresses {
        let failed = |source| StartError::Listen {
            what,
            option,
            address: *address,
            source,
        };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        all.push(Bound { listener, address });
    }
    Ok(all)
}

/// A loopback listener is preferred: its URL is plain HTTP. The name is an address, because with a
/// name clients put buckets in front of it.
fn api_url(api: &[Bound], hostnames: &[String]) -> String {
    let loopback = api.iter().find(|bound| bound.address.ip().is_loopback());
    let Some(bound) = loopback.or(api.first()) else {
        return String::new();
    };
    let ip = bound.address.ip();
    let port = bound.address.port();
    if ip.is_loopback() {
        format!("http://{}", SocketAddr::new(ip, port))
    } else if ip.is_unspecified() {
        match hostnames.first() {
            Some(name) => format!("https://{name}:{port}"),
            None => format!("https://127.0.0.1:{port}"),
        }
    } else {
        format!("https://{}", SocketAddr::new(ip, port))
    }
}

/// TLS needs a name: `localhost` where that leads to the listener, else the first host name.
fn named(bound: &[Bound], hostnames: &[String]) -> String {
    let reaches_localhost =
        |bound: &&Bound| bound.address.ip().is_loopback() || bound.address.ip().is_unspecified();
    let local = bound.iter().find(reaches_localhost);
    match (hostnames.first(), local, bound.first()) {
        (Some(name), None, Some(bound)) => format!("{name}:{}", bound.address.port()),
        (Some(name), Some(local), _) if local.address.ip().is_unspecified() => {
            format!("{name}:{}", local.address.port())
        }
        (_, Some(local), _) => format!("localhost:{}", local.address.port()),
        (None, None, Some(bound)) => bound.address.to_string(),
        (_, None, None) => String::new(),
    }
}
