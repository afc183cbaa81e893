//! The connected part of a core: made only where the configuration names a cloud (core-device
//! §5.2, "configured to talk to cloud"), by the files and endpoints that stand there.
//!
//! Nothing here keeps a core from starting: a setting that cannot be used is told in the log and
//! stays at its default, so that the cloud can still mend it; files that are missing or broken are
//! looked at again until they can be used.

mod adapters;
mod files;
mod settings;

pub(crate) use adapters::deployer_ports;

use crate::environment::ComponentEnvironment;
use crate::fleet::FleetReporter;
use crate::listeners::{Sink, Unreported, status_update};
use crate::root::report;
use adapters::{ComponentTokens, RoleCredentials};
use files::Files;
use serde_json::json;
use settings::Section;
use std::sync::Arc;
use sward_components::token_exchange::{self, TokenExchange};
use sward_deployment::DeploymentSource;
use sward_diagnosis::Diagnose as _;
use sward_engine::configuration::{Configuration, Source};
use sward_engine::deployer::Deployer;
use sward_engine::supervisor::Supervisor;
use sward_ipc_server::TokenRegistry;
use sward_model::{NUCLEUS_VERSION, PlatformAttributes, ThingName};
use sward_net::http::{Client, ClientOptions};
use sward_task::Tasks;
use sward_uplink::credentials::{CredentialRetry, CredentialsHandle, CredentialsSettings};
use sward_uplink::data_plane::{Artifacts, DataPlane, DataPlaneSettings, data_plane_url};
use sward_uplink::deployments::{self, StatusReporter};
use sward_uplink::jobs::JobsListener;
use sward_uplink::mqtt::{ConnectionState, MqttClient};
use sward_uplink::s3::{S3, S3Endpoint};
use sward_uplink::shadow_deployments::ShadowListener;
use tokio::sync::broadcast::error::RecvError;

/// The clients of one cloud.
pub(crate) struct Cloud {
    thing: ThingName,
    client: MqttClient,
    data_plane: DataPlane,
    artifacts: Artifacts,
    credentials: CredentialsHandle,
}

/// Where the configuration of the token exchange stands.
const TOKEN_EXCHANGE: [&str; 3] = ["services", token_exchange::NAME, "configuration"];

impl Cloud {
    /// The clients, or nothing where the core is not set up for a cloud.
    pub(crate) fn configured(configuration: &Configuration, tasks: &Tasks) -> Option<Self> {
        let system = |key: &str| {
            configuration
                .get_text(&["system", key])
                .filter(|text| !text.is_empty())
        };
        let nucleus = Section::nucleus(configuration);
        let (Some(thing), Some(certificate), Some(key), Some(root_ca), true) = (
            system("thingName"),
            system("certificateFilePath"),
            system("privateKeyPath"),
            system("rootCaPath"),
            !nucleus.text("iotDataEndpoint").is_empty(),
        ) else {
            tracing::info!(
                "no thing, certificate, key, root CA or data endpoint is configured: the core runs offline"
            );
            return None;
        };
        let settings = thing
            .parse::<ThingName>()
            .map_err(report)
            .and_then(|thing| Ok((settings::mqtt(&thing, &nucleus)?, thing)));
        let (settings, thing) = match settings {
            Ok(both) => both,
            Err(error) => {
                tracing::error!(error = %error.one_line(), "the core runs offline");
                return None;
            }
        };
        let files = Files {
            certificate: certificate.into(),
            key: key.into(),
            root_ca: root_ca.into(),
        };
        let client = || Client::new(tasks, None, ClientOptions::default());
        let (with_certificate, plain) = (client(), client());
        files.follow(with_certificate.clone(), plain.clone(), tasks);
        let exchange = Section::at(configuration, &TOKEN_EXCHANGE);
        let credentials = CredentialsHandle::start(
            CredentialsSettings {
                endpoint: nucleus.text("iotCredEndpoint"),
                role_alias: nucleus.text("iotRoleAlias"),
                thing: thing.to_string(),
                client: with_certificate.clone(),
                retry: CredentialRetry::from_configuration(exchange.value("credentialRetryInSec")),
            },
            tasks,
        );
        let data_plane = DataPlane::new(DataPlaneSettings {
            url: data_plane_url(
                &nucleus.text("greengrassDataPlaneEndpoint"),
                nucleus.port("greengrassDataPlanePort", 8443),
                &nucleus.text("awsRegion"),
                &nucleus.text("iotDataEndpoint"),
            ),
            thing: thing.to_string(),
            client: with_certificate,
        });
        let s3_endpoint = match nucleus.value("sward")["awsEndpointUrl"].as_str() {
            Some(url) if !url.is_empty() => S3Endpoint::Url(url.trim_end_matches('/').to_owned()),
            _ => S3Endpoint::Aws,
        };
        let s3 = S3::new(
            s3_endpoint,
            &nucleus.text("awsRegion"),
            plain.clone(),
            credentials.clone(),
        );
        let client = MqttClient::start(settings, Arc::new(move || files.for_mqtt()), tasks);
        Some(Cloud {
            artifacts: Artifacts::new(data_plane.clone(), s3, plain),
            thing,
            client,
            data_plane,
            credentials,
        })
    }

