//! Tells the caller before and after deployments; no policy is needed.

use super::{Call, Events, Handled, Handler, refused, stream};
use sward_ipc_model::{Empty, SubscribeToComponentUpdates};

impl Handler for SubscribeToComponentUpdates {
    fn handle(call: &Call<'_>, _request: Empty) -> Handled {
        let component = match call.component() {
            Ok(component) => component,
            Err(error) => return refused(error),
        };
        let mut notices = call.shared.ports.lifecycle.component_updates(component);
        let events = Events::source(move |sink| async move {
            while let Some(notice) = notices.recv().await {
                if !sink.send(&notice) {
                    break;
                }
            }
        });
        Handled::Done(stream::<SubscribeToComponentUpdates>(Ok((
            Empty {},
            events,
        ))))
    }
}
