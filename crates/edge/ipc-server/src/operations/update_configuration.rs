//! Merges values into the caller's own configuration; no policy is needed.

use super::{Call, Handled, Handler, later, refused};
use crate::ports::UpdateOutcome;
use std::sync::Arc;
use sward_ipc_model::{
    Empty, ErrorName, IpcError, UpdateConfiguration, UpdateConfigurationRequest,
};

/// The key that a component cannot give itself.
const RESTRICTED: &str = "accessControl";

impl Handler for UpdateConfiguration {
    fn handle(call: &Call<'_>, request: UpdateConfigurationRequest) -> Handled {
        let update = match Update::parse(request) {
            Ok(update) => update,
            Err(error) => return refused(error),
        };
        let component = match call.component() {
            Ok(component) => Arc::clone(component),
            Err(error) => return refused(error),
        };
        let configuration = Arc::clone(&call.shared.ports.configuration);
        later::<UpdateConfiguration>(async move {
            let outcome = configuration
                .update(
                    &component,
                    update.key_path,
                    update.value,
                    update.timestamp_ms,
                )
                .await?;
            match outcome {
                UpdateOutcome::Applied => Ok(Empty {}),
                UpdateOutcome::Newer => Err(IpcError::new(
                    ErrorName::FailedUpdateConditionCheckError,
                    "Proposed timestamp is older than the config's latest modified timestamp",
                )),
            }
        })
    }
}

struct Update {
    key_path: Vec<String>,
    value: sward_ipc_model::Document,
    timestamp_ms: u64,
}

impl Update {
    fn parse(request: UpdateConfigurationRequest) -> Result<Self, IpcError> {
        let seconds = request
            .timestamp
            .ok_or_else(|| IpcError::invalid("Timestamp is required"))?;
        let value = request
            .value_to_merge
            .ok_or_else(|| IpcError::invalid("ValueToMerge is required"))?;
        let key_path = request.key_path.unwrap_or_default();
        let is_restricted = |key: &String| key.eq_ignore_ascii_case(RESTRICTED);
        let touches_restricted = match key_path.first() {
            Some(key) => is_restricted(key),
            None => value.keys().any(is_restricted),
        };
        if touches_restricted {
            return Err(IpcError::invalid(
                "Config update is not allowed for following fields [accessControl]",
            ));
        }
        Ok(Update {
            key_path,
            value,
            timestamp_ms: milliseconds(seconds)
                .ok_or_else(|| IpcError::invalid("timestamp is not a time after 1970"))?,
        })
    }
}

/// Seconds with a fraction as milliseconds.
fn milliseconds(seconds: f64) -> Option<u64> {
    let milliseconds = (seconds * 1000.0).round();
    // Beyond 2^53 a double no longer counts milliseconds.
    if !(0.0..=9_007_199_254_740_992.0).contains(&milliseconds) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked above"
    )]
    Some(milliseconds as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<u64, &str>) {
        let request = serde_json::from_str(text).expect("a request");
        let found = Update::parse(request).map(|update| update.timestamp_ms);
        let found = found.as_ref().map_err(|error| error.message.as_str());
        assert_eq!(found.copied(), expected, "{text}");
    }

    #[test]
    fn requests_are_checked_before_anything_changes() {
        check(
            r#"{"timestamp":1767323045.5,"valueToMerge":{"b":2}}"#,
            Ok(1_767_323_045_500),
        );
        check(r#"{"timestamp":1}"#, Err("ValueToMerge is required"));
        check(r#"{"valueToMerge":{}}"#, Err("Timestamp is required"));
        check(
            r#"{"timestamp":-1,"valueToMerge":{}}"#,
            Err("timestamp is not a time after 1970"),
        );
        let restricted = "Config update is not allowed for following fields [accessControl]";
        check(
            r#"{"timestamp":1,"keyPath":["accesscontrol","x"],"valueToMerge":{}}"#,
            Err(restricted),
        );
        check(
            r#"{"timestamp":1,"valueToMerge":{"accessControl":{}}}"#,
            Err(restricted),
        );
        check(
            r#"{"timestamp":1,"keyPath":["a"],"valueToMerge":{"accessControl":{}}}"#,
            Ok(1000),
        );
    }
}
