//! STS: who am I, and become a role.

use super::query::{Query, STS_XMLNS, element, iso};
use super::sessions::AssumeError;
use super::{Identity, failure};
use crate::ports::SessionCredentials;
use sward_aws_wire::api::{ApiError, ApiResponse, Caller};
use sward_diagnosis::{Kind, Report};
use sward_model::Arn;
use sward_policy::iam::Principal;

pub(super) async fn call(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    match query.action.as_str() {
        "GetCallerIdentity" => caller_identity(identity, caller, query).await,
        "AssumeRole" => assume_role(identity, caller, query).await,
        _ => Err(query.unknown_action()),
    }
}

async fn caller_identity(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let session = caller
        .arn
        .resource_after("assumed-role/")
        .and_then(|rest| rest.split_once('/'));
    let user_id = match session {
        None => caller.account.to_string(),
        Some((role, session)) => {
            let role_id = identity
                .role(&caller.account, role)
                .await?
                .map_or_else(|| "AROA".to_owned(), |role| role.role_id);
            format!("{role_id}:{session}")
        }
    };
    let result = [
        element("Arn", &caller.arn.to_string()),
        element("UserId", &user_id),
        element("Account", caller.account.as_str()),
    ]
    .concat();
    Ok(query.answer(STS_XMLNS, Some(&result)))
}

async fn assume_role(
    identity: &Identity,
    caller: &Caller,
    query: &Query,
) -> Result<ApiResponse, ApiError> {
    let role_arn: Arn = query
        .required("RoleArn")?
        .parse()
        .map_err(|error| super::query::invalid("RoleArn", &format!("is not an ARN: {error}")))?;
    let session_name = query.name("RoleSessionName", 64)?;
    let duration = query.number("DurationSeconds", 3600, 900..=43_200)?;
    let principal = Principal::Aws {
        account: caller.account.to_string(),
        arn: caller.arn.to_string(),
    };
    let assumed = identity
        .assume(&principal, &role_arn, session_name, duration)
        .await;
    match assumed {
        Ok((session, credentials)) => {
            let result = format!(
                "{}<AssumedRoleUser>{}{}</AssumedRoleUser>",
                credentials_xml(&credentials),
                element(
                    "AssumedRoleId",
                    &format!("{}:{}", session.role_id, session.name)
                ),
                element("Arn", &session.arn().to_string()),
            );
            Ok(query.answer(STS_XMLNS, Some(&result)))
        }
        // A caller must not learn from the answer which roles exist.
        Err(AssumeError::NoSuchRole | AssumeError::NotTrusted) => Err(ApiError::new(
            403,
            "AccessDenied",
            Report::new(
                Kind::Denied,
                "role-not-assumable",
                format!("{} may not sts:AssumeRole {role_arn}", caller.arn),
            )
            .help("name the caller in the role's trust policy"),
        )),
        Err(AssumeError::TooLong { limit }) => Err(super::query::invalid(
            "DurationSeconds",
            &format!("exceeds the {limit} seconds of the role's MaxSessionDuration"),
        )),
        Err(AssumeError::Identity(error)) => Err(failure(&error)),
    }
}

fn credentials_xml(credentials: &SessionCredentials) -> String {
    format!(
        "<Credentials>{}{}{}{}</Credentials>",
        element("AccessKeyId", &credentials.access_key_id),
        element("SecretAccessKey", &credentials.secret_access_key),
        element("SessionToken", &credentials.session_token),
        element("Expiration", &iso(credentials.expires_at_ms)),
    )
}
