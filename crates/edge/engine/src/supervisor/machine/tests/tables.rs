//! What is to happen, case by case (core-device §4 and §10.4).

use super::*;

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
fn a_cycle_that_opens_without_a_change_of_state_lets_the_rest_go() {
    let mut world = World::new();
    // B has done its work before A closes the cycle, and is done after it is opened.
    let b = with_dependency(spec("B", json!({})), "A", DependencyKind::Hard);
    world.apply(vec![b]);
    let a = with_dependency(spec("A", json!({"run": "a"})), "B", DependencyKind::Hard);
    assert_eq!(world.apply(vec![a]).in_cycle, [name("A"), name("B")]);
    assert_eq!(world.trace(), "B=INSTALLED B=STARTING B=FINISHED");
    assert!(world.apply(vec![spec("B", json!({}))]).in_cycle.is_empty());
    assert!(world.trace().contains("A=STARTING A:a"), "A must go");
}

#[test]
fn a_cycle_that_a_removal_opens_lets_the_rest_go() {
    let mut world = World::new();
    let a = with_dependency(spec("A", json!({"run": "a"})), "B", DependencyKind::Hard);
    let b = with_dependency(spec("B", json!({"run": "b"})), "A", DependencyKind::Hard);
    let applied = world.apply(vec![a, b]);
    assert_eq!(applied.in_cycle, [name("A"), name("B")]);
    world.change(Vec::new(), &["B"]);
    while !world.clearings.is_empty() {
        world.cleared();
    }
    let trace = world.trace();
    assert!(trace.contains("B removed"), "{trace}");
    assert!(trace.ends_with("A=INSTALLED A=STARTING A:a"), "{trace}");
}

#[test]
fn a_restart_that_waits_for_a_leaving_depender_goes_on_when_that_one_stays() {
    let mut world = World::new();
    let lifecycle = json!({"run": "r", "shutdown": "d"});
    let a = with_dependency(spec("A", lifecycle.clone()), "B", DependencyKind::Hard);
    world.apply(vec![a, spec("B", lifecycle.clone())]);
    world.spawn("B");
    world.spawn("A");
    world.change(Vec::new(), &["A"]);
    world.restart("B");
    assert!(!world.trace().contains("B=STOPPING"), "A leaves first");
    world.apply(vec![spec("A", lifecycle)]);
    assert!(world.trace().contains("B=STOPPING B:d"));
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

#[test]
fn a_component_that_waits_says_for_what() {
    let mut world = World::new();
    let a = with_dependency(spec("A", json!({"run": "a"})), "B", DependencyKind::Hard);
    let a = with_dependency(a, "C", DependencyKind::Soft);
    let broken = json!({"install": "i", "run": "b"});
    world.apply(vec![
        a,
        spec("B", broken),
        spec("C", json!({"install": "i"})),
    ]);
    assert_eq!(world.state("A"), ComponentState::Installed);
    assert_eq!(world.status("A").status_reason, "it waits for B (NEW)");
    assert_eq!(world.status("A").status_code, StatusCode::None);
    for _ in 0..3 {
        world.exit("B", 1);
        world.cleared();
        world.pass(1000);
    }
    assert_eq!(world.state("B"), ComponentState::Broken);
    assert_eq!(world.status("A").status_reason, "it waits for B (BROKEN)");
    world.apply(vec![spec("B", json!({"run": "b"}))]);
    world.spawn("B");
    assert_eq!(world.state("A"), ComponentState::Starting);
    assert_eq!(world.status("A").status_reason, "");
}
