use super::*;
use proptest::prelude::*;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;
use sward_journal::memory::{Fault, MemoryFileSystem};

const DIRECTORY: &str = "/config";

async fn open(fs: &MemoryFileSystem) -> Configuration {
    let storage = Storage::start().expect("a thread");
    Configuration::open(&storage, Arc::new(fs.clone()), Path::new(DIRECTORY))
        .await
        .expect("it opens")
}

fn object(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        other => panic!("not an object: {other}"),
    }
}

fn component(name: &str) -> Source {
    Source::Component { name: name.into() }
}

const ANY: &[&str] = &[];

#[tokio::test]
async fn values_survive_a_power_cut_once_synced() {
    let fs = MemoryFileSystem::new(1);
    let configuration = open(&fs).await;
    assert!(configuration.was_empty());
    let path = ["services", "Hello", "configuration", "greeting"];
    assert!(configuration.update(&path, &json!("hi"), 5, component("Hello")));
    assert!(!configuration.update(&path, &json!("older"), 4, component("Hello")));
    assert!(!configuration.update(&path, &json!("hi"), 6, component("Hello")));
    configuration.update(
        &["services", "Hello", "_private", "x"],
        &json!(1),
        5,
        Source::Core,
    );
    configuration.sync().await.expect("a sync");
    let again = open(&fs.after_power_cut()).await;
    assert!(!again.was_empty());
    assert_eq!(
        again.get(ANY),
        Some(json!({"services": {"Hello": {"configuration": {"greeting": "hi"}}}}))
    );
    let leaf = again.get_stamped(&["SERVICES", "hello", "Configuration", "GREETING"]);
    assert_eq!(leaf.and_then(|node| node.newest_ms()), Some(6));
}

