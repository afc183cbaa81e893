//! Fleet status: what a device says of itself (wire-protocols §3.6).
//!
//! Sequence numbers repeat after a rollback on the device and arrive out of order, and time
//! stamps may lie a second ahead, so a message is old only when both its number and its time are
//! not newer than the last ones. A COMPLETE message replaces the component list, a PARTIAL one
//! patches it.

use super::revisions;
use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::iot;
use crate::scope::Scope;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeMap;
use sward_store::{Tx, Value};

const LONGEST_DETAILS: usize = 1000;
/// About 20,000 components; what a device sends is kept until the last chunk is there.
const MOST_CHUNKS: i64 = 100;

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[serde(default)]
    ggc_version: Option<String>,
    #[serde(default)]
    platform: Option<String>,
    #[serde(default)]
    architecture: Option<String>,
    #[serde(default)]
    runtime: Option<String>,
    overall_device_status: DeviceStatus,
    #[serde(default)]
    sequence_number: i64,
    #[serde(default)]
    timestamp: i64,
    #[serde(default)]
    message_type: MessageType,
    #[serde(default)]
    trigger: Option<String>,
    #[serde(default)]
    chunk_info: Option<ChunkInfo>,
    #[serde(default)]
    components: Option<Vec<Component>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum DeviceStatus {
    Healthy,
    Unhealthy,
}

impl DeviceStatus {
    fn as_str(self) -> &'static str {
        match self {
            DeviceStatus::Healthy => "HEALTHY",
            DeviceStatus::Unhealthy => "UNHEALTHY",
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "UPPERCASE")]
enum MessageType {
    Complete,
    #[default]
    Partial,
}

#[derive(Clone, Copy, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct ChunkInfo {
    chunk_id: i64,
    total_chunks: i64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
struct Component {
    component_name: String,
    #[serde(default)]
    version: Option<String>,
    #[serde(default)]
    fleet_config_arns: Option<Vec<Option<String>>>,
    #[serde(default)]
    is_root: bool,
    status: String,
    #[serde(default)]
    component_status_details: Option<Details>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct Details {
    status_codes: Option<Vec<String>>,
    status_reason: Option<String>,
}

/// Takes a device's message in.
pub(crate) async fn fleet_status(
    control: &Control,
    scope: &Scope,
    thing: &str,
    payload: &[u8],
) -> Outcome<()> {
    let message: Message = serde_json::from_slice(payload).map_err(|error| {
        Fault::new(
            Refusal::Invalid,
            format!("the fleet status of {thing} cannot be read: {error}"),
        )
    })?;
    let mut tx = control.write().await?;
    if iot::thing(&mut tx, scope, thing).await?.is_none() {
        return Err(Fault::not_found("thing", thing));
    }
    let Some(message) = joined(&mut tx, scope, thing, message).await? else {
        tx.commit().await?;
        return Ok(());
    };
    let now = control.now_ms();
    if let Some(order) = take_device(&mut tx, scope, thing, &message, now).await? {
        take_components(&mut tx, scope, thing, &message, order, now).await?;
    }
    tx.commit().await?;
    tracing::debug!(
        thing_name = thing,
        sequence = message.sequence_number,
        trigger = message.trigger.as_deref().unwrap_or(""),
        "fleet status taken"
    );
    Ok(())
}

fn chunk_key(scope: &Scope, thing: &str, message: &Message) -> Vec<Value> {
    vec![
        scope.account.as_str().into(),
        scope.region.as_str().into(),
        thing.into(),
        message.sequence_number.into(),
        message.timestamp.into(),
    ]
}

/// The whole message: at once, or when its last chunk is there.
async fn joined(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    message: Message,
) -> Outcome<Option<Message>> {
    let Some(info) = message.chunk_info.filter(|info| info.total_chunks > 1) else {
        return Ok(Some(message));
    };
    if info.total_chunks > MOST_CHUNKS || !(0..=info.total_chunks).contains(&info.chunk_id) {
        return Err(Fault::new(
            Refusal::Invalid,
            format!(
                "chunk {} of {} cannot be part of a fleet status",
                info.chunk_id, info.total_chunks
            ),
        ));
    }
    // Chunks of another message will never be completed: chunks travel one after the other.
    tx.execute(
        "DELETE FROM gg_status_chunks WHERE account = $1 AND region = $2 AND thing = $3
         AND NOT (sequence = $4 AND message_ms = $5)",
        &chunk_key(scope, thing, &message),
    )
    .await?;
    let text = serde_json::to_string(&message)
        .map_err(|error| Fault::new(Refusal::Internal, format!("{error}")))?;
    let mut args = chunk_key(scope, thing, &message);
    args.extend([info.chunk_id.into(), info.total_chunks.into(), text.into()]);
    tx.execute(
        "INSERT INTO gg_status_chunks
         (account, region, thing, sequence, message_ms, chunk, total, payload)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
         ON CONFLICT (account, region, thing, sequence, message_ms, chunk)
         DO UPDATE SET payload = excluded.payload",
        &args,
    )
    .await?;
    let rows = tx
        .all(
            "SELECT payload FROM gg_status_chunks WHERE account = $1 AND region = $2
             AND thing = $3 AND sequence = $4 AND message_ms = $5 ORDER BY chunk",
            &chunk_key(scope, thing, &message),
        )
        .await?;
    if i64::try_from(rows.len()).unwrap_or(i64::MAX) < info.total_chunks {
        return Ok(None);
    }
    let mut components = Vec::new();
    for row in &rows {
        let part: Message = serde_json::from_str(&row.text("payload")?)
            .map_err(|error| Fault::new(Refusal::Internal, format!("{error}")))?;
        components.extend(part.components.unwrap_or_default());
    }
    tx.execute(
        "DELETE FROM gg_status_chunks WHERE account = $1 AND region = $2 AND thing = $3
         AND sequence = $4 AND message_ms = $5",
        &chunk_key(scope, thing, &message),
    )
    .await?;
    Ok(Some(Message {
        components: Some(components),
        ..message
    }))
}

/// How a message stands to those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    /// Its number is higher than all before: it is the newest, whatever the device's clock says.
    Newest,
    /// Its time decides, for each component.
    ByTime,
}

