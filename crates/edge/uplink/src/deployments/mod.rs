//! What the two listeners (jobs and named shadow) share: deployments in, statuses out.
//!
//! Both are machines without IO: [`Event`]s in, [`Effect`]s out, time as an argument. The
//! [`driver`] moves the messages and the timers.
//!
//! Invariants:
//! - A status given to a listener is persisted before the caller is told so, and stays until the
//!   cloud has accepted it or refused it for good, over disconnects and restarts.
//! - An execution or configuration is handed to the deployer once; the deployer may get it again
//!   after a restart, and knows ids it works on.

mod driver;
mod outbox;

pub use driver::{ReportError, StatusReporter, Transport, start};
pub(crate) use outbox::{Order, Outbox, Stage};

use serde::{Deserialize, Serialize};
use serde_json::Value;
pub use sward_deployment::{DeploymentSource, DeploymentStatus, DetailedStatus};

/// A deployment that the cloud asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct CloudDeployment {
    /// The job id, or for the shadow the configuration ARN. Statuses come back under it.
    pub id: String,
    /// Jobs or shadow.
    pub source: DeploymentSource,
    /// The device document as sent; not checked here. An unreadable one is to be answered with
    /// FAILED like any other deployment that fails.
    pub document: Value,
}

/// Takes deployments from the listeners. Must not wait: hand over to a queue.
pub trait DeploymentSink: Send + Sync {
    /// A new deployment. One whose id is queued or running already is to be ignored.
    fn submit(&self, deployment: CloudDeployment);
    /// The cloud takes a deployment back.
    fn cancel(&self, source: DeploymentSource, id: &str);
}

/// How a deployment stands, from the deployer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusUpdate {
    /// The [`CloudDeployment::id`], or a local deployment's id.
    pub id: String,
    pub source: DeploymentSource,
    /// `deploymentId` of the document.
    pub deployment_id: String,
    /// `configurationArn` of the document; `None` for local deployments.
    pub configuration_arn: Option<String>,
    pub status: DeploymentStatus,
    /// Absent while in progress and when canceled.
    pub detailed: Option<DetailedStatus>,
    /// Why it failed, the whole chain in one text.
    pub failure_cause: Option<String>,
    /// Error codes, outermost first.
    pub error_stack: Option<Vec<String>>,
    /// Whose fault it was.
    pub error_types: Option<Vec<String>>,
}

/// Keeps what was not delivered yet, so that a restarted core still delivers it. Must not wait.
pub trait StatusStore: Send + Sync {
    /// What a run before did not deliver, for this listener's constructor.
    fn load(&self, source: DeploymentSource) -> Vec<StatusUpdate>;
    /// Replaces what is kept. What is pending when this returns is given again by
    /// [`StatusStore::load`] after a crash at any later moment.
    fn save(
        &self,
        source: DeploymentSource,
        pending: &[StatusUpdate],
    ) -> Result<(), StatusStoreError>;
    /// The end of a deployment needs no telling any more: the cloud has it, refuses it for good,
    /// or took the deployment back itself.
    fn delivered(&self, source: DeploymentSource, id: &str) {
        let _ = (source, id);
    }
}

/// The store could not save.
#[derive(Debug, thiserror::Error)]
#[error("deployment statuses cannot be saved: {reason}")]
pub struct StatusStoreError {
    pub reason: String,
}

impl sward_diagnosis::Diagnose for StatusStoreError {
    fn kind(&self) -> sward_diagnosis::Kind {
        sward_diagnosis::Kind::Device
    }
    fn code(&self) -> &'static str {
        "status-store-failed"
    }
}

