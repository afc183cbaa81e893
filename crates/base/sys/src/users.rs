//! Users and groups as `/etc/passwd` and `/etc/group` list them.
//!
//! The files are read directly: the C library's lookups may load plug-ins, ask the network and
//! block, which a small daemon that starts scripts cannot afford (core-device §3.2 looks groups up
//! in `/etc/group` only, too).

use crate::SystemError;
use std::fs;
use std::path::{Path, PathBuf};

/// A line of `/etc/passwd`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub id: u32,
    /// The primary group.
    pub group_id: u32,
    pub home: String,
    pub shell: String,
}

/// A line of `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub id: u32,
    pub members: Vec<String>,
}

/// Both files, read once.
#[derive(Clone, Debug, Default)]
pub struct UserDatabase {
    users: Vec<User>,
    groups: Vec<Group>,
}

impl UserDatabase {
    /// Reads the system's files. A missing `/etc/group` is an empty one.
    pub fn read() -> Result<UserDatabase, SystemError> {
        let read = |path: &str| match fs::read(path) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(source) => Err(SystemError::Read {
                path: PathBuf::from(Path::new(path)),
                source,
            }),
        };
        Ok(UserDatabase::parse(
            &read("/etc/passwd")?,
            &read("/etc/group")?,
        ))
    }

    /// Reads the texts of both files; lines of another form are passed over, as the C library does.
    #[must_use]
    pub fn parse(passwd: &str, group: &str) -> UserDatabase {
        UserDatabase {
            users: passwd.lines().filter_map(parse_user).collect(),
            groups: group.lines().filter_map(parse_group).collect(),
        }
    }

    /// A user by name, or by number where no name fits.
    #[must_use]
    pub fn user(&self, name_or_id: &str) -> Option<&User> {
        self.users
            .iter()
            .find(|user| user.name == name_or_id)
            .or_else(|| self.user_by_id(name_or_id.parse().ok()?))
    }

    /// A user by number.
    #[must_use]
    pub fn user_by_id(&self, id: u32) -> Option<&User> {
        self.users.iter().find(|user| user.id == id)
    }

    /// A group by name, or by number where no name fits.
    #[must_use]
    pub fn group(&self, name_or_id: &str) -> Option<&Group> {
        self.groups
            .iter()
            .find(|group| group.name == name_or_id)
            .or_else(|| {
                let id: u32 = name_or_id.parse().ok()?;
                self.groups.iter().find(|group| group.id == id)
            })
    }

    /// The groups a user gets at login, its primary one first.
    #[must_use]
    pub fn groups_of(&self, user: &str, primary: u32) -> Vec<u32> {
        let mut ids = vec![primary];
        for group in &self.groups {
            if group.members.iter().any(|member| member == user) && !ids.contains(&group.id) {
                ids.push(group.id);
            }
        }
        ids
    }
}

fn parse_user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, id, group_id, _, home, shell] = fields[..] else {
        return None;
    };
    (!name.is_empty()).then_some(())?;
    Some(User {
        name: name.to_owned(),
        id: id.parse().ok()?,
        group_id: group_id.parse().ok()?,
        home: home.to_owned(),
        shell: if shell.is_empty() { "/bin/sh" } else { shell }.to_owned(),
    })
}

fn parse_group(line: &str) -> Option<Group> {
    let fields: Vec<&str> = line.split(':').collect();
    let [name, _, id, members] = fields[..] else {
        return None;
    };
    (!name.is_empty()).then_some(())?;
    Some(Group {
        name: name.to_owned(),
        id: id.parse().ok()?,
        members: members
            .split(',')
            .filter(|member| !member.is_empty())
            .map(str::to_owned)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_are_found_by_name_and_number() {
        let database = UserDatabase::parse(
            "root:x:0:0:root:/root:/bin/bash\nbad line\nggc:x:998:997::/home/ggc:\n7:x:12:1::/:/bin/sh\n",
            "root:x:0:\nggc_group:x:997:ggc\nvideo:x:44:ggc,other\nbroken:x:no:\n",
        );
        let user = database.user("ggc").expect("by name");
        assert_eq!(user.shell, "/bin/sh");
        assert_eq!(database.user("998"), Some(user));
        assert_eq!(database.user("7").map(|user| user.id), Some(12));
        assert_eq!(database.user("nobody"), None);
        assert_eq!(
            database.group("44").map(|group| &*group.name),
            Some("video")
        );
        assert_eq!(database.group("broken"), None);
        assert_eq!(database.groups_of("ggc", 997), [997, 44]);
    }

    #[test]
    fn this_machine_has_a_root() {
        let database = UserDatabase::read().expect("the files are readable");
        assert_eq!(database.user("root").map(|user| user.id), Some(0));
    }
}
