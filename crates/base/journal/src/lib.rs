//! Append-only checksummed segments behind a small file-system trait: the edge's one durable
//! primitive.
//!
//! A [`Journal`] is a folder of segments. A record is a run of bytes with a sequence number that
//! grows by one; whoever writes decides what the bytes mean. [`Journal::sync`] makes everything
//! appended before it durable. [`Journal::compact`] replaces the whole content atomically, and
//! [`Journal::trim`] drops whole segments from the front.
//!
//! This crate never looks into a record, never decides when to compact, and never waits for a
//! disk on an async thread: [`JournalHandle`] sends the work to one [`Storage`] thread.
//!
//! # On disk
//!
//! A segment is called `GENERATION-FIRST.log`, both as 16 hex digits: the generation grows with
//! each compaction, FIRST is the sequence of its first record. All integers are little-endian.
//!
//! ```text
//! header (32 bytes)                     record
//! 0   8  magic "SWARDJ", 0, version 1   0   4  length n of the payload
//! 8   8  generation                     4   4  CRC-32 of generation, length, sequence, payload
//! 16  8  sequence of the first record   8   8  sequence
//! 24  4  zero                           16  n  payload
//! 28  4  CRC-32 of bytes 0 to 27
//! ```
//!
//! # What is promised
//!
//! After a loss of power at any instruction, [`Journal::open`] gives back a prefix of what was
//! appended that holds at least everything synced. A torn or damaged record ends the content: it
//! and whatever follows is cut. A segment is only begun after the one before it was synced, so a
//! tear never has valid records behind it. A compaction is written to a file of another name,
//! synced, and renamed: one sees the content before it or the one after it.
//!
//! A write that fails is taken back, and the journal goes on. A sync that fails leaves unknown
//! what the disk holds: from then on every call fails, until [`Journal::compact`] has written the
//! content anew.
//!
//! Read first: [`Journal`], [`FileSystem`], [`JournalHandle`].

mod error;
mod file_system;
mod format;
mod handle;
mod journal;
pub mod memory;
mod recovery;
mod storage;

pub use error::JournalError;
pub use file_system::{File, FileSystem, RealFileSystem};
pub use handle::JournalHandle;
pub use journal::{Journal, JournalOptions, Record, Sequence};
pub use recovery::Recovered;
pub use storage::{Storage, StorageStopped};

#[cfg(test)]
mod tests;
