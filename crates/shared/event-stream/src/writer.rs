//! Appends one frame to a buffer.

use crate::frame::{CHECKSUM_LENGTH, FrameError, MAX_MESSAGE_LENGTH, PRELUDE_LENGTH};
use crate::header::{HeaderValue, MAX_VALUE_LENGTH};

/// Writes one frame at the end of a buffer: headers first, then the payload, then
/// [`FrameWriter::finish`]. A frame that turns out to be too long leaves the buffer as it was.
#[derive(Debug)]
pub struct FrameWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    headers_end: Option<usize>,
    fault: Option<FrameError>,
}

impl<'a> FrameWriter<'a> {
    /// Begins a frame behind what `out` holds.
    pub fn begin(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        out.extend_from_slice(&[0; PRELUDE_LENGTH]);
        FrameWriter {
            out,
            start,
            headers_end: None,
            fault: None,
        }
    }

    /// Adds a header. Names have 1 to 255 bytes.
    #[must_use]
    pub fn header(mut self, name: &str, value: HeaderValue<'_>) -> Self {
        debug_assert!(self.headers_end.is_none(), "headers precede the payload");
        let offset = self.out.len() - self.start;
        match u8::try_from(name.len()) {
            Ok(length) if length > 0 => self.out.push(length),
            _ => self.fault = Some(FrameError::HeaderNameEmpty { offset }),
        }
        self.out.extend_from_slice(name.as_bytes());
        match value {
            HeaderValue::Bool(true) => self.out.push(0),
            HeaderValue::Bool(false) => self.out.push(1),
            HeaderValue::Int8(value) => self.fixed(2, &value.to_be_bytes()),
            HeaderValue::Int16(value) => self.fixed(3, &value.to_be_bytes()),
            HeaderValue::Int32(value) => self.fixed(4, &value.to_be_bytes()),
            HeaderValue::Int64(value) => self.fixed(5, &value.to_be_bytes()),
            HeaderValue::Bytes(value) => self.variable(6, value),
            HeaderValue::String(value) => self.variable(7, value.as_bytes()),
            HeaderValue::Timestamp(value) => self.fixed(8, &value.to_be_bytes()),
            HeaderValue::Uuid(value) => self.fixed(9, &value),
        }
        self
    }

    /// Adds a whole block of headers that was encoded before.
    pub(crate) fn header_block(self, block: &[u8]) -> Self {
        self.out.extend_from_slice(block);
        self
    }

    /// Adds a part of the payload.
    #[must_use]
    pub fn payload(mut self, part: &[u8]) -> Self {
        self.headers_end.get_or_insert(self.out.len());
        self.out.extend_from_slice(part);
        self
    }

    /// Fills in lengths and checksums and answers the frame's length.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] or [`FrameError::HeaderValueTooLong`]: no client could read it.
    pub fn finish(self) -> Result<usize, FrameError> {
        let start = self.start;
        let headers_end = self.headers_end.unwrap_or(self.out.len());
        let length = self.out.len() - start + CHECKSUM_LENGTH;
        let fault = self.fault.or(
            (length > MAX_MESSAGE_LENGTH).then_some(FrameError::TooLong {
                length,
                limit: MAX_MESSAGE_LENGTH,
            }),
        );
        if let Some(fault) = fault {
            self.out.truncate(start);
            return Err(fault);
        }
        let headers_length = headers_end - start - PRELUDE_LENGTH;
        let frame = &mut self.out[start..];
        frame[0..4].copy_from_slice(&length_bytes(length));
        frame[4..8].copy_from_slice(&length_bytes(headers_length));
        let prelude_checksum = crc32fast::hash(&frame[..8]);
        frame[8..12].copy_from_slice(&prelude_checksum.to_be_bytes());
        let checksum = crc32fast::hash(frame);
        self.out.extend_from_slice(&checksum.to_be_bytes());
        Ok(length)
    }

    fn fixed(&mut self, kind: u8, value: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(value);
    }

    fn variable(&mut self, kind: u8, value: &[u8]) {
        match u16::try_from(value.len()) {
            Ok(length) if value.len() <= MAX_VALUE_LENGTH => {
                self.fixed(kind, &length.to_be_bytes());
                self.out.extend_from_slice(value);
            }
            _ => {
                let offset = self.out.len() - self.start;
                self.fault = Some(FrameError::HeaderValueTooLong {
                    length: value.len(),
                    offset,
                });
            }
        }
    }
}

fn length_bytes(length: usize) -> [u8; 4] {
    u32::try_from(length)
        .expect("lengths are below MAX_MESSAGE_LENGTH")
        .to_be_bytes()
}
