//! AWS IoT's registry: things, groups, certificates, policies, role aliases, and our own CA.
//!
//! Rules are cloud.md §2 ("IoT method/URI list", "Semantics that tests/clients hit"). Every
//! change that can alter what a device may do bumps the directory's generation after its commit.

mod authority;
mod certificates;
mod endpoint;
mod groups;
mod keys;
mod policies;
mod role_aliases;
mod tags;
mod things;
mod x509;

pub use authority::{Authority, CertificateError, ServerCertificate};
pub(crate) use certificates::{CertificateRow, by_fingerprint};
pub(crate) use groups::{
    ancestors, group, groups_of_thing, groups_with_ancestors, members_recursive,
};
pub(crate) use keys::KeyPool;
pub(crate) use policies::documents_of;
pub(crate) use role_aliases::role_alias;
pub(crate) use tags::{Tag, clear as clear_tags, put as put_tags};
pub(crate) use things::{thing, things_of_certificate};
pub(crate) use x509::CertificateFacts;

use crate::Control;
use crate::fault::{Fault, Outcome};
use crate::jobs;
use crate::request::Call;
use crate::routes::{self, Matched, Route, route};
use crate::scope::Scope;
use sward_aws_wire::api::ApiResponse;
use sward_model::Arn;
use sward_store::Migration;

pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    module: "iot",
    number: 1,
    name: "registry, certificates, policies and role aliases",
    sql: "
CREATE TABLE iot_authority (
    account TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL,
    certificate_pem TEXT NOT NULL, key_pem TEXT NOT NULL, created_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, id));
CREATE TABLE iot_things (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    id TEXT NOT NULL, attributes TEXT NOT NULL, thing_type TEXT, version BIGINT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, name));
CREATE TABLE iot_groups (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    id TEXT NOT NULL, parent TEXT, description TEXT, attributes TEXT NOT NULL,
    version BIGINT NOT NULL, created_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, name));
CREATE INDEX iot_groups_parent ON iot_groups (account, region, parent);
CREATE TABLE iot_group_members (
    account TEXT NOT NULL, region TEXT NOT NULL, group_name TEXT NOT NULL, thing TEXT NOT NULL,
    PRIMARY KEY (account, region, group_name, thing));
CREATE INDEX iot_group_members_thing ON iot_group_members (account, region, thing);
CREATE TABLE iot_certificates (
    account TEXT NOT NULL, region TEXT NOT NULL, id TEXT NOT NULL,
    status TEXT NOT NULL, pem TEXT NOT NULL, der BLOB NOT NULL, ca_id TEXT, mode TEXT NOT NULL,
    not_before_ms BIGINT NOT NULL, not_after_ms BIGINT NOT NULL,
    created_ms BIGINT NOT NULL, modified_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, id));
CREATE INDEX iot_certificates_id ON iot_certificates (id);
CREATE TABLE iot_thing_principals (
    account TEXT NOT NULL, region TEXT NOT NULL, thing TEXT NOT NULL, certificate TEXT NOT NULL,
    PRIMARY KEY (account, region, thing, certificate));
CREATE INDEX iot_thing_principals_certificate
    ON iot_thing_principals (account, region, certificate);
CREATE TABLE iot_policies (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
    default_version BIGINT NOT NULL, newest_version BIGINT NOT NULL,
    created_ms BIGINT NOT NULL, modified_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, name));
CREATE TABLE iot_policy_versions (
    account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL, version BIGINT NOT NULL,
    document TEXT NOT NULL, created_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, name, version));
CREATE TABLE iot_policy_targets (
    account TEXT NOT NULL, region TEXT NOT NULL, target TEXT NOT NULL, policy TEXT NOT NULL,
    PRIMARY KEY (account, region, target, policy));
CREATE INDEX iot_policy_targets_policy ON iot_policy_targets (account, region, policy);
CREATE TABLE iot_role_aliases (
    account TEXT NOT NULL, region TEXT NOT NULL, alias TEXT NOT NULL,
    role_arn TEXT NOT NULL, duration_seconds BIGINT NOT NULL,
    created_ms BIGINT NOT NULL, modified_ms BIGINT NOT NULL,
    PRIMARY KEY (account, region, alias));
CREATE TABLE iot_tags (
    account TEXT NOT NULL, region TEXT NOT NULL, arn TEXT NOT NULL, name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (account, region, arn, name));
",
}];