/// Updates the device's own row; `None` when the message is old.
async fn take_device(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    message: &Message,
    now: i64,
) -> Outcome<Option<Order>> {
    let key: [Value; 3] = [
        scope.account.as_str().into(),
        scope.region.as_str().into(),
        thing.into(),
    ];
    let known = tx
        .optional(
            "SELECT sequence, message_ms FROM gg_core_devices
             WHERE account = $1 AND region = $2 AND thing = $3",
            &key,
        )
        .await?;
    let (mut sequence, mut message_ms) = (message.sequence_number, message.timestamp);
    let mut order = Order::Newest;
    if let Some(row) = known {
        let (last_sequence, last_ms) = (row.int("sequence")?, row.int("message_ms")?);
        let launched = message.trigger.as_deref() == Some("NUCLEUS_LAUNCH");
        if sequence <= last_sequence && message_ms <= last_ms && !launched {
            tracing::debug!(
                thing_name = thing,
                sequence,
                "an old fleet status is passed over"
            );
            return Ok(None);
        }
        if !launched {
            if sequence <= last_sequence {
                order = Order::ByTime;
            }
            // Of two messages out of order the later time stays, so that a third one is not
            // taken for old.
            message_ms = message_ms.max(last_ms);
            if message.timestamp < last_ms {
                sequence = sequence.max(last_sequence);
            }
        }
    } else {
        tracing::info!(
            thing_name = thing,
            "a core device reports for the first time"
        );
    }
    let [account, region, name] = key;
    tx.execute(
        "INSERT INTO gg_core_devices (account, region, thing, core_version, platform, architecture,
            runtime, status, sequence, message_ms, updated_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (account, region, thing) DO UPDATE SET
            core_version = excluded.core_version, platform = excluded.platform,
            architecture = excluded.architecture, runtime = excluded.runtime,
            status = excluded.status, sequence = excluded.sequence,
            message_ms = excluded.message_ms, updated_ms = excluded.updated_ms",
        &[
            account,
            region,
            name,
            message.ggc_version.clone().into(),
            message.platform.clone().into(),
            message.architecture.clone().into(),
            message
                .runtime
                .as_deref()
                .unwrap_or("aws_nucleus_classic")
                .into(),
            message.overall_device_status.as_str().into(),
            sequence.into(),
            message_ms.into(),
            now.into(),
        ],
    )
    .await?;
    Ok(Some(order))
}

/// The state as the API spells it.
fn state(reported: &str) -> &str {
    match reported {
        // A component without a process of its own is done when it is installed.
        "STATELESS" => "FINISHED",
        other => other,
    }
}

fn is_state(text: &str) -> bool {
    matches!(
        text,
        "NEW"
            | "INSTALLED"
            | "STARTING"
            | "RUNNING"
            | "STOPPING"
            | "ERRORED"
            | "BROKEN"
            | "FINISHED"
    )
}

/// What is known of a component on a device.
struct Known {
    state: String,
    version: Option<String>,
    changed_ms: i64,
    message_ms: i64,
}

