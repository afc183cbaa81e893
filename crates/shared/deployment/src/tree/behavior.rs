//! How an update treats keys it does not name, and the time it brings, per subtree.

use super::Key;
use std::collections::BTreeMap;

/// What happens to keys that an update does not name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateMode {
    /// They stay.
    Merge,
    /// They go.
    Replace,
}

/// The behaviour of an update at one node, with exceptions below it.
///
/// A key that an update does not name is kept or removed by the mode of *its own* behaviour, so
/// `replace` with a `merge` child keeps that child.
#[derive(Clone, Debug, PartialEq)]
pub struct UpdateBehavior {
    /// Keep or remove what is not named.
    pub mode: UpdateMode,
    /// The time that leaves get, in ms; older leaves only.
    pub timestamp_ms: i64,
    /// Set leaves even where they are newer than the time that comes (a rollback does).
    pub force: bool,
    children: BTreeMap<Key, UpdateBehavior>,
    others: Option<Box<UpdateBehavior>>,
}

impl UpdateBehavior {
    /// Keys not named stay, all the way down.
    #[must_use]
    pub fn merge(timestamp_ms: i64) -> Self {
        Self::new(UpdateMode::Merge, timestamp_ms)
    }

    /// Keys not named are removed, all the way down.
    #[must_use]
    pub fn replace(timestamp_ms: i64) -> Self {
        Self::new(UpdateMode::Replace, timestamp_ms)
    }

    fn new(mode: UpdateMode, timestamp_ms: i64) -> Self {
        UpdateBehavior {
            mode,
            timestamp_ms,
            force: false,
            children: BTreeMap::new(),
            others: None,
        }
    }

    /// Sets leaves whatever their time is.
    #[must_use]
    pub fn forced(mut self) -> Self {
        self.force = true;
        self
    }

    /// Another behaviour for the child of this name.
    #[must_use]
    pub fn with_child(mut self, key: &str, behavior: UpdateBehavior) -> Self {
        self.children.insert(Key::new(key), behavior);
        self
    }

    /// Another behaviour for all children that have none of their own.
    #[must_use]
    pub fn with_others(mut self, behavior: UpdateBehavior) -> Self {
        self.others = Some(Box::new(behavior));
        self
    }

    /// The behaviour that holds for a child; this one where nothing else is said.
    #[must_use]
    pub fn of_child(&self, key: &str) -> &UpdateBehavior {
        self.children
            .get(&Key::new(key))
            .or(self.others.as_deref())
            .unwrap_or(self)
    }
}
