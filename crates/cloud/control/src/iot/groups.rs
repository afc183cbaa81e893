//! Thing groups: a forest of names with things in them.

use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::iot::own_arn;
use crate::iot::tags::{self, Tag};
use crate::iot::things::{attribute_map, check_attributes, check_version, expected_version, thing};
use crate::jobs;
use crate::request::{Call, listed, object, ok, seconds};
use crate::routes::Matched;
use crate::scope::Scope;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::{BTreeMap, BTreeSet};
use sward_aws_wire::api::ApiResponse;
use sward_model::ThingGroupName;
use sward_store::{Row, Tx, Value};

/// AWS allows seven levels; deeper chains can only come from damage.
const DEEPEST: usize = 7;

/// One group.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct GroupRow {
    pub(crate) name: String,
    pub(crate) id: String,
    pub(crate) parent: Option<String>,
    description: Option<String>,
    attributes: BTreeMap<String, String>,
    version: i64,
    created_ms: i64,
}

impl GroupRow {
    fn read(row: &Row) -> Outcome<Self> {
        Ok(GroupRow {
            name: row.text("name")?,
            id: row.text("id")?,
            parent: row.opt_text("parent")?,
            description: row.opt_text("description")?,
            attributes: serde_json::from_str(&row.text("attributes")?).unwrap_or_default(),
            version: row.int("version")?,
            created_ms: row.int("created_ms")?,
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
struct Properties {
    thing_group_description: Option<String>,
    attribute_payload: Option<AttributePayload>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroupBody {
    parent_group_name: Option<String>,
    thing_group_properties: Properties,
    expected_version: Option<i64>,
    tags: Vec<Tag>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MemberBody {
    thing_group_name: Option<String>,
    thing_group_arn: Option<String>,
    thing_name: Option<String>,
    thing_arn: Option<String>,
    thing_groups_to_add: Vec<String>,
    thing_groups_to_remove: Vec<String>,
}

pub(super) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let name = matched.arg(0);
    match matched.name {
        "CreateThingGroup" => create(control, call, name).await,
        "DescribeThingGroup" => describe(control, call, name).await,
        "UpdateThingGroup" => update(control, call, name).await,
        "DeleteThingGroup" => delete(control, call, name).await,
        "ListThingGroups" => list(control, call).await,
        "AddThingToThingGroup" => change_one(control, call, true).await,
        "RemoveThingFromThingGroup" => change_one(control, call, false).await,
        "UpdateThingGroupsForThing" => change_many(control, call).await,
        "ListThingsInThingGroup" => things(control, call, name).await,
        "ListThingGroupsForThing" => groups(control, call, name).await,
        _ => Err(call.unknown()),
    }
}

/// The group of that name.
pub(crate) async fn group(tx: &mut Tx, scope: &Scope, name: &str) -> Outcome<Option<GroupRow>> {
    let row = tx
        .optional(
            "SELECT * FROM iot_groups WHERE account = $1 AND region = $2 AND name = $3",
            &[
                scope.account.as_str().into(),
                scope.region.as_str().into(),
                name.into(),
            ],
        )
        .await?;
    row.as_ref().map(GroupRow::read).transpose()
}

async fn existing(tx: &mut Tx, scope: &Scope, name: &str) -> Outcome<GroupRow> {
    group(tx, scope, name)
        .await?
        .ok_or_else(|| Fault::not_found("thing group", name))
}

/// The groups above one, from the root down to its parent.
pub(crate) async fn ancestors(
    tx: &mut Tx,
    scope: &Scope,
    child: &GroupRow,
) -> Outcome<Vec<GroupRow>> {
    let mut chain = Vec::new();
    let mut next = child.parent.clone();
    while let Some(name) = next.take() {
        if chain.len() >= DEEPEST {
            break;
        }
        let Some(row) = group(tx, scope, &name).await? else {
            break;
        };
        next = row.parent.clone();
        chain.push(row);
    }
    chain.reverse();
    Ok(chain)
}

/// The groups that a thing was put into, by name.
pub(crate) async fn groups_of_thing(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
) -> Outcome<Vec<GroupRow>> {
    tx.all(
        "SELECT g.* FROM iot_groups g JOIN iot_group_members m
           ON m.account = g.account AND m.region = g.region AND m.group_name = g.name
         WHERE m.account = $1 AND m.region = $2 AND m.thing = $3 ORDER BY g.name",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            thing.into(),
        ],
    )
    .await?
    .iter()
    .map(GroupRow::read)
    .collect()
}

/// The names of a thing's groups and of all groups above them.
pub(crate) async fn groups_with_ancestors(
    tx: &mut Tx,
    scope: &Scope,
    thing: &str,
) -> Outcome<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    for row in groups_of_thing(tx, scope, thing).await? {
        for above in ancestors(tx, scope, &row).await? {
            names.insert(above.name);
        }
        names.insert(row.name);
    }
    Ok(names)
}

/// The things put into one group, by name.
pub(crate) async fn members(tx: &mut Tx, scope: &Scope, group: &str) -> Outcome<Vec<String>> {
    tx.all(
        "SELECT thing FROM iot_group_members
         WHERE account = $1 AND region = $2 AND group_name = $3 ORDER BY thing",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            group.into(),
        ],
    )
    .await?
    .iter()
    .map(|row| Ok(row.text("thing")?))
    .collect()
}

/// The things of a group and of all groups below it.
pub(crate) async fn members_recursive(
    tx: &mut Tx,
    scope: &Scope,
    group: &str,
) -> Outcome<BTreeSet<String>> {
    let mut things = BTreeSet::new();
    let mut seen = BTreeSet::new();
    let mut waiting = vec![group.to_owned()];
    while let Some(name) = waiting.pop() {
        if !seen.insert(name.clone()) {
            continue;
        }
        things.extend(members(tx, scope, &name).await?);
        for child in children(tx, scope, &name).await? {
            waiting.push(child.name);
        }
    }
    Ok(things)
}

async fn children(tx: &mut Tx, scope: &Scope, parent: &str) -> Outcome<Vec<GroupRow>> {
    tx.all(
        "SELECT * FROM iot_groups
         WHERE account = $1 AND region = $2 AND parent = $3 ORDER BY name",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            parent.into(),
        ],
    )
    .await?
    .iter()
    .map(GroupRow::read)
    .collect()
}

async fn create(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let name: ThingGroupName = name
        .parse()
        .map_err(|error| Fault::field("thingGroupName", format!("{error}")))?;
    let body: GroupBody = call.body()?;
    let scope = &call.scope;
    let arn = scope.iot("thinggroup", name.as_str());
    let properties = body.thing_group_properties;
    let attributes = properties.attribute_payload.unwrap_or_default().attributes;
    check_attributes(&attributes)?;
    let mut tx = control.write().await?;
    let id = match group(&mut tx, scope, name.as_str()).await? {
        Some(old)
            if old.parent == body.parent_group_name
                && old.description == properties.thing_group_description
                && old.attributes == attributes =>
        {
            old.id
        }
        Some(_) => {
            return Err(Fault::new(
                Refusal::AlreadyExists,
                format!("thing group {name} exists with other settings"),
            )
            .with("resourceId", name.as_str())
            .with("resourceArn", arn.to_string()));
        }
        None => {
            if let Some(parent) = &body.parent_group_name {
                let parent = existing(&mut tx, scope, parent).await?;
                if ancestors(&mut tx, scope, &parent).await?.len() + 2 > DEEPEST {
                    return Err(Fault::field(
                        "parentGroupName",
                        format!("groups nest {DEEPEST} deep at most"),
                    ));
                }
            }
            let id = control.uuid();
            tx.execute(
                "INSERT INTO iot_groups (account, region, name, id, parent, description,
                    attributes, version, created_ms) VALUES ($1, $2, $3, $4, $5, $6, $7, 1, $8)",
                &[
                    scope.account.as_str().into(),
                    scope.region.as_str().into(),
                    name.as_str().into(),
                    Value::from(&id),
                    body.parent_group_name.into(),
                    properties.thing_group_description.into(),
                    json!(attributes).to_string().into(),
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
        "thingGroupName": name.as_str(),
        "thingGroupArn": arn.to_string(),
        "thingGroupId": id,
    })))
}

