use crate::world::{World, csr, der, text};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sward_control::AuthenticationError;

#[tokio::test]
async fn a_key_pair_is_handed_out_as_aws_does() {
    let world = World::new().await;
    let made = world
        .iot("POST", "/keys-and-certificate?setAsActive=true", json!({}))
        .await;
    let pair = &made["keyPair"];
    assert!(text(&pair["PrivateKey"]).starts_with("-----BEGIN RSA PRIVATE KEY-----\n"));
    assert!(text(&pair["PublicKey"]).starts_with("-----BEGIN PUBLIC KEY-----\n"));
    let certificate = der(&text(&made["certificatePem"]));
    let id = hex::encode(Sha256::digest(&certificate));
    assert_eq!(made["certificateId"], id.as_str());
    let principal = world
        .control
        .authenticate_certificate(&certificate, Some("localhost"))
        .await
        .expect("it is active");
    assert_eq!(
        principal.certificate.subject["CommonName"],
        "AWS IoT Certificate"
    );

    // Signed by the root that clients are given.
    let root = world.control.authority().ca_der();
    let (_, root) = x509_parser::parse_x509_certificate(root).expect("a root");
    let (_, leaf) = x509_parser::parse_x509_certificate(&certificate).expect("a leaf");
    leaf.verify_signature(Some(root.public_key()))
        .expect("signed by the root");
    assert_eq!(leaf.public_key().parsed().expect("a key").key_size(), 2048);
}

#[tokio::test]
async fn a_signing_request_must_be_signed_by_its_own_key() {
    let world = World::new().await;
    let (_, _, der_bytes) = world.certificate("device-7").await;
    let principal = world
        .control
        .authenticate_certificate(&der_bytes, None)
        .await
        .expect("it is active");
    assert_eq!(principal.certificate.subject["CommonName"], "device-7");

    let good = csr("x");
    let mut bytes = der(&good);
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    let forged = format!(
        "-----BEGIN CERTIFICATE REQUEST-----\n{}\n-----END CERTIFICATE REQUEST-----\n",
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &bytes)
    );
    for bad in [
        forged.as_str(),
        "",
        "nonsense",
        "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n",
    ] {
        world
            .refused(
                "iot",
                "POST",
                "/certificates",
                json!({ "certificateSigningRequest": bad }),
                400,
                "InvalidRequestException",
            )
            .await;
    }
}

#[tokio::test]
async fn a_certificate_goes_through_its_states() {
    let world = World::new().await;
    let made = world
        .iot(
            "POST",
            "/certificates",
            json!({ "certificateSigningRequest": csr("x") }),
        )
        .await;
    let id = text(&made["certificateId"]);
    let arn = text(&made["certificateArn"]);
    let bytes = der(&text(&made["certificatePem"]));
    let refused = world.control.authenticate_certificate(&bytes, None).await;
    assert!(matches!(
        refused,
        Err(AuthenticationError::NotActive { .. })
    ));
    let path = format!("/certificates/{id}");
    world
        .iot("PUT", &format!("{path}?newStatus=ACTIVE"), json!(null))
        .await;
    world
        .control
        .authenticate_certificate(&bytes, None)
        .await
        .expect("active now");
    world
        .refused(
            "iot",
            "PUT",
            &format!("{path}?newStatus=X"),
            json!(null),
            400,
            "InvalidRequestException",
        )
        .await;
    world
        .refused(
            "iot",
            "DELETE",
            &path,
            json!(null),
            406,
            "CertificateStateException",
        )
        .await;
    world
        .iot("PUT", &format!("{path}?newStatus=INACTIVE"), json!(null))
        .await;
    let allow = json!([{ "Effect": "Allow", "Action": "iot:*", "Resource": "*" }]);
    world.policy("P", allow).await;
    world
        .iot("PUT", "/target-policies/P", json!({ "target": arn }))
        .await;
    world
        .refused(
            "iot",
            "DELETE",
            &path,
            json!(null),
            409,
            "DeleteConflictException",
        )
        .await;
    world.iot("POST", "/things/t", json!({})).await;
    world.attach_thing("t", &arn).await;
    world
        .refused(
            "iot",
            "DELETE",
            &format!("{path}?forceDelete=true"),
            json!(null),
            409,
            "DeleteConflictException",
        )
        .await;
    world
        .try_call(
            "iot",
            "DELETE",
            "/things/t/principals",
            &[("x-amzn-principal", &arn)],
            b"",
        )
        .await
        .expect("detached");
    world
        .iot("DELETE", &format!("{path}?forceDelete=true"), json!(null))
        .await;
    let refused = world.control.authenticate_certificate(&bytes, None).await;
    assert!(matches!(refused, Err(AuthenticationError::Unknown { .. })));
}

