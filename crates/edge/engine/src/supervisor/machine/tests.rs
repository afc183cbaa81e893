use super::*;
use crate::supervisor::spec::{ComponentSpec, DependencyKind};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::path::PathBuf;

/// A machine with a shell that remembers what it was asked to do.
struct World {
    machine: Machine,
    now: Ms,
    runs: Vec<(ComponentName, RunId, StepKind, String)>,
    clearings: Vec<(ComponentName, RunId)>,
    trace: Vec<String>,
}

fn name(text: &str) -> ComponentName {
    text.parse().expect("a name")
}

fn spec(component: &str, lifecycle: Value) -> ComponentSpec {
    ComponentSpec::new(name(component), "1.0.0", lifecycle, PathBuf::from("/work"))
}

fn with_dependency(mut spec: ComponentSpec, on: &str, kind: DependencyKind) -> ComponentSpec {
    spec.dependencies.push((name(on), kind));
    spec
}

impl World {
    fn new() -> Self {
        World {
            machine: Machine::new(RetrySettings::default()),
            now: 1000,
            runs: Vec::new(),
            clearings: Vec::new(),
            trace: Vec::new(),
        }
    }

    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Run { run, step, plan } => {
                    let script = plan
                        .lifecycle
                        .step(step)
                        .and_then(|step| step.script.clone());
                    let script = script.unwrap_or_default();
                    let component = plan.spec.name.clone();
                    self.trace.push(format!("{component}:{script}"));
                    self.runs.push((component, run, step, script));
                }
                Effect::Clear { component, id } => {
                    self.trace.push(format!("{component}:clear"));
                    self.runs.retain(|(found, ..)| *found != component);
                    self.clearings.push((component, id));
                }
                Effect::Changed(event) => {
                    let mut text = format!("{}={}", event.component, event.state);
                    if event.is_removed {
                        text = format!("{} removed", event.component);
                    } else if event.status_code != StatusCode::None {
                        text = format!("{text}({})", event.status_code.as_str());
                    }
                    self.trace.push(text);
                }
            }
        }
    }

    fn apply(&mut self, set: Vec<ComponentSpec>) -> Applied {
        self.change(set, &[])
    }

    fn change(&mut self, set: Vec<ComponentSpec>, remove: &[&str]) -> Applied {
        let remove = remove.iter().map(|text| name(text)).collect();
        let (applied, effects) = self.machine.apply(Changes { set, remove }, self.now);
        self.take(effects);
        applied
    }

    /// Ends the newest run of a component.
    fn exit(&mut self, component: &str, code: i32) {
        let outcome = Outcome::Exited {
            code: Some(code),
            signal: None,
            last_output: vec![format!("output {code}")],
        };
        self.end(component, outcome);
    }

    fn end(&mut self, component: &str, outcome: Outcome) {
        let index = self
            .runs
            .iter()
            .rposition(|(found, ..)| found.as_str() == component)
            .unwrap_or_else(|| panic!("{component} runs nothing: {:?}", self.trace));
        let (component, run, ..) = self.runs.remove(index);
        let effects = self.machine.ended(&component, run, outcome, self.now);
        self.take(effects);
    }

    fn spawn(&mut self, component: &str) {
        let found = self
            .runs
            .iter()
            .rfind(|(found, ..)| found.as_str() == component);
        let (component, run, ..) = found.cloned().expect("it runs something");
        let effects = self.machine.spawned(&component, run, self.now);
        self.take(effects);
    }

    fn cleared(&mut self) {
        let (component, id) = self.clearings.remove(0);
        let effects = self.machine.cleared(&component, id, self.now);
        self.take(effects);
    }

    fn pass(&mut self, ms: Ms) {
        self.now += ms;
        let effects = self.machine.tick(self.now);
        self.take(effects);
    }

    fn report(&mut self, component: &str, state: ComponentState) -> bool {
        let (is_taken, effects) = self.machine.report(&name(component), state, self.now);
        self.take(effects);
        is_taken
    }

    fn restart(&mut self, component: &str) -> bool {
        let (is_taken, effects) = self.machine.restart(&name(component), self.now);
        self.take(effects);
        is_taken
    }

    fn stop(&mut self, component: &str) {
        let (_, effects) = self.machine.stop(&name(component), self.now);
        self.take(effects);
    }

    fn close(&mut self) {
        let effects = self.machine.close(self.now);
        self.take(effects);
    }

    fn status(&self, component: &str) -> ComponentStatus {
        self.machine.statuses()[&name(component)].clone()
    }

    fn state(&self, component: &str) -> ComponentState {
        self.status(component).state
    }

    /// Everything since the last look.
    fn trace(&mut self) -> String {
        std::mem::take(&mut self.trace).join(" ")
    }
}

