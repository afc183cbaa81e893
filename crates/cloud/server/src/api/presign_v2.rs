//! Presigned S3 URLs in the form before Signature Version 4.
//!
//! boto3 and the AWS CLI still make them by default in regions that are old enough, `us-east-1`
//! among them: `?AWSAccessKeyId=…&Signature=…&Expires=…`. Nothing else is accepted in this form.
//!
//! ```text
//! HMAC-SHA1( METHOD \n content-md5 \n content-type \n EXPIRES \n x-amz-…:value \n … RESOURCE )
//! RESOURCE = /BUCKET/KEY as sent, and the subresources among the parameters, sorted
//! ```

use super::call::Head;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use std::collections::BTreeMap;
use sward_sigv4::{SignatureError, amz_date};

/// Parameters that are part of the resource.
const SUBRESOURCES: &[&str] = &[
    "accelerate",
    "acl",
    "analytics",
    "cors",
    "defaultObjectAcl",
    "delete",
    "inventory",
    "lifecycle",
    "location",
    "logging",
    "metrics",
    "notification",
    "object-lock",
    "partNumber",
    "policy",
    "replication",
    "requestPayment",
    "response-cache-control",
    "response-content-disposition",
    "response-content-encoding",
    "response-content-language",
    "response-content-type",
    "response-expires",
    "restore",
    "select",
    "select-type",
    "storageClass",
    "tagging",
    "torrent",
    "uploadId",
    "uploads",
    "versionId",
    "versioning",
    "versions",
    "website",
];

/// What such a URL claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PresignedV2 {
    pub(crate) access_key_id: String,
    pub(crate) session_token: Option<String>,
    signature: String,
    /// Unix seconds, as written.
    expires: String,
}

impl PresignedV2 {
    /// The claim, if the request has this form.
    pub(crate) fn parse(head: &Head) -> Option<Self> {
        if head.header("authorization").is_some() || !head.raw_query.contains("AWSAccessKeyId=") {
            return None;
        }
        let mut pairs: BTreeMap<String, String> = literal_pairs(head).into_iter().collect();
        Some(PresignedV2 {
            access_key_id: pairs.remove("AWSAccessKeyId")?,
            signature: pairs.remove("Signature")?,
            expires: pairs.remove("Expires")?,
            session_token: pairs.remove("x-amz-security-token"),
        })
    }

    /// Whether the signature holds now (Unix seconds). `host_bucket` is the bucket in the host name.
    pub(crate) fn verify(
        &self,
        head: &Head,
        host_bucket: Option<&str>,
        secret_access_key: &str,
        now: i64,
    ) -> Result<(), SignatureError> {
        let expires: i64 = self.expires.parse().map_err(|_| {
            SignatureError::MalformedQuery("Expires is not a number of seconds since 1970")
        })?;
        let signature = STANDARD
            .decode(&self.signature)
            .map_err(|_| SignatureError::MalformedQuery("Signature is not base64"))?;
        let key = hmac::Key::new(
            hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY,
            secret_access_key.as_bytes(),
        );
        let text = self.string_to_sign(head, host_bucket);
        hmac::verify(&key, text.as_bytes(), &signature).map_err(|_| SignatureError::Mismatch)?;
        if now > expires {
            return Err(SignatureError::Expired(amz_date(expires)));
        }
        Ok(())
    }

