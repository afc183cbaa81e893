//! A control plane with a clock, a broker, buckets and roles that a test controls.

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use sward_aws_wire::api::{ApiError, ApiRequest, ApiResponse, Caller};
use sward_control::{
    ArtifactDigest, ArtifactError, ArtifactReader, Clock, Control, ControlOptions, Entropy,
    PortError, Ports, Principal, Publication, Publisher, Reply, RetainedMessage, RoleError,
    RoleRequest, Scope, SessionCredentials, SessionIssuer,
};
use sward_diagnosis::{Kind, Report};
use sward_model::{AccountId, Region};
use sward_store::{Store, StoreOptions};
use tokio::sync::Barrier;

pub(crate) const START_MS: i64 = 1_795_453_000_250;

pub(crate) struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Counts, so that ids repeat from run to run.
struct Counter(AtomicU64);

impl Entropy for Counter {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(32) {
            let number = self.0.fetch_add(1, Ordering::SeqCst);
            let digest = Sha256::digest(number.to_be_bytes());
            chunk.copy_from_slice(&digest[..chunk.len()]);
        }
    }
}

/// What a message of MQTT may hold.
pub(crate) const LARGEST_MESSAGE: usize = 131_072;

/// Remembers what was published; can be switched off.
#[derive(Default)]
pub(crate) struct Broker {
    pub(crate) published: Mutex<Vec<Publication>>,
    pub(crate) broken: Mutex<bool>,
    pub(crate) retained: Mutex<BTreeMap<String, RetainedMessage>>,
}

#[async_trait]
impl Publisher for Broker {
    async fn publish(&self, publication: Publication) -> Result<(), PortError> {
        if *self.broken.lock().expect("not poisoned") {
            return Err(PortError::Unavailable {
                what: "the broker",
                because: Report::new(Kind::Unavailable, "test", "switched off"),
            });
        }
        if publication.payload.len() > LARGEST_MESSAGE {
            return Err(PortError::Refused {
                what: "the broker",
                because: Report::new(Kind::TooLarge, "test", "larger than a message"),
            });
        }
        if !publication.topic.starts_with('$') && publication.topic.matches('/').count() > 7 {
            return Err(PortError::Refused {
                what: "the broker",
                because: Report::new(Kind::Invalid, "test", "the topic has too many levels"),
            });
        }
        self.published
            .lock()
            .expect("not poisoned")
            .push(publication);
        Ok(())
    }

    async fn retained(
        &self,
        _: &AccountId,
        _: &Region,
        topic: &str,
    ) -> Result<Option<RetainedMessage>, PortError> {
        Ok(self
            .retained
            .lock()
            .expect("not poisoned")
            .get(topic)
            .cloned())
    }

    async fn retained_list(
        &self,
        _: &AccountId,
        _: &Region,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<RetainedMessage>, PortError> {
        let retained = self.retained.lock().expect("not poisoned");
        Ok(retained
            .values()
            .filter(|message| after.is_none_or(|after| message.topic.as_str() > after))
            .take(limit)
            .cloned()
            .collect())
    }
}

/// Objects by URI.
#[derive(Default)]
pub(crate) struct Buckets(
    pub(crate) Mutex<BTreeMap<String, Vec<u8>>>,
    /// Where set, readers wait here for each other.
    pub(crate) Mutex<Option<Arc<Barrier>>>,
);

#[async_trait]
impl ArtifactReader for Buckets {
    async fn digest(&self, _: &Caller, uri: &str) -> Result<ArtifactDigest, ArtifactError> {
        let meeting = self.1.lock().expect("not poisoned").clone();
        if let Some(meeting) = meeting {
            meeting.wait().await;
        }
        match self.0.lock().expect("not poisoned").get(uri) {
            Some(bytes) => Ok(ArtifactDigest {
                sha256: Sha256::digest(bytes).into(),
                size: bytes.len() as u64,
            }),
            None => Err(ArtifactError::Inaccessible {
                detail: "NoSuchKey".to_owned(),
            }),
        }
    }

