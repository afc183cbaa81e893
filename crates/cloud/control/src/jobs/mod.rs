//! Jobs: the state machines of [`core`] on tables, MQTT and HTTPS.
//!
//! A job knows its members; an execution is one job on one thing. Whatever changes an execution
//! (a device, a cancel, a timer, a thing that joins or leaves a group) runs through [`machine`],
//! in one transaction with the notifications that follow.

mod api;
#[expect(
    unreachable_pub,
    unused_imports,
    reason = "the core is written like a library, and we use a part of it"
)]
mod core;
mod data;
mod machine;
mod store;

pub(crate) use self::core::{AbortConfig, ExecutionStatus, RolloutConfig, TimeoutConfig};
pub(crate) use self::core::{Execution, NotificationKind, TargetSelection};
pub(crate) use data::{data_call, data_operation, is_request, publish};
pub(crate) use machine::{NewJob, cancel, create, membership_changed, notification, tick};

use crate::Control;
use crate::fault::Outcome;
use crate::request::Call;
use crate::routes::{Matched, Route, route};
use crate::scope::Scope;
use sward_aws_wire::api::ApiResponse;
use sward_store::{Migration, Tx};

/// The namespace of Greengrass's jobs.
pub(crate) const GREENGRASS: &str = "aws-gg-deployment";

pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    module: "jobs",
    number: 1,
    name: "jobs, their members and executions",
    sql: "
CREATE TABLE jobs (
    account TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL,
    namespace TEXT NOT NULL, targets TEXT NOT NULL, document TEXT NOT NULL, description TEXT,
    state TEXT NOT NULL, timeout_minutes BIGINT, wake_ms BIGINT, comment TEXT,
    forced BIGINT NOT NULL, created_ms BIGINT NOT NULL, updated_ms BIGINT NOT NULL,
    completed_ms BIGINT,
    PRIMARY KEY (account, region, id));
CREATE INDEX jobs_wake ON jobs (wake_ms);
CREATE TABLE job_targets (
    account TEXT NOT NULL, region TEXT NOT NULL, target TEXT NOT NULL, job TEXT NOT NULL,
    PRIMARY KEY (account, region, target, job));
CREATE TABLE job_members (
    account TEXT NOT NULL, region TEXT NOT NULL, job TEXT NOT NULL, thing TEXT NOT NULL,
    PRIMARY KEY (account, region, job, thing));
CREATE INDEX job_members_thing ON job_members (account, region, thing);
CREATE TABLE job_executions (
    account TEXT NOT NULL, region TEXT NOT NULL, job TEXT NOT NULL, thing TEXT NOT NULL,
    number BIGINT NOT NULL, namespace TEXT NOT NULL, status TEXT NOT NULL,
    pending BIGINT NOT NULL, execution TEXT NOT NULL, queued_ms BIGINT NOT NULL,
    deadline_ms BIGINT,
    PRIMARY KEY (account, region, job, thing, number));
CREATE INDEX job_executions_thing
    ON job_executions (account, region, thing, namespace, pending);
CREATE INDEX job_executions_deadline ON job_executions (deadline_ms);
",
}];

pub(crate) const DATA_ROUTES: &[Route] = &[
    route(
        "GET",
        "things/{}/jobs",
        "GetPendingJobExecutions",
        "iot|thing/{0}",
    ),
    route(
        "PUT",
        "things/{}/jobs/$next",
        "StartNextPendingJobExecution",
        "iot|thing/{0}",
    ),
    route(
        "GET",
        "things/{}/jobs/{}",
        "DescribeJobExecution",
        "iot|thing/{0}",
    ),
    route(
        "POST",
        "things/{}/jobs/{}",
        "UpdateJobExecution",
        "iot|thing/{0}",
    ),
];

/// Whether there is a job of that id.
pub(crate) async fn exists(tx: &mut Tx, scope: &Scope, id: &str) -> Outcome<bool> {
    Ok(store::job(tx, scope, id).await?.is_some())
}

/// Answers one job operation of the service `iot`.
pub(crate) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    api::call(control, call, matched).await
}
