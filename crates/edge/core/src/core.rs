//! One core device: its parts, made in the order in which they need each other, and ended in the
//! reverse.

use crate::args::Options;
use crate::cloud::Cloud;
use crate::environment::ComponentEnvironment;
use crate::gate::{Gate, SharedGate};
use crate::root::{Root, report};
use crate::supervision::{Supervision, load_access};
use crate::{cli_access, ipc, log};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use sward_diagnosis::{Kind, Report};
use sward_engine::artifacts::ArtifactLimits;
use sward_engine::component_store::ComponentStore;
use sward_engine::configuration::{self, BootOptions, Configuration};
use sward_engine::deployer::{BuiltinComponent, Builtins, Deployer, DeployerOptions, RetryPolicy};
use sward_engine::logs::{LogSettings, Logs};
use sward_engine::supervisor::{
    Changes, ComponentSpec, RunWithDefaults, Supervisor, SupervisorOptions,
};
use sward_ipc_server::{
    AccessPolicies, IpcServer, Ports, ServerOptions, SocketPath, TokenRegistry,
};
use sward_journal::{FileSystem, RealFileSystem, Storage};
use sward_model::{ComponentName, NUCLEUS_NAME, NUCLEUS_VERSION, PlatformAttributes};
use sward_recipe::ComponentType;
use sward_sys::UserDatabase;
use sward_task::{EssentialTaskFailed, Tasks};
use tokio::sync::broadcast::error::RecvError;

/// How long components have to stop before they are killed.
const COMPONENTS_DEADLINE: Duration = Duration::from_secs(5);
/// How long the core's own tasks have.
const TASKS_DEADLINE: Duration = Duration::from_secs(3);

/// A running core.
pub(crate) struct Core {
    /// Holds the lock until the end.
    root: Root,
    tasks: Tasks,
    configuration: Configuration,
    supervisor: Supervisor,
    deployer: Deployer,
    _server: IpcServer,
}

impl Core {
    /// Starts everything; returns when IPC answers and what was interrupted goes on.
    pub(crate) async fn start(options: Options) -> Result<Self, Report> {
        if !sward_sys::limit_arenas() {
            tracing::debug!("the allocator keeps its arenas");
        }
        let root = Root::open(&options.root)?;
        let tasks = Tasks::new();
        let storage = Storage::start().map_err(storage_failed)?;
        let logs = Logs::start(LogSettings::new(root.path())).map_err(|error| {
            Report::new(Kind::Device, "log-thread", "cannot start the log thread")
                .caused_by_error(&error)
        })?;
        log::start(&logs);
        tracing::info!(
            root = %root.path().display(),
            version = env!("CARGO_PKG_VERSION"),
            nucleus = NUCLEUS_VERSION,
            "the core starts"
        );
        let configuration = open_configuration(&root, &storage, &options).await?;
        follow_log_settings(&logs, &configuration, &root, &tasks);
        configuration.keep_effective(&tasks, root.path().to_owned());

        let socket = socket_of(&configuration, &root);
        let tokens = TokenRegistry::new();
        let access = AccessPolicies::new();
        let gate = Arc::new(Gate::default());
        let environment = Arc::new(ComponentEnvironment::new(
            configuration.clone(),
            tokens.clone(),
            &socket,
        ));
        let store = ComponentStore::open(root.path()).map_err(report)?;
        let supervisor = start_supervisor(&root, &configuration, &tasks, &storage, &logs).await?;
        show_nucleus(&supervisor, &configuration).await?;
        let platform = platform_of(&configuration);
        let cloud = Cloud::configured(&configuration, &tasks);
        if let Some(cloud) = &cloud {
            cloud
                .serve_token_exchange(&configuration, &tokens, &environment, &tasks)
                .await;
        }
        let ports = crate::cloud::deployer_ports(cloud.as_ref());
        let deployer = Deployer::start(DeployerOptions {
            configuration: configuration.clone(),
            store: store.clone(),
            supervisor: Arc::new(Supervision {
                supervisor: supervisor.clone(),
                configuration: configuration.clone(),
                store,
                environment,
                access: access.clone(),
            }),
            cloud: ports.resolver,
            artifacts: ports.artifacts,
            groups: ports.groups,
            gate: Arc::new(SharedGate(Arc::clone(&gate))),
            platform: platform.clone(),
            builtins: builtins(),
            retry: RetryPolicy::default(),
            limits: ArtifactLimits::default(),
            directory: root.state("deployments"),
            file_system: Arc::new(RealFileSystem),
            tasks: tasks.clone(),
        })
        .await
        .map_err(report)?;
        // No await between here and the server: the deployer starts components only when this
        // task yields, and they find the socket.
        let server = IpcServer::start(
            ServerOptions::new(socket.clone()),
            Ports {
                configuration: ipc::Configurations::new(configuration.clone(), &gate, &tasks),
                lifecycle: ipc::Lifecycle::new(supervisor.clone(), &gate),
                components: ipc::Components::new(supervisor.clone(), configuration.clone()),
                deployments: ipc::Deployments::new(deployer.clone()),
                iot_core: ipc::IotCore::new(cloud.as_ref().map(Cloud::client), &tasks),
            },
            tokens.clone(),
            access.clone(),
            &tasks,
        )
        .map_err(report)?;
        cli_access::grant(&root, &socket, &configuration, &tokens, &tasks)?;
        root.link_cli()?;
        follow_access(&access, &configuration, &tasks);
        forget_removed(&supervisor, &tokens, &access, &tasks);
        if let Some(cloud) = cloud {
            cloud.report(&configuration, &supervisor, &deployer, platform, &tasks);
        }
        tracing::info!(socket = %socket.absolute().display(), "the core is ready");
        Ok(Core {
            root,
            tasks,
            configuration,
            supervisor,
            deployer,
            _server: server,
        })
    }

