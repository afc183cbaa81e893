//! The life of a cloud: open in the order of dependencies, listen, say so, end in order.

use crate::adapters::{
    ControlDirectory, ControlTopics, HubPublisher, LoggedPresence, ObjectArtifacts, StoredSessions,
};
use crate::api::Api;
use crate::args::CloudArgs;
use crate::audit::Audit;
use crate::certificate::ServerTls;
use crate::device::DeviceHandler;
use crate::error::StartError;
use crate::files;
use crate::listeners::Listeners;
use crate::options::CloudOptions;
use crate::platform::{fill, now_ms};
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use sward_control::identity::Identity;
use sward_control::{Control, ControlOptions, EndpointHosts, Ports, SystemClock, SystemEntropy};
use sward_diagnosis::{Diagnose as _, Report};
use sward_gateway::{Gateway, GatewayOptions, Hub};
use sward_net::http::{Handler, ServeOptions, serve, serve_tls};
use sward_net::tls::TlsAcceptor;
use sward_objects::{Objects, ObjectsOptions};
use sward_store::{Store, StoreOptions};
use sward_task::{EssentialTaskFailed, Tasks};
use tokio::signal::unix::{SignalKind, signal};

/// How long connections and writers get to end.
const SHUTDOWN: Duration = Duration::from_secs(8);
/// How long the store gets to fold its log into the database.
const CLOSE: Duration = Duration::from_secs(3);

/// Everything that was opened.
struct Cloud {
    store: Store,
    identity: Identity,
    objects: Objects,
    artifacts: Arc<ObjectArtifacts>,
    control: Control,
    gateway: Gateway,
    hub: Hub,
}

/// Runs a cloud until the token of `tasks` is cancelled. Prints `sward cloud ready` on standard
/// output once everything in `endpoints.json` accepts connections.
pub async fn run(options: CloudOptions, tasks: Tasks) -> Result<(), Report> {
    if !options.ephemeral {
        files::refuse_lost_database(&options.data_dir).map_err(|error| error.report())?;
    }
    let state = StateDirectory::prepare(&options)?;
    let result = serve_until_cancelled(&options, &state.path, &tasks).await;
    if let Err(unfinished) = tasks.shutdown(SHUTDOWN).await {
        tracing::warn!(error = %unfinished, "the cloud ends without waiting any longer");
    }
    // Last, when nobody is left who could need it.
    if let Ok((store, _)) = &result
        && tokio::time::timeout(CLOSE, store.close()).await.is_err()
    {
        tracing::warn!("the store is left open; its log is read at the next start");
    }
    if options.ephemeral && result.is_ok() {
        files::remove(&options.data_dir);
    }
    state.remove_if_ephemeral();
    let (_, ending) = result.map_err(|error| error.report())?;
    ending.map_err(|failure| failure.report())
}

/// Serves until the end, which is a failure if a task that the cloud needs has panicked.
async fn serve_until_cancelled(
    options: &CloudOptions,
    state: &Path,
    tasks: &Tasks,
) -> Result<(Store, Result<(), EssentialTaskFailed>), StartError> {
    let listeners = Listeners::bind(options).await?;
    let cloud = open(options, state, tasks).await?;
    let endpoints = listeners.endpoints(options);
    if cloud.artifacts.api.set(endpoints.api.clone()).is_err() {
        tracing::error!("the API's URL was set twice");
    }
    let tls = ServerTls::make(cloud.control.authority(), options, &listeners.addresses())?;
    let owner = cloud.identity.owner_key(&options.account).await?;
    let audit = Audit::start(&options.data_dir, tasks);
    let api = Api::new(
        options,
        cloud.control.clone(),
        cloud.identity.clone(),
        cloud.objects.clone(),
        cloud.hub.clone(),
        audit,
        tasks,
    );
    listen(listeners, &cloud, &api, &tls, tasks);
    cloud.control.run(tasks);
    cloud.objects.run(tasks);
    files::write(
        &options.data_dir,
        cloud.control.authority().ca_pem(),
        &owner,
        &endpoints,
    )?;
    if options.insecure_accept_any_signature {
        tracing::warn!("any signature is accepted: everybody who reaches the API owns this cloud");
    }
    tracing::info!(
        api = endpoints.api,
        device = endpoints.device,
        mqtt = endpoints.mqtt,
        "cloud ready"
    );
    say_ready();
    let token = tasks.token();
    tokio::select! {
        () = token.cancelled() => {
            tracing::info!("cloud stops");
            Ok((cloud.store, Ok(())))
        }
        failure = tasks.failed() => {
            tracing::error!(error = %failure, "the cloud ends, to be started anew");
            Ok((cloud.store, Err(failure)))
        }
    }
}

