//! A cursor over the bytes of one packet; every read is checked.

use crate::Violation;
use crate::packet::Text;
use bytes::{Buf as _, Bytes};

const SHORT: Violation = Violation::malformed("the packet ends too early");

pub(crate) struct Reader(Bytes);

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Reader {
        Reader(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(self) -> Bytes {
        self.0
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Violation> {
        self.0.try_get_u8().map_err(|_| SHORT)
    }

    /// A byte that must be 0 or 1.
    pub(crate) fn bit(&mut self) -> Result<u8, Violation> {
        match self.u8()? {
            bit @ (0 | 1) => Ok(bit),
            _ => Err(Violation::protocol("a flag is neither 0 nor 1")),
        }
    }

    pub(crate) fn u16(&mut self) -> Result<u16, Violation> {
        self.0.try_get_u16().map_err(|_| SHORT)
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Violation> {
        self.0.try_get_u32().map_err(|_| SHORT)
    }

    pub(crate) fn varint(&mut self) -> Result<u32, Violation> {
        let mut value = 0u32;
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            value |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Violation::malformed("a length has more than four bytes"))
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Result<Bytes, Violation> {
        if self.0.len() < length {
            return Err(SHORT);
        }
        Ok(self.0.split_to(length))
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<Reader, Violation> {
        self.bytes(length).map(Reader)
    }

    pub(crate) fn binary(&mut self) -> Result<Bytes, Violation> {
        let length = self.u16()?;
        self.bytes(usize::from(length))
    }

    pub(crate) fn text(&mut self) -> Result<Text, Violation> {
        Text::from_wire(self.binary()?).ok_or(Violation::malformed(
            "a string is not valid UTF-8 or holds U+0000",
        ))
    }

    /// A packet identifier, which is never 0.
    pub(crate) fn packet_id(&mut self) -> Result<u16, Violation> {
        match self.u16()? {
            0 => Err(Violation::protocol("the packet identifier is 0")),
            id => Ok(id),
        }
    }

    pub(crate) fn end(&self) -> Result<(), Violation> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(Violation::malformed("bytes follow the end of the packet"))
        }
    }
}
