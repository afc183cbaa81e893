//! What a cloud is told at start, validated.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use sward_model::{AccountId, Region};

/// The options of one cloud.
#[derive(Clone, Debug)]
pub struct CloudOptions {
    /// State, and the files by which clients find the cloud.
    pub data_dir: PathBuf,
    /// The AWS APIs: plain HTTP on loopback, HTTPS elsewhere.
    pub api: Vec<SocketAddr>,
    /// Devices' HTTPS and MQTT.
    pub device: Vec<SocketAddr>,
    /// MQTT alone.
    pub mqtt: Vec<SocketAddr>,
    /// Names under which clients reach this cloud, besides `localhost`.
    pub hostnames: Vec<String>,
    pub region: Region,
    pub account: AccountId,
    /// Nothing survives the process but the three files.
    pub ephemeral: bool,
    /// Any signature of any key is taken for the owner's.
    pub insecure_accept_any_signature: bool,
}

impl CloudOptions {
    /// Loopback listeners on free ports.
    #[must_use]
    pub fn on_loopback(data_dir: impl Into<PathBuf>) -> Self {
        let any = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        CloudOptions {
            data_dir: data_dir.into(),
            api: vec![any],
            device: vec![any],
            mqtt: vec![any],
            hostnames: Vec::new(),
            region: Region::default(),
            account: AccountId::default(),
            ephemeral: false,
            insecure_accept_any_signature: false,
        }
    }
}
