//! Which operation a request means, on which bucket and key.

use crate::{Code, S3Error};
use percent_encoding::percent_decode_str;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    ListBuckets,
    CreateBucket,
    DeleteBucket,
    HeadBucket,
    GetBucketLocation,
    GetBucketVersioning,
    PutBucketVersioning,
    GetBucketTagging,
    PutBucketTagging,
    DeleteBucketTagging,
    GetBucketPolicy,
    GetBucketEncryption,
    GetBucketAcl,
    ListObjects,
    ListObjectsV2,
    ListMultipartUploads,
    DeleteObjects,
    PutObject,
    CopyObject,
    GetObject,
    HeadObject,
    DeleteObject,
    GetObjectTagging,
    PutObjectTagging,
    DeleteObjectTagging,
    CreateMultipartUpload,
    UploadPart,
    CompleteMultipartUpload,
    AbortMultipartUpload,
    ListParts,
}

impl Operation {
    /// The IAM action that it needs.
    #[must_use]
    pub fn action(self) -> &'static str {
        match self {
            Operation::ListBuckets => "s3:ListAllMyBuckets",
            Operation::CreateBucket => "s3:CreateBucket",
            Operation::DeleteBucket => "s3:DeleteBucket",
            Operation::HeadBucket | Operation::ListObjects | Operation::ListObjectsV2 => {
                "s3:ListBucket"
            }
            Operation::GetBucketLocation => "s3:GetBucketLocation",
            Operation::GetBucketVersioning => "s3:GetBucketVersioning",
            Operation::PutBucketVersioning => "s3:PutBucketVersioning",
            Operation::GetBucketTagging => "s3:GetBucketTagging",
            Operation::PutBucketTagging | Operation::DeleteBucketTagging => "s3:PutBucketTagging",
            Operation::GetBucketPolicy => "s3:GetBucketPolicy",
            Operation::GetBucketEncryption => "s3:GetEncryptionConfiguration",
            Operation::GetBucketAcl => "s3:GetBucketAcl",
            Operation::ListMultipartUploads => "s3:ListBucketMultipartUploads",
            Operation::PutObject
            | Operation::CopyObject
            | Operation::CreateMultipartUpload
            | Operation::UploadPart
            | Operation::CompleteMultipartUpload => "s3:PutObject",
            Operation::GetObject | Operation::HeadObject => "s3:GetObject",
            Operation::DeleteObject | Operation::DeleteObjects => "s3:DeleteObject",
            Operation::GetObjectTagging => "s3:GetObjectTagging",
            Operation::PutObjectTagging => "s3:PutObjectTagging",
            Operation::DeleteObjectTagging => "s3:DeleteObjectTagging",
            Operation::AbortMultipartUpload => "s3:AbortMultipartUpload",
            Operation::ListParts => "s3:ListMultipartUploadParts",
        }
    }

    /// Whether it changes anything.
    #[must_use]
    pub fn is_mutating(self) -> bool {
        let action = self.action();
        !(action.starts_with("s3:Get") || action.starts_with("s3:List"))
    }
}

/// A request taken apart.
#[derive(Clone, Debug)]
pub struct S3Request {
    pub operation: Operation,
    /// Empty for [`Operation::ListBuckets`].
    pub bucket: String,
    /// Empty for operations on buckets.
    pub key: String,
    query: Vec<(String, String)>,
    headers: Vec<(String, String)>,
}

impl S3Request {
    /// Takes a request apart. `path` is as sent, `query` is decoded, header names are lower-case.
    /// `host_bucket` is the bucket in the host name, if that style is used.
    pub fn parse(
        method: &str,
        path: &str,
        query: Vec<(String, String)>,
        headers: Vec<(String, String)>,
        host_bucket: Option<&str>,
    ) -> Result<Self, S3Error> {
        let path = percent_decode_str(path.strip_prefix('/').unwrap_or(path))
            .decode_utf8()
            .map_err(|_| S3Error::new(Code::InvalidArgument, "the key is not UTF-8"))?;
        let (bucket, key) = match host_bucket {
            Some(bucket) => (bucket, &*path),
            None => path.split_once('/').unwrap_or((&path, "")),
        };
        if key.len() > 1024 {
            return Err(S3Error::new(
                Code::KeyTooLongError,
                "the key has more than 1024 bytes",
            ));
        }
        let mut request = S3Request {
            operation: Operation::ListBuckets,
            bucket: bucket.to_owned(),
            key: key.to_owned(),
            query,
            headers,
        };
        request.operation = request.find_operation(method)?;
        Ok(request)
    }