fn running(component: &str) -> World {
    let mut world = World::new();
    world.apply(vec![spec(
        component,
        json!({"run": "run", "shutdown": "down", "recover": "mend"}),
    )]);
    world.spawn(component);
    world.trace();
    world
}

#[test]
fn install_startup_and_shutdown_run_in_order() {
    let mut world = World::new();
    let lifecycle = json!({"install": "in", "startup": "up", "shutdown": "down", "run": "never"});
    let applied = world.apply(vec![spec("A", lifecycle)]);
    assert_eq!(applied.started, [name("A")]);
    assert_eq!(world.trace(), "A:in");
    world.exit("A", 0);
    assert_eq!(world.trace(), "A=INSTALLED A=STARTING A:up");
    world.exit("A", 0);
    assert_eq!(world.trace(), "A=RUNNING");
    assert!(world.status("A").is_settled);
    world.stop("A");
    assert_eq!(world.trace(), "A=STOPPING A:down");
    world.exit("A", 0);
    assert_eq!(world.trace(), "A:clear");
    world.cleared();
    assert_eq!(world.trace(), "A=FINISHED");
    assert!(world.status("A").is_settled);
}

#[test]
fn a_run_is_running_once_spawned_and_finishes_by_itself() {
    let mut world = World::new();
    world.apply(vec![spec("A", json!({"run": "go", "shutdown": "down"}))]);
    assert_eq!(world.trace(), "A=INSTALLED A=STARTING A:go");
    assert!(!world.status("A").is_settled);
    world.spawn("A");
    assert_eq!(world.trace(), "A=RUNNING");
    world.exit("A", 0);
    assert_eq!(world.trace(), "A=STOPPING A:down");
    world.exit("A", 0);
    world.cleared();
    assert_eq!(world.trace(), "A:clear A=FINISHED");
}

#[test]
fn without_startup_and_run_a_component_finishes() {
    let mut world = World::new();
    world.apply(vec![spec("A", json!({"shutdown": "down"}))]);
    assert_eq!(world.trace(), "A=INSTALLED A=STARTING A=FINISHED");
    assert!(world.status("A").is_settled);
}

#[test]
fn skipped_steps_count_as_absent() {
    let mut world = World::new();
    world.apply(vec![spec(
        "A",
        json!({"install": "i", "startup": "s", "run": "r"}),
    )]);
    for _ in 0..3 {
        world.end("A", Outcome::Nothing);
    }
    assert_eq!(
        world.trace(),
        "A:i A=INSTALLED A=STARTING A:s A:r A=FINISHED"
    );
}

#[test]
fn a_builtin_runs_at_once_and_stops_without_processes() {
    let mut world = World::new();
    world.apply(vec![ComponentSpec::builtin(name("B"), "0.0.0")]);
    assert_eq!(world.trace(), "B=INSTALLED B=STARTING B=RUNNING");
    world.change(Vec::new(), &["B"]);
    assert_eq!(world.trace(), "B=STOPPING B=FINISHED B removed");
}