async fn open(options: &CloudOptions, state: &Path, tasks: &Tasks) -> Result<Cloud, StartError> {
    let store = Store::open(StoreOptions {
        directory: state.to_owned(),
        ephemeral: options.ephemeral,
    })
    .await?;
    let identity = Identity::open(
        store.clone(),
        Arc::new(SystemClock),
        Arc::new(SystemEntropy),
    )
    .await?;
    let objects = Objects::open(
        store.clone(),
        ObjectsOptions {
            directory: state.join("blobs"),
            ephemeral: options.ephemeral,
            now_ms,
            fill,
        },
        tasks,
    )
    .await?;
    let publisher = Arc::new(HubPublisher::default());
    let artifacts = Arc::new(ObjectArtifacts {
        objects: objects.clone(),
        identity: identity.clone(),
        api: OnceLock::new(),
    });
    let control = Control::open(
        store.clone(),
        control_options(options),
        Ports {
            artifacts: artifacts.clone(),
            publisher: publisher.clone(),
            sessions: Arc::new(identity.clone()),
            clock: Arc::new(SystemClock),
            entropy: Arc::new(SystemEntropy),
        },
    )
    .await?;
    let sessions = StoredSessions::open(store.clone()).await?;
    let clock = Arc::new(|| u64::try_from(now_ms()).unwrap_or(0));
    let gateway_options = GatewayOptions {
        connections: connections_within(sward_sys::raise_open_files()),
        ..GatewayOptions::default()
    };
    let hub = Hub::open(Arc::new(sessions), gateway_options, clock, tasks).await?;
    publisher.connect(hub.clone());
    let gateway = Gateway::new(
        hub.clone(),
        sward_gateway::Ports {
            directory: Arc::new(ControlDirectory::new(control.clone(), tasks)),
            reserved: Arc::new(ControlTopics {
                control: control.clone(),
                publisher: hub.publisher(),
            }),
            presence: Arc::new(LoggedPresence),
        },
        tasks,
    );
    Ok(Cloud {
        store,
        identity,
        objects,
        artifacts,
        control,
        gateway,
        hub,
    })
}

/// How many devices each of the two listeners takes at once, so that a flood of them leaves
/// descriptors for the APIs, the database and the objects.
fn connections_within(open_files: u64) -> usize {
    let others = (open_files / 4).min(10_000);
    let each = (open_files - others) / 2;
    let most = GatewayOptions::default().connections;
    usize::try_from(each).map_or(most, |each| each.min(most))
}

fn control_options(options: &CloudOptions) -> ControlOptions {
    let host = options
        .hostnames
        .first()
        .cloned()
        .unwrap_or_else(|| "localhost".to_owned());
    ControlOptions {
        account: options.account.clone(),
        region: options.region.clone(),
        endpoints: EndpointHosts {
            data: host.clone(),
            credentials: host.clone(),
            jobs: host,
        },
        ..ControlOptions::default()
    }
}

