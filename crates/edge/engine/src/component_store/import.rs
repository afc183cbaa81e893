//! Copying a developer's recipes and artifacts into the store, for a local deployment (§6.3).

use super::{ComponentStore, StoreError, read_recipe};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use sward_recipe::Format;

impl ComponentStore {
    /// Copies every `.json`, `.yaml` and `.yml` recipe below a folder; other files are passed
    /// over. A recipe of the same name and version is replaced. Returns how many there were.
    pub fn import_recipes(&self, folder: &Path) -> Result<usize, StoreError> {
        let mut count = 0;
        for path in files_below(folder)? {
            if Format::of_file_name(&path.to_string_lossy()).is_none() {
                continue;
            }
            let bytes = fs::read(&path).map_err(|source| StoreError::Read {
                path: path.clone(),
                source,
            })?;
            self.save_recipe(&read_recipe(&path, &bytes)?)?;
            count += 1;
        }
        Ok(count)
    }

    /// Copies a tree of `<name>/<version>/<file>` over the artifacts, replacing files. A folder
    /// that contains the store's artifacts is refused; the artifacts themselves are left alone.
    pub fn import_artifacts(&self, folder: &Path) -> Result<usize, StoreError> {
        let target = self.root().join("packages/artifacts");
        let absolute = |path: &Path| {
            fs::canonicalize(path).map_err(|source| StoreError::Read {
                path: path.to_owned(),
                source,
            })
        };
        let (from, to) = (absolute(folder)?, absolute(&target)?);
        if from == to {
            return Ok(0);
        }
        if to.starts_with(&from) {
            return Err(StoreError::FolderContainsStore { path: from });
        }
        let mut count = 0;
        for path in files_below(&from)? {
            let relative = path
                .strip_prefix(&from)
                .expect("a file below a folder begins with its path");
            copy(&path, &to.join(relative))?;
            count += 1;
        }
        Ok(count)
    }
}

/// Copies beside the place and renames, so that a running program keeps its old file.
fn copy(from: &Path, to: &Path) -> Result<(), StoreError> {
    let write = |source| StoreError::Write {
        path: to.to_owned(),
        source,
    };
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).map_err(write)?;
    }
    let mut beside = to.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    fs::copy(from, &beside).map_err(write)?;
    let mode = fs::metadata(from).map_err(write)?.permissions().mode();
    let readable = fs::Permissions::from_mode((mode & 0o777) | 0o440);
    fs::set_permissions(&beside, readable).map_err(write)?;
    // No digest tells a half file from a whole one after a loss of power.
    fs::File::open(&beside)
        .and_then(|file| file.sync_all())
        .map_err(write)?;
    fs::rename(&beside, to).map_err(write)
}

/// Every plain file below a folder, sorted. Links to folders are not followed.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let mut found = Vec::new();
    let mut next = vec![folder.to_owned()];
    while let Some(folder) = next.pop() {
        let read = |source| StoreError::Read {
            path: folder.clone(),
            source,
        };
        for entry in fs::read_dir(&folder).map_err(read)? {
            let entry = entry.map_err(read)?;
            let path = entry.path();
            let kind = entry.file_type().map_err(read)?;
            if kind.is_dir() {
                next.push(path);
            } else if kind.is_file() || path.is_file() {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
