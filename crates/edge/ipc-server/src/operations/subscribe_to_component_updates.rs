//! Tells the caller before and after deployments; no policy is needed.

use super::{Call, Events, Handled, Handler, stream};
use sward_ipc_model::{Empty, SubscribeToComponentUpdates};

impl Handler for SubscribeToComponentUpdates {
    fn handle(call: &Call<'_>, _request: Empty) -> Handled {
        let mut notices = call.shared.ports.lifecycle.component_updates(call.caller());
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
