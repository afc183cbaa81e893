//! A full disk, components that never come to rest, components that are asked, a core that ends
//! again and again: nothing hangs, nothing is left behind, and the device always runs something.

use super::super::ports::*;
use super::fakes::{Core, Disk, FakeSupervisor, PATIENCE, Parts, recipe};
use super::*;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use sward_model::{ComponentName, ComponentState};

fn disk() -> Disk {
    Disk {
        content: MemoryFileSystem::new(7),
        is_full: Arc::new(AtomicBool::new(false)),
    }
}

fn parts(disk: &Disk) -> Parts {
    Parts::new(Arc::new(disk.clone()))
}

async fn start(world: &World, parts: Parts) -> Core {
    Core::with(world.root.path(), &world.cloud, parts)
        .await
        .expect("it starts")
}

/// Waits until a deployment is in a stage.
async fn in_stage(core: &Core, stage: Stage) {
    let mut progress = core.deployer.progress();
    let is_there = progress.wait_for(|progress| {
        let running = progress.running.as_ref();
        running.is_some_and(|running| running.stage == stage)
    });
    let seen = tokio::time::timeout(PATIENCE, is_there).await;
    drop(seen.expect("in time").expect("it lives"));
}

/// Waits until the components of the supervisor are these.
async fn has_components(core: &Core, table: &[&str]) {
    let mut components = core.supervisor.components.subscribe();
    let are_there = components.wait_for(|components| fakes::rows(components) == table);
    let seen = tokio::time::timeout(PATIENCE, are_there).await;
    drop(seen.expect("in time").expect("it lives"));
}

/// A deployment that hangs in its activation, and the end of the core that carried it out.
async fn left_open(world: &World, disk: &Disk, policy: &str) {
    let core = start(world, parts(disk)).await;
    core.deploy(job(
        "j1",
        "G1",
        100,
        json!({"com.Dep": {"version": "1.0.0"}}),
    ))
    .await;
    core.deployer.acknowledge("j1").await.expect("it lives");
    let mut request = job("j2", "G1", 200, json!({"com.H": {"version": "1.0.0"}}));
    if let RequestDocument::Fleet(text) = &mut request.document {
        *text = text.replacen(
            '{',
            &format!("{{\"failureHandlingPolicy\":\"{policy}\","),
            1,
        );
    }
    core.deployer.submit(request).await.expect("it is taken");
    in_stage(&core, Stage::Activating).await;
    let mut components = core.supervisor.components.subscribe();
    let hangs = components.wait_for(|components| components.len() == 2);
    let seen = tokio::time::timeout(PATIENCE, hangs).await;
    drop(seen.expect("in time").expect("it lives"));
    core.stop().await;
}

fn world_with_a_hanging_component() -> World {
    let world = World::new();
    world
        .cloud
        .add(&recipe("com.H", "1.0.0", "hang", &[], None));
    world
}

#[tokio::test]
async fn components_run_although_the_disk_is_full_when_an_open_deployment_is_taken_up() {
    let world = world_with_a_hanging_component();
    let disk = disk();
    left_open(&world, &disk, "ROLLBACK").await;
    disk.is_full.store(true, Ordering::SeqCst);
    let core = start(&world, parts(&disk)).await;
    core.idle().await;
    assert_eq!(core.supervisor.table(), ["com.Dep 1.0.0 RUNNING"]);
    let ends = core.deployer.unreported();
    assert_eq!(detailed(&ends[0]), "FAILED_UNABLE_TO_ROLLBACK");
    assert!(stack(&ends[0]).contains(&"IO_WRITE_ERROR"), "{ends:?}");
    core.stop().await;
}

/// Fills the disk as soon as nothing but the records of a deployment is left to write.
struct Filling {
    fake: Arc<FakeSupervisor>,
    disk: Disk,
}

impl SupervisorPort for Filling {
    fn apply(&self, changes: SupervisorChanges) -> BoxFuture<'_, Result<(), SupervisorError>> {
        self.fake.apply(changes)
    }
    fn settled(&self, names: Vec<ComponentName>, deadline: Duration) -> BoxFuture<'_, Settled> {
        Box::pin(async move {
            let settled = self.fake.settled(names, deadline).await;
            self.disk.is_full.store(true, Ordering::SeqCst);
            settled
        })
    }
    fn removed(&self, names: Vec<ComponentName>, deadline: Duration) -> BoxFuture<'_, ()> {
        self.fake.removed(names, deadline)
    }
    fn states(&self) -> BTreeMap<ComponentName, ComponentState> {
        self.fake.states()
    }
}

