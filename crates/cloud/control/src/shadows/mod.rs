//! Device shadows, and the rest of the service `iotdata`: publishing and retained messages.
//!
//! The rules are those of `sward_shadow`; here they meet the table, MQTT and HTTPS. A get is
//! answered to whoever asked. What changes a shadow is told to all through the outbox:
//! `update/accepted`, `update/delta`, `update/documents`, `delete/accepted`.

mod http;
mod properties;

use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::greengrass;
use crate::outbox;
use crate::request::Call;
use crate::reserved::Reply;
use crate::routes::{self, Matched, Route, route};
use crate::scope::Scope;
use serde_json::{Value as Json, json};
use sward_aws_wire::api::ApiResponse;
use sward_shadow::topic::{ShadowName, is_valid_name};
use sward_shadow::{Limits, Operation, Section, Slot, Suffix};
use sward_store::{Migration, Tx};

/// The shadow by which a thing gets its deployments.
pub(crate) const DEPLOYMENT_SHADOW: &str = "AWSManagedGreengrassV2Deployment";
/// That shadow carries a whole deployment document as text; only the size of an MQTT message
/// bounds it.
const DEPLOYMENT_LIMITS: Limits = Limits {
    max_document: 126_000,
    ..Limits::CLOUD
};
/// The largest payload that the broker takes.
const LARGEST_MESSAGE: usize = 131_072;

pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    module: "shadows",
    number: 1,
    name: "one slot for each shadow",
    sql: "
CREATE TABLE shadows (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL, name TEXT NOT NULL,
    slot TEXT NOT NULL, present BIGINT NOT NULL, modified_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, thing, name));
",
}];

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "things/{}/shadow", "GetThingShadow", "iot|thing/{0}"),
    route(
        "POST",
        "things/{}/shadow",
        "UpdateThingShadow",
        "iot|thing/{0}",
    ),
    route(
        "DELETE",
        "things/{}/shadow",
        "DeleteThingShadow",
        "iot|thing/{0}",
    ),
    route(
        "GET",
        "api/things/shadow/ListNamedShadowsForThing/{}",
        "ListNamedShadowsForThing",
        "iot|thing/{0}",
    ),
    route("POST", "topics/{+}", "Publish", "iot|topic/{0}"),
    route("GET", "retainedMessage", "ListRetainedMessages", "*"),
    route(
        "GET",
        "retainedMessage/{+}",
        "GetRetainedMessage",
        "iot|topic/{0}",
    ),
];

/// Answers one call to the service `iotdata`.
pub(crate) async fn call(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    match routes::find(ROUTES, call) {
        Some(matched) => http::operation(control, call, &matched).await,
        None => Err(call.unknown()),
    }
}

/// Answers one operation whose caller is authorized.
pub(crate) async fn operation(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    http::operation(control, call, matched).await
}

/// Whether a topic is a request to this service.
pub(crate) fn is_request(topic: &str) -> bool {
    ShadowName::parse_request(topic).is_some()
}

/// Serves a request that came by MQTT.
pub(crate) async fn publish(
    control: &Control,
    scope: &Scope,
    topic: &str,
    payload: &[u8],
) -> Outcome<Vec<Reply>> {
    let Some((name, operation)) = ShadowName::parse_request(topic) else {
        return Ok(Vec::new());
    };
    if let Err(fault) = checked_name(name.thing, name.name) {
        let body = json!({
            "code": 400,
            "message": fault.report.chain(),
            "timestamp": control.now_ms() / 1000,
        });
        let topic = name.topic(operation, Suffix::Rejected);
        return Ok(vec![Reply::json(topic, &body)]);
    }
    let served = serve(control, scope, name, operation, payload).await?;
    let mut replies = Vec::new();
    // A change has put its messages into the outbox.
    if operation == Operation::Get || served.rejection.is_some() {
        let suffix = match served.rejection {
            None => Suffix::Accepted,
            Some(_) => Suffix::Rejected,
        };
        replies.push(Reply::json(name.topic(operation, suffix), &served.answer));
    }
    Ok(replies)
}

/// What a request led to.
struct Served {
    answer: Json,
    rejection: Option<sward_shadow::Rejection>,
}

async fn serve(
    control: &Control,
    scope: &Scope,
    name: ShadowName<'_>,
    operation: Operation,
    payload: &[u8],
) -> Outcome<Served> {
    if operation == Operation::Get {
        let mut tx = control.read().await?;
        let slot = load(&mut tx, scope, name).await?;
        let outcome = answer(control, slot.as_ref(), name, operation, payload);
        let mut answer = outcome.answer().clone();
        fit_into_message(&mut answer);
        return Ok(Served {
            answer,
            rejection: outcome.rejection,
        });
    }
    let mut tx = control.write().await?;
    let served = change(control, &mut tx, scope, name, operation, payload).await?;
    if served.rejection.is_none() {
        if name.name == Some(DEPLOYMENT_SHADOW)
            && let Some(Slot::Present(shadow)) = load(&mut tx, scope, name).await?
            && let Some(reported) = shadow.section(Section::Reported)
        {
            greengrass::shadow_reported(control, &mut tx, scope, name.thing, reported).await?;
        }
        tx.commit().await?;
    }
    Ok(served)
}

