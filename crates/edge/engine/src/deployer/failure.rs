//! From our errors to AWS's error stack: the one border where they are mapped.

use super::ports::{BrokenComponent, CloudError, Settled};
use crate::artifacts::ArtifactError;
use crate::component_store::StoreError;
use std::collections::BTreeMap;
use sward_deployment::error::DeploymentErrorType as Type;
use sward_deployment::{DeploymentErrorCode as Code, DeploymentFailure};
use sward_diagnosis::Diagnose;
use sward_model::{Arn, ComponentName, ComponentState};
use sward_recipe::LoadError;
use sward_resolver::ResolveError;

/// How many characters of a script's output stand in a failure cause.
const OUTPUT_CHARACTERS: usize = 600;

pub(super) fn of_store(what: &str, error: &StoreError) -> DeploymentFailure {
    DeploymentFailure::new(what, &[]).because_of(error, error.codes())
}

pub(super) fn of_artifact(component: &str, error: &ArtifactError) -> DeploymentFailure {
    DeploymentFailure::new(
        format!("cannot prepare the artifacts of component {component}"),
        &error.codes(),
    )
    .because_of(error, &[])
}

pub(super) fn of_resolution(error: &ResolveError) -> DeploymentFailure {
    let codes: &[Code] = match error {
        ResolveError::NoVersion { .. } | ResolveError::Unsettled { .. } => &[
            Code::NoAvailableComponentVersion,
            Code::ComponentVersionRequirementsNotMet,
        ],
        ResolveError::Circular { .. } => &[Code::ComponentCircularDependencyError],
        ResolveError::WrongAnswer { .. } => &[Code::ResolveComponentCandidatesBadResponse],
    };
    let failure = DeploymentFailure::new(error.to_string(), codes);
    match error.hint() {
        Some(hint) => failure.because(hint),
        None => failure,
    }
}

pub(super) fn of_cloud(what: &str, error: &CloudError) -> DeploymentFailure {
    let mut codes = error.codes();
    if matches!(error, CloudError::Refused { operation, status: 403, .. }
        if operation == "ResolveComponentCandidates")
    {
        codes.push(Code::ResolveComponentCandidatesAccessDenied);
    }
    DeploymentFailure::new(what, &[]).because_of(error, &codes)
}

pub(super) fn of_manifest(component: &str, error: &LoadError) -> DeploymentFailure {
    let mut codes = vec![Code::ComponentPackageLoadingError];
    if matches!(error, LoadError::MissingManifest { .. }) {
        codes.push(Code::RecipeMissingManifest);
    }
    DeploymentFailure::new(
        format!("cannot use the recipe of component {component}"),
        &codes,
    )
    .because_of(error, &[])
}

/// Components that did not come up. The cause carries the exit code and the last output.
pub(super) fn of_settled(
    settled: &Settled,
    arn: impl Fn(&str) -> Option<String>,
) -> DeploymentFailure {
    match settled {
        Settled::Broken(broken) => of_broken(broken, arn(broken.name.as_str()).as_deref()),
        Settled::TimedOut(names) => {
            let list: Vec<String> = names
                .iter()
                .map(|(name, state)| format!("{name} ({state})"))
                .collect();
            DeploymentFailure::new(
                format!(
                    "these components did not come up in time: {}",
                    list.join(", ")
                ),
                &[Code::ComponentUpdateError],
            )
        }
        Settled::Fine => DeploymentFailure::new("the components came up", &[]),
    }
}

/// Components that come up and go down again until the time is up.
pub(super) fn of_restless(
    names: &[ComponentName],
    states: &BTreeMap<ComponentName, ComponentState>,
) -> DeploymentFailure {
    let list: Vec<String> = names
        .iter()
        .filter_map(|name| Some(format!("{name} ({})", states.get(name)?)))
        .collect();
    DeploymentFailure::new(
        format!("these components do not stay up: {}", list.join(", ")),
        &[Code::ComponentUpdateError],
    )
    .because("at least one of them restarted again and again until the time was up")
}

/// A deployment during which the core ended, again and again.
pub(super) fn of_interruptions(times: u32) -> DeploymentFailure {
    DeploymentFailure::new(
        format!(
            "the core ended {} times while it carried the deployment out",
            times.saturating_add(1)
        ),
        &[Code::DeploymentInterrupted],
    )
    .because("a component of it may restart the device, or use up its memory")
}

fn of_broken(broken: &BrokenComponent, arn: Option<&str>) -> DeploymentFailure {
    let class = match arn.and_then(|arn| arn.parse::<Arn>().ok()) {
        Some(arn) if arn.account == "aws" => Type::AwsComponentError,
        Some(_) => Type::UserComponentError,
        None => Type::ComponentError,
    };
    let mut reason = format!("{}: {}", broken.status_code, broken.reason);
    if let Some(code) = broken.exit_code
        && !broken.reason.contains(&format!("code {code}"))
    {
        reason.push_str(&format!(" (exit code {code})"));
    }
    let failure = DeploymentFailure::new(
        format!("component {} is BROKEN", broken.name),
        &[Code::ComponentUpdateError, Code::ComponentBroken],
    )
    .of_type(class)
    .because(reason);
    let output = broken.last_output.join("\n");
    if output.trim().is_empty() {
        return failure.because(format!("its log is logs/{}.log", broken.name));
    }
    let skip = output.chars().count().saturating_sub(OUTPUT_CHARACTERS);
    let tail: String = output.chars().skip(skip).collect();
    failure.because(format!("its last output was: {}", tail.trim()))
}

pub(super) fn of_journal(error: &dyn Diagnose) -> DeploymentFailure {
    DeploymentFailure::new("cannot record the deployment on disk", &[])
        .because_of(error, &[Code::IoError, Code::IoWriteError])
}
