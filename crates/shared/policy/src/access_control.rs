//! `accessControl` of a component's configuration: which IPC operations it may call on what.
//!
//! `services.<component>.configuration.accessControl.<service>.<policy id>` =
//! `{policyDescription?, operations: […], resources: […]}`. The principal is always the component
//! that holds the policy; there is no deny. Known deviations: docs/compatibility.md.

use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// How a service compares policy resources with requested ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matching {
    /// `*` only; `+` and `#` are letters.
    Standard,
    /// `*`, and `+` and a last `#` as in MQTT filters.
    Mqtt,
}

/// A service that checks its callers.
#[derive(Debug)]
struct Service {
    name: &'static str,
    operations: &'static [&'static str],
    matching: Matching,
    /// Whether components may grant themselves its operations.
    open: bool,
}

/// The services that check their callers, with the operations a policy may name besides `*`.
const SERVICES: &[Service] = &[
    Service {
        name: "aws.greengrass.ipc.pubsub",
        operations: &[
            "aws.greengrass#PublishToTopic",
            "aws.greengrass#SubscribeToTopic",
        ],
        matching: Matching::Standard,
        open: true,
    },
    Service {
        name: "aws.greengrass.ipc.mqttproxy",
        operations: &[
            "aws.greengrass#PublishToIoTCore",
            "aws.greengrass#SubscribeToIoTCore",
        ],
        matching: Matching::Mqtt,
        open: true,
    },
    Service {
        name: "aws.greengrass.ShadowManager",
        operations: &[
            "aws.greengrass#GetThingShadow",
            "aws.greengrass#UpdateThingShadow",
            "aws.greengrass#DeleteThingShadow",
            "aws.greengrass#ListNamedShadowsForThing",
        ],
        matching: Matching::Standard,
        open: true,
    },
    Service {
        name: "aws.greengrass.SecretManager",
        operations: &["aws.greengrass#GetSecretValue"],
        matching: Matching::Standard,
        open: true,
    },
    Service {
        name: "aws.greengrass.ipc.lifecycle",
        operations: &[
            "aws.greengrass#PauseComponent",
            "aws.greengrass#ResumeComponent",
        ],
        matching: Matching::Standard,
        open: true,
    },
    Service {
        name: "aws.greengrass.clientdevices.Auth",
        operations: &[
            "aws.greengrass#SubscribeToCertificateUpdates",
            "aws.greengrass#VerifyClientDeviceIdentity",
            "aws.greengrass#GetClientDeviceAuthToken",
            "aws.greengrass#AuthorizeClientDeviceAction",
        ],
        matching: Matching::Standard,
        open: true,
    },
    Service {
        name: "aws.greengrass.Cli",
        operations: &[
            "aws.greengrass#GetComponentDetails",
            "aws.greengrass#ListComponents",
            "aws.greengrass#RestartComponent",
            "aws.greengrass#StopComponent",
            "aws.greengrass#CreateLocalDeployment",
            "aws.greengrass#GetLocalDeploymentStatus",
            "aws.greengrass#ListLocalDeployments",
            "aws.greengrass#CreateDebugPassword",
        ],
        matching: Matching::Standard,
        open: true,
    },
    Service {
        name: "aws.greengrass.ipc.componentmetric",
        operations: &["aws.greengrass#PutComponentMetric"],
        matching: Matching::Standard,
        open: true,
    },
    Service {
        name: "aws.greengrass.TokenExchangeService",
        operations: &["getCredentials"],
        matching: Matching::Standard,
        open: false,
    },
];

const ANY: &str = "*";

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// No policy of the component names this operation on this resource.
    #[error(
        "{principal} is not authorized to perform {service}:{operation} on resource {resource}"
    )]
    Denied {
        principal: String,
        service: String,
        operation: String,
        resource: String,
    },
    /// No such service checks callers.
    #[error("service {service} is not registered for authorization")]
    UnknownService { service: String },
    /// The service has no such operation.
    #[error("operation {operation} is not registered with service {service}")]
    UnknownOperation { service: String, operation: String },
    /// The resource asked for is an empty text.
    #[error("the requested resource is empty")]
    EmptyResource,
    /// The principal or the operation is an empty text.
    #[error("the principal is empty")]
    InvalidArguments,
}

