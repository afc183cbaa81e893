//! The job operations of the service `iot`.

use super::core::{Execution, ExecutionStatus, TargetSelection};
use super::store::{self, JobRow};
use super::{AbortConfig, GREENGRASS, NewJob, RolloutConfig, TimeoutConfig, machine};
use crate::fault::{Fault, Outcome, Refusal};
use crate::iot::{Tag, clear_tags, put_tags};
use crate::request::{Call, listed, object, ok, seconds};
use crate::routes::Matched;
use crate::scope::Scope;
use crate::{Control, greengrass};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use sward_aws_wire::api::ApiResponse;
use sward_deployment::DeploymentDocument;
use sward_model::{Arn, JobId};
use sward_store::Tx;

const LARGEST_DOCUMENT: usize = 32_768;
const LONGEST_DESCRIPTION: usize = 2028;

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CreateBody {
    targets: Vec<String>,
    document: Option<String>,
    document_source: Option<String>,
    description: Option<String>,
    target_selection: Option<TargetSelection>,
    job_executions_rollout_config: RolloutConfig,
    abort_config: Option<AbortConfig>,
    timeout_config: TimeoutConfig,
    namespace_id: Option<String>,
    tags: Vec<Tag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CancelExecutionBody {
    expected_version: Option<u64>,
    status_details: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CancelBody {
    reason_code: Option<String>,
    comment: Option<String>,
}

pub(super) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let first = matched.arg(0);
    let second = matched.arg(1);
    match matched.name {
        "CreateJob" => create(control, call, first).await,
        "DescribeJob" => describe(control, call, first).await,
        "ListJobs" => list(control, call).await,
        "GetJobDocument" => document(control, call, first).await,
        "CancelJob" => cancel(control, call, first).await,
        "DeleteJob" => delete(control, call, first).await,
        "ListJobExecutionsForJob" => executions_of_job(control, call, first).await,
        "ListJobExecutionsForThing" => executions_of_thing(control, call, first).await,
        "DescribeJobExecution" => describe_execution(control, call, first, second).await,
        "CancelJobExecution" => cancel_execution(control, call, first, second).await,
        "DeleteJobExecution" => {
            delete_execution(control, call, first, second, matched.arg(2)).await
        }
        _ => Err(call.unknown()),
    }
}

async fn existing(tx: &mut Tx, scope: &Scope, id: &str) -> Outcome<JobRow> {
    store::job(tx, scope, id)
        .await?
        .ok_or_else(|| Fault::not_found("job", id))
}

fn arn(scope: &Scope, id: &str) -> String {
    scope.iot("job", id).to_string()
}

async fn create(control: &Control, call: &Call<'_>, id: &str) -> Outcome<ApiResponse> {
    let id: JobId = id
        .parse()
        .map_err(|error| Fault::field("jobId", format!("{error}")))?;
    let body: CreateBody = call.body()?;
    let document = match (body.document, body.document_source) {
        (Some(document), _) => document,
        (None, Some(_)) => {
            return Err(Fault::new(
                Refusal::Unsupported,
                "job documents are not read from S3 yet",
            )
            .help("give the document itself"));
        }
        (None, None) => return Err(Fault::field("document", "document is missing")),
    };
    if document.chars().count() > LARGEST_DOCUMENT {
        return Err(Fault::field(
            "document",
            format!("the document is longer than {LARGEST_DOCUMENT} characters"),
        ));
    }
    if serde_json::from_str::<Json>(&document).is_err() {
        return Err(Fault::field("document", "the document is not JSON"));
    }
    if body.namespace_id.as_deref() == Some(GREENGRASS)
        && let Err(error) = DeploymentDocument::parse(&document)
    {
        // A Java nucleus that gets a document it cannot read is silent until it restarts
        // (golden/wire/java-job-bad-document).
        return Err(Fault::field(
            "document",
            format!("the document is no deployment: {error}"),
        ));
    }
    if body
        .description
        .as_ref()
        .is_some_and(|text| text.chars().count() > LONGEST_DESCRIPTION)
    {
        return Err(Fault::field(
            "description",
            format!("the description is longer than {LONGEST_DESCRIPTION} characters"),
        ));
    }
    if let Some(namespace) = &body.namespace_id {
        let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'-');
        if !(1..=64).contains(&namespace.len()) || !namespace.bytes().all(fits) {
            return Err(Fault::field(
                "namespaceId",
                format!("\"{namespace}\" is not 1 to 64 letters, digits, '_' and '-'"),
            ));
        }
    }
    let mut targets = Vec::new();
    for text in &body.targets {
        let target: Arn = text
            .parse()
            .map_err(|error| Fault::field("targets", format!("{error}")))?;
        let scope = &call.scope;
        if target.account != scope.account.as_str() || target.region != scope.region.as_str() {
            return Err(Fault::field(
                "targets",
                format!("{text} belongs to another account or region"),
            ));
        }
        targets.push(target);
    }
    if targets.is_empty() {
        return Err(Fault::field("targets", "a job needs a target"));
    }
    let invalid = |error| Fault::of(Refusal::Invalid, &error);
    body.job_executions_rollout_config
        .validate()
        .map_err(invalid)?;
    if let Some(abort) = &body.abort_config {
        abort.validate().map_err(invalid)?;
    }
    body.timeout_config.validate().map_err(invalid)?;
    let scope = &call.scope;
    let mut tx = control.write().await?;
    if store::job(&mut tx, scope, id.as_str()).await?.is_some() {
        return Err(
            Fault::new(Refusal::AlreadyExists, format!("job {id} exists already"))
                .with("resourceId", id.as_str())
                .with("resourceArn", arn(scope, id.as_str())),
        );
    }
    let new = NewJob {
        id: id.to_string(),
        namespace: body.namespace_id.unwrap_or_default(),
        targets,
        document,
        description: body.description.clone(),
        selection: body.target_selection.unwrap_or(TargetSelection::Snapshot),
        rollout: body.job_executions_rollout_config,
        abort: body.abort_config.unwrap_or_default(),
        timeout: body.timeout_config,
    };
    machine::create(control, &mut tx, scope, new).await?;
    put_tags(&mut tx, scope, &arn(scope, id.as_str()), &body.tags).await?;
    tx.commit().await?;
    Ok(ok(object([
        ("jobArn", Some(json!(arn(scope, id.as_str())))),
        ("jobId", Some(json!(id.as_str()))),
        ("description", body.description.map(Json::from)),
    ])))
}

