//! Reading a folder of segments after whatever happened to it.

use crate::format::{self, BadHeader, HEADER_BYTES, Header};
use crate::{FileSystem, JournalError, Record, Sequence};
use std::path::{Path, PathBuf};

/// What was found and mended when a journal was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Bytes cut from the end because they were torn or damaged; 0 after an orderly stop.
    pub cut_bytes: u64,
    /// Whole segments that were put aside (as `NAME.damaged`) because one before them was damaged.
    pub damaged_segments: usize,
}

/// One segment that is part of the content.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) first: Sequence,
    pub(crate) path: PathBuf,
    pub(crate) length: u64,
}

/// The content of a folder.
pub(crate) struct Content {
    pub(crate) generation: u64,
    pub(crate) segments: Vec<Segment>,
    pub(crate) records: Vec<Record>,
    pub(crate) next: Sequence,
    pub(crate) recovered: Recovered,
}

/// Reads the newest generation, cuts what is torn, and removes what older generations left.
pub(crate) fn recover(fs: &dyn FileSystem, directory: &Path) -> Result<Content, JournalError> {
    fs.create_directory(directory)
        .map_err(JournalError::io("create the folder of", directory))?;
    let mut found = segments_of(fs, directory)?;
    found.sort_by_key(|header| (header.generation, header.first));
    let mut lost = Recovered::default();
    while let Some(generation) = found.last().map(|header| header.generation) {
        let of_generation: Vec<Header> = found
            .iter()
            .filter(|header| header.generation == generation)
            .copied()
            .collect();
        let mut content = read_generation(fs, directory, generation, &of_generation)?;
        // What a newer generation lost is lost, also where an older one is still here.
        lost.cut_bytes += content.recovered.cut_bytes;
        lost.damaged_segments += content.recovered.damaged_segments;
        content.recovered = lost.clone();
        found.retain(|header| header.generation != generation);
        if !content.segments.is_empty() {
            for header in found {
                remove(fs, &directory.join(format::segment_name(header)))?;
            }
            return Ok(content);
        }
    }
    Ok(Content {
        generation: 0,
        segments: Vec::new(),
        records: Vec::new(),
        next: Sequence(1),
        recovered: lost,
    })
}

fn segments_of(fs: &dyn FileSystem, directory: &Path) -> Result<Vec<Header>, JournalError> {
    let names = fs
        .list(directory)
        .map_err(JournalError::io("list", directory))?;
    let mut found = Vec::new();
    for name in names {
        if let Some(header) = format::parse_segment_name(&name) {
            found.push(header);
        } else if name.ends_with(".new") {
            // A compaction that did not come to its rename.
            remove(fs, &directory.join(name))?;
        }
    }
    Ok(found)
}

fn read_generation(
    fs: &dyn FileSystem,
    directory: &Path,
    generation: u64,
    headers: &[Header],
) -> Result<Content, JournalError> {
    let mut content = Content {
        generation,
        segments: Vec::new(),
        records: Vec::new(),
        next: headers.first().map_or(Sequence(1), |header| header.first),
        recovered: Recovered::default(),
    };
    let mut is_torn = false;
    for header in headers {
        let path = directory.join(format::segment_name(*header));
        let bytes = fs.read(&path).map_err(JournalError::io("read", &path))?;
        is_torn = is_torn || !is_next(&content, *header, &bytes, &path)?;
        if is_torn {
            put_aside(fs, &path, &bytes, &mut content.recovered)?;
            continue;
        }
        let before = content.records.len();
        let good = HEADER_BYTES
            + format::decode_records(
                generation,
                header.first,
                &bytes[HEADER_BYTES..],
                &mut content.records,
            );
        content.next = header.first.advance(content.records.len() - before);
        if good < bytes.len() {
            cut(fs, &path, good as u64)?;
            content.recovered.cut_bytes += (bytes.len() - good) as u64;
            is_torn = true;
        }
        content.segments.push(Segment {
            first: header.first,
            path,
            length: good as u64,
        });
    }
    Ok(content)
}

/// Whether a segment continues the content; its header must agree with its name.
fn is_next(
    content: &Content,
    named: Header,
    bytes: &[u8],
    path: &Path,
) -> Result<bool, JournalError> {
    match Header::decode(bytes) {
        Ok(written) => Ok(written == named && named.first == content.next),
        Err(BadHeader::Damaged) => Ok(false),
        Err(BadHeader::Version(version)) => Err(JournalError::Version {
            path: path.to_owned(),
            version,
        }),
    }
}

fn cut(fs: &dyn FileSystem, path: &Path, length: u64) -> Result<(), JournalError> {
    let mut file = fs.open(path).map_err(JournalError::io("open", path))?;
    file.truncate(length)
        .and_then(|()| file.sync())
        .map_err(JournalError::io("cut", path))
}

/// A file that holds nothing goes; one that may hold something keeps its bytes under another name.
fn put_aside(
    fs: &dyn FileSystem,
    path: &Path,
    bytes: &[u8],
    recovered: &mut Recovered,
) -> Result<(), JournalError> {
    recovered.cut_bytes += bytes.len() as u64;
    if bytes.len() <= HEADER_BYTES || bytes.iter().all(|byte| *byte == 0) {
        return remove(fs, path);
    }
    recovered.damaged_segments += 1;
    let mut aside = path.as_os_str().to_owned();
    aside.push(".damaged");
    fs.rename(path, Path::new(&aside))
        .map_err(JournalError::io("put aside", path))
}

fn remove(fs: &dyn FileSystem, path: &Path) -> Result<(), JournalError> {
    fs.remove(path).map_err(JournalError::io("remove", path))
}