impl Diagnose for Refusal {
    fn kind(&self) -> Kind {
        match self {
            Refusal::Denied { .. } => Kind::Denied,
            _ => Kind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Refusal::Denied { .. } => "access-denied",
            Refusal::UnknownService { .. } => "access-unknown-service",
            Refusal::UnknownOperation { .. } => "access-unknown-operation",
            Refusal::EmptyResource => "access-empty-resource",
            Refusal::InvalidArguments => "access-invalid-arguments",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Refusal::Denied {
                operation,
                resource,
                ..
            } => Some(Place::permission(operation, resource)),
            _ => None,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Refusal::Denied {
                principal, service, ..
            } => Some(Cow::Owned(format!(
                "add the operation and the resource to \
                 ComponentConfiguration.DefaultConfiguration.accessControl.{service} of {principal}"
            ))),
            _ => None,
        }
    }
}

/// A fault in a component's `accessControl`; what is sound beside it stays in force unless the
/// variant says otherwise.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Problem {
    /// The whole `accessControl` of the component is void.
    #[error("accessControl of {component} is ignored: {reason}")]
    Void {
        component: String,
        pointer: String,
        reason: String,
    },
    /// All policies of the component for one service are void.
    #[error("policies of {component} for {service} are ignored: a policy id is empty")]
    EmptyPolicyId { component: String, service: String },
    /// No such service.
    #[error("accessControl of {component} names the unknown service {service}")]
    UnknownService { component: String, service: String },
    /// The policy names no operation.
    #[error("policy {policy} of {component} names no operation")]
    NoOperation { component: String, policy: String },
    /// The policy names an operation the service does not have.
    #[error("policy {policy} of {component} names the unknown operation {operation}")]
    UnknownOperation {
        component: String,
        policy: String,
        operation: String,
    },
    /// A resource is empty, holds a bare `?` or an unknown `${…}`.
    #[error("policy {policy} of {component} has the invalid resource \"{resource}\"")]
    InvalidResource {
        component: String,
        policy: String,
        resource: String,
    },
    /// Components cannot grant this service's operations.
    #[error("policy {policy} of {component} is ignored: {service} takes no policies")]
    ClosedService {
        component: String,
        policy: String,
        service: String,
    },
}

impl Diagnose for Problem {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }

    fn code(&self) -> &'static str {
        match self {
            Problem::Void { .. } => "access-control-void",
            Problem::EmptyPolicyId { .. } => "access-control-empty-policy-id",
            Problem::UnknownService { .. } => "access-control-unknown-service",
            Problem::NoOperation { .. } => "access-control-no-operation",
            Problem::UnknownOperation { .. } => "access-control-unknown-operation",
            Problem::InvalidResource { .. } => "access-control-invalid-resource",
            Problem::ClosedService { .. } => "access-control-closed-service",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            Problem::Void {
                component, pointer, ..
            } => Some(Place::Pointer {
                document: format!("accessControl of {component}"),
                pointer: pointer.clone(),
            }),
            _ => None,
        }
    }
}

/// A resource of a policy, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourcePattern {
    parts: Box<[Part]>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Literal(Box<str>),
    /// `*`: any run of characters.
    Run,
    /// `+`: one whole level.
    Level,
    /// A last `#` that stands alone: everything.
    All,
    /// A last `/#`: nothing, or a slash and anything.
    Below,
}

