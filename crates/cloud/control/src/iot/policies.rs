//! IoT policies, their versions, and what they are attached to.

use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::iot::certificates;
use crate::iot::groups::group;
use crate::iot::own_arn;
use crate::iot::tags::{self, Tag};
use crate::request::{Call, listed, object, ok, seconds};
use crate::routes::Matched;
use crate::scope::Scope;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use sward_aws_wire::api::ApiResponse;
use sward_model::PolicyName;
use sward_policy::iot::Policy;
use sward_store::{Row, Tx, Value};

const MOST_VERSIONS: usize = 5;

#[derive(Clone, Debug)]
pub(super) struct PolicyRow {
    name: String,
    default_version: i64,
    newest_version: i64,
    created_ms: i64,
    modified_ms: i64,
}

impl PolicyRow {
    fn read(row: &Row) -> Outcome<Self> {
        Ok(PolicyRow {
            name: row.text("name")?,
            default_version: row.int("default_version")?,
            newest_version: row.int("newest_version")?,
            created_ms: row.int("created_ms")?,
            modified_ms: row.int("modified_ms")?,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PolicyBody {
    policy_document: Option<String>,
    tags: Vec<Tag>,
    target: Option<String>,
}

pub(super) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let name = matched.arg(0);
    match matched.name {
        "CreatePolicy" => create(control, call, name).await,
        "GetPolicy" => get(control, call, name).await,
        "ListPolicies" => list(control, call).await,
        "DeletePolicy" => delete(control, call, name).await,
        "CreatePolicyVersion" => create_version(control, call, name).await,
        "ListPolicyVersions" => list_versions(control, call, name).await,
        "GetPolicyVersion" => get_version(control, call, name, matched.arg(1)).await,
        "DeletePolicyVersion" => delete_version(control, call, name, matched.arg(1)).await,
        "SetDefaultPolicyVersion" => set_default(control, call, name, matched.arg(1)).await,
        "AttachPolicy" | "DetachPolicy" => {
            let body: PolicyBody = call.body()?;
            let target = body
                .target
                .ok_or_else(|| Fault::field("target", "target is missing"))?;
            attach(control, call, name, &target, matched.name == "AttachPolicy").await
        }
        "AttachPrincipalPolicy" | "DetachPrincipalPolicy" => {
            let target = call.header("x-amzn-iot-principal")?.to_owned();
            let add = matched.name == "AttachPrincipalPolicy";
            attach(control, call, name, &target, add).await
        }
        "ListAttachedPolicies" => attached(control, call, name).await,
        "ListPrincipalPolicies" => {
            let target = call.header("x-amzn-iot-principal")?.to_owned();
            attached(control, call, &target).await
        }
        "ListTargetsForPolicy" => targets(control, call, name, "targets").await,
        "ListPolicyPrincipals" => {
            let name = call.header("x-amzn-iot-policy")?.to_owned();
            targets(control, call, &name, "principals").await
        }
        _ => Err(call.unknown()),
    }
}

fn key(scope: &Scope, name: &str) -> [Value; 3] {
    [
        scope.account.as_str().into(),
        scope.region.as_str().into(),
        name.into(),
    ]
}

pub(super) async fn policy(tx: &mut Tx, scope: &Scope, name: &str) -> Outcome<Option<PolicyRow>> {
    let row = tx
        .optional(
            "SELECT * FROM iot_policies WHERE account = $1 AND region = $2 AND name = $3",
            &key(scope, name),
        )
        .await?;
    row.as_ref().map(PolicyRow::read).transpose()
}

async fn existing(tx: &mut Tx, scope: &Scope, name: &str) -> Outcome<PolicyRow> {
    policy(tx, scope, name)
        .await?
        .ok_or_else(|| Fault::not_found("policy", name))
}

fn checked_document(body: &PolicyBody) -> Outcome<&str> {
    let document = body
        .policy_document
        .as_deref()
        .ok_or_else(|| Fault::field("policyDocument", "policyDocument is missing"))?;
    Policy::parse(document).map_err(|error| Fault::of(Refusal::MalformedPolicy, &error))?;
    Ok(document)
}

async fn insert_version(
    tx: &mut Tx,
    scope: &Scope,
    name: &str,
    version: i64,
    document: &str,
    now: i64,
) -> Outcome<()> {
    tx.execute(
        "INSERT INTO iot_policy_versions (account, region, name, version, document, created_ms)
         VALUES ($1, $2, $3, $4, $5, $6)",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            name.into(),
            version.into(),
            document.into(),
            now.into(),
        ],
    )
    .await?;
    Ok(())
}

async fn create(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let name: PolicyName = name
        .parse()
        .map_err(|error| Fault::field("policyName", format!("{error}")))?;
    let body: PolicyBody = call.body()?;
    let document = checked_document(&body)?;
    let scope = &call.scope;
    let arn = scope.iot("policy", name.as_str()).to_string();
    let now = control.now_ms();
    let mut tx = control.write().await?;
    if policy(&mut tx, scope, name.as_str()).await?.is_some() {
        return Err(Fault::new(
            Refusal::AlreadyExists,
            format!("policy {name} exists already"),
        )
        .with("resourceId", name.as_str())
        .with("resourceArn", arn));
    }
    tx.execute(
        "INSERT INTO iot_policies
         (account, region, name, default_version, newest_version, created_ms, modified_ms)
         VALUES ($1, $2, $3, 1, 1, $4, $4)",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            name.as_str().into(),
            now.into(),
        ],
    )
    .await?;
    insert_version(&mut tx, scope, name.as_str(), 1, document, now).await?;
    tags::put(&mut tx, scope, &arn, &body.tags).await?;
    tx.commit().await?;
    Ok(ok(json!({
        "policyName": name.as_str(),
        "policyArn": arn,
        "policyDocument": document,
        "policyVersionId": "1",
    })))
}

#[derive(Clone, Debug)]
struct VersionRow {
    version: i64,
    document: String,
    created_ms: i64,
}

async fn versions(tx: &mut Tx, scope: &Scope, name: &str) -> Outcome<Vec<VersionRow>> {
    tx.all(
        "SELECT version, document, created_ms FROM iot_policy_versions
         WHERE account = $1 AND region = $2 AND name = $3 ORDER BY version DESC",
        &key(scope, name),
    )
    .await?
    .iter()
    .map(|row| {
        Ok(VersionRow {
            version: row.int("version")?,
            document: row.text("document")?,
            created_ms: row.int("created_ms")?,
        })
    })
    .collect()
}

async fn version(tx: &mut Tx, scope: &Scope, name: &str, id: &str) -> Outcome<VersionRow> {
    let number: Option<i64> = id.parse().ok();
    versions(tx, scope, name)
        .await?
        .into_iter()
        .find(|row| Some(row.version) == number)
        .ok_or_else(|| Fault::not_found("policy version", &format!("{name}:{id}")))
}

async fn get(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.read().await?;
    let row = existing(&mut tx, scope, name).await?;
    let default = row.default_version.to_string();
    let version = version(&mut tx, scope, name, &default).await?;
    Ok(ok(json!({
        "policyName": row.name,
        "policyArn": scope.iot("policy", &row.name).to_string(),
        "policyDocument": version.document,
        "defaultVersionId": default,
        "creationDate": seconds(row.created_ms),
        "lastModifiedDate": seconds(row.modified_ms),
        "generationId": row.newest_version.to_string(),
    })))
}

fn named(scope: &Scope, name: &str) -> Json {
    json!({
        "policyName": name,
        "policyArn": scope.iot("policy", name).to_string(),
    })
}

async fn list(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let page = call.page(&["pageSize"], &["marker"], 25, 250)?;
    let mut tx = control.read().await?;
    let rows = tx
        .all(
            "SELECT * FROM iot_policies WHERE account = $1 AND region = $2 ORDER BY name",
            &[
                call.scope.account.as_str().into(),
                call.scope.region.as_str().into(),
            ],
        )
        .await?;
    let mut rows = rows
        .iter()
        .map(PolicyRow::read)
        .collect::<Outcome<Vec<_>>>()?;
    if call.flag("isAscendingOrder")? {
        rows.sort_by_key(|row| row.created_ms);
    }
    let (part, token) = page.cut(rows, |row| row.name.clone());
    let items = part
        .iter()
        .map(|row| named(&call.scope, &row.name))
        .collect();
    Ok(listed("policies", items, "nextMarker", token))
}

async fn delete(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.write().await?;
    existing(&mut tx, scope, name).await?;
    let targets = targets_of(&mut tx, scope, name).await?;
    if let Some(target) = targets.first() {
        return Err(Fault::new(
            Refusal::DeleteConflict,
            format!("policy {name} is attached to {target}"),
        )
        .help("detach it first"));
    }
    if versions(&mut tx, scope, name).await?.len() > 1 {
        return Err(Fault::new(
            Refusal::DeleteConflict,
            format!("policy {name} has more than its default version"),
        )
        .help("delete the other versions first"));
    }
    for table in ["iot_policy_versions", "iot_policies"] {
        tx.execute(
            &format!("DELETE FROM {table} WHERE account = $1 AND region = $2 AND name = $3"),
            &key(scope, name),
        )
        .await?;
    }
    tags::clear(&mut tx, scope, &scope.iot("policy", name).to_string()).await?;
    tx.commit().await?;
    control.directory_changed();
    Ok(ok(json!({})))
}

async fn create_version(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let body: PolicyBody = call.body()?;
    let document = checked_document(&body)?;
    let default = call.flag("setAsDefault")?;
    let scope = &call.scope;
    let now = control.now_ms();
    let mut tx = control.write().await?;
    let row = existing(&mut tx, scope, name).await?;
    if versions(&mut tx, scope, name).await?.len() >= MOST_VERSIONS {
        return Err(Fault::new(
            Refusal::VersionsLimit,
            format!("policy {name} has {MOST_VERSIONS} versions already"),
        )
        .help("delete a version first"));
    }
    let number = row.newest_version + 1;
    insert_version(&mut tx, scope, name, number, document, now).await?;
    tx.execute(
        "UPDATE iot_policies SET newest_version = $4, default_version = $5, modified_ms = $6
         WHERE account = $1 AND region = $2 AND name = $3",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            name.into(),
            number.into(),
            if default { number } else { row.default_version }.into(),
            now.into(),
        ],
    )
    .await?;
    tx.commit().await?;
    if default {
        control.directory_changed();
    }
    Ok(ok(json!({
        "policyArn": scope.iot("policy", name).to_string(),
        "policyDocument": document,
        "policyVersionId": number.to_string(),
        "isDefaultVersion": default,
    })))
}

