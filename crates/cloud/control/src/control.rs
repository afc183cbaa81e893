//! The handle: opening, dispatch, and the shared state of all services.

use crate::fault::{Dialect, Outcome};
use crate::iot::{Authority, KeyPool};
use crate::ports::{ArtifactReader, Clock, Entropy, Publisher, SessionIssuer};
use crate::request::Call;
use crate::routes;
use crate::{greengrass, iot, jobs, outbox, schema, shadows};
use std::sync::Arc;
use std::time::Duration;
use sward_aws_wire::api::{ApiError, ApiRequest, ApiResponse, Caller};
use sward_diagnosis::{Diagnose, Kind};
use sward_model::{AccountId, Region};
use sward_store::{Store, StoreError, Tx};
use sward_task::Tasks;
use thiserror::Error;
use tokio::sync::watch;

/// How often rollouts and time-outs are looked at.
const TICK: Duration = Duration::from_secs(5);

/// What the control plane is told at start.
#[derive(Clone, Debug)]
pub struct ControlOptions {
    /// The account and region of everything that has no other.
    pub account: AccountId,
    pub region: Region,
    /// The bare host names that `DescribeEndpoint` answers.
    pub endpoints: EndpointHosts,
    /// RSA keys kept ready for `CreateKeysAndCertificate`; 0 makes each when it is asked for.
    pub warm_keys: usize,
}

/// The host of each endpoint type, without scheme and port.
#[derive(Clone, Debug)]
pub struct EndpointHosts {
    pub data: String,
    pub credentials: String,
    pub jobs: String,
}

impl Default for ControlOptions {
    fn default() -> Self {
        let host = "localhost".to_owned();
        ControlOptions {
            account: AccountId::default(),
            region: Region::default(),
            endpoints: EndpointHosts {
                data: host.clone(),
                credentials: host.clone(),
                jobs: host,
            },
            warm_keys: 2,
        }
    }
}

/// The outside world.
#[derive(Clone)]
pub struct Ports {
    pub artifacts: Arc<dyn ArtifactReader>,
    pub publisher: Arc<dyn Publisher>,
    pub sessions: Arc<dyn SessionIssuer>,
    pub clock: Arc<dyn Clock>,
    pub entropy: Arc<dyn Entropy>,
}

/// Why the control plane cannot start.
#[derive(Debug, Error)]
pub enum ControlError {
    #[error("cannot prepare the control plane's tables")]
    Store(#[from] StoreError),
    #[error("cannot make or read the certificate authority: {reason}")]
    Authority { reason: String },
}

impl Diagnose for ControlError {
    fn kind(&self) -> Kind {
        match self {
            ControlError::Store(error) => error.kind(),
            ControlError::Authority { .. } => Kind::Internal,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            ControlError::Store(_) => "control-store",
            ControlError::Authority { .. } => "control-authority",
        }
    }
    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            ControlError::Store(error) => Some(error),
            ControlError::Authority { .. } => None,
        }
    }
}

/// What an IAM policy is asked before a call is let through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestedAction {
    /// Such as `greengrass:CreateDeployment`.
    pub action: String,
    /// The resource's ARN, or `*`.
    pub resource: String,
    /// A second action that must be allowed on the same resource (`iot:RetainPublish`).
    pub also: Option<&'static str>,
}

/// The control plane. Clones share one state.
#[derive(Clone)]
pub struct Control {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    options: ControlOptions,
    ports: Ports,
    authority: Authority,
    keys: KeyPool,
    /// Counts changes to certificates, policies and attachments.
    directory: watch::Sender<u64>,
}

impl std::fmt::Debug for Control {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Control").finish_non_exhaustive()
    }
}

impl Control {
    /// Migrates the tables and makes the certificate authority if there is none yet.
    pub async fn open(
        store: Store,
        options: ControlOptions,
        ports: Ports,
    ) -> Result<Self, ControlError> {
        store.migrate(&schema::migrations()).await?;
        let authority = Authority::load(&store, &options, &ports).await?;
        let keys = KeyPool::new(options.warm_keys, ports.entropy.clone());
        let (directory, _) = watch::channel(0);
        Ok(Control {
            inner: Arc::new(Inner {
                store,
                options,
                ports,
                authority,
                keys,
                directory,
            }),
        })
    }

