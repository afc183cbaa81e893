//! The gateway's view of the services behind `$aws/…`.

use async_trait::async_trait;
use sward_control::{Control, Scope};
use sward_diagnosis::Diagnose as _;
use sward_gateway::ports::{ReservedError, ReservedPublish, ReservedTopics};
use sward_gateway::{Publisher, ServiceMessage};

/// Hands reserved publishes to control and its replies back to whoever asked.
pub(crate) struct ControlTopics {
    pub(crate) control: Control,
    pub(crate) publisher: Publisher,
}

#[async_trait]
impl ReservedTopics for ControlTopics {
    async fn publish(&self, message: ReservedPublish) -> Result<(), ReservedError> {
        let ReservedPublish {
            origin,
            topic,
            payload,
            correlation_data,
            ..
        } = message;
        let scope = Scope {
            account: origin.tenant.account.clone(),
            region: origin.tenant.region.clone(),
        };
        let replies = self
            .control
            .reserved_publish(&scope, &topic, &payload)
            .await
            .map_err(|error| match error {
                sward_control::ReservedError::UnknownTopic { topic } => {
                    ReservedError::NotATopic { topic }
                }
                sward_control::ReservedError::Unavailable { topic, because } => {
                    ReservedError::Unavailable {
                        topic,
                        reason: because.one_line(),
                    }
                }
            })?;
        for reply in replies {
            let message = ServiceMessage {
                correlation_data: correlation_data.clone(),
                ..ServiceMessage::new(reply.topic, reply.payload)
            };
            // The effect is durable; a lost answer is asked for again.
            if let Err(error) = self.publisher.reply(&origin, message).await {
                tracing::warn!(
                    client_id = &*origin.client_id,
                    error = %error.report(),
                    "a reply could not be sent"
                );
            }
        }
        Ok(())
    }
}
