//! The payload of the CONNECT message.

use serde::{Deserialize, Serialize};

/// What a client says about itself when it connects: the token its environment gave it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectPayload {
    /// The value of `SVCUID`.
    #[serde(rename = "authToken", skip_serializing_if = "Option::is_none", default)]
    pub auth_token: Option<String>,
}

impl std::fmt::Debug for ConnectPayload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConnectPayload").finish_non_exhaustive()
    }
}
