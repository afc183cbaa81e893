//! What components print, in the files and formats of Greengrass (core-device §8).
//!
//! Each component has a file `<component>.log`; lines are TEXT or JSON. Files roll when they reach
//! `fileSizeKB` or at the hour, to `<component>_<yyyy_MM_dd_HH>_<index>.log`, and the oldest go
//! once a component has more than `totalLogsSizeKB`. Settings change while the core runs.
//!
//! Files are written on a thread of their own; whoever logs waits for it, so a slow disk slows the
//! components' output and fills no memory.
//!
//! Read first: [`Logs`], [`LogEntry`].

mod entry;
mod file;
mod settings;

#[cfg(test)]
mod tests;

pub use entry::{Level, LogEntry};
pub use settings::{Format, LogSettings, OutputType, SettingsError};

use file::RollingFile;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use sward_journal::Storage;

/// Lines handed over by [`Logs::post`] that may wait for the disk; later ones are dropped.
const MOST_POSTED_BYTES: usize = 1024 * 1024;

/// All logs of the core; clones are the same.
#[derive(Clone)]
pub struct Logs(Arc<Shared>);

struct Shared {
    thread: Storage,
    settings: RwLock<Arc<LogSettings>>,
    /// Touched on the logs' thread only, but for the map itself.
    files: Mutex<HashMap<String, RollingFile>>,
    /// The last write failed. Told once: the core's own log goes through here, too.
    has_failed: AtomicBool,
    posted_bytes: AtomicUsize,
}

impl Logs {
    /// Starts the thread. Nothing is written before the first entry.
    pub fn start(settings: LogSettings) -> io::Result<Logs> {
        Ok(Logs(Arc::new(Shared {
            thread: Storage::named("logs")?,
            settings: RwLock::new(Arc::new(settings)),
            files: Mutex::default(),
            has_failed: AtomicBool::new(false),
            posted_bytes: AtomicUsize::new(0),
        })))
    }

    /// Changes format, level, sizes and folder from the next entry on.
    pub fn set(&self, settings: LogSettings) {
        let mut current = self
            .0
            .settings
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *current = Arc::new(settings);
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Arc<LogSettings> {
        self.0
            .settings
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Makes the file of a logger, empty, where it is missing.
    pub async fn touch(&self, logger: &str) {
        self.write(logger, Vec::new()).await;
    }

    /// Writes entries in order, and returns once they are in the file. A log that cannot be
    /// written costs its lines, nobody's work.
    pub async fn write(&self, logger: &str, entries: Vec<LogEntry>) {
        let settings = self.settings();
        let bytes = text_of(logger, &entries, &settings);
        let shared = self.0.clone();
        let name = logger.to_owned();
        let job = move || shared.write(name, &bytes, &settings);
        // The thread ends with its last handle, which is this one.
        drop(self.0.thread.run(job).await);
    }

    /// As [`Logs::write`] without waiting, for the lines of the core itself. Lines are dropped
    /// while a megabyte of them waits for the disk.
    pub fn post(&self, logger: &str, entry: LogEntry) {
        let settings = self.settings();
        let bytes = text_of(logger, &[entry], &settings);
        let count = bytes.len();
        let waiting = self.0.posted_bytes.fetch_add(count, Ordering::Relaxed);
        let shared = self.0.clone();
        let name = logger.to_owned();
        let write = move || {
            shared.write(name, &bytes, &settings);
            shared.posted_bytes.fetch_sub(count, Ordering::Relaxed);
        };
        if waiting > MOST_POSTED_BYTES || self.0.thread.post(write).is_err() {
            self.0.posted_bytes.fetch_sub(count, Ordering::Relaxed);
        }
    }
}

fn text_of(logger: &str, entries: &[LogEntry], settings: &LogSettings) -> Vec<u8> {
    let mut text = String::new();
    for entry in entries {
        if entry.level >= settings.level {
            entry.write_to(&mut text, logger, settings.format);
        }
    }
    text.into_bytes()
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, RollingFile>> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, logger: String, bytes: &[u8], settings: &LogSettings) {
        if settings.output == OutputType::Console {
            use std::io::Write;
            // A closed standard output is no reason to stop anything.
            drop(io::stdout().lock().write_all(bytes));
            return;
        }
        let mut files = self.lock();
        let file = files
            .entry(logger)
            .or_insert_with_key(|name| RollingFile::new(name));
        let written = file.write(bytes, settings);
        let path = file.path(settings);
        drop(files);
        let had_failed = self.has_failed.swap(written.is_err(), Ordering::Relaxed);
        if let (Err(error), false) = (written, had_failed) {
            tracing::warn!(%error, file = %path.display(), "a log cannot be written");
        }
    }
}
