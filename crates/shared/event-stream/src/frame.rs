//! One frame: prelude, headers, payload, checksums.

use crate::header::Headers;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// The largest message that any client built on the common C runtime accepts: 24 MiB.
pub const MAX_MESSAGE_LENGTH: usize = 24 * 1024 * 1024;

pub(crate) const PRELUDE_LENGTH: usize = 12;
pub(crate) const CHECKSUM_LENGTH: usize = 4;
pub(crate) const MIN_MESSAGE_LENGTH: usize = PRELUDE_LENGTH + CHECKSUM_LENGTH;

/// What a reader is willing to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a whole frame, checksums included.
    pub max_message_length: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_message_length: MAX_MESSAGE_LENGTH,
        }
    }
}

/// Why bytes are not a frame. Offsets count from the first byte of the frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A frame cannot be that short.
    #[error("a frame of {length} bytes is shorter than its own prelude and checksum")]
    TooShort { length: usize },
    /// Longer than the reader's limit.
    #[error("a frame of {length} bytes is longer than the {limit} allowed")]
    TooLong { length: usize, limit: usize },
    /// The headers do not fit into the frame.
    #[error("{headers} bytes of headers do not fit into a frame of {length}")]
    HeadersTooLong { headers: usize, length: usize },
    /// The first eight bytes are damaged.
    #[error("the prelude's checksum is {found:08x}, its bytes give {computed:08x}")]
    PreludeChecksum { found: u32, computed: u32 },
    /// The frame is damaged.
    #[error("the message's checksum is {found:08x}, its bytes give {computed:08x}")]
    MessageChecksum {
        found: u32,
        computed: u32,
        offset: usize,
    },
    /// A header has no name.
    #[error("a header has an empty name")]
    HeaderNameEmpty { offset: usize },
    /// A name or text value is not UTF-8.
    #[error("a header's text is not UTF-8")]
    HeaderNotUtf8 { offset: usize },
    /// A value type that does not exist.
    #[error("header value type {found} does not exist")]
    HeaderType { found: u8, offset: usize },
    /// A header ends behind the block of headers.
    #[error("a header is cut off")]
    HeaderTruncated { offset: usize },
    /// A text or byte value is longer than allowed.
    #[error("a header value of {length} bytes is longer than the 32767 allowed")]
    HeaderValueTooLong { length: usize, offset: usize },
    /// More headers than any client sends.
    #[error("more than 1024 headers")]
    TooManyHeaders { offset: usize },
}

impl FrameError {
    /// Where the fault is, in bytes from the start of the frame.
    #[must_use]
    pub fn offset(&self) -> usize {
        match *self {
            FrameError::TooShort { .. } | FrameError::TooLong { .. } => 0,
            FrameError::HeadersTooLong { .. } => 4,
            FrameError::PreludeChecksum { .. } => 8,
            FrameError::MessageChecksum { offset, .. }
            | FrameError::HeaderNameEmpty { offset }
            | FrameError::HeaderNotUtf8 { offset }
            | FrameError::HeaderType { offset, .. }
            | FrameError::HeaderTruncated { offset }
            | FrameError::HeaderValueTooLong { offset, .. }
            | FrameError::TooManyHeaders { offset } => offset,
        }
    }
}

impl Diagnose for FrameError {
    fn kind(&self) -> Kind {
        match self {
            FrameError::TooLong { .. } => Kind::TooLarge,
            _ => Kind::Corrupt,
        }
    }

    fn code(&self) -> &'static str {
        "event-stream-frame-invalid"
    }

    fn place(&self) -> Option<Place> {
        Some(Place::Offset {
            what: "event-stream frame".to_owned(),
            offset: self.offset() as u64,
        })
    }
}

/// A verified frame; all parts borrow the input.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// The headers, not yet looked at one by one.
    pub headers: Headers<'a>,
    /// The body.
    pub payload: &'a [u8],
}

/// What the beginning of a buffer holds.
#[derive(Clone, Copy, Debug)]
pub enum Decoded<'a> {
    /// A frame that takes `length` bytes of the buffer.
    Frame { frame: Frame<'a>, length: usize },
    /// Not a whole frame yet; `needed` bytes in all are known to be.
    Incomplete { needed: usize },
}

/// Reads the frame at the beginning of `input`.
///
/// # Errors
/// A [`FrameError`] means that the stream cannot be read on: there is no way to find the next
/// frame.
pub fn decode(input: &[u8], limits: Limits) -> Result<Decoded<'_>, FrameError> {
    let Some(prelude) = input.first_chunk::<PRELUDE_LENGTH>() else {
        return Ok(Decoded::Incomplete {
            needed: PRELUDE_LENGTH,
        });
    };
    let length = be_u32(prelude, 0) as usize;
    let headers_length = be_u32(prelude, 4) as usize;
    let found = be_u32(prelude, 8);
    let computed = crc32fast::hash(&prelude[..8]);
    if found != computed {
        return Err(FrameError::PreludeChecksum { found, computed });
    }
    if length < MIN_MESSAGE_LENGTH {
        return Err(FrameError::TooShort { length });
    }
    if length > limits.max_message_length {
        return Err(FrameError::TooLong {
            length,
            limit: limits.max_message_length,
        });
    }
    if headers_length > length - MIN_MESSAGE_LENGTH {
        return Err(FrameError::HeadersTooLong {
            headers: headers_length,
            length,
        });
    }
    let Some(frame) = input.get(..length) else {
        return Ok(Decoded::Incomplete { needed: length });
    };
    let end = length - CHECKSUM_LENGTH;
    let found = be_u32(frame, end);
    let computed = crc32fast::hash(&frame[..end]);
    if found != computed {
        return Err(FrameError::MessageChecksum {
            found,
            computed,
            offset: end,
        });
    }
    let payload_start = PRELUDE_LENGTH + headers_length;
    Ok(Decoded::Frame {
        frame: Frame {
            headers: Headers::new(&frame[PRELUDE_LENGTH..payload_start]),
            payload: &frame[payload_start..end],
        },
        length,
    })
}

/// Four bytes at `at`, which the caller has checked to be there.
fn be_u32(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0_u8; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(value)
}
