//! The cloud's document (core-device §6.1, wire-protocols §3.4).

use super::reader::{DocumentError, Reader};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use sward_model::ComponentVersion;

/// What to do with what was applied when a deployment fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum FailureHandlingPolicy {
    /// Put everything back.
    #[default]
    Rollback,
    /// Leave it as it is.
    DoNothing,
}

/// Whether components are asked before they are updated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum UpdateAction {
    /// Ask every subscribed component.
    #[default]
    NotifyComponents,
    /// Go on at once.
    SkipNotifyComponents,
}

/// How components are asked before an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComponentUpdatePolicy {
    /// How long to wait for answers, in seconds.
    #[serde(rename = "timeout")]
    pub timeout_seconds: i64,
    /// Ask, or do not.
    pub action: UpdateAction,
}

impl Default for ComponentUpdatePolicy {
    fn default() -> Self {
        ComponentUpdatePolicy {
            timeout_seconds: 60,
            action: UpdateAction::NotifyComponents,
        }
    }
}

/// How components are asked to validate a new configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigurationValidationPolicy {
    /// How long to wait for all answers, in seconds.
    #[serde(rename = "timeout")]
    pub timeout_seconds: i64,
}

impl Default for ConfigurationValidationPolicy {
    fn default() -> Self {
        ConfigurationValidationPolicy {
            timeout_seconds: 60,
        }
    }
}

/// A change of a component's configuration: resets first, then the merge.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigurationUpdate {
    /// Merged over what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub merge: Option<Map<String, Value>>,
    /// JSON pointers that go back to their defaults; `""` is everything. A null element is kept,
    /// because it fails the deployment only when it is reached.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reset: Option<Vec<Option<String>>>,
}

/// Limits of a component's processes.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct SystemResourceLimits {
    /// Memory in kilobytes.
    #[serde(rename = "memory")]
    pub memory_kb: i64,
    /// Processors, as a fraction.
    pub cpus: f64,
}

/// As whom and with what limits a component runs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunWith {
    /// `user[:group]`; absent or empty means the device's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub posix_user: Option<String>,
    /// A Windows user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub windows_user: Option<String>,
    /// Limits; absent means none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_resource_limits: Option<SystemResourceLimits>,
}

/// One component of the cloud's document.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ComponentUpdate {
    /// The exact version. Always there in a document that [`DeploymentDocument::parse`] accepted.
    pub version: ComponentVersion,
    /// A change of its configuration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_update: Option<ConfigurationUpdate>,
    /// As whom it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_with: Option<RunWith>,
}

/// The document that travels to a device. `Serialize` writes it as AWS's cloud does.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentDocument {
    /// The deployment's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_id: Option<String>,
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deployment_name: Option<String>,
    /// `arn:…:configuration:(thing|thinggroup)/NAME:REVISION`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub configuration_arn: Option<String>,
    /// The parent's target, of a sub-deployment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent_target_arn: Option<String>,
    /// The group a sub-deployment counts for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// Milliseconds since 1970; orders deployments of one group and stamps their configuration.
    #[serde(rename = "creationTimestamp", skip_serializing_if = "Option::is_none")]
    pub creation_timestamp_ms: Option<i64>,
    /// What the device must be able to do.
    pub required_capabilities: Vec<String>,
    /// What happens on failure.
    pub failure_handling_policy: FailureHandlingPolicy,
    /// How components are asked.
    pub component_update_policy: ComponentUpdatePolicy,
    /// How configurations are validated.
    pub configuration_validation_policy: ConfigurationValidationPolicy,
    /// The components by name.
    pub components: BTreeMap<String, ComponentUpdate>,
}

impl DeploymentDocument {
    /// Reads a document as a device receives it.
    ///
    /// Unknown members are ignored, text after the document too; numbers may come as text or with
    /// a fraction that is cut; members in another case are unknown members.
    pub fn parse(text: &str) -> Result<Self, DocumentError> {
        let value = Reader::document(text)?;
        Self::from_value(&value)
    }

