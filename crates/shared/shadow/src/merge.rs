//! Trees: merging a patch into a section, its metadata beside it, and the difference of two.

use serde_json::{Map, Value, json};

/// Puts a patch into a section. Null removes, objects merge, everything else replaces.
///
/// A new object of nothing but nulls is not added; an object emptied by removals stays.
pub(crate) fn merge_state(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.shift_remove(key);
            }
            Value::Object(inner) => match target.get_mut(key) {
                Some(Value::Object(existing)) => merge_state(existing, inner),
                _ => match without_nulls(inner) {
                    Some(tree) => {
                        target.insert(key.clone(), tree.into());
                    }
                    None => {
                        target.shift_remove(key);
                    }
                },
            },
            other => {
                target.insert(key.clone(), other.clone());
            }
        }
    }
}

/// A copy without nulls; `None` when nulls were all it held.
fn without_nulls(source: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut kept = Map::new();
    for (key, value) in source {
        match value {
            Value::Null => {}
            Value::Object(inner) => {
                if let Some(tree) = without_nulls(inner) {
                    kept.insert(key.clone(), tree.into());
                }
            }
            other => {
                kept.insert(key.clone(), other.clone());
            }
        }
    }
    (source.is_empty() || !kept.is_empty()).then_some(kept)
}

/// The metadata of a value: a timestamp for each leaf, nulls included.
pub(crate) fn stamped(value: &Value, now: u64) -> Value {
    match value {
        Value::Object(members) => {
            let members = members.iter();
            Value::Object(members.map(|(k, v)| (k.clone(), stamped(v, now))).collect())
        }
        Value::Array(items) => items.iter().map(|item| stamped(item, now)).collect(),
        _ => json!({ "timestamp": now }),
    }
}

/// Brings metadata in line with a section after a patch: what the patch named is stamped anew,
/// what is gone is gone, the rest keeps its time.
pub(crate) fn merge_metadata(
    metadata: &mut Map<String, Value>,
    state: &Map<String, Value>,
    patch: &Map<String, Value>,
    now: u64,
) {
    for (key, value) in patch {
        match (state.get(key), value) {
            (None, _) => {
                metadata.shift_remove(key);
            }
            (Some(Value::Object(state)), Value::Object(inner)) => {
                let was_object = was_object(metadata.get(key), state, inner);
                let entry = metadata
                    .entry(key.clone())
                    .or_insert_with(|| Value::Object(Map::new()));
                if !was_object {
                    *entry = Value::Object(Map::new());
                }
                if let Value::Object(existing) = entry {
                    merge_metadata(existing, state, inner, now);
                }
            }
            (Some(_), value) => {
                metadata.insert(key.clone(), stamped(value, now));
            }
        }
    }
}

/// Whether existing metadata belongs to an object of the same members; a leaf's metadata is an
/// object too (`{"timestamp": s}`), so the keys decide.
fn was_object(
    existing: Option<&Value>,
    state: &Map<String, Value>,
    patch: &Map<String, Value>,
) -> bool {
    match existing {
        Some(Value::Object(members)) => members.iter().all(|(key, value)| {
            value.is_object_or_array() && (state.contains_key(key) || patch.contains_key(key))
        }),
        _ => false,
    }
}

trait Shape {
    fn is_object_or_array(&self) -> bool;
}

impl Shape for Value {
    fn is_object_or_array(&self) -> bool {
        self.is_object() || self.is_array()
    }
}

/// Members of `desired` that `reported` lacks or has otherwise; objects are compared member by
/// member, everything else as a whole.
pub(crate) fn delta(
    desired: &Map<String, Value>,
    reported: &Map<String, Value>,
) -> Map<String, Value> {
    let mut found = Map::new();
    for (key, wanted) in desired {
        match (wanted, reported.get(key)) {
            (Value::Object(wanted), Some(Value::Object(actual))) => {
                let inner = delta(wanted, actual);
                if !inner.is_empty() {
                    found.insert(key.clone(), inner.into());
                }
            }
            (wanted, Some(actual)) if wanted == actual => {}
            (wanted, _) => {
                found.insert(key.clone(), wanted.clone());
            }
        }
    }
    found
}

/// The part of `desired`'s metadata that belongs to a delta.
pub(crate) fn delta_metadata(
    delta: &Map<String, Value>,
    metadata: &Map<String, Value>,
) -> Map<String, Value> {
    let mut found = Map::new();
    for (key, value) in delta {
        let part = match (value, metadata.get(key)) {
            (Value::Object(inner), Some(Value::Object(known))) => {
                Value::Object(delta_metadata(inner, known))
            }
            (_, Some(known)) => known.clone(),
            (_, None) => continue,
        };
        found.insert(key.clone(), part);
    }
    found
}
