//! The answers of the nucleus's own classes: parsing, storing, selecting, interpolating.

mod support;

use serde_json::{Map, Value, json};
use support::{attributes, file, golden, recipe_devices};
use sward_model::PlatformAttributes;
use sward_recipe::interpolate::{InterpolationError, Service, World};
use sward_recipe::{Format, LoadError, Recipe, RecipeError, SelectedManifest};

/// Cases that we answer otherwise on purpose; each stands in docs/compatibility.d/recipe.md.
const DEVIATIONS: &[(&str, &str)] = &[
    (
        "name newline at the end",
        "a name with a line break names no folder anybody would expect",
    ),
    (
        "dependency name odd",
        "no component can have the name, so the dependency can never be met",
    ),
];

/// Files with several faults, of which we name another one than the nucleus.
const SEVERAL_FAULTS: &[&str] = &["0183-nucleus-recipes-invalidrecipe-1.yaml"];

fn deviates(name: &str) -> bool {
    DEVIATIONS.iter().any(|(known, _)| *known == name)
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().unwrap_or_default()
}

fn format_of(case: &Value) -> Format {
    match text(case, "format") {
        "json" => Format::Json,
        _ => Format::Yaml,
    }
}

/// Compares one answer; the text of the difference.
fn difference(case: &Value, bytes: &[u8]) -> Option<String> {
    match Recipe::parse(bytes, format_of(case)) {
        Err(error) => error_difference(case, &error),
        Ok(_) if text(case, "parse") != "ok" => Some("accepted".to_owned()),
        Ok(recipe) => model_difference(case, &recipe).or_else(|| loaded_difference(case, &recipe)),
    }
}

fn error_difference(case: &Value, error: &RecipeError) -> Option<String> {
    if case["parse"] == "null" || case["parse"].is_null() {
        return (error.category.as_str() != "type").then(|| format!("{error:?}"));
    }
    let expected = &case["error"];
    let category = text(expected, "category");
    if error.category.as_str() != category {
        return Some(format!("{} ({error})", error.category));
    }
    assert!(error.line >= 1 && !error.problem.is_empty(), "{error:?}");
    if category == "syntax" {
        return None;
    }
    let key = text(expected, "key");
    // Where Java names the object, we name the value inside it.
    let is_inside = matches!(category, "number" | "requirement")
        && error.pointer.starts_with(&format!("{key}/"));
    (error.pointer != key && !is_inside).then(|| format!("{} at {}", category, error.pointer))
}

fn model_difference(case: &Value, recipe: &Recipe) -> Option<String> {
    let mut model = Map::new();
    model.insert("name".to_owned(), json!(recipe.name.as_str()));
    model.insert("version".to_owned(), json!(recipe.version.as_str()));
    let component_type = recipe.component_type.map(|one| one.as_str());
    model.insert("type".to_owned(), json!(component_type));
    if let Some(publisher) = &recipe.publisher {
        model.insert("publisher".to_owned(), json!(publisher));
    }
    if let Some(default) = &recipe.default_configuration {
        model.insert("defaultConfiguration".to_owned(), default.clone());
    }
    let mut expected = case["model"].clone();
    if let Some(dependencies) = expected
        .as_object_mut()
        .and_then(|model| model.remove("dependencies"))
    {
        let mut dependencies = dependencies.as_object().cloned().unwrap_or_default();
        // A dependency without a body vanishes when the recipe is stored; ours when it is read.
        dependencies.retain(|_, body| !body.is_null());
        if dependencies != dependencies_of(recipe) {
            return Some(format!("dependencies {:?}", recipe.dependencies));
        }
    }
    let model = Value::Object(model);
    if model != expected {
        return Some(format!("model {model}"));
    }
    let count = recipe.manifests.len();
    (case["manifestCount"] != count).then(|| format!("{count} manifests"))
}

fn dependencies_of(recipe: &Recipe) -> Map<String, Value> {
    recipe
        .dependencies
        .iter()
        .map(|one| {
            let body = json!({"requirement": one.requirement.as_str(), "type": one.dependency_type.as_str()});
            (one.name.to_string(), body)
        })
        .collect()
}

