//! The world around a deployer, in memory: a cloud, a bucket, a supervisor.

use super::super::ports::*;
use super::super::*;
use base64::Engine as _;
use futures_util::StreamExt;
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sward_deployment::plan::Effect;
use sward_journal::memory::MemoryFileSystem;
use sward_journal::{File, Storage};
use sward_model::{ComponentName, ComponentState, PlatformAttributes};
use sward_recipe::{Format, Recipe};
use tokio::sync::watch;

/// How long a test waits for what must happen.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A cloud: recipes, groups, a bucket. It can be unreachable.
#[derive(Default)]
pub(super) struct Cloud {
    pub(super) recipes: Mutex<BTreeMap<String, Vec<Recipe>>>,
    pub(super) groups: Mutex<BTreeSet<String>>,
    pub(super) objects: Mutex<BTreeMap<String, Vec<u8>>>,
    pub(super) is_unreachable: Mutex<bool>,
    pub(super) calls: Mutex<Vec<String>>,
}

impl Cloud {
    pub(super) fn add(&self, recipe: &str) {
        let recipe = Recipe::parse(recipe.as_bytes(), Format::Json).expect("a recipe");
        let mut recipes = self.recipes.lock().expect("no panic");
        recipes
            .entry(recipe.name.to_string())
            .or_default()
            .push(recipe);
    }

    fn reach(&self, call: String) -> Result<(), CloudError> {
        self.calls.lock().expect("no panic").push(call.clone());
        if *self.is_unreachable.lock().expect("no panic") {
            return Err(CloudError::Unreachable {
                url: format!("https://cloud/{call}"),
                reason: "connection refused".into(),
            });
        }
        Ok(())
    }
}

impl CloudResolver for Cloud {
    fn resolve(
        &self,
        request: CandidateRequest,
    ) -> BoxFuture<'_, Result<CloudCandidate, CloudError>> {
        let answer = self
            .reach(format!("resolve/{}", request.component))
            .and_then(|()| {
                let recipes = self.recipes.lock().expect("no panic");
                let versions = recipes.get(request.component.as_str());
                versions
                    .into_iter()
                    .flatten()
                    .filter(|recipe| {
                        let mut wanted = request.requirements.values();
                        wanted.all(|wanted| wanted.is_satisfied_by(&recipe.version))
                    })
                    .max_by(|a, b| a.version.cmp(&b.version))
                    .map(|recipe| CloudCandidate {
                        arn: format!(
                            "arn:aws:greengrass:us-east-1:123456789012:components:{}:versions:{}",
                            recipe.name, recipe.version
                        ),
                        version: recipe.version.clone(),
                        recipe: recipe.to_json().into_bytes(),
                    })
                    .ok_or(CloudError::Refused {
                        service: CloudService::Greengrass,
                        operation: "ResolveComponentCandidates".into(),
                        status: 404,
                        message: "no usable version".into(),
                    })
            });
        Box::pin(std::future::ready(answer))
    }
}

impl GroupLister for Cloud {
    fn thing_groups(&self) -> BoxFuture<'_, Result<BTreeSet<String>, CloudError>> {
        let answer = self
            .reach("groups".into())
            .map(|()| self.groups.lock().expect("no panic").clone());
        Box::pin(std::future::ready(answer))
    }
}

impl ArtifactSource for Cloud {
    fn open(&self, request: ArtifactRequest) -> BoxFuture<'_, Result<ArtifactBody, CloudError>> {
        let answer = self.reach(request.uri.clone()).and_then(|()| {
            let objects = self.objects.lock().expect("no panic");
            let object = objects.get(&request.uri).ok_or(CloudError::Refused {
                service: CloudService::S3,
                operation: "GetObject".into(),
                status: 404,
                message: "NoSuchKey".into(),
            })?;
            let offset = usize::try_from(request.offset).expect("small");
            let chunks: Vec<_> = object[offset..]
                .chunks(7)
                .map(|chunk| Ok(bytes::Bytes::copy_from_slice(chunk)))
                .collect();
            Ok(ArtifactBody {
                total_bytes: Some(object.len() as u64),
                offset: request.offset,
                chunks: futures_util::stream::iter(chunks).boxed(),
            })
        });
        Box::pin(std::future::ready(answer))
    }
}

