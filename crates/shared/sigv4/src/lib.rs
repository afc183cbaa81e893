//! Signature Version 4: one implementation for the core, which signs, and the cloud, which verifies.
//!
//! Covers the header form, the presigned (query) form, session tokens, `UNSIGNED-PAYLOAD` and the
//! `aws-chunked` uploads with signed or unsigned chunks and trailers.
//!
//! This crate never looks up a key, reads a clock or a body: the caller brings the secret, `now`
//! (Unix seconds) and the payload's hash. It decides nothing about permissions.
//!
//! Invariants:
//! - What [`sign`] makes, [`Presented::verify`] accepts with the same secret, and refuses after any
//!   change of method, path, query, a signed header, payload hash, scope or time beyond the skew.
//! - Signatures are compared in constant time.
//! - A request that passes has signed `host` and every `x-amz-*` header that it carries.
//!
//! Read first: [`Request`], [`sign`], [`Presented`], [`ChunkedDecoder`].

mod canonical;
mod chunked;
mod error;
mod key;
mod sign;
mod time;
mod verify;

pub use canonical::Request;
pub use chunked::{ChunkSigner, ChunkedDecoder, ChunkedError};
pub use error::{Dialect, SignatureError};
pub use key::{Credentials, Scope, SigningKey};
pub use sign::{Payload, presign, sign};
pub use time::{amz_date, parse_amz_date};
pub use verify::{Form, PayloadKind, Presented, Verified};

/// The canonical hash of a payload that is not signed (S3 only).
pub const UNSIGNED_PAYLOAD: &str = "UNSIGNED-PAYLOAD";

/// SHA-256 of the empty text, in hex.
pub const EMPTY_SHA256: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// How far a request's clock may be from ours, in seconds, as AWS has it.
pub const MAX_SKEW_SECONDS: i64 = 15 * 60;

/// The longest life of a presigned URL, in seconds.
pub const MAX_PRESIGN_SECONDS: u32 = 7 * 24 * 3600;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// Lower-case hex SHA-256.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    use sha2::Digest as _;
    hex::encode(sha2::Sha256::digest(bytes))
}
