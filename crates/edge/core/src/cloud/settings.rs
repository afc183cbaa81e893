//! What the connected part reads of the configuration, leniently: a device whose settings keep it
//! from the cloud cannot be mended from there.

use serde_json::Value;
use sward_diagnosis::{Diagnose as _, Report};
use sward_engine::configuration::Configuration;
use sward_model::{NUCLEUS_NAME, ThingName};
use sward_uplink::fleet_status::DEFAULT_CADENCE_MS;
use sward_uplink::mqtt::MqttSettings;

/// A section of the configuration.
pub(super) struct Section(Value);

impl Section {
    pub(super) fn at(configuration: &Configuration, path: &[&str]) -> Self {
        Section(configuration.get(path).unwrap_or(Value::Null))
    }

    pub(super) fn nucleus(configuration: &Configuration) -> Self {
        Section::at(configuration, &["services", NUCLEUS_NAME, "configuration"])
    }

    pub(super) fn value(&self, key: &str) -> &Value {
        &self.0[key]
    }

    pub(super) fn text(&self, key: &str) -> String {
        self.0[key].as_str().unwrap_or_default().trim().to_owned()
    }

    /// A port written as number or text; the default where it is neither.
    pub(super) fn port(&self, key: &str, default: u16) -> u16 {
        let value = &self.0[key];
        let read = match value {
            Value::Null => Some(default),
            Value::String(text) if text.trim().is_empty() => Some(default),
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_u64().and_then(|number| u16::try_from(number).ok()),
        };
        read.unwrap_or_else(|| {
            tracing::error!(key, value = %value, default, "this is no port; the default is taken");
            default
        })
    }
}

/// The MQTT settings; one that cannot be used is left out.
pub(super) fn mqtt(thing: &ThingName, nucleus: &Section) -> Result<MqttSettings, Report> {
    let mut configuration = nucleus.0.clone();
    loop {
        let error = match MqttSettings::from_configuration(thing.clone(), &configuration) {
            Ok(settings) => return Ok(settings),
            Err(error) => error,
        };
        if !leave_out(&mut configuration, &error.name) {
            return Err(error.report());
        }
        tracing::error!(error = %error.report().one_line(), "the setting is left out");
    }
}

/// Leaves a setting out by the name that its fault gives; whether there was anything to leave out.
fn leave_out(configuration: &mut Value, name: &str) -> bool {
    let Some(section) = member(configuration, "mqtt") else {
        return false;
    };
    let key = name.strip_prefix("mqtt.").unwrap_or(name);
    remove(section, key)
        || member(section, "spooler").is_some_and(|spooler| remove(spooler, key))
        // The other of the two that must fit together.
        || remove(section, "pingTimeoutMs")
}

fn member<'a>(value: &'a mut Value, name: &str) -> Option<&'a mut Value> {
    let mut members = value.as_object_mut()?.iter_mut();
    let (_, found) = members.find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(found)
}

fn remove(value: &mut Value, name: &str) -> bool {
    let Some(map) = value.as_object_mut() else {
        return false;
    };
    let before = map.len();
    map.retain(|key, _| !key.eq_ignore_ascii_case(name));
    map.len() < before
}

/// `fleetStatus.periodicStatusPublishIntervalSeconds`; less than a day is not taken.
pub(super) fn cadence_ms(nucleus: &Section) -> u64 {
    let value = &nucleus.value("fleetStatus")["periodicStatusPublishIntervalSeconds"];
    let seconds = value
        .as_u64()
        .or_else(|| value.as_str()?.trim().parse().ok());
    let wanted = seconds.unwrap_or(0).saturating_mul(1000);
    // A hundred years are as good as for ever, and can be added to any time.
    wanted.clamp(DEFAULT_CADENCE_MS, DEFAULT_CADENCE_MS * 36_525)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_setting_that_cannot_be_used_keeps_no_device_from_the_cloud() {
        let thing: ThingName = "T".parse().expect("a name");
        let read = |section: Value| {
            let nucleus = json!({ "iotDataEndpoint": "data.example", "mqtt": section });
            mqtt(&thing, &Section(nucleus)).expect("settings")
        };
        let settings = read(json!({
            "port": 28883, "keepAliveTimeoutMs": "soon", "maxInFlightPublishes": 0,
            "spooler": { "maxSizeInBytes": -5 },
        }));
        assert_eq!((settings.port, settings.keep_alive), (28883, 60));
        assert_eq!(settings.max_in_flight, 5);
        assert_eq!(settings.spooler.max_size_bytes, 2_621_440);
        // Two that do not fit together: the defaults do.
        let settings = read(json!({ "Port": 1, "pingTimeoutMs": 90_000 }));
        assert_eq!((settings.port, settings.keep_alive), (1, 60));
        assert_eq!(settings.ping_timeout.as_secs(), 30);
        assert_eq!(read(json!("nonsense")).port, 8883);
        assert!(mqtt(&thing, &Section(json!({ "mqtt": { "port": 1 } }))).is_err());
    }

    #[test]
    fn ports_and_cadence() {
        let section = Section(json!({ "a": "8443", "b": 70_000, "c": " ", "d": [] }));
        let ports = ["a", "b", "c", "d", "e"].map(|key| section.port(key, 5));
        assert_eq!(ports, [8443, 5, 5, 5, 5]);
        let cadence = |seconds: Value| {
            cadence_ms(&Section(json!({
                "fleetStatus": { "periodicStatusPublishIntervalSeconds": seconds }
            })))
        };
        assert_eq!(cadence(json!(604_800)), 604_800_000);
        assert_eq!(cadence(json!("172800")), 172_800_000);
        assert_eq!(cadence(json!(5)), DEFAULT_CADENCE_MS);
        assert_eq!(cadence(json!(null)), DEFAULT_CADENCE_MS);
        assert!(cadence(json!(u64::MAX)) < u64::MAX / 2);
    }
}