fn selection_name(selection: TargetSelection) -> &'static str {
    match selection {
        TargetSelection::Snapshot => "SNAPSHOT",
        TargetSelection::Continuous => "CONTINUOUS",
    }
}

async fn describe(control: &Control, call: &Call<'_>, id: &str) -> Outcome<ApiResponse> {
    let mut tx = control.read().await?;
    let row = existing(&mut tx, &call.scope, id).await?;
    let counts = row.state.counts;
    let config = |value: Json| Some(value).filter(|value| *value != json!({}));
    let job = object([
        ("jobArn", Some(json!(arn(&call.scope, id)))),
        ("jobId", Some(json!(row.id))),
        (
            "targetSelection",
            Some(json!(selection_name(row.state.target_selection))),
        ),
        ("status", Some(json!(row.state.status.as_str()))),
        ("forceCanceled", row.forced.then_some(Json::from(true))),
        ("reasonCode", row.state.reason_code.clone().map(Json::from)),
        ("comment", row.comment.map(Json::from)),
        ("targets", Some(json!(row.targets))),
        ("description", row.description.map(Json::from)),
        (
            "jobExecutionsRolloutConfig",
            config(json!(row.state.rollout)),
        ),
        (
            "abortConfig",
            Some(&row.state.abort)
                .filter(|abort| !abort.criteria_list.is_empty())
                .map(|abort| json!(abort)),
        ),
        (
            "timeoutConfig",
            row.timeout_minutes
                .map(|minutes| json!({ "inProgressTimeoutInMinutes": minutes })),
        ),
        ("createdAt", Some(seconds(row.created_ms))),
        ("lastUpdatedAt", Some(seconds(row.updated_ms))),
        ("completedAt", row.completed_ms.map(seconds)),
        (
            "jobProcessDetails",
            Some(json!({
                "processingTargets": row.targets,
                "numberOfCanceledThings": counts.canceled,
                "numberOfSucceededThings": counts.succeeded,
                "numberOfFailedThings": counts.failed,
                "numberOfRejectedThings": counts.rejected,
                "numberOfQueuedThings": counts.queued,
                "numberOfInProgressThings": counts.in_progress,
                "numberOfRemovedThings": counts.removed,
                "numberOfTimedOutThings": counts.timed_out,
            })),
        ),
        (
            "namespaceId",
            Some(row.namespace)
                .filter(|name| !name.is_empty())
                .map(Json::from),
        ),
    ]);
    Ok(ok(json!({ "job": job })))
}

