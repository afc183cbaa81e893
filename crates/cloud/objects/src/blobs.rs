//! Blobs: immutable files, named by random ids.
//!
//! ```text
//! blobs/new/ID     being written, removed at start
//! blobs/AB/AB…     whole and on disk; AB are the first two hex digits of the id
//! ```
//!
//! A blob gets its final name only when its bytes are on disk, and a row may name it only then.

use crate::S3Error;
use crate::checksum::{Algorithm, Checksum};
use md5::Md5;
use sha2::{Digest as _, Sha256};
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes gathered before a block goes to the disk's thread.
const BLOCK: usize = 1024 * 1024;

/// The directory of all blobs.
#[derive(Clone, Debug)]
pub(crate) struct Blobs {
    root: Arc<Path>,
    ephemeral: bool,
    fill: fn(&mut [u8]),
}

/// A blob on disk that no row names yet; removed when dropped before [`Stored::keep`].
///
/// It is kept before the transaction that names it is committed, not after: a commit that is given
/// up, or that failed late, may have happened. If it has not, the next start sweeps the blob.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) id: String,
    pub(crate) size: u64,
    /// Hex MD5.
    pub(crate) md5: String,
    /// Hex SHA-256.
    pub(crate) sha256: String,
    pub(crate) checksums: Vec<(Algorithm, String)>,
    path: PathBuf,
    kept: bool,
}

impl Stored {
    /// A row is about to name it.
    pub(crate) fn keep(mut self) {
        self.kept = true;
    }

    pub(crate) fn checksum(&self, algorithm: Algorithm) -> Option<&str> {
        self.checksums
            .iter()
            .find(|(found, _)| *found == algorithm)
            .map(|(_, value)| value.as_str())
    }
}

impl Drop for Stored {
    fn drop(&mut self) {
        if !self.kept {
            remove_quietly(&self.path);
        }
    }
}

fn remove_quietly(path: &Path) {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::warn!(path = %path.display(), %error, "cannot remove a blob");
    }
}

impl Blobs {
    /// Makes the directories and removes what was being written when the last process ended.
    pub(crate) fn open(
        root: PathBuf,
        ephemeral: bool,
        fill: fn(&mut [u8]),
    ) -> Result<Self, S3Error> {
        let new = root.join("new");
        let failed = |what, path: &Path| {
            let path = path.to_owned();
            move |source| S3Error::File { what, path, source }
        };
        std::fs::create_dir_all(&new).map_err(failed("make the directory of", &new))?;
        for entry in std::fs::read_dir(&new).map_err(failed("list", &new))? {
            let path = entry.map_err(failed("list", &new))?.path();
            remove_quietly(&path);
        }
        for byte in 0..=255_u8 {
            let path = root.join(hex::encode([byte]));
            std::fs::create_dir_all(&path).map_err(failed("make the directory of", &path))?;
        }
        Ok(Blobs {
            root: root.into(),
            ephemeral,
            fill,
        })
    }

    /// A new random id of 32 hex digits.
    pub(crate) fn new_id(&self) -> String {
        let mut bytes = [0_u8; 16];
        (self.fill)(&mut bytes);
        hex::encode(bytes)
    }

    pub(crate) fn path(&self, id: &str) -> PathBuf {
        self.root.join(id.get(..2).unwrap_or("00")).join(id)
    }

    /// Starts a blob whose bytes come piece by piece.
    pub(crate) fn sink(&self, algorithms: &[Algorithm]) -> Sink {
        Sink {
            blobs: self.clone(),
            state: Some(State {
                id: self.new_id(),
                file: None,
                size: 0,
                md5: Md5::new(),
                sha256: Sha256::new(),
                checksums: algorithms.iter().map(|a| (*a, a.start())).collect(),
            }),
            buffer: Vec::new(),
        }
    }

    /// Removes a blob that no row names.
    pub(crate) async fn remove(&self, id: &str) {
        let path = self.path(id);
        if tokio::task::spawn_blocking(move || remove_quietly(&path))
            .await
            .is_err()
        {
            tracing::warn!(blob = id, "removing a blob panicked");
        }
    }

    /// The ids of all blobs in one of the 256 directories that are older than `before`.
    pub(crate) fn list(&self, directory: u8, before: std::time::SystemTime) -> Vec<String> {
        let path = self.root.join(hex::encode([directory]));
        let Ok(entries) = std::fs::read_dir(&path) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| {
                entry
                    .metadata()
                    .and_then(|metadata| metadata.modified())
                    .is_ok_and(|modified| modified < before)
            })
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }
}

