//! The `aws-chunked` framing of S3 uploads.
//!
//! ```text
//! HEX-SIZE[;chunk-signature=SIGNATURE]\r\n BYTES \r\n      repeated, the last with size 0
//! [trailer-name:value\r\n]…                               with the -TRAILER forms
//! [x-amz-trailer-signature:SIGNATURE\r\n]
//! \r\n
//! ```
//!
//! Each signature continues the one before it, from the seed in the request's own signature. The
//! decoder hands payload bytes out as they come; a caller must not publish them before
//! [`ChunkedDecoder::finish`] has said that everything held.

use crate::key::constant_time_eq;
use crate::{EMPTY_SHA256, PayloadKind, Scope, SigningKey, Verified, sha256_hex};
use sha2::{Digest as _, Sha256};
use sward_diagnosis::{Diagnose, Kind};
use thiserror::Error;

/// Longest chunk header or trailer line, in bytes.
const MAX_LINE: usize = 4096;
const MAX_TRAILERS: usize = 16;

/// Why an `aws-chunked` body is refused.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ChunkedError {
    /// The framing is broken.
    #[error("the chunked body is malformed: {0}")]
    Malformed(&'static str),
    /// A chunk or the trailer is not what was signed.
    #[error("the signature of a chunk does not match")]
    Signature,
    /// The body ended early.
    #[error("the chunked body ended early")]
    Incomplete,
}

impl Diagnose for ChunkedError {
    fn kind(&self) -> Kind {
        match self {
            ChunkedError::Signature => Kind::Unauthenticated,
            _ => Kind::Invalid,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            ChunkedError::Malformed(_) => "chunked-malformed",
            ChunkedError::Signature => "chunk-signature-mismatch",
            ChunkedError::Incomplete => "chunked-incomplete",
        }
    }
}

/// Signs one chunk after the other, as a client.
#[derive(Clone, Debug)]
pub struct ChunkSigner {
    key: SigningKey,
    date: String,
    scope: Scope,
    previous: String,
}

impl ChunkSigner {
    /// Continues the signature of a request.
    #[must_use]
    pub fn new(key: SigningKey, date: &str, scope: &Scope, seed: &str) -> Self {
        ChunkSigner {
            key,
            date: date.to_owned(),
            scope: scope.clone(),
            previous: seed.to_owned(),
        }
    }

    /// The signature of the next chunk, by the hex SHA-256 of its bytes.
    pub fn chunk(&mut self, hash: &str) -> String {
        self.next(
            "AWS4-HMAC-SHA256-PAYLOAD",
            &format!("{EMPTY_SHA256}\n{hash}"),
        )
    }

    /// The signature of the trailers, each `name:value\n`.
    pub fn trailer(&mut self, trailers: &str) -> String {
        self.next("AWS4-HMAC-SHA256-TRAILER", &sha256_hex(trailers.as_bytes()))
    }

    fn next(&mut self, algorithm: &str, tail: &str) -> String {
        let text = format!(
            "{algorithm}\n{}\n{}\n{}\n{tail}",
            self.date, self.scope, self.previous
        );
        self.previous = self.key.sign(&text);
        self.previous.clone()
    }
}

#[derive(Debug)]
enum State {
    Header,
    Data {
        left: u64,
        signature: String,
    },
    DataEnd {
        signature: String,
        end: &'static [u8],
    },
    Trailers,
    Done,
}

/// Takes the framing off a body, piece by piece.
#[derive(Debug)]
pub struct ChunkedDecoder {
    state: State,
    signer: Option<ChunkSigner>,
    expects_trailer_signature: bool,
    trailer_signature_seen: bool,
    line: Vec<u8>,
    hash: Sha256,
    trailers: Vec<(String, String)>,
    signed_trailers: String,
}

impl ChunkedDecoder {
    /// A decoder for a verified request, or nothing when its body is not chunked.
    #[must_use]
    pub fn new(verified: &Verified, date: &str, scope: &Scope) -> Option<Self> {
        let signer = || ChunkSigner::new(verified.key.clone(), date, scope, &verified.seed);
        match verified.payload {
            PayloadKind::SignedChunks { trailer } => Some(Self::with(Some(signer()), trailer)),
            PayloadKind::UnsignedChunks => Some(Self::unsigned()),
            PayloadKind::Hash(_) | PayloadKind::Unsigned => None,
        }
    }

    /// A decoder that checks no signatures.
    #[must_use]
    pub fn unsigned() -> Self {
        Self::with(None, false)
    }

    fn with(signer: Option<ChunkSigner>, expects_trailer_signature: bool) -> Self {
        ChunkedDecoder {
            state: State::Header,
            signer,
            expects_trailer_signature,
            trailer_signature_seen: false,
            line: Vec::new(),
            hash: Sha256::new(),
            trailers: Vec::new(),
            signed_trailers: String::new(),
        }
    }

