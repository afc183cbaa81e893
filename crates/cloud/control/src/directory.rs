//! Who a client certificate is, and what it may do: asked once per connection and kept until
//! [`Control::directory_changes`] says otherwise.

use crate::Control;
use crate::fault::{Fault, Outcome};
use crate::iot::{self, CertificateFacts, CertificateRow};
use crate::scope::{Principal, Scope};
use std::borrow::Cow;
use sward_diagnosis::{Diagnose, Kind, Place, Report};
use sward_model::CertificateId;
use sward_policy::iot::{Attached, Policy, PolicySet, Thing};
use sward_store::Tx;
use thiserror::Error;

/// Why a certificate is not let in.
#[derive(Clone, Debug, Error)]
pub enum AuthenticationError {
    /// The bytes are not an X.509 certificate.
    #[error("the client certificate cannot be read")]
    Unreadable,
    /// Nobody registered it.
    #[error("the client certificate is not registered")]
    Unknown { id: String },
    /// It is registered more than once and the server name does not tell which is meant.
    #[error("the client certificate is registered in several accounts or regions")]
    Ambiguous { id: String },
    /// It is registered, but not ACTIVE.
    #[error("the client certificate is {status}")]
    NotActive { id: String, status: String },
    /// It is not valid yet, or no longer.
    #[error("the client certificate is outside its validity")]
    OutsideValidity { id: String },
    /// The registry cannot be read now.
    #[error("the registry cannot be read")]
    Registry(Report),
}

impl Diagnose for AuthenticationError {
    fn kind(&self) -> Kind {
        match self {
            AuthenticationError::Registry(report) => report.kind,
            _ => Kind::Unauthenticated,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            AuthenticationError::Unreadable => "certificate-unreadable",
            AuthenticationError::Unknown { .. } => "certificate-unknown",
            AuthenticationError::Ambiguous { .. } => "certificate-ambiguous",
            AuthenticationError::NotActive { .. } => "certificate-not-active",
            AuthenticationError::OutsideValidity { .. } => "certificate-outside-validity",
            AuthenticationError::Registry(_) => "registry-unavailable",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            AuthenticationError::Unknown { id }
            | AuthenticationError::Ambiguous { id }
            | AuthenticationError::NotActive { id, .. }
            | AuthenticationError::OutsideValidity { id } => {
                Some(Place::resource("certificate", id.as_str()))
            }
            AuthenticationError::Unreadable | AuthenticationError::Registry(_) => None,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            AuthenticationError::NotActive { .. } => {
                Some("set its status to ACTIVE with update-certificate".into())
            }
            AuthenticationError::Unknown { .. } => {
                Some("register it, or use a certificate that this cloud made".into())
            }
            _ => None,
        }
    }
}

/// The policies of a certificate, ready to be bound to a connection.
#[derive(Clone, Debug, Default)]
pub struct PrincipalPolicies {
    /// Those of the certificate and those of the groups of all its things.
    pub all: PolicySet,
}

impl Control {
    /// Who a client certificate is. `server_name` is the TLS server name, which decides where a
    /// certificate is registered more than once.
    pub async fn authenticate_certificate(
        &self,
        der: &[u8],
        server_name: Option<&str>,
    ) -> Result<Principal, AuthenticationError> {
        let facts = CertificateFacts::read(der).ok_or(AuthenticationError::Unreadable)?;
        let id = facts.certificate.id.clone();
        let registry = |fault: Fault| AuthenticationError::Registry(fault.report);
        let mut tx = self.read().await.map_err(registry)?;
        let found = iot::by_fingerprint(&mut tx, &id).await.map_err(registry)?;
        let (scope, row) = choose(found, server_name, &id)?;
        if !row.is_active() {
            return Err(AuthenticationError::NotActive {
                id,
                status: row.status,
            });
        }
        let now = self.now_ms();
        if now < facts.not_before_ms || now > facts.not_after_ms {
            return Err(AuthenticationError::OutsideValidity { id });
        }
        let things = iot::things_of_certificate(&mut tx, &scope, &id)
            .await
            .map_err(registry)?;
        let certificate_id: CertificateId = id
            .parse()
            .expect("a fingerprint is 64 lower-case hex digits");
        Ok(Principal {
            scope,
            certificate_id,
            things: things
                .into_iter()
                .map(|thing| Thing {
                    name: thing.name,
                    type_name: thing.thing_type,
                    attributes: thing.attributes,
                })
                .collect(),
            certificate: facts.certificate,
        })
    }

    /// The policies of a principal: those attached to its certificate and those attached to the
    /// groups of its things, ancestors included.
    pub async fn policies_for(&self, principal: &Principal) -> Result<PrincipalPolicies, Report> {
        let mut tx = self.read().await.map_err(|fault| fault.report)?;
        let all = policies(&mut tx, principal)
            .await
            .map_err(|fault| fault.report)?;
        Ok(PrincipalPolicies { all })
    }
}

fn choose(
    mut found: Vec<(Scope, CertificateRow)>,
    server_name: Option<&str>,
    id: &str,
) -> Result<(Scope, CertificateRow), AuthenticationError> {
    if found.len() > 1
        && let Some(name) = server_name
    {
        // A host name of an account carries account and region as labels of their own.
        let labels: Vec<&str> = name.split('.').collect();
        let named = |scope: &Scope| {
            labels.contains(&scope.account.as_str()) && labels.contains(&scope.region.as_str())
        };
        if found.iter().any(|(scope, _)| named(scope)) {
            found.retain(|(scope, _)| named(scope));
        }
    }
    if found.len() > 1 {
        return Err(AuthenticationError::Ambiguous { id: id.to_owned() });
    }
    found
        .pop()
        .ok_or_else(|| AuthenticationError::Unknown { id: id.to_owned() })
}

/// The compiled union of a principal's policies.
pub(crate) async fn policies(tx: &mut Tx, principal: &Principal) -> Outcome<PolicySet> {
    let scope = &principal.scope;
    let mut attached = Vec::new();
    let certificate = principal.arn().to_string();
    for (name, document) in iot::documents_of(tx, scope, &certificate).await? {
        if let Some(policy) = parsed(&name, &document) {
            attached.push(Attached::to_certificate(&name, policy));
        }
    }
    for thing in &principal.things {
        for group in iot::groups_with_ancestors(tx, scope, &thing.name).await? {
            let target = scope.iot("thinggroup", &group).to_string();
            for (name, document) in iot::documents_of(tx, scope, &target).await? {
                if let Some(policy) = parsed(&name, &document) {
                    attached.push(Attached::to_thing_group(&name, policy));
                }
            }
        }
    }
    Ok(PolicySet::compile(attached))
}

/// A stored document was valid when it was stored; one that no longer parses grants nothing.
fn parsed(name: &str, document: &str) -> Option<Policy> {
    match Policy::parse(document) {
        Ok(policy) => Some(policy),
        Err(error) => {
            tracing::error!(policy = name, %error, "a stored policy cannot be read");
            None
        }
    }
}