fn loaded_difference(case: &Value, recipe: &Recipe) -> Option<String> {
    let stored = recipe.to_yaml();
    let recipe = match Recipe::parse(stored.as_bytes(), Format::Yaml) {
        Ok(again) if again == *recipe => again,
        Ok(again) => return Some(format!("stored as\n{stored}\nread as {again:?}")),
        Err(error) => return Some(format!("stored as\n{stored}\n{error}")),
    };
    for (name, device) in recipe_devices() {
        let selected = recipe.select(&device);
        if let Some(load) = case["load"].as_str() {
            let answer = match &selected {
                Err(LoadError::MissingManifest { .. }) => "missing-manifest",
                Err(LoadError::BadPlatformPattern { .. }) => "bad-platform-pattern",
                Ok(_) => "loaded",
            };
            if answer != load {
                return Some(answer.to_owned());
            }
            continue;
        }
        let with_runtime = format!("{name} runtime");
        let expected = match &case["platforms"] {
            platforms if !platforms[name].is_null() => &platforms[name],
            platforms if name == "linux/amd64 runtime" => runtime_answer(platforms),
            platforms => &platforms[with_runtime.as_str()],
        };
        let Ok(selected) = selected else {
            return Some(format!("{selected:?}"));
        };
        let index = selected.as_ref().map(|one| one.index);
        if json!(index) != *expected {
            return Some(format!("{name} chose {index:?}, not {expected}"));
        }
        if let Some(difference) = selected.and_then(|one| selected_difference(case, &one)) {
            return Some(difference);
        }
    }
    None
}

/// The device with `runtime`, which is named only where the attribute changes the answer.
fn runtime_answer(platforms: &Value) -> &Value {
    let named = platforms
        .as_object()
        .and_then(|map| map.iter().find(|(name, _)| name.contains("runtime")));
    named.map_or(&platforms["linux/amd64"], |(_, answer)| answer)
}

fn selected_difference(case: &Value, selected: &SelectedManifest) -> Option<String> {
    let artifacts: Vec<Value> = selected.artifacts.iter().map(artifact).collect();
    let expected = &case["loaded"][selected.index.to_string()];
    let same_artifacts = json!(artifacts) == expected["artifacts"];
    let lifecycle = Value::Object(selected.lifecycle.clone());
    let same_lifecycle = lifecycle == expected["lifecycle"];
    (!same_artifacts || !same_lifecycle)
        .then(|| format!("loaded {artifacts:?} {lifecycle}\n   not {expected}"))
}

fn artifact(artifact: &sward_recipe::Artifact) -> Value {
    let mut object = json!({
        "uri": artifact.uri,
        "read": artifact.permission.read.as_str(),
        "execute": artifact.permission.execute.as_str(),
        "unarchive": artifact.unarchive.as_str(),
    });
    if let Some(digest) = &artifact.digest {
        object["digest"] = json!(digest);
    }
    if let Some(algorithm) = &artifact.algorithm {
        object["algorithm"] = json!(algorithm);
    }
    object
}