#[test]
fn three_failing_installs_break_a_component() {
    let mut world = World::new();
    world.apply(vec![spec(
        "A",
        json!({"install": "in", "startup": "never", "recover": "mend", "shutdown": "never"}),
    )]);
    world.exit("A", 7);
    assert_eq!(world.trace(), "A:in A:clear");
    world.cleared();
    assert_eq!(world.trace(), "A=ERRORED(INSTALL_ERROR) A:mend");
    world.exit("A", 0);
    world.pass(199);
    assert_eq!(world.trace(), "", "an attempt waits a little");
    world.pass(1);
    assert_eq!(world.trace(), "A=NEW A:in");
    world.exit("A", 7);
    world.cleared();
    world.exit("A", 1);
    world.pass(1000);
    world.exit("A", 8);
    world.cleared();
    assert_eq!(
        world.trace(),
        "A:clear A=ERRORED(INSTALL_ERROR) A:mend A=NEW A:in A:clear A=BROKEN(INSTALL_ERROR)"
    );
    let status = world.status("A");
    assert!(status.is_settled);
    assert_eq!(status.status_reason, "install script exited with code 8");
    let failure = status.failure.expect("it failed");
    assert_eq!(failure.exit_code, Some(8));
    assert_eq!(failure.last_output, ["output 8"]);
    assert!(!world.restart("A") || world.state("A") == ComponentState::Broken);
    assert_eq!(
        world.trace(),
        "",
        "a restart of a broken component does nothing"
    );
}

#[test]
fn an_install_that_works_in_the_end_forgives() {
    let mut world = World::new();
    world.apply(vec![spec("A", json!({"install": "in", "run": "go"}))]);
    for _ in 0..2 {
        world.exit("A", 1);
        world.cleared();
        world.pass(1000);
    }
    world.exit("A", 0);
    world.spawn("A");
    assert_eq!(world.state("A"), ComponentState::Running);
    assert_eq!(world.status("A").failure, None);
    // A new version starts counting at zero.
    let mut next = spec("A", json!({"install": "in", "run": "go"}));
    next.version = "2.0.0".into();
    assert_eq!(world.apply(vec![next]).reinstalled, [name("A")]);
    world.cleared();
    world.exit("A", 1);
    world.cleared();
    assert_eq!(world.state("A"), ComponentState::Errored);
}

#[test]
fn a_failing_startup_breaks_after_the_third_time_and_shutdown_runs() {
    let mut world = World::new();
    world.apply(vec![spec(
        "A",
        json!({"startup": "up", "shutdown": "down"}),
    )]);
    world.exit("A", 1);
    assert_eq!(
        world.trace(),
        "A=INSTALLED A=STARTING A:up A=ERRORED(STARTUP_ERROR)"
    );
    world.pass(200);
    assert_eq!(world.trace(), "A=STOPPING A:down");
    world.exit("A", 0);
    world.cleared();
    assert_eq!(world.trace(), "A:clear A=INSTALLED A=STARTING A:up");
    world.exit("A", 1);
    world.pass(1000);
    world.exit("A", 0);
    world.cleared();
    world.trace();
    world.exit("A", 1);
    assert_eq!(world.trace(), "A=BROKEN(STARTUP_ERROR) A:down");
    assert!(
        !world.status("A").is_settled,
        "its processes are still being ended"
    );
    world.exit("A", 0);
    world.cleared();
    assert!(world.status("A").is_settled);
    assert_eq!(
        world.status("A").status_reason,
        "startup script exited with code 1"
    );
}

#[test]
fn runs_that_fail_within_the_hour_break_although_it_ran_in_between() {
    fn check(gap: Ms, expected: ComponentState) {
        let mut world = running("A");
        for round in 0..3 {
            world.exit("A", 1);
            if round < 2 {
                world.exit("A", 0); // recover
                world.pass(1000);
                world.exit("A", 0); // shutdown
                world.cleared();
                world.spawn("A");
                assert_eq!(world.state("A"), ComponentState::Running);
                world.pass(gap - 1000);
            }
        }
        assert_eq!(world.state("A"), expected, "{gap}");
    }
    check(60_000, ComponentState::Broken);
    check(3_599_999, ComponentState::Broken);
    check(3_600_000, ComponentState::Errored);
}

#[test]
fn times_are_limited() {
    fn check(lifecycle: Value, trace: &str) {
        let mut world = World::new();
        world.apply(vec![spec("A", lifecycle)]);
        if world.state("A") == ComponentState::Starting {
            world.spawn("A");
        }
        world.trace();
        world.pass(999);
        assert_eq!(world.trace(), "");
        world.pass(1);
        assert_eq!(world.trace(), "A:clear");
        world.cleared();
        assert_eq!(world.trace(), trace);
    }
    let step = json!({"script": "s", "timeout": 1});
    check(json!({"install": step}), "A=ERRORED(INSTALL_TIMEOUT)");
    check(json!({"startup": step}), "A=ERRORED(STARTUP_TIMEOUT)");
    check(json!({"run": step}), "A=ERRORED(RUN_TIMEOUT)");
}

