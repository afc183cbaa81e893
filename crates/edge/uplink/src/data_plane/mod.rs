//! The Greengrass data plane over mutual TLS: component versions, artifacts, thing groups, large
//! documents (wire-protocols §4).
//!
//! One call, one answer: nothing is repeated here. Whether a failure may pass by itself is said by
//! [`CloudCallError::is_retryable`]; how long to wait is the deployer's policy.

mod artifacts;
mod endpoint;
mod error;

pub use artifacts::{ArtifactStream, Artifacts};
pub use endpoint::data_plane_url;
pub(crate) use endpoint::{dns_suffix, segment, segments};
pub(crate) use error::is_stale_credentials;
pub use error::{CloudCallError, Service};

use base64::Engine as _;
use http::{Method, Request, Response, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};
use sward_net::http::{Body, Client, collect, empty, full};

/// Most bytes of an answer: a recipe is at most 16 kB, groups come in pages.
const MAX_ANSWER: usize = 1 << 20;

/// Where the data plane is, and the client that carries this device's certificate.
#[derive(Clone)]
pub struct DataPlaneSettings {
    /// Base URL without a trailing slash, see [`data_plane_url`].
    pub url: String,
    /// This core's thing name.
    pub thing: String,
    /// A client whose TLS trusts the root CA and shows the certificate.
    pub client: Client,
}

/// The client of the data plane. Cheap to clone; clones take up a new configuration together.
#[derive(Clone)]
pub struct DataPlane {
    settings: Arc<RwLock<Arc<DataPlaneSettings>>>,
}

/// "Which version of this component shall I take?"
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateQuestion {
    pub component: String,
    /// The best version that the device has already.
    pub local_version: Option<String>,
    /// Requirement texts by requirer.
    pub requirements: BTreeMap<String, String>,
    /// Platform attributes (`os`, `architecture`, …).
    pub platform: BTreeMap<String, String>,
}

/// The cloud's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedComponent {
    pub arn: String,
    pub name: String,
    pub version: String,
    /// JSON or YAML.
    pub recipe: Vec<u8>,
}

/// A thing group of this device.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ThingGroup {
    pub thing_group_name: String,
    #[serde(default)]
    pub thing_group_arn: String,
    /// Its ancestors.
    #[serde(default)]
    pub root_to_parent_thing_groups: Vec<ThingGroup>,
}

/// Where a large deployment document is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LargeDocument {
    pub url: String,
    /// Base64 of the SHA-256 of the document.
    pub digest: String,
}

impl DataPlane {
    /// A client of these settings.
    #[must_use]
    pub fn new(settings: DataPlaneSettings) -> Self {
        DataPlane {
            settings: Arc::new(RwLock::new(Arc::new(settings))),
        }
    }