fn named(scope: &Scope, name: &str) -> Json {
    json!({
        "groupName": name,
        "groupArn": scope.iot("thinggroup", name).to_string(),
    })
}

async fn describe(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.read().await?;
    let row = existing(&mut tx, scope, name).await?;
    let above: Vec<Json> = ancestors(&mut tx, scope, &row)
        .await?
        .iter()
        .map(|group| named(scope, &group.name))
        .collect();
    let properties = object([
        ("thingGroupDescription", row.description.map(Json::from)),
        (
            "attributePayload",
            Some(json!({ "attributes": attribute_map(&row.attributes) })),
        ),
    ]);
    let metadata = object([
        ("parentGroupName", row.parent.map(Json::from)),
        ("rootToParentThingGroups", Some(json!(above))),
        ("creationDate", Some(seconds(row.created_ms))),
    ]);
    Ok(ok(json!({
        "thingGroupName": row.name,
        "thingGroupId": row.id,
        "thingGroupArn": scope.iot("thinggroup", &row.name).to_string(),
        "version": row.version,
        "thingGroupProperties": properties,
        "thingGroupMetadata": metadata,
    })))
}

async fn update(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let body: GroupBody = call.body()?;
    let scope = &call.scope;
    let mut tx = control.write().await?;
    let row = existing(&mut tx, scope, name).await?;
    check_version(
        body.expected_version,
        row.version,
        &format!("thing group {name}"),
    )?;
    let properties = body.thing_group_properties;
    let mut attributes = row.attributes;
    if let Some(payload) = properties.attribute_payload {
        if !payload.merge {
            attributes.clear();
        }
        attributes.extend(payload.attributes);
        attributes.retain(|_, value| !value.is_empty());
    }
    check_attributes(&attributes)?;
    tx.execute(
        "UPDATE iot_groups SET description = $4, attributes = $5, version = version + 1
         WHERE account = $1 AND region = $2 AND name = $3",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            name.into(),
            properties
                .thing_group_description
                .or(row.description)
                .into(),
            json!(attributes).to_string().into(),
        ],
    )
    .await?;
    tx.commit().await?;
    Ok(ok(json!({ "version": row.version + 1 })))
}

