//! Managed policies and their attachment to roles. A policy has one version, `v1`.

use super::query::{
    IAM_XMLNS, Query, element, encoded_document, exists, in_use, invalid, iso, malformed_policy,
    no_such,
};
use super::roles::{change, complete_list, must_find, path, rows};
use super::schema::GLOBAL;
use super::{Identity, IdentityError, iam_arn};
use sward_aws_wire::api::{ApiError, ApiResponse, Caller};
use sward_model::{AccountId, Arn};
use sward_policy::iam::Policy;
use sward_store::{Row, Tx, Value};

struct Stored {
    name: String,
    path: String,
    policy_id: String,
    document: String,
    description: Option<String>,
    created_ms: i64,
    attached: i64,
}

const SELECT: &str = "SELECT p.*, (SELECT COUNT(*) FROM identity_attached a
        WHERE a.account = p.account AND a.region = p.region AND a.policy = p.name) AS attached
     FROM identity_policy p WHERE p.account = $1 AND p.region = $2";

impl Stored {
    fn of(row: &Row) -> Result<Self, IdentityError> {
        Ok(Stored {
            name: row.text("name")?,
            path: row.text("path")?,
            policy_id: row.text("policy_id")?,
            document: row.text("document")?,
            description: row.opt_text("description")?,
            created_ms: row.int("created_ms")?,
            attached: row.int("attached")?,
        })
    }

    fn arn(&self, account: &AccountId) -> Arn {
        iam_arn(account, &format!("policy{}{}", self.path, self.name))
    }

    fn xml(&self, account: &AccountId) -> String {
        let mut xml = [
            element("PolicyName", &self.name),
            element("PolicyId", &self.policy_id),
            element("Arn", &self.arn(account).to_string()),
            element("Path", &self.path),
            element("DefaultVersionId", "v1"),
            element("AttachmentCount", &self.attached.to_string()),
            element("PermissionsBoundaryUsageCount", "0"),
            element("IsAttachable", "true"),
            element("CreateDate", &iso(self.created_ms)),
            element("UpdateDate", &iso(self.created_ms)),
        ]
        .concat();
        if let Some(description) = &self.description {
            xml.push_str(&element("Description", description));
        }
        xml
    }

    fn version_xml(&self, with_document: bool) -> String {
        let document = if with_document {
            element("Document", &encoded_document(&self.document))
        } else {
            String::new()
        };
        [
            document,
            element("VersionId", "v1"),
            element("IsDefaultVersion", "true"),
            element("CreateDate", &iso(self.created_ms)),
        ]
        .concat()
    }
}

/// The policy that `PolicyArn` names; one of another account, `aws` included, does not exist here.
async fn named(tx: &mut Tx, caller: &Caller, query: &Query) -> Result<Stored, ApiError> {
    let text = query.required("PolicyArn")?;
    let arn: Arn = text
        .parse()
        .map_err(|_| invalid("PolicyArn", "is not an ARN"))?;
    let missing = || no_such("policy", text);
    let name = arn
        .resource_after("policy/")
        .and_then(|rest| rest.rsplit('/').next())
        .ok_or_else(missing)?;
    if arn.service != "iam" || arn.account != caller.account.as_str() {
        return Err(missing());
    }
    let row = tx
        .optional(
            &format!("{SELECT} AND p.name = $3"),
            &[caller.account.as_str().into(), GLOBAL.into(), name.into()],
        )
        .await
        .map_err(IdentityError::from)?
        .ok_or_else(missing)?;
    let policy = Stored::of(&row)?;
    if policy.arn(&caller.account) == arn {
        Ok(policy)
    } else {
        Err(missing())
    }
}

async fn begin(identity: &Identity) -> Result<Tx, ApiError> {
    Ok(identity
        .store()
        .begin()
        .await
        .map_err(IdentityError::from)?)
}

async fn read(identity: &Identity) -> Result<Tx, ApiError> {
    Ok(identity.store().read().await.map_err(IdentityError::from)?)
}

pub(super) async fn create(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let policy = Stored {
        name: query.name("PolicyName", 128)?.to_owned(),
        path: path(query)?,
        policy_id: identity.unique_id("ANPA", 17),
        document: query.required("PolicyDocument")?.to_owned(),
        description: query.optional("Description").map(str::to_owned),
        created_ms: identity.now_ms(),
        attached: 0,
    };
    Policy::parse(&policy.document).map_err(|error| malformed_policy(&error))?;
    let mut tx = begin(identity).await?;
    let inserted = tx
        .execute(
            "INSERT INTO identity_policy
             (account, region, name, path, policy_id, document, description, created_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                caller.account.as_str().into(),
                GLOBAL.into(),
                Value::from(&policy.name),
                Value::from(&policy.path),
                Value::from(&policy.policy_id),
                Value::from(&policy.document),
                policy.description.clone().into(),
                policy.created_ms.into(),
            ],
        )
        .await;
    match inserted {
        Err(error) if error.is_unique_violation() => {
            return Err(exists("policy", &policy.name));
        }
        inserted => inserted.map_err(IdentityError::from)?,
    };
    tx.commit().await.map_err(IdentityError::from)?;
    let result = format!("<Policy>{}</Policy>", policy.xml(&caller.account));
    Ok(query.answer(IAM_XMLNS, Some(&result)))
}