    /// Reads a document that is parsed JSON already.
    pub fn from_value(value: &Value) -> Result<Self, DocumentError> {
        let reader = Reader::root(value)?;
        let components = reader.entries("components")?;
        let mut drafts = Vec::new();
        let document = DeploymentDocument {
            deployment_id: reader.text("deploymentId")?,
            deployment_name: reader.text("deploymentName")?,
            configuration_arn: reader.text("configurationArn")?,
            parent_target_arn: reader.text("parentTargetArn")?,
            on_behalf_of: reader.text("onBehalfOf")?,
            creation_timestamp_ms: reader.integer("creationTimestamp")?,
            required_capabilities: reader.texts_or_absent("requiredCapabilities")?,
            failure_handling_policy: reader.word_or_default("failureHandlingPolicy")?,
            component_update_policy: read_update_policy(&reader)?,
            configuration_validation_policy: read_validation_policy(&reader)?,
            components: BTreeMap::new(),
        };
        reader.one_of("schemaDate", &["2021-05-17"])?;
        for component in &components {
            drafts.push(ComponentDraft::read(component)?);
        }
        document.with_components(drafts)
    }

    /// The checks that come after the whole text was read.
    fn with_components(mut self, drafts: Vec<ComponentDraft>) -> Result<Self, DocumentError> {
        for draft in drafts {
            let name = draft.name.clone();
            self.components.insert(name, draft.finish()?);
        }
        Ok(self)
    }
}

fn read_update_policy(reader: &Reader<'_>) -> Result<ComponentUpdatePolicy, DocumentError> {
    let mut policy = ComponentUpdatePolicy::default();
    if let Some(inner) = reader.object_or_absent("componentUpdatePolicy")? {
        if let Some(timeout) = inner.integer_or_absent("timeout")? {
            policy.timeout_seconds = timeout;
        }
        policy.action = inner.word_or_default("action")?;
    }
    Ok(policy)
}

fn read_validation_policy(
    reader: &Reader<'_>,
) -> Result<ConfigurationValidationPolicy, DocumentError> {
    let mut policy = ConfigurationValidationPolicy::default();
    if let Some(inner) = reader.object_or_absent("configurationValidationPolicy")?
        && let Some(timeout) = inner.integer_or_absent("timeout")?
    {
        policy.timeout_seconds = timeout;
    }
    Ok(policy)
}

/// A component as far as one reading of the text can check it.
struct ComponentDraft {
    name: String,
    version: Option<ComponentVersion>,
    update: Option<(Value, Option<Vec<Option<String>>>)>,
    run_with: Option<RunWithDraft>,
}

struct RunWithDraft {
    posix_user: Option<String>,
    windows_user: Option<String>,
    limits: Option<(Option<i64>, Option<f64>)>,
}

impl ComponentDraft {
    fn read(reader: &Reader<'_>) -> Result<Self, DocumentError> {
        let mut draft = ComponentDraft {
            name: reader.name().to_owned(),
            version: None,
            update: None,
            run_with: None,
        };
        if reader.is_null() {
            return Ok(draft);
        }
        draft.version = reader.version("version")?;
        if let Some(update) = reader.object("configurationUpdate")? {
            draft.update = Some((update.raw("merge").clone(), update.texts("reset")?));
        }
        if let Some(run_with) = reader.object("runWith")? {
            let limits = match run_with.object("systemResourceLimits")? {
                Some(limits) => Some((limits.integer("memory")?, limits.number("cpus")?)),
                None => None,
            };
            draft.run_with = Some(RunWithDraft {
                posix_user: run_with.text("posixUser")?,
                windows_user: run_with.text("windowsUser")?,
                limits,
            });
        }
        Ok(draft)
    }

    fn finish(self) -> Result<ComponentUpdate, DocumentError> {
        if self.name.is_empty() {
            return Err(DocumentError::invalid("a component has an empty name"));
        }
        let Some(version) = self.version else {
            return Err(DocumentError::invalid(format!(
                "component {} has no version",
                self.name
            )));
        };
        let configuration_update = match self.update {
            None => None,
            Some((merge, reset)) => Some(ConfigurationUpdate {
                merge: match merge {
                    Value::Null => None,
                    Value::Object(map) => Some(map),
                    _ => return Err(DocumentError::merge_no_object(&self.name)),
                },
                reset,
            }),
        };
        let run_with = match self.run_with {
            None => None,
            Some(draft) => Some(RunWith {
                posix_user: draft.posix_user,
                windows_user: draft.windows_user,
                system_resource_limits: match draft.limits {
                    None => None,
                    Some((Some(memory_kb), Some(cpus))) => {
                        Some(SystemResourceLimits { memory_kb, cpus })
                    }
                    Some(_) => return Err(DocumentError::limits_incomplete(&self.name)),
                },
            }),
        };
        Ok(ComponentUpdate {
            version,
            configuration_update,
            run_with,
        })
    }
}
