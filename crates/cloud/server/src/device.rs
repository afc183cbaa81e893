//! The device port's HTTPS: a client certificate decides who calls; without one a signature does.

use crate::api::{
    Api, Head, body_of, json_error, render_answer, request_of, set_request_id, to_the_end,
};
use crate::platform::uuid;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use sward_aws_wire::api::ApiError;
use sward_control::{AuthenticationError, Control};
use sward_diagnosis::{Diagnose as _, Kind, Report};
use sward_net::http::{Body, Handler, IncomingRequest, Peer, Response};

/// Answers devices. Clones share everything.
#[derive(Clone)]
pub(crate) struct DeviceHandler {
    pub(crate) control: Control,
    pub(crate) api: Api,
}

impl Handler for DeviceHandler {
    fn handle(
        &self,
        request: IncomingRequest,
        peer: Arc<Peer>,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send + '_>> {
        let device = self.clone();
        to_the_end(self.api.tasks(), async move {
            let signed = request.headers().contains_key("authorization")
                || request
                    .uri()
                    .query()
                    .is_some_and(|query| query.contains("X-Amz-"));
            match &peer.certificate {
                Some(certificate) if !signed => {
                    let mut response = device.serve(request, &peer, certificate).await;
                    device.api.count_device(response.status().as_u16());
                    set_request_id(&mut response, &uuid());
                    response
                }
                _ => device.api.answer(request, &peer).await,
            }
        })
    }
}

impl DeviceHandler {
    async fn serve(
        &self,
        request: IncomingRequest,
        peer: &Peer,
        certificate: &[u8],
    ) -> Response<Body> {
        let principal = match self
            .control
            .authenticate_certificate(certificate, peer.server_name.as_deref())
            .await
        {
            Ok(principal) => principal,
            Err(error) => {
                tracing::info!(source = %peer.address, error = %error.report(), "device refused");
                return json_error(&refusal(&error));
            }
        };
        let head = Head::of(&request);
        let body = match body_of(request).await {
            Ok(body) => body,
            Err(error) => {
                let error = ApiError::new(413, "RequestEntityTooLargeException", error.report());
                return json_error(&error);
            }
        };
        match self
            .control
            .data_plane_call(&principal, request_of(&head, body))
            .await
        {
            Ok(answer) => render_answer(answer),
            Err(error) => {
                tracing::info!(
                    certificate = %principal.certificate_id,
                    method = head.method,
                    path = head.path,
                    %error,
                    "device call refused"
                );
                json_error(&error)
            }
        }
    }
}

fn refusal(error: &AuthenticationError) -> ApiError {
    let report = Report::of(error);
    if report.kind == Kind::Unauthenticated {
        ApiError::new(403, "ForbiddenException", report)
    } else {
        ApiError::new(500, "InternalFailureException", report)
    }
}
