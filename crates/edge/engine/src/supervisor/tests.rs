//! Real scripts in real processes. Each test waits for values, with a deadline.

use super::*;
use crate::logs::{LogSettings, Logs};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sward_journal::Storage;
use sward_model::ComponentState;
use sward_task::Tasks;

const SOON: Duration = Duration::from_secs(60);

struct Core {
    root: PathBuf,
    tasks: Tasks,
    supervisor: Supervisor,
    storage: Storage,
    /// Removed with the core.
    _folder: Option<tempfile::TempDir>,
}

fn name(text: &str) -> ComponentName {
    text.parse().expect("a name")
}

impl Core {
    async fn new() -> Core {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let root = folder.path().to_owned();
        let mut core = Core::at(&root).await;
        core._folder = Some(folder);
        core
    }

    async fn at(root: &Path) -> Core {
        Core::with(root, |_| {}).await
    }

    async fn with(root: &Path, change: impl FnOnce(&mut SupervisorOptions)) -> Core {
        let mut options = SupervisorOptions::new(root.to_owned(), root.join("state"));
        // The tests' own user, also where that is root.
        options.run_with.posix_user = Some("root".into());
        options.retry.delays_ms = vec![10];
        options.stop_grace = Duration::from_millis(400);
        change(&mut options);
        let tasks = Tasks::new();
        let storage = Storage::start().expect("a thread");
        let logs = Logs::start(LogSettings::new(root)).expect("a thread");
        let supervisor = Supervisor::start(options, &tasks, &storage, logs)
            .await
            .expect("it starts");
        Core {
            root: root.to_owned(),
            tasks,
            supervisor,
            storage,
            _folder: None,
        }
    }

    fn spec(&self, component: &str, lifecycle: Value) -> ComponentSpec {
        let work = self.root.join("work").join(component);
        ComponentSpec::new(name(component), "1.0.0", lifecycle, work)
    }

    async fn apply(&self, set: Vec<ComponentSpec>) -> Settled {
        let names: Vec<ComponentName> = set.iter().map(|spec| spec.name.clone()).collect();
        let changes = Changes {
            set,
            remove: Vec::new(),
        };
        self.supervisor.apply(changes).await.expect("it takes them");
        self.supervisor.settled(&names, SOON).await
    }

    async fn run(&self, component: &str, lifecycle: Value) -> Settled {
        self.apply(vec![self.spec(component, lifecycle)]).await
    }

    async fn wait_for(&self, component: &str, state: ComponentState) {
        let component = name(component);
        let mut states = self.supervisor.states();
        let reached = states.wait_for(|states| {
            states
                .get(&component)
                .is_some_and(|status| status.state == state)
        });
        tokio::time::timeout(SOON, reached)
            .await
            .unwrap_or_else(|_| panic!("{component} never gets {state}"))
            .expect("the supervisor lives");
    }

    fn state(&self, component: &str) -> ComponentState {
        self.supervisor
            .status(&name(component))
            .expect("it is known")
            .state
    }

    fn log(&self, component: &str) -> String {
        std::fs::read_to_string(self.root.join("logs").join(format!("{component}.log")))
            .unwrap_or_default()
    }

    fn file(&self, component: &str, file: &str) -> String {
        std::fs::read_to_string(self.root.join("work").join(component).join(file))
            .unwrap_or_default()
    }