async fn list(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 250, 250)?;
    let group = call
        .query("thingGroupName")
        .map(|name| call.scope.iot("thinggroup", name).to_string());
    let mut tx = control.read().await?;
    let rows: Vec<JobRow> = store::jobs(&mut tx, &call.scope)
        .await?
        .into_iter()
        .filter(|row| {
            call.query("status")
                .is_none_or(|status| row.state.status.as_str() == status)
                && call
                    .query("targetSelection")
                    .is_none_or(|name| selection_name(row.state.target_selection) == name)
                && call
                    .query("namespaceId")
                    .is_none_or(|name| row.namespace == name)
                && group
                    .as_ref()
                    .is_none_or(|group| row.targets.contains(group))
        })
        .collect();
    let (part, token) = page.cut(rows, |row| row.id.clone());
    let items = part
        .into_iter()
        .map(|row| {
            object([
                ("jobArn", Some(json!(arn(&call.scope, &row.id)))),
                ("jobId", Some(json!(row.id))),
                (
                    "targetSelection",
                    Some(json!(selection_name(row.state.target_selection))),
                ),
                ("status", Some(json!(row.state.status.as_str()))),
                ("createdAt", Some(seconds(row.created_ms))),
                ("lastUpdatedAt", Some(seconds(row.updated_ms))),
                ("completedAt", row.completed_ms.map(seconds)),
            ])
        })
        .collect();
    Ok(listed("jobs", items, "nextToken", token))
}

async fn document(control: &Control, call: &Call<'_>, id: &str) -> Outcome<ApiResponse> {
    let mut tx = control.read().await?;
    let row = existing(&mut tx, &call.scope, id).await?;
    Ok(ok(json!({ "document": row.document })))
}

async fn cancel(control: &Control, call: &Call<'_>, id: &str) -> Outcome<ApiResponse> {
    let force = call.flag("force")?;
    let body: CancelBody = call.body()?;
    let scope = &call.scope;
    let mut tx = control.write().await?;
    let mut row = existing(&mut tx, scope, id).await?;
    if let Some(comment) = body.comment {
        row.comment = Some(comment);
        store::save(&mut tx, scope, &row).await?;
    }
    let reason = body.reason_code.unwrap_or_default();
    machine::cancel(control, &mut tx, scope, id, &reason, force).await?;
    tx.commit().await?;
    Ok(ok(object([
        ("jobArn", Some(json!(arn(scope, id)))),
        ("jobId", Some(json!(id))),
        ("description", row.description.map(Json::from)),
    ])))
}