pub(super) async fn get(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let policy = named(&mut read(identity).await?, caller, query).await?;
    let result = format!("<Policy>{}</Policy>", policy.xml(&caller.account));
    Ok(query.answer(IAM_XMLNS, Some(&result)))
}

pub(super) async fn list(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let rows = rows(
        identity,
        &format!("{SELECT} ORDER BY p.name"),
        &[caller.account.as_str().into(), GLOBAL.into()],
    )
    .await?;
    let mut members = String::new();
    for row in rows {
        let policy = Stored::of(&row)?;
        members.push_str(&format!("<member>{}</member>", policy.xml(&caller.account)));
    }
    Ok(query.answer(IAM_XMLNS, Some(&complete_list("Policies", &members))))
}

pub(super) async fn delete(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let mut tx = begin(identity).await?;
    let policy = named(&mut tx, caller, query).await?;
    if policy.attached > 0 {
        return Err(in_use(format!(
            "the policy {} is attached to {} roles; detach it first",
            policy.name, policy.attached
        )));
    }
    change(
        identity,
        tx,
        "DELETE FROM identity_policy WHERE account = $1 AND region = $2 AND name = $3",
        &[
            caller.account.as_str().into(),
            GLOBAL.into(),
            policy.name.into(),
        ],
    )
    .await?;
    Ok(query.answer(IAM_XMLNS, None))
}

pub(super) async fn get_version(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let policy = named(&mut read(identity).await?, caller, query).await?;
    let version = query.required("VersionId")?;
    if version != "v1" {
        return Err(no_such("policy version", version));
    }
    let result = format!(
        "<PolicyVersion>{}</PolicyVersion>",
        policy.version_xml(true)
    );
    Ok(query.answer(IAM_XMLNS, Some(&result)))
}

pub(super) async fn list_versions(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let policy = named(&mut read(identity).await?, caller, query).await?;
    let member = format!("<member>{}</member>", policy.version_xml(false));
    Ok(query.answer(IAM_XMLNS, Some(&complete_list("Versions", &member))))
}

pub(super) async fn attach(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let role = query.name("RoleName", 64)?;
    let mut tx = begin(identity).await?;
    must_find(&mut tx, &caller.account, role).await?;
    let policy = named(&mut tx, caller, query).await?;
    change(
        identity,
        tx,
        "INSERT INTO identity_attached (account, region, role, policy) VALUES ($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
        &attachment(caller, role, &policy.name),
    )
    .await?;
    Ok(query.answer(IAM_XMLNS, None))
}

pub(super) async fn detach(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let role = query.name("RoleName", 64)?;
    let mut tx = begin(identity).await?;
    must_find(&mut tx, &caller.account, role).await?;
    let policy = named(&mut tx, caller, query).await?;
    let changed = change(
        identity,
        tx,
        "DELETE FROM identity_attached
         WHERE account = $1 AND region = $2 AND role = $3 AND policy = $4",
        &attachment(caller, role, &policy.name),
    )
    .await?;
    if changed == 0 {
        return Err(no_such("attached policy", &policy.name));
    }
    Ok(query.answer(IAM_XMLNS, None))
}

fn attachment(caller: &Caller, role: &str, policy: &str) -> [Value; 4] {
    [
        caller.account.as_str().into(),
        GLOBAL.into(),
        role.into(),
        policy.into(),
    ]
}

pub(super) async fn list_attached(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let role = query.name("RoleName", 64)?;
    let mut tx = read(identity).await?;
    must_find(&mut tx, &caller.account, role).await?;
    let rows = tx
        .all(
            &format!(
                "{SELECT} AND p.name IN (SELECT b.policy FROM identity_attached b
                 WHERE b.account = $1 AND b.region = $2 AND b.role = $3) ORDER BY p.name"
            ),
            &[caller.account.as_str().into(), GLOBAL.into(), role.into()],
        )
        .await
        .map_err(IdentityError::from)?;
    let mut members = String::new();
    for row in rows {
        let policy = Stored::of(&row)?;
        members.push_str(&format!(
            "<member>{}{}</member>",
            element("PolicyName", &policy.name),
            element("PolicyArn", &policy.arn(&caller.account).to_string())
        ));
    }
    let list = complete_list("AttachedPolicies", &members);
    Ok(query.answer(IAM_XMLNS, Some(&list)))
}

pub(super) async fn list_entities(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let mut tx = read(identity).await?;
    let policy = named(&mut tx, caller, query).await?;
    let rows = tx
        .all(
            "SELECT r.name, r.role_id FROM identity_role r
             JOIN identity_attached a ON a.account = r.account AND a.region = r.region
                  AND a.role = r.name
             WHERE a.account = $1 AND a.region = $2 AND a.policy = $3 ORDER BY r.name",
            &[
                caller.account.as_str().into(),
                GLOBAL.into(),
                policy.name.into(),
            ],
        )
        .await
        .map_err(IdentityError::from)?;
    let mut members = String::new();
    for row in rows {
        members.push_str(&format!(
            "<member>{}{}</member>",
            element("RoleName", &row.text("name").map_err(IdentityError::from)?),
            element("RoleId", &row.text("role_id").map_err(IdentityError::from)?)
        ));
    }
    let list = format!(
        "<PolicyGroups></PolicyGroups><PolicyUsers></PolicyUsers>{}",
        complete_list("PolicyRoles", &members)
    );
    Ok(query.answer(IAM_XMLNS, Some(&list)))
}
