//! The deployer between fakes: what a deployment does, and what every kind of failure leaves.

mod fakes;
mod power;
mod real;
mod trouble;

use super::*;
use fakes::{Cloud, Core, PATIENCE, fleet, recipe};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use sward_deployment::LocalRequest;
use sward_deployment::document::{FailureHandlingPolicy, LOCAL_DEPLOYMENT_GROUP};
use sward_journal::memory::MemoryFileSystem;

struct World {
    root: tempfile::TempDir,
    fs: MemoryFileSystem,
    cloud: Arc<Cloud>,
}

impl World {
    fn new() -> World {
        let cloud = Cloud::default();
        cloud
            .groups
            .lock()
            .expect("no panic")
            .extend(["G1".into(), "G2".into()]);
        for (name, version, run, dependencies) in [
            (
                "com.A",
                "1.0.0",
                "a",
                &[("com.Dep", "^1.0.0")] as &[(&str, &str)],
            ),
            ("com.A", "2.0.0", "a2", &[("com.Dep", "^1.0.0")]),
            ("com.A", "3.0.0", "break", &[]),
            ("com.B", "1.0.0", "b", &[("com.Dep", "~1.0.0")]),
            ("com.Dep", "1.0.0", "d", &[]),
            ("com.Dep", "1.1.0", "d", &[]),
        ] {
            cloud.add(&recipe(name, version, run, dependencies, None));
        }
        World {
            root: tempfile::tempdir().expect("a folder"),
            fs: MemoryFileSystem::new(7),
            cloud: Arc::new(cloud),
        }
    }

    async fn start(&self) -> Core {
        Core::start(self.root.path(), &self.fs, &self.cloud)
            .await
            .expect("it starts")
    }
}

fn job(id: &str, group: &str, timestamp_ms: i64, components: Value) -> DeploymentRequest {
    fleet(
        id,
        DeploymentSource::Jobs,
        &format!("thinggroup/{group}"),
        timestamp_ms,
        components,
    )
}

fn local(id: &str, merge: &[(&str, &str)]) -> LocalRequest {
    let merge: BTreeMap<String, String> = merge
        .iter()
        .map(|(name, version)| ((*name).to_owned(), (*version).to_owned()))
        .collect();
    LocalRequest {
        request_id: Some(id.to_owned()),
        request_timestamp_ms: 50,
        components_to_merge: Some(merge),
        ..LocalRequest::default()
    }
}

fn local_deployment(request: LocalRequest) -> DeploymentRequest {
    DeploymentRequest {
        id: request.request_id.clone().unwrap_or_default(),
        source: DeploymentSource::Local,
        document: RequestDocument::Local(Box::new(request)),
    }
}

fn stack(update: &DeploymentStatusUpdate) -> Vec<&'static str> {
    update
        .error_stack
        .iter()
        .map(|code| code.as_str())
        .collect()
}

fn detailed(update: &DeploymentStatusUpdate) -> &'static str {
    update.detailed.map_or("none", |detailed| detailed.as_str())
}

#[tokio::test]
async fn a_deployment_brings_components_and_their_dependencies() {
    let world = World::new();
    let core = world.start().await;
    let request = job(
        "j1",
        "G1",
        100,
        json!({"com.A": {"version": "1.0.0",
        "configurationUpdate": {"merge": {"greeting": "hi", "n": 1.0}}}}),
    );
    let (seen, end) = core.deploy(request).await;
    assert_eq!(seen, ["IN_PROGRESS", "SUCCEEDED"]);
    assert_eq!(detailed(&end), "SUCCESSFUL");
    assert_eq!(
        core.supervisor.table(),
        ["com.A 1.0.0 RUNNING", "com.Dep 1.1.0 RUNNING"]
    );
    let service = |path: &[&str]| core.configuration.get(&[&["services"], path].concat());
    assert_eq!(
        service(&["com.A", "configuration"]),
        Some(json!({"greeting": "hi", "n": 1.0}))
    );
    assert_eq!(
        service(&["com.A", "dependencies"]),
        Some(json!(["com.Dep:HARD"]))
    );
    let arn = "arn:aws:greengrass:us-east-1:123456789012:configuration:thinggroup/G1:1";
    assert_eq!(
        service(&["DeploymentService", "GroupToRootComponents"]),
        Some(json!({"thinggroup/G1": {"com.A": {
            "groupConfigArn": arn, "groupConfigName": "thinggroup/G1", "version": "1.0.0"}}}))
    );
    assert_eq!(
        service(&["DeploymentService", "ComponentToGroups", "com.Dep"]),
        Some(json!({arn: "thinggroup/G1"}))
    );
    assert_eq!(core.deployer.unreported().len(), 1);
    core.deployer.acknowledge("j1").await.expect("it lives");
    core.stop().await;
    let again = world.start().await;
    again.idle().await;
    assert!(again.deployer.unreported().is_empty());
    assert_eq!(
        again.supervisor.table().len(),
        2,
        "the next start runs them again"
    );
    again.stop().await;
}

