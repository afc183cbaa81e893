//! The golden vectors of configuration merge and reset: deployments and runtime updates in turn.

mod support;

use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use support::vectors;
use sward_deployment::configuration::{ConfigurationError, resolve_configuration};
use sward_deployment::document::ConfigurationUpdate;
use sward_deployment::tree::{StampedTree, UpdateBehavior};

fn deploy(
    running: &mut StampedTree,
    step: &Value,
) -> Result<Map<String, Value>, ConfigurationError> {
    let timestamp = step["timestamp"].as_i64().expect("a time");
    let update = ConfigurationUpdate {
        merge: step["merge"].as_object().cloned(),
        reset: step["reset"].as_array().map(|pointers| {
            pointers
                .iter()
                .map(|pointer| pointer.as_str().map(str::to_owned))
                .collect()
        }),
    };
    let resolved = resolve_configuration(
        Some(running),
        step.get("defaults"),
        Some(&update),
        timestamp,
    )?;
    let resolved = resolved.to_map();
    running.update(
        &[] as &[&str],
        &resolved,
        &UpdateBehavior::replace(timestamp),
    );
    Ok(resolved)
}

fn public_map(tree: &StampedTree) -> Map<String, Value> {
    tree.to_public_map()
}

fn other_times(tree: &StampedTree, timestamp: i64) -> BTreeMap<String, i64> {
    tree.leaves()
        .into_iter()
        .filter(|(path, leaf)| {
            leaf.modified_ms != timestamp && !path.iter().any(|key| key.starts_with('_'))
        })
        .map(|(path, leaf)| (format!("/{}", path.join("/")), leaf.modified_ms))
        .collect()
}

/// The vectors' keys are sorted, `K` before `k`; the nucleus saw them the other way round, and the
/// first spelling stays.
fn lower_case_first(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let inner = |(key, value): (&String, &Value)| (key.clone(), lower_case_first(value));
            Value::Object(map.iter().rev().map(inner).collect())
        }
        other => other.clone(),
    }
}

#[test]
fn deployments_and_updates_in_turn() {
    vectors("config_merge.jsonl", |case| {
        let mut running = StampedTree::new();
        let steps = case["steps"].as_array().expect("steps");
        let results = case["results"].as_array().expect("results");
        for (step, result) in steps.iter().zip(results) {
            let step = &lower_case_first(step);
            if let Some(update) = step.get("runtimeMerge") {
                let timestamp = step["timestamp"].as_i64().expect("a time");
                running.merge(update.as_object().expect("a map"), timestamp);
                assert_eq!(Value::Object(public_map(&running)), result["running"]);
                continue;
            }
            match deploy(&mut running, step) {
                Err(error) => {
                    let word = match error {
                        ConfigurationError::BadPointer { .. } => "bad-pointer",
                        ConfigurationError::NullPointer => "null-pointer",
                        ConfigurationError::DefaultsNotAMap => "defaults-not-a-map",
                    };
                    assert_eq!(json!(word), result["error"]);
                }
                Ok(resolved) => {
                    let resolved = Value::Object(resolved);
                    assert_eq!(resolved, result["resolved"]);
                    let wanted = result.get("running").unwrap_or(&resolved);
                    assert_eq!(&Value::Object(public_map(&running)), wanted);
                    let timestamp = step["timestamp"].as_i64().expect("a time");
                    let empty = json!({});
                    let others = result.get("otherTimes").unwrap_or(&empty);
                    assert_eq!(&json!(other_times(&running, timestamp)), others);
                }
            }
        }
    });
}