async fn list_versions(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let mut tx = control.read().await?;
    let row = existing(&mut tx, &call.scope, name).await?;
    let items: Vec<Json> = versions(&mut tx, &call.scope, name)
        .await?
        .into_iter()
        .map(|version| {
            json!({
                "versionId": version.version.to_string(),
                "isDefaultVersion": version.version == row.default_version,
                "createDate": seconds(version.created_ms),
            })
        })
        .collect();
    Ok(ok(json!({ "policyVersions": items })))
}

async fn get_version(
    control: &Control,
    call: &Call<'_>,
    name: &str,
    id: &str,
) -> Outcome<ApiResponse> {
    let mut tx = control.read().await?;
    let row = existing(&mut tx, &call.scope, name).await?;
    let version = version(&mut tx, &call.scope, name, id).await?;
    Ok(ok(object([
        (
            "policyArn",
            Some(json!(call.scope.iot("policy", name).to_string())),
        ),
        ("policyName", Some(json!(name))),
        ("policyDocument", Some(json!(version.document))),
        ("policyVersionId", Some(json!(version.version.to_string()))),
        (
            "isDefaultVersion",
            Some(json!(version.version == row.default_version)),
        ),
        ("creationDate", Some(seconds(version.created_ms))),
        ("lastModifiedDate", Some(seconds(version.created_ms))),
        ("generationId", Some(json!(version.version.to_string()))),
    ])))
}

