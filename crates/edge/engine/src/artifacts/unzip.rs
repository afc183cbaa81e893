//! Unpacking: beside the place, nothing outside it, the folder replaced at once.

use super::digest::{self, Algorithm};
use super::{ArtifactError, make_folder, read_error, set_mode, write_error};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use zip::ZipArchive;

/// Unpacks an archive into a folder, unless the folder is what this very archive gave before.
///
/// Files get `file_mode`, folders `folder_mode`; at most `room` bytes are written. Links are not
/// made: an entry that is one becomes a file with the text of the link.
pub(super) fn unzip(
    archive: &Path,
    target: &Path,
    file_mode: u32,
    folder_mode: u32,
    room: u64,
) -> Result<(), ArtifactError> {
    let stamp = beside(target, "digest");
    let digest = digest::of_file(archive, Algorithm::Sha256)?;
    if target.is_dir() && fs::read_to_string(&stamp).is_ok_and(|old| old == digest) {
        return Ok(());
    }
    let fresh = beside(target, "new");
    remove_folder(&fresh)?;
    make_folder(&fresh)?;
    if let Err(error) = unpack(archive, &fresh, file_mode, folder_mode, room) {
        remove_folder(&fresh)?;
        return Err(error);
    }
    // The stamp says that everything is there: it must not outlive the files in a loss of power.
    File::open(&fresh)
        .and_then(|folder| Ok(rustix::fs::syncfs(&folder)?))
        .map_err(|source| write_error(&fresh, source))?;
    let old = beside(target, "old");
    remove_folder(&old)?;
    let write = |source| write_error(target, source);
    match fs::rename(target, &old) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(write(error)),
        _ => {}
    }
    fs::rename(&fresh, target).map_err(write)?;
    fs::write(&stamp, digest).map_err(|source| write_error(&stamp, source))?;
    remove_folder(&old)
}

/// `.<folder>.<ending>` in the same parent.
fn beside(target: &Path, ending: &str) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    target.with_file_name(format!(".{name}.{ending}"))
}

fn remove_folder(path: &Path) -> Result<(), ArtifactError> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(write_error(path, error)),
        _ => Ok(()),
    }
}

fn unpack(
    archive: &Path,
    target: &Path,
    file_mode: u32,
    folder_mode: u32,
    room: u64,
) -> Result<(), ArtifactError> {
    let bad = |reason: String| ArtifactError::Unzip {
        path: archive.to_owned(),
        reason,
    };
    let file = File::open(archive).map_err(|source| read_error(archive, source))?;
    let mut zip =
        ZipArchive::new(io::BufReader::new(file)).map_err(|error| bad(error.to_string()))?;
    let mut left = room;
    for index in 0..zip.len() {
        let mut entry = zip
            .by_index(index)
            .map_err(|error| bad(error.to_string()))?;
        let name = entry
            .name()
            .map(std::borrow::Cow::into_owned)
            .map_err(|error| bad(error.to_string()))?;
        let Some(inside) = entry.enclosed_name() else {
            return Err(bad(format!("the entry \"{name}\" leads out of its folder")));
        };
        let path = target.join(inside);
        if entry.is_dir() {
            make_folders(target, &path, folder_mode)?;
            continue;
        }
        if let Some(parent) = path.parent() {
            make_folders(target, parent, folder_mode)?;
        }
        let mut file = File::create(&path).map_err(|source| write_error(&path, source))?;
        let copied = io::copy(&mut entry.by_ref().take(left.saturating_add(1)), &mut file)
            .map_err(|error| bad(format!("the entry \"{name}\": {error}")))?;
        if copied > left {
            return Err(bad(format!("it holds more than {room} bytes")));
        }
        left -= copied;
        set_mode(&path, file_mode)?;
    }
    set_mode(target, folder_mode)
}

/// Makes a folder below the target, and gives each new level its mode.
fn make_folders(target: &Path, path: &Path, mode: u32) -> Result<(), ArtifactError> {
    let mut missing = Vec::new();
    let mut at = path;
    while at != target && !at.is_dir() {
        missing.push(at);
        match at.parent() {
            Some(parent) => at = parent,
            None => break,
        }
    }
    for folder in missing.into_iter().rev() {
        fs::create_dir(folder).map_err(|source| write_error(folder, source))?;
        set_mode(folder, mode)?;
    }
    Ok(())
}
