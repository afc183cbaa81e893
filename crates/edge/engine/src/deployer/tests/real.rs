//! The deployer with the real supervisor: real scripts in real processes.

use super::super::ports::*;
use super::fakes::{Cloud, Core, PATIENCE, Parts, recipe};
use super::*;
use crate::logs::{LogSettings, Logs};
use crate::supervisor::{
    self, Changes, ComponentSpec, DependencyKind, Supervisor, SupervisorOptions,
};
use std::path::PathBuf;
use std::time::Duration;
use sward_journal::Storage;
use sward_model::{ComponentName, ComponentState};

/// Longer than a script that fails at once needs for that.
const STEADY: Duration = Duration::from_millis(400);

/// What the core's own wiring does, without IPC.
struct Port {
    supervisor: Supervisor,
    root: PathBuf,
}

impl Port {
    fn spec(&self, service: ServiceSpec) -> ComponentSpec {
        let lifecycle = Value::Object(service.lifecycle);
        let work = self.root.join("work").join(service.name.as_str());
        let kind = |is_hard| match is_hard {
            true => DependencyKind::Hard,
            false => DependencyKind::Soft,
        };
        ComponentSpec {
            is_root: service.is_root,
            dependencies: service
                .dependencies
                .into_iter()
                .map(|(name, is_hard)| (name, kind(is_hard)))
                .collect(),
            ..ComponentSpec::new(service.name, &service.version, lifecycle, work)
        }
    }
}

impl SupervisorPort for Port {
    fn apply(&self, changes: SupervisorChanges) -> BoxFuture<'_, Result<(), SupervisorError>> {
        let changes = Changes {
            set: changes.set.into_iter().map(|one| self.spec(one)).collect(),
            remove: changes.remove,
        };
        Box::pin(async move {
            let applied = self.supervisor.apply(changes).await;
            applied.map(drop).map_err(|error| SupervisorError {
                component: "all".into(),
                reason: error.to_string(),
            })
        })
    }

    fn settled(&self, names: Vec<ComponentName>, deadline: Duration) -> BoxFuture<'_, Settled> {
        Box::pin(async move {
            match self.supervisor.settled(&names, deadline).await {
                supervisor::Settled::Fine => Settled::Fine,
                supervisor::Settled::Broken(status) => {
                    let failure = status.failure.expect("a broken component failed");
                    Settled::Broken(Box::new(BrokenComponent {
                        name: status.name,
                        status_code: failure.code.as_str().into(),
                        reason: failure.reason,
                        exit_code: failure.exit_code,
                        last_output: failure.last_output,
                    }))
                }
                supervisor::Settled::TimedOut(_) => Settled::TimedOut(Vec::new()),
            }
        })
    }

    fn unsettled(&self, names: Vec<ComponentName>) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let mut states = self.supervisor.states();
            let one_left = states.wait_for(|states| {
                let mut known = names.iter().filter_map(|name| states.get(name));
                known.any(|status| {
                    !matches!(
                        status.state,
                        ComponentState::Running | ComponentState::Finished
                    )
                })
            });
            drop(one_left.await);
        })
    }

    fn removed(&self, names: Vec<ComponentName>, deadline: Duration) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            assert!(self.supervisor.removed(&names, deadline).await);
        })
    }

    fn states(&self) -> BTreeMap<ComponentName, ComponentState> {
        let now = self.supervisor.snapshot();
        now.iter()
            .map(|(name, status)| (name.clone(), status.state))
            .collect()
    }
}

#[tokio::test]
async fn real_scripts_are_installed_upgraded_rolled_back_and_removed() {
    let root = tempfile::tempdir().expect("a folder");
    let cloud = Arc::new(Cloud::default());
    cloud.groups.lock().expect("no panic").insert("G1".into());
    let marks = root.path().join("marks");
    let mark = |word: &str| format!("echo {word} >> {}", marks.display());
    let good = format!("{}; exec sleep 1000", mark("one"));
    let better = format!("{}; exec sleep 1000", mark("two"));
    for (version, run) in [
        ("1.0.0", good.as_str()),
        ("2.0.0", better.as_str()),
        ("3.0.0", "echo no sensor at 0x40 >&2; exit 7"),
    ] {
        cloud.add(&recipe("com.A", version, run, &[], None));
    }
    let tasks = Tasks::new();
    let storage = Storage::start().expect("a thread");
    let logs = Logs::start(LogSettings::new(root.path())).expect("a thread");
    let mut options = SupervisorOptions::new(root.path().to_owned(), root.path().join("state"));
    options.run_with.posix_user = Some("root".into());
    options.retry.delays_ms = vec![10];
    let supervisor = Supervisor::start(options, &tasks, &storage, logs)
        .await
        .expect("it starts");
    let port = Arc::new(Port {
        supervisor: supervisor.clone(),
        root: root.path().to_owned(),
    });
    let fs = MemoryFileSystem::new(3);
    let parts = Parts {
        port,
        steady: STEADY,
        ..Parts::new(Arc::new(fs))
    };
    let core = Core::with(root.path(), &cloud, parts)
        .await
        .expect("it starts");
    let name: ComponentName = "com.A".parse().expect("a name");
    let shown = || {
        let status = supervisor.status(&name);
        status.map(|status| format!("{} {}", status.version, status.state))
    };
    let deploy = |id: &str, at: i64, version: &str| {
        job(id, "G1", at, json!({"com.A": {"version": version}}))
    };
    for (id, at, version) in [("j1", 1, "1.0.0"), ("j2", 2, "2.0.0")] {
        let (_, end) = core.deploy(deploy(id, at, version)).await;
        assert_eq!(detailed(&end), "SUCCESSFUL", "{:?}", end.failure_cause);
        assert_eq!(shown(), Some(format!("{version} RUNNING")));
    }
    let (_, end) = core.deploy(deploy("j3", 3, "3.0.0")).await;
    assert_eq!(detailed(&end), "FAILED_ROLLBACK_COMPLETE");
    let cause = end.failure_cause.expect("a cause");
    assert!(cause.contains("exited with code 7"), "{cause}");
    assert!(
        cause.ends_with("its last output was: no sensor at 0x40"),
        "{cause}"
    );
    assert_eq!(shown().as_deref(), Some("2.0.0 RUNNING"));
    let (_, end) = core.deploy(job("j4", "G1", 4, json!({}))).await;
    assert_eq!(detailed(&end), "SUCCESSFUL");
    assert_eq!(shown(), None);
    let marks = std::fs::read_to_string(marks).expect("the scripts ran");
    assert_eq!(
        marks.split_whitespace().collect::<Vec<_>>(),
        ["one", "two", "two"]
    );
    supervisor.shutdown(PATIENCE).await.expect("it stops");
    core.stop().await;
    tasks.shutdown(PATIENCE).await.expect("all tasks stop");
}
