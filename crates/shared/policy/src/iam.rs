//! IAM documents: what an access key or a role session may do, and who may assume a role.

use crate::condition::Variables;
use crate::statement::{Document, Principals, Rules, decide};
use crate::{Decision, PolicyError};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

const IDENTITY: Rules = Rules {
    principal: false,
    resource_optional: false,
    max_length: None,
};

const RESOURCE: Rules = Rules {
    principal: true,
    resource_optional: true,
    max_length: None,
};

/// A valid identity policy (of a user or role).
#[derive(Clone, Debug)]
pub struct Policy {
    document: Document,
}

impl Policy {
    /// Parses a document; an error is what AWS calls `MalformedPolicyDocument`.
    pub fn parse(json: &str) -> Result<Self, PolicyError> {
        Ok(Policy {
            document: Document::parse(json, &IDENTITY)?,
        })
    }
}

/// The keys of a request, for variables and conditions (`aws:username`, `s3:prefix`, …).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    keys: BTreeMap<String, Vec<String>>,
}

impl Context {
    /// Adds one value of a key; a key may have several.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<String>) -> Self {
        let values = self.keys.entry(key.to_ascii_lowercase()).or_default();
        values.push(value.into());
        self
    }
}

impl Variables for Context {
    fn values<'v>(&'v self, key: &str) -> Option<Vec<Cow<'v, str>>> {
        let values = self.keys.get(&key.to_ascii_lowercase())?;
        Some(values.iter().map(|v| Cow::Borrowed(v.as_str())).collect())
    }
}

/// All identity policies of a caller.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    policies: Vec<(Arc<str>, Arc<Policy>)>,
}

impl PolicySet {
    /// The union of policies, each with its name or ARN.
    pub fn compile<P: Into<Arc<Policy>>>(
        policies: impl IntoIterator<Item = (impl AsRef<str>, P)>,
    ) -> Self {
        PolicySet {
            policies: policies
                .into_iter()
                .map(|(name, policy)| (name.as_ref().into(), policy.into()))
                .collect(),
        }
    }

    /// Decides one request.
    #[must_use]
    pub fn evaluate(&self, action: &str, resource: &str, context: &Context) -> Decision {
        let mut bound = Vec::new();
        for (name, policy) in &self.policies {
            for (index, statement) in policy.document.statements.iter().enumerate() {
                bound.extend(statement.bind(name, index, false, context));
            }
        }
        decide(bound.iter(), action, resource)
    }
}

/// Who asks, for documents with a `Principal`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A service, such as `credentials.iot.amazonaws.com`.
    Service(String),
    /// A user or role session of an account.
    Aws { account: String, arn: String },
    /// An unsigned request.
    Anonymous,
}

impl Principals {
    fn include(&self, principal: &Principal) -> bool {
        let named = self.entries.iter().any(|(kind, name)| match kind.as_str() {
            "*" => true,
            "Service" => matches!(principal, Principal::Service(service) if service == name),
            "AWS" => match principal {
                _ if name == "*" => true,
                Principal::Aws { account, arn } => {
                    name == arn
                        // `NotPrincipal` exempts exactly whom it names, sessions too.
                        || !self.negated && is_session_of(arn, name)
                        || name == account
                        || name
                            .strip_suffix(":root")
                            .and_then(|n| n.strip_prefix("arn:aws:iam::"))
                            .is_some_and(|n| n == account)
                }
                _ => false,
            },
            _ => false,
        });
        named != self.negated
    }
}

/// Whether `arn` is a session (`arn:aws:sts::A:assumed-role/NAME/SESSION`) of the role
/// (`arn:aws:iam::A:role/path/NAME`): who names a role means everybody who acts in it. Names of
/// roles are unique in their account whatever their path.
fn is_session_of(arn: &str, role: &str) -> bool {
    let of_session = || {
        let (account, rest) = arn
            .strip_prefix("arn:aws:sts::")?
            .split_once(":assumed-role/")?;
        Some((account, rest.split_once('/')?.0))
    };
    let of_role = || {
        let (account, path) = role.strip_prefix("arn:aws:iam::")?.split_once(":role/")?;
        Some((account, path.rsplit('/').next()?))
    };
    of_role().is_some_and(|role| of_session() == Some(role))
}

/// A policy that sits on a resource and names principals: a role's trust policy, a bucket policy.
#[derive(Clone, Debug)]
pub struct ResourcePolicy {
    document: Document,
}

impl ResourcePolicy {
    /// Parses a document with principals.
    pub fn parse(json: &str) -> Result<Self, PolicyError> {
        Ok(ResourcePolicy {
            document: Document::parse(json, &RESOURCE)?,
        })
    }

    /// Decides one request. A statement without `Resource` (trust policies) speaks about any.
    #[must_use]
    pub fn evaluate(
        &self,
        principal: &Principal,
        action: &str,
        resource: &str,
        context: &Context,
    ) -> Decision {
        let name: Arc<str> = "resource policy".into();
        let bound: Vec<_> = self
            .document
            .statements
            .iter()
            .enumerate()
            .filter(|(_, statement)| {
                let principals = statement.principals.as_ref();
                principals.is_some_and(|p| p.include(principal))
            })
            .filter_map(|(index, statement)| statement.bind(&name, index, false, context))
            .collect();
        decide(bound.iter(), action, resource)
    }
}

/// A role's trust policy: who may `sts:AssumeRole` it.
pub type TrustPolicy = ResourcePolicy;
