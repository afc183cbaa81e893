//! Tags of IoT resources: lists of `{Key, Value}`.

use crate::Control;
use crate::fault::{Fault, Outcome};
use crate::request::{Call, listed, ok};
use crate::routes::Matched;
use crate::scope::Scope;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sward_aws_wire::api::ApiResponse;
use sward_store::{Tx, Value};

const MOST: usize = 50;

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
        let (part, token) = page.cut(get(&mut tx, scope, arn).await?, |tag| tag.key.clone());
        let items = part.into_iter().map(|tag| json!(tag)).collect();
        return Ok(listed("tags", items, "nextToken", token));
    }
    let body: TagBody = call.body()?;
    let mut tx = control.write().await?;
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
pub(super) async fn put(tx: &mut Tx, scope: &Scope, arn: &str, tags: &[Tag]) -> Outcome<()> {
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
    Ok(())
}

/// Forgets the tags of a deleted resource.
pub(super) async fn clear(tx: &mut Tx, scope: &Scope, arn: &str) -> Outcome<()> {
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
