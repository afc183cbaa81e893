use super::*;
use serde_json::json;

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("{other} is no map"),
    }
}

/// The effect on component `A` of a change from one service to another.
fn check(before: Value, after: Value, broken: bool, effect: Effect, causes: &[&str]) {
    let running = StampedTree::of(
        &map(json!({"A": before, "main": {}, "DeploymentService": {}})),
        5,
    );
    let broken = if broken {
        ["A".to_owned()].into()
    } else {
        BTreeSet::new()
    };
    let plan = Plan::new(
        &running,
        &map(json!({"A": after, "main": {"dependencies": []}})),
        &broken,
    );
    let change = &plan.components["A"];
    assert_eq!(change.effect, effect, "{plan}");
    let said: Vec<String> = change.causes.iter().map(ToString::to_string).collect();
    assert_eq!(said, causes);
    assert_eq!(plan.components.len(), 1);
}

fn service() -> Value {
    json!({
        "version": "1.0.0",
        "componentType": "GENERIC",
        "dependencies": ["B:HARD"],
        "lifecycle": {"install": "i", "run": {"Script": "r"}, "shutdown": "s"},
        "configuration": {"version": 1, "k": {"a": 1}},
        "runWith": {"posixUser": "u", "systemResourceLimits": {"cpus": 1.0, "memory": 5}},
    })
}

fn with(pointer: &str, value: Value) -> Value {
    let mut service = service();
    *service.pointer_mut(pointer).expect("it is there") = value;
    service
}

#[test]
fn each_kind_of_change_has_its_effect() {
    let same = service;
    check(same(), same(), false, Effect::Keep, &[]);
    check(same(), same(), true, Effect::Reinstall, &["it is BROKEN"]);
    check(
        same(),
        with("/version", json!("2.0.0")),
        false,
        Effect::Reinstall,
        &["its version changes from 1.0.0 to 2.0.0"],
    );
    check(
        same(),
        with("/lifecycle/install", json!("j")),
        false,
        Effect::Reinstall,
        &["its install step changes"],
    );
    check(
        same(),
        with("/lifecycle/run/Script", json!("q")),
        false,
        Effect::Restart,
        &["its run step changes"],
    );
    check(
        same(),
        with("/lifecycle/shutdown", json!("t")),
        false,
        Effect::ConfigurationOnly,
        &["its shutdown step changes"],
    );
    check(
        same(),
        with("/runWith/posixUser", json!("v")),
        false,
        Effect::Reinstall,
        &["it runs as another user"],
    );
    check(
        same(),
        with("/runWith/systemResourceLimits/cpus", json!(2.0)),
        false,
        Effect::Limits,
        &["its limits change"],
    );
    check(
        same(),
        with("/configuration/version", json!(2)),
        false,
        Effect::ConfigurationOnly,
        &["its configuration changes"],
    );
    check(
        same(),
        with("/dependencies", json!(["B:SOFT"])),
        false,
        Effect::Keep,
        &[],
    );
    check(
        same(),
        with("/dependencies", json!(["B:HARD", "C:SOFT"])),
        false,
        Effect::Restart,
        &["it now depends on C"],
    );
}

#[test]
fn a_plan_names_what_is_new_what_goes_and_which_keys_change() {
    let running = StampedTree::of(
        &map(json!({
            "Old": {"version": "1.0.0"},
            "Kept": {"version": "1.0.0", "configuration": {"k": {"a": 1, "b": 2}}},
            "aws.greengrass.Nucleus": {"version": "2.18.0", "componentType": "NUCLEUS"},
            "TelemetryAgent": {"runtime": {}},
        })),
        5,
    );
    let target = map(json!({
        "New": {"version": "3.0.0"},
        "Kept": {"version": "1.0.0", "configuration": {"K": {"a": 1.0, "c": [1]}}},
        "aws.greengrass.Nucleus": {"version": "2.18.0", "componentType": "NUCLEUS"},
    }));
    let plan = Plan::new(&running, &target, &BTreeSet::new());
    assert_eq!(
        plan.to_string(),
        "configure Kept 1.0.0: its configuration changes\n  \
         /K/a: 1 becomes 1.0\n  \
         /K/c: set to [1]\n  \
         /K/b: removed (was 2)\n\
         install New 3.0.0: it is new\n\
         remove Old 1.0.0: nothing requires it\n"
    );
    assert_eq!(plan.disrupted().collect::<Vec<_>>(), ["New"]);
    let text = serde_json::to_string(&plan).expect("a plan serialises");
    assert_eq!(
        serde_json::from_str::<Plan>(&text).expect("and comes back"),
        plan
    );
}
