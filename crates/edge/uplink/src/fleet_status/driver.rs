//! Moves the messages and timers of the fleet-status reducer.

use super::{Event, FleetStatus, Saved};
use crate::deployments::BoxFuture;
use crate::mqtt::{ConnectionState, MqttClient, OutgoingMessage};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use sward_task::Tasks;
use tokio::sync::mpsc;

/// Keeps [`Saved`] over restarts.
pub trait SavedStore: Send + Sync + 'static {
    /// Saves; durable when done. A failure is logged by the store and does not hold a message up.
    fn save(&self, saved: Saved) -> BoxFuture<'_, ()>;
}

/// Tells the reducer what happens. Cheap to clone.
#[derive(Clone)]
pub struct FleetStatusHandle {
    events: mpsc::Sender<Event>,
}

impl FleetStatusHandle {
    /// Tells an event; waits while 256 are ahead. Connections are seen without being told.
    pub async fn tell(&self, event: Event) {
        // A stopped reducer has nobody to tell.
        let _ = self.events.send(event).await;
    }
}

/// Starts the task.
pub fn start(
    status: FleetStatus,
    client: MqttClient,
    store: Arc<dyn SavedStore>,
    tasks: &Tasks,
) -> FleetStatusHandle {
    let (events, receiver) = mpsc::channel(256);
    let token = tasks.token();
    tasks.spawn("fleet-status", async move {
        tokio::select! {
            () = run(status, client, store, receiver) => {}
            () = token.cancelled() => {}
        }
    });
    FleetStatusHandle { events }
}

async fn run(
    mut status: FleetStatus,
    client: MqttClient,
    store: Arc<dyn SavedStore>,
    mut events: mpsc::Receiver<Event>,
) {
    let mut connection = client.connection();
    // Looked at once before the first change.
    connection.mark_changed();
    let mut number = None;
    loop {
        let deadline = status.deadline();
        let event = tokio::select! {
            biased;
            changed = connection.changed() => {
                if changed.is_err() {
                    return;
                }
                let now = match &*connection.borrow_and_update() {
                    ConnectionState::Connected { number, .. } => Some(*number),
                    _ => None,
                };
                if now == number {
                    continue;
                }
                number = now;
                if now.is_some() { Event::Connected } else { Event::Disconnected }
            }
            event = events.recv() => match event {
                Some(event) => event,
                None => return,
            },
            () = sleep_until(deadline) => Event::Tick,
        };
        let messages = status.handle(event, now_ms());
        if messages.is_empty() {
            continue;
        }
        store.save(status.saved()).await;
        for message in messages {
            let payload = message.payload.to_string().into_bytes();
            if let Err(error) = client.publish(OutgoingMessage::new(message.topic, payload)) {
                tracing::warn!(%error, "a fleet status was not taken");
            }
        }
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The wall clock may be set while we wait; a minute later at most it is looked at again.
async fn sleep_until(deadline_ms: Option<u64>) {
    const LONGEST: Duration = Duration::from_secs(60);
    match deadline_ms {
        Some(deadline) => {
            let left = Duration::from_millis(deadline.saturating_sub(now_ms()));
            tokio::time::sleep(left.min(LONGEST)).await;
        }
        None => std::future::pending().await,
    }
}
