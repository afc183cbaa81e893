//! Which subscriptions a topic reaches, by the nucleus's rules for local topics.
//!
//! They are not MQTT's: `a/#` does not match `a`, a `#` that is not last matches one level,
//! trailing empty levels do not count, and `$` is a letter like any other.

use std::collections::HashMap;
use sward_policy::topic::local_levels;

/// A tree of levels with the subscriptions that end at each.
#[derive(Debug)]
pub(crate) struct Trie<T> {
    root: Node<T>,
}

#[derive(Debug)]
struct Node<T> {
    children: HashMap<Box<str>, Node<T>>,
    /// `+`, and `#` before the last level.
    any_level: Option<Box<Node<T>>>,
    /// Filters that end here.
    here: Vec<T>,
    /// Filters that go on with a last `#`.
    below: Vec<T>,
}

impl<T> Default for Node<T> {
    fn default() -> Self {
        Node {
            children: HashMap::new(),
            any_level: None,
            here: Vec::new(),
            below: Vec::new(),
        }
    }
}

impl<T> Default for Trie<T> {
    fn default() -> Self {
        Trie {
            root: Node::default(),
        }
    }
}

impl<T> Trie<T> {
    /// Adds a subscription.
    pub(crate) fn insert(&mut self, filter: &str, value: T) {
        let mut levels = local_levels(filter).peekable();
        if levels.peek().is_none() {
            // Slashes only: accepted, and matches nothing.
            return;
        }
        let mut node = &mut self.root;
        while let Some(level) = levels.next() {
            if level == "#" && levels.peek().is_none() {
                node.below.push(value);
                return;
            }
            node = if level == "+" || level == "#" {
                node.any_level.get_or_insert_default()
            } else {
                node.children.entry(level.into()).or_default()
            };
        }
        node.here.push(value);
    }

    /// Takes the subscriptions out of which `is_gone` holds, and the nodes that hold none then.
    pub(crate) fn remove(&mut self, filter: &str, is_gone: impl Fn(&T) -> bool) {
        let levels: Vec<&str> = local_levels(filter).collect();
        self.root.remove(&levels, &is_gone);
    }

    /// Calls `found` for every subscription that the topic reaches.
    pub(crate) fn matches<'t>(&'t self, topic: &str, mut found: impl FnMut(&'t T)) {
        let levels: Vec<&str> = local_levels(topic).collect();
        if !levels.is_empty() {
            self.root.matches(&levels, &mut found);
        }
    }
}

impl<T> Node<T> {
    fn is_empty(&self) -> bool {
        self.children.is_empty()
            && self.any_level.is_none()
            && self.here.is_empty()
            && self.below.is_empty()
    }

    fn remove(&mut self, levels: &[&str], is_gone: &impl Fn(&T) -> bool) {
        match levels {
            [] => self.here.retain(|value| !is_gone(value)),
            ["#"] => self.below.retain(|value| !is_gone(value)),
            ["+" | "#", rest @ ..] => {
                if let Some(node) = &mut self.any_level {
                    node.remove(rest, is_gone);
                    if node.is_empty() {
                        self.any_level = None;
                    }
                }
            }
            [level, rest @ ..] => {
                if let Some(node) = self.children.get_mut(*level) {
                    node.remove(rest, is_gone);
                    if node.is_empty() {
                        self.children.remove(*level);
                    }
                }
            }
        }
    }

    fn matches<'t>(&'t self, levels: &[&str], found: &mut impl FnMut(&'t T)) {
        let [level, rest @ ..] = levels else {
            self.here.iter().for_each(found);
            return;
        };
        self.below.iter().for_each(&mut *found);
        if let Some(node) = &self.any_level {
            node.matches(rest, found);
        }
        if let Some(node) = self.children.get(*level) {
            node.matches(rest, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use sward_policy::topic::local_matches;

    #[expect(clippy::print_stdout, reason = "says what was not tested")]
    fn golden(file: &str) -> Option<String> {
        let path = format!(
            "{}/../../../../shared/golden/{file}",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(&path).ok();
        if text.is_none() {
            println!("passed over: {path} is not there");
        }
        text
    }

    #[test]
    fn filters_reach_what_the_nucleus_says() {
        let (Some(topics), Some(cases)) = (
            golden("topic_filters_topics.json"),
            golden("topic_filters.jsonl"),
        ) else {
            return;
        };
        let topics: Vec<String> = serde_json::from_str(&topics).expect("a list of topics");
        for line in cases.lines() {
            let case: Value = serde_json::from_str(line).expect("a case");
            let filter = case["filter"].as_str().expect("a filter");
            let mut trie = Trie::default();
            trie.insert(filter, ());
            let found: Vec<&str> = topics
                .iter()
                .map(String::as_str)
                .filter(|topic| {
                    let mut hit = false;
                    trie.matches(topic, |()| hit = true);
                    hit
                })
                .collect();
            assert_eq!(Value::from(found), case["localMatches"], "{filter:?}");
            trie.remove(filter, |()| true);
            assert!(trie.root.is_empty(), "{filter:?} leaves something behind");
        }
    }

    #[test]
    fn removing_one_of_two_leaves_the_other() {
        let mut trie = Trie::default();
        trie.insert("a/+", 1);
        trie.insert("a/+", 2);
        trie.insert("a/b", 3);
        trie.remove("a/+", |value| *value == 1);
        let mut found = Vec::new();
        trie.matches("a/b", |value| found.push(*value));
        found.sort_unstable();
        assert_eq!(found, [2, 3]);
    }

    fn names() -> impl Strategy<Value = String> {
        let level = prop_oneof![
            Just("a"),
            Just("b"),
            Just("+"),
            Just("#"),
            Just(""),
            Just("a+"),
            Just("$x")
        ];
        prop::collection::vec(level, 0..5).prop_map(|levels| levels.join("/"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        /// The model is a list of filters that is asked one by one.
        #[test]
        fn the_tree_finds_what_a_list_of_filters_finds(
            steps in prop::collection::vec((names(), any::<bool>()), 1..20),
            topics in prop::collection::vec(names(), 1..10),
        ) {
            let mut trie = Trie::default();
            let mut list: Vec<(String, usize)> = Vec::new();
            for (number, (filter, is_added)) in steps.into_iter().enumerate() {
                if is_added || list.is_empty() {
                    trie.insert(&filter, number);
                    list.push((filter, number));
                } else {
                    let (filter, removed) = list.remove(number % list.len());
                    trie.remove(&filter, |value| *value == removed);
                }
                for topic in &topics {
                    let mut found = Vec::new();
                    trie.matches(topic, |value| found.push(*value));
                    found.sort_unstable();
                    let expected: Vec<usize> = list
                        .iter()
                        .filter(|(filter, _)| local_matches(filter, topic))
                        .map(|(_, number)| *number)
                        .collect();
                    prop_assert_eq!(found, expected, "{}", topic);
                }
            }
        }
    }
}
