//! Control's view of the broker.
//!
//! Control is opened before the broker, because the broker's ports are control's; what control
//! wants to publish in between stays in its outbox.

use async_trait::async_trait;
use std::sync::OnceLock;
use sward_control::{PortError, Publication, Publisher, RetainedMessage};
use sward_diagnosis::{Diagnose as _, Kind, Report};
use sward_gateway::ports::Tenant;
use sward_gateway::{Hub, ServiceMessage};
use sward_model::{AccountId, Region};

const WHAT: &str = "the MQTT broker";

/// Publishes through the hub, once there is one.
#[derive(Default)]
pub(crate) struct HubPublisher {
    hub: OnceLock<Hub>,
}

impl HubPublisher {
    /// The broker is open.
    pub(crate) fn connect(&self, hub: Hub) {
        if self.hub.set(hub).is_err() {
            tracing::error!("the broker was connected twice");
        }
    }

    fn hub(&self) -> Result<&Hub, PortError> {
        self.hub.get().ok_or_else(|| PortError::Unavailable {
            what: WHAT,
            because: Report::new(
                Kind::Unavailable,
                "broker-not-open",
                "the broker is not open yet",
            ),
        })
    }
}

fn tenant(account: &AccountId, region: &Region) -> Tenant {
    Tenant {
        account: account.clone(),
        region: region.clone(),
    }
}

fn shown(message: sward_gateway::RetainedMessage) -> RetainedMessage {
    RetainedMessage {
        topic: message.topic,
        payload: message.payload,
        qos: message.qos,
        // The broker does not keep when a message was retained.
        last_modified_ms: 0,
    }
}

#[async_trait]
impl Publisher for HubPublisher {
    async fn publish(&self, publication: Publication) -> Result<(), PortError> {
        let Publication {
            account,
            region,
            topic,
            payload,
            qos,
            retain,
            properties,
        } = publication;
        let message = ServiceMessage {
            topic,
            payload,
            qos,
            retain,
            content_type: properties.content_type,
            response_topic: properties.response_topic,
            correlation_data: properties.correlation_data,
            payload_format_indicator: properties.payload_format_indicator,
            message_expiry: properties.message_expiry,
            user_properties: properties.user_properties,
        };
        self.hub()?
            .publisher()
            .publish(&Tenant { account, region }, message)
            .await
            .map(drop)
            .map_err(|error| {
                let because = error.report();
                if because.retryable {
                    PortError::Unavailable {
                        what: WHAT,
                        because,
                    }
                } else {
                    PortError::Refused {
                        what: WHAT,
                        because,
                    }
                }
            })
    }

    async fn retained(
        &self,
        account: &AccountId,
        region: &Region,
        topic: &str,
    ) -> Result<Option<RetainedMessage>, PortError> {
        let found = self.hub()?.retained(&tenant(account, region), topic);
        Ok(found.map(shown))
    }

    async fn retained_list(
        &self,
        account: &AccountId,
        region: &Region,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RetainedMessage>, PortError> {
        let mut all = self.hub()?.all_retained(&tenant(account, region));
        all.sort_by(|left, right| left.topic.cmp(&right.topic));
        Ok(all
            .into_iter()
            .filter(|message| after.is_none_or(|after| message.topic.as_str() > after))
            .take(limit)
            .map(shown)
            .collect())
    }
}