fn listen(listeners: Listeners, cloud: &Cloud, api: &Api, tls: &ServerTls, tasks: &Tasks) {
    let handler: Arc<dyn Handler> = Arc::new(api.clone());
    for bound in listeners.api {
        let (handler, options) = (Arc::clone(&handler), ServeOptions::new("api"));
        if bound.address.ip().is_loopback() {
            let served = serve(bound.listener, handler, options, tasks.clone());
            tasks.spawn_essential("api-listener", served);
        } else {
            let acceptor = TlsAcceptor::new(Arc::clone(&tls.api));
            let served = serve_tls(bound.listener, acceptor, handler, options, tasks.clone());
            tasks.spawn_essential("api-listener", served);
        }
    }
    let device: Arc<dyn Handler> = Arc::new(DeviceHandler {
        control: cloud.control.clone(),
        api: api.clone(),
    });
    for bound in listeners.device {
        let (tls, handler) = (Arc::clone(&tls.device), Arc::clone(&device));
        cloud.gateway.listen_device(bound.listener, tls, handler);
    }
    for bound in listeners.mqtt {
        cloud
            .gateway
            .listen_mqtt(bound.listener, Arc::clone(&tls.mqtt));
    }
}

/// The line that supervisors and tests wait for.
fn say_ready() {
    let mut output = std::io::stdout().lock();
    let written = output
        .write_all(b"sward cloud ready\n")
        .and_then(|()| output.flush());
    if let Err(error) = written {
        tracing::debug!(%error, "nobody reads standard output");
    }
}

/// Where database and blobs are: the data directory, or a throw-away folder in it.
struct StateDirectory {
    path: PathBuf,
    ephemeral: bool,
}

impl StateDirectory {
    fn prepare(options: &CloudOptions) -> Result<Self, Report> {
        use std::os::unix::fs::DirBuilderExt as _;
        let path = if options.ephemeral {
            remove_stale(&options.data_dir);
            let name = format!("ephemeral-{}", std::process::id());
            options.data_dir.join(name)
        } else {
            options.data_dir.clone()
        };
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(|source| {
                StartError::File {
                    path: path.clone(),
                    source,
                }
                .report()
            })?;
        Ok(StateDirectory {
            path,
            ephemeral: options.ephemeral,
        })
    }

    fn remove_if_ephemeral(&self) {
        if self.ephemeral
            && let Err(error) = std::fs::remove_dir_all(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove throw-away state");
        }
    }
}

/// Removes what ephemeral clouds left that were killed.
fn remove_stale(data_dir: &Path) {
    let Ok(entries) = std::fs::read_dir(data_dir) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process = name
            .to_str()
            .and_then(|name| name.strip_prefix("ephemeral-"));
        if let Some(process) = process
            && !Path::new("/proc").join(process).exists()
            && let Err(error) = std::fs::remove_dir_all(entry.path())
        {
            tracing::warn!(path = %entry.path().display(), %error, "cannot remove stale state");
        }
    }
}

/// `sward cloud`: logs to standard error, and ends well on SIGINT and SIGTERM. A second signal
/// ends it at once.
pub async fn run_cli(arguments: CloudArgs) -> Result<(), Report> {
    let logging = tracing_subscriber::fmt()
        .with_max_level(arguments.log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .try_init();
    if logging.is_err() {
        tracing::debug!("logging was set up before");
    }
    let options = arguments.into_options()?;
    let tasks = Tasks::new();
    let token = tasks.token();
    let mut interrupt = signals(SignalKind::interrupt())?;
    let mut terminate = signals(SignalKind::terminate())?;
    let watcher = async {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        token.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    };
    tokio::select! {
        result = run(options, tasks.clone()) => result,
        () = watcher => Ok(()),
    }
}

fn signals(kind: SignalKind) -> Result<tokio::signal::unix::Signal, Report> {
    signal(kind).map_err(|error| {
        Report::new(
            sward_diagnosis::Kind::Device,
            "signals",
            "cannot listen to signals",
        )
        .caused_by_error(&error)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_leave_descriptors_for_the_rest() {
        for (open_files, each) in [
            (256, 96),
            (1024, 384),
            (65_536, 27_768),
            (1 << 20, 100_000),
            (u64::MAX, 100_000),
        ] {
            assert_eq!(connections_within(open_files), each, "{open_files}");
        }
    }
}
