//! The gateway with an in-memory registry, for trying it and for the tests in `tests/mqtt`.
//!
//! ```text
//! standalone --dir DIR [--mqtt PORT] [--device PORT] [--ephemeral]
//! ```
//!
//! `DIR/clients.json` lists who is let in, and may change while it runs:
//! `{"NAME": {"policy": {…}, "things": ["NAME"], "certificate": "optional.pem", "active": true}}`.
//! For a client without `certificate` a pair is made: `DIR/NAME.cert.pem` and `DIR/NAME.key.pem`.
//! `DIR/ca.pem` is the trust anchor. When ready it prints one JSON line with its ports.
//!
//! The service behind `$aws/things/T/…/get|update` answers on `…/accepted` with what it was sent;
//! `$aws/things/T/down/…` is a service that cannot be reached.

use anyhow::{Context as _, bail};
use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use sward_gateway::ports::*;
use sward_gateway::{
    Clock, Gateway, GatewayOptions, Hub, MemorySessions, Ports, Publisher, ServiceMessage,
};
use sward_net::http::{Body, HandlerFn, IncomingRequest, Peer, Response, full};
use sward_net::tls::{CertificateFacts, ClientCertificates, ServerIdentity, alpn, server_config};
use sward_policy::iot;
use sward_task::Tasks;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

#[derive(Clone, Debug, Deserialize)]
struct ClientEntry {
    policy: Value,
    #[serde(default)]
    things: Vec<String>,
    certificate: Option<PathBuf>,
    #[serde(default = "yes")]
    active: bool,
}

fn yes() -> bool {
    true
}

struct Registry {
    dir: PathBuf,
    changes: broadcast::Sender<DirectoryChange>,
}

impl Registry {
    fn clients(&self) -> anyhow::Result<BTreeMap<String, ClientEntry>> {
        let path = self.dir.join("clients.json");
        let text = std::fs::read(&path).with_context(|| path.display().to_string())?;
        serde_json::from_slice(&text).with_context(|| path.display().to_string())
    }

    fn certificate_path(&self, name: &str, entry: &ClientEntry) -> PathBuf {
        match &entry.certificate {
            Some(path) => self.dir.join(path),
            None => self.dir.join(format!("{name}.cert.pem")),
        }
    }

    fn find(&self, fingerprint: &str) -> anyhow::Result<Option<ClientEntry>> {
        for (name, entry) in self.clients()? {
            let text = std::fs::read_to_string(self.certificate_path(&name, &entry))?;
            if hex::encode(Sha256::digest(der_of(&text)?)) == fingerprint {
                return Ok(Some(entry));
            }
        }
        Ok(None)
    }
}

fn der_of(pem: &str) -> anyhow::Result<Vec<u8>> {
    use rustls::pki_types::pem::PemObject as _;
    Ok(rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes())?.to_vec())
}

#[async_trait]
impl Directory for Registry {
    async fn authenticate(&self, presented: Presented<'_>) -> Result<Principal, Refusal> {
        let certificate_id = hex::encode(Sha256::digest(presented.certificate));
        let unavailable = |error: anyhow::Error| Refusal::Unavailable {
            reason: format!("{error:#}"),
        };
        let Some(entry) = self.find(&certificate_id).map_err(unavailable)? else {
            return Err(Refusal::Unknown { certificate_id });
        };
        if !entry.active {
            return Err(Refusal::NotActive {
                certificate_id,
                status: "INACTIVE".into(),
            });
        }
        let facts = CertificateFacts::parse(presented.certificate).map_err(|error| {
            Refusal::Unavailable {
                reason: error.to_string(),
            }
        })?;
        let policy = iot::Policy::parse(&entry.policy.to_string()).map_err(|error| {
            Refusal::Unavailable {
                reason: error.to_string(),
            }
        })?;
        Ok(Principal {
            tenant: Tenant::default(),
            certificate: iot::Certificate {
                id: certificate_id.clone(),
                serial_number: facts.serial_number,
                ..iot::Certificate::default()
            },
            certificate_id: certificate_id.parse().map_err(|_| Refusal::Unknown {
                certificate_id: certificate_id.clone(),
            })?,
            things: entry
                .things
                .iter()
                .map(|name| iot::Thing {
                    name: name.clone(),
                    ..iot::Thing::default()
                })
                .collect(),
            policies: Arc::new(iot::PolicySet::compile([iot::Attached::to_certificate(
                "policy", policy,
            )])),
        })
    }

    fn changes(&self) -> broadcast::Receiver<DirectoryChange> {
        self.changes.subscribe()
    }
}

/// Sessions in a file of JSON lines, flushed to the disk once a batch.
struct FileSessions {
    path: PathBuf,
    file: Mutex<std::fs::File>,
}

