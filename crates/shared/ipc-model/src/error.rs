//! The errors that an operation may answer, in both styles that clients read.

use crate::{Document, NAMESPACE};
use serde_json::{Value, json};
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// The modeled errors of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorName {
    UnauthorizedError,
    ResourceNotFoundError,
    ConflictError,
    ComponentNotFoundError,
    InvalidRecipeDirectoryPathError,
    InvalidArtifactsDirectoryPathError,
    InvalidArgumentsError,
    FailedUpdateConditionCheckError,
    ServiceError,
    InvalidTokenError,
    InvalidCredentialError,
    InvalidClientDeviceAuthTokenError,
}

const ALL: [ErrorName; 12] = [
    ErrorName::UnauthorizedError,
    ErrorName::ResourceNotFoundError,
    ErrorName::ConflictError,
    ErrorName::ComponentNotFoundError,
    ErrorName::InvalidRecipeDirectoryPathError,
    ErrorName::InvalidArtifactsDirectoryPathError,
    ErrorName::InvalidArgumentsError,
    ErrorName::FailedUpdateConditionCheckError,
    ErrorName::ServiceError,
    ErrorName::InvalidTokenError,
    ErrorName::InvalidCredentialError,
    ErrorName::InvalidClientDeviceAuthTokenError,
];

impl ErrorName {
    /// The shape's name without namespace, which is also its `_errorCode`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            ErrorName::UnauthorizedError => "UnauthorizedError",
            ErrorName::ResourceNotFoundError => "ResourceNotFoundError",
            ErrorName::ConflictError => "ConflictError",
            ErrorName::ComponentNotFoundError => "ComponentNotFoundError",
            ErrorName::InvalidRecipeDirectoryPathError => "InvalidRecipeDirectoryPathError",
            ErrorName::InvalidArtifactsDirectoryPathError => "InvalidArtifactsDirectoryPathError",
            ErrorName::InvalidArgumentsError => "InvalidArgumentsError",
            ErrorName::FailedUpdateConditionCheckError => "FailedUpdateConditionCheckError",
            ErrorName::ServiceError => "ServiceError",
            ErrorName::InvalidTokenError => "InvalidTokenError",
            ErrorName::InvalidCredentialError => "InvalidCredentialError",
            ErrorName::InvalidClientDeviceAuthTokenError => "InvalidClientDeviceAuthTokenError",
        }
    }

    /// The error whose wire name (with or without namespace) this is.
    #[must_use]
    pub fn from_wire(name: &str) -> Option<Self> {
        let short = name.strip_prefix(NAMESPACE).unwrap_or(name);
        ALL.into_iter()
            .find(|candidate| candidate.as_str() == short)
    }
}

/// One modeled error with its members.
#[derive(Clone, Debug, PartialEq, Error)]
#[error("{}: {message}", .name.as_str())]
pub struct IpcError {
    /// Which shape.
    pub name: ErrorName,
    /// The text a person reads; clients of AWS show it as it is.
    pub message: String,
    /// `resourceType` of [`ErrorName::ResourceNotFoundError`].
    pub resource_type: Option<String>,
    /// `resourceName` of [`ErrorName::ResourceNotFoundError`].
    pub resource_name: Option<String>,
    /// `context` of [`ErrorName::ServiceError`].
    pub context: Option<Box<Document>>,
}

impl IpcError {
    /// An error with a message and no further members.
    pub fn new(name: ErrorName, message: impl Into<String>) -> Self {
        IpcError {
            name,
            message: message.into(),
            resource_type: None,
            resource_name: None,
            context: None,
        }
    }

    /// The caller may not do this.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self::new(ErrorName::UnauthorizedError, message)
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorName::InvalidArgumentsError, message)
    }

    /// The service failed, or does not offer this.
    pub fn service(message: impl Into<String>) -> Self {
        Self::new(ErrorName::ServiceError, message)
    }

    /// The thing named does not exist; `kind` and `id` go into the error's members.
    pub fn not_found(message: impl Into<String>, kind: Option<&str>, id: Option<&str>) -> Self {
        IpcError {
            resource_type: kind.map(str::to_owned),
            resource_name: id.map(str::to_owned),
            ..Self::new(ErrorName::ResourceNotFoundError, message)
        }
    }

    /// The `service-model-type` header of this error.
    #[must_use]
    pub fn wire_type(&self) -> String {
        format!("{NAMESPACE}{}", self.name.as_str())
    }

    /// The payload: `_service`, `_message`, `_errorCode` for the C family of clients, `message`
    /// and the shape's own members for the others.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut body = json!({
            "_service": "aws.greengrass#GreengrassCoreIPC",
            "_message": self.message,
            "_errorCode": self.name.as_str(),
            "message": self.message,
        });
        let members = body.as_object_mut().expect("it was written as an object");
        if let Some(kind) = &self.resource_type {
            members.insert("resourceType".into(), kind.as_str().into());
        }
        if let Some(id) = &self.resource_name {
            members.insert("resourceName".into(), id.as_str().into());
        }
        if let Some(context) = &self.context {
            members.insert("context".into(), Value::Object(Document::clone(context)));
        }
        body.to_string().into_bytes()
    }

    /// Reads an error answer; what cannot be read becomes a [`ErrorName::ServiceError`].
    #[must_use]
    pub fn from_wire(service_model_type: Option<&str>, payload: &[u8]) -> Self {
        let body: Value = serde_json::from_slice(payload).unwrap_or(Value::Null);
        let text = |key: &str| body.get(key).and_then(Value::as_str);
        let name = service_model_type
            .or_else(|| text("_errorCode"))
            .and_then(ErrorName::from_wire)
            .unwrap_or(ErrorName::ServiceError);
        let message = text("message")
            .or_else(|| text("_message"))
            .map(str::to_owned)
            .unwrap_or_else(|| String::from_utf8_lossy(payload).into_owned());
        IpcError {
            name,
            message,
            resource_type: text("resourceType").map(str::to_owned),
            resource_name: text("resourceName").map(str::to_owned),
            context: body
                .get("context")
                .and_then(Value::as_object)
                .map(|context| Box::new(context.clone())),
        }
    }
}

impl Diagnose for IpcError {
    fn kind(&self) -> Kind {
        match self.name {
            ErrorName::UnauthorizedError => Kind::Denied,
            ErrorName::ResourceNotFoundError | ErrorName::ComponentNotFoundError => Kind::NotFound,
            ErrorName::ConflictError | ErrorName::FailedUpdateConditionCheckError => Kind::Conflict,
            ErrorName::ServiceError => Kind::Internal,
            ErrorName::InvalidTokenError
            | ErrorName::InvalidCredentialError
            | ErrorName::InvalidClientDeviceAuthTokenError => Kind::Unauthenticated,
            ErrorName::InvalidRecipeDirectoryPathError
            | ErrorName::InvalidArtifactsDirectoryPathError
            | ErrorName::InvalidArgumentsError => Kind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        "ipc-operation-failed"
    }

    fn place(&self) -> Option<Place> {
        let id = self.resource_name.as_deref()?;
        Some(Place::resource(
            self.resource_type.as_deref().unwrap_or("resource"),
            id,
        ))
    }
}
