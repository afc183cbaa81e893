//! Messages to devices: written in the transaction that decided them, published after its commit,
//! published again after a crash.
//!
//! A row is removed only when the broker has taken the message, so a device may get a message
//! twice and never misses one. Rows for one thing go out in the order in which they were written;
//! when one cannot be published yet, those behind it wait with it. One that the broker refuses for
//! good is dropped.

use crate::Control;
use crate::fault::Outcome;
use crate::jobs::{self, NotificationKind};
use crate::ports::{MessageProperties, PortError, Publication};
use crate::scope::Scope;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use sward_model::{AccountId, Region};
use sward_store::{OutboxRow, Tx};
use sward_task::CancellationToken;

const KIND: &str = "publish";
const BATCH: u32 = 256;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);

#[derive(Debug, Deserialize, Serialize)]
struct Row {
    account: AccountId,
    region: Region,
    #[serde(flatten)]
    work: Work,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(tag = "work", rename_all = "kebab-case")]
enum Work {
    /// A message as it is.
    Message { topic: String, payload: String },
    /// A notification of jobs, which says how things are when it is published.
    Jobs {
        thing: String,
        namespace: String,
        next: bool,
    },
}

impl Work {
    /// The thing it is for, else the topic: the order within a lane is kept.
    fn lane(&self) -> &str {
        match self {
            Work::Jobs { thing, .. } => thing,
            Work::Message { topic, .. } => topic
                .strip_prefix("$aws/things/")
                .and_then(|rest| rest.split('/').next())
                .unwrap_or(topic),
        }
    }
}

/// Adds a message at QoS 1 to the transaction.
pub(crate) async fn publish(
    tx: &mut Tx,
    scope: &Scope,
    topic: String,
    payload: &serde_json::Value,
) -> Outcome<()> {
    let payload = payload.to_string();
    add(tx, scope, Work::Message { topic, payload }).await
}

/// Adds a notification of a thing's jobs to the transaction.
pub(crate) async fn notify(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    namespace: &str,
    kind: NotificationKind,
) -> Outcome<()> {
    let work = Work::Jobs {
        thing: thing.to_owned(),
        namespace: namespace.to_owned(),
        next: kind == NotificationKind::NotifyNext,
    };
    add(tx, scope, work).await
}

async fn add(tx: &mut Tx, scope: &Scope, work: Work) -> Outcome<()> {
    let row = Row {
        account: scope.account.clone(),
        region: scope.region.clone(),
        work,
    };
    let text = serde_json::to_string(&row).expect("texts serialise");
    tx.outbox(KIND, &text).await?;
    Ok(())
}

/// Publishes until `stop`.
pub(crate) async fn run(control: Control, stop: CancellationToken) {
    let mut signal = control.store().outbox_signal();
    let mut wait = FIRST_WAIT;
    loop {
        signal.mark_unchanged();
        match drain(&control).await {
            Drained::All => {
                wait = FIRST_WAIT;
                tokio::select! {
                    () = stop.cancelled() => return,
                    changed = signal.changed() => if changed.is_err() { return },
                }
            }
            Drained::Blocked => {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(wait) => wait = (wait * 2).min(LONGEST_WAIT),
                }
            }
        }
    }
}

enum Drained {
    All,
    Blocked,
}

/// Publishes all rows that wait; for tests and for [`run`].
async fn drain(control: &Control) -> Drained {
    loop {
        let rows = match pending(control).await {
            Ok(rows) => rows,
            Err(fault) => {
                tracing::warn!(error = %fault.report, "cannot read the outbox");
                return Drained::Blocked;
            }
        };
        if rows.is_empty() {
            return Drained::All;
        }
        let (sent, blocked) = send(control, rows).await;
        if let Err(fault) = forget(control, &sent).await {
            tracing::warn!(error = %fault.report, "cannot clear the outbox");
            return Drained::Blocked;
        }
        if blocked {
            return Drained::Blocked;
        }
    }
}

/// Publishes what waits and reports whether the outbox is empty now.
pub(crate) async fn flush(control: &Control) -> bool {
    matches!(drain(control).await, Drained::All)
}

async fn pending(control: &Control) -> Outcome<Vec<OutboxRow>> {
    let mut tx = control.read().await?;
    let rows = tx.outbox_pending(BATCH).await?;
    Ok(rows.into_iter().filter(|row| row.kind == KIND).collect())
}

/// Sends a batch: what is for one thing in order, things beside each other, so that the broker can
/// make many messages durable at once.
async fn send(control: &Control, rows: Vec<OutboxRow>) -> (Vec<i64>, bool) {
    let mut sent = Vec::new();
    let mut lanes: BTreeMap<String, Vec<(i64, Row)>> = BTreeMap::new();
    for row in rows {
        match serde_json::from_str::<Row>(&row.payload) {
            Ok(message) => {
                let lane = lanes.entry(message.work.lane().to_owned()).or_default();
                lane.push((row.id, message));
            }
            Err(error) => {
                tracing::error!(id = row.id, %error, "an outbox row cannot be read and is dropped");
                sent.push(row.id);
            }
        }
    }
    let lanes = lanes.into_values().map(|lane| send_lane(control, lane));
    let mut blocked = false;
    for (done, stopped) in futures_util::future::join_all(lanes).await {
        sent.extend(done);
        blocked |= stopped;
    }
    (sent, blocked)
}

async fn send_lane(control: &Control, rows: Vec<(i64, Row)>) -> (Vec<i64>, bool) {
    let mut sent = Vec::new();
    for (id, row) in rows {
        let publication = match publication(control, row).await {
            Ok(publication) => publication,
            Err(fault) => {
                tracing::warn!(id, error = %fault.report, "cannot publish yet");
                return (sent, true);
            }
        };
        let topic = publication.topic.clone();
        match control.ports().publisher.publish(publication).await {
            Ok(()) => sent.push(id),
            Err(PortError::Refused { because, .. }) => {
                // It would be refused for ever, and what is behind it would wait for ever.
                tracing::error!(%topic, error = %because, "the broker never takes this message; it is dropped");
                sent.push(id);
            }
            Err(error) => {
                tracing::warn!(%topic, %error, "cannot publish yet");
                return (sent, true);
            }
        }
    }
    (sent, false)
}

async fn publication(control: &Control, row: Row) -> Outcome<Publication> {
    let Row {
        account,
        region,
        work,
    } = row;
    let scope = Scope { account, region };
    let (topic, payload) = match work {
        Work::Message { topic, payload } => (topic, payload),
        Work::Jobs {
            thing,
            namespace,
            next,
        } => {
            let kind = if next {
                NotificationKind::NotifyNext
            } else {
                NotificationKind::Notify
            };
            let now = jobs::notification(control, &scope, &thing, &namespace, kind).await?;
            (now.topic, now.body.to_string())
        }
    };
    Ok(Publication {
        account: scope.account,
        region: scope.region,
        topic,
        payload: Bytes::from(payload),
        qos: 1,
        retain: false,
        properties: MessageProperties::default(),
    })
}

async fn forget(control: &Control, sent: &[i64]) -> Outcome<()> {
    if sent.is_empty() {
        return Ok(());
    }
    let mut tx = control.write().await?;
    for id in sent {
        tx.outbox_done(*id).await?;
    }
    tx.commit().await?;
    Ok(())
}
