//! The journal itself: append, sync, rotate, compact, trim. Blocking; see [`crate::JournalHandle`].

use crate::format::{self, HEADER_BYTES, Header, RECORD_HEADER_BYTES};
use crate::recovery::{self, Segment};
use crate::{File, FileSystem, JournalError, Recovered};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The number of a record; the first one of a new journal is 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sequence(pub u64);

impl Sequence {
    pub(crate) fn next(self) -> Sequence {
        self.advance(1)
    }

    pub(crate) fn advance(self, by: usize) -> Sequence {
        Sequence(self.0.saturating_add(by as u64))
    }
}

/// One record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub sequence: Sequence,
    pub payload: Vec<u8>,
}

/// How a journal behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JournalOptions {
    /// A segment that reaches this size is followed by a new one.
    pub segment_bytes: u64,
    /// The largest payload taken.
    pub max_record_bytes: usize,
    /// How long an append through a [`crate::JournalHandle`] that nobody waits for may stay
    /// without a sync; `None` for as long as the system likes.
    pub lazy_sync: Option<std::time::Duration>,
}

impl Default for JournalOptions {
    fn default() -> Self {
        JournalOptions {
            segment_bytes: 1024 * 1024,
            max_record_bytes: 16 * 1024 * 1024,
            lazy_sync: Some(std::time::Duration::from_secs(1)),
        }
    }
}

/// A folder of segments, open for appending.
pub struct Journal {
    fs: Arc<dyn FileSystem>,
    directory: PathBuf,
    options: JournalOptions,
    generation: u64,
    next: Sequence,
    /// Never empty; the last one is written to.
    segments: Vec<Segment>,
    file: Box<dyn File>,
    recovered: Recovered,
    /// Written since the last sync.
    is_dirty: bool,
    /// A file was made since the folder was last synced.
    is_directory_dirty: bool,
    has_failed: bool,
}

impl Journal {
    /// Opens or makes a journal and returns all its records, oldest first.
    pub fn open(
        fs: Arc<dyn FileSystem>,
        directory: &Path,
        options: JournalOptions,
    ) -> Result<(Journal, Vec<Record>), JournalError> {
        let mut content = recovery::recover(&*fs, directory)?;
        let header = Header {
            generation: content.generation,
            first: content.next,
        };
        let mut is_directory_dirty = true;
        let file = match content.segments.last() {
            Some(segment) => {
                is_directory_dirty = false;
                fs.open(&segment.path)
                    .map_err(JournalError::io("open", &segment.path))?
            }
            None => {
                let (segment, file) = create_segment(&*fs, directory, header)?;
                content.segments.push(segment);
                file
            }
        };
        let journal = Journal {
            fs,
            directory: directory.to_owned(),
            options,
            generation: content.generation,
            next: content.next,
            segments: content.segments,
            file,
            recovered: content.recovered,
            // Records that were read may still sit in the page cache of a killed writer.
            is_dirty: true,
            is_directory_dirty,
            has_failed: false,
        };
        Ok((journal, content.records))
    }

    /// What was mended when the journal was opened.
    #[must_use]
    pub fn recovered(&self) -> &Recovered {
        &self.recovered
    }

    /// The sequence the next record will get.
    #[must_use]
    pub fn next_sequence(&self) -> Sequence {
        self.next
    }

