//! The service's answers, and the documents behind them.

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use sward_shadow::topic::{ShadowName, is_valid_name};
use sward_shadow::{Limits, Operation, Outcome, Section, Slot, Suffix, handle};

fn send(slot: &mut Option<Slot>, operation: Operation, body: &Value, now: u64) -> Outcome {
    let payload = serde_json::to_vec(body).expect("a value serialises");
    let outcome = handle(operation, slot.as_ref(), "s", &payload, now, &Limits::CLOUD);
    if let Some(next) = &outcome.slot {
        *slot = Some(next.clone());
    }
    outcome
}

fn update(slot: &mut Option<Slot>, state: Value, now: u64) -> Outcome {
    send(slot, Operation::Update, &json!({ "state": state }), now)
}

fn state(slot: &Option<Slot>) -> Value {
    let got = send(&mut slot.clone(), Operation::Get, &json!({}), 99);
    got.answer()["state"].clone()
}

#[test]
fn merging() {
    for (before, patch, after) in [
        (
            json!({}),
            json!({"desired": {"a": 1}}),
            json!({"desired": {"a": 1}, "delta": {"a": 1}}),
        ),
        (
            json!({"reported": {"a": {"b": 1, "c": 2}}}),
            json!({"reported": {"a": {"b": null}}}),
            json!({"reported": {"a": {"c": 2}}}),
        ),
        (
            json!({"reported": {"a": {"b": 1}}}),
            json!({"reported": {"a": {"b": null}}}),
            json!({"reported": {"a": {}}}),
        ),
        (
            json!({"reported": {"a": 1}}),
            json!({"reported": {"a": null}}),
            json!({}),
        ),
        (
            json!({"reported": {"a": [1, 2]}}),
            json!({"reported": {"a": [3]}}),
            json!({"reported": {"a": [3]}}),
        ),
        (
            json!({"reported": {"a": 1}}),
            json!({"reported": {"a": {"b": 1, "c": null}}}),
            json!({"reported": {"a": {"b": 1}}}),
        ),
        (
            json!({"reported": {"x": 1}}),
            json!({"reported": {"a": {"b": null}}}),
            json!({"reported": {"x": 1}}),
        ),
        (
            json!({"reported": {"x": 1}}),
            json!({"reported": {"a": {}}}),
            json!({"reported": {"x": 1, "a": {}}}),
        ),
        (
            json!({"desired": {"x": 1}, "reported": {"x": 1}}),
            json!({"desired": null}),
            json!({"reported": {"x": 1}}),
        ),
        (
            json!({"desired": {"x": 1}, "reported": {"x": 1}}),
            Value::Null,
            json!({}),
        ),
    ] {
        let mut slot = None;
        update(&mut slot, before.clone(), 1);
        let outcome = update(&mut slot, patch.clone(), 2);
        assert_eq!(outcome.rejection, None);
        assert_eq!(outcome.answer()["state"], patch);
        assert_eq!(outcome.answer()["version"], 2);
        assert_eq!(state(&slot), after, "{before} + {patch}");
    }
}

#[test]
fn the_delta_holds_what_desired_has_and_reported_lacks() {
    for (desired, reported, delta) in [
        (json!({"a": 1}), json!({"a": 1, "b": 2}), None),
        (json!({"a": 1}), json!({"a": 1.0}), Some(json!({"a": 1}))),
        (
            json!({"a": {"b": 1, "c": 2}}),
            json!({"a": {"b": 1, "c": 3}}),
            Some(json!({"a": {"c": 2}})),
        ),
        (
            json!({"a": [1, 2]}),
            json!({"a": [2, 1]}),
            Some(json!({"a": [1, 2]})),
        ),
        (
            json!({"a": {"b": 1}}),
            json!({"a": 5}),
            Some(json!({"a": {"b": 1}})),
        ),
    ] {
        let mut slot = None;
        update(&mut slot, json!({"desired": desired}), 5);
        let outcome = update(&mut slot, json!({"reported": reported}), 6);
        let sent = outcome
            .publications
            .iter()
            .find(|p| p.suffix == Suffix::Delta);
        assert_eq!(sent.map(|p| p.body["state"].clone()), delta);
        if let Some(sent) = sent {
            assert!(
                sent.body["metadata"]
                    .to_string()
                    .contains("\"timestamp\":5")
            );
        }
    }
}