    async fn end(self) {
        self.supervisor.shutdown(SOON).await.expect("it stops");
        self.tasks.shutdown(SOON).await.expect("nothing is left");
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + SOON;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The states, as the kernel spells them, of the living processes that work in this folder.
fn states_in(folder: &Path) -> Vec<char> {
    sward_sys::ProcessTable::read()
        .iter()
        .filter(|entry| !entry.is_zombie)
        .filter(|entry| {
            std::fs::read_link(format!("/proc/{}/cwd", entry.id.pid)).is_ok_and(|at| at == folder)
        })
        .filter_map(|entry| std::fs::read_to_string(format!("/proc/{}/stat", entry.id.pid)).ok())
        .filter_map(|stat| stat.rsplit_once(") ")?.1.chars().next())
        .collect()
}

/// How many living processes have this command line.
fn count(text: &str) -> usize {
    sward_sys::ProcessTable::read()
        .iter()
        .filter(|entry| !entry.is_zombie && entry.id.pid != std::process::id())
        .filter_map(|entry| std::fs::read(format!("/proc/{}/cmdline", entry.id.pid)).ok())
        .filter(|line| String::from_utf8_lossy(line).replace('\0', " ").trim_end() == text)
        .count()
}

/// A `sleep` that no other test starts; `seconds` must be unique to the test.
fn sleep(seconds: u32) -> String {
    format!("sleep {seconds}.{}", std::process::id())
}

#[tokio::test]
async fn a_script_sees_its_folder_and_variables_and_its_output_is_logged() {
    let core = Core::new().await;
    let mut spec = core.spec(
        "com.x",
        json!({
            "Setenv": {"A": "outer", "B": "outer"},
            "Run": {
                "Script": "pwd; echo $A $B $SVCUID; echo oops >&2; printf 'no newline'",
                "Setenv": {"A": "inner"},
            },
        }),
    );
    spec.environment.insert("SVCUID".into(), "token".into());
    assert_eq!(core.apply(vec![spec]).await, Settled::Fine);
    core.wait_for("com.x", ComponentState::Finished).await;
    let log = core.log("com.x");
    let work = core.root.join("work/com.x");
    for line in [
        format!(
            "[INFO] (Copier) com.x: stdout. {}. {{scriptName=services.com.x.lifecycle.Run.Script, serviceName=com.x, currentState=",
            work.display()
        ),
        "com.x: stdout. inner outer token. {".to_owned(),
        "[WARN] (Copier) com.x: stderr. oops. {".to_owned(),
        "com.x: stdout. no newline. {".to_owned(),
        "com.x: shell-runner-start. {command=[\"sh -c pwd;".to_owned(),
        "com.x: Run script exited. {exitCode=0, ".to_owned(),
    ] {
        assert!(log.contains(&line), "{line}\nis not in\n{log}");
    }
    core.end().await;
}

#[tokio::test]
async fn the_first_process_of_a_root_starts_once_the_next_core_could_find_it() {
    let core = Core::new().await;
    // A disk that is slow to take the list.
    core.storage
        .post(|| std::thread::sleep(Duration::from_millis(300)))
        .expect("the thread runs");
    let ledger = core.root.join("state");
    let look = format!(
        "grep -rq instance {} && echo found > look || echo not yet > look",
        ledger.display()
    );
    let settled = core.run("com.x", json!({ "install": look })).await;
    assert_eq!(settled, Settled::Fine);
    assert_eq!(core.file("com.x", "look"), "found\n");
    core.end().await;
}

#[tokio::test]
async fn a_failing_install_breaks_and_says_why() {
    let core = Core::new().await;
    let lifecycle = json!({"install": "echo try >> tries; echo 'no such library' >&2; exit 7", "run": "touch never"});
    let Settled::Broken(status) = core.run("com.x", lifecycle).await else {
        panic!("it must break");
    };
    assert_eq!(status.status_code, StatusCode::InstallError);
    let failure = status.failure.expect("it failed");
    assert_eq!(failure.exit_code, Some(7));
    assert_eq!(failure.reason, "install script exited with code 7");
    assert_eq!(failure.last_output, ["no such library"]);
    assert_eq!(core.file("com.x", "tries").lines().count(), 3);
    assert!(!core.root.join("work/com.x/never").exists());
    core.end().await;
}

#[tokio::test]
async fn an_install_that_times_out_is_ended_with_everything_it_started() {
    let core = Core::new().await;
    let (a, b, c) = (sleep(1001), sleep(1002), sleep(1003));
    let script = format!("echo waiting; trap '' TERM; {a} & env -i {b} & setsid {c} & wait; {a}");
    let lifecycle = json!({"install": {"Script": script, "Timeout": 1}});
    let mut spec = core.spec("com.x", lifecycle);
    spec.lifecycle["errorResetTime"] = json!(3600);
    let core_options = core.apply(vec![spec]);
    let Settled::Broken(status) = core_options.await else {
        panic!("it must break");
    };
    assert_eq!(status.status_code, StatusCode::InstallTimeout);
    let failure = status.failure.expect("it failed");
    assert_eq!(failure.reason, "install script timed out after 1 seconds");
    assert_eq!(failure.last_output, ["waiting"]);
    assert_eq!(count(&a) + count(&b) + count(&c), 0);
    core.end().await;
}

#[tokio::test]
async fn the_shutdown_script_runs_to_its_end_beside_the_run_then_the_tree_is_ended() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    // A busy machine may take its time over the trap.
    let core = Core::with(folder.path(), |options| options.stop_grace = SOON).await;
    let a = sleep(1004);
    let lifecycle = json!({
        "run": format!("trap 'echo term >> order; exit 0' TERM; {a} & echo $! > pid; echo up > up; while true; do wait; sleep 0.01; done"),
        "shutdown": format!("kill -0 $(cat pid) && echo shutdown >> order; echo done >> order"),
    });
    assert_eq!(core.run("com.x", lifecycle).await, Settled::Fine);
    until("it is up", || core.file("com.x", "up") == "up\n").await;
    core.supervisor.stop(&name("com.x")).await.expect("known");
    core.wait_for("com.x", ComponentState::Finished).await;
    assert_eq!(core.file("com.x", "order"), "shutdown\ndone\nterm\n");
    assert_eq!(count(&a), 0);
    core.end().await;
}

#[tokio::test]
async fn what_a_startup_leaves_in_the_background_lives_until_the_stop() {
    let core = Core::new().await;
    let a = sleep(1005);
    let lifecycle = json!({"startup": format!("nohup setsid {a} > /dev/null 2>&1 &")});
    assert_eq!(core.run("com.x", lifecycle).await, Settled::Fine);
    assert_eq!(core.state("com.x"), ComponentState::Running);
    until("the daemon runs", || count(&a) == 1).await;
    core.supervisor
        .restart(&name("com.x"))
        .await
        .expect("known");
    core.supervisor.settled(&[name("com.x")], SOON).await;
    until("one daemon runs", || count(&a) == 1).await;
    core.end().await;
    assert_eq!(count(&a), 0);
}

#[tokio::test]
async fn a_run_that_fails_three_times_breaks_and_leaves_nothing() {
    let core = Core::new().await;
    let a = sleep(1006);
    let lifecycle = json!({
        "run": format!("echo run >> runs; {a} & echo 'cannot open /dev/x' >&2; exit 3"),
        "recover": "echo recover >> runs",
        "shutdown": "echo shutdown >> runs",
    });
    core.run("com.x", lifecycle).await;
    core.wait_for("com.x", ComponentState::Broken).await;
    let Settled::Broken(status) = core.supervisor.settled(&[name("com.x")], SOON).await else {
        panic!("it is broken");
    };
    let failure = status.failure.expect("it failed");
    assert_eq!(failure.code, StatusCode::RunError);
    assert_eq!(
        (failure.exit_code, failure.last_output),
        (Some(3), vec!["cannot open /dev/x".to_owned()])
    );
    assert_eq!(
        core.file("com.x", "runs"),
        "run\nrecover\nshutdown\nrun\nrecover\nshutdown\nrun\nshutdown\n"
    );
    assert_eq!(count(&a), 0);
    core.end().await;
}

#[tokio::test]
async fn recovery_can_mend_what_fails() {
    let core = Core::new().await;
    let lifecycle = json!({"startup": "test -e mended", "recover": "touch mended"});
    assert_eq!(core.run("com.x", lifecycle).await, Settled::Fine);
    assert_eq!(core.state("com.x"), ComponentState::Running);
    core.end().await;
}

#[tokio::test]
async fn skipped_and_unreadable_steps() {
    let core = Core::new().await;
    let skipped = json!({"script": "touch never", "skipif": "onpath sh"});
    let lifecycle =
        json!({"install": skipped, "startup": skipped, "run": skipped, "shutdown": skipped});
    assert_eq!(core.run("com.skip", lifecycle).await, Settled::Fine);
    assert_eq!(core.state("com.skip"), ComponentState::Finished);
    assert!(!core.root.join("work/com.skip/never").exists());
    let broken = json!({"run": {"script": "true", "skipif": "This is broken"}});
    let Settled::Broken(status) = core.run("com.broken", broken).await else {
        panic!("it must break");
    };
    assert_eq!(status.status_code, StatusCode::RunConfigNotValid);
    assert!(
        status.status_reason.contains("This is broken"),
        "{}",
        status.status_reason
    );
    let Settled::Broken(status) = core
        .run("com.none", json!({"install": {"timeout": 5}}))
        .await
    else {
        panic!("it must break");
    };
    assert_eq!(status.status_code, StatusCode::InstallConfigNotValid);
    core.end().await;
}

#[tokio::test]
async fn a_component_reports_its_state_and_its_depender_starts() {
    let core = Core::new().await;
    let a = sleep(1007);
    let first = core.spec("com.first", json!({"startup": format!("{a}; exit 1")}));
    let mut second = core.spec("com.second", json!({"startup": "true"}));
    second.dependencies = vec![(name("com.first"), DependencyKind::Hard)];
    let changes = Changes {
        set: vec![second, first],
        remove: Vec::new(),
    };
    core.supervisor.apply(changes).await.expect("it takes them");
    core.wait_for("com.first", ComponentState::Starting).await;
    assert_eq!(core.state("com.second"), ComponentState::Installed);
    let first = name("com.first");
    let taken = core
        .supervisor
        .report_state(&first, ComponentState::Running)
        .await;
    assert!(taken.expect("known"));
    core.wait_for("com.second", ComponentState::Running).await;
    let ignored = core
        .supervisor
        .report_state(&name("com.second"), ComponentState::Starting)
        .await;
    assert!(!ignored.expect("known"));
    let unknown = core
        .supervisor
        .report_state(&name("com.third"), ComponentState::Running)
        .await;
    assert!(matches!(unknown, Err(SupervisorError::Unknown { .. })));
    core.end().await;
    assert_eq!(count(&a), 0);
}

#[tokio::test]
async fn removal_uninstalls_with_the_version_and_events_tell_the_way() {
    let core = Core::new().await;
    let mut events = core.supervisor.events();
    let mark = core.root.join("uninstalled");
    let lifecycle = json!({
        "startup": "true",
        "uninstall": format!("echo $GREENGRASS_COMPONENT_VERSION > {}", mark.display()),
    });
    assert_eq!(core.run("com.x", lifecycle).await, Settled::Fine);
    let changes = Changes {
        set: Vec::new(),
        remove: vec![name("com.x")],
    };
    let applied = core.supervisor.apply(changes).await.expect("it takes them");
    assert_eq!(applied.removed, [name("com.x")]);
    assert!(core.supervisor.removed(&[name("com.x")], SOON).await);
    assert_eq!(std::fs::read_to_string(mark).expect("a file"), "1.0.0\n");
    let mut seen = Vec::new();
    while let Ok(event) = events.try_recv() {
        seen.push(if event.is_removed {
            "removed"
        } else {
            event.state.as_str()
        });
    }
    assert_eq!(
        seen,
        [
            "INSTALLED",
            "STARTING",
            "RUNNING",
            "STOPPING",
            "FINISHED",
            "removed"
        ]
    );
    core.end().await;
}

#[tokio::test]
async fn shutdown_kills_what_does_not_stop_in_time() {
    let core = Core::new().await;
    let (a, b) = (sleep(1008), sleep(1009));
    let lifecycle = json!({
        "run": format!("trap '' TERM; echo up > up; {a}; {a}"),
        "shutdown": {"script": format!("{b}"), "timeout": 500},
    });
    assert_eq!(core.run("com.x", lifecycle).await, Settled::Fine);
    until("it is up", || core.file("com.x", "up") == "up\n").await;
    let begun = Instant::now();
    core.supervisor
        .shutdown(Duration::from_millis(300))
        .await
        .expect("it stops");
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(count(&a) + count(&b), 0);
    core.tasks.shutdown(SOON).await.expect("nothing is left");
    let refused = core.supervisor.apply(Changes::default()).await;
    assert!(matches!(refused, Err(SupervisorError::Stopped)));
}

#[tokio::test]
async fn a_single_step_tells_its_exit_code_and_has_a_limit() {
    let core = Core::new().await;
    let a = sleep(1010);
    let step = |script: &str| {
        core.spec(
            "com.x",
            json!({"bootstrap": {"script": script, "timeout": 1}}),
        )
    };
    let run = |spec| core.supervisor.run_step(spec, StepKind::Bootstrap);
    assert_eq!(
        run(step("true")).await.expect("it runs"),
        StepResult::Exited(0)
    );
    assert_eq!(
        run(core.spec("com.x", json!({}))).await.expect("it runs"),
        StepResult::Nothing
    );
    let StepResult::Failed(failure) = run(step("echo restart; exit 100")).await.expect("it runs")
    else {
        panic!("100 is not 0");
    };
    assert_eq!(
        (failure.exit_code, failure.last_output),
        (Some(100), vec!["restart".to_owned()])
    );
    let StepResult::Failed(failure) = run(step(&format!("{a} & wait"))).await.expect("it runs")
    else {
        panic!("it takes too long");
    };
    assert_eq!(failure.reason, "bootstrap script timed out after 1 seconds");
    assert_eq!(count(&a), 0);
    core.end().await;
}

#[tokio::test]
async fn a_paused_component_is_held_and_can_still_be_stopped() {
    let core = Core::new().await;
    let lifecycle = json!({"run": "while true; do echo tick >> ticks; sleep 0.01; done"});
    assert_eq!(core.run("com.x", lifecycle).await, Settled::Fine);
    let component = name("com.x");
    until("it ticks", || !core.file("com.x", "ticks").is_empty()).await;
    assert!(core.supervisor.pause(&component).await.expect("known"));
    until("all its processes are held", || {
        let states = states_in(&core.root.join("work/com.x"));
        // A shell whose child was held between vfork and exec waits for it in D.
        states.contains(&'T') && states.iter().all(|state| matches!(state, 'T' | 'D'))
    })
    .await;
    let held = core.file("com.x", "ticks").len();
    assert!(core.supervisor.resume(&component).await.expect("known"));
    until("it goes on", || core.file("com.x", "ticks").len() > held).await;
    core.supervisor.pause(&component).await.expect("known");
    core.end().await;
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "says what was not tested")]
async fn components_run_as_the_user_chosen() {
    if !sward_sys::is_root() {
        println!("passed over: only root can become another user");
        return;
    }
    let core = Core::new().await;
    // The temporary folder is root's alone.
    for folder in [&*core.root, &core.root.join("work")] {
        std::fs::create_dir_all(folder).expect("a folder");
        std::os::unix::fs::chown(folder, None, None).expect("root may");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(folder, open).expect("root may");
    }
    let artifacts = core.root.join("artifacts");
    std::fs::create_dir(&artifacts).expect("a folder");
    std::fs::write(artifacts.join("data"), "x").expect("a file");
    let mut spec = core.spec(
        "com.x",
        json!({
            "install": "id -un > who; echo $USER $LOGNAME $HOME >> who",
            "startup": {"script": "id -un > privileged", "RequiresPrivilege": true},
        }),
    );
    spec.posix_user = Some("nobody".into());
    spec.artifact_directories = vec![artifacts.clone()];
    assert_eq!(core.apply(vec![spec]).await, Settled::Fine);
    let who = core.file("com.x", "who");
    assert!(who.starts_with("nobody\nnobody nobody /"), "{who}");
    assert_eq!(core.file("com.x", "privileged"), "root\n");
    let owner = |path: &Path| {
        std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path).expect("it is there"))
    };
    let nobody = owner(&core.root.join("work/com.x/who"));
    assert_ne!(nobody, 0);
    assert_eq!(owner(&artifacts.join("data")), nobody);
    assert_eq!(owner(&artifacts), 0, "the folder itself is not given away");
    let mut spec = core.spec("com.y", json!({"run": "true"}));
    spec.posix_user = Some("nobody-at-all".into());
    let Settled::Broken(status) = core.apply(vec![spec]).await else {
        panic!("there is no such user");
    };
    assert_eq!(status.status_code, StatusCode::RunMissingDefaultRunWith);
    core.end().await;
}

