//! Who calls: the claim of a signature, the signer that it names, and whether it holds.
//!
//! The signer is looked up before the body is read, so that strangers cannot make us read much.

use super::CallContext;
use super::call::Head;
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
    accept_any: Option<AccountId>,
}

/// A claim whose signer is known and whose signature is not verified yet.
pub(crate) struct Claim {
    pub(crate) service: Service,
    pub(crate) presented: Presented,
    signer: Signer,
    accept_any: bool,
}

/// A caller whose signature holds.
pub(crate) struct Authenticated {
    pub(crate) caller: Caller,
    pub(crate) rights: Rights,
    /// What the signature says about the body; nothing when any signature is accepted.
    pub(crate) verified: Option<Verified>,
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
            accept_any: accept_any.then(|| options.account.clone()),
        }
    }

    /// Reads the claim and finds its signer.
    pub(crate) async fn begin(&self, head: &Head) -> Result<Claim, Refused> {
        let presented = Presented::parse(&head.signed())
            .map_err(|error| Refused::signature(unsigned_service(head), &error))?;
        let service = Service::of_scope(&presented.scope.service);
        let (signer, accept_any) = match &self.accept_any {
            Some(account) => (self.owner(account, &presented), true),
            None => (
                self.identity
                    .identify(&presented)
                    .await
                    .map_err(|error| refused(service, error))?,
                false,
            ),
        };
        Ok(Claim {
            service,
            presented,
            signer,
            accept_any,
        })
    }

    fn owner(&self, account: &AccountId, presented: &Presented) -> Signer {
        let region: Region = presented.scope.region.parse().unwrap_or_default();
        Signer {
            secret_access_key: String::new(),
            caller: Caller {
                account: account.clone(),
                region,
                arn: format!("arn:aws:iam::{account}:root")
                    .parse()
                    .expect("an account makes this an ARN"),
                credential: presented.access_key_id.clone(),
            },
            rights: Rights::Owner,
        }
    }
}

impl Claim {
    /// Verifies the signature; `body_hash` is the hex SHA-256 of the body where it is at hand.
    pub(crate) fn verify(
        self,
        head: &Head,
        body_hash: Option<&str>,
    ) -> Result<Authenticated, Refused> {
        let Signer {
            secret_access_key,
            caller,
            rights,
        } = self.signer;
        let verified = if self.accept_any {
            None
        } else {
            let now = now_ms().div_euclid(1000);
            let verified = self
                .presented
                .verify(&head.signed(), &secret_access_key, body_hash, now)
                .map_err(|error| Refused::signature(self.service, &error))?;
            Some(verified)
        };
        Ok(Authenticated {
            caller,
            rights,
            verified,
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
        .with("aws:SourceIp", call.peer.address.ip().to_string())
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
