//! Verifying, as a server: first what the request presents, then, with the secret, whether it holds.

use crate::canonical::{self, PathForm, QueryForm};
use crate::key::constant_time_eq;
use crate::{
    ALGORITHM, MAX_PRESIGN_SECONDS, MAX_SKEW_SECONDS, Request, Scope, SignatureError, SigningKey,
    amz_date, parse_amz_date,
};

/// Where the signature travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// In the `authorization` header.
    Header,
    /// In the query, good for this many seconds after its date.
    Query { expires_seconds: u32 },
}

/// What the canonical payload hash of a request promises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PayloadKind {
    /// The body has this SHA-256 (hex).
    Hash(String),
    /// The body is not signed.
    Unsigned,
    /// `aws-chunked`, each chunk signed; `trailer` when signed trailers follow.
    SignedChunks { trailer: bool },
    /// `aws-chunked`, chunks unsigned, with a trailer.
    UnsignedChunks,
}

impl PayloadKind {
    /// The kind behind an `x-amz-content-sha256` value.
    #[must_use]
    pub fn of(value: &str) -> Option<Self> {
        Some(match value {
            crate::UNSIGNED_PAYLOAD => PayloadKind::Unsigned,
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD" => PayloadKind::SignedChunks { trailer: false },
            "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER" => {
                PayloadKind::SignedChunks { trailer: true }
            }
            "STREAMING-UNSIGNED-PAYLOAD-TRAILER" => PayloadKind::UnsignedChunks,
            hash if hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                PayloadKind::Hash(hash.to_ascii_lowercase())
            }
            _ => return None,
        })
    }
}

/// What a request claims about its signer, parsed and not yet believed.
#[derive(Clone, Debug)]
pub struct Presented {
    pub form: Form,
    pub access_key_id: String,
    pub scope: Scope,
    /// Lower-case, sorted as sent.
    pub signed_headers: Vec<String>,
    pub signature: String,
    /// `YYYYMMDDTHHMMSSZ`.
    pub date: String,
    pub session_token: Option<String>,
    signed_at: i64,
}

/// A signature that holds.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What the signature says about the body; the caller still compares it with the body.
    pub payload: PayloadKind,
    /// For the chunks of an `aws-chunked` body.
    pub key: SigningKey,
    /// The signature that the first chunk's continues.
    pub seed: String,
}

impl Presented {
    /// Reads the claim from the header, else from the query.
    pub fn parse(request: &Request<'_>) -> Result<Self, SignatureError> {
        match request.header("authorization") {
            Some(value) => Self::from_header(request, value),
            None if request.query.contains("X-Amz-") => Self::from_query(request),
            None => Err(SignatureError::Missing),
        }
    }

    fn from_header(request: &Request<'_>, value: &str) -> Result<Self, SignatureError> {
        use SignatureError::MalformedHeader as malformed;
        let fields = value
            .trim()
            .strip_prefix(ALGORITHM)
            .ok_or(malformed("the algorithm is not AWS4-HMAC-SHA256"))?;
        let (mut credential, mut signed_headers, mut signature) = (None, None, None);
        for field in fields.split(',') {
            match field.trim().split_once('=') {
                Some(("Credential", value)) => credential = Some(value),
                Some(("SignedHeaders", value)) => signed_headers = Some(value),
                Some(("Signature", value)) => signature = Some(value),
                _ => {}
            }
        }
        let date = match request.header("x-amz-date") {
            Some(date) => date,
            None => request
                .header("date")
                .ok_or(malformed("x-amz-date is missing"))?,
        };
        let (access_key_id, scope) =
            parse_credential(credential.ok_or(malformed("Credential is missing"))?).ok_or(
                malformed("Credential is not KEY/DATE/REGION/SERVICE/aws4_request"),
            )?;
        Presented {
            form: Form::Header,
            access_key_id,
            scope,
            signed_headers: header_names(
                signed_headers.ok_or(malformed("SignedHeaders is missing"))?,
            ),
            signature: signature
                .ok_or(malformed("Signature is missing"))?
                .to_owned(),
            date: date.to_owned(),
            session_token: request.header("x-amz-security-token").map(str::to_owned),
            signed_at: parse_amz_date(date).ok_or(malformed("the date is not YYYYMMDDTHHMMSSZ"))?,
        }
        .with_date_in_scope(malformed("the date differs from the date in Credential"))
    }

