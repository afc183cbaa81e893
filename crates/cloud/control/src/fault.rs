//! A refused call inside the control plane, before a service gives it AWS's spelling.
//!
//! The services spell the same refusal differently (a missing resource of greengrass carries
//! `resourceId`, a bad member is `InvalidRequestException` here and `ValidationException`
//! there), so rules return a [`Fault`] and [`Dialect`] turns it into the wire's error.

use serde_json::{Map, Value, json};
use sward_aws_wire::api::ApiError;
use sward_diagnosis::{Diagnose, Kind, Place, Report};
use sward_store::StoreError;

/// What was refused, without the service's words for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Invalid,
    /// A path or method that no operation has.
    UnknownOperation,
    /// The body is not what its content type says.
    Unparsable,
    NotFound,
    AlreadyExists,
    Conflict,
    Denied,
    DeleteConflict,
    CertificateState,
    VersionConflict,
    VersionsLimit,
    InvalidStateTransition,
    TerminalState,
    MalformedPolicy,
    Limit,
    TooLarge,
    Unsupported,
    InProgress,
    Unavailable,
    Internal,
}

/// A refused call.
#[derive(Clone, Debug)]
pub struct Fault {
    pub refusal: Refusal,
    pub report: Report,
    /// Members that the service's model asks for besides the message.
    pub members: Map<String, Value>,
}

/// The result of every rule in this crate.
pub(crate) type Outcome<T> = Result<T, Fault>;

impl Fault {
    /// A refusal with its message.
    pub fn new(refusal: Refusal, message: impl Into<String>) -> Self {
        let (kind, code) = refusal.class();
        Fault {
            refusal,
            report: Report::new(kind, code, message),
            members: Map::new(),
        }
    }

    /// A member of the request that cannot be used.
    pub fn field(name: &str, message: impl Into<String>) -> Self {
        let message = message.into();
        let mut fault = Fault::new(Refusal::Invalid, message.clone());
        fault.report = fault.report.at(Place::field(name));
        fault
            .members
            .insert("reason".into(), json!("FIELD_VALIDATION_FAILED"));
        fault.members.insert(
            "fields".into(),
            json!([{ "name": name, "message": message }]),
        );
        fault
    }

    /// A resource that does not exist; `kind` is its `resourceType`.
    pub fn not_found(kind: &str, id: &str) -> Self {
        let words = kind.to_lowercase().replace('_', " ");
        let mut fault = Fault::new(Refusal::NotFound, format!("{words} {id} does not exist"));
        fault.members.insert("resourceId".into(), json!(id));
        fault.members.insert("resourceType".into(), json!(kind));
        fault
    }

    /// Something in the way of the change.
    pub fn conflict(kind: &str, id: &str, message: impl Into<String>) -> Self {
        let mut fault = Fault::new(Refusal::Conflict, message);
        fault.members.insert("resourceId".into(), json!(id));
        fault.members.insert("resourceType".into(), json!(kind));
        fault
    }

    /// A permission that the caller lacks.
    pub fn denied(action: &str, resource: &str) -> Self {
        let mut fault = Fault::new(
            Refusal::Denied,
            format!("no policy statement allows {action} on {resource}"),
        );
        fault.report = fault.report.at(Place::permission(action, resource));
        fault
    }

    /// Adds a modeled member.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.members.insert(name.to_owned(), value.into());
        self
    }

    /// Adds a next step for the reader.
    #[must_use]
    pub fn help(mut self, hint: impl Into<String>) -> Self {
        self.report = self.report.help(hint);
        self
    }

    /// A failure of a lower layer as a refusal.
    pub fn of(refusal: Refusal, error: &dyn Diagnose) -> Self {
        Fault {
            refusal,
            report: Report::of(error),
            members: Map::new(),
        }
    }
}

impl Refusal {
    fn class(self) -> (Kind, &'static str) {
        match self {
            Refusal::Invalid => (Kind::Invalid, "request-invalid"),
            Refusal::UnknownOperation => (Kind::Invalid, "operation-unknown"),
            Refusal::Unparsable => (Kind::Invalid, "body-unparsable"),
            Refusal::NotFound => (Kind::NotFound, "resource-not-found"),
            Refusal::AlreadyExists => (Kind::Conflict, "resource-exists"),
            Refusal::Conflict => (Kind::Conflict, "resource-conflict"),
            Refusal::Denied => (Kind::Denied, "access-denied"),
            Refusal::DeleteConflict => (Kind::Conflict, "resource-in-use"),
            Refusal::CertificateState => (Kind::Conflict, "certificate-state"),
            Refusal::VersionConflict => (Kind::Conflict, "version-conflict"),
            Refusal::VersionsLimit => (Kind::Limit, "versions-limit"),
            Refusal::InvalidStateTransition => (Kind::Conflict, "state-transition"),
            Refusal::TerminalState => (Kind::Conflict, "state-terminal"),
            Refusal::MalformedPolicy => (Kind::Invalid, "policy-malformed"),
            Refusal::Limit => (Kind::Limit, "limit-exceeded"),
            Refusal::TooLarge => (Kind::TooLarge, "too-large"),
            Refusal::Unsupported => (Kind::Unsupported, "unsupported"),
            Refusal::InProgress => (Kind::Conflict, "request-in-progress"),
            Refusal::Unavailable => (Kind::Unavailable, "unavailable"),
            Refusal::Internal => (Kind::Internal, "internal"),
        }
    }
}

impl From<StoreError> for Fault {
    fn from(error: StoreError) -> Self {
        let refusal = if error.is_retryable() {
            Refusal::Unavailable
        } else {
            Refusal::Internal
        };
        Fault::of(refusal, &error)
    }
}

