//! Effective deployments: for each device and target the latest one and how far it is, as the
//! device said. By ourselves we say only QUEUED and CANCELED.

use super::revisions::{self, DeploymentRow};
use crate::Control;
use crate::fault::Outcome;
use crate::jobs::{Execution, ExecutionStatus};
use crate::scope::Scope;
use serde_json::{Map, Value as Json, json};
use sward_store::{Row, Tx, Value};

const QUEUED: &str = "QUEUED";

/// How a device is with a target.
#[derive(Clone, Debug)]
pub(super) struct EffectiveRow {
    pub(super) target: String,
    pub(super) deployment: String,
    pub(super) status: String,
    pub(super) reason: Option<String>,
    pub(super) error_stack: Vec<String>,
    pub(super) error_types: Vec<String>,
    pub(super) created_ms: i64,
    pub(super) modified_ms: i64,
}

impl EffectiveRow {
    fn read(row: &Row) -> Outcome<Self> {
        let list = |text: String| serde_json::from_str(&text).unwrap_or_default();
        Ok(EffectiveRow {
            target: row.text("target")?,
            deployment: row.text("deployment")?,
            status: row.text("status")?,
            reason: row.opt_text("reason")?,
            error_stack: list(row.text("error_stack")?),
            error_types: list(row.text("error_types")?),
            created_ms: row.int("created_ms")?,
            modified_ms: row.int("modified_ms")?,
        })
    }
}

/// What a device reported of a deployment.
#[derive(Clone, Debug, Default, PartialEq)]
struct Reported {
    status: String,
    reason: Option<String>,
    error_stack: Vec<String>,
    error_types: Vec<String>,
}

fn key(scope: &Scope, thing: &str, target: &str) -> Vec<Value> {
    vec![
        scope.account.as_str().into(),
        scope.region.as_str().into(),
        thing.into(),
        target.into(),
    ]
}

async fn one(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    target: &str,
) -> Outcome<Option<EffectiveRow>> {
    let row = tx
        .optional(
            "SELECT * FROM gg_effective
             WHERE account = $1 AND region = $2 AND thing = $3 AND target = $4",
            &key(scope, thing, target),
        )
        .await?;
    row.as_ref().map(EffectiveRow::read).transpose()
}

/// All of a device, last changed first.
pub(super) async fn of_device(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
) -> Outcome<Vec<EffectiveRow>> {
    tx.all(
        "SELECT * FROM gg_effective WHERE account = $1 AND region = $2 AND thing = $3
         ORDER BY modified_ms DESC, target",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            thing.into(),
        ],
    )
    .await?
    .iter()
    .map(EffectiveRow::read)
    .collect()
}

/// A new deployment waits for the device.
pub(super) async fn queue(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    deployment: &DeploymentRow,
    now: i64,
) -> Outcome<()> {
    let mut args = key(scope, thing, &deployment.target);
    args.extend([Value::from(&deployment.id), QUEUED.into(), now.into()]);
    tx.execute(
        "INSERT INTO gg_effective (account, region, thing, target, deployment, status, reason,
            error_stack, error_types, succeeded, created_ms, modified_ms)
         VALUES ($1, $2, $3, $4, $5, $6, NULL, '[]', '[]', 0, $7, $7)
         ON CONFLICT (account, region, thing, target) DO UPDATE SET
            deployment = excluded.deployment, status = excluded.status, reason = NULL,
            error_stack = '[]', error_types = '[]', created_ms = excluded.created_ms,
            modified_ms = excluded.modified_ms",
        &args,
    )
    .await?;
    Ok(())
}

/// The deployment was cancelled before the device took it.
pub(super) async fn cancel_queued(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    deployment: &DeploymentRow,
    now: i64,
) -> Outcome<()> {
    let waits = one(tx, scope, thing, &deployment.target)
        .await?
        .is_some_and(|row| row.deployment == deployment.id && row.status == QUEUED);
    if waits {
        let reported = Reported {
            status: "CANCELED".to_owned(),
            ..Reported::default()
        };
        set(tx, scope, thing, deployment, reported, now).await?;
    }
    Ok(())
}

/// Writes what was reported, unless the device has a newer deployment of this target by now or
/// nothing changed.
async fn set(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    deployment: &DeploymentRow,
    reported: Reported,
    now: i64,
) -> Outcome<()> {
    match one(tx, scope, thing, &deployment.target).await? {
        None => queue(tx, scope, thing, deployment, now).await?,
        Some(row) if row.deployment != deployment.id => return Ok(()),
        Some(row) => {
            let same = row.status == reported.status
                && row.reason == reported.reason
                && row.error_stack == reported.error_stack
                && row.error_types == reported.error_types;
            if same {
                return Ok(());
            }
        }
    }
    let succeeded = matches!(reported.status.as_str(), "SUCCEEDED" | "COMPLETED");
    let mut args = key(scope, thing, &deployment.target);
    args.extend([
        reported.status.into(),
        reported.reason.into(),
        json!(reported.error_stack).to_string().into(),
        json!(reported.error_types).to_string().into(),
        now.into(),
        succeeded.into(),
    ]);
    tx.execute(
        "UPDATE gg_effective SET status = $5, reason = $6, error_stack = $7, error_types = $8,
            modified_ms = $9, succeeded = CASE WHEN $10 = 1 THEN 1 ELSE succeeded END
         WHERE account = $1 AND region = $2 AND thing = $3 AND target = $4",
        &args,
    )
    .await?;
    Ok(())
}

