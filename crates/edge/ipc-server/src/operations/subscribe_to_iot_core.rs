//! Receives messages from the broker; needs a policy of `aws.greengrass.ipc.mqttproxy`.

use super::{Call, Events, Handled, Handler, invalid_topic, refused, stream};
use crate::access::Service;
use std::sync::Arc;
use sward_ipc_model::{
    Empty, IoTCoreMessage, Operation, PayloadFormat, SubscribeToIoTCore, SubscribeToIoTCoreRequest,
};
use sward_policy::topic::{MqttVersion, check_iot_core_subscribe};

impl Handler for SubscribeToIoTCore {
    fn handle(call: &Call<'_>, request: SubscribeToIoTCoreRequest) -> Handled {
        if let Err(error) = call.authorize(Service::MqttProxy, Self::NAME, &request.topic_name) {
            return refused(error);
        }
        if let Err(invalid) = check_iot_core_subscribe(&request.topic_name, MqttVersion::V5) {
            return refused(invalid_topic(invalid));
        }
        let iot_core = Arc::clone(&call.shared.ports.iot_core);
        Handled::Waiting(Box::pin(async move {
            let mut subscription = iot_core.subscribe(&request.topic_name, request.qos).await?;
            let events = Events::source(move |sink| async move {
                while let Some(mut message) = subscription.messages.recv().await {
                    // Clients expect the member to be there always.
                    message.payload_format.get_or_insert(PayloadFormat::Bytes);
                    let event = IoTCoreMessage {
                        message: Some(message),
                    };
                    if !sink.send(&event) {
                        break;
                    }
                }
                drop(subscription);
            });
            stream::<SubscribeToIoTCore>(Ok((Empty {}, events)))
        }))
    }
}
