//! Hashes of files, as recipes name and spell them.

use super::{ArtifactError, read_error};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::digest::Digest;
use sha2::{Sha256, Sha384, Sha512};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use sward_recipe::Artifact;

/// A hash algorithm by the name that recipes give it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    /// The algorithm of a name such as `SHA-256`.
    pub(super) fn parse(name: &str, artifact: &Artifact) -> Result<Self, ArtifactError> {
        match name.to_ascii_uppercase().as_str() {
            "SHA-256" | "SHA256" => Ok(Algorithm::Sha256),
            "SHA-384" | "SHA384" => Ok(Algorithm::Sha384),
            "SHA-512" | "SHA512" => Ok(Algorithm::Sha512),
            _ => Err(ArtifactError::UnknownAlgorithm {
                uri: artifact.uri.clone(),
                algorithm: name.to_owned(),
            }),
        }
    }
}

/// Base64 of a file's hash.
pub(super) fn of_file(path: &Path, algorithm: Algorithm) -> Result<String, ArtifactError> {
    match algorithm {
        Algorithm::Sha256 => hash_file::<Sha256>(path),
        Algorithm::Sha384 => hash_file::<Sha384>(path),
        Algorithm::Sha512 => hash_file::<Sha512>(path),
    }
}

fn hash_file<D: Digest>(path: &Path) -> Result<String, ArtifactError> {
    let mut file = File::open(path).map_err(|source| read_error(path, source))?;
    let mut hasher = D::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let count = file
            .read(&mut buffer)
            .map_err(|source| read_error(path, source))?;
        if count == 0 {
            return Ok(STANDARD.encode(hasher.finalize()));
        }
        hasher.update(&buffer[..count]);
    }
}
