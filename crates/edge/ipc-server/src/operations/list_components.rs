//! All components but `main`; needs a policy of `aws.greengrass.Cli`.

use super::{Call, Handled, Handler, now};
use crate::access::Service;
use sward_ipc_model::{Empty, ListComponents, ListComponentsResponse, Operation};

impl Handler for ListComponents {
    fn handle(call: &Call<'_>, _request: Empty) -> Handled {
        now::<ListComponents>(call.authorize(Service::Cli, Self::NAME, "*").map(|()| {
            ListComponentsResponse {
                components: Some(call.shared.ports.components.list()),
            }
        }))
    }
}
