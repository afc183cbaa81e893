//! May this caller do this? The owner may; a session may what its role's policies say.

use super::schema::GLOBAL;
use super::{Identity, IdentityError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use sward_diagnosis::{Kind, Place, Report};
use sward_model::AccountId;
use sward_policy::Decision;
use sward_policy::iam::{Context, Policy, PolicySet};

/// Where a caller's permissions come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rights {
    /// The account's root user: everything in the account.
    Owner,
    /// The policies of a role, as long as it is the same role.
    Role {
        account: AccountId,
        name: String,
        role_id: String,
    },
}

/// A refusal that names the statement that is missing, or the one that denies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    pub report: Report,
}

/// Compiled policies by role, valid for one generation of IAM's rows.
#[derive(Debug, Default)]
pub(super) struct PolicyCache {
    state: Mutex<CacheState>,
}

#[derive(Debug, Default)]
struct CacheState {
    generation: u64,
    roles: HashMap<(AccountId, String), Arc<RolePolicies>>,
}

#[derive(Debug)]
struct RolePolicies {
    role_id: String,
    policies: PolicySet,
}

/// Roles kept compiled; beyond it the cache starts anew.
const MOST_ROLES: usize = 1000;

impl PolicyCache {
    /// Forgets everything; called after each change of roles and policies.
    pub(super) fn changed(&self) {
        let mut state = self.lock();
        state.generation += 1;
        state.roles.clear();
    }

    fn get(&self, key: &(AccountId, String)) -> (u64, Option<Arc<RolePolicies>>) {
        let state = self.lock();
        (state.generation, state.roles.get(key).cloned())
    }

    /// Keeps what was compiled, unless something changed since `generation`.
    fn put(&self, generation: u64, key: (AccountId, String), value: Arc<RolePolicies>) {
        let mut state = self.lock();
        if state.generation != generation {
            return;
        }
        if state.roles.len() >= MOST_ROLES {
            state.roles.clear();
        }
        state.roles.insert(key, value);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, CacheState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Identity {
    /// Whether the rights cover an action (such as `s3:GetObject`) on a resource (an ARN or `*`).
    /// The inner result is the decision, the outer one whether it could be made.
    pub async fn authorize(
        &self,
        rights: &Rights,
        action: &str,
        resource: &str,
        context: &Context,
    ) -> Result<Result<(), Denied>, IdentityError> {
        let Rights::Role {
            account,
            name,
            role_id,
        } = rights
        else {
            return Ok(Ok(()));
        };
        let role = self.role_policies(account, name).await?;
        let Some(role) = role.filter(|role| role.role_id == *role_id) else {
            return Ok(Err(Denied {
                report: Report::new(
                    Kind::Denied,
                    "role-gone",
                    format!("role {name} of this session does not exist any more"),
                )
                .at(Place::permission(action, resource)),
            }));
        };
        let report = match role.policies.evaluate(action, resource, context) {
            Decision::Allowed => return Ok(Ok(())),
            Decision::ImplicitlyDenied { missing } => Report::new(
                Kind::Denied,
                "access-denied",
                format!("no policy of role {name} allows {action} on {resource}"),
            )
            .at(missing)
            .help(format!(
                "add {{\"Effect\":\"Allow\",\"Action\":\"{action}\",\"Resource\":\"{resource}\"}} \
                 to one of its policies"
            )),
            Decision::ExplicitlyDenied { policy, statement } => Report::new(
                Kind::Denied,
                "access-denied-explicitly",
                format!("statement {statement} of policy {policy} denies {action} on {resource}"),
            ),
        };
        Ok(Err(Denied { report }))
    }

    async fn role_policies(
        &self,
        account: &AccountId,
        name: &str,
    ) -> Result<Option<Arc<RolePolicies>>, IdentityError> {
        let key = (account.clone(), name.to_owned());
        let (generation, cached) = self.inner.policies.get(&key);
        if cached.is_some() {
            return Ok(cached);
        }
        let Some(compiled) = self.compile(account, name).await? else {
            return Ok(None);
        };
        let compiled = Arc::new(compiled);
        self.inner
            .policies
            .put(generation, key, Arc::clone(&compiled));
        Ok(Some(compiled))
    }

    async fn compile(
        &self,
        account: &AccountId,
        name: &str,
    ) -> Result<Option<RolePolicies>, IdentityError> {
        let args = [account.as_str().into(), GLOBAL.into(), name.into()];
        let mut tx = self.store().read().await?;
        let role = tx
            .optional(
                "SELECT role_id FROM identity_role
                 WHERE account = $1 AND region = $2 AND name = $3",
                &args,
            )
            .await?;
        let Some(role) = role else {
            return Ok(None);
        };
        let rows = tx
            .all(
                "SELECT name, document FROM identity_inline
                 WHERE account = $1 AND region = $2 AND role = $3
                 UNION ALL
                 SELECT p.name, p.document FROM identity_policy p
                 JOIN identity_attached a ON a.account = p.account AND a.region = p.region
                      AND a.policy = p.name
                 WHERE a.account = $1 AND a.region = $2 AND a.role = $3",
                &args,
            )
            .await?;
        let mut policies = Vec::with_capacity(rows.len());
        for row in rows {
            let policy = Policy::parse(&row.text("document")?)
                .map_err(|_| IdentityError::Damaged { what: "policy" })?;
            policies.push((row.text("name")?, policy));
        }
        Ok(Some(RolePolicies {
            role_id: role.text("role_id")?,
            policies: PolicySet::compile(policies),
        }))
    }

    pub(super) fn policies_changed(&self) {
        self.inner.policies.changed();
    }
}
