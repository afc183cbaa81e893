//! Role aliases: the names by which devices ask for roles.

use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::iot::tags::{self, Tag};
use crate::request::{Call, listed, ok, seconds};
use crate::routes::Matched;
use crate::scope::Scope;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use sward_aws_wire::api::ApiResponse;
use sward_model::{Arn, RoleAliasName};
use sward_store::{Row, Tx, Value};

const DEFAULT_SECONDS: i64 = 3600;
const SECONDS: std::ops::RangeInclusive<i64> = 900..=43_200;

/// One role alias.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RoleAliasRow {
    pub(crate) alias: String,
    pub(crate) role_arn: String,
    pub(crate) duration_seconds: i64,
    created_ms: i64,
    modified_ms: i64,
}

impl RoleAliasRow {
    fn read(row: &Row) -> Outcome<Self> {
        Ok(RoleAliasRow {
            alias: row.text("alias")?,
            role_arn: row.text("role_arn")?,
            duration_seconds: row.int("duration_seconds")?,
            created_ms: row.int("created_ms")?,
            modified_ms: row.int("modified_ms")?,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    role_arn: Option<String>,
    credential_duration_seconds: Option<i64>,
    tags: Vec<Tag>,
}

impl Body {
    fn checked_role(&self) -> Outcome<Option<&str>> {
        let Some(text) = self.role_arn.as_deref() else {
            return Ok(None);
        };
        let good = text
            .parse::<Arn>()
            .is_ok_and(|arn| arn.service == "iam" && arn.resource_after("role/").is_some());
        if good {
            Ok(Some(text))
        } else {
            Err(Fault::field(
                "roleArn",
                format!("{text} is not the ARN of a role"),
            ))
        }
    }

    fn checked_duration(&self) -> Outcome<Option<i64>> {
        match self.credential_duration_seconds {
            Some(seconds) if !SECONDS.contains(&seconds) => Err(Fault::field(
                "credentialDurationSeconds",
                format!("{seconds} s is not within 900 s and 43200 s"),
            )),
            other => Ok(other),
        }
    }
}

pub(super) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let alias = matched.arg(0);
    match matched.name {
        "CreateRoleAlias" => create(control, call, alias).await,
        "DescribeRoleAlias" => describe(control, call, alias).await,
        "UpdateRoleAlias" => update(control, call, alias).await,
        "DeleteRoleAlias" => delete(control, call, alias).await,
        "ListRoleAliases" => list(control, call).await,
        _ => Err(call.unknown()),
    }
}

fn key(scope: &Scope, alias: &str) -> [Value; 3] {
    [
        scope.account.as_str().into(),
        scope.region.as_str().into(),
        alias.into(),
    ]
}

/// The role alias of that name.
pub(crate) async fn role_alias(
    tx: &mut Tx,
    scope: &Scope,
    alias: &str,
) -> Outcome<Option<RoleAliasRow>> {
    let row = tx
        .optional(
            "SELECT * FROM iot_role_aliases WHERE account = $1 AND region = $2 AND alias = $3",
            &key(scope, alias),
        )
        .await?;
    row.as_ref().map(RoleAliasRow::read).transpose()
}

async fn existing(tx: &mut Tx, scope: &Scope, alias: &str) -> Outcome<RoleAliasRow> {
    role_alias(tx, scope, alias)
        .await?
        .ok_or_else(|| Fault::not_found("role alias", alias))
}

async fn create(control: &Control, call: &Call<'_>, alias: &str) -> Outcome<ApiResponse> {
    let alias: RoleAliasName = alias
        .parse()
        .map_err(|error| Fault::field("roleAlias", format!("{error}")))?;
    let body: Body = call.body()?;
    let role = body
        .checked_role()?
        .ok_or_else(|| Fault::field("roleArn", "roleArn is missing"))?;
    let duration = body.checked_duration()?.unwrap_or(DEFAULT_SECONDS);
    let scope = &call.scope;
    let arn = scope.iot("rolealias", alias.as_str()).to_string();
    let mut tx = control.write().await?;
    if role_alias(&mut tx, scope, alias.as_str()).await?.is_some() {
        return Err(Fault::new(
            Refusal::AlreadyExists,
            format!("role alias {alias} exists already"),
        )
        .with("resourceId", alias.as_str())
        .with("resourceArn", arn));
    }
    tx.execute(
        "INSERT INTO iot_role_aliases
         (account, region, alias, role_arn, duration_seconds, created_ms, modified_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $6)",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            alias.as_str().into(),
            role.into(),
            duration.into(),
            control.now_ms().into(),
        ],
    )
    .await?;
    tags::put(&mut tx, scope, &arn, &body.tags).await?;
    tx.commit().await?;
    Ok(ok(
        json!({ "roleAlias": alias.as_str(), "roleAliasArn": arn }),
    ))
}

async fn describe(control: &Control, call: &Call<'_>, alias: &str) -> Outcome<ApiResponse> {
    let mut tx = control.read().await?;
    let row = existing(&mut tx, &call.scope, alias).await?;
    Ok(ok(json!({
        "roleAliasDescription": {
            "roleAlias": row.alias,
            "roleAliasArn": call.scope.iot("rolealias", &row.alias).to_string(),
            "roleArn": row.role_arn,
            "owner": call.scope.account.as_str(),
            "credentialDurationSeconds": row.duration_seconds,
            "creationDate": seconds(row.created_ms),
            "lastModifiedDate": seconds(row.modified_ms),
        }
    })))
}

async fn update(control: &Control, call: &Call<'_>, alias: &str) -> Outcome<ApiResponse> {
    let body: Body = call.body()?;
    let scope = &call.scope;
    let mut tx = control.write().await?;
    let row = existing(&mut tx, scope, alias).await?;
    let role = body.checked_role()?.unwrap_or(&row.role_arn);
    let duration = body.checked_duration()?.unwrap_or(row.duration_seconds);
    tx.execute(
        "UPDATE iot_role_aliases SET role_arn = $4, duration_seconds = $5, modified_ms = $6
         WHERE account = $1 AND region = $2 AND alias = $3",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            alias.into(),
            role.into(),
            duration.into(),
            control.now_ms().into(),
        ],
    )
    .await?;
    tx.commit().await?;
    Ok(ok(json!({
        "roleAlias": alias,
        "roleAliasArn": scope.iot("rolealias", alias).to_string(),
    })))
}

async fn delete(control: &Control, call: &Call<'_>, alias: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.write().await?;
    existing(&mut tx, scope, alias).await?;
    tx.execute(
        "DELETE FROM iot_role_aliases WHERE account = $1 AND region = $2 AND alias = $3",
        &key(scope, alias),
    )
    .await?;
    tags::clear(&mut tx, scope, &scope.iot("rolealias", alias).to_string()).await?;
    tx.commit().await?;
    Ok(ok(json!({})))
}

async fn list(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let page = call.page(&["pageSize"], &["marker"], 25, 250)?;
    let mut tx = control.read().await?;
    let rows = tx
        .all(
            "SELECT alias FROM iot_role_aliases
             WHERE account = $1 AND region = $2 ORDER BY alias",
            &[
                call.scope.account.as_str().into(),
                call.scope.region.as_str().into(),
            ],
        )
        .await?;
    let mut names = Vec::new();
    for row in &rows {
        names.push(row.text("alias")?);
    }
    let (part, token) = page.cut(names, Clone::clone);
    let items = part.into_iter().map(Json::from).collect();
    Ok(listed("roleAliases", items, "nextMarker", token))
}