#[test]
fn a_shutdown_that_takes_too_long_does_not_keep_the_component() {
    let mut world = World::new();
    world.apply(vec![spec(
        "A",
        json!({"run": "go", "shutdown": {"script": "down", "timeout": "1"}}),
    )]);
    world.spawn("A");
    world.stop("A");
    world.trace();
    world.pass(1000);
    world.cleared();
    assert_eq!(
        world.trace(),
        "A:clear A=ERRORED(SHUTDOWN_TIMEOUT) A=FINISHED"
    );
}

#[test]
fn a_recovery_that_takes_too_long_is_given_up() {
    let mut world = World::new();
    world.apply(vec![spec(
        "A",
        json!({"install": "in", "recover": {"script": "mend", "timeout": 1}}),
    )]);
    world.exit("A", 1);
    world.cleared();
    world.trace();
    world.pass(1000);
    world.cleared();
    world.pass(200);
    assert_eq!(world.trace(), "A:clear A=NEW A:in");
}

#[test]
fn the_output_of_a_run_that_was_given_up_explains_the_timeout() {
    let mut world = World::new();
    world.apply(vec![spec(
        "A",
        json!({"install": {"script": "in", "timeout": 1}}),
    )]);
    let (component, run, ..) = world.runs[0].clone();
    world.pass(1000);
    let outcome = Outcome::Exited {
        code: None,
        signal: Some(15),
        last_output: vec!["waiting".into()],
    };
    let effects = world.machine.ended(&component, run, outcome, world.now);
    world.take(effects);
    world.cleared();
    let failure = world.status("A").failure.expect("it failed");
    assert_eq!(failure.reason, "install script timed out after 1 seconds");
    assert_eq!(failure.last_output, ["waiting"]);
}

#[test]
fn refusals_have_codes_of_their_own() {
    fn check(lifecycle: Value, trouble: Trouble, code: &str) {
        let mut world = World::new();
        world.apply(vec![spec("A", lifecycle)]);
        world.end(
            "A",
            Outcome::Refused {
                trouble,
                reason: "why".into(),
            },
        );
        if !world.clearings.is_empty() {
            world.cleared();
        }
        assert_eq!(world.status("A").status_code.as_str(), code);
    }
    check(
        json!({"install": "x"}),
        Trouble::NoUser,
        "INSTALL_MISSING_DEFAULT_RUNWITH",
    );
    check(
        json!({"startup": "x"}),
        Trouble::NotValid,
        "STARTUP_CONFIG_NOT_VALID",
    );
    check(
        json!({"run": "x"}),
        Trouble::NotValid,
        "RUN_CONFIG_NOT_VALID",
    );
    check(json!({"run": "x"}), Trouble::Io, "RUN_IO_ERROR");
}

#[test]
fn components_report_their_own_state() {
    let mut world = World::new();
    world.apply(vec![spec(
        "A",
        json!({"startup": "up", "shutdown": "down"}),
    )]);
    world.trace();
    assert!(world.report("A", ComponentState::Running));
    assert_eq!(world.trace(), "A=RUNNING");
    world.pass(1_000_000);
    assert_eq!(
        world.trace(),
        "",
        "a startup that lives on has no limit any more"
    );
    world.exit("A", 1);
    assert_eq!(world.trace(), "A=ERRORED(STARTUP_ERROR)");

    let mut world = World::new();
    world.apply(vec![spec(
        "A",
        json!({"startup": "up", "shutdown": "never"}),
    )]);
    world.trace();
    assert!(world.report("A", ComponentState::Finished));
    assert_eq!(world.trace(), "A=FINISHED", "directly, without a stop");

    let mut world = running("A");
    assert!(!world.report("A", ComponentState::Running));
    assert!(world.report("A", ComponentState::Errored));
    assert_eq!(world.trace(), "A=ERRORED(RUN_ERROR) A:mend");

    let mut world = World::new();
    world.apply(vec![spec("A", json!({"install": "in"}))]);
    assert!(!world.report("A", ComponentState::Finished));
    assert!(!world.report("A", ComponentState::Running));
}

