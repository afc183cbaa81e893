//! The local request's document (core-device §6.3).

use super::fleet::{
    ComponentUpdatePolicy, ConfigurationUpdate, FailureHandlingPolicy, RunWith, UpdateAction,
};
use super::reader::{DocumentError, Reader};
use super::spec::{DeploymentSpec, LOCAL_DEPLOYMENT_GROUP, SpecComponent};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// The roots recorded for a group, with the version of each that runs now.
pub type RunningRoots = BTreeMap<String, String>;

/// A configuration change as local requests spell it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LocalConfigurationUpdate {
    #[serde(rename = "MERGE", default, skip_serializing_if = "Option::is_none")]
    merge: Option<Map<String, Value>>,
    #[serde(rename = "RESET", default, skip_serializing_if = "Option::is_none")]
    reset: Option<Vec<Option<String>>>,
}

/// What a local request asks for. It is read and written in camelCase, as AWS's CLI does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalRequest {
    /// The id under which the deployment is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// When it was asked, ms.
    #[serde(rename = "requestTimestamp")]
    pub request_timestamp_ms: i64,
    /// Components to have, with a version requirement each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components_to_merge: Option<BTreeMap<String, String>>,
    /// Root components to drop.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub components_to_remove: Option<Vec<String>>,
    /// The thing group to record it under; absent or empty means none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_name: Option<String>,
    /// What the device must be able to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub required_capabilities: Option<Vec<String>>,
    /// Configuration changes by component.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_update: Option<BTreeMap<String, LocalConfigurationUpdate>>,
    /// As whom components run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub component_to_run_with_info: Option<BTreeMap<String, Option<RunWith>>>,
    /// A folder of recipes to copy into the store first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recipe_directory_path: Option<String>,
    /// A folder of artifacts to copy into the store first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub artifacts_directory_path: Option<String>,
    /// What happens on failure; nothing unless it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure_handling_policy: Option<FailureHandlingPolicy>,
}

impl LocalRequest {
    /// Reads a request.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let value = Reader::document(text)?;
        Reader::root(&value)?;
        serde_json::from_value(value)
            .map_err(|error| DocumentError::unreadable(format!("the request is wrong: {error}")))
    }

    /// The group it is recorded under.
    #[must_use]
    pub fn group(&self) -> String {
        match self.group_name.as_deref() {
            None | Some("") => LOCAL_DEPLOYMENT_GROUP.to_owned(),
            Some(name) => format!("thinggroup/{name}"),
        }
    }

    /// Adds a configuration change of one component (`MERGE`/`RESET` of the request).
    pub fn update_configuration(&mut self, component: &str, update: ConfigurationUpdate) {
        self.configuration_update.get_or_insert_default().insert(
            component.to_owned(),
            LocalConfigurationUpdate {
                merge: update.merge,
                reset: update.reset,
            },
        );
    }

    /// The spec: what is recorded for the group, without what is to be removed, overlaid by what
    /// is to be merged. Changes of components that are no roots are carried and later ignored.
    #[must_use]
    pub fn to_spec(&self, running: &RunningRoots) -> DeploymentSpec {
        let removed = self.components_to_remove.as_deref().unwrap_or_default();
        let mut components: BTreeMap<String, SpecComponent> = BTreeMap::new();
        let mut put = |name: &str, root: bool, requirement: Option<&str>| {
            components.insert(
                name.to_owned(),
                SpecComponent {
                    name: name.to_owned(),
                    root,
                    requirement: requirement.map(str::to_owned),
                    configuration_update: None,
                    run_with: None,
                },
            );
        };
        for (name, version) in running {
            if !removed.contains(name) {
                put(name, true, Some(version));
            }
        }
        for (name, requirement) in self.components_to_merge.iter().flatten() {
            put(name, true, Some(requirement));
        }
        let mentioned = |name: &str, requirement: Option<&str>| SpecComponent {
            name: name.to_owned(),
            root: false,
            requirement: requirement.map(str::to_owned),
            configuration_update: None,
            run_with: None,
        };
        for (name, update) in self.configuration_update.iter().flatten() {
            components
                .entry(name.clone())
                .or_insert_with(|| mentioned(name, Some("*")))
                .configuration_update = Some(ConfigurationUpdate {
                merge: update.merge.clone(),
                reset: update.reset.clone(),
            });
        }
        for (name, run_with) in self.component_to_run_with_info.iter().flatten() {
            let Some(run_with) = run_with else { continue };
            components
                .entry(name.clone())
                .or_insert_with(|| mentioned(name, None))
                .run_with = Some(run_with.clone());
        }
        DeploymentSpec {
            deployment_id: self.request_id.clone(),
            configuration_arn: None,
            group_name: Some(self.group()),
            on_behalf_of: None,
            parent_group_name: None,
            required_capabilities: self.required_capabilities.clone().unwrap_or_default(),
            timestamp_ms: Some(self.request_timestamp_ms),
            failure_handling_policy: self
                .failure_handling_policy
                .unwrap_or(FailureHandlingPolicy::DoNothing),
            component_update_policy: ComponentUpdatePolicy {
                timeout_seconds: 0,
                action: UpdateAction::SkipNotifyComponents,
            },
            configuration_validation_timeout_seconds: 20,
            components: components.into_values().collect(),
        }
    }
}
