//! The nucleus configuration's `mqtt` section, checked (core-device facts §5.2, appendix E).

use super::backoff;
use crate::spooler::SpoolerSettings;
use serde_json::Value;
use std::time::Duration;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_model::ThingName;
use sward_mqtt::Version;

/// How the device connects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MqttSettings {
    /// `iotDataEndpoint`; also the name in TLS.
    pub endpoint: String,
    pub port: u16,
    pub thing_name: ThingName,
    pub version: Version,
    /// Seconds; 0 = none.
    pub keep_alive: u16,
    pub ping_timeout: Duration,
    pub operation_timeout: Duration,
    /// TCP and TLS together.
    pub connect_timeout: Duration,
    pub max_in_flight: u16,
    /// Bytes of a payload.
    pub max_message_size: usize,
    /// `None` = unlimited.
    pub max_publish_retry: Option<u32>,
    pub receive_maximum: u16,
    /// Seconds.
    pub session_expiry: u32,
    pub first_reconnect_delay: Duration,
    pub longest_reconnect_delay: Duration,
    /// A connection that held this long makes the next reconnect quick again.
    pub stable_after: Duration,
    pub spooler: SpoolerSettings,
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name} cannot be {value}: {reason}")]
pub struct SettingsError {
    pub name: String,
    pub value: String,
    pub reason: &'static str,
}

impl Diagnose for SettingsError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn code(&self) -> &'static str {
        "mqtt-setting-invalid"
    }

    fn place(&self) -> Option<Place> {
        Some(Place::Setting {
            name: self.name.clone(),
        })
    }
}

impl MqttSettings {
    /// The defaults of the nucleus.
    #[must_use]
    pub fn new(endpoint: impl Into<String>, thing_name: ThingName) -> MqttSettings {
        MqttSettings {
            endpoint: endpoint.into(),
            port: 8883,
            thing_name,
            version: Version::V5,
            keep_alive: 60,
            ping_timeout: Duration::from_secs(30),
            operation_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(10),
            max_in_flight: 5,
            max_message_size: 131_072,
            max_publish_retry: Some(100),
            receive_maximum: 100,
            session_expiry: 604_800,
            first_reconnect_delay: backoff::FIRST,
            longest_reconnect_delay: backoff::LONGEST,
            stable_after: Duration::from_secs(20),
            spooler: SpoolerSettings::default(),
        }
    }