#[test]
fn a_hard_dependency_goes_first_and_takes_its_dependers_along() {
    let mut world = World::new();
    let a = with_dependency(spec("A", json!({"run": "a"})), "B", DependencyKind::Hard);
    world.apply(vec![a, spec("B", json!({"install": "b", "run": "b"}))]);
    assert_eq!(world.trace(), "A=INSTALLED B:b");
    world.exit("B", 0);
    assert_eq!(world.trace(), "B=INSTALLED B=STARTING B:b");
    world.spawn("B");
    assert_eq!(world.trace(), "B=RUNNING A=STARTING A:a");
    world.spawn("A");
    world.trace();
    world.restart("B");
    assert_eq!(world.trace(), "B=STOPPING B:clear");
    world.cleared();
    assert_eq!(
        world.trace(),
        "B=INSTALLED B=STARTING B:b A=STOPPING A:clear"
    );
    world.cleared();
    assert_eq!(world.trace(), "A=INSTALLED");
    world.spawn("B");
    assert_eq!(world.trace(), "B=RUNNING A=STARTING A:a");
    world.spawn("A");
    world.trace();
    world.exit("B", 1);
    assert!(
        world.trace().contains("A=STOPPING"),
        "an error of B restarts A"
    );
}

#[test]
fn stopping_a_dependency_to_finished_leaves_the_depender() {
    let mut world = World::new();
    let a = with_dependency(spec("A", json!({"run": "a"})), "B", DependencyKind::Hard);
    world.apply(vec![a, spec("B", json!({"run": "b"}))]);
    world.spawn("B");
    world.spawn("A");
    world.stop("B");
    world.cleared();
    assert_eq!(world.state("B"), ComponentState::Finished);
    assert_eq!(world.state("A"), ComponentState::Running);
    world.restart("B");
    assert_eq!(world.state("A"), ComponentState::Stopping);
}

#[test]
fn a_soft_dependency_changes_nothing_but_adding_one_restarts() {
    let mut world = World::new();
    let a = spec("A", json!({"run": "a"}));
    let soft = with_dependency(a.clone(), "B", DependencyKind::Soft);
    let hard = with_dependency(a.clone(), "B", DependencyKind::Hard);
    world.apply(vec![a, spec("B", json!({"run": "b"}))]);
    world.spawn("A");
    assert_eq!(world.apply(vec![soft]).restarted, [name("A")]);
    world.cleared();
    world.spawn("A");
    assert_eq!(world.state("B"), ComponentState::Starting);
    assert_eq!(world.state("A"), ComponentState::Running);
    assert_eq!(world.apply(vec![hard]).unchanged, [name("A")]);
}

#[test]
fn the_core_stops_in_reverse_order_and_errors_restart_nothing() {
    let mut world = World::new();
    let lifecycle = json!({"run": "r", "shutdown": "d"});
    let c = with_dependency(spec("C", lifecycle.clone()), "B", DependencyKind::Hard);
    let b = with_dependency(spec("B", lifecycle.clone()), "A", DependencyKind::Hard);
    world.apply(vec![c, b, spec("A", lifecycle)]);
    for component in ["A", "B", "C"] {
        world.spawn(component);
    }
    world.trace();
    world.close();
    assert_eq!(world.trace(), "C=STOPPING C:d");
    world.exit("C", 3);
    world.cleared();
    assert_eq!(
        world.trace(),
        "C:clear C=ERRORED(SHUTDOWN_ERROR) C=FINISHED B=STOPPING B:d"
    );
    world.exit("B", 0);
    world.cleared();
    world.exit("A", 0);
    world.cleared();
    assert!(world.machine.is_closed());
    assert_eq!(
        world.trace(),
        "B:clear B=FINISHED A=STOPPING A:d A:clear A=FINISHED"
    );
    assert!(!world.restart("A"));
}

#[test]
fn closing_interrupts_an_install_and_a_pause() {
    let mut world = World::new();
    world.apply(vec![
        spec("A", json!({"install": "in"})),
        spec("B", json!({"startup": "up"})),
    ]);
    world.exit("B", 1);
    assert_eq!(world.state("B"), ComponentState::Errored);
    world.trace();
    world.close();
    world.cleared();
    world.cleared();
    assert!(world.machine.is_closed(), "{:?}", world.machine.statuses());
}

