//! The server's own certificate: which names it carries, and its TLS configurations.

use crate::error::StartError;
use crate::options::CloudOptions;
use crate::platform::now_ms;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::net::SocketAddr;
use std::sync::Arc;
use sward_control::Authority;
use sward_net::tls::{ClientCertificates, ServerConfig, ServerIdentity, alpn, server_config};

/// The TLS configurations of the three sorts of listeners.
pub(crate) struct ServerTls {
    pub(crate) api: Arc<ServerConfig>,
    pub(crate) device: Arc<ServerConfig>,
    pub(crate) mqtt: Arc<ServerConfig>,
}

impl ServerTls {
    /// Makes a certificate for every name and address of this cloud; each start makes its own.
    pub(crate) fn make(
        authority: &Authority,
        options: &CloudOptions,
        bound: &[SocketAddr],
    ) -> Result<Self, StartError> {
        let certificate = authority.server_certificate(&names(options, bound), now_ms())?;
        let chain: String = certificate
            .chain
            .iter()
            .map(|der| pem("CERTIFICATE", der))
            .collect();
        let key = pem("PRIVATE KEY", &certificate.key);
        let identity = ServerIdentity::from_pem(chain.as_bytes(), key.as_bytes())?;
        Ok(ServerTls {
            api: server_config(&identity, ClientCertificates::Ignored, &[alpn::HTTP_1_1])?,
            device: server_config(
                &identity,
                ClientCertificates::Optional,
                &[alpn::MQTT, alpn::HTTP, alpn::HTTP_1_1],
            )?,
            mqtt: server_config(&identity, ClientCertificates::Required, &[alpn::MQTT])?,
        })
    }
}

/// `localhost`, what the options name (with everything below it, for buckets in host names), the
/// machine's own name, and every address bound.
fn names(options: &CloudOptions, bound: &[SocketAddr]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned()];
    let mut add = |name: String| {
        if !names.contains(&name) {
            names.push(name);
        }
    };
    add("*.localhost".to_owned());
    for name in &options.hostnames {
        add(name.clone());
        if name.parse::<std::net::IpAddr>().is_err() {
            add(format!("*.{name}"));
        }
    }
    add("127.0.0.1".to_owned());
    add("::1".to_owned());
    let machine = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let machine = machine.trim();
    let is_name = !machine.is_empty()
        && machine
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'));
    if is_name {
        add(machine.to_owned());
    }
    for address in bound {
        if !address.ip().is_unspecified() {
            add(address.ip().to_string());
        }
    }
    names
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}