#[tokio::test]
async fn orphans_are_adopted_and_collected() {
    // In a process of its own: adopting is for the whole process.
    let folder = tempfile::tempdir().expect("a temporary folder");
    let status = helper("adopt", folder.path()).status().expect("it runs");
    assert!(status.success());
}

/// This test program again, as another core.
fn helper(what: &str, root: &Path) -> std::process::Command {
    let program = std::env::current_exe().expect("we run");
    let mut command = std::process::Command::new(program);
    command
        .args(["--exact", "supervisor::tests::other_core", "--nocapture"])
        .env("SWARD_TEST_CORE", what)
        .env("SWARD_TEST_ROOT", root)
        .stdout(std::process::Stdio::null());
    command
}

/// Does nothing of itself; other tests start it as a second process.
#[tokio::test]
async fn other_core() {
    let (Ok(what), Ok(root)) = (
        std::env::var("SWARD_TEST_CORE"),
        std::env::var("SWARD_TEST_ROOT"),
    ) else {
        return;
    };
    let root = PathBuf::from(root);
    match &*what {
        "hang" => {
            let core = Core::at(&root).await;
            let lifecycle =
                json!({"run": std::fs::read_to_string(root.join("script")).expect("a script")});
            core.run("com.x", lifecycle).await;
            std::future::pending::<()>().await;
        }
        _ => {
            let core = Core::with(&root, |options| options.is_subreaper = true).await;
            let lifecycle = json!({"startup": "env -i setsid sleep 0.2 & echo $! > pid"});
            assert_eq!(core.run("com.x", lifecycle).await, Settled::Fine);
            let pid: u32 = core.file("com.x", "pid").trim().parse().expect("a number");
            until("the orphan is collected", || {
                sward_sys::ProcessId::of(pid).is_none()
            })
            .await;
            core.end().await;
        }
    }
}