    fn from_query(request: &Request<'_>) -> Result<Self, SignatureError> {
        use SignatureError::MalformedQuery as malformed;
        let value = |name: &str| request.query_value(name);
        if value("X-Amz-Algorithm").as_deref() != Some(ALGORITHM) {
            return Err(malformed("X-Amz-Algorithm is not AWS4-HMAC-SHA256"));
        }
        let credential =
            value("X-Amz-Credential").ok_or(malformed("X-Amz-Credential is missing"))?;
        let (access_key_id, scope) = parse_credential(&credential).ok_or(malformed(
            "X-Amz-Credential is not KEY/DATE/REGION/SERVICE/aws4_request",
        ))?;
        let date = value("X-Amz-Date").ok_or(malformed("X-Amz-Date is missing"))?;
        let expires_seconds = value("X-Amz-Expires")
            .ok_or(malformed("X-Amz-Expires is missing"))?
            .parse()
            .ok()
            .filter(|seconds| (1..=MAX_PRESIGN_SECONDS).contains(seconds))
            .ok_or(malformed("X-Amz-Expires is not 1 to 604800"))?;
        let signed_headers =
            value("X-Amz-SignedHeaders").ok_or(malformed("X-Amz-SignedHeaders is missing"))?;
        Presented {
            form: Form::Query { expires_seconds },
            access_key_id,
            scope,
            signed_headers: header_names(&signed_headers),
            signature: value("X-Amz-Signature").ok_or(malformed("X-Amz-Signature is missing"))?,
            signed_at: parse_amz_date(&date)
                .ok_or(malformed("X-Amz-Date is not YYYYMMDDTHHMMSSZ"))?,
            date,
            session_token: value("X-Amz-Security-Token"),
        }
        .with_date_in_scope(malformed(
            "X-Amz-Date differs from the date in X-Amz-Credential",
        ))
    }

    fn with_date_in_scope(self, otherwise: SignatureError) -> Result<Self, SignatureError> {
        if self.date.starts_with(&self.scope.date) {
            Ok(self)
        } else {
            Err(otherwise)
        }
    }

    /// Whether the signature was made with this secret for exactly this request, now (Unix
    /// seconds). `body_hash` is the hex SHA-256 of the body, where it is at hand: it stands in for
    /// a missing `x-amz-content-sha256` and is compared with one that is a hash.
    pub fn verify(
        &self,
        request: &Request<'_>,
        secret_access_key: &str,
        body_hash: Option<&str>,
        now: i64,
    ) -> Result<Verified, SignatureError> {
        self.check_signed_headers(request)?;
        let (canonical_hash, payload) = self.payload(request, body_hash)?;
        let key = SigningKey::derive(secret_access_key, &self.scope);
        if !self.matches(request, &canonical_hash, &key) {
            return Err(SignatureError::Mismatch);
        }
        // Only after the signature, so that strangers learn nothing from the order of answers.
        self.check_time(now)?;
        if let (PayloadKind::Hash(signed), Some(body)) = (&payload, body_hash)
            && signed != body
        {
            return Err(SignatureError::ContentHash);
        }
        Ok(Verified {
            payload,
            key,
            seed: self.signature.clone(),
        })
    }

    fn check_signed_headers(&self, request: &Request<'_>) -> Result<(), SignatureError> {
        let signed = |name: &str| self.signed_headers.iter().any(|header| header == name);
        if !signed("host") {
            return Err(SignatureError::UnsignedHeader("host".to_owned()));
        }
        match request
            .headers
            .iter()
            .find(|(name, _)| name.starts_with("x-amz-") && !signed(name))
        {
            Some((name, _)) => Err(SignatureError::UnsignedHeader(name.clone())),
            None => Ok(()),
        }
    }