fn report(differences: Vec<String>) {
    assert!(
        differences.is_empty(),
        "{} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}

#[test]
fn recipe_edges_are_answered_as_by_the_nucleus() {
    let mut differences = Vec::new();
    for case in golden("recipe_edges.jsonl") {
        let name = text(&case, "name");
        let difference = difference(&case, text(&case, "text").as_bytes());
        match difference {
            None => assert!(!deviates(name), "{name} agrees now: drop it from the list"),
            Some(_) if deviates(name) => {}
            Some(difference) => differences.push(format!("{name}: {difference}")),
        }
    }
    report(differences);
}

#[test]
fn the_corpus_is_answered_as_by_the_nucleus() {
    let mut differences = Vec::new();
    for case in golden("recipes.jsonl") {
        let name = text(&case, "file");
        let Some(bytes) = file(&format!("corpus/recipes/{name}")) else {
            return;
        };
        if SEVERAL_FAULTS.contains(&name) {
            assert!(Recipe::parse(&bytes, format_of(&case)).is_err(), "{name}");
        } else if let Some(difference) = difference(&case, &bytes) {
            differences.push(format!("{name}: {difference}"));
        }
    }
    report(differences);
}

#[test]
fn manifests_match_platforms_as_in_the_nucleus() {
    let devices = golden("platforms_devices.json");
    let Some(devices) = devices.first().and_then(Value::as_object) else {
        return;
    };
    for case in golden("platforms.jsonl") {
        let manifests: Vec<Value> = case["platforms"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|platform| json!({"Platform": platform}))
            .collect();
        let recipe = json!({"RecipeFormatVersion": "2020-01-25", "ComponentName": "a",
            "ComponentVersion": "1.0.0", "Manifests": manifests});
        let recipe = Recipe::parse(recipe.to_string().as_bytes(), Format::Json).expect("a recipe");
        for (name, device) in devices {
            let device: PlatformAttributes = attributes(device);
            let answer = match recipe.select(&device) {
                Ok(selected) => json!(selected.map(|one| one.index)),
                Err(LoadError::MissingManifest { .. }) => Value::Null,
                Err(LoadError::BadPlatformPattern { .. }) => json!("bad-regex"),
            };
            assert_eq!(answer, case["chosen"][name], "{name}: {case}");
        }
    }
}

#[test]
fn lifecycles_are_selected_as_in_the_nucleus() {
    let device = [("os", "linux"), ("architecture", "amd64")];
    let device: PlatformAttributes = device.into_iter().collect();
    for case in golden("lifecycle_selection.jsonl") {
        let mut recipe = json!({"RecipeFormatVersion": "2020-01-25", "ComponentName": "a",
            "ComponentVersion": "1.0.0", "Manifests": case["manifests"]});
        if let Some(lifecycle) = case.get("lifecycle") {
            recipe["Lifecycle"] = lifecycle.clone();
        }
        let recipe = Recipe::parse(recipe.to_string().as_bytes(), Format::Json).expect("a recipe");
        let selected = recipe.select(&device).expect("usable manifests");
        let lifecycle = selected.map(|one| Value::Object(one.lifecycle));
        let name = text(&case, "name");
        assert_eq!(lifecycle.unwrap_or(Value::Null), case["result"], "{name}");
    }
}

#[test]
fn variables_are_replaced_as_in_the_nucleus() {
    let Some(golden_world) = golden("interpolation_world.json").into_iter().next() else {
        return;
    };
    let service = |name: &'static str| {
        let service = &golden_world["services"][name];
        service.is_object().then(|| Service {
            name,
            version: service["version"].as_str().expect("a version"),
            configuration: service.get("configuration"),
        })
    };
    let world = World {
        root: text(&golden_world, "root"),
        thing_name: text(&golden_world, "thingName"),
        component: service("com.example.Comp").expect("the component"),
        dependencies: [
            "com.example.Dep",
            "com.example.Absent",
            "com.example.NoConfig",
            "com.example.Soft-Dep_1",
            "dép",
        ]
        .into_iter()
        .filter_map(service)
        .collect(),
        interpolates_configuration: false,
    };
    let mut checked = 0;
    for case in golden("interpolation.jsonl") {
        let value = case.get("value").unwrap_or(&case["text"]);
        let configuration = world.configuration(value).expect("a small text");
        assert_eq!(configuration, case["configuration"], "{value}");
        match world.lifecycle(value) {
            Ok(lifecycle) => assert_eq!(with_big(lifecycle), case["lifecycle"], "{value}"),
            Err(InterpolationError::BadPointer { .. }) => {
                assert_eq!(case["lifecycleError"], "bad-pointer", "{value}");
            }
            Err(error) => panic!("{value}: {error}"),
        }
        checked += 1;
    }
    assert!(checked > 200);
}

/// Integers beyond 64 bits are fractions to us (a known deviation); the rest must be equal.
fn with_big(value: Value) -> Value {
    match value {
        Value::String(text) => {
            json!(text.replace("1.2345678901234568E29", "123456789012345678901234567890"))
        }
        other => other,
    }
}
