//! Which keys differ between two trees.

use crate::tree::{Node, StampedTree};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fmt;

/// One key with its value before and after; a missing side means it is not there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KeyChange {
    pub path: Vec<String>,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.join("/");
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "/{path}: set to {after}"),
            (Some(before), None) => write!(f, "/{path}: removed (was {before})"),
            (Some(before), Some(after)) => write!(f, "/{path}: {before} becomes {after}"),
            (None, None) => write!(f, "/{path}"),
        }
    }
}

/// The smallest set of nodes that differ, ignoring times, the case of keys and private keys.
pub(super) fn differences(before: &StampedTree, after: &StampedTree) -> Vec<KeyChange> {
    let mut found = Vec::new();
    walk(before, after, &mut Vec::new(), &mut found);
    found
}

fn walk(
    before: &StampedTree,
    after: &StampedTree,
    path: &mut Vec<String>,
    found: &mut Vec<KeyChange>,
) {
    for (key, new) in after.iter().filter(|(key, _)| !key.starts_with('_')) {
        path.push(key.to_owned());
        match (before.get(&[key]), new) {
            (Some(Node::Map(old)), Node::Map(new)) => walk(old, new, path, found),
            (Some(Node::Leaf(old)), Node::Leaf(new)) if old.value == new.value => {}
            (old, new) => found.push(KeyChange {
                path: path.clone(),
                before: old.map(Node::to_value),
                after: Some(new.to_value()),
            }),
        }
        path.pop();
    }
    for (key, old) in before.iter().filter(|(key, _)| !key.starts_with('_')) {
        if after.get(&[key]).is_none() {
            path.push(key.to_owned());
            found.push(KeyChange {
                path: path.clone(),
                before: Some(old.to_value()),
                after: None,
            });
            path.pop();
        }
    }
}
