//! Answers and errors in the form of each protocol.

use super::CallContext;
use super::service::Service;
use crate::platform::now_ms;
use sward_aws_wire::api::{ApiError, ApiResponse};
use sward_aws_wire::xml::element;
use sward_control::identity::{IAM_XMLNS, STS_XMLNS};
use sward_net::http::{self, Body, HeaderName, HeaderValue, Response, StatusCode};
use sward_sigv4::Dialect;

/// A successful answer.
pub(crate) fn answer(response: ApiResponse) -> Response<Body> {
    let body = if response.body.is_empty() {
        http::empty()
    } else {
        http::full(response.body)
    };
    let mut rendered = with_status(response.status, body);
    let headers = rendered.headers_mut();
    headers.insert(
        "content-type",
        HeaderValue::from_static(response.content_type),
    );
    for (name, value) in response.headers {
        if let (Ok(name), Ok(value)) = (
            HeaderName::from_bytes(name.as_bytes()),
            HeaderValue::from_bytes(value.as_bytes()),
        ) {
            headers.insert(name, value);
        }
    }
    rendered
}

/// An error in the words of its service's protocol.
pub(crate) fn error(service: Service, error: &ApiError, call: &CallContext<'_>) -> Response<Body> {
    match service.dialect() {
        Dialect::Json => json_error(error),
        Dialect::Query => query_error(service, error, call.request_id),
        Dialect::S3 => s3_error(error, call),
    }
}

/// restJson1: the code in a header, `message` and modeled members in the body.
pub(crate) fn json_error(error: &ApiError) -> Response<Body> {
    let mut body = error.json_body();
    if let Some(object) = body.as_object_mut() {
        object.insert("__type".to_owned(), error.code.clone().into());
    }
    let mut response = with_status(error.status, http::full(body.to_string()));
    let headers = response.headers_mut();
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    if let Ok(code) = HeaderValue::from_str(&error.code) {
        headers.insert("x-amzn-errortype", code);
    }
    if error.status == 429 || error.status >= 500 {
        headers.insert("retry-after", HeaderValue::from_static("1"));
    }
    response
}

fn query_error(service: Service, error: &ApiError, request_id: &str) -> Response<Body> {
    let xmlns = if service == Service::Iam {
        IAM_XMLNS
    } else {
        STS_XMLNS
    };
    let fault = if error.status < 500 {
        "Sender"
    } else {
        "Receiver"
    };
    let xml = format!(
        "<ErrorResponse xmlns=\"{xmlns}\"><Error>{}{}{}</Error>{}</ErrorResponse>",
        element("Type", fault),
        element("Code", &error.code),
        element("Message", &error.report.one_line()),
        element("RequestId", request_id),
    );
    let mut response = with_status(error.status, http::full(xml));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("text/xml"));
    response
}

fn s3_error(error: &ApiError, call: &CallContext<'_>) -> Response<Body> {
    sward_objects::error_response(
        error.status,
        &error.code,
        &error.report.one_line(),
        &call.head.path,
        call.request_id,
        call.head.method == "HEAD",
    )
}

fn with_status(status: u16, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() =
        StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response
}

/// Now, as ISO 8601 with milliseconds.
pub(crate) fn iso_now() -> String {
    jiff::Timestamp::from_millisecond(now_ms())
        .map_or_else(|_| String::new(), |time| format!("{time:.3}"))
}
