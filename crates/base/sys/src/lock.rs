//! One owner for a folder, and the mask of new files.

use crate::SystemError;
use rustix::fs::{FlockOperation, Mode, flock};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// An exclusive lock on a file; it ends with the value or the process, however that ends.
#[derive(Debug)]
pub struct FileLock {
    _file: File,
}

impl FileLock {
    /// Takes the lock now or fails with [`SystemError::Locked`]; the file is created if missing.
    pub fn try_acquire(path: &Path) -> Result<FileLock, SystemError> {
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path)
            .map_err(|source| SystemError::Read {
                path: path.into(),
                source,
            })?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(FileLock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(SystemError::Locked { path: path.into() }),
            Err(errno) => Err(SystemError::call("lock a file")(errno)),
        }
    }
}

/// Sets the mask of new files and gives back the old one. It is the whole process's: for `main`.
pub fn set_umask(mask: u32) -> u32 {
    rustix::process::umask(Mode::from_raw_mode(mask)).as_raw_mode()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_has_one_holder_and_ends_with_its_value() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("lock");
        let first = FileLock::try_acquire(&path).expect("nobody holds it");
        assert!(matches!(
            FileLock::try_acquire(&path),
            Err(SystemError::Locked { .. })
        ));
        drop(first);
        FileLock::try_acquire(&path).expect("it is free again");
    }

    #[test]
    fn the_mask_is_set_and_given_back() {
        let before = set_umask(0o027);
        assert_eq!(set_umask(before), 0o027);
    }
}
