//! Values that stand where nobody has set one (core-device §5.2), stored like the nucleus does.

use serde_json::{Map, Value, json};

/// The time of a default: older than anything anybody sets.
pub(crate) const DEFAULT_MS: i64 = 1;

/// `system`.
pub(crate) fn system() -> Map<String, Value> {
    map(json!({
        "certificateFilePath": "",
        "privateKeyPath": "",
        "rootCaPath": "",
        "rootpath": "",
        "thingName": "",
    }))
}

/// `services.aws.greengrass.Nucleus`.
pub(crate) fn nucleus() -> Map<String, Value> {
    map(json!({
        "componentType": "NUCLEUS",
        "configuration": {
            "awsRegion": "",
            "componentStoreMaxSizeBytes": 10_000_000_000_u64,
            "deploymentPollingFrequencySeconds": 15,
            "fipsMode": "false",
            "greengrassDataPlaneEndpoint": "",
            "greengrassDataPlanePort": 8443,
            "iotCredEndpoint": "",
            "iotDataEndpoint": "",
            "iotRoleAlias": "",
            "logging": {},
            "mqtt": { "spooler": {} },
            "networkProxy": { "proxy": {} },
            "platformOverride": {},
            "runWithDefault": { "posixShell": "sh" },
            "telemetry": {},
        },
        "dependencies": [],
        "lifecycle": {},
        "version": sward_model::NUCLEUS_VERSION,
    }))
}

/// `services.main`.
pub(crate) fn main() -> Map<String, Value> {
    map(json!({ "dependencies": [], "lifecycle": {} }))
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
