//! The deployer's and the token exchange's ports, over the uplink's clients.

use super::Cloud;
use futures_util::StreamExt as _;
use std::collections::BTreeSet;
use std::sync::Arc;
use sward_components::token_exchange::{
    self, CredentialFailure, CredentialSource, Credentials, TokenAuthority,
};
use sward_diagnosis::Diagnose as _;
use sward_engine::deployer::ports::{
    ArtifactBody, ArtifactRequest, ArtifactSource, BoxFuture, CandidateRequest, CloudCandidate,
    CloudError, CloudResolver, CloudService, GroupLister,
};
use sward_ipc_server::{Identity, TokenRegistry};
use sward_uplink::credentials::{CredentialsError, CredentialsHandle};
use sward_uplink::data_plane::{
    Artifacts, CandidateQuestion, CloudCallError, DataPlane, Service, ThingGroup,
};

/// What the deployer asks the cloud.
pub(crate) struct DeployerPorts {
    pub(crate) resolver: Arc<dyn CloudResolver>,
    pub(crate) artifacts: Arc<dyn ArtifactSource>,
    pub(crate) groups: Arc<dyn GroupLister>,
}

/// The ports over a cloud, or those of a core that has none.
pub(crate) fn deployer_ports(cloud: Option<&Cloud>) -> DeployerPorts {
    match cloud {
        Some(cloud) => DeployerPorts {
            resolver: Arc::new(Resolver(cloud.data_plane.clone())),
            artifacts: Arc::new(Source(cloud.artifacts.clone())),
            groups: Arc::new(Groups(cloud.data_plane.clone())),
        },
        None => DeployerPorts {
            resolver: Arc::new(Offline),
            artifacts: Arc::new(Offline),
            groups: Arc::new(Offline),
        },
    }
}

struct Offline;

impl CloudResolver for Offline {
    fn resolve(
        &self,
        _request: CandidateRequest,
    ) -> BoxFuture<'_, Result<CloudCandidate, CloudError>> {
        Box::pin(std::future::ready(Err(CloudError::NotConfigured)))
    }
}

impl ArtifactSource for Offline {
    fn open(&self, _request: ArtifactRequest) -> BoxFuture<'_, Result<ArtifactBody, CloudError>> {
        Box::pin(std::future::ready(Err(CloudError::NotConfigured)))
    }
}

impl GroupLister for Offline {
    fn thing_groups(&self) -> BoxFuture<'_, Result<BTreeSet<String>, CloudError>> {
        Box::pin(std::future::ready(Err(CloudError::NotConfigured)))
    }
}

struct Resolver(DataPlane);

impl CloudResolver for Resolver {
    fn resolve(
        &self,
        request: CandidateRequest,
    ) -> BoxFuture<'_, Result<CloudCandidate, CloudError>> {
        Box::pin(async move {
            let question = CandidateQuestion {
                component: request.component.to_string(),
                local_version: request.local_version.map(|version| version.to_string()),
                requirements: request
                    .requirements
                    .into_iter()
                    .map(|(requirer, requirement)| (requirer, requirement.to_string()))
                    .collect(),
                platform: request.platform.0,
            };
            let answer = self.0.resolve(&question).await.map_err(cloud_error)?;
            let version = answer
                .version
                .parse()
                .map_err(|error: sward_model::VersionError| CloudError::BadAnswer {
                    operation: "ResolveComponentCandidates".to_owned(),
                    reason: error.to_string(),
                })?;
            Ok(CloudCandidate {
                arn: answer.arn,
                version,
                recipe: answer.recipe,
            })
        })
    }
}

struct Source(Artifacts);

impl ArtifactSource for Source {
    fn open(&self, request: ArtifactRequest) -> BoxFuture<'_, Result<ArtifactBody, CloudError>> {
        Box::pin(async move {
            let arn = request.component_arn.as_deref();
            let stream = self
                .0
                .open(&request.uri, arn, request.offset)
                .await
                .map_err(cloud_error)?;
            Ok(ArtifactBody {
                total_bytes: stream.total_bytes,
                offset: stream.offset,
                chunks: stream
                    .chunks()
                    .map(|chunk| chunk.map_err(cloud_error))
                    .boxed(),
            })
        })
    }
}

struct Groups(DataPlane);

impl GroupLister for Groups {
    fn thing_groups(&self) -> BoxFuture<'_, Result<BTreeSet<String>, CloudError>> {
        Box::pin(async move {
            let groups = self.0.thing_groups().await.map_err(cloud_error)?;
            let mut names = BTreeSet::new();
            collect(groups, &mut names);
            Ok(names)
        })
    }
}

/// The names of groups and of their ancestors.
fn collect(groups: Vec<ThingGroup>, names: &mut BTreeSet<String>) {
    for group in groups {
        names.insert(group.thing_group_name);
        collect(group.root_to_parent_thing_groups, names);
    }
}

fn cloud_error(error: CloudCallError) -> CloudError {
    match error {
        CloudCallError::NotConfigured => CloudError::NotConfigured,
        CloudCallError::Refused {
            service,
            operation,
            status,
            message,
            ..
        } => CloudError::Refused {
            service: match service {
                Service::S3 => CloudService::S3,
                Service::Greengrass | Service::Credentials => CloudService::Greengrass,
            },
            operation: operation.to_owned(),
            status,
            message,
        },
        CloudCallError::BadAnswer { operation, reason } => CloudError::BadAnswer {
            operation: operation.to_owned(),
            reason,
        },
        CloudCallError::Url { url, reason } => CloudError::Unusable { url, reason },
        CloudCallError::NoCredentials { url, reason } => CloudError::Unreachable { url, reason },
        CloudCallError::Unreachable {
            ref url,
            ref source,
        } => CloudError::Unreachable {
            url: url.clone(),
            reason: source.report().chain(),
        },
    }
}

/// The token exchange's source: the credentials provider.
pub(super) struct RoleCredentials(pub(super) CredentialsHandle);

impl CredentialSource for RoleCredentials {
    fn credentials(&self) -> token_exchange::BoxFuture<'_, Result<Credentials, CredentialFailure>> {
        Box::pin(async move {
            match self.0.get().await {
                Ok(credentials) => Ok(Credentials {
                    access_key_id: credentials.access_key_id,
                    secret_access_key: credentials.secret_access_key,
                    session_token: credentials.session_token,
                    expiration: credentials.expiration,
                }),
                Err(CredentialsError::Refused { status, body }) => Err(CredentialFailure {
                    status: Some(status),
                    reason: body,
                }),
                Err(other) => Err(CredentialFailure {
                    status: None,
                    reason: other.report().one_line(),
                }),
            }
        })
    }
}

/// Components may have credentials; the local CLI may not.
pub(super) struct ComponentTokens(pub(super) TokenRegistry);

impl TokenAuthority for ComponentTokens {
    fn may_have_credentials(&self, token: &str) -> bool {
        matches!(self.0.identity(token), Some(Identity::Component(_)))
    }
}
