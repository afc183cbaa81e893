//! The golden vectors of deployment documents, requests, error codes and error stacks.

mod support;

use serde_json::{Value, json};
use std::collections::BTreeMap;
use support::vectors;
use sward_deployment::document::{ConfigurationUpdate, RunWith, UpdateAction};
use sward_deployment::error::{
    DeploymentErrorCode as Code, DeploymentErrorType as Type, DeploymentFailure, FailureLink,
    codes_of_cloud_status, codes_of_s3_status,
};
use sward_deployment::{DeploymentDocument, DeploymentSource, DeploymentSpec, LocalRequest};

fn run_with(run_with: &RunWith) -> Value {
    json!({
        "posixUser": run_with.posix_user,
        "posixUserSet": true,
        "windowsUser": run_with.windows_user,
        "windowsUserSet": true,
        "systemResourceLimits": run_with.system_resource_limits,
    })
}

fn update(update: &ConfigurationUpdate) -> Value {
    json!({ "merge": update.merge, "reset": update.reset })
}

fn spec(spec: &DeploymentSpec) -> Value {
    let components: Vec<Value> = spec
        .components
        .iter()
        .map(|component| {
            let mut value = json!({
                "name": component.name,
                "root": component.root,
                "version": component.requirement,
            });
            if let Some(change) = &component.configuration_update {
                value["configurationUpdate"] = update(change);
            }
            if let Some(user) = &component.run_with {
                value["runWith"] = run_with(user);
            }
            value
        })
        .collect();
    json!({
        "componentUpdatePolicy": {
            "action": match spec.component_update_policy.action {
                UpdateAction::NotifyComponents => "NOTIFY_COMPONENTS",
                UpdateAction::SkipNotifyComponents => "SKIP_NOTIFY_COMPONENTS",
            },
            "timeout": spec.component_update_policy.timeout_seconds,
        },
        "components": components,
        "configurationArn": spec.configuration_arn,
        "configurationValidationTimeout": spec.configuration_validation_timeout_seconds,
        "deploymentId": spec.deployment_id,
        "failureHandlingPolicy": spec.failure_handling_policy,
        "groupName": spec.group_name,
        "onBehalfOf": spec.on_behalf_of,
        "parentGroupName": spec.parent_group_name,
        "requiredCapabilities": spec.required_capabilities,
        "timestamp": spec.timestamp_ms,
    })
}

#[test]
fn documents_of_the_cloud() {
    vectors("deployment_documents.jsonl", |case| {
        let text = match case.get("text") {
            Some(text) => text.as_str().expect("text is text").to_owned(),
            None => case["document"].to_string(),
        };
        let parsed = DeploymentDocument::parse(&text).and_then(DeploymentSpec::of_document);
        match (parsed, case.get("error")) {
            (Ok(found), None) => assert_eq!(spec(&found), case["result"]),
            (Err(error), Some(_)) => {
                let failure = error.failure(DeploymentSource::Jobs);
                assert_eq!(json!(failure.error_stack()), case["errorStack"], "{error}");
                assert_eq!(
                    json!(failure.error_types(DeploymentSource::Jobs)),
                    case["errorTypes"],
                    "{error}"
                );
            }
            (found, wanted) => panic!("{found:?} instead of {wanted:?}"),
        }
    });
}

#[test]
fn a_document_written_again_means_the_same() {
    vectors("deployment_documents.jsonl", |case| {
        let Ok(document) = DeploymentDocument::parse(&case["document"].to_string()) else {
            return;
        };
        let text = serde_json::to_string(&document).expect("a document serialises");
        assert_eq!(DeploymentDocument::parse(&text).as_ref(), Ok(&document));
    });
}

#[test]
fn local_requests() {
    vectors("deployment_requests_local.jsonl", |case| {
        let request = LocalRequest::parse(&case["document"].to_string()).expect("it is readable");
        let running: BTreeMap<String, String> =
            serde_json::from_value(case["runningRoots"].clone()).expect("names and versions");
        let mut wanted = case["result"].clone();
        if wanted["requiredCapabilities"].is_null() {
            wanted["requiredCapabilities"] = json!([]);
        }
        assert_eq!(spec(&request.to_spec(&running)), wanted);
    });
}

