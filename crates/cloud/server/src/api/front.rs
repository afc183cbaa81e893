//! Who calls: the claim of a signature, the signer that it names, and whether it holds.
//!
//! The signer is looked up before the body is read, so that strangers cannot make us read much.

use super::CallContext;
use super::call::Head;
use super::presign_v2::PresignedV2;
use super::render;
use super::service::Service;
use crate::options::CloudOptions;
use crate::platform::now_ms;
use sward_aws_wire::api::{ApiError, Caller};
use sward_control::identity::{IdentifyError, Identity, IdentityError, Rights, Signer};
use sward_diagnosis::{Kind, Report};
use sward_model::{AccountId, Region};
use sward_net::http::{Body, Response};
use sward_policy::iam::Context;
use sward_sigv4::{Dialect, PayloadKind, Presented, SignatureError, Verified};

/// Looks callers up and verifies them.
pub(crate) struct Front {
    identity: Identity,
    /// Of requests whose signature names no region.
    region: Region,
    accept_any: Option<AccountId>,
}

/// A claim whose signer is known and whose signature is not verified yet.
pub(crate) struct Claim {
    pub(crate) service: Service,
    proof: Proof,
    signer: Signer,
    accept_any: bool,
}

enum Proof {
    V4(Presented),
    V2(PresignedV2),
}

/// A caller whose signature holds.
pub(crate) struct Authenticated {
    pub(crate) caller: Caller,
    pub(crate) rights: Rights,
    /// What the signature says about the body; nothing when any signature is accepted, and in
    /// presigned URLs of the old form.
    pub(crate) verified: Option<Verified>,
    /// Date and scope, which the chunks of a body are signed with.
    pub(crate) presented: Option<Presented>,
}

/// A request refused before its service was asked.
pub(crate) struct Refused {
    pub(crate) service: Service,
    pub(crate) error: ApiError,
}

impl Refused {
    pub(crate) fn signature(service: Service, error: &SignatureError) -> Self {
        let (status, code) = error.wire(service.dialect());
        Refused {
            service,
            error: ApiError::new(status, code, Report::of(error)),
        }
    }

    pub(crate) fn response(&self, call: &CallContext<'_>) -> Response<Body> {
        tracing::info!(
            service = self.service.label(),
            method = call.head.method,
            path = call.head.path,
            source = %call.peer.address,
            error = %self.error,
            "request refused"
        );
        render::error(self.service, &self.error, call)
    }
}

impl Front {
    pub(crate) fn new(identity: Identity, options: &CloudOptions) -> Self {
        let accept_any = options.insecure_accept_any_signature;
        Front {
            identity,
            region: options.region.clone(),
            accept_any: accept_any.then(|| options.account.clone()),
        }
    }

    /// Reads the claim and finds its signer.
    pub(crate) async fn begin(&self, head: &Head) -> Result<Claim, Refused> {
        if let Some(claim) = PresignedV2::parse(head) {
            let (key, token) = (&claim.access_key_id, claim.session_token.as_deref());
            let region = self.region.clone();
            let (signer, accept_any) = self.signer(Service::S3, key, token, region).await?;
            return Ok(Claim {
                service: Service::S3,
                proof: Proof::V2(claim),
                signer,
                accept_any,
            });
        }
        let presented = Presented::parse(&head.signed())
            .map_err(|error| Refused::signature(unsigned_service(head), &error))?;
        let service = Service::of_scope(&presented.scope.service);
        let region = presented.scope.region.parse().map_err(|_| {
            let error = SignatureError::MalformedHeader("the region is not a region's name");
            Refused::signature(service, &error)
        })?;
        let (key, token) = (&presented.access_key_id, presented.session_token.as_deref());
        let (signer, accept_any) = self.signer(service, key, token, region).await?;
        Ok(Claim {
            service,
            proof: Proof::V4(presented),
            signer,
            accept_any,
        })
    }

    async fn signer(
        &self,
        service: Service,
        access_key_id: &str,
        session_token: Option<&str>,
        region: Region,
    ) -> Result<(Signer, bool), Refused> {
        if let Some(account) = &self.accept_any {
            return Ok((owner(account, region, access_key_id), true));
        }
        self.identity
            .identify(access_key_id, session_token, region)
            .await
            .map(|signer| (signer, false))
            .map_err(|error| refused(service, error))
    }
}