async fn delete(control: &Control, call: &Call<'_>, id: &str) -> Outcome<ApiResponse> {
    let force = call.flag("force")?;
    let scope = &call.scope;
    let mut tx = control.write().await?;
    let row = existing(&mut tx, scope, id).await?;
    if row.namespace == GREENGRASS && greengrass::has_deployment(&mut tx, scope, id).await? {
        return Err(Fault::new(
            Refusal::Invalid,
            format!("job {id} belongs to a deployment"),
        )
        .help("delete the deployment"));
    }
    if !row.state.may_delete(force) {
        return Err(Fault::new(
            Refusal::InvalidStateTransition,
            format!("job {id} is in progress"),
        )
        .help("cancel it first, or force the deletion"));
    }
    // Devices must see their queues shrink before the rows go.
    machine::cancel(control, &mut tx, scope, id, "DELETED", true).await?;
    store::forget(&mut tx, scope, id).await?;
    clear_tags(&mut tx, scope, &arn(scope, id)).await?;
    tx.commit().await?;
    Ok(ok(json!({})))
}

fn at(ms: u64) -> Json {
    seconds(i64::try_from(ms).unwrap_or(i64::MAX))
}

fn summary(execution: &Execution) -> Json {
    object([
        ("status", Some(json!(execution.status.as_str()))),
        ("queuedAt", Some(at(execution.queued_at_ms))),
        ("startedAt", execution.started_at_ms.map(at)),
        ("lastUpdatedAt", Some(at(execution.last_updated_at_ms))),
        ("executionNumber", Some(json!(execution.execution_number))),
    ])
}

fn has_status(call: &Call<'_>, execution: &Execution) -> bool {
    call.query("status")
        .is_none_or(|status| execution.status.as_str() == status)
}

async fn executions_of_job(control: &Control, call: &Call<'_>, id: &str) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 250, 250)?;
    let mut tx = control.read().await?;
    existing(&mut tx, &call.scope, id).await?;
    let executions: Vec<Execution> = store::executions_of_job(&mut tx, &call.scope, id)
        .await?
        .into_iter()
        .filter(|execution| has_status(call, execution))
        .collect();
    let (part, token) = page.cut(executions, |execution| {
        format!("{}#{}", execution.thing_name, execution.execution_number)
    });
    let items = part
        .iter()
        .map(|execution| {
            json!({
                "thingArn": call.scope.iot("thing", &execution.thing_name).to_string(),
                "jobExecutionSummary": summary(execution),
            })
        })
        .collect();
    Ok(listed("executionSummaries", items, "nextToken", token))
}

async fn executions_of_thing(
    control: &Control,
    call: &Call<'_>,
    thing: &str,
) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 250, 250)?;
    let namespace = call.query("namespaceId");
    let job = call.query("jobId");
    let mut tx = control.read().await?;
    let executions: Vec<Execution> = store::executions_of_thing(&mut tx, &call.scope, thing)
        .await?
        .into_iter()
        .filter(|(of, execution)| {
            namespace.is_none_or(|name| of == name)
                && job.is_none_or(|id| execution.job_id == id)
                && has_status(call, execution)
        })
        .map(|(_, execution)| execution)
        .collect();
    let (part, token) = page.cut(executions, |execution| {
        format!("{}#{}", execution.job_id, execution.execution_number)
    });
    let items = part
        .iter()
        .map(|execution| {
            json!({
                "jobId": execution.job_id,
                "jobExecutionSummary": summary(execution),
            })
        })
        .collect();
    Ok(listed("executionSummaries", items, "nextToken", token))
}

async fn one_execution(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    id: &str,
    number: Option<&str>,
) -> Outcome<Execution> {
    let wanted: Option<u64> =
        match number {
            None => None,
            Some(text) => Some(text.parse().map_err(|_| {
                Fault::field("executionNumber", format!("\"{text}\" is not a number"))
            })?),
        };
    let mut executions = store::executions(tx, scope, id, thing).await?;
    if let Some(wanted) = wanted {
        executions.retain(|execution| execution.execution_number == wanted);
    }
    executions
        .pop()
        .ok_or_else(|| Fault::not_found("job execution", &format!("{id} on {thing}")))
}

