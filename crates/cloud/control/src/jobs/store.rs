//! Rows of jobs and executions.

use super::core::{Entry, Execution, JobState, Queue};
use crate::fault::{Fault, Outcome, Refusal};
use crate::scope::Scope;
use serde_json::Value as Json;
use std::collections::HashMap;
use std::sync::Arc;
use sward_store::{Row, Tx, Value};

/// One job as it is kept.
#[derive(Clone, Debug)]
pub(super) struct JobRow {
    pub(super) id: String,
    /// Empty for jobs without a namespace.
    pub(super) namespace: String,
    /// ARNs of things and thing groups.
    pub(super) targets: Vec<String>,
    pub(super) document: String,
    pub(super) description: Option<String>,
    pub(super) state: JobState,
    pub(super) timeout_minutes: Option<i64>,
    pub(super) wake_ms: Option<i64>,
    pub(super) comment: Option<String>,
    pub(super) forced: bool,
    pub(super) created_ms: i64,
    pub(super) updated_ms: i64,
    pub(super) completed_ms: Option<i64>,
}

fn damaged(what: &str, id: &str, error: &serde_json::Error) -> Fault {
    Fault::new(
        Refusal::Internal,
        format!("the stored {what} {id} cannot be read: {error}"),
    )
}

impl JobRow {
    pub(super) fn read(row: &Row) -> Outcome<Self> {
        let id = row.text("id")?;
        let read = |error| damaged("job", &id, &error);
        Ok(JobRow {
            namespace: row.text("namespace")?,
            targets: serde_json::from_str(&row.text("targets")?).map_err(read)?,
            document: row.text("document")?,
            description: row.opt_text("description")?,
            state: serde_json::from_str(&row.text("state")?).map_err(read)?,
            timeout_minutes: row.opt_int("timeout_minutes")?,
            wake_ms: row.opt_int("wake_ms")?,
            comment: row.opt_text("comment")?,
            forced: row.int("forced")? != 0,
            created_ms: row.int("created_ms")?,
            updated_ms: row.int("updated_ms")?,
            completed_ms: row.opt_int("completed_ms")?,
            id,
        })
    }
}

fn scoped(scope: &Scope, rest: &[&str]) -> Vec<Value> {
    let mut args = vec![scope.account.as_str().into(), scope.region.as_str().into()];
    args.extend(rest.iter().map(|text| Value::from(*text)));
    args
}

pub(super) async fn job(tx: &mut Tx, scope: &Scope, id: &str) -> Outcome<Option<JobRow>> {
    let row = tx
        .optional(
            "SELECT * FROM jobs WHERE account = $1 AND region = $2 AND id = $3",
            &scoped(scope, &[id]),
        )
        .await?;
    row.as_ref().map(JobRow::read).transpose()
}

pub(super) async fn jobs(tx: &mut Tx, scope: &Scope) -> Outcome<Vec<JobRow>> {
    tx.all(
        "SELECT * FROM jobs WHERE account = $1 AND region = $2 ORDER BY created_ms DESC, id",
        &scoped(scope, &[]),
    )
    .await?
    .iter()
    .map(JobRow::read)
    .collect()
}

pub(super) async fn save(tx: &mut Tx, scope: &Scope, job: &JobRow) -> Outcome<()> {
    let state =
        serde_json::to_string(&job.state).map_err(|error| damaged("job", &job.id, &error))?;
    tx.execute(
        "INSERT INTO jobs (account, region, id, namespace, targets, document, description, state,
            timeout_minutes, wake_ms, comment, forced, created_ms, updated_ms, completed_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)
         ON CONFLICT (account, region, id) DO UPDATE SET state = excluded.state,
            wake_ms = excluded.wake_ms, comment = excluded.comment, forced = excluded.forced,
            updated_ms = excluded.updated_ms, completed_ms = excluded.completed_ms",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            Value::from(&job.id),
            Value::from(&job.namespace),
            Json::from(job.targets.clone()).to_string().into(),
            Value::from(&job.document),
            job.description.clone().into(),
            state.into(),
            job.timeout_minutes.into(),
            job.wake_ms.into(),
            job.comment.clone().into(),
            job.forced.into(),
            job.created_ms.into(),
            job.updated_ms.into(),
            job.completed_ms.into(),
        ],
    )
    .await?;
    Ok(())
}