/// Leaves the delta out of an answer that is too large for a message with it: a large deployment
/// stands in it twice, and devices read it under `desired`.
fn fit_into_message(answer: &mut Json) {
    if answer.to_string().len() > LARGEST_MESSAGE
        && let Some(state) = answer.get_mut("state").and_then(Json::as_object_mut)
    {
        state.remove("delta");
    }
}

/// Writes a desired document on behalf of a service of ours.
pub(crate) async fn write(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    name: &str,
    document: &Json,
) -> Outcome<()> {
    let name = ShadowName {
        thing,
        name: Some(name),
    };
    let payload = document.to_string();
    let served = change(
        control,
        tx,
        scope,
        name,
        Operation::Update,
        payload.as_bytes(),
    )
    .await?;
    match served.rejection {
        None => Ok(()),
        Some(rejection) => Err(fault_of(&rejection)),
    }
}

async fn change(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    name: ShadowName<'_>,
    operation: Operation,
    payload: &[u8],
) -> Outcome<Served> {
    let slot = load(tx, scope, name).await?;
    let outcome = answer(control, slot.as_ref(), name, operation, payload);
    if outcome.rejection.is_none() {
        if let Some(slot) = &outcome.slot {
            store(tx, scope, name, slot, control.now_ms()).await?;
        }
        for publication in &outcome.publications {
            // A large deployment beside the one before it; nothing of ours listens for that.
            let too_large = publication.suffix == Suffix::Documents
                && publication.body.to_string().len() > LARGEST_MESSAGE;
            if too_large {
                tracing::debug!(thing_name = name.thing, "documents too large for a message");
                continue;
            }
            let topic = name.topic(operation, publication.suffix);
            outbox::publish(tx, scope, topic, &publication.body).await?;
        }
    }
    Ok(Served {
        answer: outcome.answer().clone(),
        rejection: outcome.rejection,
    })
}

fn answer(
    control: &Control,
    slot: Option<&Slot>,
    name: ShadowName<'_>,
    operation: Operation,
    payload: &[u8],
) -> sward_shadow::Outcome {
    let now = u64::try_from(control.now_ms() / 1000).unwrap_or(0);
    let limits = match name.name {
        Some(DEPLOYMENT_SHADOW) => &DEPLOYMENT_LIMITS,
        _ => &Limits::CLOUD,
    };
    let shown = match name.name {
        None => name.thing.to_owned(),
        // As a nucleus was answered: golden/wire/java-start.
        Some(shadow) => format!("{}~{shadow}", name.thing),
    };
    sward_shadow::handle(operation, slot, &shown, payload, now, limits)
}

async fn load(tx: &mut Tx, scope: &Scope, name: ShadowName<'_>) -> Outcome<Option<Slot>> {
    let row = tx
        .optional(
            "SELECT slot FROM shadows
             WHERE account = $1 AND region = $2 AND thing = $3 AND name = $4",
            &[
                scope.account.as_str().into(),
                scope.region.as_str().into(),
                name.thing.into(),
                name.name.unwrap_or("").into(),
            ],
        )
        .await?;
    let Some(row) = row else {
        return Ok(None);
    };
    serde_json::from_str(&row.text("slot")?)
        .map(Some)
        .map_err(|error| {
            Fault::new(
                Refusal::Internal,
                format!(
                    "the stored shadow of {} cannot be read: {error}",
                    name.thing
                ),
            )
        })
}

async fn store(
    tx: &mut Tx,
    scope: &Scope,
    name: ShadowName<'_>,
    slot: &Slot,
    now_ms: i64,
) -> Outcome<()> {
    let text = serde_json::to_string(slot)
        .map_err(|error| Fault::new(Refusal::Internal, format!("{error}")))?;
    tx.execute(
        "INSERT INTO shadows (account, region, thing, name, slot, present, modified_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
         ON CONFLICT (account, region, thing, name) DO UPDATE
         SET slot = excluded.slot, present = excluded.present, modified_ms = excluded.modified_ms",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            name.thing.into(),
            name.name.unwrap_or("").into(),
            text.into(),
            slot.shadow().is_some().into(),
            now_ms.into(),
        ],
    )
    .await?;
    Ok(())
}

fn fault_of(rejection: &sward_shadow::Rejection) -> Fault {
    let refusal = match rejection.status() {
        404 => Refusal::NotFound,
        409 => Refusal::VersionConflict,
        413 => Refusal::TooLarge,
        _ => Refusal::Invalid,
    };
    Fault::of(refusal, rejection)
}

fn checked_name<'n>(thing: &'n str, name: Option<&'n str>) -> Outcome<ShadowName<'n>> {
    if thing.parse::<sward_model::ThingName>().is_err() {
        return Err(Fault::field(
            "thingName",
            format!("\"{thing}\" is not the name of a thing"),
        ));
    }
    match name {
        Some(name) if !is_valid_name(name) => Err(Fault::field(
            "shadowName",
            format!("\"{name}\" is not the name of a shadow"),
        )),
        name => Ok(ShadowName { thing, name }),
    }
}