    /// Completes if a part that the core cannot do without has failed.
    pub(crate) async fn failed(&self) -> EssentialTaskFailed {
        self.tasks.failed().await
    }

    /// Stops components, then everything else, each within its deadline.
    pub(crate) async fn stop(self) {
        // First, so that a component that ends is not taken for one that fails.
        if let Err(unfinished) = self.deployer.stop(TASKS_DEADLINE).await {
            tracing::warn!(unfinished = %unfinished, "the deployer did not end in time");
        }
        if let Err(error) = self.supervisor.shutdown(COMPONENTS_DEADLINE).await {
            tracing::error!(error = %error, "components could not be stopped");
        }
        if let Err(unfinished) = self.tasks.shutdown(TASKS_DEADLINE).await {
            tracing::warn!(unfinished = %unfinished, "tasks did not end in time");
        }
        if let Err(error) = self.configuration.sync().await {
            tracing::error!(error = %error, "the last changes of the configuration cannot be saved");
        }
        tracing::info!(root = %self.root.path().display(), "the core has stopped");
    }
}

/// Makes the root ready and starts nothing (`--start false`).
pub(crate) async fn set_up(options: &Options) -> Result<(), Report> {
    let root = Root::open(&options.root)?;
    let storage = Storage::start().map_err(storage_failed)?;
    let configuration = open_configuration(&root, &storage, options).await?;
    configuration
        .write_effective(root.path())
        .await
        .map_err(report)?;
    root.link_cli()
}

fn storage_failed(error: std::io::Error) -> Report {
    Report::new(
        Kind::Device,
        "storage-thread",
        "cannot start the storage thread",
    )
    .caused_by_error(&error)
}

