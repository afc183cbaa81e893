//! Tags of IoT resources: lists of `{Key, Value}`.

use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::iot::groups::group;
use crate::iot::own_arn;
use crate::iot::policies::policy;
use crate::iot::role_aliases::role_alias;
use crate::iot::things::thing;
use crate::jobs;
use crate::request::{Call, listed, ok};
use crate::routes::Matched;
use crate::scope::Scope;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sward_aws_wire::api::ApiResponse;
use sward_store::{Tx, Value};

const MOST: usize = 50;
const LONGEST_VALUE: usize = 256;

/// One tag as IoT spells it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Tag {
    #[serde(rename = "Key")]
    key: String,
    #[serde(rename = "Value", default)]
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagBody {
    resource_arn: String,
    #[serde(default)]
    tags: Vec<Tag>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

pub(super) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let scope = &call.scope;
    if matched.name == "ListTagsForResource" {
        let arn = call
            .query("resourceArn")
            .ok_or_else(|| Fault::field("resourceArn", "resourceArn is missing"))?;
        let page = call.page(&[], &["nextToken"], MOST, MOST)?;
        let mut tx = control.read().await?;
        existing(&mut tx, scope, arn).await?;
        let (part, token) = page.cut(get(&mut tx, scope, arn).await?, |tag| tag.key.clone());
        let items = part.into_iter().map(|tag| json!(tag)).collect();
        return Ok(listed("tags", items, "nextToken", token));
    }
    let body: TagBody = call.body()?;
    let mut tx = control.write().await?;
    existing(&mut tx, scope, &body.resource_arn).await?;
    match matched.name {
        "TagResource" => put(&mut tx, scope, &body.resource_arn, &body.tags).await?,
        _ => {
            for key in &body.tag_keys {
                tx.execute(
                    "DELETE FROM iot_tags
                     WHERE account = $1 AND region = $2 AND arn = $3 AND name = $4",
                    &[
                        scope.account.as_str().into(),
                        scope.region.as_str().into(),
                        Value::from(&body.resource_arn),
                        Value::from(key),
                    ],
                )
                .await?;
            }
        }
    }
    tx.commit().await?;
    Ok(ok(json!({})))
}

/// Refuses ARNs of resources that do not exist or cannot have tags.
async fn existing(tx: &mut Tx, scope: &Scope, text: &str) -> Outcome<()> {
    let arn = own_arn(scope, "resourceArn", text)?;
    let found = match arn.resource.split_once('/') {
        Some(("thing", name)) => thing(tx, scope, name).await?.is_some(),
        Some(("thinggroup", name)) => group(tx, scope, name).await?.is_some(),
        Some(("policy", name)) => policy(tx, scope, name).await?.is_some(),
        Some(("rolealias", name)) => role_alias(tx, scope, name).await?.is_some(),
        Some(("job", id)) => jobs::exists(tx, scope, id).await?,
        _ => {
            return Err(Fault::field(
                "resourceArn",
                format!("{text} is not a resource that can have tags"),
            ));
        }
    };
    if found {
        Ok(())
    } else {
        Err(Fault::not_found("resource", text))
    }
}

/// The tags of a resource, by key.
async fn get(tx: &mut Tx, scope: &Scope, arn: &str) -> Outcome<Vec<Tag>> {
    tx.all(
        "SELECT name, value FROM iot_tags
         WHERE account = $1 AND region = $2 AND arn = $3 ORDER BY name",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            arn.into(),
        ],
    )
    .await?
    .iter()
    .map(|row| {
        Ok(Tag {
            key: row.text("name")?,
            value: row.text("value")?,
        })
    })
    .collect()
}

/// Adds or replaces tags.
pub(crate) async fn put(tx: &mut Tx, scope: &Scope, arn: &str, tags: &[Tag]) -> Outcome<()> {
    if tags.len() > MOST {
        return Err(Fault::field(
            "tags",
            format!("{} tags, {MOST} are allowed", tags.len()),
        ));
    }
    for tag in tags {
        if tag.key.is_empty() || tag.key.len() > 128 || tag.key.starts_with("aws:") {
            return Err(Fault::field(
                "tags",
                format!("\"{}\" cannot be the key of a tag", tag.key),
            ));
        }
        if tag.value.chars().count() > LONGEST_VALUE {
            return Err(Fault::field(
                "tags",
                format!(
                    "the value of tag \"{}\" is longer than {LONGEST_VALUE} characters",
                    tag.key
                ),
            ));
        }
        tx.execute(
            "INSERT INTO iot_tags (account, region, arn, name, value) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account, region, arn, name) DO UPDATE SET value = excluded.value",
            &[
                scope.account.as_str().into(),
                scope.region.as_str().into(),
                arn.into(),
                Value::from(&tag.key),
                Value::from(&tag.value),
            ],
        )
        .await?;
    }
    let total = get(tx, scope, arn).await?.len();
    if total > MOST {
        return Err(Fault::new(
            Refusal::Limit,
            format!("{arn} would have {total} tags, {MOST} are allowed"),
        )
        .help("take tags away first"));
    }
    Ok(())
}

/// Forgets the tags of a deleted resource.
pub(crate) async fn clear(tx: &mut Tx, scope: &Scope, arn: &str) -> Outcome<()> {
    tx.execute(
        "DELETE FROM iot_tags WHERE account = $1 AND region = $2 AND arn = $3",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            arn.into(),
        ],
    )
    .await?;
    Ok(())
}
