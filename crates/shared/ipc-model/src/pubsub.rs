//! Local publish/subscribe.

use crate::operation::{Empty, operation};
use crate::{Blob, Document};
use serde::{Deserialize, Serialize};

operation!(
    /// Publishes one message to the components of this device.
    PublishToTopic(PublishToTopicRequest) -> Empty
);
operation!(
    /// Receives the messages whose topic fits a filter.
    SubscribeToTopic(SubscribeToTopicRequest) -> SubscribeToTopicResponse,
    stream SubscriptionResponseMessage
);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishToTopicRequest {
    pub topic: String,
    pub publish_message: PublishMessage,
}

/// A message as published or delivered: exactly one of the members is set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PublishMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub json_message: Option<JsonMessage>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binary_message: Option<BinaryMessage>,
}

impl PublishMessage {
    /// A binary message without context.
    #[must_use]
    pub fn binary(bytes: impl Into<Vec<u8>>) -> Self {
        PublishMessage {
            json_message: None,
            binary_message: Some(BinaryMessage {
                message: Some(Blob(bytes.into())),
                context: None,
            }),
        }
    }

    /// A JSON message without context.
    #[must_use]
    pub fn json(message: Document) -> Self {
        PublishMessage {
            json_message: Some(JsonMessage {
                message: Some(message),
                context: None,
            }),
            binary_message: None,
        }
    }
}

/// One delivered message.
pub type SubscriptionResponseMessage = PublishMessage;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct JsonMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Document>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<MessageContext>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BinaryMessage {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<Blob>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context: Option<MessageContext>,
}

/// Set by the service on delivery; what a publisher writes here is ignored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MessageContext {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscribeToTopicRequest {
    pub topic: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receive_mode: Option<ReceiveMode>,
}

/// Whether a subscriber hears its own component.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReceiveMode {
    #[serde(rename = "RECEIVE_ALL_MESSAGES")]
    All,
    #[serde(rename = "RECEIVE_MESSAGES_FROM_OTHERS")]
    FromOthers,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscribeToTopicResponse {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_name: Option<String>,
}