async fn delete_version(
    control: &Control,
    call: &Call<'_>,
    name: &str,
    id: &str,
) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.write().await?;
    let row = existing(&mut tx, scope, name).await?;
    let version = version(&mut tx, scope, name, id).await?;
    if version.version == row.default_version {
        return Err(Fault::new(
            Refusal::DeleteConflict,
            format!("version {id} is the default of policy {name}"),
        )
        .help("make another version the default, or delete the policy"));
    }
    tx.execute(
        "DELETE FROM iot_policy_versions
         WHERE account = $1 AND region = $2 AND name = $3 AND version = $4",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            name.into(),
            version.version.into(),
        ],
    )
    .await?;
    tx.commit().await?;
    Ok(ok(json!({})))
}

async fn set_default(
    control: &Control,
    call: &Call<'_>,
    name: &str,
    id: &str,
) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.write().await?;
    existing(&mut tx, scope, name).await?;
    let version = version(&mut tx, scope, name, id).await?;
    tx.execute(
        "UPDATE iot_policies SET default_version = $4, modified_ms = $5
         WHERE account = $1 AND region = $2 AND name = $3",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            name.into(),
            version.version.into(),
            control.now_ms().into(),
        ],
    )
    .await?;
    tx.commit().await?;
    control.directory_changed();
    Ok(ok(json!({})))
}

