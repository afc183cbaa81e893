//! A failure as a chain of links, and what is reported of it.

use super::{DeploymentErrorCode, DeploymentErrorType};
use crate::status::DeploymentSource;
use serde::{Deserialize, Serialize};
use std::fmt;
use sward_diagnosis::{Diagnose, Kind, Report};

/// One layer's view of a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureLink {
    /// What went wrong at this layer: a lower-case fragment.
    pub message: String,
    /// The codes this layer adds, most general first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub codes: Vec<DeploymentErrorCode>,
    /// Classes this layer adds beyond those of its codes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub types: Vec<DeploymentErrorType>,
}

/// Why a deployment did not succeed: links from what was attempted to the root cause.
///
/// The error stack begins with `DEPLOYMENT_FAILURE` (or `DEPLOYMENT_REJECTED`), then follows the
/// links' codes, each once. The error types are those the links name, then those of the codes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeploymentFailure {
    /// The deployment was refused before anything was tried (it is stale).
    pub rejected: bool,
    /// From what was attempted to the root cause; never empty.
    pub links: Vec<FailureLink>,
}

impl DeploymentFailure {
    /// A failure of one link.
    #[must_use]
    pub fn new(message: impl Into<String>, codes: &[DeploymentErrorCode]) -> Self {
        DeploymentFailure {
            rejected: false,
            links: vec![FailureLink {
                message: message.into(),
                codes: codes.to_vec(),
                types: Vec::new(),
            }],
        }
    }

    /// A refusal: the deployment is older than what the device has.
    #[must_use]
    pub fn rejection(message: impl Into<String>) -> Self {
        DeploymentFailure {
            rejected: true,
            ..Self::new(message, &[DeploymentErrorCode::RejectedStaleDeployment])
        }
    }

    /// Names a class beyond those of the codes, in the outermost link.
    #[must_use]
    pub fn of_type(mut self, error_type: DeploymentErrorType) -> Self {
        self.links[0].types.push(error_type);
        self
    }

    /// Hangs another failure below this one as its cause.
    #[must_use]
    pub fn caused_by(mut self, cause: DeploymentFailure) -> Self {
        self.links.extend(cause.links);
        self
    }

    /// Adds a cause that brings no codes of its own.
    #[must_use]
    pub fn because(self, message: impl Into<String>) -> Self {
        self.caused_by(DeploymentFailure::new(message, &[]))
    }

    /// Adds the links of a diagnosed error below this one, with codes at the first of them, and
    /// the place and hint of the diagnosis in words.
    #[must_use]
    pub fn because_of(mut self, cause: &dyn Diagnose, codes: &[DeploymentErrorCode]) -> Self {
        let report = Report::of(cause);
        for (index, link) in report.links.iter().enumerate() {
            let mut message = link.message.clone();
            if let Some(place) = link.place.as_ref().map(ToString::to_string)
                && !message.contains(&place)
            {
                message = format!("{message} ({place})");
            }
            self.links.push(FailureLink {
                message,
                codes: if index == 0 {
                    codes.to_vec()
                } else {
                    Vec::new()
                },
                types: Vec::new(),
            });
        }
        if let Some(hint) = report.hint() {
            self = self.because(hint);
        }
        self
    }

    /// The public error stack.
    #[must_use]
    pub fn error_stack(&self) -> Vec<DeploymentErrorCode> {
        let mut stack = vec![if self.rejected {
            DeploymentErrorCode::DeploymentRejected
        } else {
            DeploymentErrorCode::DeploymentFailure
        }];
        for code in self.links.iter().flat_map(|link| &link.codes) {
            if !stack.contains(code) {
                stack.push(*code);
            }
        }
        stack
    }

    /// The public error types. For a local deployment every component is the user's own.
    #[must_use]
    pub fn error_types(&self, source: DeploymentSource) -> Vec<DeploymentErrorType> {
        let explicit = self.links.iter().flat_map(|link| link.types.clone());
        let of_codes = self.error_stack().into_iter().map(|code| code.error_type());
        let mut types = Vec::new();
        for mut error_type in explicit.chain(of_codes) {
            if source == DeploymentSource::Local
                && error_type == DeploymentErrorType::ComponentError
            {
                error_type = DeploymentErrorType::UserComponentError;
            }
            if error_type != DeploymentErrorType::None && !types.contains(&error_type) {
                types.push(error_type);
            }
        }
        types
    }

    /// The failure cause: the messages of the chain, each once, joined by `. `.
    #[must_use]
    pub fn cause(&self) -> String {
        let mut parts: Vec<&str> = Vec::new();
        for link in &self.links {
            if !link.message.is_empty() && !parts.contains(&link.message.as_str()) {
                parts.push(&link.message);
            }
        }
        parts.join(". ")
    }
}

impl fmt::Display for DeploymentFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause())
    }
}

impl std::error::Error for DeploymentFailure {}

impl Diagnose for DeploymentFailure {
    fn kind(&self) -> Kind {
        use DeploymentErrorType as Type;
        if self.rejected {
            return Kind::Conflict;
        }
        match self.error_types(DeploymentSource::Jobs).first() {
            Some(Type::PermissionError) => Kind::Denied,
            Some(Type::NetworkError | Type::ServerError) => Kind::Unavailable,
            Some(Type::ComponentError | Type::AwsComponentError | Type::UserComponentError) => {
                Kind::Component
            }
            Some(Type::DeviceError) => Kind::Device,
            Some(Type::RequestError | Type::ComponentRecipeError | Type::CloudServiceError) => {
                Kind::Invalid
            }
            _ => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        if self.rejected {
            "deployment-rejected"
        } else {
            "deployment-failed"
        }
    }
}
