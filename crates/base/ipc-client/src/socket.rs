//! Connecting to a socket whose path may be longer than the system's limit.

use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

/// `sun_path` has room for 107 bytes and a terminating zero.
const MAX_PATH_LENGTH: usize = 107;

/// Connects, without waiting for anything but the listener's queue.
///
/// # Errors
/// Those of `connect`.
pub fn open(path: &Path) -> io::Result<UnixStream> {
    if path.as_os_str().len() <= MAX_PATH_LENGTH {
        return UnixStream::connect(path);
    }
    // A path through our own table of open files is short whatever the directory.
    let directory = rustix::fs::open(
        path.parent().unwrap_or(Path::new("/")),
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    let short = Path::new("/proc/self/fd")
        .join(directory.as_raw_fd().to_string())
        .join(path.file_name().unwrap_or_default());
    UnixStream::connect(short)
}
