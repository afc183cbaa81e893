//! Objects of S3, with the credentials of the token exchange.
//!
//! One signed, ranged GET for each artifact: its answer carries the whole length, so neither
//! GetBucketLocation nor HEAD is asked (AWS's nucleus asks six questions an object). A bucket in
//! another region answers with its region's name; that is remembered, and the request repeated.

use crate::credentials::Credentials;
use crate::credentials::CredentialsHandle;
use crate::data_plane::{ArtifactStream, CloudCallError, Service, read_small, segments};
use crate::data_plane::{dns_suffix, is_stale_credentials};
use http::{HeaderMap, Method, Request, Response, Uri};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use sward_net::http::{Body, Client, empty};
use sward_sigv4::Payload;

/// Where S3 is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum S3Endpoint {
    /// AWS, by region and bucket.
    Aws,
    /// This URL for everything, buckets in the path: `http://127.0.0.1:8080`.
    Url(String),
}

/// The client of S3. Cheap to clone.
#[derive(Clone)]
pub struct S3 {
    shared: Arc<Shared>,
}

struct Shared {
    endpoint: S3Endpoint,
    region: String,
    client: Client,
    credentials: CredentialsHandle,
    /// Regions of buckets that are elsewhere.
    regions: Mutex<HashMap<String, String>>,
}

/// How an object is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHead {
    pub bytes: Option<u64>,
    pub etag: Option<String>,
}

impl S3 {
    /// A client. `region` is the device's; `client` trusts the roots for the endpoint.
    #[must_use]
    pub fn new(
        endpoint: S3Endpoint,
        region: &str,
        client: Client,
        credentials: CredentialsHandle,
    ) -> Self {
        S3 {
            shared: Arc::new(Shared {
                endpoint,
                region: region.to_owned(),
                client,
                credentials,
                regions: Mutex::new(HashMap::new()),
            }),
        }
    }

    /// Opens an object from byte `offset` on.
    pub async fn get(
        &self,
        bucket: &str,
        key: &str,
        offset: u64,
    ) -> Result<ArtifactStream, CloudCallError> {
        let (url, response) = self.send(Method::GET, bucket, key, offset).await?;
        match ArtifactStream::of_response(&url, offset, response) {
            Ok(stream) => Ok(stream),
            Err(response) => Err(refused("GetObject", &url, *response).await),
        }
    }

    /// What is known of an object.
    pub async fn head(&self, bucket: &str, key: &str) -> Result<ObjectHead, CloudCallError> {
        let (url, response) = self.send(Method::HEAD, bucket, key, 0).await?;
        if !response.status().is_success() {
            return Err(refused("HeadObject", &url, response).await);
        }
        let text = |name: &str| {
            let value = response.headers().get(name)?;
            value.to_str().ok().map(String::from)
        };
        Ok(ObjectHead {
            bytes: text("content-length").and_then(|length| length.parse().ok()),
            etag: text("etag"),
        })
    }

    /// Sends, follows a bucket to its region and renews credentials, each at most once.
    async fn send(
        &self,
        method: Method,
        bucket: &str,
        key: &str,
        offset: u64,
    ) -> Result<(String, Response<Body>), CloudCallError> {
        let mut region = self.region_of(bucket);
        let (mut moved, mut renewed) = (false, false);
        loop {
            let url = self.url(bucket, key, &region);
            let credentials = self.credentials(&url).await?;
            let request = signed(&method, &url, &region, offset, &credentials)?;
            let sent = self.shared.client.send(request).await;
            let response = sent.map_err(|source| CloudCallError::unreachable(&url, source))?;
            let status = response.status().as_u16();
            let elsewhere = header(response.headers(), "x-amz-bucket-region")
                .filter(|other| matches!(status, 301 | 307 | 400) && *other != region);
            if let (Some(other), false) = (elsewhere, moved) {
                moved = true;
                region = other;
                self.remember(bucket, &region);
                continue;
            }
            if !matches!(status, 400 | 401 | 403) || renewed {
                return Ok((url, response));
            }
            let (head, body) = response.into_parts();
            let body = read_small(&url, body).await?;
            if !is_stale_credentials(&xml_text(&body, "Code")) {
                let body = sward_net::http::full(body);
                return Ok((url, Response::from_parts(head, body)));
            }
            renewed = true;
            self.shared.credentials.forget(&credentials);
        }
    }

