//! A log file that rolls at a size and keeps its total below a limit.

use super::line::hour_name;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;

/// The nucleus's defaults, `logging.fileSizeKB` and `logging.totalLogsSizeKB`.
const FILE_BYTES: u64 = 1024 * 1024;
const KEPT_FILES: usize = 10;

/// `<folder>/<name>.log` and its rotated predecessors `<name>_<yyyy_MM_dd_HH>_<index>.log`.
pub(super) struct RotatingFile {
    folder: PathBuf,
    name: &'static str,
    open: Option<(File, u64)>,
}

impl RotatingFile {
    pub(super) fn new(folder: PathBuf, name: &'static str) -> Self {
        RotatingFile { folder, name, open: None }
    }

    /// Appends; a full or missing disk loses the line and nothing else.
    pub(super) fn write(&mut self, text: &str, now_ms: u64) {
        if self.open.as_ref().is_some_and(|(_, size)| *size >= FILE_BYTES) {
            self.open = None;
            self.roll(now_ms);
        }
        if self.open.is_none() {
            self.open = self.reopen();
        }
        if let Some((file, size)) = &mut self.open
            && file.write_all(text.as_bytes()).is_ok()
        {
            *size += text.len() as u64;
        }
    }

    fn reopen(&self) -> Option<(File, u64)> {
        let path = self.folder.join(format!("{}.log", self.name));
        let file = OpenOptions::new().create(true).append(true).mode(0o644).open(path).ok()?;
        let size = file.metadata().map_or(0, |metadata| metadata.len());
        Some((file, size))
    }

    fn roll(&self, now_ms: u64) {
        let current = self.folder.join(format!("{}.log", self.name));
        let hour = hour_name(now_ms);
        let rolled = (0..).map(|index| self.folder.join(format!("{}_{hour}_{index}.log", self.name)));
        if let Some(free) = rolled.take(10_000).find(|path| !path.exists()) {
            drop(fs::rename(current, free));
        }
        let prefix = format!("{}_", self.name);
        let mut old: Vec<_> = fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        old.sort();
        let surplus = old.len().saturating_sub(KEPT_FILES - 1);
        for (_, path) in old.into_iter().take(surplus) {
            drop(fs::remove_file(path));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_file_rolls_and_the_oldest_go() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut log = RotatingFile::new(folder.path().to_owned(), "greengrass");
        let line = "x".repeat(512 * 1024);
        for _ in 0..40 {
            log.write(&line, 0);
        }
        let names: Vec<String> = fs::read_dir(folder.path())
            .expect("it can be read")
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        assert!(names.contains(&"greengrass.log".to_owned()), "{names:?}");
        assert_eq!(names.len(), KEPT_FILES, "{names:?}");
    }
}
