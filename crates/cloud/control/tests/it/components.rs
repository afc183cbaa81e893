use crate::world::{World, text};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

fn encoded(recipe: &str) -> Value {
    json!({ "inlineRecipe": STANDARD.encode(recipe) })
}

fn version_arn(name: &str, version: &str) -> String {
    format!("arn:aws:greengrass:us-east-1:123456789012:components:{name}:versions:{version}")
}

fn recipe_of(answer: &Value) -> String {
    let bytes = STANDARD.decode(text(&answer["recipe"])).expect("base64");
    String::from_utf8(bytes).expect("UTF-8")
}

const YAML: &str = r#"
RecipeFormatVersion: "2020-01-25"
ComponentName: com.example.Hello
ComponentVersion: 1.0.0
ComponentDescription: says hello
ComponentPublisher: me
ComponentConfiguration:
  DefaultConfiguration:
    Rate: 1.0
Manifests:
  - Name: Linux
    Platform:
      os: linux
    Lifecycle:
      run: echo hello
    Artifacts:
      - URI: s3://bucket/hello.py
      - URI: s3://bucket/data.zip
        Unarchive: ZIP
"#;

#[tokio::test]
async fn a_recipe_gets_the_digests_of_its_artifacts() {
    let world = World::new().await;
    for (uri, bytes) in [
        ("s3://bucket/hello.py", "print()"),
        ("s3://bucket/data.zip", "zip"),
    ] {
        let mut buckets = world.buckets.0.lock().expect("not poisoned");
        buckets.insert(uri.to_owned(), bytes.into());
    }
    let body = json!({ "inlineRecipe": STANDARD.encode(YAML), "tags": { "team": "a" } });
    let made = world
        .ok(
            "greengrass",
            "POST",
            "/greengrass/v2/createComponentVersion",
            body,
        )
        .await;
    assert_eq!(made.status, 201);
    assert_eq!(
        made.body["arn"],
        version_arn("com.example.Hello", "1.0.0").as_str()
    );
    assert_eq!(
        made.body["status"],
        json!({ "componentState": "REQUESTED", "message": "NONE", "errors": {} })
    );
    assert_eq!(made.body["creationTimestamp"], json!(1_795_453_000.25));

    let arn = version_arn("com.example.Hello", "1.0.0");
    let raw = format!("/components/{arn}/metadata");
    let encoded = raw.replace(':', "%3A");
    for target in [raw, encoded] {
        let shown = world.gg("GET", &target, json!(null)).await;
        assert_eq!(shown["status"]["componentState"], "DEPLOYABLE");
        assert_eq!(shown["publisher"], "me");
        assert_eq!(shown["description"], "says hello");
        assert_eq!(
            shown["platforms"],
            json!([{ "name": "Linux", "attributes": { "os": "linux" } }])
        );
        assert_eq!(shown["tags"], json!({ "team": "a" }));
    }
    let got = world
        .gg("GET", &format!("/components/{arn}"), json!(null))
        .await;
    assert_eq!(got["recipeOutputFormat"], "YAML");
    assert!(recipe_of(&got).contains("Algorithm: SHA-256"));
    let got = world
        .gg(
            "GET",
            &format!("/components/{arn}?recipeOutputFormat=JSON"),
            json!(null),
        )
        .await;
    let recipe: Value = serde_json::from_str(&recipe_of(&got)).expect("JSON");
    let artifacts = &recipe["Manifests"][0]["Artifacts"];
    let digest = STANDARD.encode(Sha256::digest(b"print()"));
    let first = artifacts[0].as_object().expect("an artifact");
    let member = |name: &str| {
        first
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.clone())
    };
    assert_eq!(member("Digest"), Some(json!(digest)));
    assert_eq!(member("Algorithm"), Some(json!("SHA-256")));
    // 1.0 stays 1.0.
    assert_eq!(
        recipe["ComponentConfiguration"]["DefaultConfiguration"].to_string(),
        r#"{"Rate":1.0}"#
    );
}