async fn open_configuration(
    root: &Root,
    storage: &Storage,
    options: &Options,
) -> Result<Configuration, Report> {
    let file_system: Arc<dyn FileSystem> = Arc::new(RealFileSystem);
    let configuration = Configuration::open(storage, file_system, &root.state("journal"))
        .await
        .map_err(report)?;
    let nucleus = |key: &[&str]| {
        ["services", NUCLEUS_NAME, "configuration"]
            .iter()
            .chain(key)
            .map(|key| (*key).to_owned())
            .collect()
    };
    let mut overrides: Vec<(Vec<String>, Value)> = Vec::new();
    if let Some(name) = &options.thing_name {
        overrides.push((
            vec!["system".to_owned(), "thingName".to_owned()],
            json!(name),
        ));
    }
    if let Some(region) = &options.aws_region {
        overrides.push((nucleus(&["awsRegion"]), json!(region)));
    }
    if let Some(user) = &options.component_default_user {
        overrides.push((nucleus(&["runWithDefault", "posixUser"]), json!(user)));
    }
    let boot = BootOptions {
        root: root.path().to_owned(),
        config: options.config.clone(),
        init_config: options.init_config.clone(),
        overrides,
    };
    let booted = configuration::boot(&configuration, &boot)
        .await
        .map_err(report)?;
    for file in booted.files {
        tracing::info!(file = %file.display(), "configuration read");
    }
    Ok(configuration)
}

fn nucleus_text(configuration: &Configuration, key: &[&str]) -> Option<String> {
    let path: Vec<&str> = ["services", NUCLEUS_NAME, "configuration"]
        .iter()
        .chain(key)
        .copied()
        .collect();
    configuration
        .get_text(&path)
        .filter(|text| !text.is_empty())
}

fn socket_of(configuration: &Configuration, root: &Root) -> SocketPath {
    match configuration.get_text(&["system", "ipcSocketPath"]) {
        Some(path) if !path.is_empty() => SocketPath::new(path),
        _ => SocketPath::in_root(root.path()),
    }
}

async fn start_supervisor(
    root: &Root,
    configuration: &Configuration,
    tasks: &Tasks,
    storage: &Storage,
    logs: &Logs,
) -> Result<Supervisor, Report> {
    let posix_user =
        nucleus_text(configuration, &["runWithDefault", "posixUser"]).or_else(default_user);
    let options = SupervisorOptions {
        run_with: RunWithDefaults {
            posix_user,
            posix_shell: nucleus_text(configuration, &["runWithDefault", "posixShell"])
                .unwrap_or_else(|| "sh".to_owned()),
        },
        is_subreaper: true,
        ..SupervisorOptions::new(root.path().to_owned(), root.state("processes"))
    };
    Supervisor::start(options, tasks, storage, logs.clone())
        .await
        .map_err(report)
}

/// The nucleus is a component, too, and runs as long as this program does.
async fn show_nucleus(
    supervisor: &Supervisor,
    configuration: &Configuration,
) -> Result<(), Report> {
    let version = configuration
        .get_text(&["services", NUCLEUS_NAME, "version"])
        .unwrap_or_else(|| NUCLEUS_VERSION.to_owned());
    let name = NUCLEUS_NAME.parse().expect("the constant is a name");
    let changes = Changes {
        set: vec![ComponentSpec::builtin(name, &version)],
        remove: Vec::new(),
    };
    supervisor.apply(changes).await.map_err(report)?;
    Ok(())
}

/// Who runs components of a core that runs as root, where nothing is configured: AWS's user where
/// it exists, else nobody. Never root.
fn default_user() -> Option<String> {
    if !sward_sys::is_root() {
        return None;
    }
    let users = UserDatabase::read().ok()?;
    if users.user("ggc_user").is_some() {
        return Some(
            if users.group("ggc_group").is_some() {
                "ggc_user:ggc_group"
            } else {
                "ggc_user"
            }
            .to_owned(),
        );
    }
    users.user("nobody").map(|_| "nobody".to_owned())
}

