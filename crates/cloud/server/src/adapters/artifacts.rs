//! Control's view of the object store: digests with the caller's rights, and presigned URLs.

use crate::platform::now_ms;
use async_trait::async_trait;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::sync::OnceLock;
use sward_aws_wire::api::Caller;
use sward_control::identity::Identity;
use sward_control::{ArtifactDigest, ArtifactError, ArtifactReader};
use sward_diagnosis::Diagnose as _;
use sward_model::{AccountId, Region};
use sward_objects::Objects;
use sward_policy::iam::Context;
use sward_sigv4::{Credentials, Request, presign};

/// How long a presigned URL of an artifact is good.
const PRESIGN_SECONDS: u32 = 3600;

const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'/');

/// Artifacts in our own buckets.
pub(crate) struct ObjectArtifacts {
    pub(crate) objects: Objects,
    pub(crate) identity: Identity,
    /// The API's URL, known once its listener is bound.
    pub(crate) api: OnceLock<String>,
}

fn parse(uri: &str) -> Result<(&str, &str), ArtifactError> {
    uri.strip_prefix("s3://")
        .and_then(|rest| rest.split_once('/'))
        .filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty())
        .ok_or_else(|| inaccessible("not of the form s3://BUCKET/KEY"))
}

fn inaccessible(detail: impl Into<String>) -> ArtifactError {
    ArtifactError::Inaccessible {
        detail: detail.into(),
    }
}

fn unavailable(detail: impl Into<String>) -> ArtifactError {
    ArtifactError::Unavailable {
        detail: detail.into(),
    }
}

#[async_trait]
impl ArtifactReader for ObjectArtifacts {
    async fn digest(&self, caller: &Caller, uri: &str) -> Result<ArtifactDigest, ArtifactError> {
        let (bucket, key) = parse(uri)?;
        let failed =
            |error: sward_control::identity::IdentityError| unavailable(error.report().one_line());
        let rights = self
            .identity
            .rights_of(caller)
            .await
            .map_err(failed)?
            .ok_or_else(|| inaccessible("the caller has no rights in S3"))?;
        let resource = format!("arn:aws:s3:::{bucket}/{key}");
        self.identity
            .authorize(&rights, "s3:GetObject", &resource, &Context::default())
            .await
            .map_err(failed)?
            .map_err(|denied| inaccessible(denied.report.one_line()))?;
        let facts = self
            .objects
            .facts(&caller.account, bucket, key)
            .await
            .map_err(|error| unavailable(error.report().one_line()))?
            .ok_or_else(|| inaccessible(format!("no object {key} in a bucket {bucket}")))?;
        Ok(ArtifactDigest {
            sha256: facts.sha256,
            size: facts.size,
        })
    }

    async fn presign(
        &self,
        account: &AccountId,
        region: &Region,
        uri: &str,
    ) -> Result<String, ArtifactError> {
        let (bucket, key) = parse(uri)?;
        let api = self
            .api
            .get()
            .ok_or_else(|| unavailable("the API is not listening yet"))?;
        let owner = self
            .identity
            .owner_key(account)
            .await
            .map_err(|error| unavailable(error.report().one_line()))?;
        let authority = api.split_once("://").map_or(api.as_str(), |(_, rest)| rest);
        let headers = [("host".to_owned(), authority.to_owned())];
        let path = format!("/{bucket}/{}", utf8_percent_encode(key, PATH));
        let request = Request {
            method: "GET",
            path: &path,
            query: "",
            headers: &headers,
        };
        let credentials = Credentials {
            access_key_id: owner.access_key_id,
            secret_access_key: owner.secret_access_key,
            session_token: None,
        };
        let now = now_ms().div_euclid(1000);
        let query = presign(
            &request,
            &credentials,
            region.as_str(),
            "s3",
            PRESIGN_SECONDS,
            now,
        );
        Ok(format!("{api}{path}?{query}"))
    }
}
