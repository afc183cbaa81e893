//! Artifacts of both schemes, opened at any byte.

use super::{CloudCallError, DataPlane, Service, read_small, refusal};
use crate::s3::S3;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use sward_net::http::{Body, Client, HttpError, empty};

/// Opens `s3://BUCKET/KEY` and `greengrass:NAME` artifacts.
#[derive(Clone)]
pub struct Artifacts {
    data_plane: DataPlane,
    s3: S3,
    /// For pre-signed URLs: trusts the root CA file alone, shows no certificate.
    plain: Client,
}

/// An artifact on its way.
pub struct ArtifactStream {
    /// Length of the whole artifact, where the other side says it.
    pub total_bytes: Option<u64>,
    /// Place of the first byte of the body in the artifact: what was asked, or 0 when the other
    /// side ignored that.
    pub offset: u64,
    url: String,
    body: Body,
}

impl Artifacts {
    /// Opens artifacts by these clients.
    #[must_use]
    pub fn new(data_plane: DataPlane, s3: S3, plain: Client) -> Self {
        Artifacts {
            data_plane,
            s3,
            plain,
        }
    }

    /// Opens an artifact from byte `offset` on. `component_arn` is needed by `greengrass:` only.
    pub async fn open(
        &self,
        uri: &str,
        component_arn: Option<&str>,
        offset: u64,
    ) -> Result<ArtifactStream, CloudCallError> {
        if let Some(place) = uri.strip_prefix("s3://") {
            let (bucket, key) = place
                .split_once('/')
                .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
                .ok_or_else(|| CloudCallError::url(uri, "a bucket and a key are expected"))?;
            return self.s3.get(bucket, key, offset).await;
        }
        let Some(name) = uri.strip_prefix("greengrass:") else {
            return Err(CloudCallError::url(
                uri,
                "only s3: and greengrass: can be fetched",
            ));
        };
        let arn = component_arn.ok_or_else(|| {
            CloudCallError::url(uri, "the component version has no ARN of a cloud")
        })?;
        let url = self.data_plane.artifact_url(arn, name).await?;
        self.open_url(&url, offset).await
    }

    /// Opens a pre-signed URL.
    pub async fn open_url(&self, url: &str, offset: u64) -> Result<ArtifactStream, CloudCallError> {
        let mut request = Request::get(url);
        if offset > 0 {
            request = request.header("range", format!("bytes={offset}-"));
        }
        let request = request
            .body(empty())
            .map_err(|error| CloudCallError::url(url, &error.to_string()))?;
        let sent = self.plain.send(request).await;
        let response = sent.map_err(|source| CloudCallError::unreachable(url, source))?;
        match ArtifactStream::of_response(url, offset, response) {
            Ok(stream) => Ok(stream),
            Err(response) => {
                let (head, body) = (*response).into_parts();
                let body = read_small(url, body).await?;
                let response = Response::from_parts(head, ());
                Err(refusal(Service::S3, "GetObject", &response, &body))
            }
        }
    }
}

impl ArtifactStream {
    /// The stream of a good answer, or the answer back.
    pub(crate) fn of_response(
        url: &str,
        asked: u64,
        response: Response<Body>,
    ) -> Result<ArtifactStream, Box<Response<Body>>> {
        let headers = response.headers();
        let (offset, total_bytes) = match response.status() {
            StatusCode::OK => (0, number(headers, "content-length")),
            StatusCode::PARTIAL_CONTENT => match content_range(headers) {
                Some((from, total)) => (from, total),
                None => (asked, None),
            },
            // Nothing is left behind the byte asked for.
            StatusCode::RANGE_NOT_SATISFIABLE if asked > 0 => {
                let total = content_range(headers).and_then(|(_, total)| total);
                return Ok(ArtifactStream {
                    total_bytes: total,
                    offset: asked,
                    url: String::new(),
                    body: empty(),
                });
            }
            _ => return Err(Box::new(response)),
        };
        Ok(ArtifactStream {
            total_bytes,
            offset,
            url: url.to_owned(),
            body: response.into_body(),
        })
    }

    /// The bytes, piece by piece. Ends after the first error.
    pub fn chunks(self) -> impl Stream<Item = Result<Bytes, CloudCallError>> + Send + 'static {
        stream::unfold(Some((self.body, self.url)), |state| async move {
            let (mut body, url) = state?;
            loop {
                match body.frame().await? {
                    Ok(frame) => {
                        // Trailers are not bytes.
                        if let Ok(data) = frame.into_data() {
                            return Some((Ok(data), Some((body, url))));
                        }
                    }
                    Err(error) => {
                        let error = CloudCallError::unreachable(&url, HttpError::Body(error));
                        return Some((Err(error), None));
                    }
                }
            }
        })
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// `bytes 5-9/10` is `(5, Some(10))`; `bytes */10` is `(0, Some(10))`.
fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let text = headers.get("content-range")?.to_str().ok()?;
    let (range, total) = text.trim().strip_prefix("bytes ")?.split_once('/')?;
    let from = match range.split_once('-') {
        Some((from, _)) => from.trim().parse().ok()?,
        None => 0,
    };
    Some((from, total.trim().parse().ok()))
}
