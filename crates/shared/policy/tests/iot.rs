//! IoT and IAM documents: parsing, variables, decisions.

use std::collections::BTreeMap;
use sward_policy::iot::{Attached, Certificate, Context, Policy, PolicySet, Thing};
use sward_policy::{Decision, PolicyError, iam};

const TOPIC: &str = "arn:aws:iot:us-east-1:123456789012:topic/";

fn core1() -> Context {
    Context {
        client_id: Some("core1#2".into()),
        thing: Some(Thing {
            name: "core1".into(),
            type_name: Some("Core".into()),
            attributes: BTreeMap::from([("site".into(), "north".into())]),
        }),
        certificate: Some(Certificate {
            id: "ab".repeat(32),
            subject: BTreeMap::from([("CommonName".into(), "cn1".into())]),
            ..Certificate::default()
        }),
        source_ip: Some("10.0.0.9".into()),
        now_ms: Some(1_772_366_400_000),
    }
}

fn statement(action: &str, resource: &str) -> Policy {
    policy(&format!(
        r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}"#
    ))
}

fn policy(statements: &str) -> Policy {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Policy::parse(&text).expect("the document is sound")
}

fn set(policy: Policy) -> PolicySet {
    PolicySet::compile([Attached::to_certificate("P", policy)])
}

#[test]
fn resources_with_variables() {
    for (resource, name, expected) in [
        ("*", "a/b", true),
        ("arn:aws:iot:*:*:topic/a/*", "a/b/c", true),
        ("arn:aws:iot:us-east-1:123456789012:topic/a/*", "a", false),
        ("arn:aws:iot:*:*:topic/${iot:ClientId}", "core1#2", true),
        (
            "arn:aws:iot:*:*:topic/${iot:Connection.Thing.ThingName}*",
            "core1/x",
            true,
        ),
        (
            "arn:aws:iot:*:*:topic/${iot:Connection.Thing.ThingTypeName}",
            "Core",
            true,
        ),
        (
            "arn:aws:iot:*:*:topic/${iot:Connection.Thing.Attributes[site]}/#",
            "north/#",
            true,
        ),
        (
            "arn:aws:iot:*:*:topic/${iot:Connection.Thing.Attributes[none]}*",
            "x",
            false,
        ),
        (
            "arn:aws:iot:*:*:topic/${iot:Certificate.Subject.CommonName}",
            "cn1",
            true,
        ),
        (
            "arn:aws:iot:*:*:topic/${iot:Certificate.Subject.Country}*",
            "cn1",
            false,
        ),
        ("arn:aws:iot:*:*:topic/${aws:SourceIp}", "10.0.0.9", true),
        ("arn:aws:iot:*:*:topic/${unknown}", "${unknown}", false),
        ("arn:aws:iot:*:*:topic/+/x", "a/x", false),
        ("arn:aws:iot:*:*:topic/+/x", "+/x", true),
        ("arn:aws:iot:*:*:topic/${*}", "*", true),
    ] {
        let set = set(statement("iot:Publish", resource));
        let bound = set.bind(&core1());
        assert_eq!(
            bound.allows_in("iot:Publish", TOPIC, name),
            expected,
            "{resource} {name}"
        );
        let whole = format!("{TOPIC}{name}");
        assert_eq!(bound.allows("iot:Publish", &whole), expected);
        let decision = set.evaluate("iot:Publish", &whole, &core1());
        assert_eq!(decision.is_allowed(), expected);
        assert!(!bound.allows_in("iot:Subscribe", TOPIC, name));
    }
}

#[test]
fn a_deny_wins_and_names_its_statement() {
    let set = set(policy(
        r#"{"Effect":"Allow","Action":["iot:*"],"Resource":["*"]},
           {"Sid":"NoSecrets","Effect":"Deny","Action":"iot:Publish","Resource":"arn:aws:iot:*:*:topic/secret/*"}"#,
    ));
    let bound = set.bind(&core1());
    assert!(bound.allows_in("iot:Publish", TOPIC, "open"));
    assert!(!bound.allows_in("iot:Publish", TOPIC, "secret/x"));
    assert!(bound.allows_in("iot:Receive", TOPIC, "secret/x"));
    assert_eq!(
        bound.decide("iot:Publish", &format!("{TOPIC}secret/x")),
        Decision::ExplicitlyDenied {
            policy: "P".into(),
            statement: "NoSecrets".into()
        }
    );
    assert!(matches!(
        bound.decide("greengrass:Discover", "*"),
        Decision::ImplicitlyDenied { .. }
    ));
}

