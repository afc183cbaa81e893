//! The stepper: requirements in, queries out, one version each at the end.

use crate::error::ResolveError;
use crate::graph;
use std::collections::{BTreeMap, BTreeSet};
use sward_model::{ComponentName, ComponentVersion, VersionRequirement};

/// How often one component is asked for before the resolution counts as unsettled.
const ATTEMPTS_PER_COMPONENT: u32 = 64;

/// What a dependency means for start and stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependencyKind {
    /// The depender waits for it and restarts with it.
    Hard,
    /// The depender only wants it there.
    Soft,
}

/// One dependency of a candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    pub name: ComponentName,
    pub requirement: VersionRequirement,
    pub kind: DependencyKind,
}

/// A question: which version of this component satisfies all of these?
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    pub component: ComponentName,
    /// Requirement by requirer: a group's name for a root, else the depending component's.
    pub requirements: BTreeMap<String, VersionRequirement>,
}

/// An answer: one version and what it depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub version: ComponentVersion,
    pub dependencies: Vec<Dependency>,
}

/// One component of a resolution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedComponent {
    pub version: ComponentVersion,
    pub dependencies: Vec<Dependency>,
    /// Who required it, and what.
    pub requirements: BTreeMap<String, VersionRequirement>,
}

/// One version for each component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    pub components: BTreeMap<ComponentName, ResolvedComponent>,
}

impl Resolution {
    /// The names with every dependency before those that depend on it.
    #[must_use]
    pub fn dependencies_first(&self) -> Vec<ComponentName> {
        graph::dependencies_first(&self.components)
    }
}

/// What the stepper wants next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// An answer to this.
    Query(Query),
    /// Nothing: here is the result.
    Done(Resolution),
}

/// The stepper. Drive it with [`Resolver::step`] and [`Resolver::answer`].
#[derive(Clone, Debug, Default)]
pub struct Resolver {
    roots: BTreeSet<ComponentName>,
    /// Per component who requires what; a component that nobody requires has no entry.
    requirements: BTreeMap<ComponentName, BTreeMap<String, VersionRequirement>>,
    chosen: BTreeMap<ComponentName, Candidate>,
    pending: BTreeSet<ComponentName>,
    attempts: BTreeMap<ComponentName, u32>,
}

impl Resolver {
    /// A resolver for roots: component, the group (or other source) that wants it, what it wants.
    pub fn new(
        roots: impl IntoIterator<Item = (ComponentName, String, VersionRequirement)>,
    ) -> Self {
        let mut resolver = Resolver::default();
        for (component, source, requirement) in roots {
            resolver.roots.insert(component.clone());
            resolver.require(component, source, requirement);
        }
        resolver
    }

    /// The next question, or the result. A question is repeated until it is answered.
    pub fn step(&mut self) -> Result<Step, Box<ResolveError>> {
        loop {
            self.forget_unreachable();
            let Some(component) = self.pending.first().cloned() else {
                return self.finish();
            };
            match self.requirements.get(&component) {
                Some(requirements) => {
                    return Ok(Step::Query(Query {
                        requirements: requirements.clone(),
                        component,
                    }));
                }
                None => {
                    self.pending.remove(&component);
                }
            }
        }
    }

    /// Answers a question. An answer to a question that is open no more changes nothing.
    pub fn answer(&mut self, query: Query, candidate: Candidate) -> Result<(), Box<ResolveError>> {
        let Query {
            component,
            requirements,
        } = query;
        if self.requirements.get(&component) != Some(&requirements) {
            return Ok(());
        }
        if !satisfies_all(&candidate.version, &requirements) {
            return Err(Box::new(ResolveError::WrongAnswer {
                component,
                version: candidate.version,
                requirements,
            }));
        }
        let attempts = self.attempts.entry(component.clone()).or_default();
        *attempts += 1;
        if *attempts > ATTEMPTS_PER_COMPONENT {
            return Err(Box::new(ResolveError::Unsettled {
                component,
                requirements,
            }));
        }
        self.pending.remove(&component);
        let wanted: BTreeSet<ComponentName> = candidate
            .dependencies
            .iter()
            .map(|dependency| dependency.name.clone())
            .collect();
        for dependency in &candidate.dependencies {
            self.require(
                dependency.name.clone(),
                component.to_string(),
                dependency.requirement.clone(),
            );
        }
        let before = self.chosen.insert(component.clone(), candidate);
        for dependency in before.iter().flat_map(|before| &before.dependencies) {
            if !wanted.contains(&dependency.name) {
                self.unrequire(&dependency.name, &component);
            }
        }
        Ok(())
    }

