//! `sward up`: a supervisor that starts the real programs as a user would, and ends them with it.
//!
//! Cloud and cores are children of their own process groups, so that Ctrl-C reaches only this
//! process and the order of stopping is ours: cores first, then the cloud. Each child asks the
//! kernel to be ended if this process dies, so that even kill -9 leaves nothing behind.

mod follow;
mod hello;
mod ports;
mod program;
mod progress;

use crate::api::Client;
use crate::cli::{CloudPlace, DeviceOptions, Output, UpOptions};
use crate::place::CloudDirectory;
use crate::{device, environment};
use follow::Follower;
use ports::Ports;
use program::{Ended, Program};
use progress::Progress;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sward_diagnosis::{Kind, Place, Report};
use sward_sys::{FileLock, SystemError};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a program may take to stop before it is killed.
const STOP_DEADLINE: Duration = Duration::from_secs(8);
/// How long a program that ended by itself stays down before it is started again.
const RESTART_DELAY: Duration = Duration::from_secs(1);

/// Starts everything, follows the component's log until Ctrl-C, stops everything.
pub(crate) async fn run(options: UpOptions) -> Result<(), Report> {
    let stop = stop_signal()?;
    let mut world = World::new(&options)?;
    let started = tokio::select! {
        started = world.start(&options) => started,
        () = stop.cancelled() => Ok(()),
    };
    let result = match started {
        Ok(()) if !stop.is_cancelled() => world.watch(&stop).await,
        other => other,
    };
    world.stop().await;
    result
}

/// Cancelled by the first Ctrl-C or SIGTERM; the second one ends the process as usual.
fn stop_signal() -> Result<CancellationToken, Report> {
    let token = CancellationToken::new();
    let listen = |kind| {
        signal(kind).map_err(|error| {
            Report::new(Kind::Device, "signals", "cannot listen for signals")
                .caused_by_error(&error)
        })
    };
    let (mut interrupt, mut terminate) = (
        listen(SignalKind::interrupt())?,
        listen(SignalKind::terminate())?,
    );
    let cancel = token.clone();
    sward_task::Tasks::new().spawn("signals", async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        cancel.cancel();
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        std::process::exit(130);
    });
    Ok(token)
}

/// All programs of one `--dir`.
struct World {
    progress: Progress,
    directory: PathBuf,
    /// One supervisor for one folder.
    _lock: FileLock,
    binary: PathBuf,
    cloud: Option<Program>,
    cores: Vec<Program>,
    follower: Option<Follower>,
}

impl World {
    fn new(options: &UpOptions) -> Result<Self, Report> {
        let directory = std::path::absolute(&options.dir)
            .and_then(|path| std::fs::create_dir_all(&path).map(|()| path))
            .map_err(|error| {
                Report::new(
                    Kind::Device,
                    "up-directory",
                    "cannot make the folder of all state",
                )
                .at(Place::file(&options.dir))
                .help("choose a folder you may write to with --dir")
                .caused_by_error(&error)
            })?;
        let lock = FileLock::try_acquire(&directory.join("up.lock"))
            .map_err(|error| not_ours(&directory, &error))?;
        let binary = std::env::current_exe().map_err(|error| {
            Report::new(Kind::Device, "own-binary", "cannot find the sward binary")
                .caused_by_error(&error)
        })?;
        Ok(World {
            progress: Progress::new(),
            directory,
            _lock: lock,
            binary,
            cloud: None,
            cores: Vec::new(),
            follower: None,
        })
    }

    async fn start(&mut self, options: &UpOptions) -> Result<(), Report> {
        let cloud = CloudDirectory::at(self.directory.join("cloud"));
        self.refuse_a_new_cloud_for_old_devices(&cloud)?;
        self.start_cloud(options, &cloud).await?;
        let client = Client::new(&cloud)?;
        let names: Vec<String> = (1..=options.devices)
            .map(|number| format!("core{number}"))
            .collect();
        for name in &names {
            self.start_core(name, &cloud).await?;
        }
        if let (Some(first), false) = (names.first(), options.no_hello) {
            let log = self
                .root_of(first)
                .join("logs")
                .join(format!("{}.log", hello::COMPONENT));
            self.follower = Some(Follower::new(first, &log));
            let endpoints = cloud.endpoints()?;
            tokio::select! {
                deployed = hello::deploy_once(
                    &client,
                    &endpoints,
                    first,
                    &self.directory,
                    &self.progress,
                ) => deployed?,
                // What cannot start says why at once; nobody would report the deployment.
                ended = next_end(&mut self.cloud, &mut self.cores) => return Err(ended.report()),
            }
        }
        self.introduce(&cloud)
    }

    /// Devices trust the authority that is in the cloud's database: a new one would be a stranger
    /// to them, and they to it.
    fn refuse_a_new_cloud_for_old_devices(&self, cloud: &CloudDirectory) -> Result<(), Report> {
        if cloud.has_state() {
            return Ok(());
        }
        let devices = self.directory.join("devices");
        let provisioned = std::fs::read_dir(&devices)
            .into_iter()
            .flatten()
            .flatten()
            .any(|device| device.path().join("config.yaml").exists());
        if !provisioned {
            return Ok(());
        }
        Err(Report::new(
            Kind::Corrupt,
            "cloud-gone",
            "the devices are there, but the state of their cloud is not",
        )
        .at(Place::file(cloud.path().join("sward.db")))
        .help(format!(
            "restore it from a backup; or delete {} to begin anew, which ends its devices",
            self.directory.display()
        )))
    }

    fn root_of(&self, name: &str) -> PathBuf {
        self.directory.join("devices").join(name)
    }

