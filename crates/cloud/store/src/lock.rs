//! One process per data directory, by an advisory lock that ends with the process.

use crate::StoreError;
use std::fs::{File, TryLockError};
use std::path::Path;

/// Holds the lock for as long as it lives.
#[derive(Debug)]
pub(crate) struct DirectoryLock {
    _file: File,
}

impl DirectoryLock {
    pub(crate) fn acquire(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join("lock");
        let directory_error = |source| StoreError::Directory {
            path: path.clone(),
            source,
        };
        let file = File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(directory_error)?;
        match file.try_lock() {
            Ok(()) => Ok(DirectoryLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked { path }),
            Err(TryLockError::Error(source)) => Err(directory_error(source)),
        }
    }
}