/// What happens to a listener.
#[derive(Clone, Debug)]
pub enum Event<'e> {
    /// Before `Connected`: the broker has forgotten the subscriptions. They are made again before
    /// anything is asked, so that no answer is lost.
    SessionLost,
    /// The connection stands; subscriptions made before are in force.
    Connected,
    /// It is gone; what was not answered has to be said again.
    Disconnected,
    /// The broker granted a subscription.
    Subscribed(&'e str),
    /// It did not.
    SubscribeFailed(&'e str),
    /// A message on a subscribed topic.
    Message { topic: &'e str, payload: &'e [u8] },
    /// A message for this topic could not be taken for sending: the spool is full.
    NotTaken(&'e str),
    /// From the deployer.
    Status(StatusUpdate),
    /// The time of [`Machine::deadline`] has come.
    Tick,
}

/// What a listener wants done, in this order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Subscribe at QoS 1 and report [`Event::Subscribed`] or [`Event::SubscribeFailed`].
    Subscribe(String),
    /// Unsubscribe.
    Unsubscribe(String),
    /// Publish at QoS 1; reported back only as [`Event::NotTaken`].
    Publish { topic: String, payload: Value },
    /// Save [`Machine::pending`] now.
    Persist,
    /// Hand to the deployer.
    Submit(CloudDeployment),
    /// Tell the deployer.
    Cancel(String),
    /// The cloud has this status now (or refused it for good).
    Delivered {
        id: String,
        status: DeploymentStatus,
        refused: Option<String>,
    },
}

/// A listener without IO.
pub trait Machine: Send {
    /// Which of the two it is.
    fn source(&self) -> DeploymentSource;
    /// Takes an event (`now_ms`: a clock that never goes back) and says what to do.
    fn handle(&mut self, event: Event<'_>, now_ms: u64) -> Vec<Effect>;
    /// When it wants an [`Event::Tick`], if at all.
    fn deadline(&self) -> Option<u64>;
    /// The statuses that are not delivered yet.
    fn pending(&self) -> Vec<StatusUpdate>;
}

/// How long an answer of the cloud may take.
pub(crate) const ANSWER_MS: u64 = 30_000;
/// How long after a refused subscription it is tried again.
pub(crate) const RESUBSCRIBE_MS: u64 = 120_000;

/// The question "what is there for me", asked until it is answered.
#[derive(Debug, Default)]
pub(crate) struct Question {
    /// When to ask again.
    again_at: Option<u64>,
    failures: u32,
}

impl Question {
    pub(crate) fn asked(&mut self, now_ms: u64) {
        self.again_at = Some(now_ms + ANSWER_MS);
    }

    pub(crate) fn answered(&mut self) {
        *self = Question::default();
    }

    pub(crate) fn refused(&mut self, now_ms: u64) {
        self.failures = self.failures.saturating_add(1);
        self.again_at = Some(now_ms + backoff(self.failures));
    }

    pub(crate) fn forget(&mut self) {
        self.again_at = None;
    }

    pub(crate) fn is_due(&self, now_ms: u64) -> bool {
        self.again_at.is_some_and(|at| at <= now_ms)
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        self.again_at
    }
}

/// 5 s, doubled with each failure, at most 2 min.
pub(crate) fn backoff(failures: u32) -> u64 {
    5_000u64
        .saturating_mul(1 << failures.saturating_sub(1).min(10))
        .min(120_000)
}

pub(crate) fn earliest(times: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    times.into_iter().flatten().min()
}

/// A listener's lasting subscriptions.
#[derive(Debug)]
pub(crate) struct Subscriptions {
    filters: Vec<(String, Granted)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Granted {
    No,
    Asked,
    Yes,
    /// Refused; try again then.
    Later(u64),
}

impl Subscriptions {
    pub(crate) fn new(filters: impl IntoIterator<Item = String>) -> Self {
        let filters = filters.into_iter();
        Subscriptions {
            filters: filters.map(|filter| (filter, Granted::No)).collect(),
        }
    }

    pub(crate) fn complete(&self) -> bool {
        self.filters.iter().all(|(_, state)| *state == Granted::Yes)
    }

    /// Asks for what is missing and due.
    pub(crate) fn ask(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        for (filter, state) in &mut self.filters {
            let due = match *state {
                Granted::No => true,
                Granted::Later(at) => at <= now_ms,
                Granted::Asked | Granted::Yes => false,
            };
            if due {
                *state = Granted::Asked;
                effects.push(Effect::Subscribe(filter.clone()));
            }
        }
    }

    /// Nothing is in force any more.
    pub(crate) fn lost(&mut self) {
        for (_, state) in &mut self.filters {
            *state = Granted::No;
        }
    }

    /// What was asked on a lost connection has to be asked again.
    pub(crate) fn disconnected(&mut self) {
        for (_, state) in &mut self.filters {
            if *state != Granted::Yes {
                *state = Granted::No;
            }
        }
    }

    /// Notes an answer; whether the filter is one of these.
    pub(crate) fn answer(&mut self, filter: &str, granted: bool, now_ms: u64) -> bool {
        let Some((_, state)) = self.filters.iter_mut().find(|(known, _)| known == filter) else {
            return false;
        };
        *state = if granted {
            Granted::Yes
        } else {
            Granted::Later(now_ms + RESUBSCRIBE_MS)
        };
        true
    }

    pub(crate) fn deadline(&self) -> Option<u64> {
        earliest(self.filters.iter().map(|(_, state)| match state {
            Granted::Later(at) => Some(*at),
            _ => None,
        }))
    }
}
