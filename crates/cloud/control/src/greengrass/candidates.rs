//! What a device asks while it resolves a deployment (wire-protocols §4.2, §4.3, §4.5).

use super::components::{self, Version};
use super::public::{self, PublicComponent};
use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::iot;
use crate::ports::ArtifactError;
use crate::request::{Call, listed, ok};
use crate::routes::Matched;
use crate::scope::Scope;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use sward_aws_wire::api::ApiResponse;
use sward_model::{ComponentName, ComponentVersion, PlatformAttributes, VersionRequirement};
use sward_recipe::{Format, Scheme};
use sward_store::Tx;

pub(super) async fn call(
    control: &Control,
    call: &Call<'_>,
    matched: &Matched,
) -> Outcome<ApiResponse> {
    match matched.name {
        "ResolveComponentCandidates" => resolve(control, call).await,
        "GetComponentVersionArtifact" => {
            artifact(control, call, matched.arg(0), matched.arg(1)).await
        }
        "ListThingGroupsForCoreDevice" => groups(control, call, matched.arg(0)).await,
        _ => Err(call.unknown()),
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Body {
    platform: Option<Platform>,
    component_candidates: Vec<Candidate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Platform {
    attributes: BTreeMap<String, String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Candidate {
    component_name: String,
    component_version: Option<String>,
    version_requirements: BTreeMap<String, String>,
}

async fn resolve(control: &Control, call: &Call<'_>) -> Outcome<ApiResponse> {
    let body: Body = call.body()?;
    if body.component_candidates.is_empty() {
        return Err(Fault::field(
            "componentCandidates",
            "there is no component to resolve",
        ));
    }
    let platform = body
        .platform
        .map(|platform| PlatformAttributes(platform.attributes));
    let mut tx = control.read().await?;
    let mut resolved = Vec::new();
    for candidate in &body.component_candidates {
        let version = best(&mut tx, &call.scope, candidate, platform.as_ref()).await?;
        resolved.push(json!({
            "arn": version.arn.to_string(),
            "componentName": version.name.as_str(),
            "componentVersion": version.version.as_str(),
            // JSON for every nucleus: lite stores the bytes under a name that ends in .json.
            "recipe": STANDARD.encode(version.recipe.to_text(Format::Json)),
            "vendorGuidance": "ACTIVE",
        }));
    }
    Ok(ok(json!({ "resolvedComponentVersions": resolved })))
}

async fn best(
    tx: &mut Tx,
    scope: &Scope,
    candidate: &Candidate,
    platform: Option<&PlatformAttributes>,
) -> Outcome<Version> {
    let name: ComponentName = candidate
        .component_name
        .parse()
        .map_err(|error| Fault::field("componentName", format!("{error}")))?;
    let wanted = requirement(candidate)?;
    let local: Option<ComponentVersion> = match &candidate.component_version {
        None => None,
        Some(text) => Some(
            text.parse()
                .map_err(|error| Fault::field("componentVersion", format!("{error}")))?,
        ),
    };
    let mut known: Vec<Version> = components::private_versions(tx, scope, name.as_str())
        .await?
        .into_iter()
        .filter(Version::is_deployable)
        .collect();
    if let Some(public) = public::find(name.as_str()) {
        known.extend(public_versions(scope, public, candidate, local.as_ref()));
    }
    let usable: Vec<&Version> = known
        .iter()
        .filter(|version| wanted.is_satisfied_by(&version.version))
        .collect();
    if usable.is_empty() {
        return Err(no_usable_version(&name, candidate, &known));
    }
    let fitting: Vec<&Version> = usable
        .into_iter()
        .filter(|version| platform.is_none_or(|platform| fits(version, platform)))
        .collect();
    let preferred = fitting
        .iter()
        .find(|version| Some(&version.version) == local.as_ref());
    match preferred.or(fitting.first()) {
        Some(version) => Ok((**version).clone()),
        None => {
            let attributes = platform
                .map(|platform| json!(platform.0))
                .unwrap_or_default();
            // The Java nucleus looks for the words "claim platform".
            Err(missing(
                &name,
                format!("none of the versions of {name} claim platform {attributes} compatibility"),
            )
            .help("add a manifest for this platform"))
        }
    }
}

fn requirement(candidate: &Candidate) -> Outcome<VersionRequirement> {
    let mut members = Vec::new();
    for (requirer, text) in &candidate.version_requirements {
        let member: VersionRequirement = text.parse().map_err(|error| {
            Fault::field(
                "versionRequirements",
                format!("the requirement of {requirer} cannot be read: {error}"),
            )
        })?;
        members.push(member);
    }
    VersionRequirement::all_of(members.iter()).map_err(|error| {
        Fault::field(
            "versionRequirements",
            format!("the requirements cannot be joined: {error}"),
        )
    })
}

fn fits(version: &Version, platform: &PlatformAttributes) -> bool {
    matches!(version.recipe.select(platform), Ok(Some(_)))
}

/// A public component is any version of its range that somebody names, and its newest one.
fn public_versions(
    scope: &Scope,
    component: &PublicComponent,
    candidate: &Candidate,
    local: Option<&ComponentVersion>,
) -> Vec<Version> {
    let mut versions: Vec<ComponentVersion> = candidate
        .version_requirements
        .values()
        .flat_map(|text| versions_named(text))
        .collect();
    versions.extend(local.cloned());
    versions.retain(|version| component.answers_to(version));
    versions.push(component.newest());
    versions.sort_by(|a, b| b.cmp(a));
    versions.dedup();
    // Its newest version first, whatever else is named: a range such as `>=2.0.0` means that.
    let newest = component.newest();
    versions.sort_by_key(|version| *version != newest);
    versions
        .iter()
        .map(|version| Version::of_public(scope, component, version))
        .collect()
}

/// The versions that stand literally in a requirement.
fn versions_named(requirement: &str) -> Vec<ComponentVersion> {
    requirement
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+')))
        .filter_map(|word| word.parse().ok())
        .collect()
}

fn missing(name: &ComponentName, message: String) -> Fault {
    Fault::new(Refusal::NotFound, message)
        .with("resourceId", name.as_str())
        .with("resourceType", "COMPONENT")
}

fn no_usable_version(name: &ComponentName, candidate: &Candidate, known: &[Version]) -> Fault {
    let wanted = json!(candidate.version_requirements);
    let known: Vec<&str> = known.iter().map(|one| one.version.as_str()).collect();
    // The Java nucleus looks for the words "no usable version".
    let fault = missing(
        name,
        format!("component {name} has no usable version for {wanted}"),
    );
    if known.is_empty() {
        fault.help("create it with create-component-version")
    } else {
        fault.help(format!("the cloud has {}", known.join(", ")))
    }
}

async fn artifact(
    control: &Control,
    call: &Call<'_>,
    arn: &str,
    wanted: &str,
) -> Outcome<ApiResponse> {
    let version = {
        let mut tx = control.read().await?;
        components::by_arn(&mut tx, &call.scope, arn).await?
    };
    let found = version
        .recipe
        .artifacts()
        .map(|(_, artifact)| artifact)
        .find(|artifact| match artifact.scheme() {
            Scheme::S3 { key, .. } => {
                key == wanted || artifact.file_name() == wanted.rsplit('/').next()
            }
            _ => false,
        });
    let Some(artifact) = found else {
        return Err(Fault::not_found("ARTIFACT", wanted));
    };
    let url = control
        .ports()
        .artifacts
        .presign(&call.scope.account, &call.scope.region, &artifact.uri)
        .await
        .map_err(|error| {
            let refusal = match &error {
                ArtifactError::Inaccessible { .. } => Refusal::NotFound,
                ArtifactError::Unavailable { .. } => Refusal::Unavailable,
            };
            Fault::of(refusal, &error)
                .with("resourceId", wanted)
                .with("resourceType", "ARTIFACT")
        })?;
    Ok(ok(json!({ "preSignedUrl": url })))
}

async fn groups(control: &Control, call: &Call<'_>, thing: &str) -> Outcome<ApiResponse> {
    let page = call.page(&["maxResults"], &["nextToken"], 100, 100)?;
    let scope = &call.scope;
    let mut tx = control.read().await?;
    if iot::thing(&mut tx, scope, thing).await?.is_none() {
        return Err(Fault::not_found("CORE_DEVICE", thing));
    }
    let named = |name: &str| {
        json!({
            "thingGroupName": name,
            "thingGroupArn": scope.iot("thinggroup", name).to_string(),
        })
    };
    let mut items = Vec::new();
    for group in iot::groups_of_thing(&mut tx, scope, thing).await? {
        let above: Vec<Json> = iot::ancestors(&mut tx, scope, &group)
            .await?
            .iter()
            .map(|group| named(&group.name))
            .collect();
        let mut item = named(&group.name);
        item["rootToParentThingGroups"] = Json::from(above);
        items.push(item);
    }
    let (part, token) = page.cut(items, |item| item["thingGroupName"].to_string());
    Ok(listed("thingGroups", part, "nextToken", token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_found_in_requirements() {
        fn check(text: &str, expected: &[&str]) {
            let found = versions_named(text);
            let found: Vec<&str> = found.iter().map(ComponentVersion::as_str).collect();
            assert_eq!(found, expected, "{text}");
        }
        check("=2.18.0", &["2.18.0"]);
        check(">=2.0.0 <3.0.0", &["2.0.0", "3.0.0"]);
        check("~2.1", &[]);
        check("1.0.0 || ==1.2.3-rc.1", &["1.0.0", "1.2.3-rc.1"]);
        check("", &[]);
    }
}
