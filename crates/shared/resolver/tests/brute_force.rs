//! The resolver against a search through every combination of versions.

use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use sward_model::{ComponentName, ComponentVersion, VersionRequirement};
use sward_resolver::{
    Candidate, Dependency, DependencyKind, Query, Resolution, ResolveError, Resolver, Step,
    no_version,
};

const NAMES: [&str; 4] = ["com.A", "com.B", "com.C", "com.D"];
const VERSIONS: [&str; 4] = ["1.0.0", "1.1.0", "2.0.0", "3.0.0-rc.1"];
const REQUIREMENTS: [&str; 7] = [
    "*", "^1.0.0", ">=1.1.0", "<2.0.0", "=1.0.0", ">=2.0.0", "~1.1",
];

type World = BTreeMap<ComponentName, BTreeMap<ComponentVersion, Vec<Dependency>>>;
type Roots = Vec<(ComponentName, String, VersionRequirement)>;

fn name(text: &str) -> ComponentName {
    text.parse().expect("a name")
}

fn requirement(text: &str) -> VersionRequirement {
    text.parse().expect("a requirement")
}

fn dependency(to: &str, wanted: &str) -> Dependency {
    Dependency {
        name: name(to),
        requirement: requirement(wanted),
        kind: DependencyKind::Hard,
    }
}

/// What a store or cloud answers: the highest version that satisfies all together.
fn best(world: &World, query: &Query) -> Option<Candidate> {
    world
        .get(&query.component)?
        .iter()
        .rev()
        .find_map(|(version, dependencies)| {
            query
                .requirements
                .values()
                .all(|wanted| wanted.is_satisfied_by(version))
                .then(|| Candidate {
                    version: version.clone(),
                    dependencies: dependencies.clone(),
                })
        })
}

fn resolve(world: &World, roots: &Roots) -> Result<Resolution, Box<ResolveError>> {
    let mut resolver = Resolver::new(roots.clone());
    loop {
        match resolver.step()? {
            Step::Done(resolution) => return Ok(resolution),
            Step::Query(query) => match best(world, &query) {
                Some(candidate) => resolver.answer(query, candidate).map_err(|error| *error)?,
                None => {
                    let known: Vec<ComponentVersion> = world
                        .get(&query.component)
                        .map(|versions| versions.keys().cloned().collect())
                        .unwrap_or_default();
                    return Err(Box::new(no_version(query, &known)));
                }
            },
        }
    }
}

/// Whether a set of versions satisfies the roots, is closed, has nothing extra and no circle.
fn is_solution(
    world: &World,
    roots: &Roots,
    set: &BTreeMap<ComponentName, ComponentVersion>,
) -> bool {
    let holds = |to: &ComponentName, wanted: &VersionRequirement| {
        set.get(to)
            .is_some_and(|version| wanted.is_satisfied_by(version))
    };
    if !roots.iter().all(|(to, _, wanted)| holds(to, wanted)) {
        return false;
    }
    let dependencies = |name: &ComponentName| world[name][&set[name]].clone();
    if !set.keys().all(|from| {
        dependencies(from)
            .iter()
            .all(|d| holds(&d.name, &d.requirement))
    }) {
        return false;
    }
    let mut reached = BTreeSet::new();
    let mut next: Vec<ComponentName> = roots.iter().map(|root| root.0.clone()).collect();
    while let Some(at) = next.pop() {
        if reached.insert(at.clone()) {
            next.extend(dependencies(&at).into_iter().map(|d| d.name));
        }
    }
    if reached.len() != set.len() {
        return false;
    }
    // No circle: components whose dependencies are all gone can be taken away until none is left.
    let mut left: BTreeSet<ComponentName> = reached;
    while let Some(free) = left
        .iter()
        .find(|at| !dependencies(at).iter().any(|d| left.contains(&d.name)))
        .cloned()
    {
        left.remove(&free);
    }
    left.is_empty()
}

fn all_sets(world: &World) -> Vec<BTreeMap<ComponentName, ComponentVersion>> {
    let mut sets = vec![BTreeMap::new()];
    for (name, versions) in world {
        let mut more = Vec::new();
        for set in &sets {
            for version in versions.keys() {
                let mut with = set.clone();
                with.insert(name.clone(), version.clone());
                more.push(with);
            }
        }
        sets.extend(more);
    }
    sets
}

fn world() -> impl Strategy<Value = World> {
    let dependencies = prop::collection::btree_map(0usize..4, 0usize..7, 0..3);
    let versions = prop::collection::btree_map(0usize..4, dependencies, 0..4);
    prop::collection::vec(versions, 4).prop_map(|components| {
        components
            .into_iter()
            .enumerate()
            .map(|(index, versions)| {
                let versions = versions
                    .into_iter()
                    .map(|(version, dependencies)| {
                        let dependencies = dependencies
                            .into_iter()
                            .map(|(to, wanted)| dependency(NAMES[to], REQUIREMENTS[wanted]))
                            .collect();
                        (VERSIONS[version].parse().expect("a version"), dependencies)
                    })
                    .collect();
                (name(NAMES[index]), versions)
            })
            .collect()
    })
}

