//! Which ports `sward up` asks the cloud to listen on.
//!
//! A device's configuration names the ports, so that they must stay what they were the first time.

use crate::cli::UpOptions;
use crate::place::CloudDirectory;
use std::net::TcpListener;

/// The ports of the three listeners; 0 lets the cloud take any free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ports {
    api: u16,
    device: u16,
    mqtt: u16,
}

impl Ports {
    /// The options of `sward cloud`.
    pub(super) fn flags(self) -> [(&'static str, u16); 3] {
        [
            ("--api-port", self.api),
            ("--device-port", self.device),
            ("--mqtt-port", self.mqtt),
        ]
    }
}

/// As told, else as last time, else AWS's ports where they are free, else any free ones.
pub(super) fn choose(options: &UpOptions, cloud: &CloudDirectory) -> Ports {
    let last = cloud.endpoints().ok();
    let port_of = |endpoint: &str| {
        endpoint
            .trim_end_matches('/')
            .rsplit(':')
            .next()?
            .parse()
            .ok()
    };
    let remembered = |pick: fn(&crate::place::Endpoints) -> &str| {
        last.as_ref().and_then(|all| port_of(pick(all)))
    };
    let decide = |told: Option<u16>, before: Option<u16>, usual: u16| match (told, before) {
        // 0 means "any free one", which the last start has settled.
        (Some(port), None) => port,
        (Some(port), Some(_)) if port != 0 => port,
        (_, Some(port)) => port,
        (None, None) if is_free(usual) => usual,
        (None, None) => 0,
    };
    Ports {
        api: decide(options.api_port, remembered(|all| &all.api), 8080),
        device: decide(options.device_port, remembered(|all| &all.device), 8443),
        mqtt: decide(options.mqtt_port, remembered(|all| &all.mqtt), 8883),
    }
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
}