#[test]
fn components_in_a_cycle_are_held_and_others_run() {
    let mut world = World::new();
    let a = with_dependency(spec("A", json!({"run": "a"})), "B", DependencyKind::Hard);
    let b = with_dependency(spec("B", json!({"run": "b"})), "A", DependencyKind::Hard);
    let applied = world.apply(vec![a, b, spec("C", json!({"run": "c"}))]);
    assert_eq!(applied.in_cycle, [name("A"), name("B")]);
    world.spawn("C");
    assert_eq!(world.trace(), "C=INSTALLED C=STARTING C:c C=RUNNING");
    assert!(!world.status("A").is_settled);
    // Without the cycle they go.
    world.apply(vec![spec("B", json!({"run": "b"}))]);
    world.spawn("B");
    assert_eq!(
        world.trace(),
        "B=INSTALLED B=STARTING B:b A=INSTALLED B=RUNNING A=STARTING A:a"
    );
}

#[test]
fn a_new_version_runs_the_old_shutdown_then_installs() {
    let mut world = World::new();
    world.apply(vec![spec(
        "A",
        json!({"install": "i1", "run": "r1", "shutdown": "d1"}),
    )]);
    world.exit("A", 0);
    world.spawn("A");
    world.trace();
    let mut next = spec("A", json!({"install": "i2", "run": "r2", "shutdown": "d2"}));
    next.version = "2.0.0".into();
    assert_eq!(world.apply(vec![next]).reinstalled, [name("A")]);
    assert_eq!(world.trace(), "A=STOPPING A:d1");
    world.exit("A", 0);
    world.cleared();
    assert_eq!(world.trace(), "A:clear A=NEW A:i2");
    world.exit("A", 0);
    world.spawn("A");
    assert_eq!(world.trace(), "A=INSTALLED A=STARTING A:r2 A=RUNNING");
    world.stop("A");
    assert_eq!(world.trace(), "A=STOPPING A:d2");
}

#[test]
fn deploying_the_same_again_does_nothing_unless_it_is_broken() {
    let lifecycle = json!({"install": "in", "run": "r"});
    let mut world = World::new();
    world.apply(vec![spec("A", lifecycle.clone())]);
    world.exit("A", 0);
    world.spawn("A");
    world.trace();
    assert_eq!(
        world.apply(vec![spec("A", lifecycle.clone())]).unchanged,
        [name("A")]
    );
    assert_eq!(world.trace(), "");
    let mut world = World::new();
    world.apply(vec![spec("A", lifecycle.clone())]);
    for _ in 0..3 {
        world.exit("A", 1);
        world.cleared();
        world.pass(1000);
    }
    assert_eq!(world.state("A"), ComponentState::Broken);
    world.trace();
    assert_eq!(
        world.apply(vec![spec("A", lifecycle)]).reinstalled,
        [name("A")]
    );
    assert_eq!(world.trace(), "A=NEW A:in");
}

#[test]
fn a_reinstall_interrupts_an_install_that_runs() {
    let mut world = World::new();
    world.apply(vec![spec("A", json!({"install": "old"}))]);
    let mut next = spec("A", json!({"install": "new"}));
    next.version = "2.0.0".into();
    world.apply(vec![next]);
    world.cleared();
    assert_eq!(world.trace(), "A:old A:clear A:new");
}

#[test]
fn removal_runs_shutdown_and_uninstall_after_the_dependers() {
    let mut world = World::new();
    let lifecycle = json!({"run": "r", "shutdown": "d", "uninstall": "u"});
    let a = with_dependency(spec("A", lifecycle.clone()), "B", DependencyKind::Hard);
    world.apply(vec![a, spec("B", lifecycle)]);
    world.spawn("B");
    world.spawn("A");
    world.trace();
    world.change(Vec::new(), &["B", "A", "unknown"]);
    assert_eq!(world.trace(), "A=STOPPING A:d");
    world.exit("A", 0);
    world.cleared();
    assert_eq!(world.trace(), "A:clear A=FINISHED A:u");
    world.exit("A", 9);
    world.cleared();
    assert_eq!(world.trace(), "A:clear A removed B=STOPPING B:d");
    world.exit("B", 0);
    world.cleared();
    world.pass(120_000);
    world.cleared();
    assert!(world.trace().ends_with("B:clear B removed"));
    assert!(world.machine.statuses().is_empty());
}

