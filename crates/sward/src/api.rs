//! A small signed client of the cloud's AWS APIs, for `sward up` and `sward device create`.

use crate::place::{AccessKey, CloudDirectory};
use bytes::Bytes;
use http::{Request, StatusCode};
use serde_json::Value;
use std::borrow::Cow;
use sward_diagnosis::{Diagnose, Kind, Place, Report};
use sward_net::http::{Body, ClientOptions, HttpError};
use sward_task::Tasks;
use thiserror::Error;

/// The largest answer read.
const ANSWER_LIMIT: usize = 4 << 20;

/// A call that was not answered with success.
#[derive(Debug, Error)]
pub(crate) enum Refusal {
    /// The cloud said no, by AWS's code.
    #[error("{operation} was refused: {code}: {message}")]
    Refused {
        operation: String,
        status: StatusCode,
        code: String,
        message: String,
    },
    /// The cloud could not be asked.
    #[error("cannot ask the cloud for {operation}")]
    Exchange {
        operation: String,
        url: String,
        source: HttpError,
    },
    /// The request could not be built or signed.
    #[error("cannot build the request {operation}: {reason}")]
    Build { operation: String, reason: String },
}

impl Refusal {
    /// AWS's error code.
    pub(crate) fn code(&self) -> Option<&str> {
        match self {
            Refusal::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the thing asked for does not exist.
    pub(crate) fn is_missing(&self) -> bool {
        matches!(
            self.code(),
            Some("ResourceNotFoundException" | "NoSuchEntity")
        )
    }
}

impl Diagnose for Refusal {
    fn kind(&self) -> Kind {
        match self {
            Refusal::Refused { status, .. } if *status == StatusCode::FORBIDDEN => Kind::Denied,
            Refusal::Refused { status, .. } if status.is_server_error() => Kind::Unavailable,
            Refusal::Refused { .. } => Kind::Invalid,
            Refusal::Exchange { source, .. } => source.kind(),
            Refusal::Build { .. } => Kind::Internal,
        }
    }
    fn code(&self) -> &'static str {
        "cloud-api"
    }
    fn place(&self) -> Option<Place> {
        match self {
            Refusal::Exchange { url, .. } => Some(Place::Url { url: url.clone() }),
            _ => None,
        }
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Refusal::Exchange { .. } => {
                Some("is the cloud running? start it with `sward up` or `sward cloud`".into())
            }
            _ => None,
        }
    }
    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            Refusal::Exchange { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<Refusal> for Report {
    fn from(refusal: Refusal) -> Report {
        refusal.report()
    }
}

/// A client that signs with the cloud's own access key.
pub(crate) struct Client {
    http: sward_net::http::Client,
    /// URL without a final slash.
    url: String,
    region: String,
    key: AccessKey,
}

impl Client {
    /// A client of the cloud whose data directory this is.
    pub(crate) fn new(cloud: &CloudDirectory) -> Result<Self, Report> {
        let endpoints = cloud.endpoints()?;
        let tls = if endpoints.api.starts_with("https:") {
            let roots =
                sward_net::tls::Roots::from_file(&cloud.ca()).map_err(|error| error.report())?;
            Some(sward_net::tls::client_config(&roots, None, &[]).map_err(|error| error.report())?)
        } else {
            None
        };
        Ok(Client {
            http: sward_net::http::Client::new(&Tasks::new(), tls, ClientOptions::default()),
            url: endpoints.api.trim_end_matches('/').to_owned(),
            region: endpoints.region,
            key: cloud.access_key()?,
        })
    }

    /// A restJson1 call; `path` may carry a query. `Value::Null` sends no body.
    pub(crate) async fn json(
        &self,
        service: &str,
        method: &str,
        path: &str,
        body: &Value,
    ) -> Result<Value, Refusal> {
        let bytes = if body.is_null() {
            Vec::new()
        } else {
            body.to_string().into_bytes()
        };
        self.call(service, method, path, "application/json", &[], bytes)
            .await
    }

    /// A restJson1 call without a body and with further headers.
    pub(crate) async fn with_headers(
        &self,
        service: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Result<Value, Refusal> {
        self.call(
            service,
            method,
            path,
            "application/json",
            headers,
            Vec::new(),
        )
        .await
    }

    /// An AWS Query call; the XML of the answer is not read.
    pub(crate) async fn form(
        &self,
        service: &str,
        fields: &[(&str, &str)],
    ) -> Result<Value, Refusal> {
        let mut body = String::from("Version=2010-05-08");
        for (name, value) in fields {
            let value =
                percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC);
            body.push_str(&format!("&{name}={value}"));
        }
        self.call(
            service,
            "POST",
            "/",
            "application/x-www-form-urlencoded",
            &[],
            body.into_bytes(),
        )
        .await
    }

    async fn call(
        &self,
        service: &str,
        method: &str,
        path: &str,
        content_type: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Value, Refusal> {
        let operation = format!("{service} {method} {path}");
        let url = format!("{}{path}", self.url);
        let request = self
            .signed(service, method, &url, content_type, headers, body)
            .map_err(|reason| Refusal::Build {
                operation: operation.clone(),
                reason,
            })?;
        let exchange = |source| Refusal::Exchange {
            operation: operation.clone(),
            url: url.clone(),
            source,
        };
        let answer = self.http.send(request).await.map_err(exchange)?;
        let (head, body) = answer.into_parts();
        let bytes = sward_net::http::collect(body, ANSWER_LIMIT)
            .await
            .map_err(exchange)?;
        let json: Value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if head.status.is_success() {
            return Ok(json);
        }
        let named = head
            .headers
            .get("x-amzn-errortype")
            .and_then(|value| value.to_str().ok());
        let text = String::from_utf8_lossy(&bytes);
        let code = named
            .map(|value| value.split(':').next().unwrap_or(value))
            .or_else(|| between(&text, "<Code>", "</Code>"))
            .unwrap_or(head.status.as_str());
        let message = json["message"]
            .as_str()
            .or_else(|| between(&text, "<Message>", "</Message>"));
        Err(Refusal::Refused {
            operation,
            status: head.status,
            code: code.to_owned(),
            message: message.unwrap_or_default().to_owned(),
        })
    }

    fn signed(
        &self,
        service: &str,
        method: &str,
        url: &str,
        content_type: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Request<Body>, String> {
        let uri: http::Uri = url
            .parse()
            .map_err(|error: http::uri::InvalidUri| error.to_string())?;
        let host = uri
            .authority()
            .ok_or_else(|| format!("{url} has no host"))?
            .to_string();
        let mut all = vec![
            ("host".to_owned(), host),
            ("content-type".to_owned(), content_type.to_owned()),
        ];
        all.extend(
            headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        );
        let credentials = sward_sigv4::Credentials {
            access_key_id: self.key.id.clone(),
            secret_access_key: self.key.secret.clone(),
            session_token: None,
        };
        let unsigned = sward_sigv4::Request {
            method,
            path: uri.path(),
            query: uri.query().unwrap_or_default(),
            headers: &all,
        };
        let added = sward_sigv4::sign(
            &unsigned,
            sward_sigv4::Payload::Bytes(&body),
            &credentials,
            &self.region,
            service,
            unix_seconds()?,
        );
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in all.iter().chain(&added) {
            request = request.header(name, value);
        }
        request
            .body(sward_net::http::full(Bytes::from(body)))
            .map_err(|error| error.to_string())
    }
}

fn unix_seconds() -> Result<i64, String> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_err(|error| error.to_string())?;
    i64::try_from(now.as_secs()).map_err(|error| error.to_string())
}

fn between<'a>(text: &'a str, open: &str, close: &str) -> Option<&'a str> {
    let rest = &text[text.find(open)? + open.len()..];
    Some(&rest[..rest.find(close)?])
}
