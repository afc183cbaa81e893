//! What devices ask of their executions, over MQTT and HTTPS.

use super::core::{JobReference, Outcome as QueueOutcome, RejectCode, Rejection};
use super::core::{Request, RequestTopic};
use super::machine::{announce, settle};
use super::{DATA_ROUTES, store};
use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::outbox;
use crate::request::{Call, ok};
use crate::reserved::Reply;
use crate::routes::{self, Matched};
use crate::scope::Scope;
use serde_json::{Map, Value as Json};
use sward_aws_wire::api::ApiResponse;

/// Whether a topic is a request to this service.
pub(crate) fn is_request(topic: &str) -> bool {
    RequestTopic::parse(topic).is_some()
}

/// Serves a request that came by MQTT.
pub(crate) async fn publish(
    control: &Control,
    scope: &Scope,
    topic: &str,
    payload: &[u8],
) -> Outcome<Vec<Reply>> {
    let Some(parsed) = RequestTopic::parse(topic) else {
        return Ok(Vec::new());
    };
    let accepted = RequestTopic::reply(topic, true);
    let namespace = parsed.namespace.unwrap_or("");
    let served = serve(
        control,
        scope,
        parsed.thing,
        namespace,
        &parsed.request,
        payload,
        Some(&accepted),
    )
    .await?;
    let now = u64::try_from(control.now_ms()).unwrap_or(0);
    Ok(match served {
        // The answer to a change is in the outbox, before the notifications that follow it.
        Served::Changed(_) => Vec::new(),
        Served::Answered(body) => vec![Reply::json(accepted, &body)],
        Served::Rejected(rejection) => vec![Reply::json(
            RequestTopic::reply(topic, false),
            &rejection.to_json(now),
        )],
    })
}

enum Served {
    Changed(Json),
    Answered(Json),
    Rejected(Rejection),
}

async fn serve(
    control: &Control,
    scope: &Scope,
    thing: &str,
    namespace: &str,
    request: &Request<'_>,
    payload: &[u8],
    answer_topic: Option<&str>,
) -> Outcome<Served> {
    let now = u64::try_from(control.now_ms()).unwrap_or(0);
    let changes = matches!(request, Request::StartNext | Request::Update(_));
    let mut tx = if changes {
        control.write().await?
    } else {
        control.read().await?
    };
    let job = match request {
        Request::Update(id) | Request::Describe(JobReference::Id(id)) => Some(*id),
        _ => None,
    };
    let mut queue = store::queue(&mut tx, scope, thing, namespace, job).await?;
    let QueueOutcome {
        reply,
        changed,
        notifications,
    } = queue.handle(request, payload, now);
    let body = match reply {
        Ok(body) => body,
        Err(rejection) => return Ok(Served::Rejected(rejection)),
    };
    if changed.is_empty() {
        return Ok(Served::Answered(body));
    }
    if let Some(topic) = answer_topic {
        outbox::publish(&mut tx, scope, topic.to_owned(), &body).await?;
    }
    announce(&mut tx, scope, thing, namespace, notifications).await?;
    settle(control, &mut tx, scope, namespace, changed).await?;
    tx.commit().await?;
    Ok(Served::Changed(body))
}

/// Answers one call to the service `iot-jobs-data`.
pub(crate) async fn data_call(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    match routes::find(DATA_ROUTES, call) {
        Some(matched) => data_operation(control, call, &matched).await,
        None => Err(call.unknown()),
    }
}

/// Answers one operation whose caller is authorized.
pub(crate) async fn data_operation(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let thing = matched.arg(0);
    let job = matched.arg(1);
    let mut members: Map<String, Json> = call.body()?;
    let request = match matched.name {
        "GetPendingJobExecutions" => Request::GetPending,
        "StartNextPendingJobExecution" => Request::StartNext,
        "DescribeJobExecution" => {
            if call.query("includeJobDocument").is_some() {
                let wanted = call.flag("includeJobDocument")?;
                members.insert("includeJobDocument".to_owned(), wanted.into());
            }
            if let Some(number) = call.query("executionNumber") {
                members.insert("executionNumber".to_owned(), number.into());
            }
            Request::Describe(match job {
                "$next" => JobReference::Next,
                id => JobReference::Id(id),
            })
        }
        "UpdateJobExecution" => Request::Update(job),
        _ => return Err(call.unknown()),
    };
    let payload = Json::Object(members).to_string();
    let namespace = call.query("namespaceId").unwrap_or("");
    let served = serve(
        control,
        &call.scope,
        thing,
        namespace,
        &request,
        payload.as_bytes(),
        None,
    )
    .await?;
    match served {
        Served::Changed(body) | Served::Answered(body) => Ok(ok(document_as_text(body))),
        Served::Rejected(rejection) => Err(fault_of(&rejection)),
    }
}

/// Over HTTPS the job's document is text.
fn document_as_text(mut body: Json) -> Json {
    let as_text = |holder: &mut Json| {
        if let Some(document) = holder.get_mut("jobDocument")
            && !document.is_string()
        {
            *document = Json::String(document.to_string());
        }
    };
    as_text(&mut body);
    if let Some(execution) = body.get_mut("execution") {
        as_text(execution);
    }
    if let Some(map) = body.as_object_mut() {
        map.remove("timestamp");
        map.remove("clientToken");
    }
    body
}

fn fault_of(rejection: &Rejection) -> Fault {
    let refusal = match rejection.code {
        RejectCode::InvalidJson | RejectCode::InvalidRequest => Refusal::Invalid,
        RejectCode::InvalidStateTransition => Refusal::InvalidStateTransition,
        RejectCode::VersionMismatch => Refusal::VersionConflict,
        RejectCode::ResourceNotFound => Refusal::NotFound,
        RejectCode::TerminalStateReached => Refusal::TerminalState,
    };
    Fault::of(refusal, rejection)
}