#[tokio::test]
async fn integers_and_fractions_stay_what_they_were() {
    let fs = MemoryFileSystem::new(2);
    let configuration = open(&fs).await;
    configuration.merge(
        ANY,
        &object(json!({"a": 1, "b": 1.0, "c": 1e10, "d": null})),
        5,
        Source::Core,
    );
    configuration.sync().await.expect("a sync");
    let again = open(&fs.after_power_cut()).await;
    let text = again.get(ANY).map(|value| value.to_string());
    assert_eq!(
        text.as_deref(),
        Some(r#"{"a":1,"b":1.0,"c":10000000000.0,"d":null}"#)
    );
}

#[tokio::test]
async fn a_transaction_survives_whole_or_not_at_all() {
    for cut in 1..12 {
        let fs = MemoryFileSystem::new(cut);
        let configuration = open(&fs).await;
        configuration.update(&["before"], &json!(1), 5, Source::Core);
        configuration.sync().await.expect("a sync");
        fs.fail_at(fs.operations() + 1 + cut % 2, Fault::PowerCut);
        configuration.transaction(Source::Core, |tree| {
            let mut changes = tree.set(&["a"], &json!("x".repeat(100)), 5);
            changes.extend(tree.set(&["b"], &json!("y".repeat(100)), 5));
            changes
        });
        configuration.sync().await.expect_err("the power went");
        let again = open(&fs.after_power_cut()).await;
        assert_eq!(again.get(&["before"]), Some(json!(1)));
        assert_eq!(again.get(&["a"]).is_some(), again.get(&["b"]).is_some());
    }
}

#[tokio::test]
async fn history_says_who_set_a_value_and_what_it_was() {
    let fs = MemoryFileSystem::new(3);
    let configuration = open(&fs).await;
    let path = ["services", "A", "configuration", "k"];
    configuration.update(&path, &json!(1), 1, Source::Default);
    let deployment = Source::Deployment { id: "d1".into() };
    configuration.merge(
        &path[..3],
        &object(json!({"k": 2, "other": true})),
        10,
        deployment.clone(),
    );
    configuration.update(&path, &json!(2), 11, component("A"));
    configuration.remove(&["services", "a"], 12, Source::Core);
    let told: Vec<_> = configuration
        .history(&path)
        .await
        .expect("readable")
        .into_iter()
        .map(|entry| (entry.kind, entry.before, entry.source))
        .collect();
    let whole = json!({"configuration": {"k": 2, "other": true}});
    assert_eq!(
        told,
        [
            (HistoryKind::Set(json!(1)), None, Source::Default),
            (HistoryKind::Set(json!(2)), Some(json!(1)), deployment),
            (HistoryKind::Confirmed, Some(json!(2)), component("A")),
            (HistoryKind::Removed, Some(whole), Source::Core),
        ]
    );
}

#[tokio::test]
async fn a_long_journal_is_folded_and_means_the_same() {
    let fs = MemoryFileSystem::new(4);
    let configuration = open(&fs).await;
    let text = "x".repeat(2000);
    configuration.update(&["keep"], &json!("first"), 1, Source::Default);
    for n in 0..600_i64 {
        configuration.update(
            &["churn", &format!("k{}", n % 7)],
            &json!(format!("{text}{n}")),
            n + 2,
            Source::Core,
        );
        configuration.sync().await.expect("a sync");
    }
    let size = configuration.shared.journal.size_bytes();
    assert!(
        size < 1_100_000,
        "{size} bytes for less than 15 kB of values"
    );
    let before = configuration.snapshot();
    let history = configuration.history(&["keep"]).await.expect("readable");
    assert_eq!(history[0].source, Source::Default);
    let again = open(&fs.after_power_cut()).await;
    assert_eq!(again.snapshot(), before);
}

#[tokio::test]
async fn a_disk_that_was_full_is_written_anew() {
    let fs = MemoryFileSystem::new(5);
    let configuration = open(&fs).await;
    configuration.update(&["a"], &json!(1), 5, Source::Core);
    configuration.sync().await.expect("a sync");
    fs.fail_at(fs.operations() + 1, Fault::NoSpace);
    configuration.update(&["b"], &json!(2), 5, Source::Core);
    // It fails, unless the write failed before: then it has mended that already.
    drop(configuration.sync().await);
    configuration.update(&["c"], &json!(3), 5, Source::Core);
    configuration.sync().await.expect("there is room again");
    let again = open(&fs.after_power_cut()).await;
    assert_eq!(again.get(ANY), Some(json!({"a": 1, "b": 2, "c": 3})));
}

#[tokio::test]
async fn a_watcher_is_told_once_of_what_concerns_it() {
    let fs = MemoryFileSystem::new(6);
    let configuration = open(&fs).await;
    let mut watcher = configuration.watch(&["services", "A", "configuration"]);
    configuration.update(
        &["services", "B", "configuration", "k"],
        &json!(1),
        5,
        Source::Core,
    );
    configuration.update(
        &["services", "A", "version"],
        &json!("1.0.0"),
        5,
        Source::Core,
    );
    assert_eq!(watcher.take(), None);
    for n in 0..3 {
        configuration.update(
            &["services", "a", "Configuration", "k"],
            &json!(n),
            5,
            Source::Core,
        );
    }
    let changed = watcher.changed().await;
    let expected: Vec<Vec<String>> = vec![
        ["services", "A", "Configuration"]
            .map(str::to_owned)
            .to_vec(),
        ["services", "A", "Configuration", "k"]
            .map(str::to_owned)
            .to_vec(),
    ];
    assert!(changed.keys.contains(&expected[1]), "{changed:?}");
    assert_eq!(watcher.take(), None);
    configuration.update(
        &["services", "A", "configuration", "k"],
        &json!(2),
        9,
        Source::Core,
    );
    assert_eq!(watcher.take(), None, "a new time alone is no news");
    configuration.remove(&["services", "A"], 10, Source::Core);
    assert_eq!(
        watcher.changed().await.keys,
        [["services", "A"].map(str::to_owned).to_vec()]
    );
}

#[tokio::test]
async fn a_snapshot_is_restored_with_its_times() {
    let fs = MemoryFileSystem::new(7);
    let configuration = open(&fs).await;
    let before = object(
        json!({"A": {"version": "1", "configuration": {"k": 1, "gone": {"x": 1}}}, "B": {}}),
    );
    configuration.merge(&["services"], &before, 5, Source::Core);
    configuration.update(&["system", "thingName"], &json!("t"), 5, Source::Core);
    let snapshot = configuration.snapshot();
    let services = snapshot
        .get_map(&["services"])
        .expect("it is there")
        .clone();
    let after = object(
        json!({"A": {"version": "2", "configuration": {"k": {"now": "a map"}, "new": 1}}, "C": {"v": 1}}),
    );
    configuration.replace(
        &["services"],
        &after,
        10,
        Source::Deployment { id: "d".into() },
    );
    assert!(configuration.restore(
        &["services"],
        &services,
        Source::Rollback { id: "d".into() }
    ));
    assert_eq!(configuration.snapshot(), snapshot);
    assert!(!configuration.restore(
        &["services"],
        &services,
        Source::Rollback { id: "d".into() }
    ));
    configuration.sync().await.expect("a sync");
    assert_eq!(open(&fs.after_power_cut()).await.snapshot(), snapshot);
}

fn values() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..4_i64).prop_map(Value::from),
        Just(json!([1, {"a": 2}])),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        proptest::collection::btree_map("[abAB]", inner, 0..3)
            .prop_map(|map| Value::Object(map.into_iter().collect()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Whatever was set in whatever order, a restart sees the same tree, and a snapshot can be
    /// restored from any later state.
    #[test]
    fn a_restart_and_a_rollback_give_the_same_tree(
        steps in proptest::collection::vec((0..4_u8, "[abAB]", values(), 1..6_i64), 1..12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let fs = MemoryFileSystem::new(8);
            let configuration = open(&fs).await;
            let mut snapshot = configuration.snapshot();
            for (index, (what, key, value, time)) in steps.iter().enumerate() {
                match (what, value) {
                    (0, Value::Object(map)) => { configuration.replace(&[key], map, *time, Source::Core); }
                    (1, _) => { configuration.remove(&[key], *time, Source::Core); }
                    _ => { configuration.update(&[key], value, *time, Source::Core); }
                }
                if index == steps.len() / 2 {
                    snapshot = configuration.snapshot();
                }
            }
            configuration.sync().await.expect("a sync");
            assert_eq!(open(&fs.clone_durable()).await.snapshot(), configuration.snapshot());
            configuration.rewrite().await.expect("a rewrite");
            assert_eq!(open(&fs.clone_durable()).await.snapshot(), configuration.snapshot());
            let configuration = open(&fs.after_power_cut()).await;
            configuration.restore(ANY, &snapshot, Source::Core);
            assert_eq!(configuration.snapshot(), snapshot);
        });
    }
}