/// The error words of one AWS service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// `iot` (cloud.md §2, error codes).
    Iot,
    /// `greengrass` (cloud.md §1.1).
    Greengrass,
    /// `iotdata`.
    IotData,
    /// `iot-jobs-data`.
    IotJobsData,
    /// The credentials provider: a bare message.
    Credentials,
}

impl Dialect {
    /// The wire's form of a refusal.
    #[must_use]
    pub(crate) fn error(self, fault: Fault) -> ApiError {
        let (status, code) = match self {
            Dialect::Iot => iot(fault.refusal),
            Dialect::Greengrass => greengrass(fault.refusal),
            Dialect::IotData => iot_data(fault.refusal),
            Dialect::IotJobsData => jobs_data(fault.refusal),
            Dialect::Credentials => credentials(fault.refusal),
        };
        let mut error = ApiError::new(status, code, fault.report);
        match self {
            Dialect::Greengrass => {
                error.members = fault.members;
                if code == "ValidationException" {
                    let reason = match fault.refusal {
                        Refusal::UnknownOperation => "UNKNOWN_OPERATION",
                        Refusal::Unparsable => "CANNOT_PARSE",
                        _ => "OTHER",
                    };
                    error
                        .members
                        .entry("reason")
                        .or_insert_with(|| json!(reason));
                }
            }
            Dialect::Iot => {
                for name in ["resourceId", "resourceArn"] {
                    if code == "ResourceAlreadyExistsException"
                        && let Some(value) = fault.members.get(name)
                    {
                        error.members.insert(name.to_owned(), value.clone());
                    }
                }
            }
            Dialect::IotData | Dialect::IotJobsData | Dialect::Credentials => {}
        }
        error
    }
}

fn iot(refusal: Refusal) -> (u16, &'static str) {
    match refusal {
        Refusal::Invalid
        | Refusal::UnknownOperation
        | Refusal::Unparsable
        | Refusal::TooLarge
        | Refusal::InProgress
        | Refusal::Unsupported => (400, "InvalidRequestException"),
        Refusal::NotFound => (404, "ResourceNotFoundException"),
        Refusal::AlreadyExists | Refusal::Conflict => (409, "ResourceAlreadyExistsException"),
        Refusal::Denied => (403, "AccessDeniedException"),
        Refusal::DeleteConflict => (409, "DeleteConflictException"),
        Refusal::CertificateState => (406, "CertificateStateException"),
        Refusal::VersionConflict => (409, "VersionConflictException"),
        Refusal::VersionsLimit => (409, "VersionsLimitExceededException"),
        Refusal::InvalidStateTransition | Refusal::TerminalState => {
            (409, "InvalidStateTransitionException")
        }
        Refusal::MalformedPolicy => (400, "MalformedPolicyException"),
        Refusal::Limit => (410, "LimitExceededException"),
        Refusal::Unavailable => (503, "ServiceUnavailableException"),
        Refusal::Internal => (500, "InternalFailureException"),
    }
}

fn greengrass(refusal: Refusal) -> (u16, &'static str) {
    match refusal {
        Refusal::NotFound => (404, "ResourceNotFoundException"),
        Refusal::AlreadyExists
        | Refusal::Conflict
        | Refusal::DeleteConflict
        | Refusal::VersionConflict
        | Refusal::InvalidStateTransition
        | Refusal::TerminalState
        | Refusal::CertificateState => (409, "ConflictException"),
        Refusal::Denied => (403, "AccessDeniedException"),
        Refusal::Limit | Refusal::VersionsLimit => (402, "ServiceQuotaExceededException"),
        Refusal::InProgress => (400, "RequestAlreadyInProgressException"),
        Refusal::Unavailable | Refusal::Internal => (500, "InternalServerException"),
        Refusal::Invalid
        | Refusal::UnknownOperation
        | Refusal::Unparsable
        | Refusal::TooLarge
        | Refusal::MalformedPolicy
        | Refusal::Unsupported => (400, "ValidationException"),
    }
}

fn iot_data(refusal: Refusal) -> (u16, &'static str) {
    match refusal {
        Refusal::NotFound => (404, "ResourceNotFoundException"),
        Refusal::Denied => (403, "ForbiddenException"),
        Refusal::Conflict | Refusal::AlreadyExists | Refusal::VersionConflict => {
            (409, "ConflictException")
        }
        Refusal::TooLarge => (413, "RequestEntityTooLargeException"),
        Refusal::Limit => (429, "ThrottlingException"),
        Refusal::Unavailable => (503, "ServiceUnavailableException"),
        Refusal::Internal => (500, "InternalFailureException"),
        _ => (400, "InvalidRequestException"),
    }
}

fn jobs_data(refusal: Refusal) -> (u16, &'static str) {
    match refusal {
        Refusal::NotFound => (404, "ResourceNotFoundException"),
        Refusal::Denied => (403, "ForbiddenException"),
        Refusal::InvalidStateTransition | Refusal::VersionConflict | Refusal::Conflict => {
            (409, "InvalidStateTransitionException")
        }
        Refusal::TerminalState => (410, "TerminalStateException"),
        Refusal::Limit => (429, "ThrottlingException"),
        Refusal::Unavailable | Refusal::Internal => (503, "ServiceUnavailableException"),
        _ => (400, "InvalidRequestException"),
    }
}

fn credentials(refusal: Refusal) -> (u16, &'static str) {
    match refusal {
        Refusal::NotFound => (404, "ResourceNotFoundException"),
        Refusal::Denied => (403, "AccessDeniedException"),
        Refusal::Unavailable | Refusal::Internal => (500, "InternalFailureException"),
        _ => (400, "InvalidRequestException"),
    }
}