#[tokio::test]
async fn after_kill_9_the_next_core_ends_what_the_last_one_left() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let root = folder.path();
    let (a, b, c) = (sleep(1011), sleep(1012), sleep(1013));
    let script = format!("trap '' TERM; env -i {a} & setsid {b} & echo up > up; {c}; {c}");
    std::fs::write(root.join("script"), script).expect("a file");
    let all = || count(&a) + count(&b);
    for _ in 0..2 {
        let mut first = helper("hang", root).spawn().expect("it starts");
        until("its processes run", || all() == 2 && count(&c) >= 1).await;
        first.kill().expect("it runs");
        first.wait().expect("it ended");
        assert_eq!(all(), 2, "nobody has ended them yet");
    }
    let core = Core::with(root, |options| {
        options.stop_grace = Duration::from_millis(300)
    })
    .await;
    // The same component again: its scripts only start once the old ones are gone.
    let look = format!(
        "for line in /proc/[0-9]*/cmdline; do tr '\\0' ' ' < $line; echo; done 2> /dev/null |
         grep -qx -e '{a} ' -e '{b} ' && echo left > left; true"
    );
    let lifecycle = json!({"startup": look});
    assert_eq!(core.run("com.x", lifecycle).await, Settled::Fine);
    assert_eq!(all() + count(&c), 0);
    assert_eq!(core.file("com.x", "left"), "");
    core.end().await;
}