#[test]
fn error_codes_and_their_types() {
    let mut seen = 0;
    let ran = vectors("error_codes.jsonl", |case| {
        seen += 1;
        let code: Code = serde_json::from_value(case["code"].clone()).expect("the code is known");
        assert_eq!(json!(code), case["code"]);
        assert_eq!(json!(code.error_type()), case["type"]);
        assert_eq!(case["type"], code.error_type().as_str());
    });
    if ran {
        assert_eq!(seen, Code::ALL.len());
    }
}

/// The codes and types that stand for one exception of a chain, by its class and annotations.
fn link(text: &str) -> FailureLink {
    let (head, context) = match text.split_once(", context ") {
        Some((head, context)) => (head, Some(context)),
        None => (text, None),
    };
    let (class, own) = match head.split_once('(') {
        Some((class, own)) => (class.trim(), own.trim_end_matches(')')),
        None => (head.trim(), ""),
    };
    let (class, status) = match class.split_once(' ') {
        Some((class, status)) => (class, status.parse::<u16>().ok()),
        None => (class, None),
    };
    let class = class.rsplit('.').next().expect("a split has a part");
    let mut codes = class_codes(class, status);
    let mut types = Vec::new();
    if own == "circular" {
        codes.push(Code::ComponentCircularDependencyError);
    }
    for word in own.split(", ").chain(context) {
        match word {
            "IOT_JOBS" => types.push(Type::CloudServiceError),
            "LOCAL" => types.push(Type::NucleusError),
            _ => match serde_json::from_value::<Code>(json!(word)) {
                Ok(code) => codes.push(code),
                Err(_) => types.extend(serde_json::from_value::<Type>(json!(word)).ok()),
            },
        }
    }
    FailureLink {
        message: String::new(),
        codes,
        types,
    }
}

fn class_codes(class: &str, status: Option<u16>) -> Vec<Code> {
    match class {
        "AccessDeniedException" => codes_of_cloud_status(403),
        "ConflictException" => codes_of_cloud_status(409),
        "ResourceNotFoundException" => codes_of_cloud_status(404),
        "ThrottlingException" => codes_of_cloud_status(429),
        "ValidationException" => codes_of_cloud_status(400),
        "InternalServerException" => codes_of_cloud_status(500),
        "GreengrassV2DataException" => codes_of_cloud_status(status.expect("it has a status")),
        "S3Exception" => codes_of_s3_status(status.expect("it has a status")),
        "SdkClientException" | "DeviceConfigurationException" => vec![Code::NetworkError],
        "InterruptedException" => vec![Code::DeploymentInterrupted],
        "IOException" | "FileNotFoundException" | "SocketTimeoutException" => vec![Code::IoError],
        "JsonMappingException" | "JsonParseException" => {
            vec![Code::IoError, Code::IoMappingError]
        }
        "PackageDownloadException" | "ArtifactChecksumMismatchException" => {
            vec![Code::ArtifactDownloadError]
        }
        "SizeLimitException" => vec![Code::ArtifactDownloadError, Code::DiskSpaceCritical],
        "PackageLoadingException" => vec![Code::ComponentPackageLoadingError],
        "HashingAlgorithmUnavailableException" => vec![
            Code::ComponentPackageLoadingError,
            Code::HashingAlgorithmUnavailable,
        ],
        "NoAvailableComponentVersionException" => vec![
            Code::NoAvailableComponentVersion,
            Code::ComponentVersionRequirementsNotMet,
        ],
        "InvalidArtifactUriException" => vec![Code::ArtifactUriNotValid],
        "InvalidRequestException" => vec![Code::DeploymentDocumentNotValid],
        "MissingRequiredCapabilitiesException" => vec![Code::NucleusMissingRequiredCapabilities],
        "CustomPluginNotSupportedException" => vec![Code::CustomPluginNotSupported],
        "RetryableDeploymentDocumentDownloadException" => {
            vec![Code::DownloadDeploymentDocumentError]
        }
        "ServiceLoadException" => vec![Code::ComponentLoadFailure],
        "ServiceUpdateException" => vec![Code::ComponentUpdateError],
        "DockerImageQueryException" => {
            vec![Code::ArtifactDownloadError, Code::DockerImageQueryError]
        }
        docker => docker_codes(docker),
    }
}