/// The owner, for whom any signature is taken in emulator use.
fn owner(account: &AccountId, region: Region, access_key_id: &str) -> Signer {
    Signer {
        secret_access_key: String::new(),
        caller: Caller {
            account: account.clone(),
            region,
            arn: format!("arn:aws:iam::{account}:root")
                .parse()
                .expect("an account makes this an ARN"),
            credential: access_key_id.to_owned(),
        },
        rights: Rights::Owner,
    }
}

impl Claim {
    /// The service's name in the credential scope.
    pub(crate) fn scope_service(&self) -> &str {
        match &self.proof {
            Proof::V4(presented) => &presented.scope.service,
            Proof::V2(_) => "s3",
        }
    }

    /// Verifies the signature; `body_hash` is the hex SHA-256 of the body where it is at hand, and
    /// `host_bucket` the bucket in the host name.
    pub(crate) fn verify(
        self,
        head: &Head,
        body_hash: Option<&str>,
        host_bucket: Option<&str>,
    ) -> Result<Authenticated, Refused> {
        let Signer {
            secret_access_key: secret,
            caller,
            rights,
        } = self.signer;
        let now = now_ms().div_euclid(1000);
        let verified = match &self.proof {
            _ if self.accept_any => Ok(None),
            Proof::V4(presented) => presented
                .verify(&head.signed(), &secret, body_hash, now)
                .map(Some),
            Proof::V2(claim) => claim.verify(head, host_bucket, &secret, now).map(|()| None),
        };
        Ok(Authenticated {
            caller,
            rights,
            verified: verified.map_err(|error| Refused::signature(self.service, &error))?,
            presented: match self.proof {
                Proof::V4(presented) => Some(presented),
                Proof::V2(_) => None,
            },
        })
    }
}

impl Authenticated {
    /// What is known of the body, also when any signature is accepted.
    pub(crate) fn payload_kind(&self, head: &Head) -> PayloadKind {
        match &self.verified {
            Some(verified) => verified.payload.clone(),
            None => head
                .header("x-amz-content-sha256")
                .and_then(PayloadKind::of)
                .unwrap_or(PayloadKind::Unsigned),
        }
    }
}

/// The service whose error words an unsigned request gets.
fn unsigned_service(head: &Head) -> Service {
    let form = head
        .header("content-type")
        .is_some_and(|value| value.starts_with("application/x-www-form-urlencoded"));
    if form { Service::Sts } else { Service::Unknown }
}

fn refused(service: Service, error: IdentifyError) -> Refused {
    match error {
        IdentifyError::Signature(error) => Refused::signature(service, &error),
        IdentifyError::Identity(error) => unavailable(service, &error),
    }
}

fn unavailable(service: Service, error: &IdentityError) -> Refused {
    let report = Report::of(error);
    tracing::error!(error = %report, "identity cannot answer");
    let code = match service.dialect() {
        Dialect::Json => "InternalServerException",
        Dialect::Query => "ServiceFailure",
        Dialect::S3 => "InternalError",
    };
    Refused {
        service,
        error: ApiError::new(500, code, report),
    }
}

/// Whether the caller may do this.
pub(crate) async fn allow(
    identity: &Identity,
    service: Service,
    rights: &Rights,
    context: &Context,
    (action, resource): (&str, &str),
) -> Result<(), Refused> {
    match identity.authorize(rights, action, resource, context).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(denied)) => Err(Refused {
            service,
            error: ApiError::new(403, service.denied_code(), denied.report),
        }),
        Err(error) => Err(unavailable(service, &error)),
    }
}

/// What conditions of a policy may ask of a request.
pub(crate) fn context_of(call: &CallContext<'_>, caller: &Caller) -> Context {
    let secure = call.peer.encrypted;
    Context::default()
        // On a listener of both families an IPv4 address comes inside an IPv6 one.
        .with(
            "aws:SourceIp",
            call.peer.address.ip().to_canonical().to_string(),
        )
        .with("aws:SecureTransport", secure.to_string())
        .with("aws:PrincipalArn", caller.arn.to_string())
        .with("aws:PrincipalAccount", caller.account.to_string())
        .with("aws:RequestedRegion", caller.region.to_string())
        .with("aws:CurrentTime", render::iso_now())
}

/// The refusal of a service that does not exist here.
pub(crate) fn no_such_service(name: &str) -> ApiError {
    ApiError::message(
        400,
        "UnknownOperationException",
        Kind::Unsupported,
        format!("the service {name} is not built here"),
    )
}
