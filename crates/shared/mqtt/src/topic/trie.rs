//! Subscriptions by filter, one node a level.

use super::Parsed;
use std::collections::HashMap;

/// The subscriptions of many subscribers. `K` names a subscriber, `V` is what its subscription says.
#[derive(Debug)]
pub struct Trie<K, V> {
    root: Node<K, V>,
    len: usize,
}

#[derive(Debug)]
struct Node<K, V> {
    children: HashMap<Box<str>, Node<K, V>>,
    /// The child of `+`.
    plus: Option<Box<Node<K, V>>>,
    /// Subscriptions that end in `#` here.
    hash: Entries<K, V>,
    /// Subscriptions that end here.
    here: Entries<K, V>,
}

#[derive(Debug)]
struct Entries<K, V> {
    own: Vec<(K, V)>,
    shared: Vec<Group<K, V>>,
}

#[derive(Debug)]
struct Group<K, V> {
    name: Box<str>,
    members: Vec<(K, V)>,
    next: usize,
}

/// One subscription that covers a topic.
#[derive(Debug)]
pub enum Match<'a, K, V> {
    /// A subscriber's own.
    Own(&'a K, &'a V),
    /// A group: one of its members gets the message. The counter ascends with every match.
    Shared(&'a [(K, V)], usize),
}

impl<K, V> Default for Entries<K, V> {
    fn default() -> Self {
        Entries {
            own: Vec::new(),
            shared: Vec::new(),
        }
    }
}

impl<K, V> Entries<K, V> {
    fn is_empty(&self) -> bool {
        self.own.is_empty() && self.shared.is_empty()
    }

    fn visit(&mut self, visit: &mut impl FnMut(Match<'_, K, V>)) {
        for (key, value) in &self.own {
            visit(Match::Own(key, value));
        }
        for group in &mut self.shared {
            group.next = group.next.wrapping_add(1);
            visit(Match::Shared(&group.members, group.next));
        }
    }
}

impl<K: Copy + PartialEq, V> Entries<K, V> {
    fn list(&mut self, group: Option<&str>) -> &mut Vec<(K, V)> {
        let Some(name) = group else {
            return &mut self.own;
        };
        let index = match self.shared.iter().position(|group| *group.name == *name) {
            Some(index) => index,
            None => {
                self.shared.push(Group {
                    name: name.into(),
                    members: Vec::new(),
                    next: 0,
                });
                self.shared.len() - 1
            }
        };
        &mut self.shared[index].members
    }

    fn insert(&mut self, group: Option<&str>, key: K, value: V) -> Option<V> {
        let list = self.list(group);
        match list.iter_mut().find(|(known, _)| *known == key) {
            Some((_, old)) => Some(std::mem::replace(old, value)),
            None => {
                list.push((key, value));
                None
            }
        }
    }

    fn remove(&mut self, group: Option<&str>, key: K) -> Option<V> {
        let list = self.list(group);
        let found = list
            .iter()
            .position(|(known, _)| *known == key)
            .map(|index| list.swap_remove(index).1);
        self.shared.retain(|group| !group.members.is_empty());
        found
    }
}

impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Node {
            children: HashMap::new(),
            plus: None,
            hash: Entries::default(),
            here: Entries::default(),
        }
    }
}

impl<K, V> Node<K, V> {
    fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.plus.is_none()
            && self.hash.is_empty()
            && self.here.is_empty()
    }

    /// `rest` is what of the topic lies below this node; `None` when the topic ends here.
    fn visit(
        &mut self,
        rest: Option<&str>,
        wildcards: bool,
        visit: &mut impl FnMut(Match<'_, K, V>),
    ) {
        if wildcards {
            self.hash.visit(visit);
        }
        let Some(rest) = rest else {
            self.here.visit(visit);
            return;
        };
        let (level, below) = match rest.split_once('/') {
            Some((level, below)) => (level, Some(below)),
            None => (rest, None),
        };
        if let Some(child) = self.children.get_mut(level) {
            child.visit(below, true, visit);
        }
        if wildcards && let Some(plus) = &mut self.plus {
            plus.visit(below, true, visit);
        }
    }
}

impl<K: Copy + PartialEq, V> Node<K, V> {
    /// The entries at the end of a filter, made where missing.
    fn entries(&mut self, filter: &str) -> &mut Entries<K, V> {
        let mut node = self;
        for level in filter.split('/') {
            node = match level {
                "#" => return &mut node.hash,
                "+" => node.plus.get_or_insert_with(Box::default),
                name => {
                    if !node.children.contains_key(name) {
                        node.children.insert(name.into(), Node::default());
                    }
                    node.children
                        .get_mut(name)
                        .expect("it was inserted where it was missing")
                }
            };
        }
        &mut node.here
    }

    /// Removes a subscription and every node that it leaves empty.
    fn remove(&mut self, filter: Option<&str>, group: Option<&str>, key: K) -> Option<V> {
        let Some(filter) = filter else {
            return self.here.remove(group, key);
        };
        let (level, below) = match filter.split_once('/') {
            Some((level, below)) => (level, Some(below)),
            None => (filter, None),
        };
        match level {
            "#" => self.hash.remove(group, key),
            "+" => {
                let plus = self.plus.as_mut()?;
                let removed = plus.remove(below, group, key);
                if plus.is_empty() {
                    self.plus = None;
                }
                removed
            }
            name => {
                let child = self.children.get_mut(name)?;
                let removed = child.remove(below, group, key);
                if child.is_empty() {
                    self.children.remove(name);
                }
                removed
            }
        }
    }
}

impl<K, V> Default for Trie<K, V> {
    fn default() -> Self {
        Trie {
            root: Node::default(),
            len: 0,
        }
    }
}

impl<K: Copy + PartialEq, V> Trie<K, V> {
    /// An empty trie.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many subscriptions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds or replaces a subscription; the replaced one comes back.
    pub fn insert(&mut self, subscription: Parsed<'_>, key: K, value: V) -> Option<V> {
        let replaced =
            self.root
                .entries(subscription.filter)
                .insert(subscription.group, key, value);
        self.len += usize::from(replaced.is_none());
        replaced
    }

    /// Removes a subscription.
    pub fn remove(&mut self, subscription: Parsed<'_>, key: K) -> Option<V> {
        let removed = self
            .root
            .remove(Some(subscription.filter), subscription.group, key);
        self.len -= usize::from(removed.is_some());
        removed
    }

    /// Calls `visit` for every subscription that covers `topic`.
    pub fn visit(&mut self, topic: &str, mut visit: impl FnMut(Match<'_, K, V>)) {
        let wildcards = !topic.starts_with('$');
        self.root.visit(Some(topic), wildcards, &mut visit);
    }
}

#[cfg(test)]
impl<K, V> Trie<K, V> {
    /// Whether no node is left over.
    pub(super) fn root_is_empty(&self) -> bool {
        self.root.is_empty()
    }
}