    fn require(&mut self, component: ComponentName, source: String, wanted: VersionRequirement) {
        let sources = self.requirements.entry(component.clone()).or_default();
        if sources.get(&source) != Some(&wanted) {
            sources.insert(source, wanted);
            self.pending.insert(component);
        }
    }

    fn unrequire(&mut self, component: &ComponentName, depender: &ComponentName) {
        let Some(sources) = self.requirements.get_mut(component) else {
            return;
        };
        if sources.remove(depender.as_str()).is_none() {
            return;
        }
        if sources.is_empty() {
            self.requirements.remove(component);
        } else {
            self.pending.insert(component.clone());
        }
    }

    /// Drops what no root leads to any more, also where such components require each other.
    fn forget_unreachable(&mut self) {
        let mut reached = BTreeSet::new();
        let mut next: Vec<&ComponentName> = self.roots.iter().collect();
        while let Some(name) = next.pop() {
            if !reached.insert(name.clone()) {
                continue;
            }
            let chosen = self.chosen.get(name);
            next.extend(chosen.iter().flat_map(|c| &c.dependencies).map(|d| &d.name));
        }
        let gone: Vec<ComponentName> = self
            .chosen
            .keys()
            .filter(|name| !reached.contains(*name))
            .cloned()
            .collect();
        for name in gone {
            let candidate = self.chosen.remove(&name);
            for dependency in candidate.iter().flat_map(|c| &c.dependencies) {
                self.unrequire(&dependency.name, &name);
            }
        }
        self.requirements.retain(|name, _| reached.contains(name));
    }

    fn finish(&mut self) -> Result<Step, Box<ResolveError>> {
        let components: BTreeMap<ComponentName, ResolvedComponent> = self
            .chosen
            .iter()
            .map(|(name, candidate)| {
                let component = ResolvedComponent {
                    version: candidate.version.clone(),
                    dependencies: candidate.dependencies.clone(),
                    requirements: self.requirements.get(name).cloned().unwrap_or_default(),
                };
                (name.clone(), component)
            })
            .collect();
        if let Some(path) = graph::find_circle(&components)
            && let Some(component) = path.first()
            && let Some(found) = components.get(component)
        {
            return Err(Box::new(ResolveError::Circular {
                component: component.clone(),
                version: found.version.clone(),
                path,
            }));
        }
        Ok(Step::Done(Resolution { components }))
    }
}

/// Why a question has no answer: no version satisfies it. `known` are the versions there are at
/// all, as far as the answering side can tell.
#[must_use]
pub fn no_version(query: Query, known: &[ComponentVersion]) -> ResolveError {
    let mut known = known.to_vec();
    known.sort();
    known.dedup();
    ResolveError::NoVersion {
        requirements: fewest_that_exclude(&query.requirements, &known),
        component: query.component,
        known,
    }
}

fn satisfies_all(
    version: &ComponentVersion,
    requirements: &BTreeMap<String, VersionRequirement>,
) -> bool {
    requirements
        .values()
        .all(|requirement| requirement.is_satisfied_by(version))
}

/// As few requirements as rule out every known version together: dropping any one of them would
/// leave a version. All of them where nothing is known.
fn fewest_that_exclude(
    requirements: &BTreeMap<String, VersionRequirement>,
    known: &[ComponentVersion],
) -> BTreeMap<String, VersionRequirement> {
    let mut fewest = requirements.clone();
    let excludes = |set: &BTreeMap<String, VersionRequirement>| {
        !known.iter().any(|version| satisfies_all(version, set))
    };
    if known.is_empty() || !excludes(&fewest) {
        return fewest;
    }
    for requirer in requirements.keys() {
        let mut fewer = fewest.clone();
        fewer.remove(requirer);
        if !fewer.is_empty() && excludes(&fewer) {
            fewest = fewer;
        }
    }
    fewest
}
