//! The headers of a frame, read one by one.

use crate::frame::{FrameError, PRELUDE_LENGTH};

/// Longest text or byte value that the common C runtime accepts.
pub(crate) const MAX_VALUE_LENGTH: usize = 32_767;
const MAX_HEADERS: usize = 1024;

const INT32: u8 = 4;
const STRING: u8 = 7;

/// A header's value. Greengrass uses only [`HeaderValue::Int32`] and [`HeaderValue::String`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderValue<'a> {
    Bool(bool),
    Int8(i8),
    Int16(i16),
    Int32(i32),
    Int64(i64),
    Bytes(&'a [u8]),
    String(&'a str),
    /// Unit and epoch are the application's.
    Timestamp(i64),
    Uuid([u8; 16]),
}

/// One header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub name: &'a str,
    pub value: HeaderValue<'a>,
}

/// The block of headers; iterating reads and checks it, and ends after the first error.
#[derive(Clone, Copy, Debug)]
pub struct Headers<'a> {
    block: &'a [u8],
    position: usize,
    count: usize,
}

impl<'a> Headers<'a> {
    pub(crate) fn new(block: &'a [u8]) -> Self {
        Headers {
            block,
            position: 0,
            count: 0,
        }
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let offset = self.offset();
        let end = self.position + length;
        let bytes = self
            .block
            .get(self.position..end)
            .ok_or(FrameError::HeaderTruncated { offset })?;
        self.position = end;
        Ok(bytes)
    }

    /// The next bytes, which must be UTF-8.
    fn text(&mut self, length: usize) -> Result<&'a [u8], FrameError> {
        let offset = self.offset();
        let bytes = self.take(length)?;
        // Nearly all texts are ASCII, which is seen sooner.
        if bytes.is_ascii() || std::str::from_utf8(bytes).is_ok() {
            Ok(bytes)
        } else {
            Err(FrameError::HeaderNotUtf8 { offset })
        }
    }

    fn value_length(&mut self) -> Result<usize, FrameError> {
        let offset = self.offset();
        let length = usize::from(u16::from_be_bytes(array(self.take(2)?)));
        if length > MAX_VALUE_LENGTH {
            return Err(FrameError::HeaderValueTooLong { length, offset });
        }
        Ok(length)
    }

    /// From the start of the frame, for errors.
    fn offset(&self) -> usize {
        PRELUDE_LENGTH + self.position
    }

    /// The next header, checked as [`Iterator::next`] checks it.
    pub(crate) fn next_raw(&mut self) -> Option<Result<RawHeader<'a>, FrameError>> {
        if self.position >= self.block.len() {
            return None;
        }
        let header = self.read_raw();
        if header.is_err() {
            self.position = self.block.len();
        }
        Some(header)
    }

    fn read_raw(&mut self) -> Result<RawHeader<'a>, FrameError> {
        let offset = self.offset();
        self.count += 1;
        if self.count > MAX_HEADERS {
            return Err(FrameError::TooManyHeaders { offset });
        }
        let [name_length] = array(self.take(1)?);
        if name_length == 0 {
            return Err(FrameError::HeaderNameEmpty { offset });
        }
        let name = self.text(usize::from(name_length))?;
        let offset = self.offset();
        let [kind] = array(self.take(1)?);
        let value = match kind {
            0 | 1 => &[],
            2 => self.take(1)?,
            3 => self.take(2)?,
            INT32 => self.take(4)?,
            5 | 8 => self.take(8)?,
            6 => {
                let length = self.value_length()?;
                self.take(length)?
            }
            STRING => {
                let length = self.value_length()?;
                self.text(length)?
            }
            9 => self.take(16)?,
            found => return Err(FrameError::HeaderType { found, offset }),
        };
        Ok(RawHeader { name, kind, value })
    }
}

/// A header as its bytes: the value is as long as its kind says, texts are UTF-8.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawHeader<'a> {
    pub(crate) name: &'a [u8],
    kind: u8,
    value: &'a [u8],
}

impl<'a> RawHeader<'a> {
    /// The value where it is an int32.
    pub(crate) fn int32(&self) -> Option<i32> {
        (self.kind == INT32).then(|| i32::from_be_bytes(array(self.value)))
    }

    /// The value where it is a text.
    pub(crate) fn string(&self) -> Option<&'a str> {
        match self.kind {
            STRING => std::str::from_utf8(self.value).ok(),
            _ => None,
        }
    }

    fn header(&self) -> Option<Header<'a>> {
        let value = match self.kind {
            0 => HeaderValue::Bool(true),
            1 => HeaderValue::Bool(false),
            2 => HeaderValue::Int8(i8::from_be_bytes(array(self.value))),
            3 => HeaderValue::Int16(i16::from_be_bytes(array(self.value))),
            INT32 => HeaderValue::Int32(i32::from_be_bytes(array(self.value))),
            5 => HeaderValue::Int64(i64::from_be_bytes(array(self.value))),
            6 => HeaderValue::Bytes(self.value),
            STRING => HeaderValue::String(std::str::from_utf8(self.value).ok()?),
            8 => HeaderValue::Timestamp(i64::from_be_bytes(array(self.value))),
            _ => HeaderValue::Uuid(array(self.value)),
        };
        let name = std::str::from_utf8(self.name).ok()?;
        Some(Header { name, value })
    }
}

/// Bytes of a length that the caller has made sure of.
fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut value = [0_u8; N];
    value.copy_from_slice(bytes);
    value
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<Header<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        let offset = self.offset();
        let raw = self.next_raw()?;
        let not_utf8 = FrameError::HeaderNotUtf8 { offset };
        Some(raw.and_then(|raw| raw.header().ok_or(not_utf8)))
    }
}