/// Refuses targets that do not exist; the answer is the ARN as it is kept.
async fn checked_target(tx: &mut Tx, scope: &Scope, target: &str) -> Outcome<String> {
    let arn = own_arn(scope, "target", target)?;
    if let Some(name) = arn.resource_after("thinggroup/") {
        if group(tx, scope, name).await?.is_none() {
            return Err(Fault::not_found("thing group", name));
        }
    } else {
        certificates::of_principal(tx, scope, target).await?;
    }
    Ok(arn.to_string())
}

async fn attach(
    control: &Control,
    call: &Call<'_>,
    name: &str,
    target: &str,
    add: bool,
) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.write().await?;
    existing(&mut tx, scope, name).await?;
    let target = checked_target(&mut tx, scope, target).await?;
    let sql = if add {
        "INSERT INTO iot_policy_targets (account, region, target, policy)
         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
    } else {
        "DELETE FROM iot_policy_targets
         WHERE account = $1 AND region = $2 AND target = $3 AND policy = $4"
    };
    tx.execute(
        sql,
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            target.into(),
            name.into(),
        ],
    )
    .await?;
    tx.commit().await?;
    control.directory_changed();
    Ok(ok(json!({})))
}

/// The names of the policies attached to one target.
async fn policies_of(tx: &mut Tx, scope: &Scope, target: &str) -> Outcome<Vec<String>> {
    tx.all(
        "SELECT policy FROM iot_policy_targets
         WHERE account = $1 AND region = $2 AND target = $3 ORDER BY policy",
        &key(scope, target),
    )
    .await?
    .iter()
    .map(|row| Ok(row.text("policy")?))
    .collect()
}

async fn targets_of(tx: &mut Tx, scope: &Scope, name: &str) -> Outcome<Vec<String>> {
    tx.all(
        "SELECT target FROM iot_policy_targets
         WHERE account = $1 AND region = $2 AND policy = $3 ORDER BY target",
        &key(scope, name),
    )
    .await?
    .iter()
    .map(|row| Ok(row.text("target")?))
    .collect()
}

/// Name and default document of every policy attached to one target.
pub(crate) async fn documents_of(
    tx: &mut Tx,
    scope: &Scope,
    target: &str,
) -> Outcome<Vec<(String, String)>> {
    tx.all(
        "SELECT p.name, v.document FROM iot_policy_targets t
           JOIN iot_policies p
             ON p.account = t.account AND p.region = t.region AND p.name = t.policy
           JOIN iot_policy_versions v
             ON v.account = p.account AND v.region = p.region AND v.name = p.name
            AND v.version = p.default_version
         WHERE t.account = $1 AND t.region = $2 AND t.target = $3 ORDER BY p.name",
        &key(scope, target),
    )
    .await?
    .iter()
    .map(|row| Ok((row.text("name")?, row.text("document")?)))
    .collect()
}

async fn attached(control: &Control, call: &Call<'_>, target: &str) -> Outcome<ApiResponse> {
    let page = call.page(&["pageSize"], &["marker"], 25, 250)?;
    let mut tx = control.read().await?;
    let target = checked_target(&mut tx, &call.scope, target).await?;
    let names = policies_of(&mut tx, &call.scope, &target).await?;
    let (part, token) = page.cut(names, Clone::clone);
    let items = part.iter().map(|name| named(&call.scope, name)).collect();
    Ok(listed("policies", items, "nextMarker", token))
}

async fn targets(
    control: &Control,
    call: &Call<'_>,
    name: &str,
    member: &str,
) -> Outcome<ApiResponse> {
    let page = call.page(&["pageSize"], &["marker"], 25, 250)?;
    let mut tx = control.read().await?;
    existing(&mut tx, &call.scope, name).await?;
    let (part, token) = page.cut(targets_of(&mut tx, &call.scope, name).await?, Clone::clone);
    let items = part.into_iter().map(Json::from).collect();
    Ok(listed(member, items, "nextMarker", token))
}