#[test]
fn greengrass_actions_see_neither_thing_variables_nor_group_policies() {
    let action = "greengrass:ListThingGroupsForCoreDevice";
    let resource = "arn:aws:iot:us-east-1:123456789012:thing/core1";
    let by_thing = "arn:aws:iot:*:*:thing/${iot:Connection.Thing.ThingName}*";
    assert!(
        !set(statement("greengrass:*", by_thing))
            .bind(&core1())
            .allows(action, resource)
    );
    let plain = "arn:aws:iot:*:*:thing/core1*";
    assert!(
        set(statement("greengrass:*", plain))
            .bind(&core1())
            .allows(action, resource)
    );
    let group = PolicySet::compile([Attached::to_thing_group("G", statement("*", "*"))]);
    assert!(!group.bind(&core1()).allows(action, resource));
    assert!(group.bind(&core1()).allows("iot:Publish", resource));
}

#[test]
fn conditions_and_negations() {
    let conditioned = r#"{"Effect":"Allow","Action":"iot:Connect","Resource":"*",
        "Condition":{"Bool":{"iot:Connection.Thing.IsAttached":["true"]}}}"#;
    let connect = "arn:aws:iot:us-east-1:123456789012:client/core1";
    assert!(
        set(policy(conditioned))
            .bind(&core1())
            .allows("iot:Connect", connect)
    );
    let nameless = Context::default();
    assert!(
        !set(policy(conditioned))
            .bind(&nameless)
            .allows("iot:Connect", connect)
    );
    let negated =
        r#"{"Effect":"Allow","NotAction":"iot:Publish","NotResource":"arn:aws:iot:*:*:topic/x"}"#;
    let bound = set(policy(negated)).bind(&core1());
    assert!(!bound.allows_in("iot:Publish", TOPIC, "y"));
    assert!(bound.allows_in("iot:Receive", TOPIC, "y"));
    assert!(!bound.allows_in("iot:Receive", TOPIC, "x"));
    let unknown = r#"{"Effect":"Allow","Action":"*","NotResource":["arn:aws:iot:*:*:topic/${nope}","arn:aws:iot:*:*:topic/x"]}"#;
    assert!(
        !set(policy(unknown))
            .bind(&core1())
            .allows_in("iot:Receive", TOPIC, "y")
    );
}

#[test]
fn a_deny_is_not_lost_with_a_variable_of_its_exceptions() {
    for exceptions in [
        r#"["arn:aws:iot:*:*:topic/${nope}","arn:aws:iot:*:*:topic/x"]"#,
        r#""arn:aws:iot:*:*:topic/${nope}""#,
    ] {
        let text = format!(
            r#"{{"Effect":"Allow","Action":"*","Resource":"*"}},
               {{"Effect":"Deny","Action":"*","NotResource":{exceptions}}}"#
        );
        let bound = set(policy(&text)).bind(&core1());
        assert!(!bound.allows_in("iot:Publish", TOPIC, "y"), "{exceptions}");
        let excepted = exceptions.contains("topic/x");
        assert_eq!(bound.allows_in("iot:Publish", TOPIC, "x"), excepted);
    }
}

