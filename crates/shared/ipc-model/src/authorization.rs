//! Checking the token of another component, for local services such as stream manager.

use crate::operation::operation;
use serde::{Deserialize, Serialize};

operation!(
    /// Whether a token belongs to a live component.
    ValidateAuthorizationToken(ValidateAuthorizationTokenRequest) -> ValidateAuthorizationTokenResponse
);

#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct ValidateAuthorizationTokenRequest {
    pub token: String,
}

impl std::fmt::Debug for ValidateAuthorizationTokenRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ValidateAuthorizationTokenRequest")
            .finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ValidateAuthorizationTokenResponse {
    pub is_valid: bool,
}