#[test]
fn a_component_that_comes_back_while_it_leaves_is_installed_again() {
    let mut world = running("A");
    world.change(Vec::new(), &["A"]);
    let back = spec(
        "A",
        json!({"run": "run", "shutdown": "down", "recover": "mend"}),
    );
    assert_eq!(world.apply(vec![back]).reinstalled, [name("A")]);
    world.exit("A", 0);
    world.cleared();
    world.spawn("A");
    assert_eq!(
        world.trace(),
        "A=STOPPING A:down A:clear A=NEW A=INSTALLED A=STARTING A:run A=RUNNING"
    );
}

/// Every change of state that may ever be seen.
fn is_allowed(from: ComponentState, to: ComponentState) -> bool {
    use ComponentState::{Broken, Errored, Finished, Installed, New, Running, Starting, Stopping};
    matches!(
        (from, to),
        (New, Installed | Errored | Broken | Finished)
            | (Installed, Starting | New | Finished)
            | (Starting, Running | Finished | Stopping | Errored | Broken)
            | (Running, Stopping | Errored | Broken)
            | (Stopping, New | Installed | Finished | Errored)
            | (Errored, New | Stopping | Installed | Finished)
            | (Broken, New)
            | (Finished, New | Installed)
    )
}

#[derive(Clone, Debug)]
enum Act {
    Set(usize, u8, Option<usize>),
    Remove(usize),
    Restart(usize),
    Stop(usize),
    Report(usize, ComponentState),
    Spawn(usize),
    End(usize, i32),
    Refuse(usize),
    Cleared,
    Pass(Ms),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let state = prop_oneof![
        Just(ComponentState::Running),
        Just(ComponentState::Errored),
        Just(ComponentState::Finished),
    ];
    let act = prop_oneof![
        3 => (0..4_usize, 0..16_u8, proptest::option::of(0..4_usize)).prop_map(|(c, k, d)| Act::Set(c, k, d)),
        1 => (0..4_usize).prop_map(Act::Remove),
        1 => (0..4_usize).prop_map(Act::Restart),
        1 => (0..4_usize).prop_map(Act::Stop),
        1 => (0..4_usize, state).prop_map(|(c, s)| Act::Report(c, s)),
        5 => (0..4_usize).prop_map(Act::Spawn),
        5 => (0..4_usize, 0..2_i32).prop_map(|(c, code)| Act::End(c, code)),
        1 => (0..4_usize).prop_map(Act::Refuse),
        4 => Just(Act::Cleared),
        3 => prop_oneof![Just(50), Just(1000), Just(130_000)].prop_map(Act::Pass),
    ];
    proptest::collection::vec(act, 1..60)
}

const NAMES: [&str; 4] = ["A", "B", "C", "D"];

fn any_spec(component: usize, kind: u8, dependency: Option<usize>) -> ComponentSpec {
    let mut lifecycle = serde_json::Map::new();
    for (bit, step) in ["install", "startup", "run", "shutdown"]
        .into_iter()
        .enumerate()
    {
        if kind & (1 << bit) != 0 {
            lifecycle.insert(step.to_owned(), json!(format!("{step}{kind}")));
        }
    }
    let mut spec = spec(NAMES[component], Value::Object(lifecycle));
    spec.version = format!("{kind}.0.0");
    match dependency {
        Some(on) if on != component => with_dependency(spec, NAMES[on], DependencyKind::Hard),
        _ => spec,
    }
}

fn has_run(world: &World, component: &str) -> bool {
    world
        .runs
        .iter()
        .any(|(found, ..)| found.as_str() == component)
}

