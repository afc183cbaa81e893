//! The command line of `sward cloud`, and its configuration file with the same names.

use crate::options::CloudOptions;
use clap::Args;
use serde::Deserialize;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use sward_diagnosis::{Kind, Place, Report};
use sward_model::{AccountId, Region};
use tracing::level_filters::LevelFilter;

/// Options of `sward cloud`. Where an option stands in the configuration file, too, the command
/// line wins.
#[derive(Clone, Debug, Args)]
pub struct CloudArgs {
    /// Folder of all state, and of ca.pem, credentials and endpoints.json
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// TOML file with the same options, such as api = ["0.0.0.0:443"]
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the AWS APIs listen; may be repeated [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR:PORT")]
    pub api: Vec<SocketAddr>,
    /// Where devices' HTTPS and MQTT listen; may be repeated [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDR:PORT")]
    pub device: Vec<SocketAddr>,
    /// Where MQTT listens; may be repeated [default: 127.0.0.1:8883]
    #[arg(long, value_name = "ADDR:PORT")]
    pub mqtt: Vec<SocketAddr>,
    /// Address of all listeners that are not given in full [default: 127.0.0.1]
    #[arg(long, value_name = "IP")]
    pub listen: Option<IpAddr>,
    /// Port of the AWS APIs; 0 takes any free one
    #[arg(long, value_name = "PORT")]
    pub api_port: Option<u16>,
    /// Port of devices' HTTPS and MQTT; 0 takes any free one
    #[arg(long, value_name = "PORT")]
    pub device_port: Option<u16>,
    /// Port of MQTT; 0 takes any free one
    #[arg(long, value_name = "PORT")]
    pub mqtt_port: Option<u16>,
    /// A name under which clients reach this cloud; may be repeated
    #[arg(long, value_name = "NAME")]
    pub hostname: Vec<String>,
    /// Region of what is made here [default: us-east-1]
    #[arg(long, value_name = "REGION")]
    pub region: Option<Region>,
    /// Account of what is made here [default: 123456789012]
    #[arg(long, value_name = "ACCOUNT")]
    pub account: Option<AccountId>,
    /// Keep nothing: state is removed when the cloud stops
    #[arg(long)]
    pub ephemeral: bool,
    /// Take any signature for the owner's (for emulator use only)
    #[arg(long)]
    pub insecure_accept_any_signature: bool,
    /// How much to log to standard error: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", env = "SWARD_LOG", default_value = "info")]
    pub log: LevelFilter,
}

/// The configuration file as written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct RawFile {
    #[serde(default)]
    api: Vec<SocketAddr>,
    #[serde(default)]
    device: Vec<SocketAddr>,
    #[serde(default)]
    mqtt: Vec<SocketAddr>,
    listen: Option<IpAddr>,
    api_port: Option<u16>,
    device_port: Option<u16>,
    mqtt_port: Option<u16>,
    #[serde(default)]
    hostname: Vec<String>,
    region: Option<Region>,
    account: Option<AccountId>,
    #[serde(default)]
    ephemeral: bool,
}

impl CloudArgs {
    /// The validated options: command line over configuration file over defaults.
    pub fn into_options(self) -> Result<CloudOptions, Report> {
        let file = self
            .config
            .as_deref()
            .map(read)
            .transpose()?
            .unwrap_or_default();
        let listen = self
            .listen
            .or(file.listen)
            .unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let addresses = |given: Vec<SocketAddr>,
                         given_port: Option<u16>,
                         file: Vec<SocketAddr>,
                         file_port: Option<u16>,
                         default: u16| {
            if !given.is_empty() {
                return given;
            }
            match given_port {
                None if !file.is_empty() => file,
                port => vec![SocketAddr::new(
                    listen,
                    port.or(file_port).unwrap_or(default),
                )],
            }
        };
        let hostnames = if self.hostname.is_empty() {
            file.hostname
        } else {
            self.hostname
        };
        for name in &hostnames {
            check_hostname(name)?;
        }
        Ok(CloudOptions {
            api: addresses(self.api, self.api_port, file.api, file.api_port, 8080),
            device: addresses(
                self.device,
                self.device_port,
                file.device,
                file.device_port,
                8443,
            ),
            mqtt: addresses(self.mqtt, self.mqtt_port, file.mqtt, file.mqtt_port, 8883),
            data_dir: self.data_dir,
            hostnames,
            region: self.region.or(file.region).unwrap_or_default(),
            account: self.account.or(file.account).unwrap_or_default(),
            ephemeral: self.ephemeral || file.ephemeral,
            insecure_accept_any_signature: self.insecure_accept_any_signature,
        })
    }
}

