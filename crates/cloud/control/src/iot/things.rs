//! Things and their principals.

use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::iot::certificates;
use crate::iot::tags::{self, Tag};
use crate::jobs;
use crate::request::{Call, listed, object, ok};
use crate::routes::Matched;
use crate::scope::Scope;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use sward_aws_wire::api::ApiResponse;
use sward_model::ThingName;
use sward_store::{Row, Tx, Value};

const MOST_ATTRIBUTES: usize = 50;
const LIST_DEFAULT: usize = 250;

/// One thing of the registry.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ThingRow {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) attributes: BTreeMap<String, String>,
    pub(crate) thing_type: Option<String>,
    pub(crate) version: i64,
}

impl ThingRow {
    fn read(row: &Row) -> Outcome<Self> {
        Ok(ThingRow {
            name: row.text("name")?,
            id: row.text("id")?,
            attributes: serde_json::from_str(&row.text("attributes")?).unwrap_or_default(),
            thing_type: row.opt_text("thing_type")?,
            version: row.int("version")?,
        })
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AttributePayload {
    attributes: BTreeMap<String, String>,
    merge: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ThingBody {
    thing_type_name: Option<String>,
    attribute_payload: Option<AttributePayload>,
    expected_version: Option<i64>,
    tags: Vec<Tag>,
}

pub(super) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let name = matched.arg(0);
    match matched.name {
        "CreateThing" => create(control, call, name).await,
        "DescribeThing" => describe(control, call, name).await,
        "UpdateThing" => update(control, call, name).await,
        "DeleteThing" => delete(control, call, name).await,
        "ListThings" => list(control, call).await,
        "AttachThingPrincipal" => attach(control, call, name).await,
        "DetachThingPrincipal" => detach(control, call, name).await,
        "ListThingPrincipals" => principals(control, call, name).await,
        "ListPrincipalThings" => things_of_principal(control, call).await,
        _ => Err(call.unknown()),
    }
}

/// The thing of that name.
pub(crate) async fn thing(tx: &mut Tx, scope: &Scope, name: &str) -> Outcome<Option<ThingRow>> {
    let row = tx
        .optional(
            "SELECT * FROM iot_things WHERE account = $1 AND region = $2 AND name = $3",
            &[
                scope.account.as_str().into(),
                scope.region.as_str().into(),
                name.into(),
            ],
        )
        .await?;
    row.as_ref().map(ThingRow::read).transpose()
}

async fn existing(tx: &mut Tx, scope: &Scope, name: &str) -> Outcome<ThingRow> {
    thing(tx, scope, name)
        .await?
        .ok_or_else(|| Fault::not_found("thing", name))
}

/// The things that a certificate is attached to, by name.
pub(crate) async fn things_of_certificate(
    tx: &mut Tx,
    scope: &Scope,
    certificate: &str,
) -> Outcome<Vec<ThingRow>> {
    tx.all(
        "SELECT t.* FROM iot_things t JOIN iot_thing_principals p
           ON p.account = t.account AND p.region = t.region AND p.thing = t.name
         WHERE p.account = $1 AND p.region = $2 AND p.certificate = $3 ORDER BY t.name",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            certificate.into(),
        ],
    )
    .await?
    .iter()
    .map(ThingRow::read)
    .collect()
}

pub(super) fn check_attributes(attributes: &BTreeMap<String, String>) -> Outcome<()> {
    if attributes.len() > MOST_ATTRIBUTES {
        return Err(Fault::field(
            "attributePayload",
            format!(
                "{} attributes, {MOST_ATTRIBUTES} are allowed",
                attributes.len()
            ),
        ));
    }
    for (name, value) in attributes {
        let good = !name.is_empty()
            && name.len() <= 128
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.,@/:#-".contains(&byte));
        if !good {
            return Err(Fault::field(
                "attributePayload",
                format!("\"{name}\" is not a name of an attribute"),
            ));
        }
        let good = value.len() <= 800
            && value
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"_.,@/:#=[]-".contains(&byte));
        if !good {
            return Err(Fault::field(
                "attributePayload",
                format!("the value of attribute {name} holds a character that is not allowed"),
            ));
        }
    }
    Ok(())
}