/// A supervisor that runs nothing: a component whose `run` is `break` becomes BROKEN, one whose
/// `run` is `hang` never starts, all others run at once.
pub(super) struct FakeSupervisor {
    pub(super) components: watch::Sender<BTreeMap<ComponentName, (ServiceSpec, ComponentState)>>,
    /// What happened, such as `install com.A 1.0.0`.
    pub(super) history: Mutex<Vec<String>>,
    /// The longest that was to be waited for components, so far.
    pub(super) longest_wait: Mutex<Duration>,
}

impl Default for FakeSupervisor {
    fn default() -> Self {
        FakeSupervisor {
            components: watch::Sender::new(BTreeMap::new()),
            history: Mutex::new(Vec::new()),
            longest_wait: Mutex::default(),
        }
    }
}

impl FakeSupervisor {
    pub(super) fn take_history(&self) -> Vec<String> {
        std::mem::take(&mut *self.history.lock().expect("no panic"))
    }

    /// Names, versions and states.
    pub(super) fn table(&self) -> Vec<String> {
        rows(&self.components.borrow())
    }

    fn note(&self, text: String) {
        self.history.lock().expect("no panic").push(text);
    }
}

/// Name, version and state of each.
pub(super) fn rows(
    components: &BTreeMap<ComponentName, (ServiceSpec, ComponentState)>,
) -> Vec<String> {
    components
        .iter()
        .map(|(name, (spec, state))| format!("{name} {} {state}", spec.version))
        .collect()
}

fn state_of(spec: &ServiceSpec) -> ComponentState {
    match spec.lifecycle.get("run").and_then(|run| run.as_str()) {
        Some("break") => ComponentState::Broken,
        Some("hang") => ComponentState::Starting,
        _ => ComponentState::Running,
    }
}

impl SupervisorPort for FakeSupervisor {
    fn apply(&self, changes: SupervisorChanges) -> BoxFuture<'_, Result<(), SupervisorError>> {
        let is_refused = |spec: &&ServiceSpec| spec.component_type == "LAMBDA";
        if let Some(spec) = changes.set.iter().find(is_refused) {
            return Box::pin(std::future::ready(Err(SupervisorError {
                component: spec.name.to_string(),
                reason: "components of type LAMBDA are not built yet".into(),
            })));
        }
        self.components.send_modify(|components| {
            for spec in changes.set {
                let is_known = components.contains_key(&spec.name);
                let effect = if is_known {
                    spec.effect
                } else {
                    Effect::Install
                };
                let state = state_of(&spec);
                if effect > Effect::Limits {
                    let word = format!("{effect:?}").to_lowercase();
                    self.note(format!("{word} {} {}", spec.name, spec.version));
                    components.insert(spec.name.clone(), (spec, state));
                }
            }
            for name in changes.remove {
                if components.remove(&name).is_some() {
                    self.note(format!("remove {name}"));
                }
            }
        });
        Box::pin(std::future::ready(Ok(())))
    }

    fn settled(&self, names: Vec<ComponentName>, deadline: Duration) -> BoxFuture<'_, Settled> {
        {
            let mut longest = self.longest_wait.lock().expect("no panic");
            *longest = deadline.max(*longest);
        }
        let mut components = self.components.subscribe();
        Box::pin(async move {
            loop {
                {
                    let now = components.borrow_and_update();
                    let state = |name: &ComponentName| now.get(name).map(|(_, state)| *state);
                    for name in &names {
                        if state(name) == Some(ComponentState::Broken) {
                            return Settled::Broken(Box::new(BrokenComponent {
                                name: name.clone(),
                                status_code: "RUN_ERROR".into(),
                                reason: "run script exited with code 7".into(),
                                exit_code: Some(7),
                                last_output: vec!["cannot find the sensor".into()],
                            }));
                        }
                    }
                    let runs = |name| state(name) == Some(ComponentState::Running);
                    if names.iter().all(runs) {
                        return Settled::Fine;
                    }
                }
                if components.changed().await.is_err() {
                    return Settled::TimedOut(Vec::new());
                }
            }
        })
    }

    fn removed(&self, _names: Vec<ComponentName>, _deadline: Duration) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn states(&self) -> BTreeMap<ComponentName, ComponentState> {
        let components = self.components.borrow();
        components
            .iter()
            .map(|(name, (_, state))| (name.clone(), *state))
            .collect()
    }
}

