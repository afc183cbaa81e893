//! All tenants' brokers, the store behind them, and the publisher in front.

use crate::durability::Durability;
use crate::gateway::{Clock, GatewayOptions};
use crate::handle::Registry;
use crate::ports::{Origin, PortError, SessionStore, Tenant};
use crate::publisher::{Delivered, Publish, PublishError, Publisher, ServiceMessage};
use crate::rules;
use crate::tenant::TenantBroker;
use async_trait::async_trait;
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use sward_mqtt::Qos;
use sward_mqtt::broker::{Message, Publication};
use sward_mqtt::packet::{Properties, Property};
use sward_task::Tasks;

/// The brokers of all tenants. Cheap to clone; made before the gateway, because the services that
/// the gateway asks need its publisher.
#[derive(Clone)]
pub struct Hub {
    shared: Arc<Shared>,
}

struct Shared {
    options: GatewayOptions,
    clock: Clock,
    tenants: Mutex<HashMap<Tenant, Arc<TenantBroker>>>,
    durability: Arc<Durability>,
    registry: Registry,
    connections: AtomicU64,
}

/// A retained message as the data plane shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetainedMessage {
    pub topic: String,
    pub payload: Bytes,
    pub qos: u8,
    pub user_properties: Vec<(String, String)>,
}

/// Figures for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HubCounts {
    pub connections: usize,
    pub sessions: usize,
    /// Messages lost because a queue was full.
    pub dropped: u64,
}

impl Hub {
    /// Loads what the store kept and starts the task that writes to it.
    pub async fn open(
        store: Arc<dyn SessionStore>,
        options: GatewayOptions,
        clock: Clock,
        tasks: &Tasks,
    ) -> Result<Hub, PortError> {
        let stored = store.load().await?;
        let hub = Hub {
            shared: Arc::new(Shared {
                options,
                tenants: Mutex::new(HashMap::new()),
                durability: Durability::new(),
                registry: Registry::default(),
                connections: AtomicU64::new(clock() << 20),
                clock,
            }),
        };
        let count = stored.len();
        let mut by_tenant: HashMap<Tenant, Vec<_>> = HashMap::new();
        for (tenant, change) in stored {
            by_tenant.entry(tenant).or_default().push(change);
        }
        let now = hub.now();
        for (tenant, changes) in by_tenant {
            let broker = hub.tenant(&tenant);
            let (unreadable, _) = broker.with(|broker| broker.restore(now, changes));
            if unreadable > 0 {
                tracing::error!(account = %tenant.account, region = %tenant.region, unreadable, "stored session records could not be read");
            }
        }
        tracing::debug!(records = count, "sessions restored");
        hub.spawn(store, tasks);
        Ok(hub)
    }

