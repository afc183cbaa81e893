//! The golden vectors of target configurations: dependencies, `runWith`, versions, variables.

mod support;

use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use support::vectors;
use sward_deployment::document::{
    ConfigurationUpdate, RunWith, SpecComponent, SystemResourceLimits,
};
use sward_deployment::target::{TargetComponent, TargetWorld, target_services};
use sward_deployment::tree::StampedTree;
use sward_deployment::{DeploymentSpec, LocalRequest};
use sward_recipe::{ComponentType, DependencyType};

fn component(name: &str, recipe: &Value) -> TargetComponent {
    let dependencies = recipe["dependencies"].as_object().expect("dependencies");
    TargetComponent {
        name: name.parse().expect("a name"),
        version: serde_json::from_value(recipe["version"].clone()).expect("a version"),
        component_type: match recipe["type"].as_str() {
            Some("NUCLEUS") => ComponentType::Nucleus,
            _ => ComponentType::Generic,
        },
        dependencies: dependencies
            .iter()
            .map(|(name, dependency)| {
                let kind = match dependency[1].as_str() {
                    Some("SOFT") => DependencyType::Soft,
                    _ => DependencyType::Hard,
                };
                (name.parse().expect("a name"), kind)
            })
            .collect(),
        default_configuration: Some(recipe["defaultConfiguration"].clone()),
        lifecycle: recipe["lifecycle"]
            .as_object()
            .expect("a lifecycle")
            .clone(),
    }
}

fn run_with(value: &Value) -> Option<RunWith> {
    let map = value.as_object()?;
    let text = |key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
    Some(RunWith {
        posix_user: text("posixUser"),
        windows_user: text("windowsUser"),
        system_resource_limits: map.get("systemResourceLimits").map(|limits| {
            SystemResourceLimits {
                memory_kb: limits["memory"].as_i64().unwrap_or_default(),
                cpus: limits["cpus"].as_f64().unwrap_or_default(),
            }
        }),
    })
}

fn spec(document: &Value) -> DeploymentSpec {
    let components = document.as_array().expect("a list");
    DeploymentSpec {
        timestamp_ms: Some(4000),
        components: components
            .iter()
            .map(|component| SpecComponent {
                name: component["name"].as_str().expect("a name").to_owned(),
                root: component["root"].as_bool().expect("a flag"),
                requirement: None,
                configuration_update: Some(ConfigurationUpdate {
                    merge: component["merge"].as_object().cloned(),
                    reset: component["reset"].as_array().map(|pointers| {
                        pointers
                            .iter()
                            .map(|pointer| pointer.as_str().map(str::to_owned))
                            .collect()
                    }),
                }),
                run_with: run_with(&component["runWith"]),
            })
            .collect(),
        ..LocalRequest::default().to_spec(&Default::default())
    }
}

#[test]
fn targets() {
    vectors("resolve.jsonl", |case| {
        let order = case["order"].as_array().expect("an order");
        let components: Vec<TargetComponent> = order
            .iter()
            .map(|name| {
                let name = name.as_str().expect("a name");
                component(name, &case["components"][name])
            })
            .collect();
        let mut running = StampedTree::of(case["running"].as_object().expect("services"), 5000);
        let flag = &case["interpolateComponentConfiguration"];
        if !flag.is_null() {
            running.set(
                &[
                    "aws.greengrass.Nucleus",
                    "configuration",
                    "interpolateComponentConfiguration",
                ],
                flag,
                1,
            );
        }
        let roots: BTreeSet<String> = serde_json::from_value(case["roots"].clone()).expect("names");
        let world = TargetWorld {
            root: "/greengrass/v2",
            thing_name: "MyThing",
            running: &running,
            timestamp_ms: 4000,
        };
        let found = target_services(&components, &spec(&case["document"]), &roots, world)
            .expect("a target");
        let mut wanted = case["services"].as_object().expect("services").clone();
        if wanted.get("aws.greengrass.Nucleus") == Some(&json!("carried over")) {
            wanted.remove("aws.greengrass.Nucleus");
        }
        let main = wanted.get_mut("main").expect("main");
        sort(&mut main["dependencies"]);
        assert_eq!(Value::Object(found), Value::Object(wanted));
    });
}

fn sort(list: &mut Value) {
    let list = list.as_array_mut().expect("a list");
    list.sort_by_key(Value::to_string);
}

#[test]
fn a_pointer_without_slash_in_a_lifecycle_fails_the_deployment() {
    let mut lifecycle = Map::new();
    lifecycle.insert("run".into(), json!("{configuration:key}"));
    let component = TargetComponent {
        name: "com.A".parse().expect("a name"),
        version: "1.0.0".parse().expect("a version"),
        component_type: ComponentType::Generic,
        dependencies: Vec::new(),
        default_configuration: None,
        lifecycle,
    };
    let running = StampedTree::new();
    let world = TargetWorld {
        root: "/greengrass/v2",
        thing_name: "",
        running: &running,
        timestamp_ms: 1,
    };
    let spec = LocalRequest::default().to_spec(&Default::default());
    let error =
        target_services(&[component], &spec, &BTreeSet::new(), world).expect_err("it has no slash");
    assert_eq!(
        error.failure().cause(),
        "cannot interpolate the lifecycle of component com.A. {configuration:key} holds \"key\", \
         which is no JSON pointer. begin the pointer with a slash, as in {configuration:/key}"
    );
}