async fn delete(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    let mut tx = control.write().await?;
    let Some(row) = group(&mut tx, scope, name).await? else {
        return Ok(ok(json!({})));
    };
    check_version(
        expected_version(call)?,
        row.version,
        &format!("thing group {name}"),
    )?;
    if let Some(child) = children(&mut tx, scope, name).await?.first() {
        return Err(Fault::new(
            Refusal::Invalid,
            format!("thing group {} is below thing group {name}", child.name),
        )
        .help("delete the groups below first"));
    }
    let things = members(&mut tx, scope, name).await?;
    let args: [Value; 3] = [
        scope.account.as_str().into(),
        scope.region.as_str().into(),
        name.into(),
    ];
    tx.execute(
        "DELETE FROM iot_group_members WHERE account = $1 AND region = $2 AND group_name = $3",
        &args,
    )
    .await?;
    tx.execute(
        "DELETE FROM iot_groups WHERE account = $1 AND region = $2 AND name = $3",
        &args,
    )
    .await?;
    let arn = scope.iot("thinggroup", name).to_string();
    tx.execute(
        "DELETE FROM iot_policy_targets WHERE account = $1 AND region = $2 AND target = $3",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            Value::from(&arn),
        ],
    )
    .await?;
    tags::clear(&mut tx, scope, &arn).await?;
    for thing in &things {
        jobs::membership_changed(control, &mut tx, scope, thing).await?;
    }
    tx.commit().await?;
    control.directory_changed();
    Ok(ok(json!({})))
}

async fn list(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 250, 250)?;
    let scope = &call.scope;
    let mut tx = control.read().await?;
    let rows = match call.query("parentGroup") {
        Some(parent) => {
            existing(&mut tx, scope, parent).await?;
            let mut found = Vec::new();
            let mut waiting = vec![parent.to_owned()];
            while let Some(name) = waiting.pop() {
                for child in children(&mut tx, scope, &name).await? {
                    if call.query("recursive") != Some("false") {
                        waiting.push(child.name.clone());
                    }
                    found.push(child);
                }
            }
            found.sort_by(|a, b| a.name.cmp(&b.name));
            found
        }
        None => tx
            .all(
                "SELECT * FROM iot_groups WHERE account = $1 AND region = $2 ORDER BY name",
                &[scope.account.as_str().into(), scope.region.as_str().into()],
            )
            .await?
            .iter()
            .map(GroupRow::read)
            .collect::<Outcome<Vec<_>>>()?,
    };
    let prefix = call.query("namePrefixFilter").unwrap_or("");
    let rows: Vec<GroupRow> = rows
        .into_iter()
        .filter(|row| row.name.starts_with(prefix))
        .collect();
    let (part, token) = page.cut(rows, |row| row.name.clone());
    let items = part.iter().map(|row| named(scope, &row.name)).collect();
    Ok(listed("thingGroups", items, "nextToken", token))
}