#[test]
fn a_conversation() {
    let mut slot = None;
    let missing = send(&mut slot, Operation::Get, &json!({"clientToken": "t"}), 10);
    assert_eq!(
        *missing.answer(),
        json!({"code": 404, "message": "No shadow exists with name: 's'", "timestamp": 10, "clientToken": "t"})
    );
    let first = send(
        &mut slot,
        Operation::Update,
        &json!({"state": {"desired": {"on": true}, "reported": {"old": null}}, "version": 0, "clientToken": "u", "thingName": "x"}),
        11,
    );
    assert_eq!(
        *first.answer(),
        json!({"state": {"desired": {"on": true}, "reported": {"old": null}},
            "metadata": {"desired": {"on": {"timestamp": 11}}, "reported": {"old": {"timestamp": 11}}},
            "version": 1, "timestamp": 11, "clientToken": "u"})
    );
    let kinds: Vec<_> = first.publications.iter().map(|p| p.suffix).collect();
    assert_eq!(kinds, [Suffix::Accepted, Suffix::Delta, Suffix::Documents]);
    assert_eq!(
        first.publications[2].body,
        json!({"previous": null, "current": {"state": {"desired": {"on": true}},
            "metadata": {"desired": {"on": {"timestamp": 11}}}, "version": 1}, "timestamp": 11, "clientToken": "u"})
    );
    let got = send(&mut slot, Operation::Get, &json!({}), 12);
    assert_eq!(
        *got.answer(),
        json!({"state": {"desired": {"on": true}, "delta": {"on": true}},
            "metadata": {"desired": {"on": {"timestamp": 11}}}, "version": 1, "timestamp": 12})
    );
    let conflict = send(
        &mut slot,
        Operation::Update,
        &json!({"state": {}, "version": 7}),
        13,
    );
    assert_eq!(conflict.answer()["code"], 409);
    let deleted = send(
        &mut slot,
        Operation::Delete,
        &json!({"clientToken": "d"}),
        14,
    );
    assert_eq!(
        *deleted.answer(),
        json!({"version": 1, "timestamp": 14, "clientToken": "d"})
    );
    assert_eq!(
        send(&mut slot, Operation::Get, &json!({}), 15).answer()["code"],
        404
    );
    assert_eq!(
        send(&mut slot, Operation::Delete, &json!({}), 15).answer()["code"],
        404
    );
    assert_eq!(
        update(&mut slot, json!({"reported": {"a": 1}}), 16).answer()["version"],
        3
    );
    send(&mut slot, Operation::Delete, &json!({}), 17);
    let later = 17 + 48 * 3600 + 1;
    assert_eq!(
        update(&mut slot, json!({"reported": {"a": 1}}), later).answer()["version"],
        1
    );
}

