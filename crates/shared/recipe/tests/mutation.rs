//! Texts near real recipes: nothing panics, what is read can be written and read again.

mod support;

use proptest::prelude::*;
use serde_json::{Value, json};
use support::{Random, file, fuzz_iterations, golden, recipe_devices};
use sward_recipe::interpolate::{Service, World};
use sward_recipe::{Format, Recipe, to_yaml};

const PLAIN: &str = "\
RecipeFormatVersion: '2020-01-25'
ComponentName: com.example.Hello
ComponentVersion: '1.0.0'
ComponentType: aws.greengrass.generic
ComponentPublisher: &me \"Me \\u00e9\"
ComponentConfiguration:
  DefaultConfiguration: {a: 010, b: [1, ~, .5], c: *me, d: !!int '2'}
ComponentDependencies:
  com.example.D: {VersionRequirement: '>=1.0.0 <2.0.0', DependencyType: SOFT}
Manifests:
  - Platform: {os: /linux|darwin/, 'n/m': '*'}
    Selections: [linux]
    Artifacts:
      - Uri: s3://bucket/key.zip
        Unarchive: ZIP
        Permission: {Read: ALL, Execute: OWNER}
  - Lifecycle:
      run: |
        echo one
        echo {configuration:/a}
Lifecycle:
  run: {linux: {Script: >-
    folded
    text}, all: x}
";

const JSON: &str = r#"{"RecipeFormatVersion": "2020-01-25", "ComponentName": "com.example.Hello",
 "ComponentVersion": "1.0.0-rc.1+b", "ComponentConfiguration": {"DefaultConfiguration": {"n": -1.5e3,
 "t": "a\t\u00e9\ud83d\ude42", "l": [1, true, null, {}]}}, "Manifests": [{"Platform": {"os": "linux"},
 "Artifacts": [{"URI": "s3://b/k", "Digest": "x", "Algorithm": "SHA-256"}], "Lifecycle": {"run": "x"}}]}"#;

/// Small texts to start from: two of ours, the edges, and a part of the corpus.
fn seeds() -> Vec<(Vec<u8>, Format)> {
    let mut seeds = vec![
        (PLAIN.as_bytes().to_vec(), Format::Yaml),
        (JSON.as_bytes().to_vec(), Format::Json),
        (JSON.as_bytes().to_vec(), Format::Yaml),
    ];
    let format = |case: &Value| match case["format"].as_str() {
        Some("json") => Format::Json,
        _ => Format::Yaml,
    };
    for case in golden("recipe_edges.jsonl") {
        let text = case["text"].as_str().unwrap_or_default();
        seeds.push((text.as_bytes().to_vec(), format(&case)));
    }
    for case in golden("recipes.jsonl").iter().step_by(7) {
        let name = case["file"].as_str().unwrap_or_default();
        let bytes = file(&format!("corpus/recipes/{name}")).unwrap_or_default();
        if bytes.len() < 4000 {
            seeds.push((bytes, format(case)));
        }
    }
    seeds
}

const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ": ",
    ",",
    "\n",
    "\r\n",
    "\n  ",
    "- ",
    "? ",
    "&a ",
    "*a",
    "!",
    "!!str ",
    "!!float ",
    "|",
    ">-\n",
    "'",
    "\"",
    "\\",
    "\\u",
    "%",
    "@",
    "`",
    "#",
    "~",
    "null",
    "0x1F",
    "1e400",
    ".inf",
    "---\n",
    "...\n",
    "\t",
    "\u{0}",
    "\u{feff}",
    "é",
    "🙂",
    "<<: ",
    "ComponentVersion: ",
    "Manifests: ",
    "\"\\ud83d\"",
    "-",
    "01",
    "{{",
    "}}",
    "%TAG ! x\n---\n",
];