    fn find_operation(&self, method: &str) -> Result<Operation, S3Error> {
        if let Some(name) = NOT_BUILT.iter().find(|name| self.has(name)) {
            return Err(S3Error::new(
                Code::NotImplemented,
                format!("the subresource {name} is not built here"),
            ));
        }
        let operation = if self.bucket.is_empty() {
            (method == "GET").then_some(Operation::ListBuckets)
        } else if self.key.is_empty() {
            self.bucket_operation(method)
        } else {
            self.object_operation(method)
        };
        operation.ok_or_else(|| {
            S3Error::new(
                Code::MethodNotAllowed,
                format!("{method} is not an operation on this resource"),
            )
        })
    }

    fn bucket_operation(&self, method: &str) -> Option<Operation> {
        Some(match method {
            "HEAD" => Operation::HeadBucket,
            "PUT" if self.has("tagging") => Operation::PutBucketTagging,
            "PUT" if self.has("versioning") => Operation::PutBucketVersioning,
            "PUT" => Operation::CreateBucket,
            "DELETE" if self.has("tagging") => Operation::DeleteBucketTagging,
            "DELETE" => Operation::DeleteBucket,
            "POST" if self.has("delete") => Operation::DeleteObjects,
            "GET" if self.has("location") => Operation::GetBucketLocation,
            "GET" if self.has("versioning") => Operation::GetBucketVersioning,
            "GET" if self.has("tagging") => Operation::GetBucketTagging,
            "GET" if self.has("policy") => Operation::GetBucketPolicy,
            "GET" if self.has("encryption") => Operation::GetBucketEncryption,
            "GET" if self.has("acl") => Operation::GetBucketAcl,
            "GET" if self.has("uploads") => Operation::ListMultipartUploads,
            "GET" if self.query("list-type") == Some("2") => Operation::ListObjectsV2,
            "GET" => Operation::ListObjects,
            _ => return None,
        })
    }

    fn object_operation(&self, method: &str) -> Option<Operation> {
        let upload = self.has("uploadId");
        Some(match method {
            "HEAD" => Operation::HeadObject,
            "GET" if self.has("tagging") => Operation::GetObjectTagging,
            "GET" if upload => Operation::ListParts,
            "GET" => Operation::GetObject,
            "PUT" if self.has("tagging") => Operation::PutObjectTagging,
            "PUT" if upload => Operation::UploadPart,
            "PUT" if self.header("x-amz-copy-source").is_some() => Operation::CopyObject,
            "PUT" => Operation::PutObject,
            "POST" if self.has("uploads") => Operation::CreateMultipartUpload,
            "POST" if upload => Operation::CompleteMultipartUpload,
            "DELETE" if self.has("tagging") => Operation::DeleteObjectTagging,
            "DELETE" if upload => Operation::AbortMultipartUpload,
            "DELETE" => Operation::DeleteObject,
            _ => return None,
        })
    }

    fn has(&self, name: &str) -> bool {
        self.query.iter().any(|(key, _)| key == name)
    }

    /// The first value of a query parameter.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&str> {
        find(&self.query, name)
    }

    /// The first value of a header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        find(&self.headers, name)
    }

    pub(crate) fn headers(&self) -> &[(String, String)] {
        &self.headers
    }

    /// The ARN that the action is asked for.
    #[must_use]
    pub fn resource(&self) -> String {
        if self.bucket.is_empty() {
            "arn:aws:s3:::*".to_owned()
        } else if self.key.is_empty() {
            bucket_arn(&self.bucket)
        } else {
            object_arn(&self.bucket, &self.key)
        }
    }
}

