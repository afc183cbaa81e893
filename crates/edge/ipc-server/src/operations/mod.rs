//! The operations, one file each, and the table by which a name finds its own.

mod cancel_local_deployment;
mod create_local_deployment;
mod defer_component_update;
mod get_component_details;
mod get_configuration;
mod get_local_deployment_status;
mod list_components;
mod list_local_deployments;
mod pause_component;
mod publish_payload;
pub(crate) mod publish_to_iot_core;
pub(crate) mod publish_to_topic;
mod restart_component;
mod resume_component;
mod send_configuration_validity_report;
mod stop_component;
mod subscribe_to_component_updates;
mod subscribe_to_configuration_update;
mod subscribe_to_iot_core;
mod subscribe_to_topic;
mod subscribe_to_validate_configuration_updates;
mod update_configuration;
mod update_state;
mod validate_authorization_token;

pub(crate) use publish_to_topic::RouteCache;

use crate::access::Service;
use crate::connection::EventSink;
use crate::server::Shared;
use crate::tokens::Identity;
use futures_util::future::BoxFuture;
use std::collections::HashMap;
use std::sync::{Arc, LazyLock};
use sward_event_stream::{FLAG_TERMINATE_STREAM, MessageTemplate, MessageType};
use sward_ipc_model as model;
use sward_ipc_model::{IpcError, ReceiveMode, StreamingOperation};
use sward_policy::topic::Invalid;

/// What an operation knows of its caller and the rest of the core.
pub(crate) struct Call<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    pub(crate) identity: &'a Identity,
}

impl Call<'_> {
    /// Whether the caller may do this; see [`crate::AccessPolicies`].
    fn authorize(&self, service: Service, operation: &str, resource: &str) -> Result<(), IpcError> {
        self.shared
            .policies
            .check(self.identity, service, operation, resource)
    }

    /// The component that calls, where it is one.
    fn component(&self) -> Result<&Arc<str>, IpcError> {
        let caller = self.caller();
        if self.identity.is_cli() {
            return Err(IpcError::not_found(
                format!("Component with name {caller} not found in Greengrass"),
                Some("Component"),
                Some(caller),
            ));
        }
        Ok(caller)
    }

    /// The name of the component that calls; for CLI clients the name of that identity, which
    /// is no component's.
    fn caller(&self) -> &Arc<str> {
        self.identity.name()
    }
}

/// A response's payload and what follows on the stream.
pub(crate) struct Answer {
    pub(crate) payload: Vec<u8>,
    pub(crate) events: Events,
}

