//! The Unix socket: its path within the limits of the system, and its permissions.

use crate::error::ServerError;
use rustix::fs::{Mode, OFlags};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tokio::net::UnixListener;

/// `sun_path` has room for 107 bytes and a terminating zero.
const MAX_PATH_LENGTH: usize = 107;
/// Every user may connect; the token decides who is let in.
const SOCKET_MODE: u32 = 0o666;

/// Where the socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketPath {
    absolute: PathBuf,
}

impl SocketPath {
    /// The socket at an absolute path.
    #[must_use]
    pub fn new(absolute: impl Into<PathBuf>) -> Self {
        SocketPath {
            absolute: absolute.into(),
        }
    }

    /// `<root>/ipc.socket`.
    #[must_use]
    pub fn in_root(root: &Path) -> Self {
        Self::new(root.join("ipc.socket"))
    }

    /// The absolute path (`AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH`).
    #[must_use]
    pub fn absolute(&self) -> &Path {
        &self.absolute
    }

    fn is_too_long(&self) -> bool {
        self.absolute.as_os_str().len() > MAX_PATH_LENGTH
    }

    /// What a component connects to (`AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT`): the
    /// absolute path, or where that is too long the path from the component's working directory
    /// `<root>/work/<component>`.
    #[must_use]
    pub fn for_component(&self) -> PathBuf {
        if !self.is_too_long() {
            return self.absolute.clone();
        }
        let name = self.absolute.file_name().unwrap_or_default();
        Path::new("../..").join(name)
    }

    /// Makes the socket and listens. A socket that nobody serves any more is replaced.
    pub(crate) fn listen(&self) -> Result<UnixListener, ServerError> {
        let failed = |source| ServerError::Bind {
            path: self.absolute.clone(),
            source,
        };
        let directory = self.absolute.parent().unwrap_or(Path::new("/"));
        let _directory_fd: OwnedFd;
        let path = if self.is_too_long() {
            // A path through our own table of open files is short whatever the directory.
            let fd = rustix::fs::open(
                directory,
                OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
                Mode::empty(),
            )
            .map_err(|errno| failed(errno.into()))?;
            let path = Path::new("/proc/self/fd")
                .join(fd.as_raw_fd().to_string())
                .join(self.absolute.file_name().unwrap_or_default());
            _directory_fd = fd;
            path
        } else {
            self.absolute.clone()
        };
        self.remove_stale(&path)?;
        let listener = UnixListener::bind(&path).map_err(failed)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(SOCKET_MODE))
            .map_err(failed)?;
        Ok(listener)
    }

    fn remove_stale(&self, path: &Path) -> Result<(), ServerError> {
        let failed = |source| ServerError::Bind {
            path: self.absolute.clone(),
            source,
        };
        match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(ServerError::InUse {
                path: self.absolute.clone(),
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(_) => std::fs::remove_file(path).map_err(failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let root = tempfile::tempdir().expect("a directory");
        let path = SocketPath::in_root(root.path());
        let first = path.listen().expect("nothing there");
        assert!(matches!(path.listen(), Err(ServerError::InUse { .. })));
        drop(first);
        let _second = path.listen().expect("the stale one is replaced");
        let mode = std::fs::metadata(path.absolute())
            .expect("the socket")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o666);
    }

    #[tokio::test]
    async fn a_path_beyond_the_limit_works() {
        let root = tempfile::tempdir().expect("a directory");
        let deep = root.path().join("d".repeat(60)).join("e".repeat(60));
        let work = deep.join("work").join("com.example.A");
        std::fs::create_dir_all(&work).expect("directories");
        let path = SocketPath::in_root(&deep);
        let _listener = path.listen().expect("listens");
        assert_eq!(path.for_component(), Path::new("../../ipc.socket"));
        assert!(work.join(path.for_component()).exists());
    }
}