async fn describe_execution(
    control: &Control,
    call: &Call<'_>,
    thing: &str,
    id: &str,
) -> Outcome<ApiResponse> {
    let mut tx = control.read().await?;
    let number = call.query("executionNumber");
    let execution = one_execution(&mut tx, &call.scope, thing, id, number).await?;
    let now = u64::try_from(control.now_ms()).unwrap_or(0);
    let left = execution
        .deadline_ms()
        .map(|deadline| json!(deadline.saturating_sub(now) / 1000));
    let body = object([
        ("jobId", Some(json!(execution.job_id))),
        ("status", Some(json!(execution.status.as_str()))),
        (
            "statusDetails",
            Some(json!({ "detailsMap": execution.status_details })),
        ),
        (
            "thingArn",
            Some(json!(call.scope.iot("thing", thing).to_string())),
        ),
        ("queuedAt", Some(at(execution.queued_at_ms))),
        ("startedAt", execution.started_at_ms.map(at)),
        ("lastUpdatedAt", Some(at(execution.last_updated_at_ms))),
        ("executionNumber", Some(json!(execution.execution_number))),
        ("versionNumber", Some(json!(execution.version_number))),
        ("approximateSecondsBeforeTimedOut", left),
    ]);
    Ok(ok(json!({ "execution": body })))
}

async fn cancel_execution(
    control: &Control,
    call: &Call<'_>,
    thing: &str,
    id: &str,
) -> Outcome<ApiResponse> {
    let force = call.flag("force")?;
    let body: CancelExecutionBody = call.body()?;
    let scope = &call.scope;
    let mut tx = control.write().await?;
    let row = existing(&mut tx, scope, id).await?;
    let execution = one_execution(&mut tx, scope, thing, id, None).await?;
    if let Some(expected) = body
        .expected_version
        .filter(|version| *version != execution.version_number)
    {
        return Err(Fault::new(
            Refusal::VersionConflict,
            format!(
                "the execution of job {id} on thing {thing} has version {}, not {expected}",
                execution.version_number
            ),
        ));
    }
    let refused = execution.status.is_terminal()
        || (execution.status == ExecutionStatus::InProgress && !force);
    if refused {
        return Err(Fault::new(
            Refusal::InvalidStateTransition,
            format!(
                "the execution of job {id} on thing {thing} is {}",
                execution.status.as_str()
            ),
        ));
    }
    let now = u64::try_from(control.now_ms()).unwrap_or(0);
    let mut queue = store::queue(&mut tx, scope, thing, &row.namespace, None).await?;
    let (mut changed, notifications) = queue.end(id, ExecutionStatus::Canceled, !force, now);
    if let Some(details) = body.status_details {
        for (_, execution) in &mut changed {
            execution.status_details.clone_from(&details);
        }
    }
    machine::settle(control, &mut tx, scope, &row.namespace, changed).await?;
    machine::announce(&mut tx, scope, thing, &row.namespace, notifications).await?;
    tx.commit().await?;
    Ok(ok(json!({})))
}

async fn delete_execution(
    control: &Control,
    call: &Call<'_>,
    thing: &str,
    id: &str,
    number: &str,
) -> Outcome<ApiResponse> {
    let force = call.flag("force")?;
    let scope = &call.scope;
    let mut tx = control.write().await?;
    let row = existing(&mut tx, scope, id).await?;
    let execution = one_execution(&mut tx, scope, thing, id, Some(number)).await?;
    if execution.status == ExecutionStatus::InProgress && !force {
        return Err(Fault::new(
            Refusal::InvalidStateTransition,
            format!("the execution of job {id} on thing {thing} is IN_PROGRESS"),
        ));
    }
    // An earlier execution is deleted without a word to the one that waits now.
    if !execution.status.is_terminal() {
        let now = u64::try_from(control.now_ms()).unwrap_or(0);
        let mut queue = store::queue(&mut tx, scope, thing, &row.namespace, None).await?;
        let (changed, notifications) = queue.end(id, ExecutionStatus::Removed, !force, now);
        machine::settle(control, &mut tx, scope, &row.namespace, changed).await?;
        machine::announce(&mut tx, scope, thing, &row.namespace, notifications).await?;
    }
    store::forget_execution(&mut tx, scope, &execution).await?;
    tx.commit().await?;
    Ok(ok(json!({})))
}
