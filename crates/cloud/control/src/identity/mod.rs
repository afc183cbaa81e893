//! Identity: access keys, role sessions, and the IAM and STS operations on them.
//!
//! The module answers two questions for the server: who signed a request
//! ([`Identity::identify`]), and may that caller do this ([`Identity::authorize`]). It also makes
//! role sessions, for STS and (as [`crate::ports::SessionIssuer`]) for the credentials provider.
//!
//! It never verifies a signature itself and knows nothing of HTTP beyond the form body of a Query
//! call.
//!
//! Invariants:
//! - A session is its token: sealed with the cloud's key, it carries access key, secret, role and
//!   end, so that sessions need no rows and no writes.
//! - A session's rights are those of its role now, not of the moment it began. A role that was
//!   deleted, or made again under the same name, gives its old sessions nothing.
//! - The owner's access key (of the account's root user) may do everything in its account.
//!
//! IAM has no regions: rows carry the region `aws-global`.

mod authorize;
mod keys;
mod policies;
mod query;
mod roles;
mod schema;
mod sessions;
mod sts;
#[cfg(test)]
mod tests;

pub use authorize::{Denied, Rights};
pub use keys::AccessKey;
pub use query::{IAM_XMLNS, STS_XMLNS};
pub use schema::MIGRATIONS;

use crate::ports::{Clock, Entropy};
use authorize::PolicyCache;
use query::Query;
use sessions::Sealer;
use std::sync::Arc;
use sward_aws_wire::api::{ApiError, ApiRequest, ApiResponse, Caller};
use sward_diagnosis::{Diagnose, Kind, Report};
use sward_model::{AccountId, Arn, Region};
use sward_sigv4::SignatureError;
use sward_store::{Store, StoreError};
use thiserror::Error;

/// Why identity cannot answer.
#[derive(Debug, Error)]
pub enum IdentityError {
    /// The store failed.
    #[error("cannot read or write identities")]
    Store(#[from] StoreError),
    /// A row holds what we never wrote.
    #[error("the stored {what} is damaged")]
    Damaged { what: &'static str },
}

impl Diagnose for IdentityError {
    fn kind(&self) -> Kind {
        match self {
            IdentityError::Store(error) => error.kind(),
            IdentityError::Damaged { .. } => Kind::Corrupt,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            IdentityError::Store(_) => "identity-store",
            IdentityError::Damaged { .. } => "identity-damaged",
        }
    }

    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            IdentityError::Store(error) => Some(error),
            IdentityError::Damaged { .. } => None,
        }
    }
}

/// Why a signer is not known.
#[derive(Debug, Error)]
pub enum IdentifyError {
    /// The claim is wrong.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// We cannot tell now.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

impl From<StoreError> for IdentifyError {
    fn from(error: StoreError) -> Self {
        IdentifyError::Identity(error.into())
    }
}

/// A signer that we know, before its signature is checked.
#[derive(Clone)]
pub struct Signer {
    /// What the signature must have been made with.
    pub secret_access_key: String,
    pub caller: Caller,
    pub rights: Rights,
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer")
            .field("caller", &self.caller)
            .field("rights", &self.rights)
            .finish_non_exhaustive()
    }
}

/// The identity service. Clones share it.
#[derive(Clone)]
pub struct Identity {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    sealer: Sealer,
    policies: PolicyCache,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").finish_non_exhaustive()
    }
}