impl ResourcePattern {
    /// Compiles a resource; `None` when it is blank, holds a bare `?` or an unknown `${…}`.
    #[must_use]
    pub fn compile(resource: &str, matching: Matching) -> Option<Self> {
        if resource.trim().is_empty() {
            return None;
        }
        let mut parts = Vec::new();
        let mut literal = String::new();
        let mut rest = resource;
        let mut at_level_start = true;
        while let Some(character) = rest.chars().next() {
            if let Some(escape) = rest.strip_prefix("${") {
                let escaped = ["*}", "?}", "$}"]
                    .iter()
                    .find(|e| escape.starts_with(**e))?;
                literal.push_str(&escaped[..1]);
                rest = &escape[2..];
                at_level_start = false;
                continue;
            }
            rest = &rest[character.len_utf8()..];
            let fills_level = at_level_start && (rest.is_empty() || rest.starts_with('/'));
            let special = match character {
                '?' => return None,
                '*' => Some(Part::Run),
                '+' if matching == Matching::Mqtt && fills_level => Some(Part::Level),
                '#' if matching == Matching::Mqtt && fills_level && rest.is_empty() => {
                    Some(if literal.ends_with('/') {
                        literal.pop();
                        Part::Below
                    } else {
                        Part::All
                    })
                }
                _ => None,
            };
            match special {
                None => literal.push(character),
                Some(part) => {
                    if !literal.is_empty() {
                        parts.push(Part::Literal(std::mem::take(&mut literal).into()));
                    }
                    parts.push(part);
                }
            }
            at_level_start = character == '/';
        }
        if !literal.is_empty() {
            parts.push(Part::Literal(literal.into()));
        }
        parts.dedup_by(|a, b| *a == Part::Run && *b == Part::Run);
        Some(ResourcePattern {
            parts: parts.into(),
        })
    }