async fn create(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let name: ThingName = name
        .parse()
        .map_err(|error| Fault::field("thingName", format!("{error}")))?;
    let body: ThingBody = call.body()?;
    let attributes = body.attribute_payload.unwrap_or_default().attributes;
    check_attributes(&attributes)?;
    if let Some(kind) = &body.thing_type_name {
        return Err(Fault::not_found("thing type", kind)
            .help("thing types are not built yet; leave thingTypeName out"));
    }
    let scope = &call.scope;
    let arn = scope.iot("thing", name.as_str());
    let mut tx = control.write().await?;
    let id = match thing(&mut tx, scope, name.as_str()).await? {
        Some(old) if old.attributes == attributes => old.id,
        Some(_) => {
            return Err(Fault::new(
                Refusal::AlreadyExists,
                format!("thing {name} exists with other settings"),
            )
            .with("resourceId", name.as_str())
            .with("resourceArn", arn.to_string()));
        }
        None => {
            let id = control.uuid();
            tx.execute(
                "INSERT INTO iot_things
                 (account, region, name, id, attributes, thing_type, version, created_ms)
                 VALUES ($1, $2, $3, $4, $5, NULL, 1, $6)",
                &[
                    scope.account.as_str().into(),
                    scope.region.as_str().into(),
                    name.as_str().into(),
                    Value::from(&id),
                    serde_json::json!(attributes).to_string().into(),
                    control.now_ms().into(),
                ],
            )
            .await?;
            tags::put(&mut tx, scope, &arn.to_string(), &body.tags).await?;
            id
        }
    };
    tx.commit().await?;
    Ok(ok(json!({
        "thingName": name.as_str(),
        "thingArn": arn.to_string(),
        "thingId": id,
    })))
}

async fn describe(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let mut tx = control.read().await?;
    let row = existing(&mut tx, &call.scope, name).await?;
    Ok(ok(object([
        ("defaultClientId", Some(json!(row.name))),
        ("thingName", Some(json!(row.name))),
        ("thingId", Some(json!(row.id))),
        (
            "thingArn",
            Some(json!(call.scope.iot("thing", &row.name).to_string())),
        ),
        ("thingTypeName", row.thing_type.map(Json::from)),
        ("attributes", Some(json!(row.attributes))),
        ("version", Some(json!(row.version))),
    ])))
}

/// The version that a deletion is meant for.
pub(super) fn expected_version(call: &Call<'_>) -> Outcome<Option<i64>> {
    call.query("expectedVersion")
        .map(|text| {
            text.parse()
                .map_err(|_| Fault::field("expectedVersion", format!("\"{text}\" is not a number")))
        })
        .transpose()
}

pub(super) fn check_version(expected: Option<i64>, found: i64, what: &str) -> Outcome<()> {
    match expected {
        Some(expected) if expected != found => Err(Fault::new(
            Refusal::VersionConflict,
            format!("{what} has version {found}, not {expected}"),
        )),
        _ => Ok(()),
    }
}

async fn update(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let body: ThingBody = call.body()?;
    let scope = &call.scope;
    let mut tx = control.write().await?;
    let row = existing(&mut tx, scope, name).await?;
    check_version(body.expected_version, row.version, &format!("thing {name}"))?;
    let mut attributes = row.attributes;
    if let Some(payload) = body.attribute_payload {
        if !payload.merge {
            attributes.clear();
        }
        attributes.extend(payload.attributes);
        // An attribute of an empty value is removed.
        attributes.retain(|_, value| !value.is_empty());
    }
    check_attributes(&attributes)?;
    tx.execute(
        "UPDATE iot_things SET attributes = $4, version = version + 1
         WHERE account = $1 AND region = $2 AND name = $3",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            name.into(),
            json!(attributes).to_string().into(),
        ],
    )
    .await?;
    tx.commit().await?;
    control.directory_changed();
    Ok(ok(json!({})))
}

async fn delete(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.write().await?;
    if let Some(row) = thing(&mut tx, scope, name).await? {
        check_version(
            expected_version(call)?,
            row.version,
            &format!("thing {name}"),
        )?;
        let args: [Value; 3] = [
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            name.into(),
        ];
        let attached = tx
            .all(
                "SELECT certificate FROM iot_thing_principals
                 WHERE account = $1 AND region = $2 AND thing = $3",
                &args,
            )
            .await?;
        if let Some(principal) = attached.first() {
            let certificate = principal.text("certificate")?;
            return Err(Fault::new(
                Refusal::Invalid,
                format!("thing {name} is still attached to certificate {certificate}"),
            )
            .help("detach its principals first"));
        }
        tx.execute(
            "DELETE FROM iot_group_members WHERE account = $1 AND region = $2 AND thing = $3",
            &args,
        )
        .await?;
        tx.execute(
            "DELETE FROM iot_things WHERE account = $1 AND region = $2 AND name = $3",
            &args,
        )
        .await?;
        tags::clear(&mut tx, scope, &scope.iot("thing", name).to_string()).await?;
        jobs::membership_changed(control, &mut tx, scope, name).await?;
    }
    tx.commit().await?;
    control.directory_changed();
    Ok(ok(json!({})))
}

