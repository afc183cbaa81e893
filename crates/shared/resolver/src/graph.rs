//! Circles and order in a resolved set.

use crate::stepper::ResolvedComponent;
use std::collections::{BTreeMap, BTreeSet};
use sward_model::ComponentName;

/// The first circle there is, beginning and ending with the same component.
pub(crate) fn find_circle(
    components: &BTreeMap<ComponentName, ResolvedComponent>,
) -> Option<Vec<ComponentName>> {
    let mut done = BTreeSet::new();
    for start in components.keys() {
        let mut path = Vec::new();
        if let Some(circle) = walk(start, components, &mut path, &mut done) {
            return Some(circle);
        }
    }
    None
}

/// Depth first without recursion: a chain of dependencies may be as long as there are components.
fn walk(
    start: &ComponentName,
    components: &BTreeMap<ComponentName, ResolvedComponent>,
    path: &mut Vec<ComponentName>,
    done: &mut BTreeSet<ComponentName>,
) -> Option<Vec<ComponentName>> {
    let dependencies = |name: &ComponentName| -> Vec<ComponentName> {
        components
            .get(name)
            .map(|component| {
                component
                    .dependencies
                    .iter()
                    .map(|d| d.name.clone())
                    .collect()
            })
            .unwrap_or_default()
    };
    if done.contains(start) {
        return None;
    }
    let mut pending = vec![dependencies(start)];
    path.push(start.clone());
    while let Some(rest) = pending.last_mut() {
        match rest.pop() {
            None => {
                pending.pop();
                done.extend(path.pop());
            }
            Some(next) => {
                if let Some(at) = path.iter().position(|name| *name == next) {
                    let mut circle = path[at..].to_vec();
                    circle.push(next);
                    return Some(circle);
                }
                if !done.contains(&next) {
                    pending.push(dependencies(&next));
                    path.push(next);
                }
            }
        }
    }
    None
}

/// The names with every dependency before those that depend on it. Without circles only.
pub(crate) fn dependencies_first(
    components: &BTreeMap<ComponentName, ResolvedComponent>,
) -> Vec<ComponentName> {
    let mut order = Vec::new();
    let mut placed = BTreeSet::new();
    let mut stack: Vec<(ComponentName, bool)> = components
        .keys()
        .rev()
        .map(|name| (name.clone(), false))
        .collect();
    while let Some((name, expanded)) = stack.pop() {
        if expanded {
            if placed.insert(name.clone()) {
                order.push(name);
            }
            continue;
        }
        let Some(component) = components.get(&name) else {
            continue;
        };
        if placed.contains(&name) {
            continue;
        }
        stack.push((name, true));
        for dependency in component.dependencies.iter().rev() {
            if !placed.contains(&dependency.name) {
                stack.push((dependency.name.clone(), false));
            }
        }
    }
    order
}
