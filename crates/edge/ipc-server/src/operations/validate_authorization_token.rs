//! Lets stream manager check the tokens of its own clients.

use super::{Call, Handled, Handler, now};
use sward_ipc_model::{
    ErrorName, IpcError, ValidateAuthorizationToken, ValidateAuthorizationTokenRequest,
    ValidateAuthorizationTokenResponse,
};

/// The only component that may ask.
const STREAM_MANAGER: &str = "aws.greengrass.StreamManager";

impl Handler for ValidateAuthorizationToken {
    fn handle(call: &Call<'_>, request: ValidateAuthorizationTokenRequest) -> Handled {
        let caller = call.caller();
        let result = if &**caller != STREAM_MANAGER {
            Err(IpcError::unauthorized(format!(
                "{caller} is not authorized to perform ValidateAuthorizationToken"
            )))
        } else if call.shared.tokens.identity(&request.token).is_some() {
            Ok(ValidateAuthorizationTokenResponse { is_valid: true })
        } else {
            Err(IpcError::new(
                ErrorName::InvalidTokenError,
                "Invalid token used by stream manager when trying to authorize",
            ))
        };
        now::<ValidateAuthorizationToken>(result)
    }
}
