//! Hands a message to the spooler; needs a policy of `aws.greengrass.ipc.mqttproxy`.

use super::{Call, Handled, Handler, invalid_topic, later, refused};
use crate::access::Service;
use std::sync::Arc;
use sward_ipc_model::{Empty, IpcError, Operation, PublishToIoTCore, PublishToIoTCoreRequest};
use sward_policy::topic::{MqttVersion, check_iot_core_publish};

impl Handler for PublishToIoTCore {
    fn handle(call: &Call<'_>, request: PublishToIoTCoreRequest) -> Handled {
        if request.payload.is_none() {
            return refused(IpcError::invalid("Payload is required"));
        }
        if let Err(error) = call.authorize(Service::MqttProxy, Self::NAME, &request.topic_name) {
            return refused(error);
        }
        if let Err(invalid) = check_iot_core_publish(&request.topic_name, MqttVersion::V5) {
            return refused(invalid_topic(invalid));
        }
        let iot_core = Arc::clone(&call.shared.ports.iot_core);
        later::<PublishToIoTCore>(async move {
            iot_core.publish(request).await?;
            Ok(Empty {})
        })
    }
}