/// A blob being written. Dropped before [`Sink::finish`] it leaves nothing.
pub(crate) struct Sink {
    blobs: Blobs,
    state: Option<State>,
    buffer: Vec<u8>,
}

struct State {
    id: String,
    file: Option<Unfinished>,
    size: u64,
    md5: Md5,
    sha256: Sha256,
    checksums: Vec<(Algorithm, Checksum)>,
}

/// A file under `new`, which is removed when dropped before it has its final name: also by the
/// thread that was writing when its caller left.
struct Unfinished {
    file: File,
    path: PathBuf,
    named: bool,
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.named {
            remove_quietly(&self.path);
        }
    }
}

impl Sink {
    /// Bytes taken so far.
    pub(crate) fn size(&self) -> u64 {
        self.state.as_ref().map_or(0, |state| state.size) + self.buffer.len() as u64
    }

    /// The buffer to append to; call [`Sink::flush_if_full`] afterwards.
    pub(crate) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    pub(crate) async fn flush_if_full(&mut self) -> Result<(), S3Error> {
        if self.buffer.len() >= BLOCK {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), S3Error> {
        let block = std::mem::take(&mut self.buffer);
        let blobs = self.blobs.clone();
        let state = self.take_state()?;
        let (state, block) = on_disk_thread(move || {
            let mut state = state;
            state.write(&blobs, &block)?;
            Ok((state, block))
        })
        .await?;
        self.state = Some(state);
        self.buffer = block;
        self.buffer.clear();
        Ok(())
    }

    /// Makes the blob durable under its final name.
    pub(crate) async fn finish(mut self) -> Result<Stored, S3Error> {
        let block = std::mem::take(&mut self.buffer);
        let blobs = self.blobs.clone();
        let state = self.take_state()?;
        on_disk_thread(move || {
            let mut state = state;
            state.write(&blobs, &block)?;
            state.publish(&blobs)
        })
        .await
    }

    fn take_state(&mut self) -> Result<State, S3Error> {
        // Gone only when an earlier write failed.
        self.state.take().ok_or_else(|| {
            S3Error::new(
                crate::Code::InternalError,
                "an earlier write of this blob failed",
            )
        })
    }
}

async fn on_disk_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, S3Error> + Send + 'static,
) -> Result<T, S3Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| {
        Err(S3Error::new(
            crate::Code::InternalError,
            "the thread that writes blobs panicked",
        ))
    })
}

impl State {
    fn write(&mut self, blobs: &Blobs, bytes: &[u8]) -> Result<(), S3Error> {
        self.md5.update(bytes);
        self.sha256.update(bytes);
        for (_, checksum) in &mut self.checksums {
            checksum.update(bytes);
        }
        self.size += bytes.len() as u64;
        let mut unfinished = match self.file.take() {
            Some(unfinished) => unfinished,
            None => {
                let path = blobs.root.join("new").join(&self.id);
                match File::create_new(&path) {
                    Ok(file) => Unfinished {
                        file,
                        path,
                        named: false,
                    },
                    Err(source) => {
                        return Err(S3Error::File {
                            what: "create",
                            path,
                            source,
                        });
                    }
                }
            }
        };
        unfinished
            .file
            .write_all(bytes)
            .map_err(|source| S3Error::File {
                what: "write",
                path: unfinished.path.clone(),
                source,
            })?;
        self.file = Some(unfinished);
        Ok(())
    }

    fn publish(self, blobs: &Blobs) -> Result<Stored, S3Error> {
        let path = blobs.path(&self.id);
        let mut unfinished = self.file.ok_or_else(|| {
            S3Error::new(
                crate::Code::InternalError,
                "nothing was written of this blob",
            )
        })?;
        let failed = |what| {
            let path = path.clone();
            move |source| S3Error::File { what, path, source }
        };
        if !blobs.ephemeral {
            unfinished.file.sync_all().map_err(failed("sync"))?;
        }
        std::fs::rename(&unfinished.path, &path).map_err(failed("name"))?;
        unfinished.named = true;
        if !blobs.ephemeral
            && let Some(parent) = path.parent()
        {
            File::open(parent)
                .and_then(|directory| directory.sync_all())
                .map_err(failed("sync the directory of"))?;
        }
        Ok(Stored {
            id: self.id,
            size: self.size,
            md5: hex::encode(self.md5.finalize()),
            sha256: hex::encode(self.sha256.finalize()),
            checksums: self
                .checksums
                .into_iter()
                .map(|(algorithm, checksum)| (algorithm, checksum.finish()))
                .collect(),
            path,
            kept: false,
        })
    }
}