pub(crate) const ROUTES: &[Route] = &[
    route("GET", "things", "ListThings", "*"),
    route("POST", "things/{}", "CreateThing", "iot|thing/{0}"),
    route("GET", "things/{}", "DescribeThing", "iot|thing/{0}"),
    route("PATCH", "things/{}", "UpdateThing", "iot|thing/{0}"),
    route("DELETE", "things/{}", "DeleteThing", "iot|thing/{0}"),
    route("PUT", "things/{}/principals", "AttachThingPrincipal", "*"),
    route(
        "DELETE",
        "things/{}/principals",
        "DetachThingPrincipal",
        "*",
    ),
    route(
        "GET",
        "things/{}/principals",
        "ListThingPrincipals",
        "iot|thing/{0}",
    ),
    route("GET", "principals/things", "ListPrincipalThings", "*"),
    route(
        "POST",
        "keys-and-certificate",
        "CreateKeysAndCertificate",
        "*",
    ),
    route("POST", "certificates", "CreateCertificateFromCsr", "*"),
    route("GET", "certificates", "ListCertificates", "*"),
    route(
        "GET",
        "certificates/{}",
        "DescribeCertificate",
        "iot|cert/{0}",
    ),
    route(
        "PUT",
        "certificates/{}",
        "UpdateCertificate",
        "iot|cert/{0}",
    ),
    route(
        "DELETE",
        "certificates/{}",
        "DeleteCertificate",
        "iot|cert/{0}",
    ),
    route(
        "POST",
        "certificate/register-no-ca",
        "RegisterCertificateWithoutCA",
        "*",
    ),
    route("POST", "certificate/register", "RegisterCertificate", "*"),
    route("GET", "policies", "ListPolicies", "*"),
    route("POST", "policies/{}", "CreatePolicy", "iot|policy/{0}"),
    route("GET", "policies/{}", "GetPolicy", "iot|policy/{0}"),
    route("DELETE", "policies/{}", "DeletePolicy", "iot|policy/{0}"),
    route(
        "POST",
        "policies/{}/version",
        "CreatePolicyVersion",
        "iot|policy/{0}",
    ),
    route(
        "GET",
        "policies/{}/version",
        "ListPolicyVersions",
        "iot|policy/{0}",
    ),
    route(
        "GET",
        "policies/{}/version/{}",
        "GetPolicyVersion",
        "iot|policy/{0}",
    ),
    route(
        "DELETE",
        "policies/{}/version/{}",
        "DeletePolicyVersion",
        "iot|policy/{0}",
    ),
    route(
        "PATCH",
        "policies/{}/version/{}",
        "SetDefaultPolicyVersion",
        "iot|policy/{0}",
    ),
    route("PUT", "target-policies/{}", "AttachPolicy", "*"),
    route("POST", "target-policies/{}", "DetachPolicy", "*"),
    route("PUT", "principal-policies/{}", "AttachPrincipalPolicy", "*"),
    route(
        "DELETE",
        "principal-policies/{}",
        "DetachPrincipalPolicy",
        "*",
    ),
    route("GET", "principal-policies", "ListPrincipalPolicies", "*"),
    route("GET", "policy-principals", "ListPolicyPrincipals", "*"),
    route("POST", "attached-policies/{+}", "ListAttachedPolicies", "*"),
    route(
        "POST",
        "policy-targets/{}",
        "ListTargetsForPolicy",
        "iot|policy/{0}",
    ),
    route("GET", "thing-groups", "ListThingGroups", "*"),
    route(
        "PUT",
        "thing-groups/addThingToThingGroup",
        "AddThingToThingGroup",
        "*",
    ),
    route(
        "PUT",
        "thing-groups/removeThingFromThingGroup",
        "RemoveThingFromThingGroup",
        "*",
    ),
    route(
        "PUT",
        "thing-groups/updateThingGroupsForThing",
        "UpdateThingGroupsForThing",
        "*",
    ),
    route(
        "POST",
        "thing-groups/{}",
        "CreateThingGroup",
        "iot|thinggroup/{0}",
    ),
    route(
        "GET",
        "thing-groups/{}",
        "DescribeThingGroup",
        "iot|thinggroup/{0}",
    ),
    route(
        "PATCH",
        "thing-groups/{}",
        "UpdateThingGroup",
        "iot|thinggroup/{0}",
    ),
    route(
        "DELETE",
        "thing-groups/{}",
        "DeleteThingGroup",
        "iot|thinggroup/{0}",
    ),
    route(
        "GET",
        "thing-groups/{}/things",
        "ListThingsInThingGroup",
        "iot|thinggroup/{0}",
    ),
    route(
        "GET",
        "things/{}/thing-groups",
        "ListThingGroupsForThing",
        "iot|thing/{0}",
    ),
    route("GET", "role-aliases", "ListRoleAliases", "*"),
    route(
        "POST",
        "role-aliases/{}",
        "CreateRoleAlias",
        "iot|rolealias/{0}",
    ),
    route(
        "GET",
        "role-aliases/{}",
        "DescribeRoleAlias",
        "iot|rolealias/{0}",
    ),
    route(
        "PUT",
        "role-aliases/{}",
        "UpdateRoleAlias",
        "iot|rolealias/{0}",
    ),
    route(
        "DELETE",
        "role-aliases/{}",
        "DeleteRoleAlias",
        "iot|rolealias/{0}",
    ),
    route("GET", "endpoint", "DescribeEndpoint", "*"),
    route("POST", "tags", "TagResource", "*"),
    route("POST", "untag", "UntagResource", "*"),
    route("GET", "tags", "ListTagsForResource", "*"),
    route("GET", "jobs", "ListJobs", "*"),
    route("PUT", "jobs/{}", "CreateJob", "iot|job/{0}"),
    route("GET", "jobs/{}", "DescribeJob", "iot|job/{0}"),
    route("DELETE", "jobs/{}", "DeleteJob", "iot|job/{0}"),
    route("PUT", "jobs/{}/cancel", "CancelJob", "iot|job/{0}"),
    route(
        "GET",
        "jobs/{}/job-document",
        "GetJobDocument",
        "iot|job/{0}",
    ),
    route(
        "GET",
        "jobs/{}/things",
        "ListJobExecutionsForJob",
        "iot|job/{0}",
    ),
    route(
        "GET",
        "things/{}/jobs",
        "ListJobExecutionsForThing",
        "iot|thing/{0}",
    ),
    route(
        "GET",
        "things/{}/jobs/{}",
        "DescribeJobExecution",
        "iot|thing/{0}",
    ),
    route(
        "PUT",
        "things/{}/jobs/{}/cancel",
        "CancelJobExecution",
        "iot|thing/{0}",
    ),
    route(
        "DELETE",
        "things/{}/jobs/{}/executionNumber/{}",
        "DeleteJobExecution",
        "iot|thing/{0}",
    ),
];

