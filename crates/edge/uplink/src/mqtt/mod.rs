//! The device's MQTT connections to the cloud.
//!
//! [`MqttClient`] is a handle. Behind it one task a connection keeps the wire: it connects, backs
//! off, resumes or rebuilds the session, sends what the spool holds and routes what arrives.
//! Subscriptions are wishes in a table; each connection's task makes the cloud's side equal to its
//! share of them, so a lost session, a refused filter or a restart need no special path.
//!
//! - A publish is accepted when the spool has it; its [`Acknowledgement`] resolves when the cloud
//!   does, over as many connections as it takes.
//! - A subscription lives as long as its [`Subscription`]; the last one of a filter unsubscribes.
//! - Nothing waits in silence: [`MqttClient::connection`] says since when, why and until when.
//!
//! It never persists anything and never decides who may publish what.

mod backoff;
mod connection;
mod error;
mod settings;
mod state;
mod table;

pub use error::{PublishFailure, SubscribeError};
pub use settings::{MqttSettings, SettingsError};
pub use state::ConnectionState;

use crate::spooler::{SpoolError, Spooler, Weight};
use bytes::Bytes;
use connection::ConnectionTask;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use sward_mqtt::packet::{Properties, Property};
use sward_mqtt::{Qos, Reason};
use sward_net::tls::{ClientConfig, TlsError};
use sward_task::Tasks;
use table::Table;
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// Makes the TLS configuration for the next connection; asked again each time, so that renewed
/// certificates are taken up.
pub type TlsSource = Arc<dyn Fn() -> Result<Arc<ClientConfig>, TlsError> + Send + Sync>;

/// A message to the cloud.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OutgoingMessage {
    pub topic: String,
    pub payload: Bytes,
    pub qos: Qos,
    pub retain: bool,
    /// What MQTT 5 sends besides; 3.1.1 leaves it out.
    pub properties: MessageProperties,
}

impl OutgoingMessage {
    /// A QoS 1 message.
    #[must_use]
    pub fn new(topic: impl Into<String>, payload: impl Into<Bytes>) -> OutgoingMessage {
        OutgoingMessage {
            topic: topic.into(),
            payload: payload.into(),
            qos: Qos::AtLeastOnce,
            ..OutgoingMessage::default()
        }
    }

    /// About how many bytes it takes in the spool, with its place there.
    fn memory(&self) -> usize {
        let MessageProperties {
            content_type,
            response_topic,
            correlation_data,
            user_properties,
            ..
        } = &self.properties;
        let texts = content_type.iter().chain(response_topic);
        let pairs = user_properties.iter();
        size_of::<Spooled>()
            + 128
            + self.topic.len()
            + self.payload.len()
            + texts.map(String::len).sum::<usize>()
            + correlation_data.as_ref().map_or(0, Bytes::len)
            + pairs
                .map(|(name, value)| 2 * size_of::<String>() + name.len() + value.len())
                .sum::<usize>()
    }
}

/// A message from the cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IncomingMessage {
    pub topic: String,
    pub payload: Bytes,
    pub qos: Qos,
    pub retain: bool,
    pub properties: MessageProperties,
}

/// The properties that travel with a message in MQTT 5.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageProperties {
    /// 0 = bytes, 1 = UTF-8.
    pub payload_format: Option<u8>,
    /// Seconds.
    pub message_expiry: Option<u32>,
    pub content_type: Option<String>,
    pub response_topic: Option<String>,
    pub correlation_data: Option<Bytes>,
    pub user_properties: Vec<(String, String)>,
}

impl MessageProperties {
    pub(crate) fn to_wire(&self) -> Properties {
        let mut list = Vec::new();
        list.extend(
            self.payload_format
                .map(|format| Property::PayloadFormatIndicator(u8::from(format == 1))),
        );
        list.extend(self.message_expiry.map(Property::MessageExpiryInterval));
        let text = |text: &String| text.as_str().into();
        list.extend(
            self.content_type
                .as_ref()
                .map(|value| Property::ContentType(text(value))),
        );
        list.extend(
            self.response_topic
                .as_ref()
                .map(|value| Property::ResponseTopic(text(value))),
        );
        list.extend(self.correlation_data.clone().map(Property::CorrelationData));
        list.extend(
            self.user_properties
                .iter()
                .map(|(name, value)| Property::UserProperty(text(name), text(value))),
        );
        Properties(list)
    }

    pub(crate) fn of_wire(properties: &Properties) -> MessageProperties {
        MessageProperties {
            payload_format: properties.payload_format_indicator().copied(),
            message_expiry: properties.message_expiry_interval().copied(),
            content_type: properties.content_type().map(ToString::to_string),
            response_topic: properties.response_topic().map(ToString::to_string),
            correlation_data: properties.correlation_data().cloned(),
            user_properties: properties
                .user_properties()
                .map(|(name, value)| (name.to_string(), value.to_string()))
                .collect(),
        }
    }
}

/// Resolves when the cloud has a message (QoS 1), when it was written (QoS 0), or when it was given
/// up. May be dropped; the message is sent all the same.
pub type Acknowledgement = oneshot::Receiver<Result<(), PublishFailure>>;

/// A message in the spool.
pub(crate) struct Spooled {
    pub(crate) message: OutgoingMessage,
    pub(crate) done: oneshot::Sender<Result<(), PublishFailure>>,
}

/// The state that the handle and the connection tasks share, behind one short lock.
pub(crate) struct Inner {
    pub(crate) spool: Spooler<Spooled>,
    pub(crate) table: Table,
    connections: Vec<Arc<Notify>>,
}

