//! The connected part of a core: made only where the configuration names a cloud (core-device
//! §5.2, "configured to talk to cloud"), by the files and endpoints that stand there.

mod adapters;

pub(crate) use adapters::deployer_ports;

use crate::environment::ComponentEnvironment;
use crate::fleet::FleetReporter;
use crate::listeners::{Sink, Unreported, status_update};
use crate::root::report;
use adapters::{ComponentTokens, RoleCredentials};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;
use sward_components::token_exchange::{self, TokenExchange};
use sward_deployment::DeploymentSource;
use sward_diagnosis::{Kind, Place, Report};
use sward_engine::configuration::{Configuration, Source};
use sward_engine::deployer::Deployer;
use sward_engine::supervisor::Supervisor;
use sward_ipc_server::TokenRegistry;
use sward_model::{NUCLEUS_NAME, NUCLEUS_VERSION, PlatformAttributes, ThingName};
use sward_net::http::{Client, ClientOptions};
use sward_net::tls::{ClientIdentity, Roots, client_config};
use sward_task::Tasks;
use sward_uplink::credentials::{CredentialRetry, CredentialsHandle, CredentialsSettings};
use sward_uplink::data_plane::{Artifacts, DataPlane, DataPlaneSettings, data_plane_url};
use sward_uplink::deployments::{self, StatusReporter};
use sward_uplink::jobs::JobsListener;
use sward_uplink::mqtt::{ConnectionState, MqttClient, MqttSettings};
use sward_uplink::s3::{S3, S3Endpoint};
use sward_uplink::shadow_deployments::ShadowListener;
use tokio::sync::broadcast::error::RecvError;

/// The protocol names by which a server tells devices' connections apart.
const MQTT_PROTOCOL: &[&[u8]] = &[b"x-amzn-mqtt-ca"];
const HTTP_PROTOCOLS: &[&[u8]] = &[b"x-amzn-http-ca", b"http/1.1"];

/// The clients of one cloud.
pub(crate) struct Cloud {
    thing: ThingName,
    client: MqttClient,
    data_plane: DataPlane,
    artifacts: Artifacts,
    credentials: CredentialsHandle,
}

/// Where key, certificate and trust anchor are.
#[derive(Clone)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    root_ca: PathBuf,
}

impl Cloud {
    /// The clients, or nothing where the core is not set up for a cloud.
    pub(crate) fn configured(
        configuration: &Configuration,
        tasks: &Tasks,
    ) -> Result<Option<Self>, Report> {
        let system = |key: &str| {
            configuration
                .get_text(&["system", key])
                .filter(|text| !text.is_empty())
        };
        let (Some(thing), Some(certificate), Some(key), Some(root_ca)) = (
            system("thingName"),
            system("certificateFilePath"),
            system("privateKeyPath"),
            system("rootCaPath"),
        ) else {
            tracing::info!(
                "no thing, certificate, key or root CA is configured: the core runs offline"
            );
            return Ok(None);
        };
        let thing: ThingName = thing.parse().map_err(report)?;
        let files = Files {
            certificate: certificate.into(),
            key: key.into(),
            root_ca: root_ca.into(),
        };
        let nucleus = Nucleus::read(configuration);
        let settings =
            MqttSettings::from_configuration(thing.clone(), &nucleus.0).map_err(report)?;
        let with_certificate = http_client(&files, true, tasks)?;
        let plain = http_client(&files, false, tasks)?;
        let credentials = CredentialsHandle::start(
            CredentialsSettings {
                endpoint: nucleus.text("iotCredEndpoint"),
                role_alias: nucleus.text("iotRoleAlias"),
                thing: thing.to_string(),
                client: with_certificate.clone(),
                retry: CredentialRetry::default(),
            },
            tasks,
        );
        let data_plane = DataPlane::new(DataPlaneSettings {
            url: data_plane_url(
                &nucleus.text("greengrassDataPlaneEndpoint"),
                nucleus.port("greengrassDataPlanePort", 8443)?,
                &nucleus.text("awsRegion"),
                &nucleus.text("iotDataEndpoint"),
            ),
            thing: thing.to_string(),
            client: with_certificate,
        });
        let s3_endpoint = match nucleus.0["sward"]["awsEndpointUrl"].as_str() {
            Some(url) if !url.is_empty() => S3Endpoint::Url(url.trim_end_matches('/').to_owned()),
            _ => S3Endpoint::Aws,
        };
        let s3 = S3::new(
            s3_endpoint,
            &nucleus.text("awsRegion"),
            plain.clone(),
            credentials.clone(),
        );
        let client = MqttClient::start(
            settings,
            Arc::new(move || files.tls(true, MQTT_PROTOCOL)),
            tasks,
        );
        Ok(Some(Cloud {
            artifacts: Artifacts::new(data_plane.clone(), s3, plain),
            thing,
            client,
            data_plane,
            credentials,
        }))
    }