    async fn presign(&self, _: &AccountId, _: &Region, uri: &str) -> Result<String, ArtifactError> {
        Ok(format!("https://objects.test/{uri}"))
    }
}

/// One role that may be assumed: `arn:aws:iam::123456789012:role/Device`.
struct Roles;

#[async_trait]
impl SessionIssuer for Roles {
    async fn assume_role_for_device(
        &self,
        request: RoleRequest,
    ) -> Result<SessionCredentials, RoleError> {
        if request.role_arn.resource != "role/Device" {
            return Err(RoleError::NoSuchRole(request.role_arn));
        }
        Ok(SessionCredentials {
            access_key_id: "ASIATEST".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: format!("{}/{}", request.session_name, request.duration_seconds),
            expires_at_ms: START_MS + 3_600_000,
        })
    }
}

pub(crate) struct World {
    pub(crate) control: Control,
    pub(crate) clock: Arc<TestClock>,
    pub(crate) broker: Arc<Broker>,
    pub(crate) buckets: Arc<Buckets>,
    caller: Caller,
    entropy: Arc<Counter>,
    directory: tempfile::TempDir,
}

/// What a call answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
}

impl World {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let entropy = Arc::new(Counter(AtomicU64::new(0)));
        World::open(directory, entropy).await
    }

    /// The same data directory under a new control plane, as after a kill: what was in memory is
    /// gone, the broker has forgotten everything.
    pub(crate) async fn restart(self) -> Self {
        let World {
            control,
            entropy,
            directory,
            ..
        } = self;
        drop(control);
        World::open(directory, entropy).await
    }

    async fn open(directory: tempfile::TempDir, entropy: Arc<Counter>) -> Self {
        let store = Store::open(StoreOptions {
            directory: directory.path().to_owned(),
            ephemeral: true,
        })
        .await
        .expect("a store");
        let clock = Arc::new(TestClock(AtomicI64::new(START_MS)));
        let broker = Arc::new(Broker::default());
        let buckets = Arc::new(Buckets::default());
        let ports = Ports {
            artifacts: buckets.clone(),
            publisher: broker.clone(),
            sessions: Arc::new(Roles),
            clock: clock.clone(),
            entropy: entropy.clone(),
        };
        let options = ControlOptions {
            warm_keys: 0,
            ..ControlOptions::default()
        };
        let control = Control::open(store, options, ports)
            .await
            .expect("a control plane");
        World {
            control,
            clock,
            broker,
            buckets,
            caller: Caller {
                account: AccountId::default(),
                region: Region::default(),
                arn: "arn:aws:iam::123456789012:root".parse().expect("an ARN"),
                credential: "AKIATEST".to_owned(),
            },
            entropy,
            directory,
        }
    }

    pub(crate) fn scope(&self) -> Scope {
        Scope::of(&self.caller)
    }

    pub(crate) fn advance(&self, ms: i64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }

    pub(crate) async fn try_call(
        &self,
        service: &str,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<ApiResponse, ApiError> {
        let request = request(method, target, headers, body);
        self.control.call(service, &self.caller, request).await
    }

    /// A call that must succeed.
    pub(crate) async fn ok(
        &self,
        service: &str,
        method: &str,
        target: &str,
        body: Value,
    ) -> Answer {
        let answer = self
            .try_call(service, method, target, &[], &bytes_of(&body))
            .await
            .unwrap_or_else(|error| panic!("{method} {target}: {error}"));
        Answer {
            status: answer.status,
            body: parse(&answer.body),
        }
    }

    /// A call that must be refused; the answer is its error's body.
    pub(crate) async fn refused(
        &self,
        service: &str,
        method: &str,
        target: &str,
        body: Value,
        status: u16,
        code: &str,
    ) -> Value {
        match self
            .try_call(service, method, target, &[], &bytes_of(&body))
            .await
        {
            Ok(answer) => panic!("{method} {target} answered {}", answer.status),
            Err(error) => {
                assert_eq!(
                    (error.status, error.code.as_str()),
                    (status, code),
                    "{method} {target}: {error}"
                );
                error.json_body()
            }
        }
    }

    pub(crate) async fn iot(&self, method: &str, target: &str, body: Value) -> Value {
        self.ok("iot", method, target, body).await.body
    }

    pub(crate) async fn gg(&self, method: &str, target: &str, body: Value) -> Value {
        let target = format!("/greengrass/v2{target}");
        self.ok("greengrass", method, &target, body).await.body
    }

    /// A publish by MQTT.
    pub(crate) async fn publish(&self, topic: &str, payload: Value) -> Vec<Reply> {
        self.control
            .reserved_publish(&self.scope(), topic, payload.to_string().as_bytes())
            .await
            .unwrap_or_else(|error| panic!("{topic}: {error}"))
    }

    /// What the broker was given since the last time: topic and payload.
    pub(crate) async fn published(&self) -> Vec<(String, Value)> {
        assert!(self.control.flush_outbox().await, "the outbox is empty");
        let published = std::mem::take(&mut *self.broker.published.lock().expect("not poisoned"));
        published
            .into_iter()
            .map(|one| (one.topic, parse(&one.payload)))
            .collect()
    }

    pub(crate) async fn component(&self, name: &str, version: &str) {
        let recipe = json!({
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": name,
            "ComponentVersion": version,
            "Manifests": [{ "Platform": { "os": "linux" }, "Lifecycle": { "run": "sleep 1" } }],
        });
        self.gg(
            "POST",
            "/createComponentVersion",
            json!({ "inlineRecipe": STANDARD.encode(recipe.to_string()) }),
        )
        .await;
    }

    /// A certificate with a P-256 key made here: its ARN, id and DER.
    pub(crate) async fn certificate(&self, name: &str) -> (String, String, Vec<u8>) {
        let answer = self
            .iot(
                "POST",
                "/certificates?setAsActive=true",
                json!({ "certificateSigningRequest": csr(name) }),
            )
            .await;
        let pem = text(&answer["certificatePem"]);
        (
            text(&answer["certificateArn"]),
            text(&answer["certificateId"]),
            der(&pem),
        )
    }

    /// A thing with a certificate and a policy of the given statements.
    pub(crate) async fn device(&self, thing: &str, statements: Value) -> Principal {
        self.iot("POST", &format!("/things/{thing}"), json!({}))
            .await;
        let (arn, _, der) = self.certificate(thing).await;
        self.attach_thing(thing, &arn).await;
        let policy = format!("{thing}-policy");
        self.policy(&policy, statements).await;
        self.iot(
            "PUT",
            &format!("/target-policies/{policy}"),
            json!({ "target": arn }),
        )
        .await;
        self.control
            .authenticate_certificate(&der, None)
            .await
            .expect("a registered certificate")
    }

    pub(crate) async fn policy(&self, name: &str, statements: Value) {
        let document = json!({ "Version": "2012-10-17", "Statement": statements });
        self.iot(
            "POST",
            &format!("/policies/{name}"),
            json!({ "policyDocument": document.to_string() }),
        )
        .await;
    }

    pub(crate) async fn attach_thing(&self, thing: &str, principal: &str) {
        self.try_call(
            "iot",
            "PUT",
            &format!("/things/{thing}/principals"),
            &[("x-amzn-principal", principal)],
            b"",
        )
        .await
        .expect("the principal is attached");
    }

    pub(crate) async fn group(&self, name: &str, things: &[&str]) -> String {
        let group = self
            .iot("POST", &format!("/thing-groups/{name}"), json!({}))
            .await;
        for thing in things {
            self.join(name, thing).await;
        }
        text(&group["thingGroupArn"])
    }

    pub(crate) async fn join(&self, group: &str, thing: &str) {
        self.iot(
            "PUT",
            "/thing-groups/addThingToThingGroup",
            json!({ "thingGroupName": group, "thingName": thing }),
        )
        .await;
    }
}

pub(crate) fn request(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> ApiRequest {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    ApiRequest {
        method: method.to_owned(),
        path: path.to_owned(),
        query: query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (name.to_owned(), value.to_owned())
            })
            .collect(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        body: Bytes::copy_from_slice(body),
    }
}

fn bytes_of(body: &Value) -> Vec<u8> {
    match body {
        Value::Null => Vec::new(),
        body => body.to_string().into_bytes(),
    }
}

pub(crate) fn parse(bytes: &[u8]) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    serde_json::from_slice(bytes).expect("JSON")
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}

pub(crate) fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    STANDARD.decode(body).expect("base64")
}

pub(crate) fn csr(name: &str) -> String {
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut params = rcgen::CertificateParams::default();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    params
        .serialize_request(&key)
        .expect("a request")
        .pem()
        .expect("PEM")
}
