//! A tree of configuration in which every leaf knows when it was last set.
//!
//! [`StampedTree`] is the pure half of a core's configuration (core-device §5.1): maps with
//! case-insensitive keys (the first spelling is kept) and leaves that carry the time of their last
//! change. A leaf takes a value only if the time that comes with it is not older than its own;
//! a change of shape (leaf to map or back) ignores times, as does removal.
//!
//! Every mutation reports what it did as [`Change`]s, in order. Applying those changes to a copy of
//! the tree as it was before gives the tree as it is after, so a journal of changes is a whole
//! record of a tree ([`StampedTree::replay`]).
//!
//! Lists are leaves: they are replaced whole.

mod behavior;
mod change;
mod key;
#[cfg(test)]
mod tests;

pub use behavior::{UpdateBehavior, UpdateMode};
pub use change::Change;
pub use key::Key;

use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// A leaf: a value that is no map, and when it was last set.
#[derive(Clone, Debug, PartialEq)]
pub struct Leaf {
    /// Text, number, boolean, null or list.
    pub value: Value,
    /// Milliseconds since 1970; 1 for a default.
    pub modified_ms: i64,
}

/// What stands under a key.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A value.
    Leaf(Leaf),
    /// A map, perhaps empty.
    Map(StampedTree),
}

impl Node {
    /// The leaf, if this is one.
    #[must_use]
    pub fn as_leaf(&self) -> Option<&Leaf> {
        match self {
            Node::Leaf(leaf) => Some(leaf),
            Node::Map(_) => None,
        }
    }

    /// The map, if this is one.
    #[must_use]
    pub fn as_map(&self) -> Option<&StampedTree> {
        match self {
            Node::Map(map) => Some(map),
            Node::Leaf(_) => None,
        }
    }

    /// The plain value, private keys included.
    #[must_use]
    pub fn to_value(&self) -> Value {
        match self {
            Node::Leaf(leaf) => leaf.value.clone(),
            Node::Map(map) => Value::Object(map.to_map()),
        }
    }

    /// The newest time in this node; `None` for a map without leaves.
    #[must_use]
    pub fn newest_ms(&self) -> Option<i64> {
        match self {
            Node::Leaf(leaf) => Some(leaf.modified_ms),
            Node::Map(map) => map.children.values().filter_map(Node::newest_ms).max(),
        }
    }
}

/// A map of the tree; the root of a tree is one too.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StampedTree {
    children: BTreeMap<Key, Node>,
}

impl StampedTree {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A tree of a plain map in which every leaf has the same time.
    #[must_use]
    pub fn of(map: &Map<String, Value>, modified_ms: i64) -> Self {
        let mut tree = Self::new();
        tree.merge(map, modified_ms);
        tree
    }

