//! Publishes to `$aws/…`: which service they are for, and what it answers.

use crate::Control;
use crate::fault::{Fault, Outcome};
use crate::scope::Scope;
use crate::{greengrass, jobs, shadows};
use serde_json::Value as Json;
use sward_diagnosis::{Diagnose, Kind, Place, Report};
use thiserror::Error;

/// A message for the connection that asked. It goes to that connection even where it does not
/// subscribe to the topic (yet): the Java nucleus asks for its next job before it has subscribed
/// again after a lost session (golden/wire/java-reconnect). Other subscribers get it as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub topic: String,
    /// JSON.
    pub payload: String,
}

impl Reply {
    pub(crate) fn json(topic: String, payload: &Json) -> Self {
        Reply {
            topic,
            payload: payload.to_string(),
        }
    }
}

/// Why a publish to a reserved topic is not taken.
#[derive(Clone, Debug, Error)]
pub enum ReservedError {
    /// No service listens there; the broker closes the connection (cloud.md §5).
    #[error("no service listens to topic {topic}")]
    UnknownTopic { topic: String },
    /// The service cannot work now; the publish must not be acknowledged.
    #[error("the service behind topic {topic} cannot work now")]
    Unavailable { topic: String, because: Report },
}

impl Diagnose for ReservedError {
    fn kind(&self) -> Kind {
        match self {
            ReservedError::UnknownTopic { .. } => Kind::Invalid,
            ReservedError::Unavailable { .. } => Kind::Unavailable,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            ReservedError::UnknownTopic { .. } => "topic-reserved",
            ReservedError::Unavailable { .. } => "service-unavailable",
        }
    }
    fn place(&self) -> Option<Place> {
        let (ReservedError::UnknownTopic { topic } | ReservedError::Unavailable { topic, .. }) =
            self;
        Some(Place::Topic {
            topic: topic.clone(),
        })
    }
}

/// Whose a topic is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Service<'t> {
    Shadow,
    Jobs,
    /// The thing whose status it is.
    FleetStatus(&'t str),
    /// Taken and not kept: telemetry and device defender.
    Ignored,
}

fn service(topic: &str) -> Option<Service<'_>> {
    if shadows::is_request(topic) {
        return Some(Service::Shadow);
    }
    if jobs::is_request(topic) {
        return Some(Service::Jobs);
    }
    let (thing, rest) = topic.strip_prefix("$aws/things/")?.split_once('/')?;
    match rest {
        _ if thing.is_empty() => None,
        "greengrassv2/health/json" => Some(Service::FleetStatus(thing)),
        "greengrass/health/json" => Some(Service::Ignored),
        rest if rest.starts_with("defender/") => Some(Service::Ignored),
        _ => None,
    }
}

impl Control {
    /// Whether a publish to this topic is for a service: those topics never reach subscribers
    /// themselves.
    #[must_use]
    pub fn is_reserved_request(topic: &str) -> bool {
        service(topic).is_some()
    }

    /// Hands a publish of an authorized client to the service behind its topic. Returns when what
    /// the service keeps of it is durable; further messages follow through the outbox.
    pub async fn reserved_publish(
        &self,
        scope: &Scope,
        topic: &str,
        payload: &[u8],
    ) -> Result<Vec<Reply>, ReservedError> {
        let Some(service) = service(topic) else {
            return Err(ReservedError::UnknownTopic {
                topic: topic.to_owned(),
            });
        };
        self.serve(scope, service, topic, payload)
            .await
            .map_err(|fault| {
                tracing::warn!(topic, error = %fault.report, "reserved publish failed");
                ReservedError::Unavailable {
                    topic: topic.to_owned(),
                    because: fault.report,
                }
            })
    }

    async fn serve(
        &self,
        scope: &Scope,
        service: Service<'_>,
        topic: &str,
        payload: &[u8],
    ) -> Outcome<Vec<Reply>> {
        match service {
            Service::Shadow => shadows::publish(self, scope, topic, payload).await,
            Service::Jobs => jobs::publish(self, scope, topic, payload).await,
            Service::FleetStatus(thing) => {
                match greengrass::fleet_status(self, scope, thing, payload).await {
                    // There is no answer that could tell the device; sending it again cannot help.
                    Err(fault) if is_permanent(&fault) => {
                        tracing::warn!(
                            thing_name = thing,
                            error = %fault.report,
                            "fleet status refused"
                        );
                    }
                    other => other?,
                }
                Ok(Vec::new())
            }
            Service::Ignored => Ok(Vec::new()),
        }
    }
}

/// Whether the same message would be refused again.
pub(crate) fn is_permanent(fault: &Fault) -> bool {
    !matches!(
        fault.report.kind,
        Kind::Internal | Kind::Unavailable | Kind::Device | Kind::Timeout
    )
}