    /// All records as the files hold them now, read again; for rewriting and for history.
    pub fn records(&self) -> Result<Vec<Record>, JournalError> {
        let mut records = Vec::new();
        for segment in &self.segments {
            let bytes = self
                .fs
                .read(&segment.path)
                .map_err(JournalError::io("read", &segment.path))?;
            let content = bytes.get(HEADER_BYTES..).unwrap_or_default();
            format::decode_records(self.generation, segment.first, content, &mut records);
        }
        Ok(records)
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.length).sum()
    }

    /// Adds a record; it is durable after the next [`sync`](Journal::sync). If this fails, the
    /// record is not in the journal.
    pub fn append(&mut self, payload: &[u8]) -> Result<Sequence, JournalError> {
        self.append_all([payload])
    }

    /// Adds several records with one write, all or none; returns the sequence of the first.
    pub fn append_all<'a>(
        &mut self,
        payloads: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Sequence, JournalError> {
        self.check_usable()?;
        let first = self.next;
        let mut next = first;
        let mut bytes = Vec::new();
        for payload in payloads {
            self.check_size(payload)?;
            format::encode_record(self.generation, next, payload, &mut bytes);
            next = next.next();
        }
        if self.is_full(bytes.len()) {
            self.rotate()?;
        }
        self.write(&bytes)?;
        self.next = next;
        Ok(first)
    }

    /// Makes everything appended so far durable.
    pub fn sync(&mut self) -> Result<(), JournalError> {
        self.check_usable()?;
        let result = self.sync_file_and_directory();
        self.has_failed = result.is_err();
        result
    }

    /// Replaces the whole content by these records, atomically and durably. Sequences go on.
    ///
    /// Also the way back after a failed sync: nothing of the old files is needed.
    pub fn compact<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), JournalError> {
        let header = Header {
            generation: self.generation + 1,
            first: self.next,
        };
        let path = self.directory.join(format::segment_name(header));
        let mut temporary = path.clone().into_os_string();
        temporary.push(".new");
        let temporary = PathBuf::from(temporary);
        let (file, next, length) = match self.write_compacted(header, &temporary, records) {
            Ok(written) => written,
            Err(error) => {
                // Best effort: an open removes it, too.
                drop(self.fs.remove(&temporary));
                return Err(error);
            }
        };
        self.fs
            .rename(&temporary, &path)
            .map_err(JournalError::io("rename", &temporary))?;
        let old = std::mem::replace(
            &mut self.segments,
            vec![Segment {
                first: header.first,
                path,
                length,
            }],
        );
        self.file = file;
        self.generation = header.generation;
        self.next = next;
        self.is_dirty = false;
        self.is_directory_dirty = true;
        self.has_failed = false;
        self.sync()?;
        for segment in old {
            // The content has its new place already. What stays is of an older generation, and
            // the next open removes it.
            if let Err(error) = self.fs.remove(&segment.path) {
                tracing::warn!(%error, path = %segment.path.display(), "an old segment stays");
            }
        }
        Ok(())
    }

    /// Drops segments that hold only records before `sequence`. Later records always stay.
    pub fn trim(&mut self, before: Sequence) -> Result<(), JournalError> {
        self.check_usable()?;
        while self
            .segments
            .get(1)
            .is_some_and(|second| second.first <= before)
        {
            let oldest = self.segments.remove(0);
            self.fs
                .remove(&oldest.path)
                .map_err(JournalError::io("remove", &oldest.path))?;
            // One at a time: a removal that overtook an earlier one would leave a gap.
            self.fs
                .sync_directory(&self.directory)
                .map_err(JournalError::io("sync the folder of", &self.directory))?;
        }
        Ok(())
    }

    fn check_usable(&self) -> Result<(), JournalError> {
        if self.has_failed {
            return Err(JournalError::Failed {
                directory: self.directory.clone(),
            });
        }
        Ok(())
    }

    fn check_size(&self, payload: &[u8]) -> Result<(), JournalError> {
        if payload.len() > self.options.max_record_bytes {
            return Err(JournalError::TooLarge {
                length: payload.len(),
                limit: self.options.max_record_bytes,
            });
        }
        Ok(())
    }

    fn current(&mut self) -> &mut Segment {
        self.segments
            .last_mut()
            .expect("a journal always has a segment")
    }

    fn is_full(&mut self, more: usize) -> bool {
        let limit = self.options.segment_bytes;
        let length = self.current().length;
        length > HEADER_BYTES as u64 && length + more as u64 > limit
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), JournalError> {
        let length = self.current().length;
        self.is_dirty = true;
        match self.file.append(bytes) {
            Ok(()) => {
                self.current().length += bytes.len() as u64;
                Ok(())
            }
            Err(source) => {
                // Part of it may stand there: cut it, or never write behind it again.
                self.has_failed = self.file.truncate(length).is_err();
                let path = self.current().path.clone();
                Err(JournalError::io("write", &path)(source))
            }
        }
    }

    /// Begins a new segment, once the old one is safe.
    fn rotate(&mut self) -> Result<(), JournalError> {
        self.sync()?;
        let header = Header {
            generation: self.generation,
            first: self.next,
        };
        let (segment, file) = create_segment(&*self.fs, &self.directory, header)?;
        self.segments.push(segment);
        self.file = file;
        self.is_dirty = true;
        self.is_directory_dirty = true;
        Ok(())
    }

    fn sync_file_and_directory(&mut self) -> Result<(), JournalError> {
        if self.is_dirty {
            let result = self.file.sync();
            let path = &self.current().path;
            result.map_err(JournalError::io("sync", path))?;
            self.is_dirty = false;
        }
        if self.is_directory_dirty {
            self.fs
                .sync_directory(&self.directory)
                .map_err(JournalError::io("sync the folder of", &self.directory))?;
            self.is_directory_dirty = false;
        }
        Ok(())
    }

    fn write_compacted<'a>(
        &self,
        header: Header,
        path: &Path,
        records: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(Box<dyn File>, Sequence, u64), JournalError> {
        const CHUNK_BYTES: usize = 256 * 1024;
        let mut file = self
            .fs
            .create(path)
            .map_err(JournalError::io("create", path))?;
        let mut bytes = header.encode().to_vec();
        let mut next = header.first;
        let mut length = 0;
        for payload in records {
            self.check_size(payload)?;
            if bytes.len() + payload.len() + RECORD_HEADER_BYTES > CHUNK_BYTES {
                file.append(&bytes)
                    .map_err(JournalError::io("write", path))?;
                length += bytes.len() as u64;
                bytes.clear();
            }
            format::encode_record(header.generation, next, payload, &mut bytes);
            next = next.next();
        }
        length += bytes.len() as u64;
        file.append(&bytes)
            .and_then(|()| file.sync())
            .map_err(JournalError::io("write", path))?;
        Ok((file, next, length))
    }
}

fn create_segment(
    fs: &dyn FileSystem,
    directory: &Path,
    header: Header,
) -> Result<(Segment, Box<dyn File>), JournalError> {
    let path = directory.join(format::segment_name(header));
    let mut file = fs
        .create(&path)
        .map_err(JournalError::io("create", &path))?;
    if let Err(source) = file.append(&header.encode()) {
        // An empty or half a segment is no harm to a reader, but it would be to a writer.
        drop(fs.remove(&path));
        return Err(JournalError::io("write", &path)(source));
    }
    let segment = Segment {
        first: header.first,
        path,
        length: HEADER_BYTES as u64,
    };
    Ok((segment, file))
}