fn perform(world: &mut World, act: &Act) {
    match act {
        Act::Set(component, kind, dependency) => {
            world.apply(vec![any_spec(*component, *kind, *dependency)]);
        }
        Act::Remove(component) => drop(world.change(Vec::new(), &[NAMES[*component]])),
        Act::Restart(component) => drop(world.restart(NAMES[*component])),
        Act::Stop(component) => world.stop(NAMES[*component]),
        Act::Report(component, state) => drop(world.report(NAMES[*component], *state)),
        Act::Spawn(component) if has_run(world, NAMES[*component]) => {
            world.spawn(NAMES[*component])
        }
        Act::End(component, code) if has_run(world, NAMES[*component]) => {
            world.exit(NAMES[*component], *code);
        }
        Act::Refuse(component) if has_run(world, NAMES[*component]) => world.end(
            NAMES[*component],
            Outcome::Refused {
                trouble: Trouble::Io,
                reason: "no".into(),
            },
        ),
        Act::Cleared if !world.clearings.is_empty() => world.cleared(),
        Act::Pass(ms) => world.pass(*ms),
        _ => {}
    }
}

/// Plays a shell in which everything works until nothing is left to do.
fn let_everything_work(world: &mut World) {
    for _ in 0..400 {
        if !world.runs.is_empty() {
            let (component, run, step, _) = world.runs.remove(0);
            let effects = if step == StepKind::Run {
                // It runs on; of a run that was given up the machine hears nothing.
                world.machine.spawned(&component, run, world.now)
            } else {
                let outcome = Outcome::Exited {
                    code: Some(0),
                    signal: None,
                    last_output: Vec::new(),
                };
                world.machine.ended(&component, run, outcome, world.now)
            };
            world.take(effects);
        } else if !world.clearings.is_empty() {
            world.cleared();
        } else if world.machine.next_timeout().is_some() {
            world.pass(1000);
        } else {
            return;
        }
    }
    panic!("it never comes to rest: {:?}", world.trace);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever happens: only known transitions; no start before the dependencies; and once
    /// everything works, everything that is wanted runs, and a close comes to its end.
    #[test]
    fn the_machine_never_gets_stuck(acts in acts()) {
        let mut world = World::new();
        let mut states: BTreeMap<ComponentName, ComponentState> = BTreeMap::new();
        for act in &acts {
            perform(&mut world, act);
            let trace = std::mem::take(&mut world.trace);
            for event in trace {
                if let Some(removed) = event.strip_suffix(" removed") {
                    states.remove(&name(removed));
                } else if let Some((component, state)) = event.split_once('=') {
                    let state = state.split('(').next().expect("a state");
                    let state: ComponentState = serde_json::from_value(json!(state)).expect("a state");
                    let from = states.insert(name(component), state).unwrap_or(ComponentState::New);
                    prop_assert!(is_allowed(from, state), "{component}: {from} to {state}");
                }
            }
            let now: BTreeMap<_, _> = world
                .machine
                .statuses()
                .into_iter()
                .map(|(name, status)| (name, status.state))
                .collect();
            for (component, state) in &now {
                let told = states.get(component).copied().unwrap_or(ComponentState::New);
                prop_assert_eq!(told, *state, "every change is told");
                let count = world.runs.iter().filter(|(found, ..)| found == component).count();
                // A main process may still live while shutdown or recover runs beside it.
                prop_assert!(count <= 3, "{} runs of {}", count, component);
            }
        }
        let_everything_work(&mut world);
        for (component, status) in world.machine.statuses() {
            let is_held = world.machine.components[&component].is_in_cycle
                || status.state == ComponentState::Installed && status.status_reason.is_empty()
                    && waits_for_ever(&world, &component);
            prop_assert!(status.is_settled || is_held, "{component} is not settled: {status:?}");
        }
        world.runs.clear();
        world.close();
        let_everything_work(&mut world);
        prop_assert!(world.machine.is_closed(), "{:?}", world.machine.statuses());
    }
}

/// Whether a hard dependency is BROKEN, held, or waits itself.
fn waits_for_ever(world: &World, component: &ComponentName) -> bool {
    let plan = world.machine.plan(component).expect("it exists");
    plan.spec.hard_dependencies().any(|on| {
        world.machine.components.get(on).is_some_and(|on| {
            !on.is_ready()
                && (on.state == ComponentState::Broken
                    || on.is_in_cycle
                    || on.state == ComponentState::Installed)
        })
    })
}
