//! A deployment request, checked, and the document that travels to devices (cloud.md §1.3).

use crate::fault::{Fault, Outcome};
use crate::jobs::{AbortConfig, RolloutConfig, TimeoutConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};
use std::collections::BTreeMap;
use sward_deployment::document::{
    ComponentUpdate, ComponentUpdatePolicy, ConfigurationUpdate, ConfigurationValidationPolicy,
    DeploymentDocument, FailureHandlingPolicy, RunWith, SystemResourceLimits, UpdateAction,
};
use sward_diagnosis::Diagnose;
use sward_model::{ComponentName, ComponentVersion};

/// An MQTT message holds 131,072 bytes; the notification around the document needs some.
const LARGEST_DOCUMENT: usize = 120_000;
const SCHEMA_DATE: &str = "2021-05-17";
const DEFAULT_TIMEOUT_SECONDS: i64 = 60;

/// What CreateDeployment takes besides target and token. It is kept as it came.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Request {
    /// By component name, in the order of the request.
    pub(super) components: Map<String, Json>,
    pub(super) deployment_policies: Policies,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) iot_job_configuration: Option<JobConfiguration>,
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Policies {
    failure_handling_policy: FailureHandlingPolicy,
    component_update_policy: UpdatePolicy,
    configuration_validation_policy: ValidationPolicy,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct UpdatePolicy {
    timeout_in_seconds: i64,
    action: UpdateAction,
}

impl Default for UpdatePolicy {
    fn default() -> Self {
        UpdatePolicy {
            timeout_in_seconds: DEFAULT_TIMEOUT_SECONDS,
            action: UpdateAction::default(),
        }
    }
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
struct ValidationPolicy {
    timeout_in_seconds: i64,
}

impl Default for ValidationPolicy {
    fn default() -> Self {
        ValidationPolicy {
            timeout_in_seconds: DEFAULT_TIMEOUT_SECONDS,
        }
    }
}

#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct JobConfiguration {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) job_executions_rollout_config: Option<RolloutConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) abort_config: Option<AbortConfig>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) timeout_config: Option<TimeoutConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ComponentSpec {
    component_version: Option<String>,
    configuration_update: Option<UpdateSpec>,
    run_with: Option<RunWithSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UpdateSpec {
    /// JSON as text.
    merge: Option<String>,
    reset: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RunWithSpec {
    posix_user: Option<String>,
    windows_user: Option<String>,
    system_resource_limits: Option<LimitsSpec>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LimitsSpec {
    memory: Option<i64>,
    cpus: Option<f64>,
}

/// What a revision adds to the request.
pub(super) struct Revision<'a> {
    pub(super) deployment_id: &'a str,
    pub(super) name: Option<&'a str>,
    pub(super) configuration_arn: &'a str,
    pub(super) parent_target: Option<&'a str>,
    pub(super) target: &'a str,
    pub(super) now_ms: i64,
}

impl Request {
    /// Checks everything that can be known before the target is looked at.
    pub(super) fn components(&self) -> Outcome<BTreeMap<String, ComponentUpdate>> {
        let mut components = BTreeMap::new();
        for (name, spec) in &self.components {
            let place = format!("components.{name}");
            name.parse::<ComponentName>()
                .map_err(|error| Fault::field(&place, format!("{error}")))?;
            let spec: ComponentSpec = serde_json::from_value(spec.clone())
                .map_err(|error| Fault::field(&place, format!("it cannot be read: {error}")))?;
            components.insert(name.clone(), update(&place, spec)?);
        }
        Ok(components)
    }

    /// Checks policies and job configuration.
    pub(super) fn validate(&self) -> Outcome<()> {
        let policies = &self.deployment_policies;
        for (name, seconds) in [
            (
                "deploymentPolicies.componentUpdatePolicy.timeoutInSeconds",
                policies.component_update_policy.timeout_in_seconds,
            ),
            (
                "deploymentPolicies.configurationValidationPolicy.timeoutInSeconds",
                policies.configuration_validation_policy.timeout_in_seconds,
            ),
        ] {
            if !(0..=i64::from(i32::MAX)).contains(&seconds) {
                return Err(Fault::field(
                    name,
                    format!("{seconds} s cannot be a time-out"),
                ));
            }
        }
        let Some(job) = &self.iot_job_configuration else {
            return Ok(());
        };
        let at = |error: &dyn Diagnose| Fault::field("iotJobConfiguration", error.to_string());
        if let Some(rollout) = &job.job_executions_rollout_config {
            rollout.validate().map_err(|error| at(&error))?;
        }
        if let Some(abort) = &job.abort_config {
            abort.validate().map_err(|error| at(&error))?;
        }
        if let Some(timeout) = &job.timeout_config {
            timeout.validate().map_err(|error| at(&error))?;
        }
        Ok(())
    }

    /// The document that devices get.
    pub(super) fn document(&self, revision: &Revision<'_>) -> Outcome<Json> {
        let components = self.components()?;
        let policies = &self.deployment_policies;
        let mut capabilities = Vec::new();
        let limits = components.values().any(|component| {
            component
                .run_with
                .as_ref()
                .is_some_and(|run_with| run_with.system_resource_limits.is_some())
        });
        if limits {
            capabilities.push("LINUX_RESOURCE_LIMITS".to_owned());
        }
        if revision.parent_target.is_some() {
            capabilities.push("SUB_DEPLOYMENTS".to_owned());
        }
        let document = DeploymentDocument {
            deployment_id: Some(revision.deployment_id.to_owned()),
            deployment_name: revision.name.map(str::to_owned),
            configuration_arn: Some(revision.configuration_arn.to_owned()),
            parent_target_arn: revision.parent_target.map(str::to_owned),
            on_behalf_of: revision.parent_target.map(|_| revision.target.to_owned()),
            creation_timestamp_ms: Some(revision.now_ms),
            required_capabilities: capabilities,
            failure_handling_policy: policies.failure_handling_policy,
            component_update_policy: ComponentUpdatePolicy {
                timeout_seconds: policies.component_update_policy.timeout_in_seconds,
                action: policies.component_update_policy.action,
            },
            configuration_validation_policy: ConfigurationValidationPolicy {
                timeout_seconds: policies.configuration_validation_policy.timeout_in_seconds,
            },
            components,
        };
        let mut value = json!(document);
        value["schemaDate"] = json!(SCHEMA_DATE);
        // A bad document silences a Java nucleus until it restarts (golden/wire README), so what
        // goes out is read back first.
        if let Err(error) = DeploymentDocument::from_value(&value) {
            return Err(Fault::field("components", error.to_string()));
        }
        let size = value.to_string().len();
        if size > LARGEST_DOCUMENT {
            return Err(Fault::field(
                "components",
                format!("the deployment has {size} bytes, {LARGEST_DOCUMENT} are allowed"),
            )
            .help("move large values out of the configuration updates"));
        }
        Ok(value)
    }
}

fn update(place: &str, spec: ComponentSpec) -> Outcome<ComponentUpdate> {
    let at = |member: &str| format!("{place}.{member}");
    let text = spec
        .component_version
        .ok_or_else(|| Fault::field(&at("componentVersion"), "componentVersion is missing"))?;
    let version: ComponentVersion = text
        .parse()
        .map_err(|error| Fault::field(&at("componentVersion"), format!("{error}")))?;
    let configuration_update = match spec.configuration_update {
        None => None,
        Some(update) => Some(ConfigurationUpdate {
            merge: merge(&at("configurationUpdate.merge"), update.merge)?,
            reset: reset(&at("configurationUpdate.reset"), update.reset)?,
        }),
    };
    let run_with = match spec.run_with {
        None => None,
        Some(run_with) => Some(RunWith {
            posix_user: run_with.posix_user,
            windows_user: run_with.windows_user,
            system_resource_limits: match run_with.system_resource_limits {
                None => None,
                Some(LimitsSpec {
                    memory: Some(memory_kb),
                    cpus: Some(cpus),
                }) if memory_kb >= 0 && cpus >= 0.0 => {
                    Some(SystemResourceLimits { memory_kb, cpus })
                }
                Some(_) => {
                    return Err(Fault::field(
                        &at("runWith.systemResourceLimits"),
                        "memory and cpus must both be given and not be negative",
                    ));
                }
            },
        }),
    };
    Ok(ComponentUpdate {
        version,
        configuration_update,
        run_with,
    })
}

fn merge(place: &str, text: Option<String>) -> Outcome<Option<Map<String, Json>>> {
    let Some(text) = text else {
        return Ok(None);
    };
    match serde_json::from_str(&text) {
        Ok(Json::Object(members)) => Ok(Some(members)),
        Ok(_) => Err(Fault::field(place, "merge is not a JSON object")),
        Err(error) => Err(Fault::field(place, format!("merge is not JSON: {error}"))),
    }
}

fn reset(place: &str, pointers: Option<Vec<String>>) -> Outcome<Option<Vec<Option<String>>>> {
    let Some(pointers) = pointers else {
        return Ok(None);
    };
    for pointer in &pointers {
        if !(pointer.is_empty() || pointer.starts_with('/')) {
            return Err(Fault::field(
                place,
                format!("\"{pointer}\" is not a JSON pointer"),
            ));
        }
    }
    Ok(Some(pointers.into_iter().map(Some).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(value: Json) -> Request {
        serde_json::from_value(value).expect("a request")
    }

    fn revision() -> Revision<'static> {
        Revision {
            deployment_id: "d",
            name: Some("n"),
            configuration_arn: "arn:aws:greengrass:us-east-1:123456789012:configuration:thing/t:1",
            parent_target: None,
            target: "arn:aws:iot:us-east-1:123456789012:thing/t",
            now_ms: 1_700_000_000_123,
        }
    }

    #[test]
    fn the_document_has_objects_where_the_api_has_texts() {
        let request = request(json!({
            "components": { "com.example.A": {
                "componentVersion": "1.0.0",
                "configurationUpdate": { "merge": "{\"a\": 1.0, \"b\": 1}", "reset": ["", "/c"] },
                "runWith": { "posixUser": "u:g", "systemResourceLimits": { "memory": 10, "cpus": 0.5 } },
            }},
            "deploymentPolicies": { "componentUpdatePolicy": { "timeoutInSeconds": 5 } },
        }));
        request.validate().expect("valid");
        let document = request.document(&revision()).expect("a document");
        let component = &document["components"]["com.example.A"];
        assert_eq!(
            component["configurationUpdate"]["merge"].to_string(),
            "{\"a\":1.0,\"b\":1}"
        );
        assert_eq!(component["configurationUpdate"]["reset"], json!(["", "/c"]));
        assert_eq!(
            document["componentUpdatePolicy"],
            json!({ "timeout": 5, "action": "NOTIFY_COMPONENTS" })
        );
        assert_eq!(
            document["configurationValidationPolicy"],
            json!({ "timeout": 60 })
        );
        assert_eq!(document["failureHandlingPolicy"], "ROLLBACK");
        assert_eq!(document["creationTimestamp"], json!(1_700_000_000_123_i64));
        assert_eq!(document["schemaDate"], "2021-05-17");
        assert_eq!(
            document["requiredCapabilities"],
            json!(["LINUX_RESOURCE_LIMITS"])
        );
    }

    #[test]
    fn bad_requests_name_their_member() {
        fn check(components: Json, field: &str) {
            let request = request(json!({ "components": components }));
            let fault = request.components().expect_err(field);
            assert_eq!(fault.members["fields"][0]["name"], field);
        }
        check(
            json!({ "a b": { "componentVersion": "1.0.0" } }),
            "components.a b",
        );
        check(json!({ "a": {} }), "components.a.componentVersion");
        check(
            json!({ "a": { "componentVersion": ">=1.0.0" } }),
            "components.a.componentVersion",
        );
        for merge in ["{", "[]", "1", "{\"a\":1"] {
            check(
                json!({ "a": { "componentVersion": "1.0.0", "configurationUpdate": { "merge": merge } } }),
                "components.a.configurationUpdate.merge",
            );
        }
        check(
            json!({ "a": { "componentVersion": "1.0.0", "configurationUpdate": { "reset": ["x"] } } }),
            "components.a.configurationUpdate.reset",
        );
    }
}
