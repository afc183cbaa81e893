//! The API port: one URL for every AWS service, told apart by the scope of the signature.

mod aws;
mod call;
mod front;
mod presign_v2;
mod render;
mod s3;
mod service;

use crate::audit::{Audit, Entry};
use crate::metrics::Metrics;
use crate::options::CloudOptions;
use crate::platform::uuid;
use front::Front;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use sward_control::Control;
use sward_control::identity::Identity;
use sward_gateway::Hub;
use sward_net::http::{self, Body, Handler, HeaderValue, IncomingRequest, Peer, Response};
use sward_objects::Objects;
use sward_task::Tasks;

pub(crate) use call::{Head, body_of, request_of};
pub(crate) use render::{answer as render_answer, json_error};
pub(crate) use service::Service;

/// Everything that answers API calls. Clones share it.
#[derive(Clone)]
pub(crate) struct Api {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    front: Front,
    control: Control,
    identity: Identity,
    objects: Objects,
    hub: Hub,
    metrics: Metrics,
    audit: Audit,
    hostnames: Vec<String>,
    tasks: Tasks,
}

impl Api {
    pub(crate) fn new(
        options: &CloudOptions,
        control: Control,
        identity: Identity,
        objects: Objects,
        hub: Hub,
        audit: Audit,
        tasks: &Tasks,
    ) -> Self {
        Api {
            inner: Arc::new(Inner {
                front: Front::new(identity.clone(), options),
                control,
                identity,
                objects,
                hub,
                metrics: Metrics::default(),
                audit,
                hostnames: options.hostnames.clone(),
                tasks: tasks.clone(),
            }),
        }
    }

    /// Answers one request.
    pub(crate) async fn answer(&self, request: IncomingRequest, peer: &Peer) -> Response<Body> {
        let inner = &*self.inner;
        let request_id = uuid();
        let head = Head::of(&request);
        if let Some(mut response) = inner.open_page(&head) {
            set_request_id(&mut response, &request_id);
            return response;
        }
        let call = CallContext {
            request_id: &request_id,
            head: &head,
            peer,
        };
        let mut response = Box::pin(inner.serve(&call, request)).await;
        set_request_id(&mut response, &request_id);
        response
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.inner.tasks
    }

    /// Counts a call that the device port answered.
    pub(crate) fn count_device(&self, status: u16) {
        self.inner.metrics.count("device", status);
    }
}

impl Handler for Api {
    fn handle(
        &self,
        request: IncomingRequest,
        peer: Arc<Peer>,
    ) -> Pin<Box<dyn Future<Output = Response<Body>> + Send + '_>> {
        let api = self.clone();
        to_the_end(&self.inner.tasks, async move {
            api.answer(request, &peer).await
        })
    }
}

/// Answers in a task of its own, which goes on when the client leaves: between a commit and what
/// follows from it (a compiled policy is forgotten, a device is disconnected) nothing may stop.
pub(crate) fn to_the_end(
    tasks: &Tasks,
    answer: impl Future<Output = Response<Body>> + Send + 'static,
) -> Pin<Box<dyn Future<Output = Response<Body>> + Send + 'static>> {
    let answer = tasks.spawn("api-call", answer);
    Box::pin(async move {
        answer.await.unwrap_or_else(|_| {
            let mut response = Response::new(http::empty());
            *response.status_mut() = http::StatusCode::INTERNAL_SERVER_ERROR;
            response
        })
    })
}

/// One call on its way through.
pub(crate) struct CallContext<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) head: &'a Head,
    pub(crate) peer: &'a Peer,
}

impl Inner {
    /// Health, metrics and the console's place, which need no signature.
    fn open_page(&self, head: &Head) -> Option<Response<Body>> {
        let is_read = matches!(head.method.as_str(), "GET" | "HEAD");
        // A presigned URL may name an object or a bucket that is called like one of these.
        let is_presigned = ["X-Amz-", "AWSAccessKeyId="]
            .iter()
            .any(|name| head.raw_query.contains(name));
        if !is_read || is_presigned || head.header("authorization").is_some() {
            return None;
        }
        match head.path.as_str() {
            "/healthz" => Some(plain("ok\n".to_owned())),
            "/metrics" => Some(plain(self.metrics.render(self.hub.counts()))),
            "/console" => Some(console_not_built()),
            _ => None,
        }
    }

    async fn serve(&self, call: &CallContext<'_>, request: IncomingRequest) -> Response<Body> {
        let (response, service) = match self.front.begin(call.head).await {
            Err(refused) => {
                let service = refused.service;
                (refused.response(call), service)
            }
            Ok(claim) if claim.service == Service::S3 => {
                (self.s3(call, claim, request).await, Service::S3)
            }
            Ok(claim) => {
                let service = claim.service;
                (self.aws(call, claim, request).await, service)
            }
        };
        self.metrics
            .count(service.label(), response.status().as_u16());
        response
    }

    pub(crate) async fn record(&self, entry: Entry) {
        self.audit.record(entry).await;
    }
}

/// `endpoints.json` names the console already; until it is there, its place says so.
fn console_not_built() -> Response<Body> {
    let text = "the web console is not built yet; use the AWS CLI: eval \"$(sward env)\"\n";
    let mut response = plain(text.to_owned());
    *response.status_mut() = http::StatusCode::NOT_IMPLEMENTED;
    response
}

fn plain(text: String) -> Response<Body> {
    let mut response = Response::new(http::full(text));
    response.headers_mut().insert(
        "content-type",
        HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8"),
    );
    response
}

/// Under each name that some client reads.
pub(crate) fn set_request_id(response: &mut Response<Body>, request_id: &str) {
    if let Ok(value) = HeaderValue::from_str(request_id) {
        let headers = response.headers_mut();
        headers.insert("x-amzn-requestid", value.clone());
        headers.insert("x-amz-request-id", value);
    }
}