/// Forgets whom a job is for: nobody joins or leaves a job that has ended.
pub(super) async fn forget_members(tx: &mut Tx, scope: &Scope, id: &str) -> Outcome<()> {
    for sql in [
        "DELETE FROM job_targets WHERE account = $1 AND region = $2 AND job = $3",
        "DELETE FROM job_members WHERE account = $1 AND region = $2 AND job = $3",
    ] {
        tx.execute(sql, &scoped(scope, &[id])).await?;
    }
    Ok(())
}

pub(super) async fn forget(tx: &mut Tx, scope: &Scope, id: &str) -> Outcome<()> {
    forget_members(tx, scope, id).await?;
    for sql in [
        "DELETE FROM job_executions WHERE account = $1 AND region = $2 AND job = $3",
        "DELETE FROM jobs WHERE account = $1 AND region = $2 AND id = $3",
    ] {
        tx.execute(sql, &scoped(scope, &[id])).await?;
    }
    Ok(())
}

pub(super) async fn add_target(tx: &mut Tx, scope: &Scope, job: &str, target: &str) -> Outcome<()> {
    tx.execute(
        "INSERT INTO job_targets (account, region, target, job) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
        &scoped(scope, &[target, job]),
    )
    .await?;
    Ok(())
}

/// The jobs that have one of the targets.
pub(super) async fn jobs_of_target(
    tx: &mut Tx,
    scope: &Scope,
    target: &str,
) -> Outcome<Vec<String>> {
    tx.all(
        "SELECT job FROM job_targets WHERE account = $1 AND region = $2 AND target = $3",
        &scoped(scope, &[target]),
    )
    .await?
    .iter()
    .map(|row| Ok(row.text("job")?))
    .collect()
}

/// The jobs that count a thing as a member.
pub(super) async fn jobs_of_member(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
) -> Outcome<Vec<String>> {
    tx.all(
        "SELECT job FROM job_members WHERE account = $1 AND region = $2 AND thing = $3",
        &scoped(scope, &[thing]),
    )
    .await?
    .iter()
    .map(|row| Ok(row.text("job")?))
    .collect()
}

pub(super) async fn set_member(
    tx: &mut Tx,
    scope: &Scope,
    job: &str,
    thing: &str,
    member: bool,
) -> Outcome<()> {
    let sql = if member {
        "INSERT INTO job_members (account, region, job, thing) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING"
    } else {
        "DELETE FROM job_members
         WHERE account = $1 AND region = $2 AND job = $3 AND thing = $4"
    };
    tx.execute(sql, &scoped(scope, &[job, thing])).await?;
    Ok(())
}

fn execution_of(row: &Row) -> Outcome<Execution> {
    let text = row.text("execution")?;
    serde_json::from_str(&text).map_err(|error| damaged("execution of job", &text, &error))
}

pub(super) async fn save_execution(
    tx: &mut Tx,
    scope: &Scope,
    namespace: &str,
    execution: &Execution,
) -> Outcome<()> {
    let text = serde_json::to_string(execution)
        .map_err(|error| damaged("execution of job", &execution.job_id, &error))?;
    let signed = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    tx.execute(
        "INSERT INTO job_executions (account, region, job, thing, number, namespace, status,
            pending, execution, queued_ms, deadline_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         ON CONFLICT (account, region, job, thing, number) DO UPDATE SET
            status = excluded.status, pending = excluded.pending,
            execution = excluded.execution, deadline_ms = excluded.deadline_ms",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            Value::from(&execution.job_id),
            Value::from(&execution.thing_name),
            signed(execution.execution_number).into(),
            namespace.into(),
            execution.status.as_str().into(),
            (!execution.status.is_terminal()).into(),
            text.into(),
            signed(execution.queued_at_ms).into(),
            execution.deadline_ms().map(signed).into(),
        ],
    )
    .await?;
    Ok(())
}

