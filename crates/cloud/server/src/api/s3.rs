//! S3: the signature is verified over the head, the body streams on with what it must match.

use super::aws::entry;
use super::front::{Authenticated, Claim, allow, context_of};
use super::service::Service;
use super::{CallContext, Inner};
use async_trait::async_trait;
use http_body_util::BodyExt as _;
use sward_aws_wire::api::Caller;
use sward_control::identity::{Identity, Rights};
use sward_net::http::{Body, IncomingRequest, Response};
use sward_objects::{Access, Code, S3Error, S3Request, Upload, bucket_of_host};
use sward_policy::iam::Context;
use sward_sigv4::{ChunkedDecoder, PayloadKind};

/// A verified caller of S3 with its rights.
struct SignedAccess<'a> {
    identity: &'a Identity,
    caller: &'a Caller,
    rights: &'a Rights,
    context: Context,
}

#[async_trait]
impl Access for SignedAccess<'_> {
    fn caller(&self) -> &Caller {
        self.caller
    }

    async fn check(&self, action: &str, resource: &str) -> Result<(), S3Error> {
        let asked = (action, resource);
        allow(
            self.identity,
            Service::S3,
            self.rights,
            &self.context,
            asked,
        )
        .await
        .map_err(|refused| S3Error::Reported {
            code: if refused.error.status == 403 {
                Code::AccessDenied
            } else {
                Code::InternalError
            },
            report: refused.error.report,
        })
    }
}

impl Inner {
    pub(super) async fn s3(
        &self,
        call: &CallContext<'_>,
        claim: Claim,
        request: IncomingRequest,
    ) -> Response<Body> {
        let host = call.head.header("host").unwrap_or_default();
        let host_bucket = bucket_of_host(host, &self.hostnames);
        let authenticated = match claim.verify(call.head, None, host_bucket) {
            Ok(authenticated) => authenticated,
            Err(refused) => return refused.response(call),
        };
        let is_head = call.head.method == "HEAD";
        let failed = |error: &S3Error| {
            let code = error.s3_code();
            if code.status() >= 500 {
                let report = sward_diagnosis::Diagnose::report(error);
                tracing::error!(path = call.head.path, error = %report, "S3 call failed");
            } else {
                tracing::debug!(
                    path = call.head.path,
                    code = code.as_str(),
                    "S3 call refused"
                );
            }
            error.response(&call.head.path, call.request_id, is_head)
        };
        let parsed = S3Request::parse(
            &call.head.method,
            &call.head.path,
            call.head.query(),
            call.head.headers.clone(),
            host_bucket,
        );
        let s3_request = match parsed {
            Ok(parsed) => parsed,
            Err(error) => return failed(&error),
        };
        let upload = upload_of(call, &authenticated, request);
        let access = SignedAccess {
            identity: &self.identity,
            caller: &authenticated.caller,
            rights: &authenticated.rights,
            context: with_list_keys(context_of(call, &authenticated.caller), &s3_request),
        };
        let result = self.objects.call(&s3_request, upload, &access).await;
        let (response, error) = match result {
            Ok(response) => (response, None),
            Err(error) => (failed(&error), Some(error.s3_code().as_str().to_owned())),
        };
        if s3_request.operation.is_mutating() {
            let operation = format!(
                "{} {}",
                s3_request.operation.action(),
                s3_request.resource()
            );
            let status = response.status().as_u16();
            self.record(entry(
                call,
                "s3",
                &authenticated.caller,
                operation,
                status,
                error,
            ))
            .await;
        }
        response
    }
}

fn with_list_keys(context: Context, request: &S3Request) -> Context {
    ["prefix", "delimiter", "max-keys"]
        .into_iter()
        .fold(context, |context, name| match request.query(name) {
            Some(value) => context.with(&format!("s3:{name}"), value),
            None => context,
        })
}

fn upload_of(
    call: &CallContext<'_>,
    authenticated: &Authenticated,
    request: IncomingRequest,
) -> Upload {
    let kind = authenticated.payload_kind(call.head);
    let decoder = match (&authenticated.verified, &authenticated.presented, &kind) {
        (Some(verified), Some(presented), _) => {
            ChunkedDecoder::new(verified, &presented.date, &presented.scope)
        }
        (_, _, PayloadKind::SignedChunks { .. } | PayloadKind::UnsignedChunks) => {
            Some(ChunkedDecoder::unsigned())
        }
        _ => None,
    };
    Upload {
        body: request.into_body().map_err(Into::into).boxed(),
        decoder,
        sha256: match kind {
            PayloadKind::Hash(hash) if authenticated.verified.is_some() => Some(hash),
            _ => None,
        },
    }
}
