//! What the deployer works with: one shape for every source.

use super::fleet::{
    ComponentUpdatePolicy, ConfigurationUpdate, DeploymentDocument, FailureHandlingPolicy, RunWith,
};
use super::reader::DocumentError;
use serde::{Deserialize, Serialize};

/// The group under which plain local deployments are recorded.
pub const LOCAL_DEPLOYMENT_GROUP: &str = "LOCAL_DEPLOYMENT";

/// What this core can do of what a document may require.
pub const SUPPORTED_CAPABILITIES: &[&str] = &["LINUX_RESOURCE_LIMITS", "SUB_DEPLOYMENTS"];

/// One component of a deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpecComponent {
    /// As written in the document.
    pub name: String,
    /// Whether the target group asks for it; others are only mentioned, and their updates ignored.
    pub root: bool,
    /// An exact version or a requirement; absent for a component that is only mentioned.
    pub requirement: Option<String>,
    /// A change of its configuration.
    pub configuration_update: Option<ConfigurationUpdate>,
    /// As whom it runs; absent keeps what is stored.
    pub run_with: Option<RunWith>,
}

/// A deployment as the deployer sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeploymentSpec {
    /// The Greengrass deployment id, or the id of a local request.
    pub deployment_id: Option<String>,
    /// The configuration's ARN, of a cloud deployment.
    pub configuration_arn: Option<String>,
    /// `thinggroup/G`, `thing/T` or [`LOCAL_DEPLOYMENT_GROUP`]; under it the roots are recorded.
    pub group_name: Option<String>,
    /// `thinggroup/G` that a sub-deployment counts for.
    pub on_behalf_of: Option<String>,
    /// `thinggroup/G` of the parent, of a sub-deployment.
    pub parent_group_name: Option<String>,
    /// What the device must be able to do.
    pub required_capabilities: Vec<String>,
    /// When it was created, ms.
    pub timestamp_ms: Option<i64>,
    /// What happens on failure.
    pub failure_handling_policy: FailureHandlingPolicy,
    /// How components are asked.
    pub component_update_policy: ComponentUpdatePolicy,
    /// How long components may take to validate, in seconds.
    pub configuration_validation_timeout_seconds: i64,
    /// The components, sorted by name.
    pub components: Vec<SpecComponent>,
}

impl DeploymentSpec {
    /// The spec of a cloud document. All its components are roots, and each replaces its stored
    /// `runWith`, also where the document says nothing about it.
    pub fn of_document(document: DeploymentDocument) -> Result<Self, DocumentError> {
        let on_behalf_of = group_of_arn(document.on_behalf_of.as_deref(), "onBehalfOf")?;
        let parent_group_name =
            group_of_arn(document.parent_target_arn.as_deref(), "parentTargetArn")?;
        let group_name = on_behalf_of.clone().or_else(|| {
            let arn = document.configuration_arn.as_deref()?;
            Some(arn_resource(arn).unwrap_or(arn).to_owned())
        });
        Ok(DeploymentSpec {
            deployment_id: document.deployment_id,
            configuration_arn: document.configuration_arn,
            group_name,
            on_behalf_of,
            parent_group_name,
            required_capabilities: document.required_capabilities,
            timestamp_ms: document.creation_timestamp_ms,
            failure_handling_policy: document.failure_handling_policy,
            component_update_policy: document.component_update_policy,
            configuration_validation_timeout_seconds: document
                .configuration_validation_policy
                .timeout_seconds,
            components: document
                .components
                .into_iter()
                .map(|(name, update)| SpecComponent {
                    name,
                    root: true,
                    requirement: Some(update.version.to_string()),
                    configuration_update: update.configuration_update,
                    run_with: Some(update.run_with.unwrap_or_default()),
                })
                .collect(),
        })
    }

    /// The roots this deployment asks for.
    pub fn roots(&self) -> impl Iterator<Item = &SpecComponent> {
        self.components.iter().filter(|component| component.root)
    }

    /// The root of this exact name, if there is one.
    #[must_use]
    pub fn root(&self, name: &str) -> Option<&SpecComponent> {
        self.roots().find(|component| component.name == name)
    }

    /// The required capabilities that this core lacks.
    #[must_use]
    pub fn missing_capabilities(&self) -> Vec<&str> {
        self.required_capabilities
            .iter()
            .map(String::as_str)
            .filter(|wanted| !SUPPORTED_CAPABILITIES.contains(wanted))
            .collect()
    }

    /// The group's name, `""` where the document has none.
    #[must_use]
    pub fn group(&self) -> &str {
        self.group_name.as_deref().unwrap_or_default()
    }
}

fn group_of_arn(arn: Option<&str>, member: &str) -> Result<Option<String>, DocumentError> {
    match arn {
        None | Some("") => Ok(None),
        Some(arn) => match arn_resource(arn) {
            Some(resource) => Ok(Some(format!("thinggroup/{resource}"))),
            None => Err(DocumentError::invalid(format!(
                "{member} \"{arn}\" is no ARN"
            ))),
        },
    }
}

/// The resource of an ARN without its type and qualifier: `configuration:thing/T:3` gives
/// `thing/T`, `thinggroup/G` gives `G`. The first of `:` and `/` separates all three.
fn arn_resource(arn: &str) -> Option<&str> {
    let mut parts = arn.splitn(6, ':');
    let prefix = parts.next()?;
    let (partition, service) = (parts.next()?, parts.next()?);
    let (_region, _account) = (parts.next()?, parts.next()?);
    let resource = parts.next()?;
    if prefix != "arn" || partition.is_empty() || service.is_empty() || resource.is_empty() {
        return None;
    }
    let Some(at) = resource.find([':', '/']) else {
        return Some(resource);
    };
    let separator = if resource.as_bytes()[at] == b':' {
        ':'
    } else {
        '/'
    };
    resource[at + 1..].split(separator).next()
}