    /// From the nucleus's `configuration`: `iotDataEndpoint` and `mqtt`. Unknown keys are ignored;
    /// numbers may be written as text, as everywhere in the nucleus's configuration.
    pub fn from_configuration(
        thing_name: ThingName,
        configuration: &Value,
    ) -> Result<MqttSettings, SettingsError> {
        let endpoint = member(configuration, "iotDataEndpoint")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if endpoint.is_empty() {
            return Err(SettingsError {
                name: "iotDataEndpoint".into(),
                value: "empty".into(),
                reason: "it names the cloud's MQTT host",
            });
        }
        let defaults = MqttSettings::new(endpoint, thing_name);
        let section = Section(member(configuration, "mqtt").unwrap_or(&Value::Null));
        let spool = Section(member(section.0, "spooler").unwrap_or(&Value::Null));
        let keep_alive_ms = section.number("keepAliveTimeoutMs", 60_000, 0, 65_535_000)?;
        let ping_ms = section.number("pingTimeoutMs", 30_000, 1, 3_600_000)?;
        if keep_alive_ms != 0 && keep_alive_ms <= ping_ms {
            return Err(SettingsError {
                name: "mqtt.keepAliveTimeoutMs".into(),
                value: keep_alive_ms.to_string(),
                reason: "it must be 0 or greater than mqtt.pingTimeoutMs",
            });
        }
        let version = match member(section.0, "version").and_then(Value::as_str) {
            None => Version::V5,
            Some(text) if text.eq_ignore_ascii_case("mqtt5") => Version::V5,
            Some(_) => Version::V311,
        };
        let seconds = |name: &str, default: Duration| {
            let default = default.as_millis() as i64;
            let key = section.number(name, -1, -1, 86_400)?;
            let milliseconds = if key < 0 { default } else { key * 1000 };
            Ok(Duration::from_millis(milliseconds.unsigned_abs()))
        };
        let retries = section.number("maxPublishRetry", 100, -1, i64::from(u32::MAX))?;
        // The nucleus's socket time-out is for TCP alone; a handshake may take as long again.
        let socket_ms = section.number("socketTimeoutMs", 3000, 1, 3_600_000)?;
        Ok(MqttSettings {
            port: to(section.number("port", 8883, 1, 65_535)?),
            version,
            keep_alive: to((keep_alive_ms + 999) / 1000),
            ping_timeout: millis(ping_ms),
            operation_timeout: millis(section.number(
                "operationTimeoutMs",
                30_000,
                1,
                3_600_000,
            )?),
            connect_timeout: millis(socket_ms.max(3000) * 2),
            max_in_flight: to(section.number("maxInFlightPublishes", 5, 1, 100)?),
            max_message_size: to(section.number("maxMessageSizeInBytes", 131_072, 1, 1 << 28)?),
            max_publish_retry: u32::try_from(retries).ok(),
            receive_maximum: to(section.number("receiveMaximum", 100, 1, 65_535)?),
            session_expiry: to(section.number("sessionExpirySeconds", 604_800, 0, 0xffff_ffff)?),
            first_reconnect_delay: seconds("minimumReconnectDelaySeconds", backoff::FIRST)?,
            longest_reconnect_delay: seconds("maximumReconnectDelaySeconds", backoff::LONGEST)?,
            stable_after: seconds(
                "minimumConnectedTimeBeforeRetryResetSeconds",
                defaults.stable_after,
            )?,
            spooler: SpoolerSettings {
                max_size_bytes: to(spool.number("maxSizeInBytes", 2_621_440, 1, i64::MAX)?),
                keep_qos0_when_offline: spool.flag("keepQos0WhenOffline"),
            },
            ..defaults
        })
    }

    /// The client id of a connection: the thing's name, then `name#2`, `name#3`, …
    #[must_use]
    pub fn client_id(&self, connection: usize) -> String {
        match connection {
            0 => self.thing_name.to_string(),
            further => format!("{}#{}", self.thing_name, further + 1),
        }
    }

    /// The user name, which tells AWS's metrics what connects; there is no password.
    #[must_use]
    pub fn username(&self) -> String {
        format!(
            "?SDK=Sward&Version={}&Platform=Unix",
            sward_model::NUCLEUS_VERSION
        )
    }
}

/// Values were checked against their range, so that nothing is cut.
fn to<T: TryFrom<i64> + Default>(number: i64) -> T {
    T::try_from(number).unwrap_or_default()
}

fn millis(number: i64) -> Duration {
    Duration::from_millis(number.unsigned_abs())
}

/// A member whose key is compared without case, as the nucleus's configuration does.
fn member<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    value
        .as_object()?
        .iter()
        .find(|(key, _)| key.eq_ignore_ascii_case(name))
        .map(|(_, value)| value)
}

struct Section<'a>(&'a Value);

impl Section<'_> {
    fn number(
        &self,
        name: &str,
        default: i64,
        least: i64,
        most: i64,
    ) -> Result<i64, SettingsError> {
        let value = match member(self.0, name) {
            None | Some(Value::Null) => return Ok(default),
            Some(value) => value,
        };
        let fault = |reason| SettingsError {
            name: format!("mqtt.{name}"),
            value: value.to_string(),
            reason,
        };
        let number = match value {
            Value::Number(number) => number
                .as_i64()
                .or_else(|| number.as_f64().map(|number| number as i64)),
            Value::String(text) => text.trim().parse().ok(),
            _ => None,
        }
        .ok_or_else(|| fault("it is not a number"))?;
        if number < least || number > most {
            return Err(fault("it is out of range"));
        }
        Ok(number)
    }

    fn flag(&self, name: &str) -> bool {
        match member(self.0, name) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::String(text)) => text.eq_ignore_ascii_case("true"),
            _ => false,
        }
    }
}
