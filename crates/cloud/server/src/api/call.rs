//! A request in the forms that its readers want: raw for the signature, neutral for the services.

use percent_encoding::percent_decode_str;
use sward_aws_wire::api::ApiRequest;
use sward_net::http::{HttpError, IncomingRequest, collect};
use sward_sigv4::Request as SignedRequest;

/// Largest body of a call that is not to S3, in bytes. A deployment's configuration may have 10 MiB.
const MOST_BODY: usize = 16 * 1024 * 1024;

/// The head of a request, as it travelled.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) raw_query: String,
    /// Lower-case names.
    pub(crate) headers: Vec<(String, String)>,
}

impl Head {
    pub(crate) fn of(request: &IncomingRequest) -> Self {
        let mut headers: Vec<(String, String)> = request
            .headers()
            .iter()
            .map(|(name, value)| {
                let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
                (name.as_str().to_owned(), value)
            })
            .collect();
        // HTTP/1.1 in absolute form names the host in its target.
        if !headers.iter().any(|(name, _)| name == "host")
            && let Some(authority) = request.uri().authority()
        {
            headers.push(("host".to_owned(), authority.to_string()));
        }
        Head {
            method: request.method().as_str().to_owned(),
            path: request.uri().path().to_owned(),
            raw_query: request.uri().query().unwrap_or_default().to_owned(),
            headers,
        }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn signed(&self) -> SignedRequest<'_> {
        SignedRequest {
            method: &self.method,
            path: &self.path,
            query: &self.raw_query,
            headers: &self.headers,
        }
    }

    /// Decoded pairs; a `+` is a blank, as forms have it.
    pub(crate) fn query(&self) -> Vec<(String, String)> {
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned()
        };
        self.raw_query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                (decode(name), decode(value))
            })
            .collect()
    }
}

/// The whole body of a call that is not to S3.
pub(crate) async fn body_of(request: IncomingRequest) -> Result<bytes::Bytes, HttpError> {
    collect(request.into_body(), MOST_BODY).await
}

/// The neutral form.
pub(crate) fn request_of(head: &Head, body: bytes::Bytes) -> ApiRequest {
    ApiRequest {
        method: head.method.clone(),
        path: head.path.clone(),
        query: head.query(),
        headers: head.headers.clone(),
        body,
    }
}
