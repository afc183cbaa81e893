//! One log file that rolls.

use super::LogSettings;
use crate::configuration::now_ms;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub(super) struct RollingFile {
    logger: String,
    open: Option<Open>,
}

struct Open {
    file: File,
    path: PathBuf,
    size: u64,
    /// `yyyy_MM_dd_HH` of its first line.
    hour: String,
}

impl RollingFile {
    pub(super) fn new(logger: &str) -> Self {
        RollingFile {
            logger: logger.to_owned(),
            open: None,
        }
    }

    pub(super) fn path(&self, settings: &LogSettings) -> PathBuf {
        settings.directory.join(format!("{}.log", self.logger))
    }

    /// Appends whole lines, in as many files as they need. That old files cannot be removed keeps
    /// no line from being written.
    pub(super) fn write(&mut self, bytes: &[u8], settings: &LogSettings) -> io::Result<()> {
        let mut pruned = Ok(());
        let limit = settings.file_size_kb.saturating_mul(1024);
        let hour = hour_of(now_ms());
        let mut rest = bytes;
        loop {
            let open = self.current(settings)?;
            let is_old = open.size > 0 && open.hour != hour;
            let room = usize::try_from(limit.saturating_sub(open.size)).unwrap_or(usize::MAX);
            let fitting = whole_lines(rest, room);
            if is_old || (fitting == 0 && open.size > 0 && !rest.is_empty()) {
                self.roll(settings)?;
                pruned = pruned.and(self.prune(settings));
                continue;
            }
            // A line longer than a whole file stands alone.
            let count = if fitting == 0 {
                first_line(rest)
            } else {
                fitting
            };
            open.file.write_all(&rest[..count])?;
            open.size += count as u64;
            rest = &rest[count..];
            if rest.is_empty() {
                return pruned;
            }
        }
    }

    fn current(&mut self, settings: &LogSettings) -> io::Result<&mut Open> {
        let path = self.path(settings);
        let is_same = self
            .open
            .as_ref()
            .is_some_and(|open| open.path == path && path.exists());
        let open = match self.open.take() {
            Some(open) if is_same => open,
            _ => open_file(&path)?,
        };
        Ok(self.open.insert(open))
    }

    fn roll(&mut self, settings: &LogSettings) -> io::Result<()> {
        let Some(open) = self.open.take() else {
            return Ok(());
        };
        let target = (0..)
            .map(|index| {
                let name = format!("{}_{}_{index}.log", self.logger, open.hour);
                settings.directory.join(name)
            })
            .find(|path| !path.exists())
            .expect("some number is free");
        fs::rename(&open.path, target)
    }

    /// Removes the oldest rolled files until all together fit. Others (a log manager) may remove
    /// some at the same time.
    fn prune(&self, settings: &LogSettings) -> io::Result<()> {
        let mut rolled: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&settings.directory)? {
            let entry = entry?;
            if is_rolled(&self.logger, &entry.file_name().to_string_lossy())
                && let Ok(data) = entry.metadata()
            {
                rolled.push((data.modified()?, data.len(), entry.path()));
            }
        }
        rolled.sort();
        let mut total: u64 = rolled.iter().map(|(_, size, _)| size).sum();
        // The file that is about to be begun needs its room, too.
        let room = settings
            .total_size_kb
            .saturating_sub(settings.file_size_kb)
            .saturating_mul(1024);
        let mut result = Ok(());
        for (_, size, path) in rolled {
            if total <= room {
                break;
            }
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    result = result.and(Err(error));
                }
                _ => total -= size,
            }
        }
        result
    }
}

fn open_file(path: &Path) -> io::Result<Open> {
    use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
    if let Some(folder) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)?;
    }
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o644)
        .open(path)?;
    let data = file.metadata()?;
    let modified_ms = data
        .modified()?
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0));
    Ok(Open {
        file,
        path: path.to_owned(),
        size: data.len(),
        hour: hour_of(if data.len() > 0 {
            modified_ms
        } else {
            now_ms()
        }),
    })
}

fn hour_of(at_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(at_ms)
        .map(|timestamp| timestamp.strftime("%Y_%m_%d_%H").to_string())
        .unwrap_or_default()
}

/// How many bytes of whole lines fit into `room`.
fn whole_lines(bytes: &[u8], room: usize) -> usize {
    if bytes.len() <= room {
        return bytes.len();
    }
    bytes[..room]
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |end| end + 1)
}

fn first_line(bytes: &[u8]) -> usize {
    bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .map_or(bytes.len(), |end| end + 1)
}

/// `<logger>_yyyy_MM_dd_HH_<index>.log`
fn is_rolled(logger: &str, name: &str) -> bool {
    let Some(rest) = name
        .strip_prefix(logger)
        .and_then(|rest| rest.strip_suffix(".log"))
        .and_then(|rest| rest.strip_prefix('_'))
    else {
        return false;
    };
    let parts: Vec<&str> = rest.split('_').collect();
    let lengths = [4, 2, 2, 2];
    parts.len() == 5
        && parts
            .iter()
            .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        && lengths
            .iter()
            .zip(&parts)
            .all(|(length, part)| part.len() == *length)
        && !parts[4].is_empty()
}
