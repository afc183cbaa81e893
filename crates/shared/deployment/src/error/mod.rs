//! Why a deployment failed, in the words that AWS's consoles and tools understand.

mod code;
mod failure;
mod standard;

pub use code::{DeploymentErrorCode, DeploymentErrorType};
pub use failure::{DeploymentFailure, FailureLink};
pub use standard::{codes_of_cloud_status, codes_of_s3_status};
