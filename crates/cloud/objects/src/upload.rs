//! A body on its way in: framing taken off, measured, hashed, and compared with what was promised.

use crate::blobs::{Blobs, Stored};
use crate::checksum::Algorithm;
use crate::{Code, S3Error, S3Request};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::BodyExt as _;
use sward_net::http::Body;
use sward_sigv4::{ChunkedDecoder, ChunkedError};

/// Largest object of one upload, in bytes (5 GiB, as AWS has it).
pub(crate) const MAX_UPLOAD: u64 = 5 * 1024 * 1024 * 1024;
/// Largest XML body, in bytes.
const MAX_XML: u64 = 2 * 1024 * 1024;

/// The body of a verified request.
pub struct Upload {
    /// The bytes as they travel.
    pub body: Body,
    /// For `aws-chunked` bodies: takes the framing off and checks the chunks' signatures.
    pub decoder: Option<ChunkedDecoder>,
    /// The hex SHA-256 that the signature promises, if it does.
    pub sha256: Option<String>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("chunked", &self.decoder.is_some())
            .field("sha256", &self.sha256)
            .finish_non_exhaustive()
    }
}

impl From<ChunkedError> for S3Error {
    fn from(error: ChunkedError) -> Self {
        let code = match error {
            ChunkedError::Signature => Code::SignatureDoesNotMatch,
            ChunkedError::Incomplete => Code::IncompleteBody,
            ChunkedError::Malformed(_) => Code::InvalidRequest,
        };
        S3Error::new(code, error.to_string())
    }
}

/// Which checksums a request asks for or announces.
pub(crate) fn algorithms(request: &S3Request) -> Vec<Algorithm> {
    let named = ["x-amz-sdk-checksum-algorithm", "x-amz-checksum-algorithm"]
        .iter()
        .filter_map(|header| Algorithm::parse(request.header(header)?));
    let in_trailer = request
        .header("x-amz-trailer")
        .unwrap_or_default()
        .split(',')
        .filter_map(|name| Algorithm::of_header(name.trim()));
    let in_header = Algorithm::ALL
        .into_iter()
        .filter(|algorithm| request.header(algorithm.header()).is_some());
    let mut all: Vec<Algorithm> = Vec::new();
    for algorithm in named.chain(in_trailer).chain(in_header) {
        if !all.contains(&algorithm) {
            all.push(algorithm);
        }
    }
    all
}

/// Stores a body as a blob, if it is what its request says.
pub(crate) async fn store(
    blobs: &Blobs,
    request: &S3Request,
    upload: Upload,
    algorithms: &[Algorithm],
) -> Result<Stored, S3Error> {
    let expected_size = expected_size(request, upload.decoder.is_some())?;
    let promised_sha256 = upload.sha256.clone();
    let mut sink = blobs.sink(algorithms);
    let Upload {
        mut body,
        mut decoder,
        ..
    } = upload;
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(S3Error::Body)?.into_data() else {
            continue;
        };
        match &mut decoder {
            Some(decoder) => decoder.push(&bytes, sink.buffer())?,
            None => sink.buffer().extend_from_slice(&bytes),
        }
        if sink.size() > MAX_UPLOAD {
            return Err(too_large());
        }
        sink.flush_if_full().await?;
    }
    let trailers = decoder.map(ChunkedDecoder::finish).transpose()?;
    if expected_size.is_some_and(|expected| expected != sink.size()) {
        return Err(S3Error::new(
            Code::IncompleteBody,
            format!(
                "the body has {} bytes, not as many as announced",
                sink.size()
            ),
        ));
    }
    let stored = sink.finish().await?;
    check_digests(request, &stored, promised_sha256.as_deref())?;
    check_checksums(request, &stored, &trailers.unwrap_or_default())?;
    Ok(stored)
}

fn expected_size(request: &S3Request, chunked: bool) -> Result<Option<u64>, S3Error> {
    let name = if chunked {
        "x-amz-decoded-content-length"
    } else {
        "content-length"
    };
    let size = request
        .header(name)
        .map(|text| text.parse::<u64>())
        .transpose()
        .map_err(|_| S3Error::new(Code::InvalidArgument, format!("{name} is not a number")))?;
    match size {
        Some(size) if size > MAX_UPLOAD => Err(too_large()),
        size => Ok(size),
    }
}

fn too_large() -> S3Error {
    S3Error::new(
        Code::EntityTooLarge,
        format!("an upload may have {MAX_UPLOAD} bytes; send larger objects in parts"),
    )
}

fn check_digests(
    request: &S3Request,
    stored: &Stored,
    promised_sha256: Option<&str>,
) -> Result<(), S3Error> {
    if promised_sha256.is_some_and(|promised| promised != stored.sha256) {
        return Err(S3Error::new(
            Code::XAmzContentSHA256Mismatch,
            "the body does not match x-amz-content-sha256",
        ));
    }
    if let Some(promised) = request.header("content-md5") {
        let promised = STANDARD
            .decode(promised)
            .map_err(|_| S3Error::new(Code::InvalidDigest, "content-md5 is not a base64 digest"))?;
        if hex::encode(promised) != stored.md5 {
            return Err(S3Error::new(
                Code::BadDigest,
                "the body does not match content-md5",
            ));
        }
    }
    Ok(())
}

fn check_checksums(
    request: &S3Request,
    stored: &Stored,
    trailers: &[(String, String)],
) -> Result<(), S3Error> {
    let in_trailer = |name: &str| {
        trailers
            .iter()
            .find(|(trailer, _)| trailer == name)
            .map(|(_, value)| value.as_str())
    };
    for (algorithm, value) in &stored.checksums {
        let header = algorithm.header();
        if let Some(promised) = request.header(header).or(in_trailer(header))
            && promised != value
        {
            return Err(S3Error::new(
                Code::XAmzContentChecksumMismatch,
                format!("the body does not match {header}"),
            ));
        }
    }
    Ok(())
}

/// A small body as text, for the operations that take XML.
pub(crate) async fn text(request: &S3Request, upload: Upload) -> Result<String, S3Error> {
    let Upload {
        mut body,
        mut decoder,
        sha256,
    } = upload;
    let mut all = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(bytes) = frame.map_err(S3Error::Body)?.into_data() else {
            continue;
        };
        match &mut decoder {
            Some(decoder) => decoder.push(&bytes, &mut all)?,
            None => all.extend_from_slice(&bytes),
        }
        if all.len() as u64 > MAX_XML {
            return Err(S3Error::new(
                Code::MalformedXML,
                format!("the document is longer than {MAX_XML} bytes"),
            ));
        }
    }
    if let Some(decoder) = decoder {
        decoder.finish()?;
    }
    if sha256.is_some_and(|promised| promised != sward_sigv4::sha256_hex(&all)) {
        return Err(S3Error::new(
            Code::XAmzContentSHA256Mismatch,
            "the body does not match x-amz-content-sha256",
        ));
    }
    if let Some(promised) = request.header("content-md5") {
        use md5::Digest as _;
        if STANDARD.encode(md5::Md5::digest(&all)) != promised {
            return Err(S3Error::new(
                Code::BadDigest,
                "the body does not match content-md5",
            ));
        }
    }
    String::from_utf8(all)
        .map_err(|_| S3Error::new(Code::MalformedXML, "the document is not UTF-8"))
}
