//! Receives local messages; needs a policy of `aws.greengrass.ipc.pubsub`.

use super::{Call, Events, Handled, Handler, refused, stream};
use crate::access::Service;
use crate::bus::is_wildcard;
use sward_ipc_model::{
    Operation, ReceiveMode, SubscribeToTopic, SubscribeToTopicRequest, SubscribeToTopicResponse,
};

impl Handler for SubscribeToTopic {
    fn handle(call: &Call<'_>, request: SubscribeToTopicRequest) -> Handled {
        if let Err(error) = call.authorize(Service::PubSub, Self::NAME, &request.topic) {
            return refused(error);
        }
        let default = if is_wildcard(&request.topic) {
            ReceiveMode::FromOthers
        } else {
            ReceiveMode::All
        };
        let events = Events::Local {
            receive_mode: request.receive_mode.unwrap_or(default),
            filter: request.topic,
        };
        let response = SubscribeToTopicResponse::default();
        Handled::Done(stream::<SubscribeToTopic>(Ok((response, events))))
    }
}
