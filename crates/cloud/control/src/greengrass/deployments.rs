//! Deployments: revisions of what a target shall run (cloud.md §1.3).

use super::document::{Request, Revision};
use super::effective;
use super::revisions::{
    ACTIVE, CANCELED, DELETED, DeploymentRow, existing, insert, next_revision, scoped, set_status,
    supersede,
};
use super::tags::{self, Tags};
use super::tokens::Once;
use crate::Control;
use crate::fault::{Fault, Outcome};
use crate::jobs::{self, NewJob, TargetSelection};
use crate::request::{Call, listed, object, ok, seconds};
use crate::routes::Matched;
use crate::scope::Scope;
use crate::{iot, shadows};
use serde::Deserialize;
use serde_json::{Value as Json, json};
use sward_aws_wire::api::ApiResponse;
use sward_model::{Arn, DeploymentTarget};
use sward_store::Tx;

pub(super) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let id = matched.arg(0);
    match matched.name {
        "CreateDeployment" => create(control, call).await,
        "GetDeployment" => get(control, call, id).await,
        "ListDeployments" => list(control, call).await,
        "CancelDeployment" => cancel(control, call, id).await,
        "DeleteDeployment" => delete(control, call, id).await,
        _ => Err(call.unknown()),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct CreateBody {
    target_arn: Option<String>,
    deployment_name: Option<String>,
    parent_target_arn: Option<String>,
    tags: Tags,
    client_token: Option<String>,
    #[serde(flatten)]
    request: Request,
}

fn target_of(scope: &Scope, member: &str, text: &str) -> Outcome<(Arn, DeploymentTarget)> {
    let arn: Arn = text
        .parse()
        .map_err(|error| Fault::field(member, format!("{error}")))?;
    let Some(target) = arn.as_target() else {
        return Err(Fault::field(
            member,
            format!("{text} is neither a thing nor a thing group"),
        ));
    };
    if arn.account != scope.account.as_str() || arn.region != scope.region.as_str() {
        return Err(Fault::field(
            member,
            format!("{text} belongs to another account or region"),
        ));
    }
    Ok((arn, target))
}

async fn check_target(tx: &mut Tx, scope: &Scope, target: &DeploymentTarget) -> Outcome<()> {
    match target {
        DeploymentTarget::Thing(name) => match iot::thing(tx, scope, name.as_str()).await? {
            Some(_) => Ok(()),
            None => Err(Fault::not_found("THING", name.as_str())),
        },
        DeploymentTarget::ThingGroup(name) => match iot::group(tx, scope, name.as_str()).await? {
            Some(_) => Ok(()),
            None => Err(Fault::not_found("THING_GROUP", name.as_str())),
        },
    }
}

async fn create(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let body: CreateBody = call.body()?;
    let scope = &call.scope;
    let text = body
        .target_arn
        .as_deref()
        .ok_or_else(|| Fault::field("targetArn", "targetArn is missing"))?;
    let (arn, target) = target_of(scope, "targetArn", text)?;
    let name = body.deployment_name.as_deref();
    if name.is_some_and(|name| name.is_empty() || name.chars().count() > 256) {
        return Err(Fault::field(
            "deploymentName",
            "deploymentName has 1 to 256 characters",
        ));
    }
    body.request.validate()?;
    body.request.components()?;
    let token = body.client_token.as_deref();
    let once = Once::new("CreateDeployment", token, &call.request.body)?;
    let now = control.now_ms();

    let mut tx = control.write().await?;
    if let Some(answer) = once.earlier(&mut tx, scope, now).await? {
        return Ok(answer);
    }
    check_target(&mut tx, scope, &target).await?;
    if let Some(parent) = body.parent_target_arn.as_deref() {
        check_parent(&mut tx, scope, &target, parent).await?;
    }
    let target_arn = arn.to_string();
    let previous = supersede(&mut tx, scope, &target_arn).await?;
    let revision = next_revision(&mut tx, scope, &target_arn).await?;
    let id = control.uuid();
    let job = match target {
        DeploymentTarget::Thing(_) => None,
        DeploymentTarget::ThingGroup(_) => Some(control.uuid()),
    };
    let configuration_arn = Arn::configuration(
        &scope.region,
        &scope.account,
        &target,
        u64::try_from(revision).unwrap_or(0),
    )
    .to_string();
    let document = body.request.document(&Revision {
        deployment_id: &id,
        name,
        configuration_arn: &configuration_arn,
        parent_target: body.parent_target_arn.as_deref(),
        target: &target_arn,
        now_ms: now,
    })?;
    let row = DeploymentRow {
        id: id.clone(),
        target: target_arn.clone(),
        revision,
        latest: true,
        name: body.deployment_name.clone(),
        status: ACTIVE.to_owned(),
        request: json!(body.request).to_string(),
        configuration_arn,
        job: job.clone(),
        parent_target: body.parent_target_arn.clone(),
        created_ms: now,
    };
    insert(&mut tx, scope, &row).await?;
    match (&target, &job) {
        (DeploymentTarget::Thing(thing), _) => {
            effective::queue(&mut tx, scope, thing.as_str(), &row, now).await?;
            deliver_to_thing(
                control,
                &mut tx,
                scope,
                thing.as_str(),
                &document,
                "SUCCEEDED",
            )
            .await?;
        }
        (DeploymentTarget::ThingGroup(_), Some(job)) => {
            let new = job_of(job, &arn, &row, &body.request, &document);
            jobs::create(control, &mut tx, scope, new).await?;
        }
        (DeploymentTarget::ThingGroup(_), None) => {}
    }
    // The new executions are queued by now: a device must never see an empty list in between,
    // which it would take for a cancellation.
    if let Some(job) = previous
        .as_ref()
        .and_then(|previous| previous.job.as_deref())
    {
        jobs::cancel(control, &mut tx, scope, job, "SUPERSEDED", true).await?;
    }
    tags::put(&mut tx, scope, &deployment_arn(scope, &id), &body.tags).await?;
    let answer = object([
        ("deploymentId", Some(json!(id))),
        ("iotJobId", job.clone().map(Json::from)),
        ("iotJobArn", job.map(|job| json!(job_arn(scope, &job)))),
    ]);
    once.keep(&mut tx, scope, &answer, now).await?;
    tx.commit().await?;
    tracing::info!(deployment_id = %id, target = %target_arn, revision, "deployment made");
    Ok(ApiResponse::json(201, &answer))
}

/// A subdeployment is for a group, and a group belongs to one parent at most.
async fn check_parent(
    tx: &mut Tx,
    scope: &Scope,
    target: &DeploymentTarget,
    parent: &str,
) -> Outcome<()> {
    let (_, parent_target) = target_of(scope, "parentTargetArn", parent)?;
    let DeploymentTarget::ThingGroup(group) = target else {
        return Err(Fault::field(
            "targetArn",
            "the target of a subdeployment is a thing group",
        ));
    };
    if !matches!(parent_target, DeploymentTarget::ThingGroup(_)) {
        return Err(Fault::field(
            "parentTargetArn",
            format!("{parent} is not a thing group"),
        ));
    }
    check_target(tx, scope, &parent_target).await?;
    let target_arn = scope.iot("thinggroup", group.as_str()).to_string();
    let other = tx
        .optional(
            "SELECT parent_target FROM gg_deployments
             WHERE account = $1 AND region = $2 AND target = $3 AND latest = 1
               AND status <> 'DELETED' AND parent_target IS NOT NULL AND parent_target <> $4",
            &scoped(scope, &[&target_arn, parent]),
        )
        .await?;
    match other {
        None => Ok(()),
        Some(row) => Err(Fault::conflict(
            "THING_GROUP",
            group.as_str(),
            format!(
                "thing group {group} has a subdeployment of {}",
                row.text("parent_target")?
            ),
        )),
    }
}

fn job_of(
    id: &str,
    target: &Arn,
    row: &DeploymentRow,
    request: &Request,
    document: &Json,
) -> NewJob {
    let configuration = request.iot_job_configuration.clone().unwrap_or_default();
    NewJob {
        id: id.to_owned(),
        namespace: jobs::GREENGRASS.to_owned(),
        targets: vec![target.clone()],
        document: document.to_string(),
        description: row.name.clone(),
        selection: TargetSelection::Continuous,
        rollout: configuration
            .job_executions_rollout_config
            .unwrap_or_default(),
        abort: configuration.abort_config.unwrap_or_default(),
        timeout: configuration.timeout_config.unwrap_or_default(),
    }
}

async fn deliver_to_thing(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    document: &Json,
    wanted: &str,
) -> Outcome<()> {
    let desired = json!({
        "state": { "desired": {
            "fleetConfig": document.to_string(),
            "desiredStatus": wanted,
        }}
    });
    shadows::write(
        control,
        tx,
        scope,
        thing,
        shadows::DEPLOYMENT_SHADOW,
        &desired,
    )
    .await
}

fn deployment_arn(scope: &Scope, id: &str) -> String {
    format!(
        "arn:aws:greengrass:{}:{}:deployments:{id}",
        scope.region, scope.account
    )
}

fn job_arn(scope: &Scope, id: &str) -> String {
    scope.iot("job", id).to_string()
}

async fn get(control: &Control, call: &Call<'_>, id: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.read().await?;
    let row = existing(&mut tx, scope, id).await?;
    let tags = tags::get(&mut tx, scope, &deployment_arn(scope, id)).await?;
    let request = row.request()?;
    let job_configuration = match &row.job {
        Some(_) => Some(json!(request.iot_job_configuration.unwrap_or_default())),
        None => request.iot_job_configuration.map(|job| json!(job)),
    };
    Ok(ok(object([
        ("targetArn", Some(json!(row.target))),
        ("revisionId", Some(json!(row.revision.to_string()))),
        ("deploymentId", Some(json!(row.id))),
        ("deploymentName", row.name.map(Json::from)),
        ("deploymentStatus", Some(json!(row.status))),
        ("iotJobId", row.job.clone().map(Json::from)),
        (
            "iotJobArn",
            row.job.as_deref().map(|job| json!(job_arn(scope, job))),
        ),
        ("components", Some(Json::Object(request.components))),
        (
            "deploymentPolicies",
            Some(json!(request.deployment_policies)),
        ),
        ("iotJobConfiguration", job_configuration),
        ("creationTimestamp", Some(seconds(row.created_ms))),
        ("isLatestForTarget", Some(json!(row.latest))),
        ("parentTargetArn", row.parent_target.map(Json::from)),
        ("tags", Some(json!(tags))),
    ])))
}

async fn list(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 50, 100)?;
    let latest_only = match call.query("historyFilter") {
        None | Some("LATEST_ONLY") => true,
        Some("ALL") => false,
        Some(other) => {
            return Err(Fault::field(
                "historyFilter",
                format!("\"{other}\" is not ALL or LATEST_ONLY"),
            ));
        }
    };
    let mut tx = control.read().await?;
    let rows = tx
        .all(
            "SELECT * FROM gg_deployments
             WHERE account = $1 AND region = $2 AND status <> 'DELETED'
             ORDER BY created_ms DESC, revision DESC, id",
            &scoped(&call.scope, &[]),
        )
        .await?
        .iter()
        .map(DeploymentRow::read)
        .collect::<Outcome<Vec<_>>>()?;
    let target = call.query("targetArn");
    let parent = call.query("parentTargetArn");
    let rows: Vec<DeploymentRow> = rows
        .into_iter()
        .filter(|row| {
            (row.latest || !latest_only)
                && target.is_none_or(|target| row.target == target)
                && parent.is_none_or(|parent| row.parent_target.as_deref() == Some(parent))
        })
        .collect();
    let (part, token) = page.cut(rows, |row| row.id.clone());
    let items = part
        .into_iter()
        .map(|row| {
            object([
                ("targetArn", Some(json!(row.target))),
                ("revisionId", Some(json!(row.revision.to_string()))),
                ("deploymentId", Some(json!(row.id))),
                ("deploymentName", row.name.map(Json::from)),
                ("creationTimestamp", Some(seconds(row.created_ms))),
                ("deploymentStatus", Some(json!(row.status))),
                ("isLatestForTarget", Some(json!(row.latest))),
                ("parentTargetArn", row.parent_target.map(Json::from)),
            ])
        })
        .collect();
    Ok(listed("deployments", items, "nextToken", token))
}

