//! The credentials provider: a role's temporary credentials for a device (wire-protocols §4.10).

use crate::Control;
use crate::fault::{Fault, Outcome, Refusal};
use crate::iot;
use crate::ports::{RoleError, RoleRequest};
use crate::request::{Call, ok};
use crate::scope::Principal;
use serde_json::json;
use sward_aws_wire::api::ApiResponse;
use sward_model::Arn;

/// The principal that a role's trust policy must name.
const SERVICE: &str = "credentials.iot.amazonaws.com";

/// The policy has allowed `iot:AssumeRoleWithCertificate` on the alias.
pub(super) async fn get(
    control: &Control,
    principal: &Principal,
    call: &Call<'_>,
    alias: &str,
) -> Outcome<ApiResponse> {
    if let Some(thing) = call.request.header("x-amzn-iot-thingname")
        && principal.thing(thing).is_none()
    {
        return Err(Fault::new(
            Refusal::Denied,
            format!("the certificate is not attached to thing {thing}"),
        )
        .help("attach it with attach-thing-principal"));
    }
    let scope = &principal.scope;
    let found = {
        let mut tx = control.read().await?;
        iot::role_alias(&mut tx, scope, alias).await?
    };
    let Some(row) = found else {
        return Err(Fault::not_found("role alias", alias));
    };
    let role_arn: Arn = row
        .role_arn
        .parse()
        .map_err(|error| Fault::new(Refusal::Internal, format!("{error}")))?;
    let credentials = control
        .ports()
        .sessions
        .assume_role_for_device(RoleRequest {
            account: scope.account.clone(),
            region: scope.region.clone(),
            role_arn,
            session_name: principal.certificate_id.to_string(),
            duration_seconds: u32::try_from(row.duration_seconds).unwrap_or(3600),
            service: SERVICE,
        })
        .await
        .map_err(|error| {
            let refusal = match &error {
                RoleError::Unavailable(_) => Refusal::Unavailable,
                // The device learns that it has no access, whatever the role lacks.
                RoleError::NoSuchRole(_) | RoleError::NotTrusted { .. } => Refusal::Denied,
            };
            Fault::of(refusal, &error)
        })?;
    Ok(ok(json!({
        "credentials": {
            "accessKeyId": credentials.access_key_id,
            "secretAccessKey": credentials.secret_access_key,
            "sessionToken": credentials.session_token,
            "expiration": iso_seconds(credentials.expires_at_ms),
        }
    })))
}

/// `2026-11-23T18:06:37Z`: the Java nucleus reads nothing else.
fn iso_seconds(ms: i64) -> String {
    jiff::Timestamp::from_second(ms.div_euclid(1000))
        .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiration_is_whole_seconds_of_utc() {
        assert_eq!(iso_seconds(1_795_457_197_999), "2026-11-23T18:06:37Z");
    }
}