/// Requests in any order, faster than scripts can follow: everything wanted runs in the end, and
/// nothing else does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_requests_settles_and_leaves_nothing() {
    let core = Core::new().await;
    let (a, b) = (sleep(1014), sleep(1015));
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let names: Vec<ComponentName> = (0..8).map(|n| name(&format!("com.s{n}"))).collect();
    for round in 0..150 {
        let index = usize::try_from(random(8)).expect("small");
        let component = &names[index];
        match random(8) {
            0 => drop(core.supervisor.restart(component).await),
            1 => drop(core.supervisor.stop(component).await),
            2 => {
                let remove = vec![component.clone()];
                let changes = Changes {
                    set: Vec::new(),
                    remove,
                };
                core.supervisor.apply(changes).await.expect("it takes them");
            }
            3 => drop(
                core.supervisor
                    .report_state(component, ComponentState::Errored)
                    .await,
            ),
            _ => {
                let lifecycle = json!({
                    "install": "true",
                    "run": format!("setsid {a} & env -i {b} & {b} & wait"),
                });
                let mut spec = core.spec(component.as_str(), lifecycle);
                spec.version = format!("1.0.{}", random(3));
                if index > 0 && random(2) == 0 {
                    spec.dependencies = vec![(names[index - 1].clone(), DependencyKind::Hard)];
                }
                let changes = Changes {
                    set: vec![spec],
                    remove: Vec::new(),
                };
                core.supervisor.apply(changes).await.expect("it takes them");
            }
        }
        if round % 10 == 0 {
            // Not a wait for anything: the storm comes in gusts, so that it meets every state.
            tokio::time::sleep(Duration::from_millis(random(30))).await;
        }
    }
    let settled = core.supervisor.settled(&names, SOON).await;
    let states = core.supervisor.snapshot();
    assert!(!matches!(settled, Settled::TimedOut(_)), "{settled:?}");
    let running = states
        .values()
        .filter(|status| status.state == ComponentState::Running)
        .count();
    until("each runs once", || {
        count(&a) == running && count(&b) == 2 * running
    })
    .await;
    core.end().await;
    assert_eq!(count(&a) + count(&b), 0);
}
