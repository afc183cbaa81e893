//! The power goes at every write of a deployment; the next start ends it by itself.

use super::fakes::{Cloud, Core, PATIENCE, fleet, recipe};
use super::*;
use sward_journal::memory::Fault;

/// Components of the deployment under test, and what the device looks like afterwards.
struct Story {
    components: Value,
    end: &'static str,
    configured: &'static [&'static str],
    running: &'static [&'static str],
}

fn cloud() -> Arc<Cloud> {
    let cloud = Cloud::default();
    cloud.groups.lock().expect("no panic").insert("G1".into());
    for (name, version, run) in [
        ("com.A", "1.0.0", "a"),
        ("com.A", "2.0.0", "a2"),
        ("com.A", "3.0.0", "break"),
        ("com.Old", "1.0.0", "o"),
        ("com.New", "1.0.0", "n"),
    ] {
        cloud.add(&recipe(name, version, run, &[], None));
    }
    Arc::new(cloud)
}

async fn submit(core: &Core, id: &str, timestamp_ms: i64, components: Value) -> bool {
    let request = fleet(
        id,
        DeploymentSource::Jobs,
        "thinggroup/G1",
        timestamp_ms,
        components,
    );
    core.deployer.submit(request).await.is_ok()
}

/// Runs the story with the power going at a write; `None` when there was no such write.
async fn with_cut_at(story: &Story, write: u64) -> Option<()> {
    let root = tempfile::tempdir().expect("a folder");
    let fs = MemoryFileSystem::new(write + 1);
    let cloud = cloud();
    let core = Core::start(root.path(), &fs, &cloud)
        .await
        .expect("it starts");
    let first = json!({"com.A": {"version": "1.0.0"}, "com.Old": {"version": "1.0.0"}});
    assert!(submit(&core, "first", 100, first).await);
    core.idle().await;
    core.deployer.acknowledge("first").await.expect("it lives");
    core.configuration.sync().await.expect("it syncs");

    let cut_at = fs.operations() + write;
    fs.fail_at(cut_at, Fault::PowerCut);
    let mut updates = core.deployer.updates();
    let is_accepted = submit(&core, "second", 200, story.components.clone()).await;
    if is_accepted {
        // Its end, told or not: the core may believe in it although the disk is dead.
        let ended = async {
            while let Ok(update) = updates.recv().await {
                if update.id == "second" && update.status.is_terminal() {
                    break;
                }
            }
        };
        tokio::time::timeout(PATIENCE, ended)
            .await
            .expect("it ends in time");
    }
    let was_cut = fs.operations() >= cut_at;
    core.stop().await;
    let after = fs.after_power_cut();

    let core = Core::start(root.path(), &after, &cloud)
        .await
        .expect("it starts again");
    core.idle().await;
    let ends: Vec<String> = core
        .deployer
        .unreported()
        .iter()
        .map(|update| {
            format!(
                "{} {}",
                update.id,
                update.detailed.map_or("", |d| d.as_str())
            )
        })
        .collect();
    let was_durable = core
        .deployer
        .deployments()
        .iter()
        .any(|one| one.id == "second");
    assert!(
        was_durable || !is_accepted,
        "an accepted deployment is gone (write {write})"
    );
    if was_durable {
        assert_eq!(ends, [format!("second {}", story.end)], "write {write}");
        assert_eq!(core.configured(), story.configured, "write {write}");
        assert_eq!(core.supervisor.table(), story.running, "write {write}");
    } else {
        assert_eq!(
            core.configured(),
            ["com.A 1.0.0", "com.Old 1.0.0"],
            "write {write}"
        );
    }
    core.stop().await;
    was_cut.then_some(())
}

async fn with_every_cut(story: Story) {
    let mut cuts = 0;
    for write in 1..500 {
        if with_cut_at(&story, write).await.is_none() {
            break;
        }
        cuts += 1;
    }
    assert!(cuts > 5, "there were {cuts} writes only");
}

#[tokio::test]
async fn a_good_deployment_is_finished_after_a_cut_at_any_write() {
    with_every_cut(Story {
        components: json!({"com.A": {"version": "2.0.0"}, "com.New": {"version": "1.0.0"}}),
        end: "SUCCESSFUL",
        configured: &["com.A 2.0.0", "com.New 1.0.0"],
        running: &["com.A 2.0.0 RUNNING", "com.New 1.0.0 RUNNING"],
    })
    .await;
}

#[tokio::test]
async fn a_bad_deployment_is_rolled_back_after_a_cut_at_any_write() {
    with_every_cut(Story {
        components: json!({"com.A": {"version": "3.0.0"}, "com.New": {"version": "1.0.0"}}),
        end: "FAILED_ROLLBACK_COMPLETE",
        configured: &["com.A 1.0.0", "com.Old 1.0.0"],
        running: &["com.A 1.0.0 RUNNING", "com.Old 1.0.0 RUNNING"],
    })
    .await;
}
