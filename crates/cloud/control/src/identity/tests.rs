use super::*;
use crate::ports::{RoleError, RoleRequest, SessionIssuer as _, SystemEntropy};
use std::sync::atomic::{AtomicI64, Ordering};
use sward_policy::iam::Context;
use sward_store::StoreOptions;

const TRUST: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Principal":{"Service":"credentials.iot.amazonaws.com"},"Action":"sts:AssumeRole"}]}"#;
const READ_BUCKET: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Action":"s3:GetObject","Resource":"arn:aws:s3:::b/*"}]}"#;

struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

struct World {
    _directory: tempfile::TempDir,
    clock: Arc<TestClock>,
    identity: Identity,
    caller: Caller,
}

async fn world() -> World {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = Store::open(StoreOptions {
        directory: directory.path().to_owned(),
        ephemeral: true,
    })
    .await
    .expect("a store");
    let clock = Arc::new(TestClock(AtomicI64::new(1_800_000_000_000)));
    let identity = Identity::open(store, clock.clone(), Arc::new(SystemEntropy))
        .await
        .expect("opens");
    World {
        _directory: directory,
        clock,
        identity,
        caller: Caller {
            account: AccountId::default(),
            region: Region::default(),
            arn: iam_arn(&AccountId::default(), "root"),
            credential: "AKIATEST".to_owned(),
        },
    }
}

impl World {
    async fn call(&self, service: &str, form: &[(&str, &str)]) -> Result<String, ApiError> {
        let body = form
            .iter()
            .map(|(name, value)| format!("{name}={}", query::encoded_document(value)))
            .collect::<Vec<_>>()
            .join("&");
        let request = ApiRequest {
            method: "POST".to_owned(),
            path: "/".to_owned(),
            query: Vec::new(),
            headers: Vec::new(),
            body: body.into(),
        };
        let answer = self
            .identity
            .call(service, &self.caller, &request, "req-1")
            .await?;
        Ok(String::from_utf8(answer.body.to_vec()).expect("XML is text"))
    }

    async fn check(&self, form: &[(&str, &str)], expected: Result<&str, (u16, &str)>) {
        let found = self.call("iam", form).await;
        match (&found, expected) {
            (Ok(xml), Ok(part)) => assert!(xml.contains(part), "{xml}"),
            (Err(error), Err(expected)) => {
                assert_eq!((error.status, error.code.as_str()), expected, "{error}");
            }
            _ => panic!("{form:?}: {found:?}, expected {expected:?}"),
        }
    }

    fn device(&self, role: &str) -> RoleRequest {
        RoleRequest {
            account: AccountId::default(),
            region: Region::default(),
            role_arn: iam_arn(&AccountId::default(), &format!("role/{role}")),
            session_name: "ab".repeat(32),
            duration_seconds: 900,
            service: "credentials.iot.amazonaws.com",
        }
    }
}

#[tokio::test]
async fn the_owner_key_is_made_once_and_known() {
    let world = world().await;
    let key = world
        .identity
        .owner_key(&world.caller.account)
        .await
        .expect("made");
    assert_eq!(
        world
            .identity
            .owner_key(&world.caller.account)
            .await
            .expect("kept"),
        key
    );
    let signer = world
        .identity
        .identify(&key.access_key_id, None, Region::default())
        .await
        .expect("known");
    assert_eq!(signer.secret_access_key, key.secret_access_key);
    assert_eq!(signer.rights, Rights::Owner);
    assert_eq!(
        signer.caller.arn.to_string(),
        "arn:aws:iam::123456789012:root"
    );
    assert!(matches!(
        world
            .identity
            .identify("AKIAOTHER", None, Region::default())
            .await,
        Err(IdentifyError::Signature(SignatureError::UnknownKey(_)))
    ));
}

#[tokio::test]
async fn a_device_session_has_exactly_its_roles_rights() {
    let world = world().await;
    assert!(matches!(
        world
            .identity
            .assume_role_for_device(world.device("R"))
            .await,
        Err(RoleError::NoSuchRole(_))
    ));
    world
        .check(
            &[
                ("Action", "CreateRole"),
                ("RoleName", "R"),
                ("AssumeRolePolicyDocument", TRUST),
            ],
            Ok("<Arn>arn:aws:iam::123456789012:role/R</Arn>"),
        )
        .await;
    let mut stranger = world.device("R");
    stranger.service = "ec2.amazonaws.com";
    assert!(matches!(
        world.identity.assume_role_for_device(stranger).await,
        Err(RoleError::NotTrusted { .. })
    ));
    let session = world
        .identity
        .assume_role_for_device(world.device("R"))
        .await
        .expect("trusted");
    let signer = world
        .identity
        .identify(
            &session.access_key_id,
            Some(&session.session_token),
            Region::default(),
        )
        .await
        .expect("known");
    assert_eq!(
        signer.caller.arn.to_string(),
        format!(
            "arn:aws:sts::123456789012:assumed-role/R/{}",
            "ab".repeat(32)
        )
    );
    let may = async |resource: &str| {
        world
            .identity
            .authorize(
                &signer.rights,
                "s3:GetObject",
                resource,
                &Context::default(),
            )
            .await
            .expect("decided")
    };
    let denied = may("arn:aws:s3:::b/k")
        .await
        .expect_err("nothing is attached");
    assert!(
        denied
            .report
            .one_line()
            .contains(r#""Action":"s3:GetObject""#),
        "{denied:?}"
    );
    let put: &[(&str, &str)] = &[
        ("Action", "PutRolePolicy"),
        ("RoleName", "R"),
        ("PolicyName", "P"),
        ("PolicyDocument", READ_BUCKET),
    ];
    world.check(put, Ok("PutRolePolicyResponse")).await;
    assert_eq!(may("arn:aws:s3:::b/k").await, Ok(()));
    assert!(may("arn:aws:s3:::c/k").await.is_err());
    // The role goes and comes back under its name: the old session gets nothing.
    for form in [
        &[
            ("Action", "DeleteRolePolicy"),
            ("RoleName", "R"),
            ("PolicyName", "P"),
        ][..],
        &[("Action", "DeleteRole"), ("RoleName", "R")],
        &[
            ("Action", "CreateRole"),
            ("RoleName", "R"),
            ("AssumeRolePolicyDocument", TRUST),
        ],
        put,
    ] {
        world.check(form, Ok("Response")).await;
    }
    assert!(may("arn:aws:s3:::b/k").await.is_err());
}

#[tokio::test]
async fn a_session_needs_its_token_and_its_time() {
    let world = world().await;
    world
        .check(
            &[
                ("Action", "CreateRole"),
                ("RoleName", "R"),
                ("AssumeRolePolicyDocument", TRUST),
            ],
            Ok("Response"),
        )
        .await;
    let session = world
        .identity
        .assume_role_for_device(world.device("R"))
        .await
        .expect("trusted");
    let refused = async |key: &str, token: Option<&str>| match world
        .identity
        .identify(key, token, Region::default())
        .await
    {
        Err(IdentifyError::Signature(error)) => error,
        other => panic!("{other:?}"),
    };
    let key = session.access_key_id.as_str();
    assert_eq!(
        refused(key, None).await,
        SignatureError::UnknownKey(key.to_owned())
    );
    assert_eq!(
        refused("ASIAOTHER", Some(&session.session_token)).await,
        SignatureError::Token
    );
    let mut token = session.session_token.clone();
    token.replace_range(20..21, if &token[20..21] == "A" { "B" } else { "A" });
    assert_eq!(refused(key, Some(&token)).await, SignatureError::Token);
    assert_eq!(refused(key, Some("")).await, SignatureError::Token);
    world.clock.0.fetch_add(900_000, Ordering::Relaxed);
    assert_eq!(
        refused(key, Some(&session.session_token)).await,
        SignatureError::TokenExpired
    );
}

#[tokio::test]
async fn iam_answers_with_its_codes() {
    let world = world().await;
    let arn = "arn:aws:iam::123456789012:policy/P";
    let role: &[(&str, &str)] = &[
        ("Action", "CreateRole"),
        ("RoleName", "R"),
        ("AssumeRolePolicyDocument", TRUST),
    ];
    let policy: &[(&str, &str)] = &[
        ("Action", "CreatePolicy"),
        ("PolicyName", "P"),
        ("PolicyDocument", READ_BUCKET),
    ];
    let attach: &[(&str, &str)] = &[
        ("Action", "AttachRolePolicy"),
        ("RoleName", "R"),
        ("PolicyArn", arn),
    ];
    let detach: &[(&str, &str)] = &[
        ("Action", "DetachRolePolicy"),
        ("RoleName", "R"),
        ("PolicyArn", arn),
    ];
    let get: &[(&str, &str)] = &[("Action", "GetPolicy"), ("PolicyArn", arn)];
    world
        .check(
            &[("Action", "GetRole"), ("RoleName", "R")],
            Err((404, "NoSuchEntity")),
        )
        .await;
    world.check(get, Err((404, "NoSuchEntity"))).await;
    world
        .check(
            &[
                ("Action", "GetPolicy"),
                ("PolicyArn", "arn:aws:iam::aws:policy/RAccess"),
            ],
            Err((404, "NoSuchEntity")),
        )
        .await;
    world.check(role, Ok("<RoleId>AROA")).await;
    world.check(role, Err((409, "EntityAlreadyExists"))).await;
    world
        .check(
            &[("Action", "GetRole"), ("RoleName", "R")],
            Ok("%22Statement%22"),
        )
        .await;
    world.check(policy, Ok(arn)).await;
    world.check(policy, Err((409, "EntityAlreadyExists"))).await;
    world
        .check(attach, Ok("<RequestId>req-1</RequestId>"))
        .await;
    world.check(attach, Ok("AttachRolePolicyResponse")).await;
    world
        .check(get, Ok("<AttachmentCount>1</AttachmentCount>"))
        .await;
    world
        .check(
            &[("Action", "ListAttachedRolePolicies"), ("RoleName", "R")],
            Ok(arn),
        )
        .await;
    world
        .check(
            &[("Action", "ListEntitiesForPolicy"), ("PolicyArn", arn)],
            Ok("<RoleName>R</RoleName>"),
        )
        .await;
    world
        .check(
            &[("Action", "DeletePolicy"), ("PolicyArn", arn)],
            Err((409, "DeleteConflict")),
        )
        .await;
    world
        .check(
            &[("Action", "DeleteRole"), ("RoleName", "R")],
            Err((409, "DeleteConflict")),
        )
        .await;
    world.check(detach, Ok("Response")).await;
    world.check(detach, Err((404, "NoSuchEntity"))).await;
    world
        .check(
            &[("Action", "DeletePolicy"), ("PolicyArn", arn)],
            Ok("Response"),
        )
        .await;
    world
        .check(
            &[("Action", "DeleteRole"), ("RoleName", "R")],
            Ok("Response"),
        )
        .await;
    world
        .check(
            &[
                ("Action", "CreatePolicy"),
                ("PolicyName", "P"),
                ("PolicyDocument", "{"),
            ],
            Err((400, "MalformedPolicyDocument")),
        )
        .await;
    world
        .check(
            &[("Action", "GetRole"), ("RoleName", "a/b")],
            Err((400, "ValidationError")),
        )
        .await;
    world
        .check(&[("Action", "Nonsense")], Err((400, "InvalidAction")))
        .await;
    world
        .check(&[("RoleName", "R")], Err((400, "MissingAction")))
        .await;
}

#[tokio::test]
async fn sts_tells_who_calls_and_gives_roles_to_whom_they_trust() {
    let world = world().await;
    let identity = world
        .call("sts", &[("Action", "GetCallerIdentity")])
        .await
        .expect("answered");
    assert!(
        identity.contains("<Arn>arn:aws:iam::123456789012:root</Arn>"),
        "{identity}"
    );
    let trust = TRUST.replace(
        r#"{"Service":"credentials.iot.amazonaws.com"}"#,
        r#"{"AWS":"123456789012"}"#,
    );
    world
        .check(
            &[
                ("Action", "CreateRole"),
                ("RoleName", "R"),
                ("AssumeRolePolicyDocument", &trust),
            ],
            Ok("Response"),
        )
        .await;
    let form: &[(&str, &str)] = &[
        ("Action", "AssumeRole"),
        ("RoleArn", "arn:aws:iam::123456789012:role/R"),
        ("RoleSessionName", "s"),
    ];
    let answer = world.call("sts", form).await.expect("trusted");
    assert!(
        answer.contains("assumed-role/R/s") && answer.contains("<SessionToken>"),
        "{answer}"
    );
    let too_long = [form, &[("DurationSeconds", "3601")]].concat();
    let error = world.call("sts", &too_long).await.expect_err("too long");
    assert_eq!(
        (error.status, error.code.as_str()),
        (400, "ValidationError")
    );
    let error = world
        .call(
            "sts",
            &[
                ("Action", "AssumeRole"),
                ("RoleArn", "arn:aws:iam::123456789012:role/Other"),
                ("RoleSessionName", "s"),
            ],
        )
        .await
        .expect_err("no such role");
    assert_eq!((error.status, error.code.as_str()), (403, "AccessDenied"));
}