pub(crate) fn bucket_arn(bucket: &str) -> String {
    format!("arn:aws:s3:::{bucket}")
}

pub(crate) fn object_arn(bucket: &str, key: &str) -> String {
    format!("arn:aws:s3:::{bucket}/{key}")
}

fn find<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs
        .iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.as_str())
}

/// Subresources that must not fall through to the plain operation: a PUT of an ACL would make an
/// object.
const NOT_BUILT: &[&str] = &[
    "accelerate",
    "analytics",
    "attributes",
    "cors",
    "intelligent-tiering",
    "inventory",
    "legal-hold",
    "lifecycle",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "ownershipControls",
    "policyStatus",
    "publicAccessBlock",
    "replication",
    "requestPayment",
    "restore",
    "retention",
    "select",
    "torrent",
    "versionId",
    "versions",
    "website",
];

/// The bucket in a host name: `bucket.localhost`, `bucket.s3.us-east-1.amazonaws.com`, or in front
/// of any of our own names. `host` may carry a port.
#[must_use]
pub fn bucket_of_host<'a>(host: &'a str, own_names: &[String]) -> Option<&'a str> {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let before = |suffix: &str| {
        name.strip_suffix(suffix)?
            .strip_suffix('.')
            .filter(|bucket| !bucket.is_empty())
    };
    if name.ends_with(".amazonaws.com") || name.ends_with(".amazonaws.com.cn") {
        return ["s3.", "s3-"].iter().find_map(|service| {
            let start = name.find(&format!(".{service}"))?;
            (start > 0).then(|| &name[..start])
        });
    }
    if name.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    own_names
        .iter()
        .map(String::as_str)
        .filter(|own| own.parse::<std::net::IpAddr>().is_err())
        .chain(["localhost"])
        .find_map(before)
        .map(|bucket| bucket.strip_suffix(".s3").unwrap_or(bucket))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_found_in_hosts() {
        fn check(host: &str, expected: Option<&str>) {
            assert_eq!(
                bucket_of_host(host, &["sward.example".to_owned(), "10.0.0.1".to_owned()]),
                expected,
                "{host}"
            );
        }
        check("localhost:8080", None);
        check("localhost", None);
        check("bucket.localhost:8080", Some("bucket"));
        check("my.bucket.localhost", Some("my.bucket"));
        check("127.0.0.1:8080", None);
        check("10.0.0.1", None);
        check("sward.example", None);
        check("b.sward.example:443", Some("b"));
        check("b.s3.sward.example", Some("b"));
        check("b.s3.us-east-1.amazonaws.com", Some("b"));
        check("b.s3-us-west-2.amazonaws.com", Some("b"));
        check("s3.us-east-1.amazonaws.com", None);
        check("other.example", None);
        check("", None);
    }

    #[test]
    fn operations_are_found() {
        fn check(method: &str, path: &str, query: &[&str], expected: Result<Operation, Code>) {
            let query = query
                .iter()
                .map(|name| ((*name).to_owned(), String::new()))
                .collect();
            let found = S3Request::parse(method, path, query, Vec::new(), None)
                .map(|request| request.operation)
                .map_err(|error| error.s3_code());
            assert_eq!(found, expected, "{method} {path}");
        }
        check("GET", "/", &[], Ok(Operation::ListBuckets));
        check("PUT", "/b", &[], Ok(Operation::CreateBucket));
        check("PUT", "/b/", &[], Ok(Operation::CreateBucket));
        check(
            "GET",
            "/b/",
            &["location"],
            Ok(Operation::GetBucketLocation),
        );
        check("GET", "/b/k/l", &[], Ok(Operation::GetObject));
        check(
            "POST",
            "/b/k",
            &["uploads"],
            Ok(Operation::CreateMultipartUpload),
        );
        check(
            "PUT",
            "/b/k",
            &["uploadId", "partNumber"],
            Ok(Operation::UploadPart),
        );
        check("PUT", "/b/k", &["object-lock"], Err(Code::NotImplemented));
        check("PATCH", "/b/k", &[], Err(Code::MethodNotAllowed));
        check("DELETE", "/", &[], Err(Code::MethodNotAllowed));
    }
}
