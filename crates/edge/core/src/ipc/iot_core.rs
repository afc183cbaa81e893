//! Messages to and from AWS IoT Core, over the device's own connection.

use std::sync::Arc;
use sward_ipc_model::{
    Blob, IpcError, MqttMessage, PayloadFormat, PublishToIoTCoreRequest, Qos, UserProperty,
};
use sward_ipc_server::{IotCorePort, IotCoreSubscription, PortFuture};
use sward_task::Tasks;
use sward_uplink::mqtt::{IncomingMessage, MessageProperties, MqttClient, OutgoingMessage};
use tokio::sync::mpsc;

/// Messages that wait for a slow component before new ones are dropped.
const INBOX: usize = 256;

/// The port; without a cloud every call says so.
pub(crate) struct IotCore {
    client: Option<MqttClient>,
    tasks: Tasks,
}

impl IotCore {
    pub(crate) fn new(client: Option<MqttClient>, tasks: &Tasks) -> Arc<Self> {
        Arc::new(IotCore {
            client,
            tasks: tasks.clone(),
        })
    }

    fn client(&self) -> Result<&MqttClient, IpcError> {
        self.client.as_ref().ok_or_else(|| {
            IpcError::service("this core is not connected to AWS IoT Core: it was started without a configuration for it")
        })
    }
}

impl IotCorePort for IotCore {
    fn publish(&self, request: PublishToIoTCoreRequest) -> PortFuture<'_, ()> {
        Box::pin(async move {
            // Whoever wants to know of the arrival uses QoS 1 and an answer of the other side: the
            // acknowledgement of the broker is not waited for, as in AWS's nucleus.
            self.client()?
                .publish(outgoing(request))
                .map(drop)
                .map_err(|error| super::ipc_error(&error))
        })
    }

    fn subscribe<'a>(&'a self, filter: &'a str, qos: Qos) -> PortFuture<'a, IotCoreSubscription> {
        Box::pin(async move {
            let client = self.client()?;
            let mut subscription = client
                .subscribe(filter, quality(qos))
                .await
                .map_err(|error| super::ipc_error(&error))?;
            let (sender, messages) = mpsc::channel(INBOX);
            let stop = self.tasks.token();
            self.tasks.spawn("iot-core-subscription", async move {
                loop {
                    let message = tokio::select! {
                        message = subscription.recv() => message,
                        () = sender.closed() => return,
                        () = stop.cancelled() => return,
                    };
                    let Some(message) = message else { return };
                    // A full inbox is the component's loss; everybody else goes on.
                    if let Err(mpsc::error::TrySendError::Full(lost)) =
                        sender.try_send(incoming(message))
                    {
                        tracing::warn!(
                            topic = lost.topic_name,
                            "a component is too slow, a message is dropped"
                        );
                    }
                }
            });
            Ok(IotCoreSubscription {
                messages,
                guard: None,
            })
        })
    }
}

fn quality(qos: Qos) -> sward_mqtt::Qos {
    match qos {
        Qos::AtMostOnce => sward_mqtt::Qos::AtMostOnce,
        Qos::AtLeastOnce => sward_mqtt::Qos::AtLeastOnce,
    }
}

fn outgoing(request: PublishToIoTCoreRequest) -> OutgoingMessage {
    OutgoingMessage {
        topic: request.topic_name,
        payload: request
            .payload
            .map(|Blob(bytes)| bytes.into())
            .unwrap_or_default(),
        qos: quality(request.qos),
        retain: request.retain.unwrap_or(false),
        properties: MessageProperties {
            payload_format: Some(u8::from(
                request.payload_format == Some(PayloadFormat::Utf8),
            )),
            message_expiry: request
                .message_expiry_interval_seconds
                .and_then(|seconds| u32::try_from(seconds).ok()),
            content_type: request.content_type,
            response_topic: request.response_topic,
            correlation_data: request.correlation_data.map(|Blob(bytes)| bytes.into()),
            user_properties: request
                .user_properties
                .unwrap_or_default()
                .into_iter()
                .map(|property| (property.key, property.value))
                .collect(),
        },
    }
}

fn incoming(message: IncomingMessage) -> MqttMessage {
    let MessageProperties {
        payload_format,
        message_expiry,
        content_type,
        response_topic,
        correlation_data,
        user_properties,
    } = message.properties;
    let user_properties: Vec<UserProperty> = user_properties
        .into_iter()
        .map(|(key, value)| UserProperty { key, value })
        .collect();
    MqttMessage {
        topic_name: message.topic,
        payload: Some(Blob(message.payload.to_vec())),
        retain: message.retain.then_some(true),
        user_properties: (!user_properties.is_empty()).then_some(user_properties),
        message_expiry_interval_seconds: message_expiry.map(i64::from),
        correlation_data: correlation_data.map(|bytes| Blob(bytes.to_vec())),
        response_topic,
        payload_format: payload_format.map(|format| match format {
            1 => PayloadFormat::Utf8,
            _ => PayloadFormat::Bytes,
        }),
        content_type,
    }
}