    /// The MQTT client.
    pub(crate) fn client(&self) -> MqttClient {
        self.client.clone()
    }

    /// Serves credentials to components, and tells them where. Without them the core runs all the
    /// same.
    pub(crate) async fn serve_token_exchange(
        &self,
        configuration: &Configuration,
        tokens: &TokenRegistry,
        environment: &Arc<ComponentEnvironment>,
        tasks: &Tasks,
    ) {
        if Section::nucleus(configuration)
            .text("iotRoleAlias")
            .is_empty()
        {
            return;
        }
        let started = TokenExchange::start(
            Section::at(configuration, &TOKEN_EXCHANGE).port("port", 0),
            Arc::new(RoleCredentials(self.credentials.clone())),
            Arc::new(ComponentTokens(tokens.clone())),
            tasks,
        );
        let exchange = match started.await {
            Ok(exchange) => exchange,
            Err(error) => {
                tracing::error!(error = %error.report().one_line(), "components get no credentials");
                return;
            }
        };
        environment.set_credentials_url(exchange.uri());
        // Shown where the component is deployed; a service that nobody deployed is not made up.
        if configuration.get(&TOKEN_EXCHANGE[..2]).is_some() {
            let [services, name, section] = TOKEN_EXCHANGE;
            let active = [services, name, section, "activePort"];
            let at_ms = not_before(configuration, &active);
            configuration.update(&active, &json!(exchange.port()), at_ms, Source::Core);
        }
    }

    /// Listens for deployments, and reports deployments and components.
    pub(crate) fn report(
        self,
        configuration: &Configuration,
        supervisor: &Supervisor,
        deployer: &Deployer,
        platform: PlatformAttributes,
        tasks: &Tasks,
    ) {
        let transport = Arc::new(self.client.clone());
        let sink = Arc::new(Sink::new(deployer.clone(), tasks.clone()));
        let store = Arc::new(Unreported::new(deployer.clone(), tasks.clone()));
        let of = |source| deployments::StatusStore::load(&*store, source);
        let thing = self.thing.as_str();
        let jobs = JobsListener::new(thing, of(DeploymentSource::Jobs));
        let shadow = ShadowListener::new(thing, NUCLEUS_VERSION, of(DeploymentSource::Shadow));
        let jobs = deployments::start(jobs, transport.clone(), sink.clone(), store.clone(), tasks);
        let shadow = deployments::start(shadow, transport, sink, store, tasks);
        forward_statuses(deployer, jobs, shadow, tasks);
        FleetReporter {
            cadence_ms: settings::cadence_ms(&Section::nucleus(configuration)),
            configuration: configuration.clone(),
            supervisor: supervisor.clone(),
            deployer: deployer.clone(),
            client: self.client.clone(),
            thing: thing.to_owned(),
            platform,
        }
        .start(tasks);
        watch_connection(&self.client, deployer, tasks);
    }
}

/// Now, but not before what stands at a path: the clock may have been put back since, and what the
/// core knows of itself is newer all the same.
pub(crate) fn not_before(configuration: &Configuration, path: &[&str]) -> i64 {
    let known = configuration.get_stamped(path);
    let known = known.and_then(|node| node.newest_ms()).unwrap_or(0);
    jiff::Timestamp::now().as_millisecond().max(known)
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

#[cfg(test)]
mod tests {
    use super::*;
    use sward_journal::{RealFileSystem, Storage};

    /// A device without a battery for its clock has been in 2036 once; what it counts since goes on
    /// being kept.
    #[tokio::test]
    async fn what_the_core_writes_of_itself_is_newest_whatever_the_clock_says() {
        let folder = tempfile::tempdir().expect("a folder");
        let storage = Storage::start().expect("a thread");
        let configuration =
            Configuration::open(&storage, Arc::new(RealFileSystem), folder.path()).await;
        let configuration = configuration.expect("a configuration");
        let path = ["services", "FleetStatusService"];
        let write = |number: u64, at_ms: i64| {
            let memory = json!({ "sequenceNumber": number });
            let memory = memory.as_object().expect("an object");
            configuration.merge(&path, memory, at_ms, Source::Core)
        };
        let far = jiff::Timestamp::now().as_millisecond() + 10 * 365 * 86_400_000;
        write(5, far);
        assert!(!write(6, jiff::Timestamp::now().as_millisecond()));
        assert!(write(7, not_before(&configuration, &path)));
    }
}