async fn list(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], LIST_DEFAULT, 250)?;
    let mut tx = control.read().await?;
    let rows = tx
        .all(
            "SELECT * FROM iot_things WHERE account = $1 AND region = $2 ORDER BY name",
            &[
                call.scope.account.as_str().into(),
                call.scope.region.as_str().into(),
            ],
        )
        .await?;
    let mut things = Vec::with_capacity(rows.len());
    for row in &rows {
        let thing = ThingRow::read(row)?;
        if wanted(call, &thing)? {
            things.push(thing);
        }
    }
    let (part, token) = page.cut(things, |thing| thing.name.clone());
    let items = part
        .into_iter()
        .map(|thing| {
            object([
                ("thingName", Some(json!(thing.name))),
                (
                    "thingArn",
                    Some(json!(call.scope.iot("thing", &thing.name).to_string())),
                ),
                ("thingTypeName", thing.thing_type.map(Json::from)),
                ("attributes", Some(json!(thing.attributes))),
                ("version", Some(json!(thing.version))),
            ])
        })
        .collect();
    Ok(listed("things", items, "nextToken", token))
}

fn wanted(call: &Call<'_>, thing: &ThingRow) -> Outcome<bool> {
    if let Some(name) = call.query("attributeName") {
        let Some(value) = thing.attributes.get(name) else {
            return Ok(false);
        };
        let asked = call.query("attributeValue").unwrap_or("");
        let fits = if call.flag("usePrefixAttributeValue")? {
            value.starts_with(asked)
        } else {
            value == asked
        };
        if !fits {
            return Ok(false);
        }
    }
    Ok(match call.query("thingTypeName") {
        None => true,
        kind => thing.thing_type.as_deref() == kind,
    })
}

async fn attach(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let principal = call.header("x-amzn-principal")?;
    let mut tx = control.write().await?;
    existing(&mut tx, scope, name).await?;
    let certificate = certificates::of_principal(&mut tx, scope, principal).await?;
    tx.execute(
        "INSERT INTO iot_thing_principals (account, region, thing, certificate)
         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            name.into(),
            certificate.id.into(),
        ],
    )
    .await?;
    tx.commit().await?;
    control.directory_changed();
    Ok(ok(json!({})))
}

async fn detach(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let principal = call.header("x-amzn-principal")?;
    let mut tx = control.write().await?;
    existing(&mut tx, scope, name).await?;
    let certificate = certificates::of_principal(&mut tx, scope, principal).await?;
    tx.execute(
        "DELETE FROM iot_thing_principals
         WHERE account = $1 AND region = $2 AND thing = $3 AND certificate = $4",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            name.into(),
            certificate.id.into(),
        ],
    )
    .await?;
    tx.commit().await?;
    control.directory_changed();
    Ok(ok(json!({})))
}

async fn principals(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], LIST_DEFAULT, 250)?;
    let mut tx = control.read().await?;
    existing(&mut tx, &call.scope, name).await?;
    let rows = tx
        .all(
            "SELECT certificate FROM iot_thing_principals
             WHERE account = $1 AND region = $2 AND thing = $3 ORDER BY certificate",
            &[
                call.scope.account.as_str().into(),
                call.scope.region.as_str().into(),
                name.into(),
            ],
        )
        .await?;
    let mut arns = Vec::new();
    for row in &rows {
        arns.push(
            call.scope
                .iot("cert", &row.text("certificate")?)
                .to_string(),
        );
    }
    let (part, token) = page.cut(arns, Clone::clone);
    let items = part.into_iter().map(Json::from).collect();
    Ok(listed("principals", items, "nextToken", token))
}

async fn things_of_principal(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], LIST_DEFAULT, 250)?;
    let principal = call.header("x-amzn-principal")?;
    let mut tx = control.read().await?;
    let certificate = certificates::of_principal(&mut tx, &call.scope, principal).await?;
    let things = things_of_certificate(&mut tx, &call.scope, &certificate.id).await?;
    let (part, token) = page.cut(things, |thing| thing.name.clone());
    let items = part
        .into_iter()
        .map(|thing| Json::from(thing.name))
        .collect();
    Ok(listed("things", items, "nextToken", token))
}

/// Attributes as the wire shows them.
pub(super) fn attribute_map(attributes: &BTreeMap<String, String>) -> Map<String, Json> {
    attributes
        .iter()
        .map(|(name, value)| (name.clone(), Json::from(value.clone())))
        .collect()
}
