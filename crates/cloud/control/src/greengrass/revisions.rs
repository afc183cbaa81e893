//! Rows of deployments: one for each revision of a target.

use super::document::Request;
use crate::fault::{Fault, Outcome, Refusal};
use crate::scope::Scope;
use sward_store::{Row, Tx, Value};

pub(super) const ACTIVE: &str = "ACTIVE";
pub(super) const CANCELED: &str = "CANCELED";
pub(super) const INACTIVE: &str = "INACTIVE";
/// Deleted, and kept out of sight as long as a device's report may still name it.
pub(super) const DELETED: &str = "DELETED";

/// One revision of a target.
#[derive(Clone, Debug)]
pub(super) struct DeploymentRow {
    pub(super) id: String,
    /// The target's ARN.
    pub(super) target: String,
    pub(super) revision: i64,
    pub(super) latest: bool,
    pub(super) name: Option<String>,
    pub(super) status: String,
    pub(super) request: String,
    pub(super) configuration_arn: String,
    pub(super) job: Option<String>,
    pub(super) parent_target: Option<String>,
    pub(super) created_ms: i64,
}

impl DeploymentRow {
    pub(super) fn read(row: &Row) -> Outcome<Self> {
        Ok(DeploymentRow {
            id: row.text("id")?,
            target: row.text("target")?,
            revision: row.int("revision")?,
            latest: row.int("latest")? != 0,
            name: row.opt_text("name")?,
            status: row.text("status")?,
            request: row.text("request")?,
            configuration_arn: row.text("configuration_arn")?,
            job: row.opt_text("job")?,
            parent_target: row.opt_text("parent_target")?,
            created_ms: row.int("created_ms")?,
        })
    }

    pub(super) fn request(&self) -> Outcome<Request> {
        serde_json::from_str(&self.request).map_err(|error| {
            Fault::new(
                Refusal::Internal,
                format!("the stored deployment {} cannot be read: {error}", self.id),
            )
        })
    }
}

pub(super) fn scoped(scope: &Scope, rest: &[&str]) -> Vec<Value> {
    let mut args = vec![scope.account.as_str().into(), scope.region.as_str().into()];
    args.extend(rest.iter().map(|text| Value::from(*text)));
    args
}

async fn one(
    tx: &mut Tx,
    scope: &Scope,
    condition: &str,
    value: &str,
) -> Outcome<Option<DeploymentRow>> {
    let row = tx
        .optional(
            &format!(
                "SELECT * FROM gg_deployments WHERE account = $1 AND region = $2 AND {condition}"
            ),
            &scoped(scope, &[value]),
        )
        .await?;
    row.as_ref().map(DeploymentRow::read).transpose()
}

/// The deployment of that id.
pub(super) async fn deployment(
    tx: &mut Tx,
    scope: &Scope,
    id: &str,
) -> Outcome<Option<DeploymentRow>> {
    one(tx, scope, "id = $3 AND status <> 'DELETED'", id).await
}

/// Whether a deployment that was not deleted has this job.
pub(crate) async fn has_job(tx: &mut Tx, scope: &Scope, job: &str) -> Outcome<bool> {
    let found = of_job(tx, scope, job).await?;
    Ok(found.is_some_and(|row| row.status != DELETED))
}

/// The deployment whose job it is, also a deleted one.
pub(super) async fn of_job(
    tx: &mut Tx,
    scope: &Scope,
    job: &str,
) -> Outcome<Option<DeploymentRow>> {
    one(tx, scope, "job = $3", job).await
}

/// The deployment that a device names by its configuration ARN, also a deleted one.
pub(super) async fn of_configuration(
    tx: &mut Tx,
    scope: &Scope,
    arn: &str,
) -> Outcome<Option<DeploymentRow>> {
    one(tx, scope, "configuration_arn = $3", arn).await
}

pub(super) async fn existing(tx: &mut Tx, scope: &Scope, id: &str) -> Outcome<DeploymentRow> {
    deployment(tx, scope, id)
        .await?
        .ok_or_else(|| Fault::not_found("DEPLOYMENT", id))
}

/// Sets the status, where it is one of `from`.
pub(super) async fn set_status(
    tx: &mut Tx,
    scope: &Scope,
    id: &str,
    from: &[&str],
    to: &str,
) -> Outcome<()> {
    for status in from {
        tx.execute(
            "UPDATE gg_deployments SET status = $5
             WHERE account = $1 AND region = $2 AND id = $3 AND status = $4",
            &scoped(scope, &[id, status, to]),
        )
        .await?;
    }
    Ok(())
}

/// Revisions are never used twice, also after a deployment was deleted: a device ignores a
/// configuration ARN that it has seen.
pub(super) async fn next_revision(tx: &mut Tx, scope: &Scope, target: &str) -> Outcome<i64> {
    tx.execute(
        "INSERT INTO gg_revisions (account, region, target, revision) VALUES ($1, $2, $3, 1)
         ON CONFLICT (account, region, target) DO UPDATE SET revision = gg_revisions.revision + 1",
        &scoped(scope, &[target]),
    )
    .await?;
    let row = tx
        .optional(
            "SELECT revision FROM gg_revisions WHERE account = $1 AND region = $2 AND target = $3",
            &scoped(scope, &[target]),
        )
        .await?;
    match row {
        Some(row) => Ok(row.int("revision")?),
        None => Err(Fault::new(Refusal::Internal, "a revision was lost")),
    }
}

/// The revision that the new one takes the place of.
pub(super) async fn supersede(
    tx: &mut Tx,
    scope: &Scope,
    target: &str,
) -> Outcome<Option<DeploymentRow>> {
    let row = tx
        .optional(
            "SELECT * FROM gg_deployments
             WHERE account = $1 AND region = $2 AND target = $3 AND latest = 1",
            &scoped(scope, &[target]),
        )
        .await?;
    let previous = row.as_ref().map(DeploymentRow::read).transpose()?;
    if let Some(previous) = &previous {
        tx.execute(
            "UPDATE gg_deployments SET latest = 0 WHERE account = $1 AND region = $2 AND id = $3",
            &scoped(scope, &[&previous.id]),
        )
        .await?;
        set_status(tx, scope, &previous.id, &[ACTIVE, "COMPLETED"], INACTIVE).await?;
    }
    Ok(previous)
}

pub(super) async fn insert(tx: &mut Tx, scope: &Scope, row: &DeploymentRow) -> Outcome<()> {
    tx.execute(
        "INSERT INTO gg_deployments (account, region, id, target, revision, latest, name, status,
            request, configuration_arn, job, parent_target, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            Value::from(&row.id),
            Value::from(&row.target),
            row.revision.into(),
            row.latest.into(),
            row.name.clone().into(),
            Value::from(&row.status),
            Value::from(&row.request),
            Value::from(&row.configuration_arn),
            row.job.clone().into(),
            row.parent_target.clone().into(),
            row.created_ms.into(),
        ],
    )
    .await?;
    Ok(())
}