/// A recipe as JSON text. `dependencies` are `NAME REQUIREMENT` pairs.
pub(super) fn recipe(
    name: &str,
    version: &str,
    run: &str,
    dependencies: &[(&str, &str)],
    artifact: Option<(&str, &[u8])>,
) -> String {
    let dependencies: serde_json::Map<_, _> = dependencies
        .iter()
        .map(|(name, wanted)| {
            let value = serde_json::json!({"VersionRequirement": wanted});
            ((*name).to_owned(), value)
        })
        .collect();
    let artifacts: Vec<_> = artifact
        .iter()
        .map(|(uri, content)| {
            let digest = base64::engine::general_purpose::STANDARD.encode(Sha256::digest(content));
            serde_json::json!({"Uri": uri, "Digest": digest, "Algorithm": "SHA-256"})
        })
        .collect();
    serde_json::json!({
        "RecipeFormatVersion": "2020-01-25",
        "ComponentName": name,
        "ComponentVersion": version,
        "ComponentDependencies": dependencies,
        "ComponentConfiguration": {"DefaultConfiguration": {"greeting": "hello"}},
        "Manifests": [{
            "Platform": {"os": "linux"},
            "Lifecycle": {"run": run},
            "Artifacts": artifacts,
        }],
    })
    .to_string()
}

/// What a core may be made of.
pub(super) struct Parts {
    pub(super) fs: Arc<dyn FileSystem>,
    /// What the deployer gets.
    pub(super) port: Arc<dyn SupervisorPort>,
    /// What [`Core::supervisor`] is.
    pub(super) fake: Arc<FakeSupervisor>,
    pub(super) gate: Arc<dyn UpdateGate>,
    pub(super) steady: Duration,
}

impl Parts {
    pub(super) fn new(fs: Arc<dyn FileSystem>) -> Parts {
        let fake = Arc::new(FakeSupervisor::default());
        Parts {
            fs,
            port: fake.clone(),
            fake,
            gate: Arc::new(OpenGate),
            steady: Duration::from_millis(1),
        }
    }
}

/// A disk that may be full: then nothing is written.
#[derive(Clone)]
pub(super) struct Disk {
    pub(super) content: MemoryFileSystem,
    pub(super) is_full: Arc<AtomicBool>,
}

impl Disk {
    fn room(&self) -> std::io::Result<()> {
        match self.is_full.load(Ordering::SeqCst) {
            true => Err(std::io::ErrorKind::StorageFull.into()),
            false => Ok(()),
        }
    }

    fn file(&self, file: Box<dyn File>) -> Box<dyn File> {
        Box::new(DiskFile {
            disk: self.clone(),
            file,
        })
    }
}

impl FileSystem for Disk {
    fn list(&self, directory: &Path) -> std::io::Result<Vec<String>> {
        self.content.list(directory)
    }
    fn create_directory(&self, directory: &Path) -> std::io::Result<()> {
        self.content.create_directory(directory)
    }
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        self.content.read(path)
    }
    fn create(&self, path: &Path) -> std::io::Result<Box<dyn File>> {
        self.room()?;
        Ok(self.file(self.content.create(path)?))
    }
    fn open(&self, path: &Path) -> std::io::Result<Box<dyn File>> {
        Ok(self.file(self.content.open(path)?))
    }
    fn rename(&self, from: &Path, to: &Path) -> std::io::Result<()> {
        self.content.rename(from, to)
    }
    fn remove(&self, path: &Path) -> std::io::Result<()> {
        self.content.remove(path)
    }
    fn sync_directory(&self, directory: &Path) -> std::io::Result<()> {
        self.content.sync_directory(directory)
    }
}

struct DiskFile {
    disk: Disk,
    file: Box<dyn File>,
}

impl File for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.disk.room()?;
        self.file.append(bytes)
    }
    fn truncate(&mut self, length: u64) -> std::io::Result<()> {
        self.file.truncate(length)
    }
    fn sync(&mut self) -> std::io::Result<()> {
        self.file.sync()
    }
}

/// One life of a core around a root folder and a file system that may lose its power.
pub(super) struct Core {
    pub(super) deployer: Deployer,
    pub(super) configuration: Configuration,
    pub(super) supervisor: Arc<FakeSupervisor>,
    pub(super) tasks: Tasks,
}