#[test]
fn rejections() {
    let deep = |n: usize| (0..n).fold(json!(1), |inner, _| json!({ "k": inner }));
    let big = "x".repeat(8_190);
    for (payload, limits, code, message) in [
        ("", Limits::CLOUD, 400, "Invalid JSON"),
        ("[]", Limits::CLOUD, 400, "Invalid JSON"),
        ("{", Limits::CLOUD, 400, "Invalid JSON"),
        ("{}", Limits::CLOUD, 400, "Missing required node: state"),
        (
            r#"{"state":1}"#,
            Limits::CLOUD,
            400,
            "State node must be an object",
        ),
        (
            r#"{"state":{"desired":1}}"#,
            Limits::CLOUD,
            400,
            "Desired node must be an object",
        ),
        (
            r#"{"state":{"reported":[]}}"#,
            Limits::CLOUD,
            400,
            "Reported node must be an object",
        ),
        (
            r#"{"state":{"else":{}}}"#,
            Limits::CLOUD,
            400,
            "State contains an invalid node: 'else'",
        ),
        (
            r#"{"state":{},"version":"1"}"#,
            Limits::CLOUD,
            400,
            "Invalid version",
        ),
        (
            r#"{"state":{},"version":-1}"#,
            Limits::CLOUD,
            400,
            "Invalid version",
        ),
        (
            r#"{"state":{},"version":5}"#,
            Limits::CLOUD,
            409,
            "Version conflict",
        ),
        (
            r#"{"state":{},"version":5}"#,
            Limits::LOCAL,
            400,
            "Invalid version",
        ),
        (
            r#"{"state":{},"version":0}"#,
            Limits::LOCAL,
            400,
            "Invalid version",
        ),
        (
            r#"{"state":{},"clientToken":5}"#,
            Limits::CLOUD,
            400,
            "Invalid clientToken",
        ),
        (
            &json!({"state": {"desired": deep(7)}}).to_string(),
            Limits::LOCAL,
            400,
            "JSON contains too many levels of nesting; maximum is 6",
        ),
        (
            &json!({"state": {"desired": deep(9)}}).to_string(),
            Limits::CLOUD,
            400,
            "JSON contains too many levels of nesting; maximum is 8",
        ),
        (
            &json!({"state": {"desired": {"a": big}}}).to_string(),
            Limits::CLOUD,
            413,
            "The payload exceeds the maximum size allowed",
        ),
    ] {
        let outcome = handle(Operation::Update, None, "s", payload.as_bytes(), 1, &limits);
        assert_eq!(outcome.slot, None);
        assert_eq!(
            (
                outcome.answer()["code"].clone(),
                outcome.answer()["message"].clone()
            ),
            (json!(code), json!(message)),
            "{payload}"
        );
    }
    let fits = json!({"state": {"desired": deep(6)}}).to_string();
    let outcome = handle(
        Operation::Update,
        None,
        "s",
        fits.as_bytes(),
        1,
        &Limits::LOCAL,
    );
    assert_eq!(outcome.rejection, None);
}

#[test]
fn topics() {
    let classic = ShadowName {
        thing: "T",
        name: None,
    };
    let named = ShadowName {
        thing: "T",
        name: Some("S"),
    };
    for (topic, expected) in [
        ("$aws/things/T/shadow/get", Some((classic, Operation::Get))),
        (
            "$aws/things/T/shadow/name/S/update",
            Some((named, Operation::Update)),
        ),
        (
            "$aws/things/T/shadow/name/S/delete",
            Some((named, Operation::Delete)),
        ),
        ("$aws/things/T/shadow/update/accepted", None),
        ("$aws/things/T/shadow/name//get", None),
        ("$aws/things//shadow/get", None),
        ("$aws/things/T/jobs/get", None),
        ("things/T/shadow/get", None),
    ] {
        assert_eq!(ShadowName::parse_request(topic), expected, "{topic}");
        if let Some((name, operation)) = expected {
            assert_eq!(name.request_topic(operation), topic);
        }
    }
    assert_eq!(
        named.topic(Operation::Update, Suffix::Documents),
        "$aws/things/T/shadow/name/S/update/documents"
    );
    assert!(is_valid_name("AWSManagedGreengrassV2Deployment"));
    assert!(!is_valid_name("") && !is_valid_name("a/b") && !is_valid_name(&"a".repeat(65)));
}

fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        (0..3i64).prop_map(Value::from),
        Just(json!("t")),
        Just(json!([1, {"a": 1}])),
    ];
    leaf.prop_recursive(3, 24, 3, |inner| {
        let entries = prop::collection::vec(("[abc]|timestamp", inner), 0..3);
        entries.prop_map(|entries| Value::Object(entries.into_iter().collect()))
    })
}

