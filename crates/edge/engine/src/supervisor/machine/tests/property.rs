//! Whatever happens, in whatever order.

use super::*;
use proptest::prelude::*;

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
        let held: Vec<ComponentName> = world.machine.components.iter()
            .filter(|(_, component)| component.is_in_cycle)
            .map(|(name, _)| name.clone())
            .collect();
        prop_assert_eq!(held, world.machine.hold_cycles(), "nobody is held by a cycle of the past");
        for (component, status) in world.machine.statuses() {
            let is_held = world.machine.components[&component].is_in_cycle
                || status.state == ComponentState::Installed
                    && status.status_reason.starts_with("it waits for ")
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
    let plan = &world.machine.components[component].plan;
    plan.spec.hard_dependencies().any(|on| {
        world.machine.components.get(on).is_some_and(|on| {
            !on.is_ready()
                && (on.state == ComponentState::Broken
                    || on.is_in_cycle
                    || on.state == ComponentState::Installed)
        })
    })
}