    /// The MQTT client.
    pub(crate) fn client(&self) -> MqttClient {
        self.client.clone()
    }

    /// Serves credentials to components, and tells them where.
    pub(crate) async fn serve_token_exchange(
        &self,
        configuration: &Configuration,
        tokens: &TokenRegistry,
        environment: &Arc<ComponentEnvironment>,
        tasks: &Tasks,
    ) -> Result<(), Report> {
        if Nucleus::read(configuration).text("iotRoleAlias").is_empty() {
            return Ok(());
        }
        let path = ["services", token_exchange::NAME, "configuration"];
        let section = Nucleus(configuration.get(&path).unwrap_or(Value::Null));
        let exchange = TokenExchange::start(
            section.port("port", 0)?,
            Arc::new(RoleCredentials(self.credentials.clone())),
            Arc::new(ComponentTokens(tokens.clone())),
            tasks,
        )
        .await
        .map_err(report)?;
        environment.set_credentials_url(exchange.uri());
        // Shown where the component is deployed; a service that nobody deployed is not made up.
        if configuration.get(&path[..2]).is_some() {
            let active = [path[0], path[1], path[2], "activePort"];
            let now = jiff::Timestamp::now().as_millisecond();
            configuration.update(&active, &json!(exchange.port()), now, Source::Core);
        }
        Ok(())
    }

    /// Listens for deployments, and reports deployments and components.
    pub(crate) fn report(
        self,
        configuration: &Configuration,
        supervisor: &Supervisor,
        deployer: &Deployer,
        platform: PlatformAttributes,
        tasks: &Tasks,
    ) -> Result<(), Report> {
        let transport = Arc::new(self.client.clone());
        let sink = Arc::new(Sink {
            deployer: deployer.clone(),
            tasks: tasks.clone(),
        });
        let store = Arc::new(Unreported::new(deployer.clone(), tasks.clone()));
        let of = |source| deployments::StatusStore::load(&*store, source);
        let thing = self.thing.as_str();
        let jobs = JobsListener::new(thing, of(DeploymentSource::Jobs));
        let shadow = ShadowListener::new(thing, NUCLEUS_VERSION, of(DeploymentSource::Shadow));
        let jobs = deployments::start(jobs, transport.clone(), sink.clone(), store.clone(), tasks);
        let shadow = deployments::start(shadow, transport, sink, store, tasks);
        forward_statuses(deployer, jobs, shadow, tasks);
        FleetReporter {
            configuration: configuration.clone(),
            supervisor: supervisor.clone(),
            deployer: deployer.clone(),
            client: self.client.clone(),
            thing: thing.to_owned(),
            platform,
        }
        .start(tasks);
        watch_connection(&self.client, deployer, tasks);
        Ok(())
    }
}

