//! How the service behind the gateway sends messages to devices.

use crate::ports::{Origin, Tenant};
use async_trait::async_trait;
use bytes::Bytes;
use std::sync::Arc;
use sward_diagnosis::{Diagnose, Kind, Place};

/// A message from the service.
#[derive(Clone, Debug, Default)]
pub struct ServiceMessage {
    pub topic: String,
    pub payload: Bytes,
    /// 0 or 1.
    pub qos: u8,
    pub retain: bool,
    pub content_type: Option<String>,
    pub response_topic: Option<String>,
    pub correlation_data: Option<Bytes>,
    /// 1 says that the payload is UTF-8 text.
    pub payload_format_indicator: Option<u8>,
    /// Seconds that the message may wait for a client.
    pub message_expiry: Option<u32>,
    pub user_properties: Vec<(String, String)>,
}

impl ServiceMessage {
    /// A QoS 1 message.
    #[must_use]
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> ServiceMessage {
        ServiceMessage {
            topic: topic.into(),
            payload: payload.into(),
            qos: 1,
            ..ServiceMessage::default()
        }
    }
}

/// How many sessions a message was given to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    pub sessions: usize,
}

/// Why a message of the service was not sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The topic is empty, too long or holds a wildcard.
    #[error("the topic cannot be published to: {reason}")]
    Topic { topic: String, reason: &'static str },
    /// The payload is larger than a client may receive.
    #[error("the payload has {size} bytes, at most {limit} are allowed")]
    TooLarge { size: usize, limit: usize },
    /// Persistent sessions could not be written.
    #[error("the message could not be made durable: {reason}")]
    Store { reason: String },
}

impl Diagnose for PublishError {
    fn kind(&self) -> Kind {
        match self {
            PublishError::Topic { .. } => Kind::Invalid,
            PublishError::TooLarge { .. } => Kind::TooLarge,
            PublishError::Store { .. } => Kind::Unavailable,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            PublishError::Topic { .. } => "publish-topic-invalid",
            PublishError::TooLarge { .. } => "publish-too-large",
            PublishError::Store { .. } => "publish-store-failed",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            PublishError::Topic { topic, .. } => Some(Place::Topic {
                topic: topic.clone(),
            }),
            _ => None,
        }
    }
}

/// A cloneable handle that sends messages to devices.
#[derive(Clone)]
pub struct Publisher(Arc<dyn Publish>);

/// What a publisher is made of; implemented by the gateway's hub and by fakes in tests.
#[async_trait]
pub trait Publish: Send + Sync + 'static {
    /// Gives a message to every subscriber; returns once persistent sessions have it.
    async fn publish(
        &self,
        tenant: &Tenant,
        message: ServiceMessage,
        also_to: Option<&Origin>,
    ) -> Result<Delivered, PublishError>;
}

impl Publisher {
    /// A publisher over any implementation.
    pub fn new(publish: impl Publish) -> Publisher {
        Publisher(Arc::new(publish))
    }

    /// Gives a message to every subscriber of its topic; returns once persistent sessions have it.
    pub async fn publish(
        &self,
        tenant: &Tenant,
        message: ServiceMessage,
    ) -> Result<Delivered, PublishError> {
        self.0.publish(tenant, message, None).await
    }

    /// Answers a reserved publish: like [`publish`](Publisher::publish), and the asking connection
    /// gets the message also when it has not subscribed (a nucleus asks before it resubscribes).
    pub async fn reply(
        &self,
        origin: &Origin,
        message: ServiceMessage,
    ) -> Result<Delivered, PublishError> {
        self.0.publish(&origin.tenant, message, Some(origin)).await
    }
}