    fn spawn(&self, store: Arc<dyn SessionStore>, tasks: &Tasks) {
        let (hub, token) = (self.clone(), tasks.token());
        tasks.spawn_essential("session-store", async move {
            let stop = async {
                token.cancelled().await;
                // Connections end first: their last changes belong to the last batch.
                let deadline = tokio::time::Instant::now() + Duration::from_secs(3);
                while hub.shared.registry.len() > 0 && tokio::time::Instant::now() < deadline {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            hub.shared.durability.run(store, stop).await;
        });
        let (hub, token) = (self.clone(), tasks.token());
        tasks.spawn_essential("session-clock", async move {
            while token
                .run_until_cancelled(tokio::time::sleep(Duration::from_secs(1)))
                .await
                .is_some()
            {
                let now = hub.now();
                for tenant in hub.all_tenants() {
                    if tenant.look(|broker| broker.next_timeout().is_some_and(|due| due <= now)) {
                        tenant.with(|broker| broker.tick(now));
                    }
                }
            }
        });
    }

    /// The handle by which services send messages.
    #[must_use]
    pub fn publisher(&self) -> Publisher {
        Publisher::new(self.clone())
    }

    /// The retained message of a topic.
    #[must_use]
    pub fn retained(&self, tenant: &Tenant, topic: &str) -> Option<RetainedMessage> {
        self.tenant(tenant)
            .look(|broker| broker.retained(topic).map(|message| retained(message)))
    }

    /// All retained messages, by topic.
    #[must_use]
    pub fn all_retained(&self, tenant: &Tenant) -> Vec<RetainedMessage> {
        self.tenant(tenant).look(|broker| {
            broker
                .all_retained()
                .map(|message| retained(message))
                .collect()
        })
    }

    /// Whether a client is connected now.
    #[must_use]
    pub fn is_connected(&self, tenant: &Tenant, client_id: &str) -> bool {
        self.tenant(tenant)
            .look(|broker| broker.connection_of(client_id).is_some())
    }

    /// Figures for metrics.
    #[must_use]
    pub fn counts(&self) -> HubCounts {
        let mut counts = HubCounts {
            connections: self.shared.registry.len(),
            ..HubCounts::default()
        };
        for tenant in self.all_tenants() {
            let (sessions, dropped) =
                tenant.look(|broker| (broker.session_counts().0, broker.dropped()));
            counts.sessions += sessions;
            counts.dropped += dropped;
        }
        counts
    }

    pub(crate) fn options(&self) -> &GatewayOptions {
        &self.shared.options
    }

    pub(crate) fn now(&self) -> u64 {
        (self.shared.clock)()
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    pub(crate) fn durability(&self) -> &Arc<Durability> {
        &self.shared.durability
    }

    /// Never the same twice, also not after a restart.
    pub(crate) fn next_connection(&self) -> u64 {
        self.shared.connections.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn tenant(&self, tenant: &Tenant) -> Arc<TenantBroker> {
        let mut tenants = self
            .shared
            .tenants
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tenants.get(tenant) {
            return Arc::clone(known);
        }
        let broker = Arc::new(TenantBroker::new(
            tenant.clone(),
            self.shared.options.broker.clone(),
            Arc::clone(&self.shared.durability),
        ));
        tenants.insert(tenant.clone(), Arc::clone(&broker));
        broker
    }

    fn all_tenants(&self) -> Vec<Arc<TenantBroker>> {
        self.shared
            .tenants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .cloned()
            .collect()
    }
}

fn retained(message: &Message) -> RetainedMessage {
    RetainedMessage {
        topic: message.topic.to_string(),
        payload: message.payload.clone(),
        qos: message.qos as u8,
        user_properties: message
            .properties
            .user_properties()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
    }
}

/// A service's message in the broker's form.
pub(crate) fn broker_message(message: ServiceMessage, now: u64) -> Message {
    let mut properties = Vec::new();
    properties.extend(
        message
            .payload_format_indicator
            .map(|format| Property::PayloadFormatIndicator(u8::from(format == 1))),
    );
    properties.extend(
        message
            .content_type
            .map(|text| Property::ContentType(text.into())),
    );
    properties.extend(
        message
            .response_topic
            .map(|text| Property::ResponseTopic(text.into())),
    );
    properties.extend(message.correlation_data.map(Property::CorrelationData));
    properties.extend(
        message
            .user_properties
            .into_iter()
            .map(|(name, value)| Property::UserProperty(name.into(), value.into())),
    );
    Message {
        topic: message.topic.into(),
        payload: message.payload,
        qos: if message.qos == 0 {
            Qos::AtMostOnce
        } else {
            Qos::AtLeastOnce
        },
        retain: message.retain,
        properties: Properties(properties),
        expires_at: message
            .message_expiry
            .map(|seconds| now + u64::from(seconds) * 1000),
    }
}

#[async_trait]
impl Publish for Hub {
    async fn publish(
        &self,
        tenant: &Tenant,
        message: ServiceMessage,
        also_to: Option<&Origin>,
    ) -> Result<Delivered, PublishError> {
        if let Err(reason) = rules::check_service_topic(&message.topic) {
            return Err(PublishError::Topic {
                topic: message.topic,
                reason,
            });
        }
        let limit = self.shared.options.payload;
        if message.payload.len() > limit {
            return Err(PublishError::TooLarge {
                size: message.payload.len(),
                limit,
            });
        }
        let message = broker_message(message, self.now());
        let broker = self.tenant(tenant);
        let (routed, ticket) = broker.with(|broker| {
            broker.publish(Publication {
                message,
                from: None,
                also_to: also_to.map(|origin| (&*origin.client_id, origin.connection)),
            })
        });
        if routed.durable
            && let Some(ticket) = ticket
        {
            self.shared.durability.wait(ticket).await;
        }
        Ok(Delivered {
            sessions: routed.sessions,
        })
    }
}
