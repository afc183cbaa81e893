use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

#[test]
fn filters_cover_topics_as_the_standard_says() {
    let check = |filter: &str, topic: &str, expected: bool| {
        assert_eq!(matches(filter, topic), expected, "{filter} {topic}");
        let mut trie = Trie::new();
        trie.insert(parse_subscription(filter).expect("a filter"), 1, ());
        let mut found = false;
        trie.visit(topic, |_| found = true);
        assert_eq!(found, expected, "trie: {filter} {topic}");
    };
    for (filter, topic, expected) in [
        ("a/b", "a/b", true),
        ("a/b", "a/b/", false),
        ("a/+", "a/b", true),
        ("a/+", "a/", true),
        ("a/+", "a", false),
        ("a/+", "a/b/c", false),
        ("a/#", "a", true),
        ("a/#", "a/b/c", true),
        ("#", "a/b", true),
        ("#", "/", true),
        ("+/+", "/", true),
        ("+", "/", false),
        ("/+", "/x", true),
        ("#", "$SYS/x", false),
        ("+/x", "$SYS/x", false),
        ("$SYS/#", "$SYS/x", true),
        ("$SYS/+", "$SYS/x", true),
        ("$aws/things/+/shadow/#", "$aws/things/T/shadow", true),
        ("a//b", "a//b", true),
        ("a/+/b", "a//b", true),
    ] {
        check(filter, topic, expected);
    }
}

#[test]
fn invalid_filters_and_topics_are_refused() {
    for filter in [
        "",
        "a#",
        "a/#/b",
        "+a",
        "a/b+",
        "#/",
        "a\0",
        "$share/g",
        "$share//a",
        "$share/g+/a",
    ] {
        assert!(parse_subscription(filter).is_none(), "{filter:?}");
    }
    assert!(parse_subscription(&"a/".repeat(5000)).is_none());
    for topic in ["", "a/+", "#", "a\0"] {
        assert!(!is_valid_topic(topic), "{topic:?}");
    }
    assert_eq!(
        parse_subscription("$share/g/a/+"),
        Some(Parsed {
            group: Some("g"),
            filter: "a/+"
        })
    );
}

#[test]
fn a_group_takes_turns() {
    let mut trie = Trie::new();
    for member in 1..=3 {
        trie.insert(parse_subscription("$share/g/a").expect("ok"), member, ());
    }
    let mut taken = Vec::new();
    for _ in 0..6 {
        trie.visit("a", |found| {
            if let Match::Shared(members, turn) = found {
                taken.push(members[turn % members.len()].0);
            }
        });
    }
    taken.sort_unstable();
    assert_eq!(taken, [1, 1, 2, 2, 3, 3]);
}

fn level() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[ab]{0,1}".prop_map(String::from),
        1 => Just("+".to_owned()),
        1 => Just("$x".to_owned()),
    ]
}

fn filter() -> impl Strategy<Value = String> {
    (
        prop::collection::vec(level(), 1..5),
        any::<bool>(),
        prop::option::of("[gh]"),
    )
        .prop_map(|(levels, hash, group)| {
            let mut text = levels.join("/");
            if hash {
                text.push_str("/#");
            }
            match group {
                Some(group) if !text.is_empty() => format!("$share/{group}/{text}"),
                _ => text,
            }
        })
}

fn topic() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![3 => "[ab]{0,1}".prop_map(String::from), 1 => Just("$x".to_owned())],
        1..5,
    )
    .prop_map(|levels| levels.join("/"))
}

proptest! {
    /// The trie answers as a plain list of filters does, whatever was added and removed.
    #[test]
    fn the_trie_is_a_list(
        steps in prop::collection::vec((any::<bool>(), filter(), 0u8..4), 0..60),
        topics in prop::collection::vec(topic(), 1..8),
    ) {
        let mut trie = Trie::new();
        let mut list: BTreeSet<(String, u8)> = BTreeSet::new();
        for (add, filter, key) in steps {
            let Some(parsed) = parse_subscription(&filter) else { continue };
            if add {
                let replaced = trie.insert(parsed, key, ()).is_some();
                prop_assert_eq!(replaced, !list.insert((filter, key)));
            } else {
                let removed = trie.remove(parsed, key).is_some();
                prop_assert_eq!(removed, list.remove(&(filter, key)));
            }
            prop_assert_eq!(trie.len(), list.len());
        }
        for topic in topics {
            let mut expected: Vec<u8> = Vec::new();
            let mut groups: BTreeSet<String> = BTreeSet::new();
            for (filter, key) in &list {
                let parsed = parse_subscription(filter).expect("it was added");
                if matches(parsed.filter, &topic) {
                    match parsed.group {
                        None => expected.push(*key),
                        Some(_) => { groups.insert(filter.clone()); }
                    }
                }
            }
            expected.sort_unstable();
            let (mut own, mut shared) = (Vec::new(), 0);
            trie.visit(&topic, |found| match found {
                Match::Own(key, ()) => own.push(*key),
                Match::Shared(members, _) => { assert!(!members.is_empty()); shared += 1; }
            });
            own.sort_unstable();
            prop_assert_eq!(own, expected, "{}", topic);
            prop_assert_eq!(shared, groups.len(), "{}", topic);
        }
        for (filter, key) in &list {
            trie.remove(parse_subscription(filter).expect("it was added"), *key);
        }
        prop_assert!(trie.is_empty());
        prop_assert!(trie.root_is_empty());
    }
}
