//! Giving files to a component's user. Blocking.
//!
//! Each folder is opened before anything in it is given, and links are never followed, also where
//! one takes the place of a folder meanwhile: another component of the same user could otherwise
//! have this core, which is root, give away any file of the device.

use super::user::Account;
use rustix::fs::{AtFlags, CWD, Dir, Gid, Mode, OFlags, Uid, chownat, fchown, openat};
use rustix::io::Errno;
use rustix::path::Arg;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::CLOEXEC);

/// A folder with all its content; of a link to one, the link alone.
pub(super) fn whole(folder: &Path, account: &Account) -> io::Result<()> {
    one(CWD, folder, account)
}

/// The content of a folder, if there is one. The folder itself is the core's, so it may be a link.
pub(super) fn content(folder: &Path, account: &Account) -> io::Result<()> {
    match openat(CWD, folder, FOLDER, Mode::empty()) {
        Ok(folder) => all_in(&folder, account),
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn all_in(folder: &OwnedFd, account: &Account) -> io::Result<()> {
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        if name != c"." && name != c".." {
            one(folder.as_fd(), name, account)?;
        }
    }
    Ok(())
}

fn one(parent: BorrowedFd<'_>, name: impl Arg + Copy, account: &Account) -> io::Result<()> {
    match openat(parent, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
        Ok(folder) => {
            all_in(&folder, account)?;
            Ok(fchown(&folder, user(account), group(account))?)
        }
        // Whatever it is, it is no folder.
        Err(Errno::NOTDIR | Errno::LOOP) => {
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            Ok(chownat(parent, name, user(account), group(account), flags)?)
        }
        // Somebody has just removed it.
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn user(account: &Account) -> Option<Uid> {
    Some(Uid::from_raw(account.identity.user_id))
}

fn group(account: &Account) -> Option<Gid> {
    Some(Gid::from_raw(account.identity.group_id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};
    use sward_sys::command::Identity;

    /// Somebody else where the test may give files away, else the test's own user.
    fn account() -> Account {
        let (user_id, group_id) = match sward_sys::is_root() {
            true => (4242, 4343),
            false => (sward_sys::own_user_id(), sward_sys::own_group_id()),
        };
        Account {
            identity: Identity {
                user_id,
                group_id,
                groups: vec![group_id],
            },
            user: None,
        }
    }

    #[test]
    fn everything_inside_is_given_and_nothing_behind_a_link() {
        let outside = tempfile::tempdir().expect("a folder");
        fs::write(outside.path().join("file"), "").expect("a file");
        let root = tempfile::tempdir().expect("a folder");
        let work = root.path().join("work");
        fs::create_dir_all(work.join("a/b")).expect("folders");
        fs::write(work.join("a/b/file"), "").expect("a file");
        symlink(outside.path(), work.join("to-folder")).expect("a link");
        symlink(outside.path().join("file"), work.join("a/to-file")).expect("a link");
        symlink("nowhere", work.join("dangling")).expect("a link");
        let account = account();
        whole(&work, &account).expect("it is given");
        for path in [
            "",
            "a",
            "a/b",
            "a/b/file",
            "to-folder",
            "a/to-file",
            "dangling",
        ] {
            let data = fs::symlink_metadata(work.join(path)).expect("it is there");
            let owner = (data.uid(), data.gid());
            let wanted = (account.identity.user_id, account.identity.group_id);
            assert_eq!(owner, wanted, "{path}");
        }
        let own = (sward_sys::own_user_id(), sward_sys::own_group_id());
        for path in ["", "file"] {
            let data = fs::metadata(outside.path().join(path)).expect("it is there");
            assert_eq!((data.uid(), data.gid()), own, "{path}");
        }
        content(&root.path().join("not-there"), &account).expect("nothing to give");
        symlink(outside.path(), root.path().join("link")).expect("a link");
        whole(&root.path().join("link"), &account).expect("the link is given");
        let data = fs::metadata(outside.path()).expect("it is there");
        assert_eq!((data.uid(), data.gid()), own);
    }
}