    /// The hash in the canonical request, and what it means.
    fn payload(
        &self,
        request: &Request<'_>,
        body_hash: Option<&str>,
    ) -> Result<(String, PayloadKind), SignatureError> {
        if let Some(value) = request.header("x-amz-content-sha256") {
            let kind = PayloadKind::of(value).ok_or(SignatureError::ContentHash)?;
            if self.scope.service != "s3" && !matches!(kind, PayloadKind::Hash(_)) {
                return Err(SignatureError::ContentHash);
            }
            return Ok((value.to_owned(), kind));
        }
        if self.scope.service == "s3" && self.form != Form::Header {
            return Ok((crate::UNSIGNED_PAYLOAD.to_owned(), PayloadKind::Unsigned));
        }
        let hash = body_hash.unwrap_or(crate::EMPTY_SHA256).to_owned();
        Ok((hash.clone(), PayloadKind::Hash(hash)))
    }

    fn matches(&self, request: &Request<'_>, payload_hash: &str, key: &SigningKey) -> bool {
        let paths: &[PathForm] = if self.scope.service == "s3" {
            &[PathForm::AsSent, PathForm::EncodedOnce]
        } else {
            &[PathForm::NormalizedTwice, PathForm::Twice, PathForm::AsSent]
        };
        // The web socket signer of IoT adds the token after signing.
        let without: &[&[&str]] = match self.form {
            Form::Header => &[&[]],
            Form::Query { .. } if self.scope.service == "iotdevicegateway" => &[
                &["X-Amz-Signature", "X-Amz-Security-Token"],
                &["X-Amz-Signature"],
            ],
            Form::Query { .. } => &[&["X-Amz-Signature"]],
        };
        let forms = paths
            .iter()
            .flat_map(|path| [QueryForm::Encoded, QueryForm::AsSent].map(|query| (*path, query)));
        forms.into_iter().any(|form| {
            without.iter().any(|without| {
                let canonical =
                    canonical::request(request, form, without, &self.signed_headers, payload_hash);
                let text = canonical::string_to_sign(&canonical, &self.date, &self.scope);
                constant_time_eq(&key.sign(&text), &self.signature)
            })
        })
    }

    fn check_time(&self, now: i64) -> Result<(), SignatureError> {
        let skewed = || SignatureError::Skewed {
            signed: self.date.clone(),
            now: amz_date(now),
        };
        match self.form {
            Form::Header if (now - self.signed_at).abs() > MAX_SKEW_SECONDS => Err(skewed()),
            Form::Query { .. } if self.signed_at > now + MAX_SKEW_SECONDS => Err(skewed()),
            Form::Query { expires_seconds }
                if now > self.signed_at + i64::from(expires_seconds) =>
            {
                Err(SignatureError::Expired(amz_date(
                    self.signed_at + i64::from(expires_seconds),
                )))
            }
            _ => Ok(()),
        }
    }
}

/// `KEY/DATE/REGION/SERVICE/aws4_request`; the key may hold slashes, the rest may not.
fn parse_credential(text: &str) -> Option<(String, Scope)> {
    let mut parts = text.trim().rsplitn(5, '/');
    let end = parts.next()?;
    let (service, region, date) = (parts.next()?, parts.next()?, parts.next()?);
    let key = parts.next()?;
    let complete = end == "aws4_request"
        && !key.is_empty()
        && !service.is_empty()
        && date.len() == 8
        && date.bytes().all(|byte| byte.is_ascii_digit());
    complete.then(|| {
        (
            key.to_owned(),
            Scope {
                date: date.to_owned(),
                region: region.to_owned(),
                service: service.to_owned(),
            },
        )
    })
}

fn header_names(text: &str) -> Vec<String> {
    text.split(';')
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty())
        .collect()
}
