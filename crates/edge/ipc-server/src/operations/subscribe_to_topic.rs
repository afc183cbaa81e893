//! Receives local messages; needs a policy of `aws.greengrass.ipc.pubsub`.

use super::{Call, Events, Handled, Handler, refused, stream};
use crate::access::Service;
use sward_ipc_model::{
    IpcError, Operation, ReceiveMode, SubscribeToTopic, SubscribeToTopicRequest,
    SubscribeToTopicResponse,
};
use sward_policy::topic::LocalFilter;

impl Handler for SubscribeToTopic {
    fn handle(call: &Call<'_>, request: SubscribeToTopicRequest) -> Handled {
        if let Err(error) = call.authorize(Service::PubSub, Self::NAME, &request.topic) {
            return refused(error);
        }
        let filter = match LocalFilter::parse(&request.topic) {
            Ok(filter) => filter,
            Err(_) => return refused(IpcError::invalid("The topic is blank")),
        };
        let default = if filter.has_wildcard() {
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