fn roots() -> impl Strategy<Value = Roots> {
    prop::collection::btree_map(0usize..4, 0usize..7, 1..4).prop_map(|roots| {
        roots
            .into_iter()
            .map(|(to, wanted)| {
                (
                    name(NAMES[to]),
                    "thinggroup/G".to_owned(),
                    requirement(REQUIREMENTS[wanted]),
                )
            })
            .collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn it_finds_only_solutions_and_says_truly_why_not(world in world(), roots in roots()) {
        match resolve(&world, &roots).map_err(|error| *error) {
            Ok(resolution) => {
                let set = resolution
                    .components
                    .iter()
                    .map(|(name, component)| (name.clone(), component.version.clone()))
                    .collect();
                prop_assert!(is_solution(&world, &roots, &set));
                let mut reversed = roots.clone();
                reversed.reverse();
                prop_assert_eq!(resolve(&world, &reversed), Ok(resolution.clone()));
                let order = resolution.dependencies_first();
                prop_assert_eq!(order.len(), resolution.components.len());
                for (at, name) in order.iter().enumerate() {
                    for dependency in &resolution.components[name].dependencies {
                        prop_assert!(order[..at].contains(&dependency.name));
                    }
                }
            }
            Err(ResolveError::NoVersion { component, requirements, known }) => {
                let none = |set: &BTreeMap<String, VersionRequirement>| {
                    !known.iter().any(|v| set.values().all(|r| r.is_satisfied_by(v)))
                };
                prop_assert!(none(&requirements), "{component} has a version");
                if !known.is_empty() {
                    for requirer in requirements.keys() {
                        let mut fewer = requirements.clone();
                        fewer.remove(requirer);
                        prop_assert!(fewer.is_empty() || !none(&fewer), "{requirer} is not needed");
                    }
                }
            }
            Err(ResolveError::Circular { path, .. }) => {
                prop_assert!(path.len() > 1);
                prop_assert_eq!(path.first(), path.last());
            }
            Err(ResolveError::Unsettled { .. }) => {}
            Err(error @ ResolveError::WrongAnswer { .. }) => prop_assert!(false, "{error}"),
        }
    }

    /// Where each component has one version only, there is nothing to prefer: the resolver must
    /// find a solution exactly if there is one.
    #[test]
    fn with_one_version_each_it_agrees_with_the_search(world in world(), roots in roots()) {
        let world: World = world
            .into_iter()
            .map(|(name, versions)| (name, versions.into_iter().take(1).collect()))
            .collect();
        let solvable = all_sets(&world).iter().any(|set| is_solution(&world, &roots, set));
        let found = resolve(&world, &roots);
        prop_assert_eq!(found.is_ok(), solvable, "{:?}", found);
    }
}

#[test]
fn a_conflict_names_who_requires_what() {
    let mut world = World::new();
    for (component, versions) in [("com.A", vec!["1.0.0"]), ("com.C", vec!["1.0.0", "2.0.0"])] {
        let dependencies = if component == "com.A" {
            vec![dependency("com.C", "^1.0.0")]
        } else {
            Vec::new()
        };
        let versions = versions
            .into_iter()
            .map(|version| (version.parse().expect("a version"), dependencies.clone()))
            .collect();
        world.insert(name(component), versions);
    }
    let roots = vec![
        (name("com.A"), "thinggroup/G".to_owned(), requirement("*")),
        (name("com.C"), "thing/T".to_owned(), requirement("=2.0.0")),
    ];
    let error = resolve(&world, &roots).expect_err("they conflict");
    assert_eq!(
        error.to_string(),
        "No local or cloud component version satisfies the requirements: com.C \
         com.A requires >=1.0.0 <2.0.0, thing/T requires =2.0.0 (there are 1.0.0, 2.0.0)"
    );
}

#[test]
fn a_circle_is_named() {
    let mut world = World::new();
    for (from, to) in [("com.A", "com.B"), ("com.B", "com.A")] {
        world.insert(
            name(from),
            [(
                "1.0.0".parse().expect("a version"),
                vec![dependency(to, "*")],
            )]
            .into(),
        );
    }
    let roots = vec![(
        name("com.B"),
        "LOCAL_DEPLOYMENT".to_owned(),
        requirement("*"),
    )];
    let error = resolve(&world, &roots).expect_err("a circle");
    assert_eq!(
        error.to_string(),
        "Circular dependency detected for component com.A-v1.0.0: com.A -> com.B -> com.A"
    );
}