async fn cancel(control: &Control, call: &Call<'_>, id: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.write().await?;
    let row = existing(&mut tx, scope, id).await?;
    if row.status != ACTIVE {
        return Err(Fault::conflict(
            "DEPLOYMENT",
            id,
            format!("deployment {id} is {}", row.status),
        )
        .help("only an ACTIVE deployment can be cancelled"));
    }
    set_status(&mut tx, scope, id, &[ACTIVE], CANCELED).await?;
    if let Some(job) = &row.job {
        jobs::cancel(control, &mut tx, scope, job, "CANCELED", false).await?;
    } else if let Some(thing) = row.target.rsplit_once(":thing/").map(|(_, name)| name) {
        let document = row.request()?.document(&Revision {
            deployment_id: &row.id,
            name: row.name.as_deref(),
            configuration_arn: &row.configuration_arn,
            parent_target: None,
            target: &row.target,
            now_ms: row.created_ms,
        })?;
        effective::cancel_queued(&mut tx, scope, thing, &row, control.now_ms()).await?;
        deliver_to_thing(control, &mut tx, scope, thing, &document, CANCELED).await?;
    }
    tx.commit().await?;
    tracing::info!(deployment_id = %id, "deployment cancelled");
    Ok(ok(json!({
        "message": format!("deployment {id} is cancelled for devices that have not received it"),
    })))
}

async fn delete(control: &Control, call: &Call<'_>, id: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.write().await?;
    let row = existing(&mut tx, scope, id).await?;
    if row.status == ACTIVE {
        return Err(
            Fault::conflict("DEPLOYMENT", id, format!("deployment {id} is ACTIVE"))
                .help("cancel it first"),
        );
    }
    // A device may still be at it, and what it says at the end must find its place.
    tx.execute(
        "UPDATE gg_deployments SET status = $4
         WHERE account = $1 AND region = $2 AND id = $3",
        &scoped(scope, &[id, DELETED]),
    )
    .await?;
    tx.execute(
        "DELETE FROM gg_deployments
         WHERE account = $1 AND region = $2 AND status = $3 AND NOT EXISTS (
            SELECT 1 FROM gg_effective e WHERE e.account = gg_deployments.account
               AND e.region = gg_deployments.region AND e.target = gg_deployments.target
               AND e.deployment = gg_deployments.id)",
        &scoped(scope, &[DELETED]),
    )
    .await?;
    tags::clear(&mut tx, scope, &deployment_arn(scope, id)).await?;
    tx.commit().await?;
    Ok(ApiResponse::empty(204))
}