/// The events of a stream that stays open.
pub(crate) enum Events {
    /// The stream ends with the response.
    None,
    /// Local messages, put into the outbox by their publishers.
    Local {
        filter: String,
        receive_mode: ReceiveMode,
    },
    /// A future that sends events until it has no more.
    Source(Box<dyn FnOnce(EventSink) -> BoxFuture<'static, ()> + Send>),
}

impl Events {
    fn source<F>(source: impl FnOnce(EventSink) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Events::Source(Box::new(|sink| Box::pin(source(sink))))
    }
}

/// An operation's end.
pub(crate) type Reply = Result<Answer, IpcError>;

/// An operation's end, now or later.
pub(crate) enum Handled {
    Done(Reply),
    Waiting(BoxFuture<'static, Reply>),
}

/// The answer of an operation that ends with its response.
fn reply<O: model::Operation>(result: Result<O::Response, IpcError>) -> Reply {
    stream::<O>(result.map(|response| (response, Events::None)))
}

/// The answer of an operation whose stream stays open.
fn stream<O: model::Operation>(result: Result<(O::Response, Events), IpcError>) -> Reply {
    let (response, events) = result?;
    let payload = serde_json::to_vec(&response)
        .map_err(|error| IpcError::service(format!("The answer cannot be written: {error}")))?;
    Ok(Answer { payload, events })
}

fn now<O: model::Operation>(result: Result<O::Response, IpcError>) -> Handled {
    Handled::Done(reply::<O>(result))
}

fn later<O: model::Operation>(
    future: impl Future<Output = Result<O::Response, IpcError>> + Send + 'static,
) -> Handled
where
    O::Response: Send,
{
    Handled::Waiting(Box::pin(async move { reply::<O>(future.await) }))
}

/// Why IoT Core would not take a topic or filter.
fn invalid_topic(invalid: Invalid) -> IpcError {
    IpcError::invalid(match invalid {
        Invalid::Empty => "The topic is blank",
        Invalid::Wildcard => "The topic of a message must not contain a wildcard",
        Invalid::TooManySlashes => "The topic has more than 7 slashes",
        Invalid::TooLong => "The topic is longer than 256 characters",
        Invalid::TooLongReserved => "The reserved topic is longer than 512 characters",
        Invalid::Local | Invalid::NoLevels => "The topic is not valid",
    })
}

fn refused(error: IpcError) -> Handled {
    Handled::Done(Err(error))
}

/// One operation of the table.
pub(crate) trait Handler: model::Operation {
    /// Answers one request.
    fn handle(call: &Call<'_>, request: Self::Request) -> Handled;
}

type Run = fn(&Call<'_>, &[u8]) -> Handled;

/// A row of the table.
pub(crate) struct Operation {
    run: Run,
    response: MessageTemplate,
    opening: MessageTemplate,
    event: Option<MessageTemplate>,
}

impl Operation {
    fn of<H: Handler>() -> (&'static str, Self) {
        let message = MessageType::ApplicationMessage;
        let operation = Operation {
            run: run::<H>,
            response: MessageTemplate::json(message, FLAG_TERMINATE_STREAM, H::RESPONSE_TYPE),
            opening: MessageTemplate::json(message, 0, H::RESPONSE_TYPE),
            event: None,
        };
        (H::NAME, operation)
    }

    fn streaming<H: Handler + StreamingOperation>() -> (&'static str, Self) {
        let (name, operation) = Self::of::<H>();
        let event = MessageTemplate::json(MessageType::ApplicationMessage, 0, H::EVENT_TYPE);
        let operation = Operation {
            event: Some(event),
            ..operation
        };
        (name, operation)
    }

    /// Runs it for one request.
    pub(crate) fn run(&self, call: &Call<'_>, payload: &[u8]) -> Handled {
        (self.run)(call, payload)
    }

    /// A response that ends its stream.
    pub(crate) fn response(&self) -> &MessageTemplate {
        &self.response
    }

    /// A response after which events follow.
    pub(crate) fn opening(&self) -> &MessageTemplate {
        &self.opening
    }

    /// Whether events may follow the response.
    pub(crate) fn is_streaming(&self) -> bool {
        self.event.is_some()
    }

    /// An event. Operations without events have the opening's, which nobody sends.
    pub(crate) fn event(&self) -> &MessageTemplate {
        self.event.as_ref().unwrap_or(&self.opening)
    }
}

fn run<H: Handler>(call: &Call<'_>, payload: &[u8]) -> Handled {
    let payload = if payload.is_empty() { b"{}" } else { payload };
    match serde_json::from_slice(payload) {
        Ok(request) => H::handle(call, request),
        Err(error) => refused(IpcError::invalid(format!(
            "The request is not valid: {error}"
        ))),
    }
}

static TABLE: LazyLock<HashMap<&'static str, Operation>> = LazyLock::new(|| {
    HashMap::from([
        Operation::of::<model::PublishToIoTCore>(),
        Operation::streaming::<model::SubscribeToIoTCore>(),
        Operation::streaming::<model::SubscribeToTopic>(),
        Operation::of::<model::GetConfiguration>(),
        Operation::of::<model::UpdateConfiguration>(),
        Operation::streaming::<model::SubscribeToConfigurationUpdate>(),
        Operation::streaming::<model::SubscribeToValidateConfigurationUpdates>(),
        Operation::of::<model::SendConfigurationValidityReport>(),
        Operation::of::<model::UpdateState>(),
        Operation::streaming::<model::SubscribeToComponentUpdates>(),
        Operation::of::<model::DeferComponentUpdate>(),
        Operation::of::<model::PauseComponent>(),
        Operation::of::<model::ResumeComponent>(),
        Operation::of::<model::ListComponents>(),
        Operation::of::<model::GetComponentDetails>(),
        Operation::of::<model::RestartComponent>(),
        Operation::of::<model::StopComponent>(),
        Operation::of::<model::CreateLocalDeployment>(),
        Operation::of::<model::CancelLocalDeployment>(),
        Operation::of::<model::GetLocalDeploymentStatus>(),
        Operation::of::<model::ListLocalDeployments>(),
        Operation::of::<model::ValidateAuthorizationToken>(),
    ])
});

/// All operations. The one on the path of every message is not in the table.
pub(crate) struct Operations {
    table: &'static HashMap<&'static str, Operation>,
    publish_to_topic: MessageTemplate,
}

impl Operations {
    pub(crate) fn new() -> Self {
        Operations {
            table: &TABLE,
            publish_to_topic: MessageTemplate::json(
                MessageType::ApplicationMessage,
                FLAG_TERMINATE_STREAM,
                <model::PublishToTopic as model::Operation>::RESPONSE_TYPE,
            ),
        }
    }

    /// The response of PublishToTopic.
    pub(crate) fn publish_to_topic(&self) -> &MessageTemplate {
        &self.publish_to_topic
    }

    /// The operation of that wire name.
    pub(crate) fn find(&self, name: &str) -> Result<&'static Operation, IpcError> {
        self.table.get(name).ok_or_else(|| {
            IpcError::service(match model::area_of(name) {
                Some(_) => format!("Operation {name} is not supported by Greengrass"),
                None => format!("Operation {name} does not exist"),
            })
        })
    }
}
