//! The gateway's view of the registry.

use async_trait::async_trait;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use sward_control::{AuthenticationError, Control};
use sward_diagnosis::Diagnose as _;
use sward_gateway::ports::{Directory, DirectoryChange, Presented, Principal, Refusal, Tenant};
use sward_task::Tasks;
use tokio::sync::broadcast;

/// Changes that a slow receiver may be behind before it reads everything anew.
const CHANGES: usize = 64;

/// Certificates and policies out of the control plane.
pub(crate) struct ControlDirectory {
    control: Control,
    changes: broadcast::Sender<DirectoryChange>,
    /// Everybody who was ever let in: the control plane does not say whom a change concerns.
    tenants: Arc<Mutex<BTreeSet<Tenant>>>,
}

impl ControlDirectory {
    /// Follows the control plane's changes in a task of its own.
    pub(crate) fn new(control: Control, tasks: &Tasks) -> Self {
        let (changes, _) = broadcast::channel(CHANGES);
        let tenants = Arc::new(Mutex::new(BTreeSet::new()));
        let directory = ControlDirectory {
            control,
            changes,
            tenants,
        };
        let mut signal = directory.control.directory_changes();
        let (sender, tenants) = (directory.changes.clone(), Arc::clone(&directory.tenants));
        let stop = tasks.token();
        tasks.spawn_essential("directory-relay", async move {
            while let Some(Ok(())) = stop.run_until_cancelled(signal.changed()).await {
                let all = tenants
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .clone();
                for tenant in all {
                    // Nobody listens only while the gateway starts or ends.
                    let _nobody = sender.send(DirectoryChange {
                        tenant,
                        certificate_id: None,
                    });
                }
            }
        });
        directory
    }
}

#[async_trait]
impl Directory for ControlDirectory {
    async fn authenticate(&self, presented: Presented<'_>) -> Result<Principal, Refusal> {
        let found = self
            .control
            .authenticate_certificate(presented.certificate, presented.server_name)
            .await
            .map_err(refusal)?;
        let policies =
            self.control
                .policies_for(&found)
                .await
                .map_err(|report| Refusal::Unavailable {
                    reason: report.one_line(),
                })?;
        let tenant = Tenant {
            account: found.scope.account,
            region: found.scope.region,
        };
        self.tenants
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(tenant.clone());
        Ok(Principal {
            tenant,
            certificate_id: found.certificate_id,
            certificate: found.certificate,
            things: found.things,
            policies: Arc::new(policies.all),
        })
    }

    fn changes(&self) -> broadcast::Receiver<DirectoryChange> {
        self.changes.subscribe()
    }
}

fn refusal(error: AuthenticationError) -> Refusal {
    match error {
        AuthenticationError::Unknown { id } => Refusal::Unknown { certificate_id: id },
        AuthenticationError::Ambiguous { id } => Refusal::Ambiguous { certificate_id: id },
        AuthenticationError::NotActive { id, status } => Refusal::NotActive {
            certificate_id: id,
            status,
        },
        AuthenticationError::OutsideValidity { id } => Refusal::NotActive {
            certificate_id: id,
            status: "outside its validity".to_owned(),
        },
        AuthenticationError::Unreadable => Refusal::Unknown {
            certificate_id: "(unreadable)".to_owned(),
        },
        AuthenticationError::Registry(_) => Refusal::Unavailable {
            reason: error.report().one_line(),
        },
    }
}
