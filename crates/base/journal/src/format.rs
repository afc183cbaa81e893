//! Bytes of segments: encoding and decoding, nothing else. The layout is drawn in the crate's docs.

use crate::{Record, Sequence};

pub(crate) const HEADER_BYTES: usize = 32;
pub(crate) const RECORD_HEADER_BYTES: usize = 16;
const MAGIC: &[u8; 7] = b"SWARDJ\0";
const VERSION: u8 = 1;

/// What the beginning of a segment says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) generation: u64,
    pub(crate) first: Sequence,
}

/// Why a header is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// Torn or damaged.
    Damaged,
    /// Whole, and of a later version.
    Version(u8),
}

impl Header {
    pub(crate) fn encode(self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..7].copy_from_slice(MAGIC);
        bytes[7] = VERSION;
        bytes[8..16].copy_from_slice(&self.generation.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first.0.to_le_bytes());
        let checksum = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Header, BadHeader> {
        let bytes = bytes.get(..HEADER_BYTES).ok_or(BadHeader::Damaged)?;
        let is_whole = read_u32(bytes, 28) == Some(crc32fast::hash(&bytes[..28]));
        if !is_whole || !bytes.starts_with(MAGIC) {
            return Err(BadHeader::Damaged);
        }
        if bytes[7] != VERSION {
            return Err(BadHeader::Version(bytes[7]));
        }
        Ok(Header {
            generation: read_u64(bytes, 8).ok_or(BadHeader::Damaged)?,
            first: Sequence(read_u64(bytes, 16).ok_or(BadHeader::Damaged)?),
        })
    }
}

/// Appends one record to `out`.
pub(crate) fn encode_record(
    generation: u64,
    sequence: Sequence,
    payload: &[u8],
    out: &mut Vec<u8>,
) {
    let length = u32::try_from(payload.len()).expect("the journal's limit is below 4 GiB");
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&checksum(generation, length, sequence, payload).to_le_bytes());
    out.extend_from_slice(&sequence.0.to_le_bytes());
    out.extend_from_slice(payload);
}

/// Reads records that follow each other from `first` on, until the end or the first bad byte.
/// Returns how many bytes of `bytes` were good.
pub(crate) fn decode_records(
    generation: u64,
    first: Sequence,
    bytes: &[u8],
    out: &mut Vec<Record>,
) -> usize {
    let mut position = 0;
    let mut expected = first;
    while let Some((record, length)) = decode_record(generation, expected, &bytes[position..]) {
        out.push(record);
        position += length;
        expected = expected.next();
    }
    position
}

fn decode_record(generation: u64, expected: Sequence, bytes: &[u8]) -> Option<(Record, usize)> {
    let length = read_u32(bytes, 0)?;
    let sequence = Sequence(read_u64(bytes, 8)?);
    let end = RECORD_HEADER_BYTES.checked_add(usize::try_from(length).ok()?)?;
    let payload = bytes.get(RECORD_HEADER_BYTES..end)?;
    let is_whole = read_u32(bytes, 4)? == checksum(generation, length, sequence, payload);
    (is_whole && sequence == expected).then(|| {
        let record = Record {
            sequence,
            payload: payload.to_vec(),
        };
        (record, end)
    })
}

fn checksum(generation: u64, length: u32, sequence: Sequence, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&generation.to_le_bytes());
    hasher.update(&length.to_le_bytes());
    hasher.update(&sequence.0.to_le_bytes());
    hasher.update(payload);
    hasher.finalize()
}

fn read_u32(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn read_u64(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// The file name of a segment.
pub(crate) fn segment_name(header: Header) -> String {
    format!("{:016x}-{:016x}.log", header.generation, header.first.0)
}

/// What a file name says, if it is that of a segment.
pub(crate) fn parse_segment_name(name: &str) -> Option<Header> {
    let (generation, first) = name.strip_suffix(".log")?.split_once('-')?;
    let number = |text: &str| {
        (text.len() == 16)
            .then(|| u64::from_str_radix(text, 16).ok())
            .flatten()
    };
    Some(Header {
        generation: number(generation)?,
        first: Sequence(number(first)?),
    })
}
