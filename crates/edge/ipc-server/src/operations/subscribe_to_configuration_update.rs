//! Hears which keys of a component's configuration change; no policy is needed.

use super::{Call, Events, Handled, Handler, stream};
use sward_ipc_model::{
    ConfigurationUpdateEvent, ConfigurationUpdateEvents, Empty, IpcError,
    SubscribeToConfigurationUpdate, SubscribeToConfigurationUpdateRequest,
};

impl Handler for SubscribeToConfigurationUpdate {
    fn handle(call: &Call<'_>, request: SubscribeToConfigurationUpdateRequest) -> Handled {
        let component = request
            .component_name
            .unwrap_or_else(|| call.caller().to_string());
        let key_path = request.key_path.unwrap_or_default();
        let watched = call.shared.ports.configuration.watch(&component, &key_path);
        let Some(mut changes) = watched else {
            return super::refused(IpcError::not_found("Key not found", None, None));
        };
        let events = Events::source(move |sink| async move {
            while let Some(key_path) = changes.recv().await {
                let event = ConfigurationUpdateEvents {
                    configuration_update_event: Some(ConfigurationUpdateEvent {
                        component_name: component.clone(),
                        key_path,
                    }),
                };
                if !sink.send(&event) {
                    break;
                }
            }
        });
        Handled::Done(stream::<SubscribeToConfigurationUpdate>(Ok((
            Empty {},
            events,
        ))))
    }
}