#[tokio::test]
async fn the_same_document_again_touches_nothing() {
    let world = World::new();
    let core = world.start().await;
    let components = json!({"com.A": {"version": "1.0.0"}});
    core.deploy(job("j1", "G1", 100, components.clone())).await;
    core.supervisor.take_history();
    let (_, end) = core.deploy(job("j2", "G1", 200, components)).await;
    assert_eq!(detailed(&end), "SUCCESSFUL");
    assert_eq!(end.unchanged_roots, ["com.A"]);
    assert!(core.supervisor.take_history().is_empty());
    core.stop().await;
}

#[tokio::test]
async fn a_broken_component_is_rolled_back_and_says_why() {
    let world = World::new();
    let core = world.start().await;
    core.deploy(job("j1", "G1", 100, json!({"com.A": {"version": "2.0.0"}})))
        .await;
    let before = core.configuration.get(&["services", "com.A"]);
    core.supervisor.take_history();
    let request = job(
        "j2",
        "G1",
        200,
        json!({"com.A": {"version": "3.0.0",
        "configurationUpdate": {"merge": {"greeting": "bad", "more": 1}}}, "com.B": {"version": "1.0.0"}}),
    );
    let (seen, end) = core.deploy(request).await;
    assert_eq!(seen, ["IN_PROGRESS", "FAILED"]);
    assert_eq!(detailed(&end), "FAILED_ROLLBACK_COMPLETE");
    assert_eq!(
        stack(&end),
        [
            "DEPLOYMENT_FAILURE",
            "COMPONENT_UPDATE_ERROR",
            "COMPONENT_BROKEN"
        ]
    );
    assert_eq!(end.error_types[0].as_str(), "USER_COMPONENT_ERROR");
    let cause = end.failure_cause.expect("a cause");
    assert_eq!(
        cause,
        "component com.A is BROKEN. RUN_ERROR: run script exited with code 7. \
         its last output was: cannot find the sensor"
    );
    assert_eq!(
        core.supervisor.table(),
        ["com.A 2.0.0 RUNNING", "com.Dep 1.1.0 RUNNING"]
    );
    assert_eq!(core.configuration.get(&["services", "com.A"]), before);
    assert_eq!(core.configured(), ["com.A 2.0.0", "com.Dep 1.1.0"]);
    core.stop().await;
}

#[tokio::test]
async fn a_local_deployment_that_breaks_stays_as_it_is_unless_it_says_otherwise() {
    let world = World::new();
    let core = world.start().await;
    let (_, end) = core
        .deploy(local_deployment(local("l1", &[("com.A", "3.0.0")])))
        .await;
    assert_eq!(detailed(&end), "FAILED_ROLLBACK_NOT_REQUESTED");
    assert_eq!(core.supervisor.table(), ["com.A 3.0.0 BROKEN"]);
    let records =
        core.configuration
            .get(&["services", "DeploymentService", "GroupToRootComponents"]);
    assert!(records.expect("it is recorded")[LOCAL_DEPLOYMENT_GROUP]["com.A"].is_object());
    let request = LocalRequest {
        failure_handling_policy: Some(FailureHandlingPolicy::Rollback),
        ..local("l2", &[("com.A", "~1.0")])
    };
    let (_, end) = core.deploy(local_deployment(request)).await;
    assert_eq!(detailed(&end), "SUCCESSFUL");
    assert_eq!(core.configured(), ["com.A 1.0.0", "com.Dep 1.1.0"]);
    core.stop().await;
}

#[tokio::test]
async fn groups_add_up_and_a_left_group_takes_its_components_along() {
    let world = World::new();
    let core = world.start().await;
    core.deploy(job("j1", "G1", 100, json!({"com.A": {"version": "1.0.0"}})))
        .await;
    core.deploy(job("j2", "G2", 100, json!({"com.B": {"version": "1.0.0"}})))
        .await;
    assert_eq!(
        core.configured(),
        ["com.A 1.0.0", "com.B 1.0.0", "com.Dep 1.0.0"]
    );
    world.cloud.groups.lock().expect("no panic").remove("G1");
    core.supervisor.take_history();
    core.deploy(job("j3", "G2", 300, json!({"com.B": {"version": "1.0.0"}})))
        .await;
    assert_eq!(core.configured(), ["com.B 1.0.0", "com.Dep 1.0.0"]);
    assert_eq!(core.supervisor.take_history(), ["remove com.A"]);
    core.deploy(job("j4", "G2", 400, json!({}))).await;
    assert!(core.configured().is_empty());
    core.stop().await;
}