#[test]
fn malformed_documents_name_the_member() {
    for (document, pointer) in [
        ("{}", ""),
        ("[]", ""),
        (r#"{"Version":"2013","Statement":[]}"#, "/Version"),
        (r#"{"Statement":[]}"#, "/Statement"),
        (r#"{"Statement":"x"}"#, "/Statement"),
        (r#"{"statement":{}}"#, "/statement"),
        (
            r#"{"Statement":{"Effect":"allow","Action":"*","Resource":"*"}}"#,
            "/Statement/Effect",
        ),
        (
            r#"{"Statement":{"Effect":"Allow","Resource":"*"}}"#,
            "/Statement",
        ),
        (
            r#"{"Statement":{"Effect":"Allow","Action":"*"}}"#,
            "/Statement",
        ),
        (
            r#"{"Statement":[{"Effect":"Allow","Action":[],"Resource":"*"}]}"#,
            "/Statement/0/Action",
        ),
        (
            r#"{"Statement":[{"Effect":"Allow","Action":["iot"],"Resource":"*"}]}"#,
            "/Statement/0/Action",
        ),
        (
            r#"{"Statement":[{"Effect":"Allow","Action":"*","NotAction":"*","Resource":"*"}]}"#,
            "/Statement/0",
        ),
        (
            r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"topic/a"}]}"#,
            "/Statement/0/Resource",
        ),
        (
            r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":[1]}]}"#,
            "/Statement/0/Resource",
        ),
        (
            r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Principal":"*"}]}"#,
            "/Statement/0/Principal",
        ),
        (
            r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Extra":1}]}"#,
            "/Statement/0/Extra",
        ),
        (
            r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Odd":{}}}]}"#,
            "/Statement/0/Condition/Odd",
        ),
    ] {
        match Policy::parse(document) {
            Err(PolicyError::Member { pointer: at, .. }) => assert_eq!(at, pointer, "{document}"),
            other => panic!("{document} gave {other:?}"),
        }
    }
    assert!(matches!(
        Policy::parse("{"),
        Err(PolicyError::Syntax { .. })
    ));
    let long = format!(
        r#"{{"Statement":{{"Effect":"Allow","Action":"*","Resource":"*{}"}}}}"#,
        "x".repeat(2048)
    );
    assert!(matches!(
        Policy::parse(&long),
        Err(PolicyError::TooLong { .. })
    ));
}

#[test]
fn roles() {
    let read = iam::Policy::parse(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["s3:GetObject","s3:List*"],
            "Resource":["arn:aws:s3:::artifacts/*","arn:aws:s3:::artifacts"]}]}"#,
    )
    .expect("the document is sound");
    let set = iam::PolicySet::compile([("read", read)]);
    let nothing = iam::Context::default();
    let allowed = |action, resource| set.evaluate(action, resource, &nothing).is_allowed();
    assert!(allowed("s3:GetObject", "arn:aws:s3:::artifacts/a/b.zip"));
    assert!(allowed("s3:ListBucket", "arn:aws:s3:::artifacts"));
    assert!(!allowed("s3:PutObject", "arn:aws:s3:::artifacts/a"));
    assert!(!allowed("s3:GetObject", "arn:aws:s3:::other/a"));

    let trust = iam::TrustPolicy::parse(
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"sts:AssumeRole",
            "Principal":{"Service":"credentials.iot.amazonaws.com","AWS":"arn:aws:iam::1:root"}}}"#,
    )
    .expect("the document is sound");
    let may = |principal: &iam::Principal| {
        trust
            .evaluate(
                principal,
                "sts:AssumeRole",
                "arn:aws:iam::1:role/R",
                &nothing,
            )
            .is_allowed()
    };
    assert!(may(&iam::Principal::Service(
        "credentials.iot.amazonaws.com".into()
    )));
    assert!(!may(&iam::Principal::Service("ec2.amazonaws.com".into())));
    let user = |account: &str| iam::Principal::Aws {
        account: account.into(),
        arn: format!("arn:aws:iam::{account}:user/u"),
    };
    assert!(may(&user("1")));
    assert!(!may(&user("2")));
    assert!(!may(&iam::Principal::Anonymous));
}

/// Who names a role means its sessions: an allow reaches them, and no session slips by a deny.
#[test]
fn a_role_that_is_named_means_its_sessions() {
    let check = |named: &str, caller: &str, is_meant: bool| {
        let principal = iam::Principal::Aws {
            account: "1".into(),
            arn: caller.into(),
        };
        let resource = "arn:aws:iam::1:role/R";
        let decide = |statements: String| {
            iam::TrustPolicy::parse(&format!(r#"{{"Statement":[{statements}]}}"#))
                .expect("the document is sound")
                .evaluate(
                    &principal,
                    "sts:AssumeRole",
                    resource,
                    &iam::Context::default(),
                )
                .is_allowed()
        };
        let say = |effect: &str, who: &str| {
            format!(
                r#"{{"Effect":"{effect}","Action":"sts:AssumeRole","Principal":{{"AWS":"{who}"}}}}"#
            )
        };
        assert_eq!(
            decide(say("Allow", named)),
            is_meant,
            "{named} allows {caller}"
        );
        let denied = format!("{},{}", say("Allow", "*"), say("Deny", named));
        assert_eq!(decide(denied), !is_meant, "{named} denies {caller}");
        // Who exempts a role does not exempt its sessions: they are named, too, or denied.
        let others = say("Deny", named).replace("Principal", "NotPrincipal");
        let exempt = decide(format!("{},{others}", say("Allow", "*")));
        assert_eq!(exempt, named == caller, "{named} exempts {caller}");
    };
    let session = "arn:aws:sts::1:assumed-role/Build/s1";
    check("arn:aws:iam::1:role/Build", session, true);
    check("arn:aws:iam::1:role/service/x/Build", session, true);
    check(session, session, true);
    check("arn:aws:sts::1:assumed-role/Build/s2", session, false);
    check("arn:aws:iam::2:role/Build", session, false);
    check("arn:aws:iam::1:role/Buil", session, false);
    check("arn:aws:iam::1:user/Build", session, false);
    check(
        "arn:aws:iam::1:role/Build",
        "arn:aws:iam::1:user/Build",
        false,
    );
}