/// An ARN of ours. A name in another account or region is another resource, whatever it is called.
fn own_arn(scope: &Scope, member: &str, text: &str) -> Outcome<Arn> {
    let arn: Arn = text
        .parse()
        .map_err(|error| Fault::field(member, format!("{error}")))?;
    if arn.service != "iot" {
        return Err(Fault::field(
            member,
            format!("{text} is not the ARN of an IoT resource"),
        ));
    }
    if arn.account != scope.account.as_str() || arn.region != scope.region.as_str() {
        return Err(Fault::field(
            member,
            format!("{text} belongs to another account or region"),
        ));
    }
    Ok(arn)
}

/// Answers one call to the service `iot`.
pub(crate) async fn call(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let Some(matched) = routes::find(ROUTES, call) else {
        return Err(call.unknown());
    };
    tracing::debug!(operation = matched.name, credential = %call.caller.credential, "iot call");
    let Matched { name, .. } = matched;
    match name {
        "ListThings"
        | "CreateThing"
        | "DescribeThing"
        | "UpdateThing"
        | "DeleteThing"
        | "AttachThingPrincipal"
        | "DetachThingPrincipal"
        | "ListThingPrincipals"
        | "ListPrincipalThings" => things::call(control, call, &matched).await,
        "CreateKeysAndCertificate"
        | "CreateCertificateFromCsr"
        | "ListCertificates"
        | "DescribeCertificate"
        | "UpdateCertificate"
        | "DeleteCertificate"
        | "RegisterCertificateWithoutCA"
        | "RegisterCertificate" => certificates::call(control, call, &matched).await,
        "ListThingGroups"
        | "AddThingToThingGroup"
        | "RemoveThingFromThingGroup"
        | "UpdateThingGroupsForThing"
        | "CreateThingGroup"
        | "DescribeThingGroup"
        | "UpdateThingGroup"
        | "DeleteThingGroup"
        | "ListThingsInThingGroup"
        | "ListThingGroupsForThing" => groups::call(control, call, &matched).await,
        "ListRoleAliases" | "CreateRoleAlias" | "DescribeRoleAlias" | "UpdateRoleAlias"
        | "DeleteRoleAlias" => role_aliases::call(control, call, &matched).await,
        "DescribeEndpoint" => endpoint::describe(control, call),
        "TagResource" | "UntagResource" | "ListTagsForResource" => {
            tags::call(control, call, &matched).await
        }
        name if name.contains("Job") => jobs::call(control, call, &matched).await,
        _ => policies::call(control, call, &matched).await,
    }
}
