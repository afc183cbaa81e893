//! Asks the caller before a deployment changes its configuration.

use super::{Call, Events, Handled, Handler, refused, stream};
use sward_ipc_model::{
    Empty, SubscribeToValidateConfigurationUpdates, ValidateConfigurationUpdateEvents,
};

impl Handler for SubscribeToValidateConfigurationUpdates {
    fn handle(call: &Call<'_>, _request: Empty) -> Handled {
        let component = match call.component() {
            Ok(component) => component,
            Err(error) => return refused(error),
        };
        let questions = call.shared.ports.configuration.validations(component);
        let events = Events::source(move |sink| async move {
            let Some(mut questions) = questions else {
                // An earlier subscription of the component is asked; this one stays silent.
                return std::future::pending().await;
            };
            while let Some(question) = questions.recv().await {
                let event = ValidateConfigurationUpdateEvents {
                    validate_configuration_update_event: Some(question),
                };
                if !sink.send(&event) {
                    break;
                }
            }
        });
        Handled::Done(stream::<SubscribeToValidateConfigurationUpdates>(Ok((
            Empty {},
            events,
        ))))
    }
}