#[tokio::test]
async fn a_conflict_between_groups_changes_nothing_and_names_both() {
    let world = World::new();
    let core = world.start().await;
    core.deploy(job("j1", "G1", 100, json!({"com.A": {"version": "1.0.0"}})))
        .await;
    let (_, end) = core
        .deploy(job("j2", "G2", 100, json!({"com.A": {"version": "2.0.0"}})))
        .await;
    assert_eq!(detailed(&end), "FAILED_NO_STATE_CHANGE");
    assert_eq!(
        stack(&end)[1..3],
        [
            "NO_AVAILABLE_COMPONENT_VERSION",
            "COMPONENT_VERSION_REQUIREMENTS_NOT_MET",
        ]
    );
    let cause = end.failure_cause.expect("a cause");
    assert!(
        cause.starts_with(
            "No local or cloud component version satisfies the requirements: com.A \
         thinggroup/G1 requires =1.0.0, thinggroup/G2 requires =2.0.0"
        ),
        "{cause}"
    );
    assert_eq!(core.configured(), ["com.A 1.0.0", "com.Dep 1.1.0"]);
    core.stop().await;
}

#[tokio::test]
async fn what_cannot_be_started_ends_at_once() {
    let world = World::new();
    let core = world.start().await;
    core.deploy(job("j1", "G1", 100, json!({}))).await;
    let (seen, end) = core.deploy(job("j2", "G1", 99, json!({}))).await;
    assert_eq!(seen, ["REJECTED"]);
    assert_eq!(
        stack(&end),
        ["DEPLOYMENT_REJECTED", "REJECTED_STALE_DEPLOYMENT"]
    );
    let bad = DeploymentRequest {
        id: "j3".into(),
        source: DeploymentSource::Jobs,
        document: RequestDocument::Fleet("{nope".into()),
    };
    let (seen, end) = core.deploy(bad).await;
    assert_eq!(seen, ["FAILED"]);
    assert_eq!(stack(&end)[1], "DEPLOYMENT_DOCUMENT_NOT_VALID");
    let mut wants = local("l1", &[]);
    wants.required_capabilities = Some(vec!["SUB_DEPLOYMENTS".into(), "FLY".into()]);
    let (_, end) = core.deploy(local_deployment(wants)).await;
    assert_eq!(stack(&end)[1], "NUCLEUS_MISSING_REQUIRED_CAPABILITIES");
    assert!(
        end.failure_cause
            .expect("a cause")
            .ends_with("does not have: FLY")
    );
    let unknown = job(
        "j4",
        "G1",
        200,
        json!({"com.Unknown": {"version": "1.0.0"}}),
    );
    let (_, end) = core.deploy(unknown).await;
    assert_eq!(detailed(&end), "FAILED_NO_STATE_CHANGE");
    assert_eq!(
        stack(&end),
        [
            "DEPLOYMENT_FAILURE",
            "NO_AVAILABLE_COMPONENT_VERSION",
            "COMPONENT_VERSION_REQUIREMENTS_NOT_MET",
        ]
    );
    core.stop().await;
}

#[tokio::test]
async fn a_wait_for_the_network_is_seen_and_ends_when_it_is_back_or_canceled() {
    let world = World::new();
    let core = world.start().await;
    *world.cloud.is_unreachable.lock().expect("no panic") = true;
    let mut updates = core.deployer.updates();
    let mut progress = core.deployer.progress();
    for id in ["j1", "j2"] {
        let request = job(id, "G1", 100, json!({"com.B": {"version": "1.0.0"}}));
        core.deployer.submit(request).await.expect("it is taken");
    }
    for id in ["j1", "j2"] {
        let waits = |progress: &Progress| {
            let running = progress.running.as_ref();
            running.is_some_and(|running| running.id == id && running.waiting.is_some())
        };
        let seen = tokio::time::timeout(PATIENCE, progress.wait_for(waits)).await;
        let running = seen.expect("in time").expect("it lives").running.clone();
        let waiting = running
            .and_then(|running| running.waiting)
            .expect("it waits");
        assert_eq!(waiting.for_what, "the thing groups of this device");
        assert!(waiting.reason.contains("connection refused"), "{waiting:?}");
        assert!(waiting.next_try_ms > waiting.since_ms);
        if id == "j1" {
            let answer = core.deployer.cancel("j1").await.expect("it lives");
            assert_eq!(answer, Canceled::Accepted);
        }
    }
    *world.cloud.is_unreachable.lock().expect("no panic") = false;
    core.deployer.network_changed();
    let mut ends = Vec::new();
    while ends.len() < 2 {
        let update = tokio::time::timeout(PATIENCE, updates.recv()).await;
        let update = update.expect("in time").expect("it lives");
        if update.status.is_terminal() {
            ends.push(format!("{} {}", update.id, update.status));
        }
    }
    assert_eq!(ends, ["j1 CANCELED", "j2 SUCCEEDED"]);
    assert_eq!(
        core.deployer.cancel("j9").await.expect("it lives"),
        Canceled::Unknown
    );
    core.stop().await;
}

