use super::*;
use proptest::prelude::*;
use serde_json::json;

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no map"),
    }
}

#[test]
fn keys_ignore_case_and_keep_their_first_spelling() {
    let mut tree = StampedTree::of(&map(json!({"RootPath": "/a"})), 1);
    tree.merge(&map(json!({"rootpath": "/b"})), 2);
    assert_eq!(tree.to_map(), map(json!({"RootPath": "/b"})));
    assert!(tree.get(&["ROOTPATH"]).is_some());
}

#[test]
fn an_older_time_does_not_win_but_a_change_of_shape_does() {
    let mut tree = StampedTree::of(&map(json!({"a": 1, "b": 2})), 10);
    let changes = tree.merge(&map(json!({"a": 5, "b": {"x": 1}})), 9);
    assert_eq!(tree.to_map(), map(json!({"a": 1, "b": {"x": 1}})));
    assert_eq!(changes.len(), 3, "removed, map added, set: {changes:?}");
}

#[test]
fn a_protected_child_survives_a_replace() {
    let mut tree = StampedTree::of(
        &map(json!({"main": {}, "A": {"runtime": {"x": 1}, "v": 1}})),
        1,
    );
    let keep = UpdateBehavior::merge(2);
    let behavior = UpdateBehavior::merge(2)
        .with_others(UpdateBehavior::replace(2).with_child("runtime", keep.clone()))
        .with_child("main", keep);
    tree.update(&[] as &[&str], &map(json!({"A": {"w": 2}})), &behavior);
    assert_eq!(
        tree.to_map(),
        map(json!({"A": {"runtime": {"x": 1}, "w": 2}, "main": {}}))
    );
}

fn value(keys: &'static str) -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0i64..3).prop_map(Value::from),
        Just(json!(1.0)),
        Just(json!([1, {"k": 2}])),
    ];
    leaf.prop_recursive(3, 12, 3, move |inner| {
        prop::collection::btree_map(keys, inner, 0..3)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn replayed_changes_give_the_same_tree(
        steps in prop::collection::vec((value("[abAB_]"), 0i64..4, any::<bool>()), 1..6)
    ) {
        let mut tree = StampedTree::new();
        let mut copy = StampedTree::new();
        for (value, time, replace) in steps {
            let Value::Object(map) = value else { continue };
            let changes = if replace { tree.replace(&map, time) } else { tree.merge(&map, time) };
            for change in &changes {
                let text = serde_json::to_string(change).expect("a change serialises");
                copy.replay(&serde_json::from_str(&text).expect("and comes back"));
            }
            prop_assert_eq!(&tree, &copy);
        }
        let mut again = StampedTree::new();
        for change in tree.as_changes() {
            again.replay(&change);
        }
        prop_assert_eq!(tree, again);
    }

    #[test]
    fn a_newer_replace_makes_the_tree_equal_to_the_map(
        first in value("[abAB_]"),
        second in value("[ab_]"),
    ) {
        let (Value::Object(first), Value::Object(second)) = (first, second) else { return Ok(()) };
        let mut tree = StampedTree::of(&first, 1);
        tree.replace(&second, 2);
        prop_assert_eq!(tree, StampedTree::of(&second, 2));
    }
}