#[test]
fn the_effective_file_is_yaml_as_the_nucleus_writes_it() {
    let system = object(json!({"thingName": "", "rootpath": "/greengrass/v2"}));
    let services = object(json!({
        "main": {"dependencies": ["a", "b:HARD"], "lifecycle": {}},
        "com.x.A": {"configuration": {"k\"1": "line\nnext", "n": 1.0, "yes": null, "l": [[1], {"m": true}]}},
    }));
    assert_eq!(
        effective_yaml(&system, &services),
        r#"---
system:
  rootpath: "/greengrass/v2"
  thingName: ""
services:
  com.x.A:
    configuration:
      "k\"1": "line\nnext"
      l:
      -
        - 1
      -
        m: true
      "n": 1.0
      "yes": null
  main:
    dependencies:
    - "a"
    - "b:HARD"
    lifecycle: {}
"#
    );
}

async fn open_real(root: &Path) -> Configuration {
    let storage = Storage::start().expect("a thread");
    Configuration::open(
        &storage,
        Arc::new(sward_journal::RealFileSystem),
        &root.join("config/journal"),
    )
    .await
    .expect("it opens")
}

#[tokio::test]
async fn the_effective_file_follows_changes_and_reads_back() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let configuration = open_real(folder.path()).await;
    let tasks = Tasks::new();
    configuration.keep_effective(&tasks, folder.path().to_owned());
    configuration.update(
        &["services", "A", "configuration", "k: v"],
        &json!("a: #b"),
        5,
        Source::Core,
    );
    configuration.update(&["services", "A", "_private"], &json!(1), 5, Source::Core);
    tasks
        .shutdown(Duration::from_secs(5))
        .await
        .expect("it stops");
    let text = std::fs::read_to_string(folder.path().join(EFFECTIVE_CONFIG)).expect("a file");
    let value = yaml::parse(&text).expect("valid YAML");
    assert_eq!(
        value,
        json!({"system": {}, "services": {"A": {"configuration": {"k: v": "a: #b"}}}})
    );
}

use sward_task::Tasks;

fn options(root: &Path) -> BootOptions {
    BootOptions {
        root: root.to_owned(),
        ..BootOptions::default()
    }
}

const REGION: [&str; 4] = [
    "services",
    "aws.greengrass.Nucleus",
    "configuration",
    "awsRegion",
];

#[tokio::test]
async fn the_file_of_a_created_device_is_read_and_later_values_win() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    let file = json!({
        "system": {"thingName": "core1"},
        "services": {"aws.greengrass.Nucleus": {"configuration": {"awsRegion": "eu-west-1"}}},
    });
    std::fs::write(root.join("config.yaml"), file.to_string()).expect("a file");
    let configuration = open_real(root).await;
    let report = boot(&configuration, &options(root)).await.expect("a boot");
    assert_eq!(report.files, [root.join("config.yaml")]);
    assert_eq!(
        configuration.get_text(&["system", "thingname"]).as_deref(),
        Some("core1")
    );
    assert_eq!(
        configuration.get_text(&["system", "rootPath"]),
        Some(root.display().to_string())
    );
    assert_eq!(
        configuration.get_text(&REGION).as_deref(),
        Some("eu-west-1")
    );
    let port = [
        "services",
        "aws.greengrass.Nucleus",
        "configuration",
        "greengrassDataPlanePort",
    ];
    assert_eq!(configuration.get(&port), Some(json!(8443)));
    configuration.update(
        &REGION,
        &json!("eu-north-1"),
        now_ms() + 10_000,
        Source::Deployment { id: "d".into() },
    );
    configuration.sync().await.expect("a sync");
    drop(configuration);
    let configuration = open_real(root).await;
    boot(&configuration, &options(root)).await.expect("a boot");
    assert_eq!(
        configuration.get_text(&REGION).as_deref(),
        Some("eu-north-1")
    );
}