#[tokio::test]
async fn a_newer_shadow_deployment_takes_the_place_of_older_ones() {
    let world = World::new();
    let core = world.start().await;
    *world.cloud.is_unreachable.lock().expect("no panic") = true;
    let mut updates = core.deployer.updates();
    let shadow = |id: &str| {
        let components = json!({"com.Dep": {"version": "1.0.0"}});
        fleet(id, DeploymentSource::Shadow, "thing/T", 100, components)
    };
    let submit = async |id: &str| core.deployer.submit(shadow(id)).await.expect("it is taken");
    assert_eq!(submit("s1").await, Submitted::Queued);
    let mut progress = core.deployer.progress();
    let runs = progress.wait_for(|progress| progress.running.is_some());
    tokio::time::timeout(PATIENCE, runs)
        .await
        .expect("in time")
        .expect("it lives");
    drop(progress);
    assert_eq!(submit("s1").await, Submitted::Duplicate);
    submit("s2").await;
    submit("s3").await;
    *world.cloud.is_unreachable.lock().expect("no panic") = false;
    core.deployer.network_changed();
    let mut ends = Vec::new();
    while ends.last() != Some(&"s3 SUCCEEDED".to_owned()) {
        let update = tokio::time::timeout(PATIENCE, updates.recv()).await;
        let update = update.expect("in time").expect("it lives");
        if update.status.is_terminal() {
            ends.push(format!("{} {}", update.id, update.status));
        }
    }
    assert_eq!(ends[0], "s1 CANCELED");
    assert_eq!(submit("s3").await, Submitted::Finished);
    core.stop().await;
}

#[tokio::test]
async fn artifacts_are_there_before_anything_changes() {
    let world = World::new();
    let core = world.start().await;
    let uri = "s3://bucket/dir/tool.bin";
    world.cloud.add(&recipe(
        "com.T",
        "1.0.0",
        "t",
        &[],
        Some((uri, b"the right bytes")),
    ));
    let deploy = json!({"com.T": {"version": "1.0.0"}});
    let (_, end) = core.deploy(job("j1", "G1", 100, deploy.clone())).await;
    assert_eq!(detailed(&end), "FAILED_NO_STATE_CHANGE");
    assert_eq!(
        stack(&end),
        [
            "DEPLOYMENT_FAILURE",
            "ARTIFACT_DOWNLOAD_ERROR",
            "S3_GET_OBJECT_RESOURCE_NOT_FOUND",
            "S3_ERROR",
            "S3_RESOURCE_NOT_FOUND",
        ]
    );
    let put = |bytes: &[u8]| {
        let mut objects = world.cloud.objects.lock().expect("no panic");
        objects.insert(uri.to_owned(), bytes.to_vec());
    };
    put(b"the wrong bytes");
    let (_, end) = core.deploy(job("j2", "G1", 200, deploy.clone())).await;
    assert_eq!(
        stack(&end)[1..],
        ["ARTIFACT_DOWNLOAD_ERROR", "ARTIFACT_CHECKSUM_MISMATCH"]
    );
    assert!(core.configured().is_empty());
    put(b"the right bytes");
    let (_, end) = core.deploy(job("j3", "G1", 300, deploy)).await;
    assert_eq!(detailed(&end), "SUCCESSFUL");
    let path = world
        .root
        .path()
        .join("packages/artifacts/com.T/1.0.0/tool.bin");
    assert_eq!(
        std::fs::read(path).expect("it is there"),
        b"the right bytes"
    );
    core.stop().await;
}

