use super::*;
use std::os::unix::fs::PermissionsExt;

fn store() -> (tempfile::TempDir, ComponentStore) {
    let root = tempfile::tempdir().expect("a folder");
    let store = ComponentStore::open(root.path()).expect("a store");
    (root, store)
}

fn recipe(name: &str, version: &str) -> String {
    format!(
        "RecipeFormatVersion: '2020-01-25'\nComponentName: {name}\nComponentVersion: {version}\n\
         Manifests:\n- Platform:\n    os: linux\n  Lifecycle:\n    run: x\n"
    )
}

fn parsed(name: &str, version: &str) -> Recipe {
    Recipe::parse(recipe(name, version).as_bytes(), Format::Yaml).expect("a recipe")
}

fn name(text: &str) -> ComponentName {
    text.parse().expect("a name")
}

fn version(text: &str) -> ComponentVersion {
    text.parse().expect("a version")
}

#[test]
fn recipes_stand_under_the_hash_of_their_name() {
    let (root, store) = store();
    let first = parsed("com.example.Hello", "1.0.0");
    store.save_recipe(&first).expect("it is kept");
    // SHA-256 of the name in unpadded base64url.
    assert_eq!(recipe_name_hash(&name("com.example.Hello")).len(), 43);
    let file = root.path().join(format!(
        "packages/recipes/{}@1.0.0.recipe.yaml",
        recipe_name_hash(&first.name)
    ));
    let written = fs::metadata(&file)
        .expect("it is there")
        .modified()
        .expect("a time");
    store.save_recipe(&first).expect("it is kept");
    let again = fs::metadata(&file)
        .expect("it is there")
        .modified()
        .expect("a time");
    assert_eq!(written, again, "the same content is not written again");
    assert_eq!(
        store.recipe(&first.name, &first.version).expect("it reads"),
        Some(first.clone())
    );
    assert_eq!(
        store
            .recipe(&first.name, &version("9.0.0"))
            .expect("it reads"),
        None
    );
}

#[test]
fn the_best_version_is_the_highest_that_fits() {
    let (_root, store) = store();
    for version in ["1.0.0", "1.2.0", "2.0.0"] {
        store
            .save_recipe(&parsed("com.A", version))
            .expect("it is kept");
    }
    let best = |wanted: &str| {
        let wanted = wanted.parse().expect("a requirement");
        let best = store
            .best_version(&name("com.A"), &wanted)
            .expect("it reads");
        best.map(|version| version.to_string())
    };
    assert_eq!(best("^1.0.0").as_deref(), Some("1.2.0"));
    assert_eq!(best("*").as_deref(), Some("2.0.0"));
    assert_eq!(best(">2.0.0"), None);
}

#[test]
fn a_damaged_recipe_is_an_error_that_names_the_file() {
    let (root, store) = store();
    store
        .save_recipe(&parsed("com.A", "1.0.0"))
        .expect("it is kept");
    let hash = recipe_name_hash(&name("com.A"));
    let file = root
        .path()
        .join(format!("packages/recipes/{hash}@1.0.0.recipe.yaml"));
    fs::write(&file, "ComponentName: [").expect("it is written");
    let error = store
        .recipe(&name("com.A"), &version("1.0.0"))
        .expect_err("it is damaged");
    assert!(error.to_string().contains(&hash), "{error}");
}

#[test]
fn arns_are_kept_beside_recipes() {
    let (_root, store) = store();
    let (name, version) = (name("com.A"), version("1.0.0"));
    assert_eq!(store.arn(&name, &version), None);
    store
        .save_arn(&name, &version, "arn:x")
        .expect("it is kept");
    assert_eq!(store.arn(&name, &version).as_deref(), Some("arn:x"));
}

#[test]
fn cleaning_deletes_what_is_not_kept() {
    let (root, store) = store();
    for version in ["1.0.0", "2.0.0", "3.0.0"] {
        let recipe = parsed("com.A", version);
        store.save_recipe(&recipe).expect("it is kept");
        let folder = store.artifacts_folder(&recipe.name, &recipe.version);
        fs::create_dir_all(&folder).expect("it is made");
        fs::write(folder.join("f"), "x").expect("it is written");
    }
    let keep = [(name("com.A"), version("2.0.0"))].into();
    let gone = store.clean(&keep).expect("it cleans");
    assert_eq!(gone.len(), 2);
    assert_eq!(
        store.versions(&name("com.A")).expect("it reads"),
        [version("2.0.0")]
    );
    assert_eq!(store.artifact_bytes(), 1);
    store.clean(&BTreeSet::new()).expect("it cleans");
    assert!(!root.path().join("packages/artifacts/com.A").exists());
}

#[test]
fn a_developers_folders_are_copied_in() {
    let (_root, store) = store();
    let source = tempfile::tempdir().expect("a folder");
    let recipes = source.path().join("recipes/deep");
    fs::create_dir_all(&recipes).expect("it is made");
    fs::write(recipes.join("a.yaml"), recipe("com.A", "1.0.0")).expect("it is written");
    fs::write(recipes.join("notes.txt"), "not a recipe").expect("it is written");
    assert_eq!(store.import_recipes(source.path()).expect("it copies"), 1);
    assert_eq!(store.versions(&name("com.A")).expect("it reads").len(), 1);
    let artifacts = source.path().join("artifacts");
    fs::create_dir_all(artifacts.join("com.A/1.0.0")).expect("it is made");
    let script = artifacts.join("com.A/1.0.0/run.sh");
    fs::write(&script, "echo").expect("it is written");
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).expect("it is set");
    assert_eq!(store.import_artifacts(&artifacts).expect("it copies"), 1);
    let copy = store
        .artifacts_folder(&name("com.A"), &version("1.0.0"))
        .join("run.sh");
    let mode = fs::metadata(copy)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o740);
    let error = store
        .import_artifacts(store.root())
        .expect_err("it contains the store");
    assert!(matches!(error, StoreError::FolderContainsStore { .. }));
    fs::write(recipes.join("b.json"), "{").expect("it is written");
    store
        .import_recipes(source.path())
        .expect_err("a malformed recipe is refused");
}

#[test]
fn a_stray_file_among_the_artifacts_does_not_stop_the_cleaning() {
    let (root, store) = store();
    let old = (name("com.example.Old"), version("1.0.0"));
    fs::create_dir_all(store.artifacts_folder(&old.0, &old.1)).expect("a folder");
    // As an artifacts folder with a file at its top leaves it.
    fs::write(root.path().join("packages/artifacts/README.md"), "hi").expect("a file");
    let gone = store.clean(&BTreeSet::new()).expect("it is cleaned");
    assert_eq!(gone, [old]);
}