fn section() -> impl Strategy<Value = Value> {
    let entries = prop::collection::vec(("[abc]|timestamp", tree()), 0..3);
    entries.prop_map(|entries| Value::Object(entries.into_iter().collect()))
}

/// The leaves of a tree by path; an empty object is a leaf too, a list is looked into.
fn leaves(value: &Value, path: String, into: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (key, inner) in members {
                leaves(inner, format!("{path}/{key}"), into);
            }
        }
        Value::Array(items) => {
            for (index, inner) in items.iter().enumerate() {
                leaves(inner, format!("{path}/{index}"), into);
            }
        }
        _ => into.push(path),
    }
}

fn sorted_leaves(value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    leaves(value, String::new(), &mut found);
    found.sort();
    found
}

fn merge_model(target: &mut Map<String, Value>, patch: &Map<String, Value>) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                target.remove(key);
            }
            Value::Object(inner) => {
                let mut base = match target.get(key) {
                    Some(Value::Object(existing)) => existing.clone(),
                    _ => Map::new(),
                };
                merge_model(&mut base, inner);
                target.insert(key.clone(), base.into());
            }
            other => {
                target.insert(key.clone(), other.clone());
            }
        }
    }
}

proptest! {
    #[test]
    fn leaves_are_those_of_the_model_and_each_has_a_time(patches in prop::collection::vec(section(), 1..6)) {
        let mut slot = None;
        let mut model = Map::new();
        for (now, patch) in patches.iter().enumerate() {
            let outcome = update(&mut slot, json!({"desired": patch}), now as u64);
            prop_assert!(outcome.rejection.is_none());
            merge_model(&mut model, patch.as_object().expect("a section"));
            let got = send(&mut slot.clone(), Operation::Get, &json!({}), 0);
            let desired = got.answer()["state"].get("desired").cloned().unwrap_or(json!({}));
            prop_assert_eq!(sorted_leaves(&desired), sorted_leaves(&model.clone().into()));
            let metadata = got.answer()["metadata"].get("desired").cloned().unwrap_or(json!({}));
            let stamped: Vec<_> = sorted_leaves(&desired).iter().map(|p| format!("{p}/timestamp")).collect();
            let mut expected = stamped;
            expected.sort();
            prop_assert_eq!(sorted_leaves(&metadata), expected, "{}", metadata);
            prop_assert_eq!(&got.answer()["version"], &json!(now + 1));
        }
    }

    #[test]
    fn reporting_the_delta_leaves_no_delta(desired in section(), reported in section()) {
        let mut slot = None;
        update(&mut slot, json!({"desired": desired, "reported": reported}), 1);
        let shadow = slot.as_ref().and_then(Slot::shadow).expect("it was just made").clone();
        if let Some(delta) = shadow.delta() {
            update(&mut slot, json!({"reported": delta}), 2);
            let after = slot.as_ref().and_then(Slot::shadow).expect("it is there");
            // A delta of empty objects cannot be told from nothing by merging into nothing.
            let left = after.delta().map(|d| sorted_leaves(&d.into())).unwrap_or_default();
            prop_assert_eq!(left, Vec::<String>::new());
            prop_assert_eq!(after.section(Section::Desired), shadow.section(Section::Desired));
        }
    }

    #[test]
    fn slots_survive_storage(desired in section()) {
        let mut slot = None;
        update(&mut slot, json!({"desired": desired}), 1);
        let text = serde_json::to_string(&slot).expect("a slot serialises");
        prop_assert_eq!(serde_json::from_str::<Option<Slot>>(&text).expect("and back"), slot);
    }

    #[test]
    fn any_bytes_are_answered(payload in prop::collection::vec(any::<u8>(), 0..64)) {
        for operation in [Operation::Get, Operation::Update, Operation::Delete] {
            let outcome = handle(operation, None, "s", &payload, 1, &Limits::CLOUD);
            prop_assert!(outcome.answer().is_object());
        }
    }
}
