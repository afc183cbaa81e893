//! The service `iotdata` over HTTPS (wire-protocols §6.3).

use super::{checked_name, fault_of, properties, serve};
use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::ports::{MessageProperties, PortError, Publication};
use crate::request::{Call, ok};
use crate::reserved::ReservedError;
use crate::routes::Matched;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value as Json, json};
use sward_aws_wire::api::ApiResponse;
use sward_diagnosis::Kind;
use sward_shadow::Operation;

const LARGEST_PAYLOAD: usize = 128 * 1024;
const LONGEST_TOPIC: usize = 256;

pub(super) async fn operation(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let arg = matched.arg(0);
    match matched.name {
        "GetThingShadow" => shadow(control, call, arg, Operation::Get).await,
        "UpdateThingShadow" => shadow(control, call, arg, Operation::Update).await,
        "DeleteThingShadow" => shadow(control, call, arg, Operation::Delete).await,
        "ListNamedShadowsForThing" => list(control, call, arg).await,
        "Publish" => publish(control, call, arg).await,
        "ListRetainedMessages" => retained_list(control, call).await,
        "GetRetainedMessage" => retained(control, call, arg).await,
        _ => Err(call.unknown()),
    }
}

async fn shadow(
    control: &Control,
    call: &Call<'_>,
    thing: &str,
    operation: Operation,
) -> Outcome<ApiResponse> {
    let name = checked_name(thing, call.query("name"))?;
    let payload: &[u8] = match operation {
        Operation::Update => &call.request.body,
        _ => b"",
    };
    let served = serve(control, &call.scope, name, operation, payload).await?;
    match served.rejection {
        None => Ok(ok(served.answer)),
        Some(rejection) => Err(fault_of(&rejection)),
    }
}

async fn list(control: &Control, call: &Call<'_>, thing: &str) -> Outcome<ApiResponse> {
    let page = call.page(&["pageSize"], &["nextToken"], 25, 100)?;
    let mut tx = control.read().await?;
    let rows = tx
        .all(
            "SELECT name FROM shadows WHERE account = $1 AND region = $2 AND thing = $3
             AND present = 1 AND name <> '' ORDER BY name",
            &[
                call.scope.account.as_str().into(),
                call.scope.region.as_str().into(),
                thing.into(),
            ],
        )
        .await?;
    let mut names = Vec::new();
    for row in &rows {
        names.push(row.text("name")?);
    }
    let (part, token) = page.cut(names, Clone::clone);
    let mut body = json!({ "results": part, "timestamp": control.now_ms() / 1000 });
    if let Some(token) = token {
        body["nextToken"] = Json::from(token);
    }
    Ok(ok(body))
}

async fn publish(control: &Control, call: &Call<'_>, topic: &str) -> Outcome<ApiResponse> {
    let payload = &call.request.body;
    if payload.len() > LARGEST_PAYLOAD {
        return Err(Fault::new(
            Refusal::TooLarge,
            format!(
                "the payload has {} bytes, {LARGEST_PAYLOAD} are allowed",
                payload.len()
            ),
        ));
    }
    let bad = topic.is_empty() || topic.contains(['+', '#', '\0']);
    if bad || (topic.len() > LONGEST_TOPIC && !topic.starts_with('$')) {
        return Err(Fault::field(
            "topic",
            format!("\"{topic}\" is not a topic to publish to"),
        ));
    }
    let qos = match call.query("qos") {
        None | Some("0") => 0,
        Some("1") => 1,
        Some(other) => return Err(Fault::field("qos", format!("\"{other}\" is not 0 or 1"))),
    };
    let retain = call.flag("retain")?;
    if topic.starts_with("$aws/") {
        reserved(control, call, topic).await?;
    } else if topic.starts_with('$') {
        return Err(Fault::field("topic", format!("topic {topic} is reserved")));
    } else {
        let publication = Publication {
            account: call.scope.account.clone(),
            region: call.scope.region.clone(),
            topic: topic.to_owned(),
            payload: payload.clone(),
            qos,
            retain,
            properties: properties::read(call)?,
        };
        control
            .ports()
            .publisher
            .publish(publication)
            .await
            .map_err(unpublished)?;
    }
    Ok(ok(json!({})))
}

/// A request to a service by its topic; there is nobody to answer but the topic's subscribers.
async fn reserved(control: &Control, call: &Call<'_>, topic: &str) -> Outcome<()> {
    let replies = control
        .reserved_publish(&call.scope, topic, &call.request.body)
        .await
        .map_err(|error| {
            let refusal = match &error {
                ReservedError::UnknownTopic { .. } => Refusal::Invalid,
                ReservedError::Unavailable { .. } => Refusal::Unavailable,
            };
            Fault::of(refusal, &error)
        })?;
    for reply in replies {
        let publication = Publication {
            account: call.scope.account.clone(),
            region: call.scope.region.clone(),
            topic: reply.topic,
            payload: reply.payload.into(),
            qos: 1,
            retain: false,
            properties: MessageProperties::default(),
        };
        control
            .ports()
            .publisher
            .publish(publication)
            .await
            .map_err(unpublished)?;
    }
    Ok(())
}

/// The broker's words where it refuses for good; trying again helps with everything else.
fn unpublished(error: PortError) -> Fault {
    match error {
        PortError::Refused { because, .. } => Fault {
            refusal: match because.kind {
                Kind::TooLarge => Refusal::TooLarge,
                _ => Refusal::Invalid,
            },
            report: because,
            members: Map::new(),
        },
        error @ PortError::Unavailable { .. } => Fault::of(Refusal::Unavailable, &error),
    }
}

async fn retained_list(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let size: usize = match call.query("maxResults") {
        None => 200,
        Some(text) => text
            .parse()
            .ok()
            .filter(|number| (1..=200).contains(number))
            .ok_or_else(|| {
                Fault::field(
                    "maxResults",
                    format!("\"{text}\" is not a number from 1 to 200"),
                )
            })?,
    };
    let after = match call.query("nextToken") {
        None => None,
        Some(token) => Some(
            STANDARD
                .decode(token)
                .ok()
                .and_then(|bytes| String::from_utf8(bytes).ok())
                .ok_or_else(|| {
                    Fault::field("nextToken", "the token does not come from this service")
                })?,
        ),
    };
    let found = control
        .ports()
        .publisher
        .retained_list(
            &call.scope.account,
            &call.scope.region,
            after.as_deref(),
            size + 1,
        )
        .await
        .map_err(unpublished)?;
    let more = found.len() > size;
    let part = &found[..found.len().min(size)];
    let topics: Vec<Json> = part
        .iter()
        .map(|message| {
            json!({
                "topic": message.topic,
                "payloadSize": message.payload.len(),
                "qos": message.qos,
                "lastModifiedTime": message.last_modified_ms,
            })
        })
        .collect();
    let mut body = json!({ "retainedTopics": topics });
    if let Some(last) = part.last().filter(|_| more) {
        body["nextToken"] = Json::from(STANDARD.encode(&last.topic));
    }
    Ok(ok(body))
}

async fn retained(control: &Control, call: &Call<'_>, topic: &str) -> Outcome<ApiResponse> {
    let message = control
        .ports()
        .publisher
        .retained(&call.scope.account, &call.scope.region, topic)
        .await
        .map_err(unpublished)?
        .ok_or_else(|| Fault::not_found("retained message", topic))?;
    Ok(ok(json!({
        "topic": message.topic,
        "payload": STANDARD.encode(&message.payload),
        "qos": message.qos,
        "lastModifiedTime": message.last_modified_ms,
    })))
}