fn docker_codes(class: &str) -> Vec<Code> {
    let code = match class {
        "DockerLoginException" => Code::DockerLoginError,
        "DockerPullException" => Code::DockerPullError,
        "DockerServiceUnavailableException" => Code::DockerServiceUnavailable,
        "InvalidImageOrAccessDeniedException" => Code::DockerImageNotValid,
        "RegistryAuthException" => Code::GetEcrCredentialError,
        "UserNotAuthorizedForDockerException" => Code::UserNotAuthorizedForDocker,
        _ => return Vec::new(),
    };
    vec![Code::ArtifactDownloadError, Code::DockerError, code]
}

#[test]
fn error_stacks_of_chains() {
    vectors("error_stacks.jsonl", |case| {
        let chain = case["chain"].as_str().expect("a chain is text");
        let links: Vec<FailureLink> = chain.split(" <- ").map(link).collect();
        let failure = DeploymentFailure {
            rejected: chain.starts_with("DeploymentRejectedException"),
            links,
        };
        assert_eq!(json!(failure.error_stack()), case["errorStack"]);
        assert_eq!(
            json!(failure.error_types(DeploymentSource::Jobs)),
            case["errorTypes"]
        );
        let local = case.get("errorTypesLocal").unwrap_or(&case["errorTypes"]);
        assert_eq!(&json!(failure.error_types(DeploymentSource::Local)), local);
    });
}

/// Mutates documents byte by byte: whatever comes, there is an answer and no panic.
#[test]
fn damaged_documents_are_answered() {
    let iterations: u64 = std::env::var("SWARD_FUZZ_ITERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000);
    let seed = br#"{"deploymentId":"d","configurationArn":"arn:aws:greengrass:r:1:configuration:thinggroup/G:3","creationTimestamp":1.6E12,"requiredCapabilities":["X"],"failureHandlingPolicy":"ROLLBACK","componentUpdatePolicy":{"timeout":"60","action":"NOTIFY_COMPONENTS"},"components":{"a":{"version":"1.0.0","configurationUpdate":{"reset":["/a",null],"merge":{"k":[1]}},"runWith":{"posixUser":"u","systemResourceLimits":{"memory":1,"cpus":"0.5"}}}}}"#;
    let words: &[&str] = &[
        "null",
        "[]",
        "{}",
        "\"\"",
        "1e999",
        "-1",
        "true",
        "\"arn:::::/\"",
        "\u{e9}",
    ];
    let mut state = 0x5eed_u64;
    let mut next = move |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        usize::try_from(state >> 33).unwrap_or(0) % below
    };
    for _ in 0..iterations {
        let mut bytes = seed.to_vec();
        for _ in 0..=next(3) {
            if bytes.is_empty() {
                break;
            }
            let at = next(bytes.len());
            match next(4) {
                0 => bytes[at] = u8::try_from(next(256)).unwrap_or(0),
                1 => drop(bytes.remove(at)),
                2 => bytes.truncate(at.max(1)),
                _ => {
                    let end = (at + next(12)).min(bytes.len());
                    bytes.splice(at..end, words[next(words.len())].bytes());
                }
            }
        }
        let text = String::from_utf8_lossy(&bytes);
        match DeploymentDocument::parse(&text).and_then(DeploymentSpec::of_document) {
            Ok(spec) => drop(spec),
            Err(error) => assert!(!error.failure(DeploymentSource::Jobs).cause().is_empty()),
        }
        drop(LocalRequest::parse(&text));
    }
}
