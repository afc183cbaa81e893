//! Receives local messages; needs a policy of `aws.greengrass.ipc.pubsub`.

use super::{Call, Events, Handled, Handler, refused, stream};
use crate::access::Service;
use sward_ipc_model::{
    IpcError, Operation, ReceiveMode, SubscribeToTopic, SubscribeToTopicRequest,
    SubscribeToTopicResponse,
};
use sward_policy::topic::{LocalFilter, local_levels};

/// Levels of a filter. Each costs memory while the subscription stands, and all are walked down
/// when it ends; topics of one's own rarely have ten.
const MAX_LEVELS: usize = 256;

impl Handler for SubscribeToTopic {
    fn handle(call: &Call<'_>, request: SubscribeToTopicRequest) -> Handled {
        if let Err(error) = call.authorize(Service::PubSub, Self::NAME, &request.topic) {
            return refused(error);
        }
        let filter = match LocalFilter::parse(&request.topic) {
            Ok(filter) => filter,
            Err(_) => return refused(IpcError::invalid("The topic is blank")),
        };
        if local_levels(&request.topic).nth(MAX_LEVELS).is_some() {
            return refused(IpcError::invalid(format!(
                "The topic has more than {MAX_LEVELS} levels"
            )));
        }
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
