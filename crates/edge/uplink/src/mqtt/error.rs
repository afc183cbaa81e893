//! What can go wrong between the device and the cloud's broker.

use std::borrow::Cow;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_mqtt::Reason;

/// Why a message that the spool had accepted did not reach the cloud.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishFailure {
    /// The cloud refused it for good.
    #[error("the cloud refused the message: {reason}")]
    Refused { topic: String, reason: Reason },
    /// It failed as often as `maxPublishRetry` allows.
    #[error("the message was given up after its last try: {reason}")]
    GivenUp { topic: String, reason: Reason },
    /// It was QoS 0, and newer messages needed its room or the connection was lost.
    #[error("the QoS 0 message was dropped")]
    Dropped,
}

impl Diagnose for PublishFailure {
    fn kind(&self) -> Kind {
        match self {
            PublishFailure::Refused { reason, .. } if *reason == Reason::NOT_AUTHORIZED => {
                Kind::Denied
            }
            PublishFailure::Refused { .. } => Kind::Invalid,
            PublishFailure::GivenUp { .. } => Kind::Unavailable,
            PublishFailure::Dropped => Kind::Limit,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            PublishFailure::Refused { .. } => "mqtt-publish-refused",
            PublishFailure::GivenUp { .. } => "mqtt-publish-given-up",
            PublishFailure::Dropped => "mqtt-publish-dropped",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            PublishFailure::Refused { topic, reason } if *reason == Reason::NOT_AUTHORIZED => {
                Some(Place::permission("iot:Publish", format!("topic/{topic}")))
            }
            PublishFailure::Refused { topic, .. } | PublishFailure::GivenUp { topic, .. } => {
                Some(Place::Topic {
                    topic: topic.clone(),
                })
            }
            PublishFailure::Dropped => None,
        }
    }
}

/// Why a subscription was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscribeError {
    /// The text is no filter.
    #[error("{filter} is not a topic filter")]
    Filter { filter: String },
    /// The cloud refused it.
    #[error("the cloud refused the subscription to {filter}: {reason}")]
    Refused { filter: String, reason: Reason },
    /// The cloud did not answer in time; it is tried again for those who still want it.
    #[error("the cloud did not answer the subscription to {filter} in time")]
    TimedOut { filter: String },
    /// The client has stopped.
    #[error("the MQTT client has stopped before it could subscribe to {filter}")]
    Stopped { filter: String },
}

impl Diagnose for SubscribeError {
    fn kind(&self) -> Kind {
        match self {
            SubscribeError::Filter { .. } => Kind::Invalid,
            SubscribeError::Refused { reason, .. } if *reason == Reason::NOT_AUTHORIZED => {
                Kind::Denied
            }
            SubscribeError::Refused { .. } => Kind::Invalid,
            SubscribeError::TimedOut { .. } => Kind::Timeout,
            SubscribeError::Stopped { .. } => Kind::Cancelled,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            SubscribeError::Filter { .. } => "mqtt-filter-invalid",
            SubscribeError::Refused { .. } => "mqtt-subscribe-refused",
            SubscribeError::TimedOut { .. } => "mqtt-subscribe-timeout",
            SubscribeError::Stopped { .. } => "mqtt-stopped",
        }
    }

    fn place(&self) -> Option<Place> {
        let (SubscribeError::Filter { filter }
        | SubscribeError::Refused { filter, .. }
        | SubscribeError::TimedOut { filter }
        | SubscribeError::Stopped { filter }) = self;
        Some(Place::Topic {
            topic: filter.clone(),
        })
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            SubscribeError::Refused { filter, reason } if *reason == Reason::NOT_AUTHORIZED => {
                Some(
                    format!(
                        "allow iot:Subscribe on topicfilter/{filter} in the device's IoT policy"
                    )
                    .into(),
                )
            }
            _ => None,
        }
    }
}
