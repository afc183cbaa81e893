//! Every service but S3: the body is read whole, then verified, allowed and dispatched.

use super::front::{Claim, Refused, allow, context_of};
use super::render::{self, iso_now};
use super::service::Service;
use super::{CallContext, Inner};
use crate::audit::Entry;
use sward_aws_wire::api::{ApiError, ApiRequest, ApiResponse, Caller};
use sward_control::RequestedAction;
use sward_control::identity::Rights;
use sward_diagnosis::{Diagnose as _, Kind};
use sward_net::http::{Body, HttpError, IncomingRequest, Response};

impl Inner {
    pub(super) async fn aws(
        &self,
        call: &CallContext<'_>,
        claim: Claim,
        request: IncomingRequest,
    ) -> Response<Body> {
        let service = claim.service;
        let scope_service = claim.scope_service().to_owned();
        let body = match super::body_of(request).await {
            Ok(body) => body,
            Err(error) => return render::error(service, &body_error(service, &error), call),
        };
        let hash = sward_sigv4::sha256_hex(&body);
        let authenticated = match claim.verify(call.head, Some(&hash), None) {
            Ok(authenticated) => authenticated,
            Err(refused) => return refused.response(call),
        };
        let caller = &authenticated.caller;
        let request = super::request_of(call.head, body);
        let action = self.action_of(service, caller, &request);
        let result = match self
            .allowed(
                service,
                call,
                caller,
                &authenticated.rights,
                action.as_ref(),
            )
            .await
        {
            Err(refused) => Err(refused.error),
            Ok(()) if service == Service::Unknown => {
                Err(super::front::no_such_service(&scope_service))
            }
            Ok(()) => self.dispatch(service, call, caller, request).await,
        };
        let operation = action.map_or_else(
            || format!("{} {}", call.head.method, call.head.path),
            |asked| format!("{} {}", asked.action, asked.resource),
        );
        let (response, error) = match result {
            Ok(answer) => (render::answer(answer), None),
            Err(error) => {
                log(&operation, call, &error);
                (render::error(service, &error, call), Some(error.code))
            }
        };
        if is_mutating(service, call, &operation) {
            let status = response.status().as_u16();
            let entry = entry(call, service.label(), caller, operation, status, error);
            self.record(entry).await;
        }
        response
    }

    fn action_of(
        &self,
        service: Service,
        caller: &Caller,
        request: &ApiRequest,
    ) -> Option<RequestedAction> {
        match service {
            Service::Iam | Service::Sts => self
                .identity
                .action_of(service.label(), caller, request)
                .map(|(action, resource)| RequestedAction {
                    action,
                    resource,
                    also: None,
                }),
            Service::S3 | Service::Unknown => None,
            _ => self.control.action_of(service.label(), caller, request),
        }
    }

    /// A call that means no operation is let through: its service says that it knows none.
    async fn allowed(
        &self,
        service: Service,
        call: &CallContext<'_>,
        caller: &Caller,
        rights: &Rights,
        asked: Option<&RequestedAction>,
    ) -> Result<(), Refused> {
        let Some(asked) = asked else {
            return Ok(());
        };
        // Everybody may ask who they are.
        if asked.action == "sts:GetCallerIdentity" {
            return Ok(());
        }
        let context = context_of(call, caller);
        for action in std::iter::once(asked.action.as_str()).chain(asked.also) {
            let asked = (action, asked.resource.as_str());
            allow(&self.identity, service, rights, &context, asked).await?;
        }
        Ok(())
    }

    async fn dispatch(
        &self,
        service: Service,
        call: &CallContext<'_>,
        caller: &Caller,
        request: ApiRequest,
    ) -> Result<ApiResponse, ApiError> {
        match service {
            Service::Iam | Service::Sts => {
                self.identity
                    .call(service.label(), caller, &request, call.request_id)
                    .await
            }
            _ => self.control.call(service.label(), caller, request).await,
        }
    }
}

/// A line of the audit log.
pub(super) fn entry(
    call: &CallContext<'_>,
    service: &str,
    caller: &Caller,
    operation: String,
    status: u16,
    error: Option<String>,
) -> Entry {
    Entry {
        time: iso_now(),
        request_id: call.request_id.to_owned(),
        account: caller.account.to_string(),
        region: caller.region.to_string(),
        caller: caller.arn.to_string(),
        credential: caller.credential.clone(),
        service: service.to_owned(),
        operation,
        source: call.peer.address.ip().to_string(),
        status,
        error,
    }
}

fn log(operation: &str, call: &CallContext<'_>, error: &ApiError) {
    if error.status >= 500 {
        tracing::error!(operation, request_id = call.request_id, %error, "call failed");
    } else {
        tracing::info!(operation, request_id = call.request_id, %error, "call refused");
    }
}

fn is_mutating(service: Service, call: &CallContext<'_>, operation: &str) -> bool {
    match service {
        Service::Iam | Service::Sts => {
            let verb = operation
                .split_once(':')
                .map_or(operation, |(_, verb)| verb);
            !(verb.starts_with("Get") || verb.starts_with("List"))
        }
        _ => !matches!(call.head.method.as_str(), "GET" | "HEAD"),
    }
}

fn body_error(service: Service, error: &HttpError) -> ApiError {
    let report = error.report();
    let too_large = report.kind == Kind::TooLarge;
    let (status, code) = match (service, too_large) {
        (_, true) => (413, "RequestEntityTooLargeException"),
        (Service::Greengrass, false) => (400, "ValidationException"),
        (_, false) => (400, "InvalidRequestException"),
    };
    ApiError::new(status, code, report)
}