    fn as_literal(&self) -> Option<&str> {
        match &*self.parts {
            [Part::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Whether the requested resource fits. Linear for each `*`.
    #[must_use]
    pub fn matches(&self, resource: &str) -> bool {
        let (mut part, mut rest) = (0, resource);
        let mut resume: Option<(usize, &str)> = None;
        loop {
            let next = match self.parts.get(part) {
                Some(Part::All) => return true,
                Some(Part::Below) if rest.is_empty() || rest.starts_with('/') => return true,
                Some(Part::Below) => None,
                Some(Part::Run) if part + 1 == self.parts.len() => return true,
                Some(Part::Run) => {
                    resume = Some((part + 1, rest));
                    Some(rest)
                }
                Some(Part::Literal(text)) => rest.strip_prefix(&**text),
                Some(Part::Level) => Some(&rest[rest.find('/').unwrap_or(rest.len())..]),
                None if rest.is_empty() => return true,
                None => None,
            };
            match (next, resume) {
                (Some(next), _) => (part, rest) = (part + 1, next),
                (None, Some((from_part, from))) => {
                    let mut characters = from.chars();
                    if characters.next().is_none() {
                        return false;
                    }
                    resume = Some((from_part, characters.as_str()));
                    (part, rest) = (from_part, characters.as_str());
                }
                (None, None) => return false,
            }
        }
    }
}

/// What a principal may do with one operation.
#[derive(Clone, Debug, Default)]
struct Grants {
    /// A policy names the operation; enough for requests without a resource.
    named: bool,
    exact: HashSet<Box<str>>,
    patterns: Vec<ResourcePattern>,
}

impl Grants {
    fn allow(&self, resource: Option<&str>) -> bool {
        match resource {
            None => self.named,
            Some(resource) => {
                self.exact.contains(resource) || self.patterns.iter().any(|p| p.matches(resource))
            }
        }
    }
}

type Policies = HashMap<(usize, Cow<'static, str>), Grants>;

/// The policies of all components. Replace a component's on every change of its configuration.
#[derive(Clone, Debug, Default)]
pub struct AccessControl {
    components: HashMap<Box<str>, Policies>,
}

impl AccessControl {
    /// Nothing allowed but what is built in.
    #[must_use]
    pub fn new() -> Self {
        AccessControl::default()
    }

    /// Takes the component's `configuration` object (any other value counts as empty) and puts
    /// its `accessControl` in force. Returns the faults found.
    pub fn load(&mut self, component: &str, configuration: &Value) -> Vec<Problem> {
        let found = configuration.as_object().and_then(|members| {
            let mut all = members.iter();
            all.find(|(key, _)| key.eq_ignore_ascii_case("accessControl"))
        });
        match found {
            Some((_, value)) => self.replace(component, value),
            None => {
                self.remove(component);
                Vec::new()
            }
        }
    }

    /// Puts a component's `accessControl` in force: an object, or a text that holds one as JSON.
    pub fn replace(&mut self, component: &str, access_control: &Value) -> Vec<Problem> {
        self.remove(component);
        let mut loader = Loader {
            component,
            problems: Vec::new(),
            policies: HashMap::new(),
        };
        match loader.load(access_control) {
            Ok(()) => {
                self.components.insert(component.into(), loader.policies);
            }
            Err(problem) => loader.problems.push(problem),
        }
        loader.problems
    }

    /// Takes all policies of a component away.
    pub fn remove(&mut self, component: &str) {
        self.components.remove(component);
    }

    /// Whether a component may call an operation on a resource (`None` where an operation has
    /// no resource).
    pub fn authorize(
        &self,
        principal: &str,
        service: &str,
        operation: &str,
        resource: Option<&str>,
    ) -> Result<(), Refusal> {
        let index = SERVICES
            .iter()
            .position(|known| known.name == service)
            .ok_or_else(|| Refusal::UnknownService {
                service: service.into(),
            })?;
        let known = &SERVICES[index];
        let registered = known.operations.contains(&operation) || (known.open && operation == ANY);
        if !registered {
            return Err(Refusal::UnknownOperation {
                service: service.into(),
                operation: operation.into(),
            });
        }
        if principal.is_empty() {
            return Err(Refusal::InvalidArguments);
        }
        if resource == Some("") {
            return Err(Refusal::EmptyResource);
        }
        // Token exchange is open to every component that proved who it is.
        let built_in = !known.open && resource.is_none();
        let of_principal = |name: &str| {
            self.components.get(name).is_some_and(|policies| {
                [operation, ANY].iter().any(|operation| {
                    let grants = policies.get(&(index, Cow::Borrowed(*operation)));
                    grants.is_some_and(|grants| grants.allow(resource))
                })
            })
        };
        if built_in || of_principal(principal) || of_principal(ANY) {
            return Ok(());
        }
        Err(Refusal::Denied {
            principal: principal.into(),
            service: service.into(),
            operation: operation.into(),
            resource: resource.unwrap_or("null").into(),
        })
    }
}

struct Loader<'c> {
    component: &'c str,
    problems: Vec<Problem>,
    policies: Policies,
}

/// A policy as written.
struct Written {
    operations: Vec<String>,
    resources: Vec<String>,
}

impl Loader<'_> {
    fn void(&self, pointer: impl Into<String>, reason: &str) -> Problem {
        Problem::Void {
            component: self.component.into(),
            pointer: pointer.into(),
            reason: reason.into(),
        }
    }

    fn load(&mut self, value: &Value) -> Result<(), Problem> {
        let parsed;
        let value = match value {
            Value::String(text) => {
                parsed = serde_json::from_str(text)
                    .map_err(|_| self.void("", "it is a text that is not JSON"))?;
                &parsed
            }
            other => other,
        };
        let services = self.object(value, "")?;
        let mut written = Vec::new();
        for (service, policies) in services {
            let at = format!("/{service}");
            let mut list = Vec::new();
            for (id, policy) in self.object(policies, &at)? {
                list.push((id, self.policy(policy, &format!("{at}/{id}"))?));
            }
            written.push((service, list));
        }
        for (service, policies) in written {
            self.service(service, policies);
        }
        Ok(())
    }

    fn object<'v>(
        &self,
        value: &'v Value,
        pointer: &str,
    ) -> Result<&'v Map<String, Value>, Problem> {
        value
            .as_object()
            .ok_or_else(|| self.void(pointer, "an object is expected"))
    }