    /// Whether there is no key at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.children.is_empty()
    }

    /// The children by key, sorted ignoring case.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Node)> {
        self.children
            .iter()
            .map(|(key, node)| (key.spelling(), node))
    }

    /// The node at a path, ignoring case; `None` for the empty path (that is the tree itself).
    #[must_use]
    pub fn get<K: AsRef<str>>(&self, path: &[K]) -> Option<&Node> {
        let (first, rest) = path.split_first()?;
        let node = self.children.get(&Key::new(first.as_ref()))?;
        if rest.is_empty() {
            return Some(node);
        }
        node.as_map()?.get(rest)
    }

    /// The map at a path; the tree itself for the empty path.
    #[must_use]
    pub fn get_map<K: AsRef<str>>(&self, path: &[K]) -> Option<&StampedTree> {
        if path.is_empty() {
            return Some(self);
        }
        self.get(path)?.as_map()
    }

    /// The plain value at a path; the whole tree for the empty path.
    #[must_use]
    pub fn value_at<K: AsRef<str>>(&self, path: &[K]) -> Option<Value> {
        if path.is_empty() {
            return Some(Value::Object(self.to_map()));
        }
        self.get(path).map(Node::to_value)
    }

    /// The plain map, keys sorted ignoring case, private keys (`_…`) included.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        self.iter()
            .map(|(key, node)| (key.to_owned(), node.to_value()))
            .collect()
    }

    /// The plain map without keys that begin with `_`, at every level of maps: what is shown,
    /// dumped and carried from one deployment to the next.
    #[must_use]
    pub fn to_public_map(&self) -> Map<String, Value> {
        self.iter()
            .filter(|(key, _)| !key.starts_with('_'))
            .map(|(key, node)| {
                let value = match node {
                    Node::Leaf(leaf) => leaf.value.clone(),
                    Node::Map(map) => Value::Object(map.to_public_map()),
                };
                (key.to_owned(), value)
            })
            .collect()
    }

    /// Every leaf with its path.
    #[must_use]
    pub fn leaves(&self) -> Vec<(Vec<String>, &Leaf)> {
        let mut found = Vec::new();
        self.collect_leaves(&mut Vec::new(), &mut found);
        found
    }

    fn collect_leaves<'a>(
        &'a self,
        path: &mut Vec<String>,
        found: &mut Vec<(Vec<String>, &'a Leaf)>,
    ) {
        for (key, node) in self.iter() {
            path.push(key.to_owned());
            match node {
                Node::Leaf(leaf) => found.push((path.clone(), leaf)),
                Node::Map(map) => map.collect_leaves(path, found),
            }
            path.pop();
        }
    }

    /// Merges a map at the root: missing keys stay. Returns what changed.
    pub fn merge(&mut self, map: &Map<String, Value>, timestamp_ms: i64) -> Vec<Change> {
        self.update(&[] as &[&str], map, &UpdateBehavior::merge(timestamp_ms))
    }

    /// Makes the root equal to a map (times permitting): missing keys are removed.
    pub fn replace(&mut self, map: &Map<String, Value>, timestamp_ms: i64) -> Vec<Change> {
        self.update(&[] as &[&str], map, &UpdateBehavior::replace(timestamp_ms))
    }

    /// Updates the map at a path, creating it and its parents where they are missing.
    pub fn update<K: AsRef<str>>(
        &mut self,
        path: &[K],
        map: &Map<String, Value>,
        behavior: &UpdateBehavior,
    ) -> Vec<Change> {
        let mut changes = Vec::new();
        let mut at = Vec::new();
        let target = self.make_map(path, behavior.timestamp_ms, &mut at, &mut changes);
        target.update_children(map, behavior, &mut at, &mut changes);
        changes
    }

    /// Sets one value: a leaf, or (for a JSON object) a map by merging.
    ///
    /// The empty path merges an object into the root and ignores anything else.
    pub fn set<K: AsRef<str>>(
        &mut self,
        path: &[K],
        value: &Value,
        timestamp_ms: i64,
    ) -> Vec<Change> {
        let behavior = UpdateBehavior::merge(timestamp_ms);
        let mut changes = Vec::new();
        let Some((last, parents)) = path.split_last() else {
            if let Value::Object(map) = value {
                self.update_children(map, &behavior, &mut Vec::new(), &mut changes);
            }
            return changes;
        };
        let mut at = Vec::new();
        let parent = self.make_map(parents, timestamp_ms, &mut at, &mut changes);
        parent.update_child(last.as_ref(), value, &behavior, &mut at, &mut changes);
        changes
    }

    /// Removes the node at a path whatever its time is; `None` if nothing was there.
    pub fn remove<K: AsRef<str>>(&mut self, path: &[K], timestamp_ms: i64) -> Option<Change> {
        let (last, parents) = path.split_last()?;
        let mut at = Vec::new();
        let mut map = self;
        for key in parents {
            let (spelled, node) = map.entry_mut(key.as_ref())?;
            at.push(spelled);
            map = match node {
                Node::Map(inner) => inner,
                Node::Leaf(_) => return None,
            };
        }
        let (key, _) = map.children.remove_entry(&Key::new(last.as_ref()))?;
        at.push(key.spelling().to_owned());
        Some(Change::Removed {
            path: at,
            timestamp_ms,
        })
    }

    /// Does one recorded change again, without looking at times.
    pub fn replay(&mut self, change: &Change) {
        let mut unused = (Vec::new(), Vec::new());
        match change {
            Change::Set {
                path,
                value,
                timestamp_ms,
            } => {
                let Some((last, parents)) = path.split_last() else {
                    return;
                };
                let parent = self.make_map(parents, *timestamp_ms, &mut unused.0, &mut unused.1);
                parent.put(
                    last,
                    Node::Leaf(Leaf {
                        value: value.clone(),
                        modified_ms: *timestamp_ms,
                    }),
                );
            }
            Change::Touched { path, timestamp_ms } => {
                if let Some(Node::Leaf(leaf)) = self.get_mut(path) {
                    leaf.modified_ms = *timestamp_ms;
                }
            }
            Change::MapAdded { path, timestamp_ms } => {
                self.make_map(path, *timestamp_ms, &mut unused.0, &mut unused.1);
            }
            Change::Removed { path, timestamp_ms } => {
                self.remove(path, *timestamp_ms);
            }
        }
    }

    /// The changes that make this tree out of an empty one.
    #[must_use]
    pub fn as_changes(&self) -> Vec<Change> {
        let mut changes = Vec::new();
        self.collect_changes(&mut Vec::new(), &mut changes);
        changes
    }

    fn collect_changes(&self, path: &mut Vec<String>, changes: &mut Vec<Change>) {
        for (key, node) in self.iter() {
            path.push(key.to_owned());
            match node {
                Node::Leaf(leaf) => changes.push(Change::Set {
                    path: path.clone(),
                    value: leaf.value.clone(),
                    timestamp_ms: leaf.modified_ms,
                }),
                Node::Map(map) => {
                    if map.is_empty() {
                        changes.push(Change::MapAdded {
                            path: path.clone(),
                            timestamp_ms: 0,
                        });
                    }
                    map.collect_changes(path, changes);
                }
            }
            path.pop();
        }
    }

    /// Removes keys that begin with `_`, at every level of maps.
    pub fn remove_private_keys(&mut self) {
        self.children
            .retain(|key, _| !key.spelling().starts_with('_'));
        for node in self.children.values_mut() {
            if let Node::Map(map) = node {
                map.remove_private_keys();
            }
        }
    }

    fn get_mut(&mut self, path: &[String]) -> Option<&mut Node> {
        let (first, rest) = path.split_first()?;
        let node = self.children.get_mut(&Key::new(first))?;
        if rest.is_empty() {
            return Some(node);
        }
        match node {
            Node::Map(map) => map.get_mut(rest),
            Node::Leaf(_) => None,
        }
    }

    fn entry_mut(&mut self, key: &str) -> Option<(String, &mut Node)> {
        let key = Key::new(key);
        let spelled = self
            .children
            .get_key_value(&key)
            .map(|(stored, _)| stored.spelling().to_owned())?;
        self.children.get_mut(&key).map(|node| (spelled, node))
    }

    /// Puts a node under a key; the spelling of an existing key stays.
    fn put(&mut self, key: &str, node: Node) {
        self.children.insert(Key::new(key), node);
    }

    /// Walks to the map at a path, making maps on the way; leaves on the way give way.
    fn make_map<K: AsRef<str>>(
        &mut self,
        path: &[K],
        timestamp_ms: i64,
        at: &mut Vec<String>,
        changes: &mut Vec<Change>,
    ) -> &mut StampedTree {
        let mut map = self;
        for key in path {
            map = map.child_map(key.as_ref(), timestamp_ms, at, changes);
        }
        map
    }

    /// The child map under a key, made where it is missing; pushes the key's spelling to `at`.
    fn child_map(
        &mut self,
        key: &str,
        timestamp_ms: i64,
        at: &mut Vec<String>,
        changes: &mut Vec<Change>,
    ) -> &mut StampedTree {
        let wanted = Key::new(key);
        let is_leaf = matches!(self.children.get(&wanted), Some(Node::Leaf(_)));
        if is_leaf && let Some((old, _)) = self.children.remove_entry(&wanted) {
            at.push(old.spelling().to_owned());
            changes.push(Change::Removed {
                path: at.clone(),
                timestamp_ms,
            });
            at.pop();
        }
        match self.children.get_key_value(&wanted) {
            Some((stored, _)) => at.push(stored.spelling().to_owned()),
            None => {
                at.push(key.to_owned());
                changes.push(Change::MapAdded {
                    path: at.clone(),
                    timestamp_ms,
                });
            }
        }
        let node = self
            .children
            .entry(wanted)
            .or_insert_with(|| Node::Map(StampedTree::new()));
        match node {
            Node::Map(map) => map,
            Node::Leaf(_) => unreachable!("a leaf under this key was removed above"),
        }
    }

    fn update_children(
        &mut self,
        map: &Map<String, Value>,
        behavior: &UpdateBehavior,
        at: &mut Vec<String>,
        changes: &mut Vec<Change>,
    ) {
        let mut gone: BTreeSet<Key> = self.children.keys().cloned().collect();
        for (key, value) in map {
            gone.remove(&Key::new(key));
            self.update_child(key, value, behavior.of_child(key), at, changes);
        }
        for key in gone {
            let child = behavior.of_child(key.spelling());
            if child.mode == UpdateMode::Replace {
                self.children.remove(&key);
                at.push(key.spelling().to_owned());
                changes.push(Change::Removed {
                    path: at.clone(),
                    timestamp_ms: child.timestamp_ms,
                });
                at.pop();
            }
        }
    }

    fn update_child(
        &mut self,
        key: &str,
        value: &Value,
        behavior: &UpdateBehavior,
        at: &mut Vec<String>,
        changes: &mut Vec<Change>,
    ) {
        if let Value::Object(map) = value {
            let depth = at.len();
            let child = self.child_map(key, behavior.timestamp_ms, at, changes);
            child.update_children(map, behavior, at, changes);
            at.truncate(depth);
            return;
        }
        self.update_leaf(key, value, behavior, at, changes);
    }

    fn update_leaf(
        &mut self,
        key: &str,
        value: &Value,
        behavior: &UpdateBehavior,
        at: &mut Vec<String>,
        changes: &mut Vec<Change>,
    ) {
        let timestamp_ms = behavior.timestamp_ms;
        let wanted = Key::new(key);
        let spelled = self
            .children
            .get_key_value(&wanted)
            .map_or(key, |(stored, _)| stored.spelling())
            .to_owned();
        at.push(spelled);
        let path = || at.clone();
        match self.children.get_mut(&wanted) {
            Some(Node::Leaf(leaf)) => {
                let older = timestamp_ms < leaf.modified_ms && !behavior.force;
                if leaf.value == *value {
                    if timestamp_ms != leaf.modified_ms && !older {
                        leaf.modified_ms = timestamp_ms;
                        changes.push(Change::Touched {
                            path: path(),
                            timestamp_ms,
                        });
                    }
                } else if !older {
                    leaf.value = value.clone();
                    leaf.modified_ms = timestamp_ms;
                    changes.push(Change::Set {
                        path: path(),
                        value: value.clone(),
                        timestamp_ms,
                    });
                }
            }
            existing => {
                if existing.is_some() {
                    changes.push(Change::Removed {
                        path: path(),
                        timestamp_ms,
                    });
                    self.children.remove(&wanted);
                }
                changes.push(Change::Set {
                    path: path(),
                    value: value.clone(),
                    timestamp_ms,
                });
                self.put(
                    key,
                    Node::Leaf(Leaf {
                        value: value.clone(),
                        modified_ms: timestamp_ms,
                    }),
                );
            }
        }
        at.pop();
    }
}