    /// Takes new settings for the calls that begin from now on.
    pub fn reconfigure(&self, settings: DataPlaneSettings) {
        *self
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    fn settings(&self) -> Arc<DataPlaneSettings> {
        let settings = self.settings.read();
        Arc::clone(&settings.unwrap_or_else(PoisonError::into_inner))
    }

    /// `ResolveComponentCandidates` with exactly one candidate.
    pub async fn resolve(
        &self,
        question: &CandidateQuestion,
    ) -> Result<ResolvedComponent, CloudCallError> {
        const OPERATION: &str = "ResolveComponentCandidates";
        let mut candidate = json!({
            "componentName": question.component,
            "versionRequirements": question.requirements,
        });
        if let Some(version) = &question.local_version {
            candidate["componentVersion"] = version.as_str().into();
        }
        let body = json!({
            "platform": { "attributes": question.platform },
            "componentCandidates": [candidate],
        });
        let path = "/greengrass/v2/resolveComponentCandidates";
        let answer = self.call(OPERATION, Method::POST, path, Some(body)).await?;
        let bad = |reason: &str| CloudCallError::bad_answer(OPERATION, reason);
        let [resolved] = answer
            .get("resolvedComponentVersions")
            .and_then(Value::as_array)
            .map(Vec::as_slice)
            .unwrap_or_default()
        else {
            return Err(bad("it does not name exactly one component version"));
        };
        let text = |key: &str| resolved[key].as_str().map(String::from);
        let recipe = text("recipe").ok_or_else(|| bad("it has no recipe"))?;
        Ok(ResolvedComponent {
            arn: text("arn").ok_or_else(|| bad("it has no ARN"))?,
            name: text("componentName").ok_or_else(|| bad("it has no component name"))?,
            version: text("componentVersion").ok_or_else(|| bad("it has no version"))?,
            recipe: base64::engine::general_purpose::STANDARD
                .decode(recipe)
                .map_err(|_| bad("its recipe is not base64"))?,
        })
    }

    /// `GetComponentVersionArtifact`: the pre-signed URL of a `greengrass:` artifact.
    pub async fn artifact_url(&self, arn: &str, name: &str) -> Result<String, CloudCallError> {
        const OPERATION: &str = "GetComponentVersionArtifact";
        let path = format!(
            "/greengrass/v2/components/{}/artifacts/{}?s3EndpointType=REGIONAL",
            segment(arn),
            segments(name),
        );
        let answer = self.call(OPERATION, Method::GET, &path, None).await?;
        match answer.get("preSignedUrl").and_then(Value::as_str) {
            Some(url) if !url.is_empty() => Ok(url.to_owned()),
            _ => Err(CloudCallError::bad_answer(OPERATION, "it has no URL")),
        }
    }

    /// `ListThingGroupsForCoreDevice`, all pages.
    pub async fn thing_groups(&self) -> Result<Vec<ThingGroup>, CloudCallError> {
        const OPERATION: &str = "ListThingGroupsForCoreDevice";
        const MAX_PAGES: usize = 100;
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Page {
            #[serde(default)]
            thing_groups: Vec<ThingGroup>,
            next_token: Option<String>,
        }
        let thing = segment(&self.settings().thing).to_string();
        let first = format!("/greengrass/v2/coreDevices/{thing}/thingGroups");
        let mut path = first.clone();
        let mut groups = Vec::new();
        for _ in 0..MAX_PAGES {
            let answer = self.call(OPERATION, Method::GET, &path, None).await?;
            let page: Page = serde_json::from_value(answer.into())
                .map_err(|error| CloudCallError::bad_answer(OPERATION, &error.to_string()))?;
            groups.extend(page.thing_groups);
            match page.next_token.filter(|token| !token.is_empty()) {
                Some(token) => path = format!("{first}?nextToken={}", segment(&token)),
                None => return Ok(groups),
            }
        }
        Err(CloudCallError::bad_answer(
            OPERATION,
            "its pages do not end",
        ))
    }

    /// `GetDeploymentConfiguration`: where the whole document of a large deployment is.
    pub async fn large_document(
        &self,
        deployment_id: &str,
    ) -> Result<LargeDocument, CloudCallError> {
        const OPERATION: &str = "GetDeploymentConfiguration";
        let thing = self.settings().thing.clone();
        let path = format!(
            "/greengrass/v2/coreDevices/{}/deployments/{}/configuration?s3EndpointType=REGIONAL",
            segment(&thing),
            segment(deployment_id),
        );
        let answer = self.call(OPERATION, Method::GET, &path, None).await?;
        let url = answer.get("preSignedUrl").and_then(Value::as_str);
        let check = answer.get("integrityCheck");
        let digest = check.and_then(|check| check.get("digest")?.as_str());
        match (url, digest) {
            (Some(url), Some(digest)) => Ok(LargeDocument {
                url: url.to_owned(),
                digest: digest.to_owned(),
            }),
            _ => Err(CloudCallError::bad_answer(
                OPERATION,
                "it lacks the URL or the digest",
            )),
        }
    }

    async fn call(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<Map<String, Value>, CloudCallError> {
        let settings = self.settings();
        let url = format!("{}{path}", settings.url);
        let mut request = Request::builder().method(method).uri(&url);
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map_or_else(empty, |body| full(body.to_string()));
        let request = request
            .body(body)
            .map_err(|error| CloudCallError::url(&url, &error.to_string()))?;
        let unreachable = |source| CloudCallError::unreachable(&url, source);
        let response = settings.client.send(request).await.map_err(unreachable)?;
        let (head, body) = response.into_parts();
        let body = collect(body, MAX_ANSWER).await.map_err(unreachable)?;
        if head.status != StatusCode::OK {
            let response = Response::from_parts(head, ());
            return Err(refusal(Service::Greengrass, operation, &response, &body));
        }
        serde_json::from_slice(&body)
            .map_err(|error| CloudCallError::bad_answer(operation, &error.to_string()))
    }
}

/// What an answer that is not 200 says.
pub(crate) fn refusal<B>(
    service: Service,
    operation: &'static str,
    response: &Response<B>,
    body: &[u8],
) -> CloudCallError {
    let header = response
        .headers()
        .get("x-amzn-errortype")
        .and_then(|value| value.to_str().ok());
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let exception = header.or(json["__type"].as_str()).unwrap_or("");
    let exception = exception.split(':').next().unwrap_or("");
    let exception = exception.rsplit('#').next().unwrap_or("");
    let message = json["message"].as_str().or(json["Message"].as_str());
    CloudCallError::Refused {
        service,
        operation,
        status: response.status().as_u16(),
        exception: exception.to_owned(),
        message: message.unwrap_or("the cloud gives no reason").to_owned(),
    }
}

/// Reads a small body whole.
pub(crate) async fn read_small(url: &str, body: Body) -> Result<bytes::Bytes, CloudCallError> {
    let small = collect(body, MAX_ANSWER).await;
    small.map_err(|source| CloudCallError::unreachable(url, source))
}

#[cfg(test)]
mod tests;