    fn policy(&self, value: &Value, pointer: &str) -> Result<Written, Problem> {
        let mut written = Written {
            operations: Vec::new(),
            resources: Vec::new(),
        };
        for (field, value) in self.object(value, pointer)? {
            let at = format!("{pointer}/{field}");
            match field.to_ascii_lowercase().as_str() {
                "policydescription" => {
                    if self.text(value, &at)?.is_none() {
                        return Err(self.void(at, "the description is null"));
                    }
                }
                "operations" => written.operations = self.list(value, &at)?,
                "resources" => written.resources = self.list(value, &at)?,
                _ => return Err(self.void(at, "the field is unknown")),
            }
        }
        Ok(written)
    }

    fn list(&self, value: &Value, pointer: &str) -> Result<Vec<String>, Problem> {
        let Some(items) = value.as_array() else {
            return Err(self.void(pointer, "a list is expected"));
        };
        let mut texts = Vec::new();
        for item in items {
            texts.extend(self.text(item, pointer)?);
        }
        Ok(texts)
    }

    /// Texts, and scalars as texts; `None` for null.
    fn text(&self, value: &Value, pointer: &str) -> Result<Option<String>, Problem> {
        match value {
            Value::String(text) => Ok(Some(text.clone())),
            Value::Number(number) => Ok(Some(number.to_string())),
            Value::Bool(flag) => Ok(Some(flag.to_string())),
            Value::Null => Ok(None),
            _ => Err(self.void(pointer, "a text is expected")),
        }
    }

    fn service(&mut self, service: &str, policies: Vec<(&String, Written)>) {
        let component = self.component.to_owned();
        let Some(index) = SERVICES.iter().position(|known| known.name == service) else {
            self.problems.push(Problem::UnknownService {
                component,
                service: service.into(),
            });
            return;
        };
        if policies.iter().any(|(id, _)| id.is_empty()) {
            self.problems.push(Problem::EmptyPolicyId {
                component,
                service: service.into(),
            });
            return;
        }
        for (policy, written) in policies {
            if !SERVICES[index].open {
                self.problems.push(Problem::ClosedService {
                    component: component.clone(),
                    policy: policy.clone(),
                    service: service.into(),
                });
                continue;
            }
            self.add(index, policy, &written);
        }
    }

    fn add(&mut self, index: usize, policy: &str, written: &Written) {
        let component = self.component;
        let service = &SERVICES[index];
        if written.operations.is_empty() {
            self.problems.push(Problem::NoOperation {
                component: component.into(),
                policy: policy.into(),
            });
            return;
        }
        let mut patterns = Vec::new();
        for resource in &written.resources {
            match ResourcePattern::compile(resource, service.matching) {
                Some(pattern) => patterns.push(pattern),
                None => self.problems.push(Problem::InvalidResource {
                    component: component.into(),
                    policy: policy.into(),
                    resource: resource.clone(),
                }),
            }
        }
        for operation in &written.operations {
            let known = service.operations.iter().find(|known| *known == operation);
            let name = match known {
                Some(name) => *name,
                None if operation == ANY => ANY,
                None => {
                    self.problems.push(Problem::UnknownOperation {
                        component: component.into(),
                        policy: policy.into(),
                        operation: operation.clone(),
                    });
                    continue;
                }
            };
            let grants = self
                .policies
                .entry((index, Cow::Borrowed(name)))
                .or_default();
            grants.named = true;
            for pattern in &patterns {
                match pattern.as_literal() {
                    Some(text) => {
                        grants.exact.insert(text.into());
                    }
                    None => grants.patterns.push(pattern.clone()),
                }
            }
        }
    }
}