async fn known_components(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
) -> Outcome<BTreeMap<String, Known>> {
    let rows = tx
        .all(
            "SELECT component, state, version, changed_ms, message_ms FROM gg_installed
             WHERE account = $1 AND region = $2 AND thing = $3",
            &[
                scope.account.as_str().into(),
                scope.region.as_str().into(),
                thing.into(),
            ],
        )
        .await?;
    let mut known = BTreeMap::new();
    for row in &rows {
        let component = Known {
            state: row.text("state")?,
            version: row.opt_text("version")?,
            changed_ms: row.int("changed_ms")?,
            message_ms: row.int("message_ms")?,
        };
        known.insert(row.text("component")?, component);
    }
    Ok(known)
}

async fn take_components(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    message: &Message,
    order: Order,
    now: i64,
) -> Outcome<()> {
    let mut known = known_components(tx, scope, thing).await?;
    let mut sources = Sources::default();
    for component in message.components.iter().flatten() {
        let state = state(&component.status);
        let before = known.remove(&component.component_name);
        if state == "UNINSTALLED" {
            if before.is_some() {
                remove(tx, scope, thing, &component.component_name).await?;
            }
        } else if is_state(state) {
            let old = message.message_type == MessageType::Partial
                && order == Order::ByTime
                && before
                    .as_ref()
                    .is_some_and(|before| before.message_ms > message.timestamp);
            if old {
                continue;
            }
            let unchanged = before
                .filter(|before| before.state == state && before.version == component.version);
            let changed_ms = unchanged.map_or(now, |before| before.changed_ms);
            let source = sources.of(tx, scope, component).await?;
            let row = Reported {
                component,
                state,
                changed_ms,
                source,
            };
            put(tx, scope, thing, message, row, now).await?;
        } else {
            tracing::warn!(
                thing_name = thing,
                component = component.component_name,
                state,
                "a component is in a state that we do not know"
            );
        }
    }
    if message.message_type == MessageType::Complete {
        for name in known.keys() {
            remove(tx, scope, thing, name).await?;
        }
    }
    Ok(())
}

async fn remove(tx: &mut Tx, scope: &Scope, thing: &str, component: &str) -> Outcome<()> {
    tx.execute(
        "DELETE FROM gg_installed
         WHERE account = $1 AND region = $2 AND thing = $3 AND component = $4",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            thing.into(),
            component.into(),
        ],
    )
    .await?;
    Ok(())
}

struct Reported<'m> {
    component: &'m Component,
    state: &'m str,
    changed_ms: i64,
    source: Option<String>,
}

async fn put(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    message: &Message,
    reported: Reported<'_>,
    now: i64,
) -> Outcome<()> {
    let component = reported.component;
    let details = component
        .component_status_details
        .clone()
        .unwrap_or_default();
    let reason = details
        .status_reason
        .map(|reason| reason.chars().take(LONGEST_DETAILS).collect::<String>());
    tx.execute(
        "INSERT INTO gg_installed (account, region, thing, component, version, state, details,
            codes, is_root, source, changed_ms, reported_ms, message_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
         ON CONFLICT (account, region, thing, component) DO UPDATE SET
            version = excluded.version, state = excluded.state, details = excluded.details,
            codes = excluded.codes, is_root = excluded.is_root,
            source = COALESCE(excluded.source, gg_installed.source),
            changed_ms = excluded.changed_ms, reported_ms = excluded.reported_ms,
            message_ms = excluded.message_ms",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            thing.into(),
            Value::from(&component.component_name),
            component.version.clone().into(),
            reported.state.into(),
            reason.into(),
            json!(details.status_codes.unwrap_or_default())
                .to_string()
                .into(),
            component.is_root.into(),
            reported.source.into(),
            reported.changed_ms.into(),
            now.into(),
            message.timestamp.into(),
        ],
    )
    .await?;
    Ok(())
}

/// What installed components; each configuration is looked up once for a message.
#[derive(Default)]
struct Sources {
    seen: BTreeMap<String, Option<(i64, String)>>,
}

impl Sources {
    /// The newest deployment that a component belongs to, or `LOCAL`.
    async fn of(
        &mut self,
        tx: &mut Tx,
        scope: &Scope,
        component: &Component,
    ) -> Outcome<Option<String>> {
        let mut newest: Option<(i64, String)> = None;
        let mut local = false;
        for arn in component.fleet_config_arns.iter().flatten().flatten() {
            if arn == "LOCAL_DEPLOYMENT" {
                local = true;
                continue;
            }
            if !self.seen.contains_key(arn) {
                let found = revisions::of_configuration(tx, scope, arn).await?;
                let found = found.map(|row| (row.revision, row.id));
                self.seen.insert(arn.clone(), found);
            }
            newest = newest.max(self.seen.get(arn).cloned().flatten());
        }
        Ok(newest
            .map(|(_, id)| id)
            .or_else(|| local.then(|| "LOCAL".to_owned())))
    }
}
