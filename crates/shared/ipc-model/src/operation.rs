//! What an operation is, and the list of all that the public model names.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The namespace that precedes every shape and operation name on the wire.
pub const NAMESPACE: &str = "aws.greengrass#";

/// One operation of the service: its names on the wire and its shapes.
pub trait Operation {
    /// The `operation` header, such as `aws.greengrass#PublishToTopic`.
    const NAME: &'static str;
    /// The `service-model-type` of the request.
    const REQUEST_TYPE: &'static str;
    /// The `service-model-type` of the response; clients compare it exactly.
    const RESPONSE_TYPE: &'static str;
    /// The request's payload.
    type Request: Serialize + DeserializeOwned;
    /// The response's payload.
    type Response: Serialize + DeserializeOwned;
}

/// An operation whose stream stays open after the response and carries events.
pub trait StreamingOperation: Operation {
    /// The `service-model-type` of every event, the name of the stream's union.
    const EVENT_TYPE: &'static str;
    /// One event.
    type Event: Serialize + DeserializeOwned;
}

/// A structure without members, `{}` on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

macro_rules! operation {
    ($(#[$doc:meta])* $name:ident($request:ty) -> $response:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub struct $name;
        impl $crate::Operation for $name {
            const NAME: &'static str = concat!("aws.greengrass#", stringify!($name));
            const REQUEST_TYPE: &'static str =
                concat!("aws.greengrass#", stringify!($name), "Request");
            const RESPONSE_TYPE: &'static str =
                concat!("aws.greengrass#", stringify!($name), "Response");
            type Request = $request;
            type Response = $response;
        }
    };
    ($(#[$doc:meta])* $name:ident($request:ty) -> $response:ty, stream $event:ident) => {
        $crate::operation::operation!($(#[$doc])* $name($request) -> $response);
        impl $crate::StreamingOperation for $name {
            const EVENT_TYPE: &'static str = concat!("aws.greengrass#", stringify!($event));
            type Event = $event;
        }
    };
}
pub(crate) use operation;

/// The part of the service that answers an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OperationArea {
    PubSub,
    IotCore,
    Configuration,
    Lifecycle,
    /// Operations of the component `aws.greengrass.Cli`.
    Cli,
    Authorization,
    Secrets,
    Shadows,
    ClientDevices,
    Metrics,
}

/// Every operation of the public model, without namespace, with its area.
const OPERATIONS: [(&str, OperationArea); 34] = [
    ("PublishToTopic", OperationArea::PubSub),
    ("SubscribeToTopic", OperationArea::PubSub),
    ("PublishToIoTCore", OperationArea::IotCore),
    ("SubscribeToIoTCore", OperationArea::IotCore),
    ("GetConfiguration", OperationArea::Configuration),
    ("UpdateConfiguration", OperationArea::Configuration),
    (
        "SubscribeToConfigurationUpdate",
        OperationArea::Configuration,
    ),
    (
        "SubscribeToValidateConfigurationUpdates",
        OperationArea::Configuration,
    ),
    (
        "SendConfigurationValidityReport",
        OperationArea::Configuration,
    ),
    ("UpdateState", OperationArea::Lifecycle),
    ("SubscribeToComponentUpdates", OperationArea::Lifecycle),
    ("DeferComponentUpdate", OperationArea::Lifecycle),
    ("PauseComponent", OperationArea::Lifecycle),
    ("ResumeComponent", OperationArea::Lifecycle),
    ("GetComponentDetails", OperationArea::Cli),
    ("ListComponents", OperationArea::Cli),
    ("RestartComponent", OperationArea::Cli),
    ("StopComponent", OperationArea::Cli),
    ("CreateLocalDeployment", OperationArea::Cli),
    ("CancelLocalDeployment", OperationArea::Cli),
    ("GetLocalDeploymentStatus", OperationArea::Cli),
    ("ListLocalDeployments", OperationArea::Cli),
    ("CreateDebugPassword", OperationArea::Cli),
    ("ValidateAuthorizationToken", OperationArea::Authorization),
    ("GetSecretValue", OperationArea::Secrets),
    ("GetThingShadow", OperationArea::Shadows),
    ("UpdateThingShadow", OperationArea::Shadows),
    ("DeleteThingShadow", OperationArea::Shadows),
    ("ListNamedShadowsForThing", OperationArea::Shadows),
    (
        "SubscribeToCertificateUpdates",
        OperationArea::ClientDevices,
    ),
    ("VerifyClientDeviceIdentity", OperationArea::ClientDevices),
    ("GetClientDeviceAuthToken", OperationArea::ClientDevices),
    ("AuthorizeClientDeviceAction", OperationArea::ClientDevices),
    ("PutComponentMetric", OperationArea::Metrics),
];

/// The names of all operations of the public model, without namespace.
pub fn operation_names() -> impl Iterator<Item = &'static str> {
    OPERATIONS.iter().map(|(name, _)| *name)
}

/// The area of an operation given by its wire name, `None` where the model does not name it.
#[must_use]
pub fn area_of(wire_name: &str) -> Option<OperationArea> {
    let short = wire_name.strip_prefix(NAMESPACE)?;
    OPERATIONS
        .iter()
        .find(|(name, _)| *name == short)
        .map(|(_, area)| *area)
}
