//! What the server needs of the rest of the core, as small traits that the wiring implements.
//!
//! A port says facts and does acts; it knows nothing of frames, streams or authorization. Calls
//! that are answered from memory are plain functions, because they run on the path of every
//! message; calls that wait for something return a [`PortFuture`]. A call that fails answers an
//! [`IpcError`], which the client sees as it is. A function must not block.

use serde_json::{Map, Value};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use sward_ipc_model::{
    ComponentDetails, ComponentUpdatePolicyEvents, ConfigurationValidityReport,
    CreateLocalDeploymentRequest, IpcError, LocalDeployment, MqttMessage, PublishToIoTCoreRequest,
    Qos, ReportedLifecycleState, ValidateConfigurationUpdateEvent,
};
use tokio::sync::mpsc;

/// The answer of a port that has to wait.
pub type PortFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, IpcError>> + Send + 'a>>;

/// All ports; the wiring makes one and gives it to [`crate::IpcServer::start`].
#[derive(Clone)]
pub struct Ports {
    pub configuration: Arc<dyn ConfigurationPort>,
    pub lifecycle: Arc<dyn LifecyclePort>,
    pub components: Arc<dyn ComponentsPort>,
    pub deployments: Arc<dyn DeploymentsPort>,
    pub iot_core: Arc<dyn IotCorePort>,
}

/// What became of a configuration update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UpdateOutcome {
    /// Merged and durable.
    Applied,
    /// The container has been changed later than the request's timestamp.
    Newer,
}

/// The components' configurations (`services.<component>.configuration`). Keys match ignoring
/// case.
pub trait ConfigurationPort: Send + Sync + 'static {
    /// The value at `key_path` below the component's configuration; an empty path is the whole
    /// configuration. `None` where component, configuration or key is missing. The server wraps
    /// leaves.
    fn get(&self, component: &str, key_path: &[String]) -> Option<Value>;

    /// Merges `value` into the container at `key_path` (a leaf there is replaced, missing
    /// containers are made), each leaf only where `timestamp_ms` is not older than the stored one.
    fn update<'a>(
        &'a self,
        component: &'a str,
        key_path: Vec<String>,
        value: Map<String, Value>,
        timestamp_ms: u64,
    ) -> PortFuture<'a, UpdateOutcome>;

    /// The full key paths (below the configuration) of nodes that change at or below `key_path`,
    /// from now on; `None` where the path does not exist. Dropping the receiver ends it.
    fn watch(&self, component: &str, key_path: &[String]) -> Option<mpsc::Receiver<Vec<String>>>;

    /// Questions whether a proposed configuration suits the component. `None` where this
    /// subscription is never asked, because an earlier one of the component is open.
    fn validations(
        &self,
        component: &str,
    ) -> Option<mpsc::Receiver<ValidateConfigurationUpdateEvent>>;

    /// The answer to such a question; an error where none with this deployment is open.
    fn report_validity(
        &self,
        component: &str,
        report: ConfigurationValidityReport,
    ) -> Result<(), IpcError>;
}

/// What components say about themselves.
pub trait LifecyclePort: Send + Sync + 'static {
    /// `UpdateState` of the caller.
    fn report_state<'a>(
        &'a self,
        component: &'a str,
        state: ReportedLifecycleState,
    ) -> PortFuture<'a, ()>;

    /// Notices before and after deployments.
    fn component_updates(&self, component: &str) -> mpsc::Receiver<ComponentUpdatePolicyEvents>;

    /// The answer to a notice: ask again after `recheck_after_ms`, or go ahead where it is 0.
    fn defer_update<'a>(
        &'a self,
        component: &'a str,
        deployment_id: &'a str,
        message: Option<&'a str>,
        recheck_after_ms: u64,
    ) -> PortFuture<'a, ()>;
}

/// The components of the device. `main` is not one of them.
pub trait ComponentsPort: Send + Sync + 'static {
    /// All components, those of the nucleus included.
    fn list(&self) -> Vec<ComponentDetails>;

    /// One of them, `None` where there is none of that name.
    fn details(&self, component: &str) -> Option<ComponentDetails>;

    /// Asks for a restart. `Ok(false)` where the component cannot be restarted now. The name is
    /// known to exist.
    fn restart<'a>(&'a self, component: &'a str) -> PortFuture<'a, bool>;

    /// Asks for a stop. The name is known to exist.
    fn stop<'a>(&'a self, component: &'a str) -> PortFuture<'a, bool>;

    /// Freezes the processes of a running component.
    fn pause<'a>(&'a self, component: &'a str) -> PortFuture<'a, ()> {
        let _ = component;
        Box::pin(async {
            Err(IpcError::service(
                "pausing components is not supported here",
            ))
        })
    }

    /// Thaws the processes of a paused component.
    fn resume<'a>(&'a self, component: &'a str) -> PortFuture<'a, ()> {
        let _ = component;
        Box::pin(async {
            Err(IpcError::service(
                "resuming components is not supported here",
            ))
        })
    }
}

/// What became of a request to cancel a local deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelOutcome {
    /// It will stop, or never start.
    Requested,
    /// It had ended before.
    AlreadyFinished,
    /// There is none of that id.
    Unknown,
}

/// Local deployments.
pub trait DeploymentsPort: Send + Sync + 'static {
    /// Queues one and answers its id (a UUID). Nothing but shapes and the
    /// group's name is checked: a bad version or folder fails the deployment.
    fn create(&self, request: CreateLocalDeploymentRequest) -> PortFuture<'_, String>;

    /// One of them, `None` where the id is unknown.
    fn status(&self, deployment_id: &str) -> Option<LocalDeployment>;

    /// All that are remembered, oldest first.
    fn list(&self) -> Vec<LocalDeployment>;

    /// Asks one to stop.
    fn cancel<'a>(&'a self, deployment_id: &'a str) -> PortFuture<'a, CancelOutcome>;
}

/// Messages from the broker for one filter; dropping it ends the subscription.
pub struct IotCoreSubscription {
    /// Messages in the order received. The port drops messages when it is full.
    pub messages: mpsc::Receiver<MqttMessage>,
    /// Whatever must live as long as the subscription; dropped with it.
    pub guard: Option<Box<dyn Send>>,
}

/// The device's connection to AWS IoT Core.
pub trait IotCorePort: Send + Sync + 'static {
    /// Hands a message to the spooler; done when it is accepted there, not when the broker
    /// acknowledged it. `payload` is present and the topic valid; size is the port's to check.
    fn publish(&self, request: PublishToIoTCoreRequest) -> PortFuture<'_, ()>;

    /// Subscribes; done when the broker answered.
    fn subscribe<'a>(&'a self, filter: &'a str, qos: Qos) -> PortFuture<'a, IotCoreSubscription>;
}
