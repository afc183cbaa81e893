use super::*;
use serde_json::Value;

/// A payload as the Python SDK writes it must read into the shape and be written back equal.
fn check<T: serde::Serialize + serde::de::DeserializeOwned>(text: &str) {
    let shape: T = serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let written: Value = serde_json::to_value(&shape).expect("shapes serialise");
    let expected: Value = serde_json::from_str(text).expect("the vector is JSON");
    assert_eq!(written, expected);
}

#[test]
fn payloads_of_the_python_client_survive_both_ways() {
    check::<PublishToTopicRequest>(
        r#"{"topic":"a/b","publishMessage":{"jsonMessage":{"message":{"k":1}}}}"#,
    );
    check::<PublishToTopicRequest>(
        r#"{"topic":"a/b","publishMessage":{"binaryMessage":{"message":"aGk="}}}"#,
    );
    check::<SubscribeToTopicRequest>(
        r#"{"topic":"a/+","receiveMode":"RECEIVE_MESSAGES_FROM_OTHERS"}"#,
    );
    check::<SubscriptionResponseMessage>(
        r#"{"binaryMessage":{"message":"aGk=","context":{"topic":"a/b"}}}"#,
    );
    check::<PublishToIoTCoreRequest>(
        r#"{"topicName":"t","qos":"1","payload":"aGk=","retain":false,"userProperties":[{"key":"a","value":"b"}],"messageExpiryIntervalSeconds":60,"correlationData":"Yw==","responseTopic":"r","payloadFormat":"1","contentType":"text/plain"}"#,
    );
    check::<SubscribeToIoTCoreRequest>(r##"{"topicName":"t/#","qos":"0"}"##);
    check::<IoTCoreMessage>(r#"{"message":{"topicName":"t/1","payload":"aGk="}}"#);
    check::<UpdateStateRequest>(r#"{"state":"RUNNING"}"#);
    check::<GetConfigurationRequest>(r#"{"keyPath":["a","b"]}"#);
    check::<GetConfigurationResponse>(r#"{"componentName":"com.x","value":{"b":1}}"#);
    check::<UpdateConfigurationRequest>(
        r#"{"keyPath":["a"],"timestamp":1767323045.5,"valueToMerge":{"b":2}}"#,
    );
    check::<SubscribeToConfigurationUpdateRequest>(r#"{"componentName":"com.x","keyPath":[]}"#);
    check::<ConfigurationUpdateEvents>(
        r#"{"configurationUpdateEvent":{"componentName":"com.x","keyPath":["a","b"]}}"#,
    );
    check::<ValidateConfigurationUpdateEvents>(
        r#"{"validateConfigurationUpdateEvent":{"configuration":{"b":2},"deploymentId":"d"}}"#,
    );
    check::<SendConfigurationValidityReportRequest>(
        r#"{"configurationValidityReport":{"status":"REJECTED","deploymentId":"d","message":"no"}}"#,
    );
    check::<ComponentUpdatePolicyEvents>(
        r#"{"preUpdateEvent":{"deploymentId":"d","isGgcRestarting":false}}"#,
    );
    check::<ComponentUpdatePolicyEvents>(r#"{"postUpdateEvent":{"deploymentId":"d"}}"#);
    check::<DeferComponentUpdateRequest>(
        r#"{"deploymentId":"d","message":"busy","recheckAfterMs":5000}"#,
    );
    check::<ValidateAuthorizationTokenRequest>(r#"{"token":"t"}"#);
    check::<ValidateAuthorizationTokenResponse>(r#"{"isValid":true}"#);
    check::<ListComponentsResponse>(
        r#"{"components":[{"componentName":"c","version":"1.0.0","state":"RUNNING","configuration":{}}]}"#,
    );
    check::<RestartComponentResponse>(r#"{"restartStatus":"SUCCEEDED"}"#);
    check::<CreateLocalDeploymentRequest>(
        r#"{"rootComponentVersionsToAdd":{"c":"1.0.0"},"componentToConfiguration":{"c":{"MERGE":{"a":1}}},"componentToRunWithInfo":{"c":{"posixUser":"u:g","systemResourceLimits":{"memory":1024,"cpus":0.5}}},"failureHandlingPolicy":"DO_NOTHING"}"#,
    );
    check::<ListLocalDeploymentsResponse>(
        r#"{"localDeployments":[{"deploymentId":"d","status":"IN_PROGRESS","createdOn":"x"}]}"#,
    );
    check::<GetLocalDeploymentStatusResponse>(
        r#"{"deployment":{"deploymentId":"d","status":"SUCCEEDED","deploymentStatusDetails":{"detailedDeploymentStatus":"SUCCESSFUL"}}}"#,
    );
}

#[test]
fn numbers_keep_their_form() {
    let request: UpdateConfigurationRequest =
        serde_json::from_str(r#"{"valueToMerge":{"a":1,"b":1.0}}"#).expect("valid");
    let text = serde_json::to_string(&request).expect("serialises");
    assert_eq!(text, r#"{"valueToMerge":{"a":1,"b":1.0}}"#);
}

#[test]
fn errors_are_written_in_both_styles_and_read_back() {
    let error = IpcError::not_found("m", Some("secret"), Some("r"));
    let body: Value = serde_json::from_slice(&error.to_json()).expect("JSON");
    assert_eq!(body["_errorCode"], "ResourceNotFoundError");
    assert_eq!(body["_message"], "m");
    assert_eq!(body["message"], "m");
    assert_eq!(body["_service"], "aws.greengrass#GreengrassCoreIPC");
    assert_eq!(body["resourceType"], "secret");
    assert_eq!(
        IpcError::from_wire(Some(&error.wire_type()), &error.to_json()),
        error
    );
    // What another server might send: one style only, or no JSON at all.
    let terse = IpcError::from_wire(
        None,
        br#"{"_message":"x","_errorCode":"UnauthorizedError"}"#,
    );
    assert_eq!(terse, IpcError::unauthorized("x"));
    assert_eq!(
        IpcError::from_wire(None, b"InternalServerError"),
        IpcError::service("InternalServerError")
    );
}

#[test]
fn a_blob_is_read_with_and_without_padding() {
    for text in [r#""aGk=""#, r#""aGk""#, r#""aGk\u003d""#] {
        let blob: Blob = serde_json::from_str(text).expect(text);
        assert_eq!(blob.0, b"hi");
    }
    assert!(serde_json::from_str::<Blob>(r#""a?""#).is_err());
}

#[test]
fn every_operation_has_one_name_and_an_area() {
    let names: std::collections::BTreeSet<_> = operation_names().collect();
    assert_eq!(names.len(), 34);
    assert_eq!(area_of(PublishToTopic::NAME), Some(OperationArea::PubSub));
    assert_eq!(area_of("aws.greengrass#Nothing"), None);
    assert_eq!(
        SubscribeToTopic::EVENT_TYPE,
        "aws.greengrass#SubscriptionResponseMessage"
    );
}
