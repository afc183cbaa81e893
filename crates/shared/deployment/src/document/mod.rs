//! The documents that say what a device shall run.
//!
//! [`DeploymentDocument`] is what travels from the cloud (as a job's document, or as text inside
//! the named shadow); [`LocalRequest`] is what a local request says. Both become a
//! [`DeploymentSpec`], which is all the deployer works with.

mod fleet;
mod local;
mod reader;
mod spec;

pub use fleet::{
    ComponentUpdate, ComponentUpdatePolicy, ConfigurationUpdate, ConfigurationValidationPolicy,
    DeploymentDocument, FailureHandlingPolicy, RunWith, SystemResourceLimits, UpdateAction,
};
pub use local::{LocalConfigurationUpdate, LocalRequest, RunningRoots};
pub use reader::{DocumentError, DocumentFault};
pub use spec::{DeploymentSpec, LOCAL_DEPLOYMENT_GROUP, SUPPORTED_CAPABILITIES, SpecComponent};