fn mutate(random: &mut Random, seed: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len() + 1);
        match random.below(6) {
            0 | 1 => {
                let piece = PIECES[random.below(PIECES.len())].bytes();
                bytes.splice(at..at, piece);
            }
            2 if at < bytes.len() => bytes[at] = random.below(256) as u8,
            3 => {
                let end = (at + random.below(20)).min(bytes.len());
                bytes.drain(at..end);
            }
            4 => {
                let end = (at + random.below(40)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                let to = random.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[test]
fn mutated_recipes_are_read_or_refused() {
    let seeds = seeds();
    let devices = recipe_devices();
    let mut random = Random(0x5EED);
    let (mut read, mut refused) = (0_u64, 0_u64);
    for _ in 0..fuzz_iterations(20_000) {
        let (seed, format) = &seeds[random.below(seeds.len())];
        let bytes = mutate(&mut random, seed);
        match Recipe::parse(&bytes, *format) {
            Err(error) => {
                refused += 1;
                assert!(error.line >= 1 && !error.to_string().is_empty());
            }
            Ok(recipe) => {
                read += 1;
                check_round_trip(&recipe, &bytes);
                for (_, device) in &devices {
                    if let Ok(Some(selected)) = recipe.select(device) {
                        assert!(selected.index < recipe.manifests.len());
                        interpolate(&recipe, Value::Object(selected.lifecycle));
                    }
                }
                for fault in recipe.validate_for_cloud() {
                    assert!(!fault.field().is_empty() && !fault.to_string().is_empty());
                }
            }
        }
    }
    assert!(
        read > refused / 50 && refused > read / 50,
        "{read} {refused}"
    );
}

fn interpolate(recipe: &Recipe, lifecycle: Value) {
    let own = Service {
        name: recipe.name.as_str(),
        version: recipe.version.as_str(),
        configuration: recipe.default_configuration.as_ref(),
    };
    let world = World {
        root: "/greengrass/v2",
        thing_name: "T",
        component: own,
        dependencies: vec![own],
        interpolates_configuration: true,
    };
    if let Ok(done) = world.lifecycle(&lifecycle) {
        assert_eq!(done.is_object(), lifecycle.is_object());
    }
}

fn check_round_trip(recipe: &Recipe, bytes: &[u8]) {
    for format in [Format::Yaml, Format::Json] {
        let text = recipe.to_text(format);
        let again = Recipe::parse(text.as_bytes(), format);
        let shown = String::from_utf8_lossy(bytes);
        assert_eq!(again.as_ref(), Ok(recipe), "{shown}\n{text}");
    }
}

#[test]
fn nesting_is_bounded_in_both_formats() {
    let head = "\"RecipeFormatVersion\":\"2020-01-25\",\"ComponentName\":\"a\",\"ComponentVersion\":\"1.0.0\"";
    let nested = |open: &str, close: &str, depth: usize| {
        let (open, close) = (open.repeat(depth), close.repeat(depth));
        format!("{{{head},\"Lifecycle\":{{\"a\":{open}1{close}}}}}")
    };
    for format in [Format::Json, Format::Yaml] {
        for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
            let check = |depth, good: bool| {
                let text = nested(open, close, depth);
                let parsed = Recipe::parse(text.as_bytes(), format);
                assert_eq!(parsed.is_ok(), good, "{format:?} {open} {depth}");
            };
            check(90, true);
            check(1_000, false);
            check(100_000, false);
        }
    }
}

#[test]
fn aliases_do_not_grow() {
    let mut text = String::from("a: &a [x, x, x, x, x, x, x, x]\n");
    let mut last = 'a';
    for next in 'b'..='z' {
        text.push_str(&format!(
            "{next}: &{next} [*{last}, *{last}, *{last}, *{last}, *{last}]\n"
        ));
        last = next;
    }
    text.push_str("RecipeFormatVersion: 2020-01-25\nComponentName: a\nComponentVersion: 1.0.0\n");
    let recipe = Recipe::parse(text.as_bytes(), Format::Yaml).expect("a recipe");
    assert_eq!(recipe.unknown["c"], json!(["b", "b", "b", "b", "b"]));
    assert!(recipe.to_yaml().len() < 4 * text.len());
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        "[a-z:#'\" \\n\\t-]{0,12}",
        "\\PC{0,6}",
        prop::sample::select(vec![
            "yes",
            "null",
            "~",
            "010",
            "1e3",
            "0x1F",
            "-",
            "---",
            "...",
            "*a",
            "&a",
            "!x",
            "a\n",
            "a\nb",
            "a\n\nb\n",
            " a\nb",
            "a\n b\n",
            "a \nb",
            "\n",
            "a\n\n",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "%",
            "a: b",
            "a #b",
            "",
            "1_0",
            ".5",
            "2020-01-25",
            "<<",
            "=",
        ])
        .prop_map(str::to_owned),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::btree_map(text.clone(), inner, 0..5)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn any_value_survives_yaml(value in any_value()) {
        let mut recipe = Recipe::parse(JSON.as_bytes(), Format::Json).expect("a recipe");
        recipe.default_configuration = Some(value.clone());
        let text = recipe.to_yaml();
        let again = Recipe::parse(text.as_bytes(), Format::Yaml);
        prop_assert_eq!(again.as_ref(), Ok(&recipe), "{}", text);
        prop_assert!(to_yaml(&value).starts_with("---\n"));
    }
}
