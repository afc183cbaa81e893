//! What people are told about a recipe: key, line, hint; and what a registry refuses.

mod support;

use support::{file, golden};
use sward_diagnosis::Diagnose;
use sward_recipe::{Format, LARGEST_CLOUD_BYTES, Recipe};

const HEAD: &str =
    "RecipeFormatVersion: '2020-01-25'\nComponentName: com.example.A\nComponentVersion: 1.0.0\n";

#[test]
fn a_fault_names_key_line_and_remedy() {
    let check = |format: Format, text: &str, expected: &str| {
        let error = Recipe::parse(text.as_bytes(), format).expect_err(text);
        assert_eq!(error.report().one_line(), expected, "{text}");
    };
    let yaml = |text: &str, expected: &str| check(Format::Yaml, &format!("{HEAD}{text}"), expected);
    yaml(
        "Manifests:\n- Artifacts:\n  - Unarchive: ZIP\n",
        "recipe at /Manifests/0/Artifacts/0/Uri is missing (line 6)",
    );
    yaml(
        "Manifests:\n- Platform:\n    os: [linux, windows]\n",
        "recipe at /Manifests/0/Platform/os is a list where text is needed (line 6); for one of several values write a pattern, such as /linux|windows/",
    );
    yaml(
        "componentType: generic\n",
        "recipe at /componentType is \"generic\", allowed is aws.greengrass.generic, aws.greengrass.lambda, aws.greengrass.plugin, aws.greengrass.nucleus (line 4)",
    );
    yaml(
        "ComponentDependencies:\n  B:\n    VersionRequirement: 1.0.0, 2.0.0\n",
        "recipe at /ComponentDependencies/B/VersionRequirement is \"1.0.0, 2.0.0\", which is no range: three numbers are needed, joined by dots (line 6); write a range such as ^1.0.0 or >=1.0.0 <2.0.0",
    );
    check(
        Format::Yaml,
        "RecipeFormatVersion: 2020-01-25\nComponentName: a\nComponentVersion: 1.0\n",
        "recipe at /ComponentVersion is a number where text is needed (line 3); put the version into quotes, as in \"1.0.0\"",
    );
    check(
        Format::Yaml,
        "RecipeFormatVersion: 2020-01-25\nComponentName: {{name}}\n",
        "recipe at /ComponentName is an object where text is needed (line 2)",
    );
    check(
        Format::Json,
        "{\"RecipeFormatVersion\": \"2020-01-25\",\n \"ComponentName\": \"a\",\n}",
        "recipe is no JSON: '}' stands where a key in double quotes is needed (line 3)",
    );
    check(Format::Json, "", "recipe is empty (line 1)");
}

#[test]
fn formats_are_told_apart() {
    for (text, format) in [
        ("{\"a\": 1}", Format::Json),
        ("\n  {", Format::Json),
        ("a: 1", Format::Yaml),
        ("---\n{a: 1}", Format::Yaml),
        ("\u{feff}{\"a\": 1}", Format::Yaml),
        ("{a: 1}", Format::Yaml),
        ("{\"a\": 1,, b}", Format::Json),
        ("", Format::Yaml),
    ] {
        assert_eq!(Format::detect(text.as_bytes()), format, "{text}");
    }
    assert_eq!(Format::of_file_name("x.recipe.YML"), Some(Format::Yaml));
    assert_eq!(Format::of_file_name("x.json"), Some(Format::Json));
    assert_eq!(Format::of_file_name("x.txt"), None);
}

#[test]
fn a_registry_refuses_what_no_device_can_use() {
    let check = |text: &str, fields: &[&str]| {
        let text = format!("{HEAD}{text}");
        let found: Vec<String> = match Recipe::parse_for_cloud(text.as_bytes()) {
            Ok(_) => Vec::new(),
            Err(faults) => faults.iter().map(|fault| fault.field()).collect(),
        };
        assert_eq!(found, fields, "{text}");
    };
    check("Manifests: [{Lifecycle: {run: x}}]\n", &[]);
    check(
        "Manifests: [{Artifacts: [{Uri: s3://b/k}, {Uri: 'docker:x'}, {Uri: 'greengrass:x.jar'}]}]\n",
        &[],
    );
    check("", &["Manifests"]);
    check("Manifests: []\n", &["Manifests"]);
    check(
        "Manifests: [{Artifacts: [{Uri: k.zip}, {Uri: 's3://b'}, {Uri: 'ftp://b/k'}]}]\n",
        &[
            "Manifests.0.Artifacts.0.Uri",
            "Manifests.0.Artifacts.1.Uri",
            "Manifests.0.Artifacts.2.Uri",
        ],
    );
    check(
        "Manifests: [{Platform: {os: '/(/'}}]\n",
        &["Manifests.0.Platform.os"],
    );
    check(
        "Manifests: [{}]\nComponentDependencies: {com.example.A: {VersionRequirement: '*'}}\n",
        &["ComponentDependencies.com.example.A"],
    );
    check(
        "Manifests: [{}]\nComponentConfiguration: {DefaultConfiguration: [1]}\n",
        &["ComponentConfiguration.DefaultConfiguration"],
    );
    check("Manifests: x\n", &["Manifests"]);
    check("Manifests: [\n", &["inlineRecipe"]);
    check(&"#".repeat(LARGEST_CLOUD_BYTES), &["inlineRecipe"]);
}

/// Recipes from the field that a device can use and that name artifacts a cloud can fetch.
#[test]
fn a_registry_takes_the_usable_recipes_of_the_corpus() {
    let (mut taken, mut refused) = (0, 0);
    for case in golden("recipes.jsonl") {
        let name = case["file"].as_str().unwrap_or_default();
        let usable = case["parse"] == "ok" && case.get("load").is_none();
        let Some(bytes) = usable
            .then(|| file(&format!("corpus/recipes/{name}")))
            .flatten()
        else {
            continue;
        };
        match Recipe::parse_for_cloud(&bytes) {
            Ok((recipe, _)) => {
                taken += 1;
                let digested = recipe.with_digests(|_| Some("digest".to_owned()));
                assert_eq!(digested.artifacts().count(), recipe.artifacts().count());
            }
            Err(faults) => {
                refused += 1;
                let schemes = ["no scheme", "which nobody serves"];
                let told = faults.iter().all(|fault| {
                    let text = fault.to_string();
                    schemes.iter().any(|scheme| text.contains(scheme))
                        || text.contains("s3://")
                        || text.contains("bytes")
                        || text.contains("its own dependency")
                });
                assert!(told, "{name}: {faults:?}");
            }
        }
    }
    assert!(taken + refused == 0 || taken > 100, "{taken} {refused}");
}

#[test]
fn digests_are_added_and_written() {
    let text =
        format!("{HEAD}Manifests: [{{Artifacts: [{{Uri: s3://b/k}}, {{Uri: 'docker:x'}}]}}]\n");
    let recipe = Recipe::parse(text.as_bytes(), Format::Yaml).expect("a recipe");
    let recipe =
        recipe.with_digests(|artifact| artifact.uri.starts_with("s3:").then(|| "abc=".to_owned()));
    let json = recipe.to_value();
    let artifacts = &json["Manifests"][0]["Artifacts"];
    assert_eq!(
        artifacts[0],
        serde_json::json!({"Uri": "s3://b/k", "Digest": "abc=", "Algorithm": "SHA-256"})
    );
    assert_eq!(artifacts[1], serde_json::json!({"Uri": "docker:x"}));
}