#[tokio::test]
async fn a_disk_that_fills_up_at_the_end_takes_everything_back() {
    let world = World::new();
    let disk = disk();
    let core = start(&world, parts(&disk)).await;
    core.deploy(job("j1", "G1", 100, json!({"com.A": {"version": "1.0.0"}})))
        .await;
    core.stop().await;
    let mut filling = parts(&disk);
    filling.port = Arc::new(Filling {
        fake: filling.fake.clone(),
        disk: disk.clone(),
    });
    let core = start(&world, filling).await;
    core.idle().await;
    let before = core.configuration.get(&["services"]);
    let components = json!({"com.B": {"version": "1.0.0"}});
    let (_, end) = core.deploy(job("j2", "G1", 200, components)).await;
    assert_eq!(detailed(&end), "FAILED_UNABLE_TO_ROLLBACK");
    assert_eq!(
        core.supervisor.table(),
        ["com.A 1.0.0 RUNNING", "com.Dep 1.1.0 RUNNING"]
    );
    assert_eq!(core.configuration.get(&["services"]), before);
    disk.is_full.store(false, Ordering::SeqCst);
    core.stop().await;
}

#[tokio::test]
async fn a_local_deployment_that_was_refused_does_not_run_later() {
    let world = World::new();
    let disk = disk();
    let core = start(&world, parts(&disk)).await;
    core.idle().await;
    disk.is_full.store(true, Ordering::SeqCst);
    let refused = local_deployment(local("l1", &[("com.Dep", "1.0.0")]));
    let answer = core.deployer.submit(refused).await;
    assert!(matches!(answer, Err(DeployerError::Record { .. })));
    disk.is_full.store(false, Ordering::SeqCst);
    let taken = local_deployment(local("l2", &[("com.B", "1.0.0")]));
    core.deploy(taken).await;
    core.idle().await;
    let known = core.deployer.deployments();
    let ids: Vec<&str> = known.iter().map(|one| one.id.as_str()).collect();
    assert_eq!(ids, ["l2"]);
    core.stop().await;
}

#[tokio::test]
async fn a_component_that_cannot_be_taken_keeps_no_other_from_starting() {
    let world = World::new();
    let core = world.start().await;
    core.deploy(job("j1", "G1", 100, json!({"com.A": {"version": "1.0.0"}})))
        .await;
    core.configuration.update(
        &["services", "com.Lambda", "componentType"],
        &json!("LAMBDA"),
        100,
        crate::configuration::Source::Core,
    );
    core.configuration.sync().await.expect("there is room");
    core.stop().await;
    let core = world.start().await;
    core.idle().await;
    assert_eq!(
        core.supervisor.table(),
        ["com.A 1.0.0 RUNNING", "com.Dep 1.1.0 RUNNING"]
    );
    core.stop().await;
}

#[tokio::test]
async fn the_time_of_what_is_waited_for_counts_although_the_deployment_does_not_touch_it() {
    let world = World::new();
    let slow = json!({
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": "com.Slow",
        "ComponentVersion": "1.0.0",
        "Manifests": [{"Lifecycle": {"install": {"Script": "i", "Timeout": 5000}, "run": "r"}}],
    });
    world.cloud.add(&slow.to_string());
    let depends = [("com.Slow", "^1.0.0")];
    world
        .cloud
        .add(&recipe("com.D", "1.0.0", "d", &depends, None));
    let core = world.start().await;
    let components = json!({"com.Slow": {"version": "1.0.0"}});
    core.deploy(job("j1", "G1", 100, components)).await;
    // It installs again, as after each start of the core.
    core.supervisor.components.send_modify(|components| {
        for (_, state) in components.values_mut() {
            *state = ComponentState::New;
        }
    });
    *core.supervisor.longest_wait.lock().expect("no panic") = Duration::ZERO;
    let components = json!({"com.Slow": {"version": "1.0.0"}, "com.D": {"version": "1.0.0"}});
    core.deploy(job("j2", "G1", 200, components)).await;
    let longest = *core.supervisor.longest_wait.lock().expect("no panic");
    assert!(longest >= Duration::from_secs(3 * 5000), "{longest:?}");
    core.stop().await;
}

/// Components that come up whenever one looks, and go down a moment later.
struct Restless(Arc<FakeSupervisor>);