impl FileSessions {
    fn open(dir: &Path) -> anyhow::Result<FileSessions> {
        let path = dir.join("sessions.jsonl");
        let file = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)?;
        Ok(FileSessions {
            path,
            file: Mutex::new(file),
        })
    }
}

/// One change as key and value; `None` removes.
fn to_line(change: &Change) -> (Vec<String>, Option<String>) {
    let key = |parts: &[&str]| parts.iter().map(|part| (*part).to_owned()).collect();
    match change {
        Change::Session { client_id, record } => {
            (key(&["a", client_id]), Some(hex::encode(record)))
        }
        Change::SessionGone { client_id } => (key(&["a", client_id]), None),
        Change::Subscription {
            client_id,
            filter,
            record,
        } => (key(&["b", client_id, filter]), Some(hex::encode(record))),
        Change::SubscriptionGone { client_id, filter } => (key(&["b", client_id, filter]), None),
        Change::Queued {
            client_id,
            sequence,
            record,
        } => (
            key(&["c", client_id, &format!("{sequence:020}")]),
            Some(hex::encode(record)),
        ),
        Change::Delivered {
            client_id,
            sequence,
        } => (key(&["c", client_id, &format!("{sequence:020}")]), None),
        Change::Retained { topic, record } => (key(&["d", topic]), Some(hex::encode(record))),
        Change::RetainedGone { topic } => (key(&["d", topic]), None),
    }
}

fn of_line(key: &[String], value: &str) -> Option<Change> {
    let record = hex::decode(value).ok()?.into();
    let mut parts = key.iter().cloned();
    Some(
        match (parts.next()?.as_str(), parts.next()?, parts.next()) {
            ("a", client_id, None) => Change::Session { client_id, record },
            ("b", client_id, Some(filter)) => Change::Subscription {
                client_id,
                filter,
                record,
            },
            ("c", client_id, Some(sequence)) => Change::Queued {
                client_id,
                sequence: sequence.parse().ok()?,
                record,
            },
            ("d", topic, None) => Change::Retained { topic, record },
            _ => return None,
        },
    )
}

#[async_trait]
impl SessionStore for FileSessions {
    async fn load(&self) -> Result<Vec<(Tenant, Change)>, PortError> {
        let text = std::fs::read_to_string(&self.path)
            .map_err(|error| PortError::new(error.to_string()))?;
        let mut state: BTreeMap<Vec<String>, String> = BTreeMap::new();
        for line in text.lines() {
            // A torn last line was never acknowledged.
            let Ok((key, value)) = serde_json::from_str::<(Vec<String>, Option<String>)>(line)
            else {
                continue;
            };
            match value {
                Some(value) => {
                    state.insert(key, value);
                }
                None if key.first().is_some_and(|kind| kind == "a") => {
                    state.retain(|known, _| known.get(1) != key.get(1) || known[0] == "d");
                }
                None => {
                    state.remove(&key);
                }
            }
        }
        Ok(state
            .iter()
            .filter_map(|(key, value)| Some((Tenant::default(), of_line(key, value)?)))
            .collect())
    }

    async fn commit(&self, changes: Vec<(Tenant, Change)>) -> Result<(), PortError> {
        let mut text = Vec::new();
        for (_, change) in &changes {
            let line = serde_json::to_string(&to_line(change))
                .map_err(|error| PortError::new(error.to_string()))?;
            text.extend_from_slice(line.as_bytes());
            text.push(b'\n');
        }
        let mut file = self
            .file
            .lock()
            .map_err(|error| PortError::new(error.to_string()))?;
        file.write_all(&text)
            .and_then(|()| file.sync_data())
            .map_err(|error| PortError::new(error.to_string()))
    }
}

/// Answers requests below `$aws/things/`.
struct Echo(Publisher);

#[async_trait]
impl ReservedTopics for Echo {
    async fn publish(&self, message: ReservedPublish) -> Result<(), ReservedError> {
        let topic = message.topic.clone();
        let mut parts = topic.split('/').skip(1);
        match (parts.next(), parts.next(), parts.next()) {
            (Some("things"), Some(_), Some("down")) => Err(ReservedError::Unavailable {
                topic,
                reason: "it is down".into(),
            }),
            (Some("things"), Some(_), Some(_)) => {
                let mut answer =
                    ServiceMessage::new(format!("{topic}/accepted"), message.payload.clone());
                answer.correlation_data = message.correlation_data.clone();
                self.0
                    .reply(&message.origin, answer)
                    .await
                    .map_err(|error| ReservedError::Unavailable {
                        topic,
                        reason: error.to_string(),
                    })?;
                Ok(())
            }
            (Some("rules"), Some(_), _) => Ok(()),
            _ => Err(ReservedError::NotATopic { topic }),
        }
    }
}

