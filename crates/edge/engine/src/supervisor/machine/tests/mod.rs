//! The machine against a shell that only remembers: tables, and a random shell.

mod property;
mod tables;

use super::*;
use crate::supervisor::spec::{ComponentSpec, DependencyKind};
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