fn read(path: &Path) -> Result<RawFile, Report> {
    let failed = |message: &str, error: &dyn std::error::Error| {
        Report::new(Kind::Invalid, "configuration-file", message)
            .at(Place::file(path))
            .caused_by_error(error)
    };
    let text = std::fs::read_to_string(path)
        .map_err(|error| failed("cannot read the configuration file", &error))?;
    toml::from_str(&text).map_err(|error| failed("the configuration file is not valid", &error))
}

fn check_hostname(name: &str) -> Result<(), Report> {
    let valid = !name.is_empty()
        && name.len() <= 253
        && name.split('.').all(|label| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
    if valid {
        return Ok(());
    }
    Err(Report::new(
        Kind::Invalid,
        "hostname-invalid",
        format!("{name} is not a host name"),
    )
    .at(Place::Setting {
        name: "--hostname".to_owned(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        cloud: CloudArgs,
    }

    fn options(arguments: &[&str]) -> Result<CloudOptions, Report> {
        let all = ["sward", "--data-dir", "/d"].iter().chain(arguments);
        Command::parse_from(all).cloud.into_options()
    }

    fn shown(addresses: &[SocketAddr]) -> Vec<String> {
        addresses.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn listeners_come_from_long_forms_short_forms_and_defaults() {
        let found = options(&[]).expect("valid");
        assert_eq!(shown(&found.api), ["127.0.0.1:8080"]);
        assert_eq!(shown(&found.device), ["127.0.0.1:8443"]);
        assert_eq!(shown(&found.mqtt), ["127.0.0.1:8883"]);
        let found = options(&[
            "--listen",
            "0.0.0.0",
            "--api-port",
            "0",
            "--mqtt",
            "[::1]:1",
        ]);
        let found = found.expect("valid");
        assert_eq!(shown(&found.api), ["0.0.0.0:0"]);
        assert_eq!(shown(&found.device), ["0.0.0.0:8443"]);
        assert_eq!(shown(&found.mqtt), ["[::1]:1"]);
        assert!(options(&["--hostname", "a b"]).is_err());
    }

    #[test]
    fn the_command_line_wins_over_the_file() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let path = file.path().to_str().expect("a path");
        std::fs::write(
            file.path(),
            "api = [\"1.2.3.4:443\"]\ndevice-port = 1\nregion = \"eu-west-1\"\n",
        )
        .expect("written");
        let found = options(&["--config", path]).expect("valid");
        assert_eq!(shown(&found.api), ["1.2.3.4:443"]);
        assert_eq!(shown(&found.device), ["127.0.0.1:1"]);
        assert_eq!(found.region.as_str(), "eu-west-1");
        let found = options(&["--config", path, "--api-port", "5", "--region", "r1"]);
        let found = found.expect("valid");
        assert_eq!(shown(&found.api), ["127.0.0.1:5"]);
        assert_eq!(found.region.as_str(), "r1");
        std::fs::write(file.path(), "ports = 1\n").expect("written");
        let error = options(&["--config", path]).expect_err("an unknown name");
        assert!(error.one_line().contains("ports"), "{error}");
    }
}