impl Core {
    pub(super) async fn start(
        root: &Path,
        fs: &MemoryFileSystem,
        cloud: &Arc<Cloud>,
    ) -> Result<Core, String> {
        let parts = Parts::new(Arc::new(fs.clone()));
        Core::with(root, cloud, parts).await
    }

    /// A core of other parts.
    pub(super) async fn with(
        root: &Path,
        cloud: &Arc<Cloud>,
        parts: Parts,
    ) -> Result<Core, String> {
        let storage = Storage::start().map_err(|error| error.to_string())?;
        let fs = parts.fs;
        let configuration = Configuration::open(&storage, fs.clone(), Path::new("/config"))
            .await
            .map_err(|error| error.to_string())?;
        let tasks = Tasks::new();
        let platform = [("os", "linux"), ("architecture", "amd64")];
        let deployer = Deployer::start(DeployerOptions {
            configuration: configuration.clone(),
            store: ComponentStore::open(root).map_err(|error| error.to_string())?,
            supervisor: parts.port,
            cloud: cloud.clone(),
            artifacts: cloud.clone(),
            groups: cloud.clone(),
            gate: parts.gate,
            platform: platform.into_iter().collect::<PlatformAttributes>(),
            builtins: Builtins::default(),
            retry: RetryPolicy {
                first: Duration::from_secs(3600),
                longest: Duration::from_secs(3600),
                steady: parts.steady,
            },
            limits: ArtifactLimits::default(),
            directory: "/deployments".into(),
            file_system: fs,
            tasks: tasks.clone(),
        })
        .await
        .map_err(|error| error.to_string())?;
        Ok(Core {
            deployer,
            configuration,
            supervisor: parts.fake,
            tasks,
        })
    }

    pub(super) async fn stop(self) {
        self.tasks.shutdown(PATIENCE).await.expect("all tasks stop");
    }

    /// Submits a deployment and waits for its end; all its statuses, the last one whole.
    pub(super) async fn deploy(
        &self,
        request: DeploymentRequest,
    ) -> (Vec<&'static str>, DeploymentStatusUpdate) {
        let id = request.id.clone();
        let mut updates = self.deployer.updates();
        let submitted = self.deployer.submit(request).await.expect("it is taken");
        assert_eq!(submitted, Submitted::Queued);
        let mut seen = Vec::new();
        loop {
            let update = tokio::time::timeout(PATIENCE, updates.recv())
                .await
                .expect("a status comes in time")
                .expect("the deployer lives");
            if update.id == id {
                seen.push(update.status.as_str());
                if update.status.is_terminal() {
                    return (seen, update);
                }
            }
        }
    }

    /// Waits until nothing runs and nothing waits.
    pub(super) async fn idle(&self) {
        // The actor answers once it has started the components.
        let answer = self.deployer.cancel("nothing").await;
        assert_eq!(answer.expect("the deployer lives"), Canceled::Unknown);
        let mut progress = self.deployer.progress();
        let idle = progress.wait_for(|_| {
            self.deployer
                .deployments()
                .iter()
                .all(|one| one.status.is_terminal())
        });
        tokio::time::timeout(PATIENCE, idle)
            .await
            .expect("it comes to rest in time")
            .expect("the deployer lives");
    }

    /// The components in the configuration with their versions.
    pub(super) fn configured(&self) -> Vec<String> {
        let tree = self.configuration.snapshot();
        let services = tree.get_map(&["services"]).cloned().unwrap_or_default();
        services
            .iter()
            .filter(|(name, _)| name.starts_with("com."))
            .map(|(name, node)| {
                let version = node.as_map().and_then(|map| map.value_at(&["version"]));
                let version = version.and_then(|v| v.as_str().map(str::to_owned));
                format!("{name} {}", version.unwrap_or_default())
            })
            .collect()
    }
}

/// A cloud document for a target such as `thinggroup/G`.
pub(super) fn fleet(
    id: &str,
    source: DeploymentSource,
    target: &str,
    timestamp_ms: i64,
    components: serde_json::Value,
) -> DeploymentRequest {
    let document = serde_json::json!({
        "deploymentId": id,
        "configurationArn":
            format!("arn:aws:greengrass:us-east-1:123456789012:configuration:{target}:1"),
        "creationTimestamp": timestamp_ms,
        "components": components,
    });
    DeploymentRequest {
        id: id.to_owned(),
        source,
        document: RequestDocument::Fleet(document.to_string()),
    }
}
