//! Which ports `sward up` asks the cloud to listen on.
//!
//! A device's configuration names the ports, so that they must stay what they were the first time.

use crate::cli::UpOptions;
use crate::place::Endpoints;
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

    /// The ports on which a cloud listened; 0 where its endpoint has none.
    pub(super) fn of(endpoints: &Endpoints) -> Ports {
        let port = |endpoint: &str| port_of(endpoint).unwrap_or(0);
        Ports {
            api: port(&endpoints.api),
            device: port(&endpoints.device),
            mqtt: port(&endpoints.mqtt),
        }
    }
}

fn port_of(endpoint: &str) -> Option<u16> {
    endpoint
        .trim_end_matches('/')
        .rsplit(':')
        .next()?
        .parse()
        .ok()
}

/// As told, else as last time, else AWS's ports where they are free, else any free ones.
pub(super) fn choose(options: &UpOptions, last: Option<&Endpoints>) -> Ports {
    let remembered = |pick: fn(&Endpoints) -> &str| last.and_then(|all| port_of(pick(all)));
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, Sward};
    use clap::Parser as _;

    fn options(arguments: &[&str]) -> UpOptions {
        match Sward::parse_from([&["sward", "up"][..], arguments].concat()).command {
            Command::Up(options) => options,
            other => panic!("not up: {other:?}"),
        }
    }

    #[test]
    fn a_port_is_the_one_told_else_the_one_of_last_time() {
        let last = Endpoints {
            api: "http://127.0.0.1:1001/".into(),
            device: "localhost:1002".into(),
            mqtt: "localhost:1003".into(),
            region: "us-east-1".into(),
            account: "123456789012".into(),
        };
        let told = ["--api-port", "0", "--mqtt-port", "2003"];
        for (arguments, last, expected) in [
            (&[][..], Some(&last), [1001, 1002, 1003]),
            (&told[..], Some(&last), [1001, 1002, 2003]),
            (
                &["--device-port", "0", "--api-port", "7", "--mqtt-port", "0"][..],
                None,
                [7, 0, 0],
            ),
        ] {
            let ports = choose(&options(arguments), last).flags();
            assert_eq!(ports.map(|(_, port)| port), expected, "{arguments:?}");
        }
        assert_eq!(
            Ports::of(&last).flags().map(|(_, port)| port),
            [1001, 1002, 1003]
        );
    }
}
