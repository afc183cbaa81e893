//! Follows a component's log file from its end, over rotation and absence.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often the file is looked at: what a person feels as at once.
const PERIOD: Duration = Duration::from_millis(200);

/// A file that is followed; lines written before are not shown.
pub(super) struct Follower {
    prefix: String,
    path: PathBuf,
    inode: u64,
    offset: u64,
    partial: Vec<u8>,
    ready: VecDeque<String>,
}

impl Follower {
    pub(super) fn new(device: &str, path: &Path) -> Self {
        let (inode, offset) =
            std::fs::metadata(path).map_or((0, 0), |file| (file.ino(), file.len()));
        Follower {
            prefix: format!("{device} | "),
            path: path.to_owned(),
            inode,
            offset,
            partial: Vec::new(),
            ready: VecDeque::new(),
        }
    }

    fn look(&mut self) {
        let Ok(mut file) = File::open(&self.path) else {
            return;
        };
        let Ok(state) = file.metadata() else { return };
        if state.ino() != self.inode || state.len() < self.offset {
            (self.inode, self.offset) = (state.ino(), 0);
            self.partial.clear();
        }
        if file.seek(SeekFrom::Start(self.offset)).is_err() {
            return;
        }
        let mut bytes = Vec::new();
        if let Ok(read) = file.take(1 << 20).read_to_end(&mut bytes) {
            self.offset += read as u64;
            self.feed(&bytes);
        }
    }

    fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                let line = String::from_utf8_lossy(&self.partial).into_owned();
                self.ready.push_back(format!("{}{line}", self.prefix));
                self.partial.clear();
            } else {
                self.partial.push(*byte);
            }
        }
    }
}

/// The next line; never, when nothing is followed.
pub(super) async fn next(follower: &mut Option<Follower>) -> String {
    let Some(follower) = follower else {
        return std::future::pending().await;
    };
    loop {
        if let Some(line) = follower.ready.pop_front() {
            return line;
        }
        follower.look();
        if follower.ready.is_empty() {
            tokio::time::sleep(PERIOD).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_followed_over_absence_growth_and_rotation() {
        let folder = std::env::temp_dir().join(format!("sward-follow-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        let path = folder.join("x.log");
        let mut follower = Some(Follower::new("core1", &path));
        std::fs::write(&path, "one\ntw").expect("a file");
        assert_eq!(next(&mut follower).await, "core1 | one");
        std::fs::write(&path, "one\ntwo\n").expect("it grows");
        assert_eq!(next(&mut follower).await, "core1 | two");
        std::fs::rename(&path, folder.join("old.log")).expect("it is rotated");
        std::fs::write(&path, "three\n").expect("a new file");
        assert_eq!(next(&mut follower).await, "core1 | three");
        std::fs::remove_dir_all(&folder).expect("cleaning up");
    }
}