impl Identity {
    /// Migrates the tables, and makes the key that seals sessions if there is none yet.
    pub async fn open(
        store: Store,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, IdentityError> {
        store.migrate(MIGRATIONS).await?;
        let sealer = Sealer::load(&store, &*entropy).await?;
        Ok(Identity {
            inner: Arc::new(Inner {
                store,
                clock,
                entropy,
                sealer,
                policies: PolicyCache::default(),
            }),
        })
    }

    /// Who claims to have signed: an access key's owner, or with a token a role session.
    pub async fn identify(
        &self,
        access_key_id: &str,
        session_token: Option<&str>,
        region: Region,
    ) -> Result<Signer, IdentifyError> {
        match session_token {
            Some(token) => Ok(self.identify_session(access_key_id, token, region)?),
            None => self.identify_key(access_key_id, region).await,
        }
    }

    /// Answers a verified call to `iam` or `sts`. `request_id` is repeated in the XML.
    pub async fn call(
        &self,
        service: &str,
        caller: &Caller,
        request: &ApiRequest,
        request_id: &str,
    ) -> Result<ApiResponse, ApiError> {
        let query = Query::parse(request, request_id)?;
        match service {
            "sts" => sts::call(self, caller, &query).await,
            _ => self.iam(caller, &query).await,
        }
    }

    /// The rights of a caller that was identified earlier in the same call.
    pub async fn rights_of(&self, caller: &Caller) -> Result<Option<Rights>, IdentityError> {
        if caller.arn.service == "iam" && caller.arn.resource == "root" {
            return Ok(Some(Rights::Owner));
        }
        let session = caller.arn.resource_after("assumed-role/");
        let Some((name, _)) = session.and_then(|rest| rest.split_once('/')) else {
            return Ok(None);
        };
        let role = self.role(&caller.account, name).await?;
        Ok(role.map(|role| Rights::Role {
            account: caller.account.clone(),
            name: role.name,
            role_id: role.role_id,
        }))
    }

    /// The action and resource that a policy is asked about before [`Identity::call`].
    #[must_use]
    pub fn action_of(
        &self,
        service: &str,
        caller: &Caller,
        request: &ApiRequest,
    ) -> Option<(String, String)> {
        let query = Query::parse(request, "").ok()?;
        let resource = match query.optional("RoleName") {
            Some(role) => format!("arn:aws:iam::{}:role/{role}", caller.account),
            None => query
                .optional("RoleArn")
                .or(query.optional("PolicyArn"))
                .unwrap_or("*")
                .to_owned(),
        };
        Some((format!("{service}:{}", query.action), resource))
    }

    async fn iam(&self, caller: &Caller, query: &Query) -> Result<ApiResponse, ApiError> {
        match query.action.as_str() {
            "CreateRole" => roles::create(self, caller, query).await,
            "GetRole" => roles::get(self, caller, query).await,
            "ListRoles" => roles::list(self, caller, query).await,
            "DeleteRole" => roles::delete(self, caller, query).await,
            "UpdateAssumeRolePolicy" => roles::update_trust(self, caller, query).await,
            "PutRolePolicy" => roles::put_inline(self, caller, query).await,
            "GetRolePolicy" => roles::get_inline(self, caller, query).await,
            "DeleteRolePolicy" => roles::delete_inline(self, caller, query).await,
            "ListRolePolicies" => roles::list_inline(self, caller, query).await,
            "ListInstanceProfilesForRole" => roles::list_profiles(self, caller, query).await,
            "AttachRolePolicy" => policies::attach(self, caller, query).await,
            "DetachRolePolicy" => policies::detach(self, caller, query).await,
            "ListAttachedRolePolicies" => policies::list_attached(self, caller, query).await,
            "CreatePolicy" => policies::create(self, caller, query).await,
            "GetPolicy" => policies::get(self, caller, query).await,
            "ListPolicies" => policies::list(self, caller, query).await,
            "DeletePolicy" => policies::delete(self, caller, query).await,
            "GetPolicyVersion" => policies::get_version(self, caller, query).await,
            "ListPolicyVersions" => policies::list_versions(self, caller, query).await,
            "ListEntitiesForPolicy" => policies::list_entities(self, caller, query).await,
            _ => Err(query.unknown_action()),
        }
    }

    fn now_ms(&self) -> i64 {
        self.inner.clock.now_ms()
    }

    fn store(&self) -> &Store {
        &self.inner.store
    }

    /// `length` characters of the alphabet in AWS's ids, behind a prefix such as `AROA`.
    fn unique_id(&self, prefix: &str, length: usize) -> String {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut bytes = vec![0_u8; length];
        self.inner.entropy.fill(&mut bytes);
        let mut id = String::with_capacity(prefix.len() + length);
        id.push_str(prefix);
        id.extend(
            bytes
                .iter()
                .map(|byte| char::from(ALPHABET[usize::from(byte % 32)])),
        );
        id
    }

    fn secret(&self) -> String {
        use base64::Engine as _;
        let mut bytes = [0_u8; 30];
        self.inner.entropy.fill(&mut bytes);
        base64::engine::general_purpose::STANDARD.encode(bytes)
    }
}

/// The ARN of an IAM resource, such as `role/service/Name`.
fn iam_arn(account: &AccountId, resource: &str) -> Arn {
    format!("arn:aws:iam::{account}:{resource}")
        .parse()
        .expect("an account and a resource that is not empty make an ARN")
}

/// A failure of ours in the words of the Query protocol.
fn failure(error: &dyn Diagnose) -> ApiError {
    let report = Report::of(error);
    if report.retryable {
        ApiError::new(503, "ServiceUnavailable", report)
    } else {
        ApiError::new(500, "ServiceFailure", report)
    }
}

impl From<IdentityError> for ApiError {
    fn from(error: IdentityError) -> Self {
        failure(&error)
    }
}