fn reason(detailed: Option<&str>, cause: Option<&str>) -> Option<String> {
    let detailed = detailed.filter(|text| !text.is_empty());
    let cause = cause.filter(|text| !text.is_empty());
    match (detailed, cause) {
        (Some(detailed), Some(cause)) => Some(format!("{detailed}: {cause}")),
        (one, other) => one.or(other).map(str::to_owned),
    }
}

fn texts(value: Option<&Json>) -> Vec<String> {
    value
        .and_then(Json::as_array)
        .into_iter()
        .flatten()
        .filter_map(|one| one.as_str().map(str::to_owned))
        .collect()
}

/// The members of a list that travels as text. A nucleus cuts its texts at 1024 characters; what
/// is whole of a cut list counts.
fn listed_texts(text: &str) -> Vec<String> {
    let whole = serde_json::from_str::<Json>(text).ok().or_else(|| {
        let ends = text.rmatch_indices('"').map(|(at, _)| at);
        ends.filter_map(|at| serde_json::from_str(&format!("{}]", &text[..=at])).ok())
            .next()
    });
    texts(whole.as_ref())
}

/// An execution of a deployment's job changed.
pub(crate) async fn execution_changed(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    execution: &Execution,
) -> Outcome<()> {
    let Some(deployment) = revisions::of_job(tx, scope, &execution.job_id).await? else {
        return Ok(());
    };
    let thing = &execution.thing_name;
    let now = control.now_ms();
    match execution.status {
        ExecutionStatus::Queued => queue(tx, scope, thing, &deployment, now).await,
        ExecutionStatus::Removed => {
            let removed = one(tx, scope, thing, &deployment.target)
                .await?
                .is_some_and(|row| row.deployment == deployment.id && row.status == QUEUED);
            if removed {
                tx.execute(
                    "DELETE FROM gg_effective
                     WHERE account = $1 AND region = $2 AND thing = $3 AND target = $4",
                    &key(scope, thing, &deployment.target),
                )
                .await?;
            }
            Ok(())
        }
        status => {
            let details = &execution.status_details;
            let text = |name: &str| details.get(name).map(String::as_str);
            let list = |name: &str| text(name).map(listed_texts).unwrap_or_default();
            let reported = Reported {
                status: status.as_str().to_owned(),
                reason: reason(
                    text("detailed-deployment-status"),
                    text("deployment-failure-cause"),
                ),
                error_stack: list("deployment-error-stack"),
                error_types: list("deployment-error-types"),
            };
            set(tx, scope, thing, &deployment, reported, now).await
        }
    }
}

/// A deployment's job was cancelled, by us or because too many devices failed.
pub(crate) async fn job_canceled(tx: &mut Tx, scope: &Scope, job: &str) -> Outcome<()> {
    if let Some(deployment) = revisions::of_job(tx, scope, job).await? {
        revisions::set_status(tx, scope, &deployment.id, &["ACTIVE"], "CANCELED").await?;
    }
    Ok(())
}

/// A device wrote the reported part of its deployment shadow.
pub(crate) async fn shadow_reported(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    reported: &Map<String, Json>,
) -> Outcome<()> {
    let text = |name: &str| reported.get(name).and_then(Json::as_str);
    let (Some(arn), Some(status)) = (text("fleetConfigurationArnForStatus"), text("status")) else {
        return Ok(());
    };
    let Some(deployment) = revisions::of_configuration(tx, scope, arn).await? else {
        return Ok(());
    };
    // A device reports its own deployments only.
    if deployment.target != scope.iot("thing", thing).to_string() {
        return Ok(());
    }
    let (effective, ends) = match status {
        "IN_PROGRESS" => ("IN_PROGRESS", None),
        "SUCCEEDED" => ("COMPLETED", Some("COMPLETED")),
        "FAILED" => ("FAILED", Some("FAILED")),
        "REJECTED" => ("REJECTED", Some("FAILED")),
        "CANCELED" => ("CANCELED", Some("CANCELED")),
        _ => return Ok(()),
    };
    let details = reported.get("statusDetails");
    // A shadow merges: what an earlier deployment ended with stays beside a report without it.
    let detailed = match status {
        "SUCCEEDED" | "FAILED" | "REJECTED" => details.and_then(|all| all.get("detailedStatus")),
        _ => None,
    };
    let detail = |name: &str| details.and_then(|details| details.get(name));
    let told = Reported {
        status: effective.to_owned(),
        reason: reason(
            detailed.and_then(Json::as_str),
            detail("failureCause").and_then(Json::as_str),
        ),
        error_stack: texts(detail("errorStack")),
        error_types: texts(detail("errorTypes")),
    };
    set(tx, scope, thing, &deployment, told, control.now_ms()).await?;
    if let Some(status) = ends.filter(|_| deployment.latest) {
        revisions::set_status(tx, scope, &deployment.id, &["ACTIVE"], status).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_was_cut_keeps_what_is_whole() {
        fn check(text: &str, expected: &[&str]) {
            assert_eq!(listed_texts(text), expected, "{text}");
        }
        check(r#"["A","B"]"#, &["A", "B"]);
        check(r#"["A","B""#, &["A", "B"]);
        check(r#"["A","B"#, &["A"]);
        check(r#"["A","#, &["A"]);
        check(r#"["A\"B","C"#, &["A\"B"]);
        check(r#"["A"#, &[]);
        check("[", &[]);
        check("", &[]);
        check("{}", &[]);
    }
}
