//! Tags of components, deployments and core devices: a map.

use crate::Control;
use crate::fault::{Fault, Outcome};
use crate::request::{Call, ok};
use crate::routes::Matched;
use crate::scope::Scope;
use serde::Deserialize;
use serde_json::json;
use std::collections::BTreeMap;
use sward_aws_wire::api::ApiResponse;
use sward_model::Arn;
use sward_store::{Tx, Value};

const MOST: usize = 50;

/// Tags by key.
pub(super) type Tags = BTreeMap<String, String>;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    tags: Tags,
}

pub(super) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    let text = matched.arg(0);
    let arn: Arn = text
        .parse()
        .map_err(|error| Fault::field("resourceArn", format!("{error}")))?;
    let scope = &call.scope;
    match matched.name {
        "ListTagsForResource" => {
            let mut tx = control.read().await?;
            existing(&mut tx, scope, &arn).await?;
            let tags = get(&mut tx, scope, text).await?;
            Ok(ok(json!({ "tags": tags })))
        }
        "TagResource" => {
            let body: Body = call.body()?;
            let mut tx = control.write().await?;
            existing(&mut tx, scope, &arn).await?;
            put(&mut tx, scope, text, &body.tags).await?;
            tx.commit().await?;
            Ok(ok(json!({})))
        }
        _ => {
            let mut tx = control.write().await?;
            existing(&mut tx, scope, &arn).await?;
            let keys = call
                .request
                .query
                .iter()
                .filter(|(name, _)| name == "tagKeys");
            for (_, key) in keys {
                tx.execute(
                    "DELETE FROM gg_tags
                     WHERE account = $1 AND region = $2 AND arn = $3 AND name = $4",
                    &[
                        scope.account.as_str().into(),
                        scope.region.as_str().into(),
                        text.into(),
                        Value::from(key),
                    ],
                )
                .await?;
            }
            tx.commit().await?;
            Ok(ok(json!({})))
        }
    }
}

/// Refuses ARNs of resources that do not exist or cannot have tags.
async fn existing(tx: &mut Tx, scope: &Scope, arn: &Arn) -> Outcome<()> {
    let ours = arn.account == scope.account.as_str() && arn.region == scope.region.as_str();
    let found = if !ours {
        false
    } else if let Some((name, Some(version))) = arn.as_component() {
        super::components::stored(tx, scope, name.as_str(), version.as_str())
            .await?
            .is_some()
    } else if let Some(id) = arn.resource_after("deployments:") {
        super::revisions::deployment(tx, scope, id).await?.is_some()
    } else if let Some(thing) = arn.resource_after("coreDevices:") {
        super::devices::exists(tx, scope, thing).await?
    } else {
        return Err(Fault::field(
            "resourceArn",
            format!("{arn} is not a component version, deployment or core device"),
        ));
    };
    if found {
        Ok(())
    } else {
        Err(Fault::not_found("resource", &arn.to_string()))
    }
}

/// The tags of a resource.
pub(super) async fn get(tx: &mut Tx, scope: &Scope, arn: &str) -> Outcome<Tags> {
    tx.all(
        "SELECT name, value FROM gg_tags WHERE account = $1 AND region = $2 AND arn = $3",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            arn.into(),
        ],
    )
    .await?
    .iter()
    .map(|row| Ok((row.text("name")?, row.text("value")?)))
    .collect()
}

/// Adds or replaces tags.
pub(super) async fn put(tx: &mut Tx, scope: &Scope, arn: &str, tags: &Tags) -> Outcome<()> {
    if tags.len() > MOST {
        return Err(Fault::field(
            "tags",
            format!("{} tags, {MOST} are allowed", tags.len()),
        ));
    }
    for (key, value) in tags {
        let bad = key.is_empty() || key.chars().count() > 128 || key.starts_with("aws:");
        if bad || value.chars().count() > 256 {
            return Err(Fault::field(
                "tags",
                format!("tag \"{key}\" is not allowed"),
            ));
        }
        tx.execute(
            "INSERT INTO gg_tags (account, region, arn, name, value) VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account, region, arn, name) DO UPDATE SET value = excluded.value",
            &[
                scope.account.as_str().into(),
                scope.region.as_str().into(),
                arn.into(),
                Value::from(key),
                Value::from(value),
            ],
        )
        .await?;
    }
    let total = get(tx, scope, arn).await?.len();
    if total > MOST {
        return Err(Fault::field(
            "tags",
            format!("{arn} would have {total} tags, {MOST} are allowed"),
        ));
    }
    Ok(())
}

/// Forgets the tags of a deleted resource.
pub(super) async fn clear(tx: &mut Tx, scope: &Scope, arn: &str) -> Outcome<()> {
    tx.execute(
        "DELETE FROM gg_tags WHERE account = $1 AND region = $2 AND arn = $3",
        &[
            scope.account.as_str().into(),
            scope.region.as_str().into(),
            arn.into(),
        ],
    )
    .await?;
    Ok(())
}
