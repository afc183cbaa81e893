//! Who asks, and what that caller may do.

use crate::S3Error;
use async_trait::async_trait;
use sward_aws_wire::api::Caller;

/// A verified caller together with its permissions.
#[async_trait]
pub trait Access: Send + Sync {
    /// The caller; its account owns what it makes.
    fn caller(&self) -> &Caller;

    /// Whether the caller may do `action` (such as `s3:GetObject`) on `resource` (an ARN); a
    /// refusal is [`crate::Code::AccessDenied`].
    async fn check(&self, action: &str, resource: &str) -> Result<(), S3Error>;
}
