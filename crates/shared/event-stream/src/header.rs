//! The headers of a frame, read one by one.

use crate::frame::{FrameError, PRELUDE_LENGTH};

/// Longest text or byte value that the common C runtime accepts.
pub(crate) const MAX_VALUE_LENGTH: usize = 32_767;
const MAX_HEADERS: usize = 1024;

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

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FrameError> {
        let mut value = [0_u8; N];
        value.copy_from_slice(self.take(N)?);
        Ok(value)
    }

    fn text(&mut self, length: usize) -> Result<&'a str, FrameError> {
        let offset = self.offset();
        std::str::from_utf8(self.take(length)?).map_err(|_| FrameError::HeaderNotUtf8 { offset })
    }

    fn value_length(&mut self) -> Result<usize, FrameError> {
        let offset = self.offset();
        let length = usize::from(u16::from_be_bytes(self.array()?));
        if length > MAX_VALUE_LENGTH {
            return Err(FrameError::HeaderValueTooLong { length, offset });
        }
        Ok(length)
    }

    /// From the start of the frame, for errors.
    fn offset(&self) -> usize {
        PRELUDE_LENGTH + self.position
    }

    fn read(&mut self) -> Result<Header<'a>, FrameError> {
        let offset = self.offset();
        self.count += 1;
        if self.count > MAX_HEADERS {
            return Err(FrameError::TooManyHeaders { offset });
        }
        let [name_length] = self.array()?;
        if name_length == 0 {
            return Err(FrameError::HeaderNameEmpty { offset });
        }
        let name = self.text(usize::from(name_length))?;
        let offset = self.offset();
        let [kind] = self.array()?;
        let value = match kind {
            0 => HeaderValue::Bool(true),
            1 => HeaderValue::Bool(false),
            2 => HeaderValue::Int8(i8::from_be_bytes(self.array()?)),
            3 => HeaderValue::Int16(i16::from_be_bytes(self.array()?)),
            4 => HeaderValue::Int32(i32::from_be_bytes(self.array()?)),
            5 => HeaderValue::Int64(i64::from_be_bytes(self.array()?)),
            6 => {
                let length = self.value_length()?;
                HeaderValue::Bytes(self.take(length)?)
            }
            7 => {
                let length = self.value_length()?;
                HeaderValue::String(self.text(length)?)
            }
            8 => HeaderValue::Timestamp(i64::from_be_bytes(self.array()?)),
            9 => HeaderValue::Uuid(self.array()?),
            found => return Err(FrameError::HeaderType { found, offset }),
        };
        Ok(Header { name, value })
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = Result<Header<'a>, FrameError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.position >= self.block.len() {
            return None;
        }
        let header = self.read();
        if header.is_err() {
            self.position = self.block.len();
        }
        Some(header)
    }
}