    fn string_to_sign(&self, head: &Head, host_bucket: Option<&str>) -> String {
        let pairs = literal_pairs(head);
        // What the signer had as headers travels in the query or as headers.
        let in_query = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.as_str())
        };
        let header = |name: &str| head.header(name).or(in_query(name)).unwrap_or_default();
        let mut amz: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let from_query = pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        let from_headers = head
            .headers
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()));
        for (name, value) in from_query.chain(from_headers) {
            if name.starts_with("x-amz-") {
                amz.entry(name).or_default().push(value.trim());
            }
        }
        let mut text = format!(
            "{}\n{}\n{}\n{}\n",
            head.method,
            header("content-md5"),
            header("content-type"),
            self.expires
        );
        for (name, values) in amz {
            text.push_str(&format!("{name}:{}\n", values.join(",")));
        }
        if let Some(bucket) = host_bucket {
            text.push('/');
            text.push_str(bucket);
        }
        text.push_str(&head.path);
        let mut resources: Vec<String> = head
            .raw_query
            .split('&')
            .zip(&pairs)
            .filter(|(_, (name, _))| SUBRESOURCES.contains(&name.as_str()))
            .map(|(raw, (name, value))| {
                if raw.contains('=') {
                    format!("{name}={value}")
                } else {
                    name.clone()
                }
            })
            .collect();
        resources.sort();
        if !resources.is_empty() {
            text.push('?');
            text.push_str(&resources.join("&"));
        }
        text
    }
}

/// Decoded pairs in the order sent; a `+` is a plus.
fn literal_pairs(head: &Head) -> Vec<(String, String)> {
    let decode = |text: &str| {
        percent_encoding::percent_decode_str(text)
            .decode_utf8_lossy()
            .into_owned()
    };
    head.raw_query
        .split('&')
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, path: &str, query: &str, headers: &[(&str, &str)]) -> Head {
        Head {
            method: method.to_owned(),
            path: path.to_owned(),
            raw_query: query.to_owned(),
            headers: headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        }
    }

    fn sign(text: &str) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"secret");
        let signature = STANDARD.encode(hmac::sign(&key, text.as_bytes()));
        percent_encoding::utf8_percent_encode(&signature, percent_encoding::NON_ALPHANUMERIC)
            .to_string()
    }

    #[test]
    fn a_url_holds_for_what_it_was_made_and_until_it_expires() {
        let text =
            "GET\n\n\n1000\nx-amz-security-token:a+b\n/b/a%20k?response-content-type=a/b&tagging";
        let query = format!(
            "AWSAccessKeyId=AK&Signature={}&tagging&response-content-type=a%2Fb\
             &x-amz-security-token=a%2Bb&Expires=1000&other=1",
            sign(text)
        );
        let sent = head(
            "GET",
            "/b/a%20k",
            &query,
            &[("host", "h"), ("range", "bytes=0-1")],
        );
        let claim = PresignedV2::parse(&sent).expect("the form");
        assert_eq!(claim.access_key_id, "AK");
        assert_eq!(claim.session_token.as_deref(), Some("a+b"));
        assert_eq!(claim.verify(&sent, None, "secret", 1000), Ok(()));
        assert_eq!(
            claim.verify(&sent, None, "secret", 1001),
            Err(SignatureError::Expired("19700101T001640Z".to_owned()))
        );
        let mismatch = Err(SignatureError::Mismatch);
        assert_eq!(claim.verify(&sent, None, "other", 1), mismatch);
        let below_host = head("GET", "/a%20k", &query, &[]);
        assert_eq!(claim.verify(&below_host, Some("b"), "secret", 1), Ok(()));
        for changed in [
            head("PUT", "/b/a%20k", &query, &[]),
            head("GET", "/b/k", &query, &[]),
            head("GET", "/b/a%20k", &query, &[("x-amz-acl", "public-read")]),
            head("GET", "/b/a%20k", &query, &[("content-type", "text/plain")]),
            head("GET", "/b/a%20k", &format!("{query}&acl"), &[]),
        ] {
            assert_eq!(
                claim.verify(&changed, None, "secret", 1),
                mismatch,
                "{changed:?}"
            );
        }
    }

    #[test]
    fn other_forms_are_left_alone() {
        assert_eq!(PresignedV2::parse(&head("GET", "/", "", &[])), None);
        assert_eq!(
            PresignedV2::parse(&head("GET", "/", "AWSAccessKeyId=a", &[])),
            None
        );
        let query = "AWSAccessKeyId=a&Signature=b&Expires=1";
        assert!(PresignedV2::parse(&head("GET", "/", query, &[])).is_some());
        let signed = head("GET", "/", query, &[("authorization", "AWS4-HMAC-SHA256")]);
        assert_eq!(PresignedV2::parse(&signed), None);
    }
}
