//! Reads a configuration value of any component; no policy is needed.

use super::{Call, Handled, Handler, now};
use serde_json::{Map, Value};
use sward_ipc_model::{
    Document, GetConfiguration, GetConfigurationRequest, GetConfigurationResponse, IpcError,
};

impl Handler for GetConfiguration {
    fn handle(call: &Call<'_>, request: GetConfigurationRequest) -> Handled {
        let component = request.component_name.as_deref().unwrap_or(call.caller());
        let key_path = request.key_path.unwrap_or_default();
        let found = call.shared.ports.configuration.get(component, &key_path);
        now::<GetConfiguration>(
            found
                .map(|value| GetConfigurationResponse {
                    component_name: Some(component.to_owned()),
                    value: Some(wrap(value, key_path.last())),
                })
                .ok_or_else(|| IpcError::not_found("Key not found", None, None)),
        )
    }
}

/// An object is answered as it is, anything else under its key.
fn wrap(value: Value, last_key: Option<&String>) -> Document {
    match value {
        Value::Object(members) => members,
        leaf => Map::from_iter([(last_key.cloned().unwrap_or_default(), leaf)]),
    }
}