#[tokio::test]
async fn refusals_say_what_is_wrong() {
    let world = World::new().await;
    let create = "/greengrass/v2/createComponentVersion";
    let refused = world
        .refused(
            "greengrass",
            "POST",
            create,
            encoded(YAML),
            400,
            "ValidationException",
        )
        .await;
    assert_eq!(
        refused["message"],
        "Invalid Input: Encountered following errors in Artifacts: \
         {s3://bucket/hello.py = Specified artifact resource cannot be accessed, \
         s3://bucket/data.zip = Specified artifact resource cannot be accessed}"
    );
    for (recipe, field) in [
        ("", None),
        ("just text", None),
        ("{", None),
        (r#"{"RecipeFormatVersion":"2020-01-25"}"#, None),
        (
            r#"{"RecipeFormatVersion":"2020-01-25","ComponentName":"a","ComponentVersion":"x","Manifests":[{"Lifecycle":{}}]}"#,
            Some("ComponentVersion"),
        ),
        (
            r#"{"RecipeFormatVersion":"2020-01-25","ComponentName":"a b","ComponentVersion":"1.0.0","Manifests":[{"Lifecycle":{}}]}"#,
            Some("ComponentName"),
        ),
        (
            r#"{"RecipeFormatVersion":"2020-01-25","ComponentName":"a","ComponentVersion":"1.0.0"}"#,
            Some("Manifests"),
        ),
        (
            r#"{"RecipeFormatVersion":"2020-01-25","ComponentName":"a","ComponentVersion":"1.0.0","Manifests":[{"Artifacts":[{"URI":"ftp://x/y"}]}]}"#,
            Some("Manifests.0.Artifacts.0.Uri"),
        ),
    ] {
        let answer = world
            .refused(
                "greengrass",
                "POST",
                create,
                encoded(recipe),
                400,
                "ValidationException",
            )
            .await;
        assert_eq!(answer["reason"], "FIELD_VALIDATION_FAILED", "{recipe}");
        if let Some(field) = field {
            assert_eq!(answer["fields"][0]["name"], field, "{recipe}");
        }
    }
    for body in [
        json!({}),
        json!({ "inlineRecipe": "%%%" }),
        json!({ "lambdaFunction": { "lambdaArn": "x" } }),
    ] {
        world
            .refused(
                "greengrass",
                "POST",
                create,
                body,
                400,
                "ValidationException",
            )
            .await;
    }
    let bad = world
        .try_call("greengrass", "POST", create, &[], b"{")
        .await;
    let bad = bad.expect_err("no JSON");
    assert_eq!(bad.members["reason"], "CANNOT_PARSE");
    let unknown = world
        .refused(
            "greengrass",
            "GET",
            "/greengrass/v2/nowhere",
            json!(null),
            400,
            "ValidationException",
        )
        .await;
    assert_eq!(unknown["reason"], "UNKNOWN_OPERATION");
}

#[tokio::test]
async fn versions_are_immutable_listed_newest_first_and_can_be_made_again() {
    let world = World::new().await;
    for version in ["1.2.0", "1.10.0", "1.10.0-rc.1", "0.9.0"] {
        world.component("com.example.A", version).await;
    }
    world.component("com.example.B", "2.0.0").await;
    let recipe = json!({
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": "com.example.A", "ComponentVersion": "1.2.0",
        "Manifests": [{ "Lifecycle": { "run": "x" } }],
    });
    let conflict = world
        .refused(
            "greengrass",
            "POST",
            "/greengrass/v2/createComponentVersion",
            encoded(&recipe.to_string()),
            409,
            "ConflictException",
        )
        .await;
    assert_eq!(
        conflict["resourceId"],
        version_arn("com.example.A", "1.2.0").as_str()
    );

    let component = "arn:aws:greengrass:us-east-1:123456789012:components:com.example.A";
    let listed = world
        .gg(
            "GET",
            &format!("/components/{component}/versions"),
            json!(null),
        )
        .await;
    let versions: Vec<String> = listed["componentVersions"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| text(&one["componentVersion"]))
        .collect();
    assert_eq!(versions, ["1.10.0", "1.10.0-rc.1", "1.2.0", "0.9.0"]);
    let unknown = world
        .gg(
            "GET",
            "/components/arn:aws:greengrass:us-east-1:123456789012:components:none/versions",
            json!(null),
        )
        .await;
    assert_eq!(unknown["componentVersions"], json!([]));

    let listed = world.gg("GET", "/components", json!(null)).await;
    assert_eq!(listed["components"][0]["arn"], component);
    assert_eq!(
        listed["components"][0]["latestVersion"]["componentVersion"],
        "1.10.0"
    );
    assert_eq!(listed["components"][1]["componentName"], "com.example.B");
    assert_eq!(listed.get("nextToken"), None);

    let arn = version_arn("com.example.A", "1.10.0");
    let gone = world
        .try_call(
            "greengrass",
            "DELETE",
            &format!("/greengrass/v2/components/{arn}"),
            &[],
            b"",
        )
        .await
        .expect("deleted");
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    for (method, rest) in [("GET", ""), ("GET", "/metadata"), ("DELETE", "")] {
        let answer = world
            .refused(
                "greengrass",
                method,
                &format!("/greengrass/v2/components/{arn}{rest}"),
                json!(null),
                404,
                "ResourceNotFoundException",
            )
            .await;
        assert_eq!(answer["resourceId"], arn.as_str());
        assert_eq!(answer["resourceType"], "COMPONENT_VERSION");
    }
    world.component("com.example.A", "1.10.0").await;
}

#[tokio::test]
async fn a_repeated_call_gets_its_first_answer() {
    let world = World::new().await;
    let recipe = json!({
        "RecipeFormatVersion": "2020-01-25", "ComponentName": "a", "ComponentVersion": "1.0.0",
        "Manifests": [{ "Lifecycle": { "run": "x" } }],
    });
    let mut body = encoded(&recipe.to_string());
    body["clientToken"] = json!("token-1");
    let create = "/createComponentVersion";
    let first = world.gg("POST", create, body.clone()).await;
    world.advance(1000);
    let second = world.gg("POST", create, body.clone()).await;
    assert_eq!(first, second);
    let other = json!({ "inlineRecipe": STANDARD.encode(YAML), "clientToken": "token-1" });
    world
        .refused(
            "greengrass",
            "POST",
            "/greengrass/v2/createComponentVersion",
            other,
            409,
            "ConflictException",
        )
        .await;
    world.advance(9 * 3_600_000);
    world
        .refused(
            "greengrass",
            "POST",
            "/greengrass/v2/createComponentVersion",
            body,
            409,
            "ConflictException",
        )
        .await;
}

#[tokio::test]
async fn public_components_belong_to_aws() {
    let world = World::new().await;
    let listed = world
        .gg("GET", "/components?scope=PUBLIC", json!(null))
        .await;
    let names: Vec<String> = listed["components"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|one| text(&one["componentName"]))
        .collect();
    for name in [
        "aws.greengrass.Cli",
        "aws.greengrass.Nucleus",
        "aws.greengrass.TokenExchangeService",
    ] {
        assert!(names.iter().any(|one| one == name), "{name}");
    }
    let arn = "arn:aws:greengrass:us-east-1:aws:components:aws.greengrass.Nucleus:versions:2.12.1";
    let shown = world
        .gg("GET", &format!("/components/{arn}/metadata"), json!(null))
        .await;
    assert_eq!(shown["componentVersion"], "2.12.1");
    world
        .refused(
            "greengrass",
            "DELETE",
            &format!("/greengrass/v2/components/{arn}"),
            json!(null),
            403,
            "AccessDeniedException",
        )
        .await;
}

#[tokio::test]
async fn tags_are_a_map() {
    let world = World::new().await;
    world.component("a", "1.0.0").await;
    let arn = version_arn("a", "1.0.0");
    let target = format!("/tags/{arn}");
    let body = json!({ "tags": { "x": "1", "y": "2" } });
    world.ok("greengrass", "POST", &target, body).await;
    world
        .ok(
            "greengrass",
            "DELETE",
            &format!("{target}?tagKeys=x"),
            json!(null),
        )
        .await;
    let tags = world.ok("greengrass", "GET", &target, json!(null)).await;
    assert_eq!(tags.body, json!({ "tags": { "y": "2" } }));
    for (arn, status, code) in [
        (version_arn("a", "2.0.0"), 404, "ResourceNotFoundException"),
        (
            "arn:aws:s3:::x".to_owned(),
            404,
            "ResourceNotFoundException",
        ),
        ("x".to_owned(), 400, "ValidationException"),
    ] {
        world
            .refused(
                "greengrass",
                "GET",
                &format!("/tags/{arn}"),
                json!(null),
                status,
                code,
            )
            .await;
    }
}

#[tokio::test]
async fn a_call_repeated_while_the_first_one_reads_gets_the_same_answer() {
    let world = World::new().await;
    let uri = "s3://bucket/a.py";
    world
        .buckets
        .0
        .lock()
        .expect("not poisoned")
        .insert(uri.to_owned(), b"x".to_vec());
    *world.buckets.1.lock().expect("not poisoned") =
        Some(std::sync::Arc::new(tokio::sync::Barrier::new(2)));
    let recipe = json!({
        "RecipeFormatVersion": "2020-01-25", "ComponentName": "a", "ComponentVersion": "1.0.0",
        "Manifests": [{ "Lifecycle": { "run": "x" }, "Artifacts": [{ "URI": uri }] }],
    });
    let mut body = encoded(&recipe.to_string());
    body["clientToken"] = json!("token-1");
    let create = "/createComponentVersion";
    let (first, second) = tokio::join!(
        world.gg("POST", create, body.clone()),
        world.gg("POST", create, body.clone()),
    );
    assert_eq!(first, second);
}

#[tokio::test]
async fn tags_of_a_component_are_bounded() {
    let world = World::new().await;
    world.component("com.example.A", "1.0.0").await;
    let tags =
        "/tags/arn:aws:greengrass:us-east-1:123456789012:components:com.example.A:versions:1.0.0";
    let many = |from: usize, count: usize| {
        let tags: serde_json::Map<String, Value> = (from..from + count)
            .map(|number| (format!("k{number}"), json!("v")))
            .collect();
        json!({ "tags": tags })
    };
    world.ok("greengrass", "POST", tags, many(0, 50)).await;
    world
        .refused(
            "greengrass",
            "POST",
            tags,
            many(50, 1),
            400,
            "ValidationException",
        )
        .await;
    world.ok("greengrass", "POST", tags, many(0, 1)).await;
}