impl Files {
    fn tls(
        &self,
        with_certificate: bool,
        protocols: &[&[u8]],
    ) -> Result<Arc<sward_net::tls::ClientConfig>, sward_net::tls::TlsError> {
        let roots = Roots::from_file(&self.root_ca)?;
        let identity = with_certificate
            .then(|| ClientIdentity::from_files(&self.certificate, &self.key))
            .transpose()?;
        client_config(&roots, identity.as_ref(), protocols)
    }
}

fn http_client(files: &Files, with_certificate: bool, tasks: &Tasks) -> Result<Client, Report> {
    let protocols = if with_certificate {
        HTTP_PROTOCOLS
    } else {
        &[]
    };
    let tls = files.tls(with_certificate, protocols).map_err(report)?;
    Ok(Client::new(tasks, Some(tls), ClientOptions::default()))
}

/// A section of the configuration, read leniently as the nucleus does.
struct Nucleus(Value);

impl Nucleus {
    fn read(configuration: &Configuration) -> Self {
        Nucleus(
            configuration
                .get(&["services", NUCLEUS_NAME, "configuration"])
                .unwrap_or(Value::Null),
        )
    }

    fn text(&self, key: &str) -> String {
        self.0[key].as_str().unwrap_or_default().trim().to_owned()
    }

    /// A port written as number or text.
    fn port(&self, key: &str, default: u16) -> Result<u16, Report> {
        let read = match &self.0[key] {
            Value::Null => Some(default),
            Value::String(text) if text.trim().is_empty() => Some(default),
            Value::String(text) => text.trim().parse().ok(),
            value => value.as_u64().and_then(|number| u16::try_from(number).ok()),
        };
        read.ok_or_else(|| {
            Report::new(
                Kind::Invalid,
                "port-invalid",
                format!("{} is not a port", self.0[key]),
            )
            .at(Place::Setting {
                name: key.to_owned(),
            })
        })
    }
}

/// Every status of a cloud deployment goes to the listener it came from. What a slow moment loses
/// is told from the deployer's journal.
fn forward_statuses(
    deployer: &Deployer,
    jobs: StatusReporter,
    shadow: StatusReporter,
    tasks: &Tasks,
) {
    let mut updates = deployer.updates();
    let (deployer, stop) = (deployer.clone(), tasks.token());
    tasks.spawn_essential("deployment-statuses", async move {
        loop {
            let received = tokio::select! {
                received = updates.recv() => received,
                () = stop.cancelled() => return,
            };
            let news = match received {
                Ok(update) => vec![update],
                Err(RecvError::Lagged(_)) => deployer.unreported(),
                Err(RecvError::Closed) => return,
            };
            for update in news {
                let reporter = match update.source {
                    DeploymentSource::Jobs => &jobs,
                    DeploymentSource::Shadow => &shadow,
                    DeploymentSource::Local => continue,
                };
                let id = update.id.clone();
                if let Err(error) = reporter.report(status_update(update)).await {
                    tracing::error!(deployment_id = id, error = %error, "a status is not reported yet");
                }
            }
        }
    });
}

/// Says in the log how the connection stands, and wakes whoever waits for the network.
fn watch_connection(client: &MqttClient, deployer: &Deployer, tasks: &Tasks) {
    let mut connection = client.connection();
    let (deployer, stop) = (deployer.clone(), tasks.token());
    tasks.spawn_essential("connection-watch", async move {
        loop {
            let state = connection.borrow_and_update().clone();
            match &state {
                ConnectionState::Connected { session_present, .. } => {
                    tracing::info!(session_present, "connected to the broker");
                    deployer.network_changed();
                }
                ConnectionState::Waiting { attempt, reason, next_try, .. } => {
                    let next_try_ms = next_try.saturating_duration_since(tokio::time::Instant::now()).as_millis();
                    tracing::warn!(attempt, reason, next_try_ms = %next_try_ms, "not connected to the broker");
                }
                ConnectionState::Connecting { .. } | ConnectionState::Stopped => {}
            }
            tokio::select! {
                changed = connection.changed() => if changed.is_err() { return },
                () = stop.cancelled() => return,
            }
        }
    });
}
