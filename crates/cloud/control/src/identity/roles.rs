//! IAM roles and their inline policies.

use super::query::{
    IAM_XMLNS, Query, element, encoded_document, exists, in_use, invalid, iso, malformed_policy,
    no_such,
};
use super::schema::GLOBAL;
use super::sessions::role_arn;
use super::{Identity, IdentityError};
use sward_aws_wire::api::{ApiError, ApiResponse, Caller};
use sward_model::{AccountId, Arn};
use sward_policy::iam::{Policy, TrustPolicy};
use sward_store::{Row, StoreError, Tx, Value};

/// A role as stored.
#[derive(Clone, Debug)]
pub(super) struct Role {
    pub(super) account: AccountId,
    pub(super) name: String,
    pub(super) path: String,
    pub(super) role_id: String,
    pub(super) trust: String,
    description: Option<String>,
    pub(super) max_session_seconds: i64,
    created_ms: i64,
}

impl Role {
    fn of(account: &AccountId, row: &Row) -> Result<Self, StoreError> {
        Ok(Role {
            account: account.clone(),
            name: row.text("name")?,
            path: row.text("path")?,
            role_id: row.text("role_id")?,
            trust: row.text("trust")?,
            description: row.opt_text("description")?,
            max_session_seconds: row.int("max_session_seconds")?,
            created_ms: row.int("created_ms")?,
        })
    }

    fn xml(&self) -> String {
        let mut xml = [
            element("Path", &self.path),
            element("RoleName", &self.name),
            element("RoleId", &self.role_id),
            element(
                "Arn",
                &role_arn(&self.account, &self.path, &self.name).to_string(),
            ),
            element("CreateDate", &iso(self.created_ms)),
            element("AssumeRolePolicyDocument", &encoded_document(&self.trust)),
        ]
        .concat();
        if let Some(description) = &self.description {
            xml.push_str(&element("Description", description));
        }
        xml.push_str(&element(
            "MaxSessionDuration",
            &self.max_session_seconds.to_string(),
        ));
        xml
    }
}

impl Identity {
    /// A role by its name.
    pub(super) async fn role(
        &self,
        account: &AccountId,
        name: &str,
    ) -> Result<Option<Role>, IdentityError> {
        let mut tx = self.store().read().await?;
        Ok(find(&mut tx, account, name).await?)
    }

    /// The role that an ARN names, with its path.
    pub(super) async fn role_by_arn(&self, arn: &Arn) -> Result<Option<Role>, IdentityError> {
        let name = arn
            .resource_after("role/")
            .and_then(|rest| rest.rsplit('/').next());
        let (Some(name), Ok(account)) = (name, arn.account.parse()) else {
            return Ok(None);
        };
        let role = self.role(&account, name).await?;
        Ok(role.filter(|role| role_arn(&account, &role.path, &role.name) == *arn))
    }
}

async fn find(tx: &mut Tx, account: &AccountId, name: &str) -> Result<Option<Role>, StoreError> {
    tx.optional(
        "SELECT * FROM identity_role WHERE account = $1 AND region = $2 AND name = $3",
        &key(account, name),
    )
    .await?
    .map(|row| Role::of(account, &row))
    .transpose()
}

pub(super) async fn must_find(
    tx: &mut Tx,
    account: &AccountId,
    name: &str,
) -> Result<Role, ApiError> {
    find(tx, account, name)
        .await
        .map_err(IdentityError::from)?
        .ok_or_else(|| no_such("role with name", name))
}

fn key(account: &AccountId, name: &str) -> [Value; 3] {
    [account.as_str().into(), GLOBAL.into(), name.into()]
}