    /// Takes the next bytes of the body; appends payload bytes to `payload`.
    pub fn push(&mut self, mut input: &[u8], payload: &mut Vec<u8>) -> Result<(), ChunkedError> {
        while !input.is_empty() {
            match &mut self.state {
                State::Header => {
                    if let Some(line) = self.take_line(&mut input)? {
                        self.header(&line)?;
                    }
                }
                State::Data { left, signature } => {
                    let length = usize::try_from(*left)
                        .unwrap_or(usize::MAX)
                        .min(input.len());
                    let (bytes, rest) = input.split_at(length);
                    if self.signer.is_some() {
                        self.hash.update(bytes);
                    }
                    payload.extend_from_slice(bytes);
                    input = rest;
                    *left -= length as u64;
                    if *left == 0 {
                        self.state = State::DataEnd {
                            signature: std::mem::take(signature),
                            end: b"\r\n",
                        };
                    }
                }
                State::DataEnd { signature, end } => {
                    if input[0] != end[0] {
                        return Err(ChunkedError::Malformed("a chunk is longer than it says"));
                    }
                    input = &input[1..];
                    *end = &end[1..];
                    if end.is_empty() {
                        let signature = std::mem::take(signature);
                        self.check_chunk(&signature)?;
                        self.state = State::Header;
                    }
                }
                State::Trailers => {
                    if let Some(line) = self.take_line(&mut input)? {
                        self.trailer(&line)?;
                    }
                }
                State::Done => {
                    return Err(ChunkedError::Malformed("bytes follow the last chunk"));
                }
            }
        }
        Ok(())
    }

    /// Ends the body: the trailers, by lower-case name, when everything held.
    pub fn finish(mut self) -> Result<Vec<(String, String)>, ChunkedError> {
        // Some clients leave out the blank line after the trailers.
        if matches!(self.state, State::Trailers) && self.line.is_empty() {
            self.end_of_trailers()?;
        }
        match self.state {
            State::Done => Ok(self.trailers),
            _ => Err(ChunkedError::Incomplete),
        }
    }

    /// A whole line without its end, once it is there.
    fn take_line(&mut self, input: &mut &[u8]) -> Result<Option<String>, ChunkedError> {
        let end = input.iter().position(|byte| *byte == b'\n');
        let length = end.map_or(input.len(), |end| end + 1);
        if self.line.len() + length > MAX_LINE {
            return Err(ChunkedError::Malformed("a line is too long"));
        }
        self.line.extend_from_slice(&input[..length]);
        *input = &input[length..];
        if end.is_none() {
            return Ok(None);
        }
        let line = std::mem::take(&mut self.line);
        let line = line
            .strip_suffix(b"\r\n")
            .or(line.strip_suffix(b"\n"))
            .unwrap_or(&line);
        String::from_utf8(line.to_vec())
            .map(Some)
            .map_err(|_| ChunkedError::Malformed("a line is not text"))
    }

    fn header(&mut self, line: &str) -> Result<(), ChunkedError> {
        let mut parts = line.split(';');
        let size = parts.next().unwrap_or("").trim();
        let size = if size.len() <= 16 && !size.starts_with('+') {
            u64::from_str_radix(size, 16).ok()
        } else {
            None
        }
        .ok_or(ChunkedError::Malformed(
            "a chunk size is not a hexadecimal number",
        ))?;
        let signature = parts
            .find_map(|part| part.trim().strip_prefix("chunk-signature="))
            .unwrap_or("")
            .to_owned();
        self.hash = Sha256::new();
        if size > 0 {
            self.state = State::Data {
                left: size,
                signature,
            };
            return Ok(());
        }
        self.check_chunk(&signature)?;
        self.state = State::Trailers;
        Ok(())
    }

    fn check_chunk(&mut self, signature: &str) -> Result<(), ChunkedError> {
        let hash = std::mem::take(&mut self.hash);
        match &mut self.signer {
            Some(signer) => {
                let expected = signer.chunk(&hex::encode(hash.finalize()));
                if constant_time_eq(&expected, signature) {
                    Ok(())
                } else {
                    Err(ChunkedError::Signature)
                }
            }
            None => Ok(()),
        }
    }

    fn trailer(&mut self, line: &str) -> Result<(), ChunkedError> {
        if line.is_empty() {
            return self.end_of_trailers();
        }
        let (name, value) = line
            .split_once(':')
            .ok_or(ChunkedError::Malformed("a trailer has no colon"))?;
        let (name, value) = (name.trim().to_ascii_lowercase(), value.trim());
        if name == "x-amz-trailer-signature" {
            if let Some(signer) = &mut self.signer {
                let expected = signer.trailer(&self.signed_trailers);
                if !constant_time_eq(&expected, value) {
                    return Err(ChunkedError::Signature);
                }
            }
            self.trailer_signature_seen = true;
            return Ok(());
        }
        if self.trailers.len() == MAX_TRAILERS || self.trailer_signature_seen {
            return Err(ChunkedError::Malformed("a trailer is not expected here"));
        }
        self.signed_trailers.push_str(&format!("{name}:{value}\n"));
        self.trailers.push((name, value.to_owned()));
        Ok(())
    }

    fn end_of_trailers(&mut self) -> Result<(), ChunkedError> {
        if self.expects_trailer_signature && !self.trailer_signature_seen {
            return Err(ChunkedError::Signature);
        }
        self.state = State::Done;
        Ok(())
    }
}

#[cfg(test)]
#[path = "chunked_tests.rs"]
mod tests;