fn platform_of(configuration: &Configuration) -> PlatformAttributes {
    let machine = std::fs::read_to_string("/proc/sys/kernel/arch").map_or_else(
        |_| std::env::consts::ARCH.to_owned(),
        |text| text.trim().to_owned(),
    );
    let path = [
        "services",
        NUCLEUS_NAME,
        "configuration",
        "platformOverride",
    ];
    let platform_override = configuration.get(&path).unwrap_or(Value::Null);
    PlatformAttributes::of_machine(std::env::consts::OS, &machine).overridden_by(&platform_override)
}

/// Components that are part of this program and answer to every version in a range.
fn builtins() -> Builtins {
    let plugin = |version: &str| BuiltinComponent {
        version: version.parse().expect("a literal version"),
        component_type: ComponentType::Plugin,
        default_configuration: None,
    };
    let name = |text: &str| -> ComponentName { text.parse().expect("a literal name") };
    Builtins::default()
        .with(name("aws.greengrass.TokenExchangeService"), plugin("2.0.3"))
        .with(name("aws.greengrass.Cli"), plugin(NUCLEUS_VERSION))
}

/// Applies `logging` of the nucleus now and whenever it changes.
fn follow_log_settings(logs: &Logs, configuration: &Configuration, root: &Root, tasks: &Tasks) {
    let path = ["services", NUCLEUS_NAME, "configuration", "logging"];
    let apply = {
        let (logs, configuration, root) =
            (logs.clone(), configuration.clone(), root.path().to_owned());
        move || match LogSettings::read(&root, &configuration.get(&path).unwrap_or(Value::Null)) {
            Ok(settings) => logs.set(settings),
            Err(error) => {
                tracing::error!(error = %error, "the logging configuration is not applied")
            }
        }
    };
    apply();
    let mut watcher = configuration.watch(&path);
    let stop = tasks.token();
    tasks.spawn_essential("log-settings", async move {
        loop {
            tokio::select! {
                _ = watcher.changed() => apply(),
                () = stop.cancelled() => return,
            }
        }
    });
}

/// A component that is gone is nobody any more; until its last script has ended, it is somebody.
fn forget_removed(
    supervisor: &Supervisor,
    tokens: &TokenRegistry,
    access: &AccessPolicies,
    tasks: &Tasks,
) {
    let mut events = supervisor.events();
    let (supervisor, stop) = (supervisor.clone(), tasks.token());
    let (tokens, access) = (tokens.clone(), access.clone());
    tasks.spawn_essential("forget-removed", async move {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = stop.cancelled() => return,
            };
            match event {
                // It may be back already, under the same name.
                Ok(event) if event.is_removed && supervisor.status(&event.component).is_none() => {
                    tokens.revoke(event.component.as_str());
                    access.remove(event.component.as_str());
                }
                Ok(_) | Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
        }
    });
}

/// Compiles a component's access control anew whenever it changes while the component runs.
fn follow_access(access: &AccessPolicies, configuration: &Configuration, tasks: &Tasks) {
    let mut watcher = configuration.watch(&["services"]);
    let (access, configuration, stop) = (access.clone(), configuration.clone(), tasks.token());
    tasks.spawn_essential("access-control", async move {
        loop {
            let changed = tokio::select! {
                changed = watcher.changed() => changed,
                () = stop.cancelled() => return,
            };
            let touched: BTreeSet<ComponentName> = changed
                .keys
                .iter()
                .filter(|key| {
                    key.get(2)
                        .is_none_or(|part| part.eq_ignore_ascii_case("configuration"))
                })
                .filter_map(|key| key.get(1)?.parse().ok())
                .collect();
            let all = changed
                .is_overflown
                .then(|| configuration.get(&["services"]))
                .flatten();
            let every = all
                .as_ref()
                .and_then(Value::as_object)
                .into_iter()
                .flatten();
            let every: Vec<ComponentName> =
                every.filter_map(|(name, _)| name.parse().ok()).collect();
            for component in touched.into_iter().chain(every) {
                load_access(&access, &configuration, &component);
            }
        }
    });
}