#[tokio::test]
async fn a_second_boot_changes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    let configuration = open_real(root).await;
    boot(&configuration, &options(root)).await.expect("a boot");
    let before = configuration.snapshot();
    let records = configuration
        .shared
        .journal
        .records()
        .await
        .expect("readable")
        .len();
    drop(configuration);
    let configuration = open_real(root).await;
    boot(&configuration, &options(root)).await.expect("a boot");
    assert_eq!(configuration.snapshot(), before);
    assert_eq!(
        configuration
            .shared
            .journal
            .records()
            .await
            .expect("readable")
            .len(),
        records
    );
}

#[tokio::test]
async fn config_replaces_init_config_merges_and_the_command_line_wins() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    let write = |name: &str, text: &str| -> PathBuf {
        let path = root.join(name);
        std::fs::write(&path, text).expect("a file");
        path
    };
    let init = write(
        "init.yaml",
        "system:\n  thingName: from-init\nservices:\n  Old: {version: 1.0.0}\n",
    );
    let configuration = open_real(root).await;
    let with_init = BootOptions {
        init_config: Some(init),
        overrides: vec![(REGION.map(str::to_owned).to_vec(), json!("eu-west-3"))],
        ..options(root)
    };
    boot(&configuration, &with_init).await.expect("a boot");
    assert_eq!(
        configuration.get_text(&["system", "thingName"]).as_deref(),
        Some("from-init")
    );
    assert_eq!(
        configuration.get_text(&REGION).as_deref(),
        Some("eu-west-3")
    );
    let whole = write("whole.yaml", "system: {thingName: from-config}\n");
    let with_config = BootOptions {
        config: Some(whole),
        ..options(root)
    };
    boot(&configuration, &with_config).await.expect("a boot");
    assert_eq!(
        configuration.get_text(&["system", "thingName"]).as_deref(),
        Some("from-config")
    );
    assert_eq!(configuration.get(&["services", "Old"]), None);
}

#[tokio::test]
async fn a_bad_file_is_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    let configuration = open_real(root).await;
    for (text, problem) in [
        ("- a\n- b\n", "it holds no map"),
        ("{\"a\": }", "expected value"),
    ] {
        let path = root.join("init.yaml");
        std::fs::write(&path, text).expect("a file");
        let bad = BootOptions {
            init_config: Some(path),
            ..options(root)
        };
        let error = boot(&configuration, &bad).await.expect_err("a bad file");
        assert!(error.to_string().contains(problem), "{error}");
    }
    let missing = BootOptions {
        init_config: Some(root.join("nowhere")),
        ..options(root)
    };
    let error = boot(&configuration, &missing).await.expect_err("no file");
    assert!(matches!(error, ConfigurationError::Read { .. }));
}

#[tokio::test]
async fn the_root_of_an_aws_nucleus_is_taken_over_once() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    std::fs::create_dir(root.join("config")).expect("a folder");
    let log = root.join("config/config.tlog");
    let line = |value: &str| {
        format!(
            "{{\"TS\":7,\"TP\":[\"services\",\"com.x\",\"version\"],\"W\":\"changed\",\"V\":\"{value}\"}}\n"
        )
    };
    std::fs::write(&log, line("1.0.0")).expect("a file");
    std::fs::write(
        root.join("config/config.yaml"),
        "services: {Not: {version: read}}\n",
    )
    .expect("a file");
    let configuration = open_real(root).await;
    let report = boot(&configuration, &options(root)).await.expect("a boot");
    assert_eq!(report.files, std::slice::from_ref(&log));
    let path = ["services", "com.x", "version"];
    assert_eq!(configuration.get_text(&path).as_deref(), Some("1.0.0"));
    let node = configuration.get_stamped(&path).expect("it is there");
    assert_eq!(node.newest_ms(), Some(7));
    assert_eq!(configuration.get(&["services", "Not"]), None);
    drop(configuration);
    std::fs::write(&log, line("2.0.0")).expect("a file");
    let configuration = open_real(root).await;
    boot(&configuration, &options(root)).await.expect("a boot");
    assert_eq!(configuration.get_text(&path).as_deref(), Some("1.0.0"));
}