pub(super) async fn create(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let role = Role {
        account: caller.account.clone(),
        name: query.name("RoleName", 64)?.to_owned(),
        path: path(query)?,
        role_id: identity.unique_id("AROA", 17),
        trust: trust(query, "AssumeRolePolicyDocument")?,
        description: query.optional("Description").map(str::to_owned),
        max_session_seconds: query.number("MaxSessionDuration", 3600, 3600..=43_200)?,
        created_ms: identity.now_ms(),
    };
    let mut tx = identity
        .store()
        .begin()
        .await
        .map_err(IdentityError::from)?;
    let inserted = tx
        .execute(
            "INSERT INTO identity_role
             (account, region, name, path, role_id, trust, description, max_session_seconds, created_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            &[
                role.account.as_str().into(),
                GLOBAL.into(),
                Value::from(&role.name),
                Value::from(&role.path),
                Value::from(&role.role_id),
                Value::from(&role.trust),
                role.description.clone().into(),
                role.max_session_seconds.into(),
                role.created_ms.into(),
            ],
        )
        .await;
    match inserted {
        Err(error) if error.is_unique_violation() => {
            return Err(exists("role with name", &role.name));
        }
        inserted => inserted.map_err(IdentityError::from)?,
    };
    tx.commit().await.map_err(IdentityError::from)?;
    identity.policies_changed();
    Ok(query.answer(IAM_XMLNS, Some(&format!("<Role>{}</Role>", role.xml()))))
}

pub(super) async fn get(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let name = query.name("RoleName", 64)?;
    let role = identity
        .role(&caller.account, name)
        .await?
        .ok_or_else(|| no_such("role with name", name))?;
    Ok(query.answer(IAM_XMLNS, Some(&format!("<Role>{}</Role>", role.xml()))))
}

pub(super) async fn list(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let rows = rows(
        identity,
        "SELECT * FROM identity_role WHERE account = $1 AND region = $2 ORDER BY name",
        &[caller.account.as_str().into(), GLOBAL.into()],
    )
    .await?;
    let mut members = String::new();
    for row in rows {
        let role = Role::of(&caller.account, &row).map_err(IdentityError::from)?;
        members.push_str(&format!("<member>{}</member>", role.xml()));
    }
    Ok(query.answer(IAM_XMLNS, Some(&complete_list("Roles", &members))))
}

pub(super) async fn delete(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let name = query.name("RoleName", 64)?;
    let mut tx = identity
        .store()
        .begin()
        .await
        .map_err(IdentityError::from)?;
    must_find(&mut tx, &caller.account, name).await?;
    let left = tx
        .optional(
            "SELECT policy FROM identity_attached WHERE account = $1 AND region = $2 AND role = $3
             UNION ALL
             SELECT name FROM identity_inline WHERE account = $1 AND region = $2 AND role = $3",
            &key(&caller.account, name),
        )
        .await
        .map_err(IdentityError::from)?;
    if left.is_some() {
        return Err(in_use(format!(
            "the role {name} still has policies; detach and delete them first"
        )));
    }
    change(
        identity,
        tx,
        "DELETE FROM identity_role WHERE account = $1 AND region = $2 AND name = $3",
        &key(&caller.account, name),
    )
    .await?;
    Ok(query.answer(IAM_XMLNS, None))
}

pub(super) async fn update_trust(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let name = query.name("RoleName", 64)?;
    let document = trust(query, "PolicyDocument")?;
    let mut tx = identity
        .store()
        .begin()
        .await
        .map_err(IdentityError::from)?;
    must_find(&mut tx, &caller.account, name).await?;
    let [account, region, name] = key(&caller.account, name);
    change(
        identity,
        tx,
        "UPDATE identity_role SET trust = $4 WHERE account = $1 AND region = $2 AND name = $3",
        &[account, region, name, document.into()],
    )
    .await?;
    Ok(query.answer(IAM_XMLNS, None))
}

pub(super) async fn put_inline(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let role = query.name("RoleName", 64)?;
    let name = query.name("PolicyName", 128)?;
    let document = query.required("PolicyDocument")?;
    Policy::parse(document).map_err(|error| malformed_policy(&error))?;
    let mut tx = identity
        .store()
        .begin()
        .await
        .map_err(IdentityError::from)?;
    must_find(&mut tx, &caller.account, role).await?;
    let [account, region, role] = key(&caller.account, role);
    change(
        identity,
        tx,
        "INSERT INTO identity_inline (account, region, role, name, document)
         VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (account, region, role, name) DO UPDATE SET document = excluded.document",
        &[account, region, role, name.into(), document.into()],
    )
    .await?;
    Ok(query.answer(IAM_XMLNS, None))
}

pub(super) async fn get_inline(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let role = query.name("RoleName", 64)?;
    let name = query.name("PolicyName", 128)?;
    let [account, region, role_value] = key(&caller.account, role);
    let rows = rows(
        identity,
        "SELECT document FROM identity_inline
         WHERE account = $1 AND region = $2 AND role = $3 AND name = $4",
        &[account, region, role_value, name.into()],
    )
    .await?;
    let row = rows
        .first()
        .ok_or_else(|| no_such("role policy with name", name))?;
    let document = row.text("document").map_err(IdentityError::from)?;
    let result = [
        element("RoleName", role),
        element("PolicyName", name),
        element("PolicyDocument", &encoded_document(&document)),
    ]
    .concat();
    Ok(query.answer(IAM_XMLNS, Some(&result)))
}

pub(super) async fn delete_inline(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let role = query.name("RoleName", 64)?;
    let name = query.name("PolicyName", 128)?;
    let tx = identity
        .store()
        .begin()
        .await
        .map_err(IdentityError::from)?;
    let [account, region, role] = key(&caller.account, role);
    let changed = change(
        identity,
        tx,
        "DELETE FROM identity_inline
         WHERE account = $1 AND region = $2 AND role = $3 AND name = $4",
        &[account, region, role, name.into()],
    )
    .await?;
    if changed == 0 {
        return Err(no_such("role policy with name", name));
    }
    Ok(query.answer(IAM_XMLNS, None))
}

pub(super) async fn list_inline(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let role = query.name("RoleName", 64)?;
    let mut tx = identity.store().read().await.map_err(IdentityError::from)?;
    must_find(&mut tx, &caller.account, role).await?;
    let rows = tx
        .all(
            "SELECT name FROM identity_inline
             WHERE account = $1 AND region = $2 AND role = $3 ORDER BY name",
            &key(&caller.account, role),
        )
        .await
        .map_err(IdentityError::from)?;
    let mut members = String::new();
    for row in rows {
        members.push_str(&element(
            "member",
            &row.text("name").map_err(IdentityError::from)?,
        ));
    }
    Ok(query.answer(IAM_XMLNS, Some(&complete_list("PolicyNames", &members))))
}

/// There are no instance profiles here; clients ask before they delete a role.
pub(super) async fn list_profiles(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let role = query.name("RoleName", 64)?;
    let mut tx = identity.store().read().await.map_err(IdentityError::from)?;
    must_find(&mut tx, &caller.account, role).await?;
    Ok(query.answer(IAM_XMLNS, Some(&complete_list("InstanceProfiles", ""))))
}

/// A list that is never cut into pages.
pub(super) fn complete_list(name: &str, members: &str) -> String {
    format!("<{name}>{members}</{name}><IsTruncated>false</IsTruncated>")
}

pub(super) async fn rows(
    identity: &Identity,
    sql: &str,
    args: &[Value],
) -> Result<Vec<Row>, IdentityError> {
    let mut tx = identity.store().read().await?;
    Ok(tx.all(sql, args).await?)
}

/// Runs the last statement of a change, commits, and forgets compiled policies.
pub(super) async fn change(
    identity: &Identity,
    mut tx: Tx,
    sql: &str,
    args: &[Value],
) -> Result<u64, IdentityError> {
    let changed = tx.execute(sql, args).await?;
    tx.commit().await?;
    identity.policies_changed();
    Ok(changed)
}

/// `/` or the path given, which begins and ends with a slash.
pub(super) fn path(query: &Query) -> Result<String, ApiError> {
    let path = query.optional("Path").unwrap_or("/");
    let well_formed = path.starts_with('/')
        && path.ends_with('/')
        && path.len() <= 512
        && path.bytes().all(|byte| byte.is_ascii_graphic());
    if well_formed {
        Ok(path.to_owned())
    } else {
        Err(invalid("Path", "does not begin and end with a slash"))
    }
}

fn trust(query: &Query, parameter: &str) -> Result<String, ApiError> {
    let document = query.required(parameter)?;
    TrustPolicy::parse(document).map_err(|error| malformed_policy(&error))?;
    Ok(document.to_owned())
}
