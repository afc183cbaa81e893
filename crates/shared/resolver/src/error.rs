//! Why there is no set of versions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_model::{ComponentName, ComponentVersion, VersionRequirement};
use thiserror::Error;

/// Why a resolution ended without a version for each component.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ResolveError {
    /// No version of a component satisfies all who require it.
    #[error(
        "No local or cloud component version satisfies the requirements: {component} {}{}",
        requirements_text(.requirements),
        known_text(.known)
    )]
    NoVersion {
        component: ComponentName,
        /// Requirement by requirer (a component or a group); as few as already rule out every
        /// version that is known.
        requirements: BTreeMap<String, VersionRequirement>,
        /// The versions that exist as far as the answering side said.
        known: Vec<ComponentVersion>,
    },
    /// Components depend on each other in a circle.
    #[error(
        "Circular dependency detected for component {component}-v{version}: {}",
        path_text(.path)
    )]
    Circular {
        component: ComponentName,
        version: ComponentVersion,
        /// The circle, beginning and ending with the component.
        path: Vec<ComponentName>,
    },
    /// The answering side gave a version that nobody asked for.
    #[error(
        "the answer for component {component} is version {version}, which does not satisfy {}",
        requirements_text(.requirements)
    )]
    WrongAnswer {
        component: ComponentName,
        version: ComponentVersion,
        requirements: BTreeMap<String, VersionRequirement>,
    },
    /// Versions of some components rule each other out in turn, without end.
    #[error("the versions of component {component} and of those that depend on it rule each other out in turn: {}", requirements_text(.requirements))]
    Unsettled {
        component: ComponentName,
        requirements: BTreeMap<String, VersionRequirement>,
    },
}

impl Diagnose for ResolveError {
    fn kind(&self) -> Kind {
        match self {
            ResolveError::NoVersion { .. } => Kind::NotFound,
            ResolveError::Circular { .. } | ResolveError::Unsettled { .. } => Kind::Invalid,
            ResolveError::WrongAnswer { .. } => Kind::Corrupt,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            ResolveError::NoVersion { .. } => "no-component-version",
            ResolveError::Circular { .. } => "circular-dependency",
            ResolveError::WrongAnswer { .. } => "wrong-candidate",
            ResolveError::Unsettled { .. } => "unsettled-versions",
        }
    }

    fn place(&self) -> Option<Place> {
        let (ResolveError::NoVersion { component, .. }
        | ResolveError::Circular { component, .. }
        | ResolveError::WrongAnswer { component, .. }
        | ResolveError::Unsettled { component, .. }) = self;
        Some(Place::Component {
            name: component.to_string(),
            version: None,
        })
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            ResolveError::NoVersion {
                requirements,
                known,
                component,
            } => Some(match (requirements.len(), known.is_empty()) {
                (0 | 1, true) => format!("create a version of {component} that satisfies it").into(),
                (0 | 1, false) => format!("require one of the versions that exist, or create another version of {component}").into(),
                _ => "change one of these requirements: they leave no version together".into(),
            }),
            ResolveError::Circular { .. } => {
                Some("remove one of these dependencies from its recipe".into())
            }
            _ => None,
        }
    }
}

fn requirements_text(requirements: &BTreeMap<String, VersionRequirement>) -> String {
    let parts: Vec<String> = requirements
        .iter()
        .map(|(requirer, requirement)| format!("{requirer} requires {requirement}"))
        .collect();
    parts.join(", ")
}

fn known_text(known: &[ComponentVersion]) -> String {
    if known.is_empty() {
        return String::new();
    }
    let versions: Vec<String> = known.iter().map(ToString::to_string).collect();
    format!(" (there are {})", versions.join(", "))
}

fn path_text(path: &[ComponentName]) -> String {
    let names: Vec<&str> = path.iter().map(ComponentName::as_str).collect();
    names.join(" -> ")
}