impl SupervisorPort for Restless {
    fn apply(&self, changes: SupervisorChanges) -> BoxFuture<'_, Result<(), SupervisorError>> {
        self.0.apply(changes)
    }
    fn settled(&self, _names: Vec<ComponentName>, _deadline: Duration) -> BoxFuture<'_, Settled> {
        Box::pin(std::future::ready(Settled::Fine))
    }
    fn unsettled(&self, _names: Vec<ComponentName>) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(Duration::from_secs(1)))
    }
    fn removed(&self, names: Vec<ComponentName>, deadline: Duration) -> BoxFuture<'_, ()> {
        self.0.removed(names, deadline)
    }
    fn states(&self) -> BTreeMap<ComponentName, ComponentState> {
        self.0.states()
    }
}

#[tokio::test]
async fn a_component_that_restarts_for_ever_fails_its_deployment_in_the_end() {
    let world = World::new();
    let mut parts = parts(&disk());
    parts.port = Arc::new(Restless(parts.fake.clone()));
    parts.steady = Duration::from_secs(2);
    let core = start(&world, parts).await;
    core.idle().await;
    let mut updates = core.deployer.updates();
    // From here on hours take no time.
    tokio::time::pause();
    let components = json!({"com.Dep": {"version": "1.0.0"}});
    let mut request = job("j1", "G1", 100, components);
    if let RequestDocument::Fleet(text) = &mut request.document {
        *text = text.replacen('{', "{\"failureHandlingPolicy\":\"DO_NOTHING\",", 1);
    }
    core.deployer.submit(request).await.expect("it is taken");
    let end = loop {
        let update = updates.recv().await.expect("it lives");
        if update.status.is_terminal() {
            break update;
        }
    };
    tokio::time::resume();
    assert_eq!(detailed(&end), "FAILED_ROLLBACK_NOT_REQUESTED");
    let cause = end.failure_cause.expect("a cause");
    assert!(
        cause.starts_with("these components do not stay up: com.Dep (RUNNING)"),
        "{cause}"
    );
    core.stop().await;
}

#[tokio::test]
async fn a_deployment_that_ends_the_core_again_and_again_is_given_up() {
    let world = world_with_a_hanging_component();
    let disk = disk();
    left_open(&world, &disk, "ROLLBACK").await;
    for _ in 0..5 {
        let core = start(&world, parts(&disk)).await;
        in_stage(&core, Stage::Activating).await;
        let mut components = core.supervisor.components.subscribe();
        let hangs = components.wait_for(|components| !components.is_empty());
        let seen = tokio::time::timeout(PATIENCE, hangs).await;
        drop(seen.expect("in time").expect("it lives"));
        core.stop().await;
    }
    let core = start(&world, parts(&disk)).await;
    core.idle().await;
    let ends = core.deployer.unreported();
    assert_eq!(detailed(&ends[0]), "FAILED_ROLLBACK_COMPLETE");
    assert!(stack(&ends[0]).contains(&"DEPLOYMENT_INTERRUPTED"));
    assert_eq!(core.supervisor.table(), ["com.Dep 1.0.0 RUNNING"]);
    assert_eq!(core.configured(), ["com.Dep 1.0.0"]);
    core.stop().await;
}

#[tokio::test]
async fn a_rollback_that_ends_the_core_again_and_again_is_given_up_too() {
    let world = world_with_a_hanging_component();
    let disk = disk();
    let core = start(&world, parts(&disk)).await;
    core.deploy(job(
        "j1",
        "G1",
        100,
        json!({"com.Dep": {"version": "1.0.0"}}),
    ))
    .await;
    core.deployer.acknowledge("j1").await.expect("it lives");
    // What was there hangs from now on, so that the way back takes for ever.
    core.configuration.update(
        &["services", "com.Dep", "lifecycle", "run"],
        &json!("hang"),
        i64::MAX,
        crate::configuration::Source::Core,
    );
    let request = job(
        "j2",
        "G1",
        200,
        json!({"com.A": {"version": "3.0.0"}, "com.Dep": {"version": "1.1.0"}}),
    );
    core.deployer.submit(request).await.expect("it is taken");
    let way_back = ["com.Dep 1.0.0 STARTING"];
    in_stage(&core, Stage::RollingBack).await;
    has_components(&core, &way_back).await;
    core.stop().await;
    for _ in 0..5 {
        let core = start(&world, parts(&disk)).await;
        in_stage(&core, Stage::RollingBack).await;
        has_components(&core, &way_back).await;
        core.stop().await;
    }
    let core = start(&world, parts(&disk)).await;
    core.idle().await;
    let ends = core.deployer.unreported();
    assert_eq!(detailed(&ends[0]), "FAILED_UNABLE_TO_ROLLBACK");
    assert_eq!(core.supervisor.table(), way_back);
    core.stop().await;
}