#[tokio::test]
async fn any_certificate_can_be_registered_once() {
    let world = World::new().await;
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let own = params.self_signed(&key).expect("a certificate");
    let body = json!({ "certificatePem": own.pem(), "status": "ACTIVE" });
    let made = world
        .iot("POST", "/certificate/register-no-ca", body.clone())
        .await;
    let described = world
        .iot(
            "GET",
            &format!("/certificates/{}", text(&made["certificateId"])),
            json!(null),
        )
        .await;
    let description = &described["certificateDescription"];
    assert_eq!(description["certificateMode"], "SNI_ONLY");
    assert_eq!(description["status"], "ACTIVE");
    let known = world
        .refused(
            "iot",
            "POST",
            "/certificate/register-no-ca",
            body,
            409,
            "ResourceAlreadyExistsException",
        )
        .await;
    assert_eq!(known["resourceId"], made["certificateId"]);
    world
        .control
        .authenticate_certificate(own.der(), None)
        .await
        .expect("registered");
    let refused = world.control.authenticate_certificate(b"junk", None).await;
    assert!(matches!(refused, Err(AuthenticationError::Unreadable)));
}

#[tokio::test]
async fn an_expired_certificate_is_refused() {
    let world = World::new().await;
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let own = params.self_signed(&key).expect("a certificate");
    world
        .iot(
            "POST",
            "/certificate/register-no-ca",
            json!({ "certificatePem": own.pem() }),
        )
        .await;
    let refused = world
        .control
        .authenticate_certificate(own.der(), None)
        .await;
    assert!(matches!(
        refused,
        Err(AuthenticationError::OutsideValidity { .. })
    ));
}

#[tokio::test]
async fn policies_come_from_the_certificate_and_the_groups_above_its_thing() {
    let world = World::new().await;
    let connect = json!([{
        "Effect": "Allow",
        "Action": "iot:Connect",
        "Resource": "arn:aws:iot:us-east-1:123456789012:client/${iot:Connection.Thing.ThingName}*",
    }]);
    let before = *world.control.directory_changes().borrow();
    let principal = world.device("core1", connect).await;
    assert!(*world.control.directory_changes().borrow() > before);
    let context = principal.mqtt_context("core1#2", None, crate::world::START_MS);
    let client = "arn:aws:iot:us-east-1:123456789012:client/core1#2";
    let topic = "arn:aws:iot:us-east-1:123456789012:topic/a";
    let policies = world
        .control
        .policies_for(&principal)
        .await
        .expect("policies")
        .all;
    assert!(
        policies
            .evaluate("iot:Connect", client, &context)
            .is_allowed()
    );
    assert!(
        !policies
            .evaluate("iot:Publish", topic, &context)
            .is_allowed()
    );

    world.group("Top", &[]).await;
    world
        .iot(
            "POST",
            "/thing-groups/Inner",
            json!({ "parentGroupName": "Top" }),
        )
        .await;
    world.join("Inner", "core1").await;
    let publish = json!([{
        "Effect": "Allow",
        "Action": ["iot:Publish", "greengrass:*"],
        "Resource": "*",
    }]);
    world.policy("ofGroup", publish).await;
    let target = "arn:aws:iot:us-east-1:123456789012:thinggroup/Top";
    world
        .iot(
            "PUT",
            "/target-policies/ofGroup",
            json!({ "target": target }),
        )
        .await;
    let policies = world
        .control
        .policies_for(&principal)
        .await
        .expect("policies")
        .all;
    assert!(
        policies
            .evaluate("iot:Publish", topic, &context)
            .is_allowed()
    );
    // Policies of groups do not grant Greengrass's actions.
    assert!(
        !policies
            .evaluate("greengrass:ResolveComponentCandidates", "*", &context)
            .is_allowed()
    );
}

#[tokio::test]
async fn server_certificates_name_their_hosts() {
    let world = World::new().await;
    let hosts = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = world
        .control
        .authority()
        .server_certificate(&hosts, crate::world::START_MS)
        .expect("a certificate");
    assert!(made.renew_at_ms > crate::world::START_MS && made.renew_at_ms < made.not_after_ms);
    let (_, leaf) = x509_parser::parse_x509_certificate(&made.chain[0]).expect("a leaf");
    let names = leaf
        .subject_alternative_name()
        .expect("readable")
        .expect("there");
    assert_eq!(names.value.general_names.len(), 2);
    let (_, root) = x509_parser::parse_x509_certificate(&made.chain[1]).expect("a root");
    leaf.verify_signature(Some(root.public_key()))
        .expect("signed by the root");
    assert!(root.is_ca() && !leaf.is_ca());
}