    /// Starts the background work: outbox, rollouts and time-outs, warm keys.
    pub fn run(&self, tasks: &Tasks) {
        tasks.spawn_essential("control-outbox", outbox::run(self.clone(), tasks.token()));
        let control = self.clone();
        let stop = tasks.token();
        tasks.spawn_essential("control-jobs", async move {
            let mut tick = tokio::time::interval(TICK);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = tick.tick() => {}
                }
                if let Err(fault) = jobs::tick(&control).await {
                    tracing::warn!(error = %fault.report, "jobs could not be looked at");
                }
            }
        });
        let control = self.clone();
        let stop = tasks.token();
        tasks.spawn_essential(
            "control-keys",
            async move { control.keys().run(stop).await },
        );
    }

    /// Publishes what waits in the outbox and says whether it is empty now.
    pub async fn flush_outbox(&self) -> bool {
        outbox::flush(self).await
    }

    /// Looks at rollouts and time-outs once, as the background work does every few seconds.
    pub async fn tick(&self) -> Result<(), ApiError> {
        jobs::tick(self)
            .await
            .map_err(|fault| Dialect::Iot.error(fault))
    }

    /// Answers a verified call to one of the services `iot`, `greengrass`, `iotdata` and
    /// `iot-jobs-data`, named as in the credential scope.
    pub async fn call(
        &self,
        service: &str,
        caller: &Caller,
        request: ApiRequest,
    ) -> Result<ApiResponse, ApiError> {
        let dialect = dialect(service);
        self.dispatch(service, caller, &request)
            .await
            .map_err(|fault| dialect.error(fault))
    }

    async fn dispatch(
        &self,
        service: &str,
        caller: &Caller,
        request: &ApiRequest,
    ) -> Outcome<ApiResponse> {
        let call = Call::new(caller, request)?;
        match canonical(service) {
            "iot" => iot::call(self, &call).await,
            "greengrass" => greengrass::call(self, &call).await,
            "iotdata" => shadows::call(self, &call).await,
            "iot-jobs-data" => jobs::data_call(self, &call).await,
            _ => Err(call.unknown()),
        }
    }

    /// What an IAM policy must allow for this call; `None` when no operation has its path.
    #[must_use]
    pub fn action_of(
        &self,
        service: &str,
        caller: &Caller,
        request: &ApiRequest,
    ) -> Option<RequestedAction> {
        let call = Call::new(caller, request).ok()?;
        let (prefix, table) = match canonical(service) {
            "iot" => ("iot", iot::ROUTES),
            "greengrass" => ("greengrass", greengrass::ROUTES),
            "iotdata" => ("iot", shadows::ROUTES),
            "iot-jobs-data" => ("iotjobsdata", jobs::DATA_ROUTES),
            _ => return None,
        };
        let matched = routes::find(table, &call)?;
        // A flag that is no flag is refused by the operation itself.
        let retains = matched.name == "Publish" && call.flag("retain").unwrap_or(false);
        Some(RequestedAction {
            action: format!("{prefix}:{}", matched.name),
            resource: matched.resource,
            also: retains.then_some("iot:RetainPublish"),
        })
    }

    /// The certificate authority that signs servers and devices.
    #[must_use]
    pub fn authority(&self) -> &Authority {
        &self.inner.authority
    }

    /// Changes whenever a certificate, policy, attachment, thing or group changed: whoever keeps
    /// answers of [`Control::authenticate_certificate`] or [`Control::policies_for`] asks again.
    #[must_use]
    pub fn directory_changes(&self) -> watch::Receiver<u64> {
        self.inner.directory.subscribe()
    }

    pub(crate) fn directory_changed(&self) {
        self.inner
            .directory
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn store(&self) -> &Store {
        &self.inner.store
    }

    pub(crate) fn options(&self) -> &ControlOptions {
        &self.inner.options
    }

    pub(crate) fn ports(&self) -> &Ports {
        &self.inner.ports
    }

    pub(crate) fn keys(&self) -> &KeyPool {
        &self.inner.keys
    }

    pub(crate) fn now_ms(&self) -> i64 {
        self.inner.ports.clock.now_ms()
    }

    /// A random UUID (version 4).
    pub(crate) fn uuid(&self) -> String {
        let mut bytes = [0_u8; 16];
        self.inner.ports.entropy.fill(&mut bytes);
        bytes[6] = (bytes[6] & 0x0f) | 0x40;
        bytes[8] = (bytes[8] & 0x3f) | 0x80;
        let text = hex::encode(bytes);
        format!(
            "{}-{}-{}-{}-{}",
            &text[..8],
            &text[8..12],
            &text[12..16],
            &text[16..20],
            &text[20..]
        )
    }

    pub(crate) async fn read(&self) -> Outcome<Tx> {
        Ok(self.inner.store.read().await?)
    }

    pub(crate) async fn write(&self) -> Outcome<Tx> {
        Ok(self.inner.store.begin().await?)
    }
}

/// Older SDKs sign with other names (cloud.md §0).
fn canonical(service: &str) -> &str {
    match service {
        "execute-api" => "iot",
        "iotdevicegateway" => "iotdata",
        other => other,
    }
}

fn dialect(service: &str) -> Dialect {
    match canonical(service) {
        "greengrass" => Dialect::Greengrass,
        "iotdata" => Dialect::IotData,
        "iot-jobs-data" => Dialect::IotJobsData,
        _ => Dialect::Iot,
    }
}
