//! Messages to and from AWS IoT Core through the device's own MQTT connection.

use crate::Blob;
use crate::operation::{Empty, operation};
use serde::{Deserialize, Serialize};

operation!(
    /// Hands one message to the spooler.
    PublishToIoTCore(PublishToIoTCoreRequest) -> Empty
);
operation!(
    /// Receives messages from the broker.
    SubscribeToIoTCore(SubscribeToIoTCoreRequest) -> Empty,
    stream IoTCoreMessage
);

/// Quality of service as IPC spells it: `"0"` or `"1"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Qos {
    #[serde(rename = "0")]
    AtMostOnce,
    #[serde(rename = "1")]
    AtLeastOnce,
}

/// Whether a payload is text: `"0"` bytes, `"1"` UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PayloadFormat {
    #[serde(rename = "0")]
    Bytes,
    #[serde(rename = "1")]
    Utf8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UserProperty {
    #[serde(default)]
    pub key: String,
    #[serde(default)]
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishToIoTCoreRequest {
    pub topic_name: String,
    pub qos: Qos,
    /// Required by the service; absent is answered with an error of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Blob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_properties: Option<Vec<UserProperty>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_expiry_interval_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_data: Option<Blob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_format: Option<PayloadFormat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscribeToIoTCoreRequest {
    pub topic_name: String,
    pub qos: Qos,
}

/// The stream's union: one received message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IoTCoreMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<MqttMessage>,
}

/// A received MQTT message with those MQTT 5 properties that IPC knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MqttMessage {
    pub topic_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Blob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retain: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_properties: Option<Vec<UserProperty>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_expiry_interval_seconds: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correlation_data: Option<Blob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub response_topic: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_format: Option<PayloadFormat>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}