/// The name given as a name or as an ARN.
fn one_of(
    scope: &Scope,
    name: Option<String>,
    arn: Option<String>,
    kind: &str,
    member: &str,
) -> Outcome<String> {
    if let Some(name) = name {
        return Ok(name);
    }
    let Some(text) = arn else {
        return Err(Fault::field(member, format!("{member} is missing")));
    };
    own_arn(scope, member, &text)?
        .resource_after(kind)
        .map(str::to_owned)
        .ok_or_else(|| Fault::field(member, format!("{text} is not the ARN of a {kind}…")))
}

async fn set_member(
    control: &Control,
    tx: &mut Tx,
    scope: &Scope,
    group_name: &str,
    thing_name: &str,
    member: bool,
) -> Outcome<()> {
    let args: [Value; 4] = [
        scope.account.as_str().into(),
        scope.region.as_str().into(),
        group_name.into(),
        thing_name.into(),
    ];
    existing(tx, scope, group_name).await?;
    if thing(tx, scope, thing_name).await?.is_none() {
        return Err(Fault::not_found("thing", thing_name));
    }
    let sql = if member {
        "INSERT INTO iot_group_members (account, region, group_name, thing)
         VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
    } else {
        "DELETE FROM iot_group_members
         WHERE account = $1 AND region = $2 AND group_name = $3 AND thing = $4"
    };
    if tx.execute(sql, &args).await? > 0 {
        jobs::membership_changed(control, tx, scope, thing_name).await?;
    }
    Ok(())
}

async fn change_one(control: &Control, call: &Call<'_>, member: bool) -> Outcome<ApiResponse> {
    let body: MemberBody = call.body()?;
    let group_name = one_of(
        &call.scope,
        body.thing_group_name,
        body.thing_group_arn,
        "thinggroup/",
        "thingGroupName",
    )?;
    let thing_name = one_of(
        &call.scope,
        body.thing_name,
        body.thing_arn,
        "thing/",
        "thingName",
    )?;
    let mut tx = control.write().await?;
    set_member(
        control,
        &mut tx,
        &call.scope,
        &group_name,
        &thing_name,
        member,
    )
    .await?;
    tx.commit().await?;
    control.directory_changed();
    Ok(ok(json!({})))
}

async fn change_many(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let body: MemberBody = call.body()?;
    let thing_name = one_of(
        &call.scope,
        body.thing_name,
        body.thing_arn,
        "thing/",
        "thingName",
    )?;
    let mut tx = control.write().await?;
    for name in &body.thing_groups_to_add {
        set_member(control, &mut tx, &call.scope, name, &thing_name, true).await?;
    }
    for name in &body.thing_groups_to_remove {
        set_member(control, &mut tx, &call.scope, name, &thing_name, false).await?;
    }
    tx.commit().await?;
    control.directory_changed();
    Ok(ok(json!({})))
}

async fn things(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 250, 250)?;
    let mut tx = control.read().await?;
    existing(&mut tx, &call.scope, name).await?;
    let things = if call.flag("recursive")? {
        members_recursive(&mut tx, &call.scope, name)
            .await?
            .into_iter()
            .collect()
    } else {
        members(&mut tx, &call.scope, name).await?
    };
    let (part, token) = page.cut(things, Clone::clone);
    let items = part.into_iter().map(Json::from).collect();
    Ok(listed("things", items, "nextToken", token))
}

async fn groups(control: &Control, call: &Call<'_>, name: &str) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 250, 250)?;
    let mut tx = control.read().await?;
    if thing(&mut tx, &call.scope, name).await?.is_none() {
        return Err(Fault::not_found("thing", name));
    }
    let rows = groups_of_thing(&mut tx, &call.scope, name).await?;
    let (part, token) = page.cut(rows, |row| row.name.clone());
    let items = part
        .iter()
        .map(|row| named(&call.scope, &row.name))
        .collect();
    Ok(listed("thingGroups", items, "nextToken", token))
}