pub(crate) struct Shared {
    inner: Mutex<Inner>,
    pub(crate) settings: watch::Sender<Arc<Configured>>,
    pub(crate) state: watch::Sender<ConnectionState>,
    tasks: Tasks,
}

/// What a connection is made of.
pub(crate) struct Configured {
    pub(crate) settings: MqttSettings,
    pub(crate) tls: TlsSource,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Subscriptions of one connection; a further one is opened beyond.
pub(crate) const SUBSCRIPTIONS_PER_CONNECTION: usize = 50;

/// The handle of the device's MQTT connections. Cheap to clone.
#[derive(Clone)]
pub struct MqttClient {
    shared: Arc<Shared>,
}

impl MqttClient {
    /// Starts the first connection. It ends with the tasks' token, saying DISCONNECT.
    #[must_use]
    pub fn start(settings: MqttSettings, tls: TlsSource, tasks: &Tasks) -> MqttClient {
        let spool = Spooler::new(settings.spooler.clone());
        let client = MqttClient {
            shared: Arc::new(Shared {
                inner: Mutex::new(Inner {
                    spool,
                    table: Table::default(),
                    connections: Vec::new(),
                }),
                settings: watch::Sender::new(Arc::new(Configured { settings, tls })),
                state: watch::Sender::new(ConnectionState::starting()),
                tasks: tasks.clone(),
            }),
        };
        let mut inner = client.shared.lock();
        client.open_connection(&mut inner);
        drop(inner);
        client
    }

    /// Takes new settings: every connection reconnects with them.
    pub fn reconfigure(&self, settings: MqttSettings, tls: TlsSource) {
        self.shared.lock().spool.configure(settings.spooler.clone());
        self.shared
            .settings
            .send_replace(Arc::new(Configured { settings, tls }));
    }

    /// The state of the first connection, which carries all publishes.
    #[must_use]
    pub fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.shared.state.subscribe()
    }

    /// Hands a message to the spool. An error says why it was not accepted; what happens to it
    /// afterwards, the acknowledgement says.
    pub fn publish(&self, message: OutgoingMessage) -> Result<Acknowledgement, SpoolError> {
        let online = self.shared.state.borrow().is_connected();
        let (done, acknowledgement) = oneshot::channel();
        let (size, qos0) = (message.payload.len(), message.qos == Qos::AtMostOnce);
        let weight = Weight {
            payload: size,
            memory: message.memory(),
        };
        let mut inner = self.shared.lock();
        let limit = self.shared.settings.borrow().settings.max_message_size;
        if size > limit {
            return Err(SpoolError::LargerThanAllowed { size, limit });
        }
        let added = inner
            .spool
            .add(Spooled { message, done }, weight, qos0, online)?;
        for dropped in added.dropped {
            dropped.done.send(Err(PublishFailure::Dropped)).ok();
        }
        if let Some(first) = inner.connections.first() {
            first.notify_one();
        }
        Ok(acknowledgement)
    }

    /// How many messages and payload bytes are in the spool.
    #[must_use]
    pub fn spooled(&self) -> (usize, usize) {
        let inner = self.shared.lock();
        (inner.spool.len(), inner.spool.used_bytes())
    }

    /// Subscribes; done when the cloud answered. While offline it waits, and may be dropped.
    ///
    /// Messages come to the subscription's receiver, 1,024 of them at most wait there; what its
    /// reader is too slow for is dropped with a warning. Across reconnects the subscription stays.
    pub async fn subscribe(&self, filter: &str, qos: Qos) -> Result<Subscription, SubscribeError> {
        let (sender, receiver) = mpsc::channel(1024);
        let (guard, answer) = {
            let mut inner = self.shared.lock();
            let added = inner.table.add(filter, qos, sender)?;
            let connection = added.connection;
            while inner.connections.len() <= connection {
                self.open_connection(&mut inner);
            }
            inner.connections[connection].notify_one();
            let guard = Guard {
                shared: Arc::clone(&self.shared),
                id: added.id,
            };
            (guard, added.answer)
        };
        let subscription = Subscription { receiver, guard };
        match answer.await {
            Ok(Ok(())) => Ok(subscription),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(SubscribeError::Stopped {
                filter: filter.to_owned(),
            }),
        }
    }

    fn open_connection(&self, inner: &mut Inner) {
        let index = inner.connections.len();
        let changed = Arc::new(Notify::new());
        inner.connections.push(Arc::clone(&changed));
        let task = ConnectionTask::new(Arc::clone(&self.shared), index, changed);
        let token = self.shared.tasks.token();
        self.shared
            .tasks
            .spawn_essential("mqtt-connection", task.run(token));
    }
}

/// A subscription: messages, until it is dropped.
pub struct Subscription {
    receiver: mpsc::Receiver<IncomingMessage>,
    #[expect(dead_code, reason = "its drop ends the subscription")]
    guard: Guard,
}

impl Subscription {
    /// The next message; `None` once the client has stopped.
    pub async fn recv(&mut self) -> Option<IncomingMessage> {
        self.receiver.recv().await
    }
}

/// Takes a subscriber off the table when it is dropped.
struct Guard {
    shared: Arc<Shared>,
    id: u32,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let mut inner = self.shared.lock();
        if let Some(connection) = inner.table.remove(self.id)
            && let Some(changed) = inner.connections.get(connection)
        {
            changed.notify_one();
        }
    }
}

/// Whether a PUBACK reason is final: sent again, the message would fare no better.
pub(crate) fn is_final(reason: Reason) -> bool {
    !reason.is_failure()
        || matches!(
            reason,
            Reason::TOPIC_NAME_INVALID | Reason::PAYLOAD_FORMAT_INVALID | Reason::NOT_AUTHORIZED
        )
}

#[cfg(test)]
mod tests;
