//! The root folder: its layout and modes (core-device §3.7, §5.5), its lock, and the CLI's link.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use sward_diagnosis::{Kind, Place, Report};
use sward_sys::{FileLock, SystemError};

/// Folders and modes: components of other users must be able to pass, and see no more.
const LAYOUT: &[(&str, u32)] = &[
    ("", 0o755),
    ("bin", 0o755),
    ("cli_ipc_info", 0o755),
    ("config", 0o700),
    ("deployments", 0o700),
    ("logs", 0o700),
    ("packages", 0o755),
    ("packages/artifacts", 0o755),
    ("packages/artifacts-unarchived", 0o755),
    ("packages/recipes", 0o700),
    ("work", 0o755),
];

/// How long the lock may stay taken after a core was killed: a script that it was just starting
/// shares the lock until its program begins.
const LOCK_PATIENCE: Duration = Duration::from_secs(2);

/// A root that belongs to this process.
pub(crate) struct Root {
    path: PathBuf,
    _lock: FileLock,
}

/// Takes the lock; waits where a killed core may still hold it.
fn lock(path: &Path) -> Result<FileLock, SystemError> {
    let end = Instant::now() + LOCK_PATIENCE;
    loop {
        match FileLock::try_acquire(path) {
            Err(SystemError::Locked { .. }) if Instant::now() < end => {
                // Nothing runs yet that could be held up.
                std::thread::sleep(Duration::from_millis(20));
            }
            result => return result,
        }
    }
}

impl Root {
    /// Makes what is missing and takes the lock.
    pub(crate) fn open(path: &Path) -> Result<Self, Report> {
        let path = std::path::absolute(path)
            .map_err(|error| failed("cannot resolve the root", path, &error))?;
        for (name, mode) in LAYOUT {
            let folder = if name.is_empty() {
                path.clone()
            } else {
                path.join(name)
            };
            if !folder.is_dir() {
                DirBuilder::new()
                    .recursive(true)
                    .mode(*mode)
                    .create(&folder)
                    .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(*mode)))
                    .map_err(|error| failed("cannot make the folder", &folder, &error))?;
            }
        }
        let lock = lock(&path.join("config/lock")).map_err(|error| {
            Report::new(
                Kind::Conflict,
                "root-in-use",
                "another core runs on this root, or it cannot be locked",
            )
            .at(Place::file(&path))
            .help("stop the other core, or choose another --root")
            .caused_by(&error)
        })?;
        Ok(Root { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A folder of the core's private state.
    pub(crate) fn state(&self, name: &str) -> PathBuf {
        self.path.join("config").join(name)
    }

    /// Links this program into `bin` under the CLI's name, so that it knows its root.
    pub(crate) fn link_cli(&self) -> Result<(), Report> {
        let link = self.path.join("bin/greengrass-cli");
        let program = std::env::current_exe().map_err(|error| {
            failed(
                "cannot find the program",
                Path::new("/proc/self/exe"),
                &error,
            )
        })?;
        if fs::read_link(&link).is_ok_and(|target| target == program) {
            return Ok(());
        }
        match fs::remove_file(&link) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("cannot replace the link", &link, &error));
            }
            _ => {}
        }
        symlink(&program, &link).map_err(|error| failed("cannot link the CLI", &link, &error))
    }
}

fn failed(what: &'static str, path: &Path, error: &io::Error) -> Report {
    Report::new(Kind::Device, "root-folder", what)
        .at(Place::file(path))
        .help("does the user of the core own the root?")
        .caused_by_error(error)
}

/// A diagnosed error as a report, where a closure is too much.
pub(crate) fn report<E: sward_diagnosis::Diagnose>(error: E) -> Report {
    error.report()
}