fn certificates(dir: &Path, registry: &Registry) -> anyhow::Result<ServerIdentity> {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
    let ca_key_path = dir.join("ca.key.pem");
    if !ca_key_path.exists() {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
            .distinguished_name
            .push(DnType::CommonName, "Test CA");
        let ca = params.self_signed(&key)?;
        std::fs::write(dir.join("ca.pem"), ca.pem())?;
        std::fs::write(&ca_key_path, key.serialize_pem())?;
    }
    let ca_pem = std::fs::read_to_string(dir.join("ca.pem"))?;
    let ca_key = KeyPair::from_pem(&std::fs::read_to_string(&ca_key_path)?)?;
    let issuer = Issuer::from_ca_cert_pem(&ca_pem, ca_key)?;
    let issue = |names: Vec<String>, common_name: &str| -> anyhow::Result<(String, String)> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names)?;
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        Ok((params.signed_by(&key, &issuer)?.pem(), key.serialize_pem()))
    };
    for (name, entry) in registry.clients()? {
        let path = registry.certificate_path(&name, &entry);
        if entry.certificate.is_none() && !path.exists() {
            let (certificate, key) = issue(vec![], "AWS IoT Certificate")?;
            std::fs::write(&path, certificate)?;
            std::fs::write(dir.join(format!("{name}.key.pem")), key)?;
        }
    }
    let (certificate, key) = issue(
        vec!["localhost".into(), "127.0.0.1".into()],
        "sward gateway",
    )?;
    Ok(ServerIdentity::from_pem(
        certificate.as_bytes(),
        key.as_bytes(),
    )?)
}

async fn http_answer(request: IncomingRequest, peer: Arc<Peer>) -> Response<Body> {
    let body = json!({
        "path": request.uri().path(),
        "certificateId": peer.certificate.as_ref().map(|der| hex::encode(Sha256::digest(der))),
        "serverName": peer.server_name,
    });
    Response::new(full(body.to_string()))
}

/// Tells the gateway when `clients.json` was written anew.
async fn watch_clients(path: PathBuf, changes: broadcast::Sender<DirectoryChange>) {
    let modified = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|data| data.modified())
            .ok()
    };
    let mut last = modified(&path);
    loop {
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = modified(&path);
        if now != last {
            last = now;
            changes
                .send(DirectoryChange {
                    tenant: Tenant::default(),
                    certificate_id: None,
                })
                .ok();
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let mut dir = None;
    let (mut mqtt_port, mut device_port, mut ephemeral) = (0u16, 0u16, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().context("a value is missing");
        match argument.as_str() {
            "--dir" => dir = Some(PathBuf::from(value()?)),
            "--mqtt" => mqtt_port = value()?.parse()?,
            "--device" => device_port = value()?.parse()?,
            "--ephemeral" => ephemeral = true,
            other => bail!("unknown option {other}"),
        }
    }
    let dir = dir.context("--dir is missing")?;
    let (changes, _) = broadcast::channel(16);
    let registry = Arc::new(Registry {
        dir: dir.clone(),
        changes: changes.clone(),
    });
    let identity = certificates(&dir, &registry)?;
    let tasks = Tasks::new();
    let clock: Clock = Arc::new(|| {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_millis() as u64)
    });
    let store: Arc<dyn SessionStore> = if ephemeral {
        Arc::new(MemorySessions)
    } else {
        Arc::new(FileSessions::open(&dir)?)
    };
    let hub = Hub::open(store, GatewayOptions::default(), clock, &tasks).await?;
    let ports = Ports {
        directory: registry,
        reserved: Arc::new(Echo(hub.publisher())),
        presence: Arc::new(NoPresence),
    };
    let gateway = Gateway::new(hub, ports, &tasks);
    tasks.spawn(
        "clients-file",
        watch_clients(dir.join("clients.json"), changes),
    );
    let mqtt = TcpListener::bind(("127.0.0.1", mqtt_port)).await?;
    let device = TcpListener::bind(("127.0.0.1", device_port)).await?;
    let ready = json!({
        "mqtt": mqtt.local_addr()?.port(),
        "device": device.local_addr()?.port(),
    });
    let required = ClientCertificates::Required;
    gateway.listen_mqtt(
        mqtt,
        server_config(&identity, required, &[alpn::MQTT, b"mqtt"])?,
    );
    let protocols: &[&[u8]] = &[alpn::MQTT, alpn::HTTP, alpn::HTTP_1_1];
    gateway.listen_device(
        device,
        server_config(&identity, ClientCertificates::Optional, protocols)?,
        Arc::new(HandlerFn(http_answer)),
    );
    let mut out = std::io::stdout();
    writeln!(out, "{ready}")?;
    out.flush()?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    // The watcher of the file has no end of its own; the process ends with main.
    tasks.shutdown(Duration::from_secs(2)).await.ok();
    Ok(())
}
