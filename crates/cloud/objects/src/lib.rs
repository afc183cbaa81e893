//! The S3 endpoint: blobs in a directory, everything else in SQL.
//!
//! The subset that Greengrass's users and devices speak: buckets, objects with ranges, conditions
//! and checksums, both listings, multipart uploads, tags. `docs/compatibility.d/s3.md` says what is
//! left out.
//!
//! It never verifies a signature: requests come verified, with an [`Upload`] that knows how its
//! body was signed, and an [`Access`] that says who asks and what that caller may do.
//!
//! Invariants:
//! - An object is visible only after its bytes and its row are on disk; a reader sees the old
//!   object or the new one, never a mixture. What a crash leaves behind is swept at the next start.
//! - Bytes that do not match a length, digest, checksum or chunk signature given with them are
//!   never published.
//! - The SHA-256 of every object is stored with it, so that artifact digests cost no reading.
//!
//! Read first: [`Objects`], [`S3Request`], [`Access`], [`S3Error`].

mod access;
mod blobs;
mod buckets;
mod checksum;
mod conditions;
mod error;
mod listing;
mod multipart;
mod object;
mod read;
mod request;
mod row;
mod schema;
mod service;
mod sweep;
mod tagging;
#[cfg(test)]
mod tests;
mod upload;
mod xml;

pub use access::Access;
pub use error::{Code, S3Error, error_response};
pub use request::{Operation, S3Request, bucket_of_host};
pub use schema::MIGRATIONS;
pub use service::{ObjectFacts, Objects, ObjectsOptions};
pub use upload::Upload;