/// All executions of a job on a thing, oldest first.
pub(super) async fn executions(
    tx: &mut Tx,
    scope: &Scope,
    job: &str,
    thing: &str,
) -> Outcome<Vec<Execution>> {
    tx.all(
        "SELECT execution FROM job_executions
         WHERE account = $1 AND region = $2 AND job = $3 AND thing = $4 ORDER BY number",
        &scoped(scope, &[job, thing]),
    )
    .await?
    .iter()
    .map(execution_of)
    .collect()
}

pub(super) async fn executions_of_job(
    tx: &mut Tx,
    scope: &Scope,
    job: &str,
) -> Outcome<Vec<Execution>> {
    tx.all(
        "SELECT execution FROM job_executions
         WHERE account = $1 AND region = $2 AND job = $3 ORDER BY thing, number",
        &scoped(scope, &[job]),
    )
    .await?
    .iter()
    .map(execution_of)
    .collect()
}

/// All executions on a thing, newest first.
pub(super) async fn executions_of_thing(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
) -> Outcome<Vec<(String, Execution)>> {
    tx.all(
        "SELECT namespace, execution FROM job_executions
         WHERE account = $1 AND region = $2 AND thing = $3 ORDER BY queued_ms DESC, job, number",
        &scoped(scope, &[thing]),
    )
    .await?
    .iter()
    .map(|row| Ok((row.text("namespace")?, execution_of(row)?)))
    .collect()
}

pub(super) async fn forget_execution(
    tx: &mut Tx,
    scope: &Scope,
    execution: &Execution,
) -> Outcome<()> {
    let mut args = scoped(scope, &[&execution.job_id, &execution.thing_name]);
    args.push(
        i64::try_from(execution.execution_number)
            .unwrap_or(i64::MAX)
            .into(),
    );
    tx.execute(
        "DELETE FROM job_executions
         WHERE account = $1 AND region = $2 AND job = $3 AND thing = $4 AND number = $5",
        &args,
    )
    .await?;
    Ok(())
}

/// A thing's pending executions in one namespace, and those of one job whatever their status.
pub(super) async fn queue(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
    namespace: &str,
    job: Option<&str>,
) -> Outcome<Queue> {
    let rows = tx
        .all(
            "SELECT e.execution, e.job, j.document FROM job_executions e JOIN jobs j
               ON j.account = e.account AND j.region = e.region AND j.id = e.job
             WHERE e.account = $1 AND e.region = $2 AND e.thing = $3 AND e.namespace = $4
               AND (e.pending = 1 OR e.job = $5)
             ORDER BY e.queued_ms, e.job, e.number",
            &scoped(scope, &[thing, namespace, job.unwrap_or("")]),
        )
        .await?;
    let mut documents: HashMap<String, Arc<Json>> = HashMap::new();
    let mut entries = Vec::new();
    for row in &rows {
        let id = row.text("job")?;
        let document = match documents.get(&id) {
            Some(document) => document.clone(),
            None => {
                let text = row.text("document")?;
                // A document that is not JSON travels as text.
                let value = serde_json::from_str(&text).unwrap_or(Json::String(text));
                let document = Arc::new(value);
                documents.insert(id, document.clone());
                document
            }
        };
        entries.push(Entry {
            execution: execution_of(row)?,
            document,
        });
    }
    Ok(Queue {
        thing: thing.to_owned(),
        namespace: Some(namespace.to_owned()).filter(|name| !name.is_empty()),
        entries,
    })
}