/// A component that asks for a later time, for ever, and one that refuses its configuration.
#[derive(Default)]
struct Reluctant {
    defers: bool,
    refuses: bool,
    told: Mutex<Vec<String>>,
}

impl UpdateGate for Reluctant {
    fn before_update(&self, deployment_id: &str, _timeout: Duration) -> BoxFuture<'_, ()> {
        let mut told = self.told.lock().expect("no panic");
        told.push(format!("before {deployment_id}"));
        match self.defers {
            true => Box::pin(std::future::pending()),
            false => Box::pin(std::future::ready(())),
        }
    }
    fn after_update(&self, deployment_id: &str) {
        let mut told = self.told.lock().expect("no panic");
        told.push(format!("after {deployment_id}"));
    }
    fn validate(
        &self,
        _deployment_id: &str,
        configurations: BTreeMap<ComponentName, Value>,
        _timeout: Duration,
    ) -> BoxFuture<'_, Result<(), ConfigurationRejection>> {
        let component = configurations.keys().next().cloned();
        let answer = match component.filter(|_| self.refuses) {
            Some(component) => Err(ConfigurationRejection {
                component,
                reason: "no such sensor".into(),
            }),
            None => Ok(()),
        };
        Box::pin(std::future::ready(answer))
    }
}

async fn with_gate(world: &World, gate: &Arc<Reluctant>) -> Core {
    let parts = Parts {
        gate: gate.clone(),
        ..parts(&disk())
    };
    start(world, parts).await
}

#[tokio::test]
async fn a_deferral_is_seen_and_whoever_was_asked_hears_of_a_cancellation() {
    let world = World::new();
    let gate = Arc::new(Reluctant {
        defers: true,
        ..Reluctant::default()
    });
    let core = with_gate(&world, &gate).await;
    let mut updates = core.deployer.updates();
    let request = job("j1", "G1", 100, json!({"com.Dep": {"version": "1.0.0"}}));
    core.deployer.submit(request).await.expect("it is taken");
    let mut progress = core.deployer.progress();
    let waits = progress.wait_for(|progress| {
        let running = progress.running.as_ref();
        running.is_some_and(|running| running.waiting.is_some())
    });
    let seen = tokio::time::timeout(PATIENCE, waits).await;
    let running = seen.expect("in time").expect("it lives").running.clone();
    let running = running.expect("it runs");
    assert_eq!(running.stage, Stage::Asking);
    let waiting = running.waiting.expect("it waits");
    assert_eq!(waiting.for_what, "the consent of components to the update");
    let answer = core.deployer.cancel("j1").await.expect("it lives");
    assert_eq!(answer, Canceled::Accepted);
    let end = loop {
        let update = tokio::time::timeout(PATIENCE, updates.recv()).await;
        let update = update.expect("in time").expect("it lives");
        if update.status.is_terminal() {
            break update;
        }
    };
    assert_eq!(end.status.as_str(), "CANCELED");
    let told = gate.told.lock().expect("no panic").clone();
    assert_eq!(told, ["before j1", "after j1"]);
    core.stop().await;
}

#[tokio::test]
async fn whoever_was_asked_hears_that_a_configuration_was_refused() {
    let world = World::new();
    let gate = Arc::new(Reluctant {
        refuses: true,
        ..Reluctant::default()
    });
    let core = with_gate(&world, &gate).await;
    let deploy = async |id: &str, timestamp_ms, greeting: &str| {
        let components = json!({"com.Dep": {"version": "1.0.0",
            "configurationUpdate": {"merge": {"greeting": greeting}}}});
        core.deploy(job(id, "G1", timestamp_ms, components)).await.1
    };
    assert_eq!(detailed(&deploy("j1", 100, "hi").await), "SUCCESSFUL");
    let end = deploy("j2", 200, "ho").await;
    assert_eq!(detailed(&end), "FAILED_NO_STATE_CHANGE");
    assert_eq!(stack(&end)[1], "COMPONENT_CONFIGURATION_NOT_VALID");
    let told = gate.told.lock().expect("no panic").clone();
    assert_eq!(told, ["before j1", "after j1", "before j2", "after j2"]);
    core.stop().await;
}