#[tokio::test]
async fn old_versions_go_but_not_those_a_rollback_may_need() {
    let world = World::new();
    let core = world.start().await;
    for (at, version) in ["1.0.0", "1.1.0"].into_iter().enumerate() {
        let id = format!("j{version}");
        let components = json!({"com.Dep": {"version": version}});
        let time = i64::try_from(at).expect("small") + 100;
        core.deploy(job(&id, "G1", time, components)).await;
    }
    let store = ComponentStore::open(world.root.path()).expect("it opens");
    let name = "com.Dep".parse().expect("a name");
    let versions = |store: &ComponentStore| store.versions(&name).expect("it reads").len();
    assert_eq!(versions(&store), 2, "the previous version stays");
    core.deploy(job("j9", "G1", 900, json!({}))).await;
    assert_eq!(versions(&store), 0);
    core.stop().await;
}

#[tokio::test]
async fn the_nucleus_answers_to_the_version_that_groups_ask_for() {
    let world = World::new();
    let core = world.start().await;
    let nucleus = |version: &str, level: &str| {
        json!({"aws.greengrass.Nucleus": {"version": version,
            "configurationUpdate": {"merge": {"logging": {"level": level}}}}})
    };
    for (id, group, level) in [("j1", "G1", "DEBUG"), ("j2", "G2", "WARN")] {
        let (_, end) = core
            .deploy(job(id, group, 100, nucleus("2.12.0", level)))
            .await;
        assert_eq!(detailed(&end), "SUCCESSFUL", "{:?}", end.failure_cause);
    }
    let stored = |key: &str| {
        core.configuration
            .get(&["services", "aws.greengrass.Nucleus", key])
    };
    assert_eq!(stored("version"), Some(json!(sward_model::NUCLEUS_VERSION)));
    assert_eq!(
        stored("configuration"),
        Some(json!({"logging": {"level": "WARN"}}))
    );
    assert!(core.supervisor.table().is_empty());
    let (_, end) = core
        .deploy(job("j3", "G1", 200, nucleus("2.13.0", "INFO")))
        .await;
    assert_eq!(
        detailed(&end),
        "FAILED_NO_STATE_CHANGE",
        "the groups contradict each other"
    );
    core.stop().await;
}

#[tokio::test]
async fn a_core_that_stops_in_the_middle_goes_on_at_its_next_start() {
    let world = World::new();
    world
        .cloud
        .add(&recipe("com.H", "1.0.0", "hang", &[], None));
    let core = world.start().await;
    let mut progress = core.deployer.progress();
    let request = job("j1", "G1", 100, json!({"com.H": {"version": "1.0.0"}}));
    core.deployer.submit(request).await.expect("it is taken");
    let activates = |progress: &Progress| {
        let running = progress.running.as_ref();
        running.is_some_and(|running| running.stage == Stage::Activating)
    };
    let seen = tokio::time::timeout(PATIENCE, progress.wait_for(activates)).await;
    drop(seen.expect("in time").expect("it lives"));
    assert_eq!(
        core.deployer.cancel("j1").await.expect("it lives"),
        Canceled::TooLate
    );
    core.deployer.stop(PATIENCE).await.expect("it stops");
    core.supervisor.components.send_modify(BTreeMap::clear);
    core.stop().await;

    let core = world.start().await;
    let mut progress = core.deployer.progress();
    let seen = tokio::time::timeout(PATIENCE, progress.wait_for(activates)).await;
    drop(seen.expect("in time").expect("it lives"));
    let mut components = core.supervisor.components.subscribe();
    let hangs = components.wait_for(|components| components.len() == 1);
    drop(
        tokio::time::timeout(PATIENCE, hangs)
            .await
            .expect("in time")
            .expect("it lives"),
    );
    core.supervisor.components.send_modify(|components| {
        for (_, state) in components.values_mut() {
            *state = sward_model::ComponentState::Running;
        }
    });
    core.idle().await;
    let ends = core.deployer.unreported();
    assert_eq!(ends.len(), 1);
    assert_eq!(detailed(&ends[0]), "SUCCESSFUL");
    core.stop().await;
}

#[tokio::test]
async fn a_first_deployment_that_fails_leaves_no_trace() {
    let world = World::new();
    let core = world.start().await;
    let before = core.configuration.snapshot();
    let request = job("j1", "G1", 100, json!({"com.A": {"version": "3.0.0"}}));
    let (_, end) = core.deploy(request).await;
    assert_eq!(detailed(&end), "FAILED_ROLLBACK_COMPLETE");
    assert_eq!(
        core.supervisor.take_history(),
        ["install com.A 3.0.0", "remove com.A"]
    );
    let after = core.configuration.get_stamped(&["services"] as &[&str]);
    let after = after.as_ref().and_then(|node| node.as_map());
    assert!(after.is_none_or(|map| map.is_empty()), "{after:?}");
    assert_eq!(before.get_map(&["services"]), None);
    core.stop().await;
}
