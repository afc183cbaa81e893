//! Thing, certificate, policies, role and role alias, by the calls that AWS's installer makes.

use super::root_files::Root;
use crate::api::{Client, Refusal};
use crate::place::Endpoints;
use serde_json::{Value, json};
use sward_diagnosis::{Diagnose, Kind, Report};
use sward_model::{ThingGroupName, ThingName};

/// The role alias of the token exchange, under the name that AWS's installer uses.
pub(crate) const ROLE_ALIAS: &str = "GreengrassV2TokenExchangeRoleAlias";
const ROLE: &str = "GreengrassV2TokenExchangeRole";
const THING_POLICY: &str = "GreengrassV2IoTThingPolicy";
const TOKEN_POLICY: &str = "GreengrassTESCertificatePolicyGreengrassV2TokenExchangeRoleAlias";

/// The cloud's side of a device.
pub(super) struct Identity {
    pub(super) thing_arn: String,
    pub(super) certificate_arn: String,
}

/// Makes what is missing; everything but the certificate may exist already.
pub(super) async fn create_identity(
    client: &Client,
    endpoints: &Endpoints,
    name: &ThingName,
    groups: &[ThingGroupName],
    root: &Root,
) -> Result<Identity, Report> {
    ensure_policy(client, THING_POLICY, &thing_policy(endpoints)).await?;
    let alias_arn = ensure_role_alias(client, endpoints).await?;
    ensure_policy(client, TOKEN_POLICY, &token_policy(&alias_arn)).await?;

    let thing = client
        .json("iot", "POST", &format!("/things/{name}"), &json!({}))
        .await?;
    let request = root.certificate_request(name)?;
    let certificate = client
        .json(
            "iot",
            "POST",
            "/certificates?setAsActive=true",
            &json!({ "certificateSigningRequest": request }),
        )
        .await?;
    let certificate_arn = text(&certificate, "certificateArn")?;
    root.write_certificate(&text(&certificate, "certificatePem")?)?;
    for policy in [THING_POLICY, TOKEN_POLICY] {
        client
            .json(
                "iot",
                "PUT",
                &format!("/target-policies/{policy}"),
                &json!({ "target": certificate_arn }),
            )
            .await?;
    }
    client
        .with_headers(
            "iot",
            "PUT",
            &format!("/things/{name}/principals"),
            &[("x-amzn-principal", certificate_arn.as_str())],
        )
        .await?;
    for group in groups {
        join_group(client, name, group).await?;
    }
    Ok(Identity {
        thing_arn: text(&thing, "thingArn")?,
        certificate_arn,
    })
}

async fn join_group(
    client: &Client,
    name: &ThingName,
    group: &ThingGroupName,
) -> Result<(), Report> {
    let path = format!("/thing-groups/{group}");
    if let Err(refusal) = client.json("iot", "GET", &path, &Value::Null).await {
        unless_missing(refusal)?;
        client.json("iot", "POST", &path, &json!({})).await?;
    }
    let body = json!({ "thingGroupName": group, "thingName": name });
    client
        .json("iot", "PUT", "/thing-groups/addThingToThingGroup", &body)
        .await?;
    Ok(())
}

async fn ensure_policy(client: &Client, name: &str, document: &Value) -> Result<(), Report> {
    let path = format!("/policies/{name}");
    if let Err(refusal) = client.json("iot", "GET", &path, &Value::Null).await {
        unless_missing(refusal)?;
        client
            .json(
                "iot",
                "POST",
                &path,
                &json!({ "policyDocument": document.to_string() }),
            )
            .await?;
    }
    Ok(())
}

async fn ensure_role_alias(client: &Client, endpoints: &Endpoints) -> Result<String, Report> {
    let path = format!("/role-aliases/{ROLE_ALIAS}");
    match client.json("iot", "GET", &path, &Value::Null).await {
        Ok(answer) => return text(&answer["roleAliasDescription"], "roleAliasArn"),
        Err(refusal) => unless_missing(refusal)?,
    }
    if let Err(refusal) = client
        .form("iam", &[("Action", "GetRole"), ("RoleName", ROLE)])
        .await
    {
        unless_missing(refusal)?;
        let trust = json!({
            "Version": "2012-10-17",
            "Statement": [{
                "Effect": "Allow",
                "Principal": { "Service": "credentials.iot.amazonaws.com" },
                "Action": "sts:AssumeRole",
            }],
        });
        client
            .form(
                "iam",
                &[
                    ("Action", "CreateRole"),
                    ("RoleName", ROLE),
                    ("AssumeRolePolicyDocument", &trust.to_string()),
                ],
            )
            .await?;
        client
            .form(
                "iam",
                &[
                    ("Action", "PutRolePolicy"),
                    ("RoleName", ROLE),
                    ("PolicyName", "GreengrassV2TokenExchangeRoleAccess"),
                    ("PolicyDocument", &role_policy().to_string()),
                ],
            )
            .await?;
    }
    let role_arn = format!("arn:aws:iam::{}:role/{ROLE}", endpoints.account);
    let answer = client
        .json("iot", "POST", &path, &json!({ "roleArn": role_arn }))
        .await?;
    text(&answer, "roleAliasArn")
}

/// What a core device may do on the broker and the data plane (developer guide, device-auth):
/// its own topics by name, and messages of its components on any topic outside `$aws`.
fn thing_policy(endpoints: &Endpoints) -> Value {
    let base = format!("arn:aws:iot:{}:{}", endpoints.region, endpoints.account);
    let own = "$aws/things/${iot:Connection.Thing.ThingName}";
    json!({
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "iot:Connect",
                "Resource": format!("{base}:client/${{iot:Connection.Thing.ThingName}}*"),
            },
            {
                "Effect": "Allow",
                "Action": ["iot:Publish", "iot:Receive", "iot:RetainPublish"],
                "Resource": [format!("{base}:topic/{own}/*"), format!("{base}:topic/*")],
            },
            {
                "Effect": "Allow",
                "Action": "iot:Subscribe",
                "Resource": [format!("{base}:topicfilter/{own}/*"), format!("{base}:topicfilter/*")],
            },
            {
                "Effect": "Deny",
                "Action": ["iot:Publish", "iot:RetainPublish"],
                "Resource": format!("{base}:topic/$aws/events/*"),
            },
            {
                "Effect": "Allow",
                "Action": "greengrass:*",
                "Resource": "*",
            },
        ],
    })
}

fn token_policy(alias_arn: &str) -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": {
            "Effect": "Allow",
            "Action": "iot:AssumeRoleWithCertificate",
            "Resource": alias_arn,
        },
    })
}

/// What components may do with the credentials of the token exchange: read artifacts and objects,
/// write logs. A fleet narrows this to its own buckets.
fn role_policy() -> Value {
    json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Action": [
                "logs:CreateLogGroup",
                "logs:CreateLogStream",
                "logs:PutLogEvents",
                "logs:DescribeLogStreams",
                "s3:GetBucketLocation",
                "s3:GetObject",
                "s3:ListBucket",
            ],
            "Resource": "*",
        }],
    })
}

fn unless_missing(refusal: Refusal) -> Result<(), Report> {
    if refusal.is_missing() {
        Ok(())
    } else {
        Err(refusal.report())
    }
}

fn text(answer: &Value, member: &str) -> Result<String, Report> {
    answer[member].as_str().map(str::to_owned).ok_or_else(|| {
        Report::new(
            Kind::Internal,
            "api-answer",
            format!("the cloud's answer lacks {member}"),
        )
    })
}
