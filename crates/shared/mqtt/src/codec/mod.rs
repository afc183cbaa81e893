//! Bytes to packets and back.
//!
//! [`decode`] takes whole packets off the front of a read buffer and shares its bytes; nothing is
//! copied. Writing appends to one buffer, so that many packets leave in one write.

pub(crate) mod read;
mod reader;
pub(crate) mod write;

pub use read::{Limits, decode, packet_length};
pub(crate) use reader::Reader;
pub(crate) use write::{Counter, Writer};
pub use write::{PublishFrame, encode, encode_publish, publish_length};

#[cfg(test)]
pub(crate) mod fuzz;
#[cfg(test)]
mod tests;