    async fn credentials(&self, url: &str) -> Result<Credentials, CloudCallError> {
        let found = self.shared.credentials.get().await;
        found.map_err(|failure| CloudCallError::NoCredentials {
            url: url.to_owned(),
            reason: failure.to_string(),
        })
    }

    fn region_of(&self, bucket: &str) -> String {
        let regions = self.shared.regions.lock();
        let regions = regions.unwrap_or_else(PoisonError::into_inner);
        regions.get(bucket).unwrap_or(&self.shared.region).clone()
    }

    fn remember(&self, bucket: &str, region: &str) {
        let regions = self.shared.regions.lock();
        let mut regions = regions.unwrap_or_else(PoisonError::into_inner);
        regions.insert(bucket.to_owned(), region.to_owned());
    }

    fn url(&self, bucket: &str, key: &str, region: &str) -> String {
        let key = segments(key);
        match &self.shared.endpoint {
            S3Endpoint::Url(base) => format!("{}/{bucket}/{key}", base.trim_end_matches('/')),
            S3Endpoint::Aws => {
                let suffix = dns_suffix(region);
                // A dot in a bucket's name does not fit AWS's wildcard certificate.
                if bucket.contains('.') || bucket.parse::<IpAddr>().is_ok() {
                    format!("https://s3.{region}.{suffix}/{bucket}/{key}")
                } else {
                    format!("https://{bucket}.s3.{region}.{suffix}/{key}")
                }
            }
        }
    }
}

fn signed(
    method: &Method,
    url: &str,
    region: &str,
    offset: u64,
    credentials: &Credentials,
) -> Result<Request<Body>, CloudCallError> {
    let bad = |reason: &str| CloudCallError::url(url, reason);
    let uri: Uri = url.parse().map_err(|_| bad("it is not a URL"))?;
    let authority = uri.authority().ok_or_else(|| bad("it has no host"))?;
    let mut headers = vec![("host".to_owned(), authority.to_string())];
    if offset > 0 {
        headers.push(("range".to_owned(), format!("bytes={offset}-")));
    }
    let request = sward_sigv4::Request {
        method: method.as_str(),
        path: uri.path(),
        query: "",
        headers: &headers,
    };
    let keys = sward_sigv4::Credentials {
        access_key_id: credentials.access_key_id.clone(),
        secret_access_key: credentials.secret_access_key.clone(),
        session_token: Some(credentials.session_token.clone()),
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_or(0, |since| since.as_secs() as i64);
    let added = sward_sigv4::sign(&request, Payload::Bytes(b""), &keys, region, "s3", now);
    headers.extend(added);
    let mut request = Request::builder().method(method.clone()).uri(url);
    for (name, value) in &headers {
        request = request.header(name, value);
    }
    request
        .body(empty())
        .map_err(|error| bad(&error.to_string()))
}

async fn refused(operation: &'static str, url: &str, response: Response<Body>) -> CloudCallError {
    let status = response.status().as_u16();
    let body = match read_small(url, response.into_body()).await {
        Ok(body) => body,
        Err(error) => return error,
    };
    let exception = xml_text(&body, "Code");
    if is_stale_credentials(&exception) {
        return CloudCallError::NoCredentials {
            url: url.to_owned(),
            reason: xml_text(&body, "Message"),
        };
    }
    let message = match xml_text(&body, "Message") {
        empty if empty.is_empty() => match status {
            403 => "access denied".to_owned(),
            404 => "there is no such object".to_owned(),
            _ => "the object store gives no reason".to_owned(),
        },
        message => message,
    };
    CloudCallError::Refused {
        service: Service::S3,
        operation,
        status,
        exception,
        message: format!("{message} ({})", url.split('?').next().unwrap_or(url)),
    }
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name)?.to_str().ok().map(String::from)
}

/// The text of the first element of this name; error answers of S3 are flat.
fn xml_text(body: &[u8], name: &str) -> String {
    let text = String::from_utf8_lossy(body);
    let found = text
        .split_once(&format!("<{name}>"))
        .and_then(|(_, rest)| rest.split_once(&format!("</{name}>")));
    found.map_or_else(String::new, |(inside, _)| inside.trim().to_owned())
}

#[cfg(test)]
mod tests;
