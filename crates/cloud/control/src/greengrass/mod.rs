//! Greengrass V2: components, deployments, core devices, and what devices report.
//!
//! Thing deployments travel by the named shadow, group deployments by continuous jobs of the
//! namespace `aws-gg-deployment` (cloud.md §1.3). A core device exists from its first fleet
//! status message on, and shows what it reported.

mod candidates;
mod components;
mod deployments;
mod devices;
mod document;
mod effective;
mod fleet;
mod public;
mod revisions;
mod tags;
mod tokens;

pub(crate) use effective::{execution_changed, job_canceled, shadow_reported};
pub(crate) use fleet::fleet_status;
pub(crate) use revisions::has_job as has_deployment;

use crate::Control;
use crate::fault::Outcome;
use crate::request::Call;
use crate::routes::{self, Matched, Route, route};
use sward_aws_wire::api::ApiResponse;
use sward_store::Migration;

pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    module: "greengrass",
    number: 1,
    name: "components, deployments and core devices",
    sql: "
CREATE TABLE gg_components (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, version TEXT NOT NULL,
    recipe TEXT NOT NULL, format TEXT NOT NULL, state TEXT NOT NULL, errors TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, name, version));
CREATE TABLE gg_tags (
    account TEXT NOT NULL, region TEXT NOT NULL, arn TEXT NOT NULL, name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (account, region, arn, name));
CREATE TABLE gg_tokens (
    account TEXT NOT NULL, region TEXT NOT NULL, operation TEXT NOT NULL, token TEXT NOT NULL,
    request TEXT NOT NULL, response TEXT NOT NULL, created_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, operation, token));
CREATE TABLE gg_deployments (
    account TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL,
    target TEXT NOT NULL, revision BIGINT NOT NULL, latest BIGINT NOT NULL, name TEXT,
    status TEXT NOT NULL, request TEXT NOT NULL, configuration_arn TEXT NOT NULL,
    job TEXT, parent_target TEXT, created_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, id));
CREATE UNIQUE INDEX gg_deployments_target ON gg_deployments (account, region, target, revision);
CREATE INDEX gg_deployments_job ON gg_deployments (account, region, job);
CREATE INDEX gg_deployments_arn ON gg_deployments (account, region, configuration_arn);
CREATE TABLE gg_revisions (
    account TEXT NOT NULL, region TEXT NOT NULL, target TEXT NOT NULL, revision BIGINT NOT NULL,
    PRIMARY KEY (account, region, target));
CREATE TABLE gg_effective (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL, target TEXT NOT NULL,
    deployment TEXT NOT NULL, status TEXT NOT NULL, reason TEXT, error_stack TEXT NOT NULL,
    error_types TEXT NOT NULL, succeeded BIGINT NOT NULL, created_ms BIGINT NOT NULL,
    modified_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, thing, target));
CREATE INDEX gg_effective_target ON gg_effective (account, region, target, succeeded);
CREATE TABLE gg_core_devices (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL,
    core_version TEXT, platform TEXT, architecture TEXT, runtime TEXT NOT NULL,
    status TEXT NOT NULL, sequence BIGINT NOT NULL, message_ms BIGINT NOT NULL,
    updated_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, thing));
CREATE TABLE gg_installed (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL, component TEXT NOT NULL,
    version TEXT, state TEXT NOT NULL, details TEXT, codes TEXT NOT NULL,
    is_root BIGINT NOT NULL, source TEXT, changed_ms BIGINT NOT NULL,
    reported_ms BIGINT NOT NULL, message_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, thing, component));
CREATE TABLE gg_status_chunks (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL,
    sequence BIGINT NOT NULL, message_ms BIGINT NOT NULL, chunk BIGINT NOT NULL,
    total BIGINT NOT NULL, payload TEXT NOT NULL,
    PRIMARY KEY (account, region, thing, sequence, message_ms, chunk));
",
}];

pub(crate) const ROUTES: &[Route] = &[
    route(
        "POST",
        "greengrass/v2/createComponentVersion",
        "CreateComponentVersion",
        "greengrass|components:*",
    ),
    route("GET", "greengrass/v2/components", "ListComponents", "*"),
    route(
        "GET",
        "greengrass/v2/components/{}/metadata",
        "DescribeComponent",
        "{0}",
    ),
    route(
        "GET",
        "greengrass/v2/components/{}/versions",
        "ListComponentVersions",
        "{0}",
    ),
    route(
        "GET",
        "greengrass/v2/components/{}/artifacts/{+}",
        "GetComponentVersionArtifact",
        "{0}",
    ),
    route("GET", "greengrass/v2/components/{}", "GetComponent", "{0}"),
    route(
        "DELETE",
        "greengrass/v2/components/{}",
        "DeleteComponent",
        "{0}",
    ),
    route(
        "POST",
        "greengrass/v2/resolveComponentCandidates",
        "ResolveComponentCandidates",
        "*",
    ),
    route("POST", "greengrass/v2/deployments", "CreateDeployment", "*"),
    route("GET", "greengrass/v2/deployments", "ListDeployments", "*"),
    route(
        "POST",
        "greengrass/v2/deployments/{}/cancel",
        "CancelDeployment",
        "greengrass|deployments:{0}",
    ),
    route(
        "GET",
        "greengrass/v2/deployments/{}",
        "GetDeployment",
        "greengrass|deployments:{0}",
    ),
    route(
        "DELETE",
        "greengrass/v2/deployments/{}",
        "DeleteDeployment",
        "greengrass|deployments:{0}",
    ),
    route("GET", "greengrass/v2/coreDevices", "ListCoreDevices", "*"),
    route(
        "GET",
        "greengrass/v2/coreDevices/{}/effectiveDeployments",
        "ListEffectiveDeployments",
        "greengrass|coreDevices:{0}",
    ),
    route(
        "GET",
        "greengrass/v2/coreDevices/{}/installedComponents",
        "ListInstalledComponents",
        "greengrass|coreDevices:{0}",
    ),
    route(
        "GET",
        "greengrass/v2/coreDevices/{}",
        "GetCoreDevice",
        "greengrass|coreDevices:{0}",
    ),
    route(
        "DELETE",
        "greengrass/v2/coreDevices/{}",
        "DeleteCoreDevice",
        "greengrass|coreDevices:{0}",
    ),
    route("GET", "tags/{+}", "ListTagsForResource", "{0}"),
    route("POST", "tags/{+}", "TagResource", "{0}"),
    route("DELETE", "tags/{+}", "UntagResource", "{0}"),
];

/// Answers one call to the service `greengrass`.
pub(crate) async fn call(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let Some(matched) = routes::find(ROUTES, call) else {
        return Err(call.unknown());
    };
    tracing::debug!(operation = matched.name, credential = %call.caller.credential, "greengrass call");
    match matched.name {
        "CreateComponentVersion"
        | "ListComponents"
        | "DescribeComponent"
        | "ListComponentVersions"
        | "GetComponent"
        | "DeleteComponent" => components::call(control, call, &matched).await,
        "GetComponentVersionArtifact" | "ResolveComponentCandidates" => {
            candidates::call(control, call, &matched).await
        }
        "CreateDeployment" | "ListDeployments" | "CancelDeployment" | "GetDeployment"
        | "DeleteDeployment" => deployments::call(control, call, &matched).await,
        "ListTagsForResource" | "TagResource" | "UntagResource" => {
            tags::call(control, call, &matched).await
        }
        _ => devices::call(control, call, &matched).await,
    }
}

/// Answers a device whose certificate may do this.
pub(crate) async fn device_call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    candidates::call(control, call, matched).await
}