    async fn start_cloud(
        &mut self,
        options: &UpOptions,
        cloud: &CloudDirectory,
    ) -> Result<(), Report> {
        let step = self.progress.begin("starting the cloud");
        let ports = ports::choose(options, cloud.last_endpoints()?.as_ref());
        // Ours before it is awaited: a Ctrl-C now must stop it, too.
        let program = self.cloud.insert(Program::start(
            "cloud",
            &self.binary,
            cloud_arguments(cloud, ports),
            &self.directory.join("cloud.log"),
        )?);
        program
            .await_line("sward cloud ready", Duration::from_secs(60))
            .await?;
        // Another start must listen where devices and clients know it, not on any free port again.
        let settled = Ports::of(&cloud.endpoints()?);
        program.set_arguments(cloud_arguments(cloud, settled));
        step.done("cloud ready");
        Ok(())
    }

    async fn start_core(&mut self, name: &str, cloud: &CloudDirectory) -> Result<(), Report> {
        let root = self.root_of(name);
        if !root.join("config.yaml").is_file() {
            let step = self.progress.begin(&format!("provisioning {name}"));
            device::create(DeviceOptions {
                name: name.to_owned(),
                groups: Vec::new(),
                root: root.clone(),
                component_default_user: None,
                cloud: CloudPlace {
                    data_dir: Some(cloud.path().to_owned()),
                },
                output: Output::Text,
            })
            .await?;
            step.done(&format!("{name} provisioned"));
        }
        let arguments = vec!["core".into(), "--root".into(), root.into_os_string()];
        let output = self.directory.join("devices").join(format!("{name}.out"));
        self.cores
            .push(Program::start(name, &self.binary, arguments, &output)?);
        Ok(())
    }

    fn introduce(&self, cloud: &CloudDirectory) -> Result<(), Report> {
        let endpoints = cloud.endpoints()?;
        let mut lines = vec![
            String::new(),
            format!("  AWS APIs   {}", endpoints.api),
            format!(
                "  devices    {} (HTTPS, MQTT by ALPN)   MQTT {}",
                endpoints.device, endpoints.mqtt
            ),
            format!("  state      {}", self.directory.display()),
            String::new(),
            "  In another terminal, for the AWS CLI and every AWS SDK:".to_owned(),
        ];
        for (name, value) in environment::variables(cloud)? {
            lines.push(format!("    export {name}={}", environment::quoted(&value)));
        }
        lines.push(format!(
            "  or: eval \"$({} env --data-dir {})\"; aws greengrassv2 list-core-devices",
            environment::quoted(&self.binary.display().to_string()),
            environment::quoted(&cloud.path().display().to_string()),
        ));
        lines.push(
            "  Ctrl-C stops everything; the next `sward up` takes up the same state.".to_owned(),
        );
        lines.push(String::new());
        self.progress.lines(&lines);
        Ok(())
    }

    /// Follows the log and starts again what ends by itself, until asked to stop.
    async fn watch(&mut self, stop: &CancellationToken) -> Result<(), Report> {
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                line = follow::next(&mut self.follower) => self.progress.line(&line),
                ended = next_end(&mut self.cloud, &mut self.cores) => {
                    self.progress.line(&ended.describe());
                    tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        () = tokio::time::sleep(RESTART_DELAY) => {}
                    }
                    self.restart(&ended)?;
                }
            }
        }
    }

    fn restart(&mut self, ended: &Ended) -> Result<(), Report> {
        let program = self
            .cloud
            .iter_mut()
            .chain(&mut self.cores)
            .find(|program| program.name() == ended.name);
        match program {
            Some(program) => program.start_again(),
            None => Ok(()),
        }
    }

    async fn stop(&mut self) {
        if self.cloud.is_none() && self.cores.is_empty() {
            return;
        }
        let step = self.progress.begin("stopping");
        let mut cores = std::mem::take(&mut self.cores);
        for core in &cores {
            core.ask_to_stop();
        }
        for core in &mut cores {
            core.stopped(STOP_DEADLINE).await;
        }
        if let Some(mut cloud) = self.cloud.take() {
            cloud.ask_to_stop();
            cloud.stopped(STOP_DEADLINE).await;
        }
        step.done("everything stopped");
    }
}

fn cloud_arguments(cloud: &CloudDirectory, ports: Ports) -> Vec<OsString> {
    let mut arguments = vec![
        "cloud".into(),
        "--data-dir".into(),
        cloud.path().as_os_str().to_owned(),
    ];
    for (flag, port) in ports.flags() {
        arguments.push(flag.into());
        arguments.push(port.to_string().into());
    }
    arguments
}

/// Why a folder cannot be had.
fn not_ours(directory: &Path, error: &SystemError) -> Report {
    let (kind, code, message, help) = match error {
        SystemError::Locked { .. } => (
            Kind::Conflict,
            "up-running",
            "another sward up runs in this folder",
            "use it, stop it, or choose another folder with --dir",
        ),
        _ => (
            Kind::Device,
            "up-directory",
            "cannot use the folder of all state",
            "choose a folder you may write to with --dir; does it belong to another user?",
        ),
    };
    Report::new(kind, code, message)
        .at(Place::file(directory))
        .help(help)
        .caused_by(error)
}

async fn next_end(cloud: &mut Option<Program>, cores: &mut [Program]) -> Ended {
    use futures_util::future::{FutureExt as _, select_all};
    let waits: Vec<_> = cloud
        .iter_mut()
        .chain(cores)
        .map(|program| program.ended().boxed())
        .collect();
    if waits.is_empty() {
        return std::future::pending().await;
    }
    select_all(waits).await.0
}
