//! Moves the messages and timers of a listener.

use super::{
    CloudDeployment, DeploymentSink, DeploymentSource, DeploymentStatus, Effect, Event, Machine,
    StatusStore, StatusStoreError, StatusUpdate,
};
use crate::mqtt::{ConnectionState, IncomingMessage, MqttClient, OutgoingMessage};
use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use sward_mqtt::Qos;
use sward_task::{CancellationToken, Tasks};
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// The MQTT client, as far as a listener needs it.
pub trait Transport: Send + Sync + 'static {
    /// The state of the connection.
    fn connection(&self) -> watch::Receiver<ConnectionState>;
    /// Hands a QoS 1 message over; whether it was taken.
    fn publish(&self, topic: String, payload: Vec<u8>) -> bool;
    /// Subscribes at QoS 1 and forwards messages until `until` is cancelled. `granted` is called
    /// once with the broker's answer, before the first message.
    fn subscribe(
        &self,
        filter: String,
        granted: oneshot::Sender<Result<(), String>>,
        messages: mpsc::Sender<IncomingMessage>,
        until: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

impl Transport for MqttClient {
    fn connection(&self) -> watch::Receiver<ConnectionState> {
        MqttClient::connection(self)
    }

    fn publish(&self, topic: String, payload: Vec<u8>) -> bool {
        let taken = MqttClient::publish(self, OutgoingMessage::new(topic, payload));
        if let Err(error) = &taken {
            tracing::warn!(%error, "a message about a deployment was not taken; it is repeated");
        }
        taken.is_ok()
    }

    fn subscribe(
        &self,
        filter: String,
        granted: oneshot::Sender<Result<(), String>>,
        messages: mpsc::Sender<IncomingMessage>,
        until: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let client = self.clone();
        let work = async move {
            let answer = client.subscribe(&filter, Qos::AtLeastOnce).await;
            let mut subscription = match answer {
                Ok(subscription) => subscription,
                Err(error) => {
                    // The listener may have stopped.
                    granted.send(Err(error.to_string())).ok();
                    return;
                }
            };
            granted.send(Ok(())).ok();
            while let Some(message) = subscription.recv().await {
                if messages.send(message).await.is_err() {
                    return;
                }
            }
        };
        Box::pin(async move {
            tokio::select! {
                () = work => {}
                () = until.cancelled() => {}
            }
        })
    }
}

/// A status could not be taken.
#[derive(Debug, Error)]
pub enum ReportError {
    /// It is not saved; say it again later.
    #[error(transparent)]
    Store(#[from] StatusStoreError),
    /// The listener has stopped.
    #[error("the listener for deployments has stopped")]
    Stopped,
}

/// Gives statuses to a listener. Cheap to clone.
#[derive(Clone)]
pub struct StatusReporter {
    updates: mpsc::Sender<(StatusUpdate, oneshot::Sender<Result<(), StatusStoreError>>)>,
}

impl StatusReporter {
    /// Gives a status. Once this returns, the status is saved and will reach the cloud.
    pub async fn report(&self, update: StatusUpdate) -> Result<(), ReportError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.updates.send((update, reply)).await;
        sent.map_err(|_| ReportError::Stopped)?;
        Ok(answer.await.map_err(|_| ReportError::Stopped)??)
    }
}

/// Starts a listener.
pub fn start(
    machine: impl Machine + 'static,
    transport: Arc<dyn Transport>,
    sink: Arc<dyn DeploymentSink>,
    store: Arc<dyn StatusStore>,
    tasks: &Tasks,
) -> StatusReporter {
    let (updates, receiver) = mpsc::channel(16);
    let (granted, grants) = mpsc::channel(64);
    let (inbox_sender, inbox) = mpsc::channel(256);
    let source = machine.source();
    let driver = Driver {
        machine: Box::new(machine),
        source,
        transport,
        sink,
        store,
        tasks: tasks.clone(),
        saved: Ok(()),
        started: Instant::now(),
        subscriptions: HashMap::new(),
        generation: 0,
        granted,
        inbox_sender,
    };
    let name = match source {
        DeploymentSource::Shadow => "shadow-deployments",
        _ => "job-deployments",
    };
    let token = tasks.token();
    tasks.spawn_essential(name, async move {
        tokio::select! {
            () = driver.run(receiver, grants, inbox) => {}
            () = token.cancelled() => {}
        }
    });
    StatusReporter { updates }
}

type Grant = (String, u64, Result<(), String>);
type Report = (StatusUpdate, oneshot::Sender<Result<(), StatusStoreError>>);

struct Driver {
    machine: Box<dyn Machine>,
    source: DeploymentSource,
    transport: Arc<dyn Transport>,
    sink: Arc<dyn DeploymentSink>,
    store: Arc<dyn StatusStore>,
    tasks: Tasks,
    /// How the last saving went.
    saved: Result<(), StatusStoreError>,
    started: Instant,
    /// Filter → which try, and how to end it.
    subscriptions: HashMap<String, (u64, CancellationToken)>,
    generation: u64,
    granted: mpsc::Sender<Grant>,
    inbox_sender: mpsc::Sender<IncomingMessage>,
}

impl Driver {
    async fn run(
        mut self,
        mut updates: mpsc::Receiver<Report>,
        mut grants: mpsc::Receiver<Grant>,
        mut inbox: mpsc::Receiver<IncomingMessage>,
    ) {
        let mut connection = self.transport.connection();
        let mut number = None;
        let now = Connection::of(&connection.borrow_and_update());
        self.follow(&mut number, now);
        loop {
            let deadline = self.machine.deadline().map(|ms| {
                let offset = std::time::Duration::from_millis(ms);
                self.started + offset
            });
            tokio::select! {
                biased;
                changed = connection.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    let now = Connection::of(&connection.borrow_and_update());
                    self.follow(&mut number, now);
                }
                Some((filter, generation, answer)) = grants.recv() => {
                    self.on_grant(&filter, generation, answer);
                }
                Some(message) = inbox.recv() => {
                    let event = Event::Message {
                        topic: &message.topic,
                        payload: &message.payload,
                    };
                    self.step(event);
                }
                report = updates.recv() => match report {
                    Some((update, reply)) => {
                        self.step(Event::Status(update));
                        let saved = std::mem::replace(&mut self.saved, Ok(()));
                        // Whoever reported may have gone.
                        reply.send(saved).ok();
                    }
                    None => return,
                },
                () = sleep_until(deadline) => {
                    self.step(Event::Tick);
                }
            }
        }
    }

    /// Tells the machine of a connection that is new or gone.
    fn follow(&mut self, number: &mut Option<u64>, now: Option<Connection>) {
        if *number == now.map(|now| now.number) {
            return;
        }
        if number.is_some() {
            self.step(Event::Disconnected);
        }
        *number = now.map(|now| now.number);
        if let Some(now) = now {
            if !now.session_present {
                self.step(Event::SessionLost);
            }
            self.step(Event::Connected);
        }
    }

    fn on_grant(&mut self, filter: &str, generation: u64, answer: Result<(), String>) {
        let current = self.subscriptions.get(filter);
        if current.is_none_or(|(known, _)| *known != generation) {
            return;
        }
        match answer {
            Ok(()) => {
                self.step(Event::Subscribed(filter));
            }
            Err(reason) => {
                tracing::warn!(
                    topic = filter,
                    reason,
                    "a subscription for deployments was refused; it is tried again"
                );
                self.subscriptions.remove(filter);
                self.step(Event::SubscribeFailed(filter));
            }
        }
    }

    /// Takes an event to the machine and does what it wants.
    fn step(&mut self, event: Event<'_>) {
        let now_ms = self.now_ms();
        let effects = self.machine.handle(event, now_ms);
        let mut not_taken = Vec::new();
        for effect in effects {
            match effect {
                Effect::Subscribe(filter) => self.subscribe(filter),
                Effect::Unsubscribe(filter) => {
                    if let Some((_, until)) = self.subscriptions.remove(&filter) {
                        until.cancel();
                    }
                }
                Effect::Publish { topic, payload } => {
                    let payload = payload.to_string().into_bytes();
                    if !self.transport.publish(topic.clone(), payload) {
                        not_taken.push(topic);
                    }
                }
                Effect::Persist => {
                    let pending = self.machine.pending();
                    self.saved = self.store.save(self.source, &pending);
                    if let Err(error) = &self.saved {
                        tracing::error!(%error, "deployment statuses are not saved");
                    }
                }
                Effect::Submit(deployment) => self.submit(deployment),
                Effect::Cancel(id) => {
                    tracing::info!(deployment_id = id, "the cloud takes a deployment back");
                    self.sink.cancel(self.source, &id);
                }
                Effect::Delivered {
                    id,
                    status,
                    refused,
                } => self.on_delivered(&id, status, refused),
            }
        }
        for topic in not_taken {
            self.step(Event::NotTaken(&topic));
        }
    }

    fn on_delivered(&self, id: &str, status: DeploymentStatus, refused: Option<String>) {
        match refused {
            None => {
                tracing::info!(deployment_id = id, %status, "the cloud knows the deployment's status");
            }
            Some(reason) => {
                tracing::warn!(deployment_id = id, %status, reason, "the cloud refuses the deployment's status");
            }
        }
        if status.is_terminal() {
            self.store.delivered(self.source, id);
        }
    }

    fn submit(&self, deployment: CloudDeployment) {
        tracing::info!(deployment_id = deployment.id, source = %deployment.source, "the cloud asks for a deployment");
        self.sink.submit(deployment);
    }

    fn subscribe(&mut self, filter: String) {
        self.generation += 1;
        let generation = self.generation;
        let until = self.tasks.token().child_token();
        let (granted, answer) = oneshot::channel();
        let work = self.transport.subscribe(
            filter.clone(),
            granted,
            self.inbox_sender.clone(),
            until.clone(),
        );
        if let Some((_, old)) = self
            .subscriptions
            .insert(filter.clone(), (generation, until))
        {
            old.cancel();
        }
        let grants = self.granted.clone();
        self.tasks.spawn("deployment-subscription", async move {
            let tell = async {
                if let Ok(answer) = answer.await {
                    // The listener may have stopped.
                    grants.send((filter, generation, answer)).await.ok();
                }
            };
            tokio::join!(work, tell);
        });
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A connection that stands.
#[derive(Clone, Copy)]
struct Connection {
    number: u64,
    session_present: bool,
}

impl Connection {
    fn of(state: &ConnectionState) -> Option<Self> {
        match state {
            ConnectionState::Connected {
                number,
                session_present,
                ..
            } => Some(Connection {
                number: *number,
                session_present: *session_present,
            }),
            _ => None,
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
