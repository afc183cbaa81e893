//! The processes of this machine, as `/proc` shows them.

use crate::ProcessId;
use std::collections::HashSet;
use std::fs;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessEntry {
    pub id: ProcessId,
    /// The parent's pid; orphans get that of init or of the nearest subreaper.
    pub parent: u32,
    pub group: u32,
    pub session: u32,
    /// Ended, and not yet collected by its parent.
    pub is_zombie: bool,
}

/// A moment's view of all processes. It is stale once taken: act on it through [`ProcessId`].
#[derive(Clone, Debug, Default)]
pub struct ProcessTable {
    entries: Vec<ProcessEntry>,
}

impl ProcessTable {
    /// Reads `/proc` once. Processes that end meanwhile are left out.
    #[must_use]
    pub fn read() -> ProcessTable {
        let entries = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(ProcessTable::entry)
            .collect();
        ProcessTable { entries }
    }

    /// One process by its pid.
    #[must_use]
    pub fn entry(pid: u32) -> Option<ProcessEntry> {
        let text = fs::read(format!("/proc/{pid}/stat")).ok()?;
        parse_stat(pid, &text)
    }

    /// All processes seen.
    pub fn iter(&self) -> impl Iterator<Item = &ProcessEntry> {
        self.entries.iter()
    }

    /// The children, grandchildren … of a process, without itself.
    #[must_use]
    pub fn descendants(&self, ancestor: u32) -> Vec<&ProcessEntry> {
        let mut known: HashSet<u32> = HashSet::from([ancestor]);
        let mut found = Vec::new();
        loop {
            let before = found.len();
            for entry in &self.entries {
                if known.contains(&entry.parent) && known.insert(entry.id.pid) {
                    found.push(entry);
                }
            }
            if found.len() == before {
                return found;
            }
        }
    }

    /// This process and all above it.
    #[must_use]
    pub fn self_and_ancestors() -> HashSet<u32> {
        let mut found = HashSet::new();
        let mut pid = std::process::id();
        while pid != 0 && found.insert(pid) {
            pid = ProcessTable::entry(pid).map_or(0, |entry| entry.parent);
        }
        found
    }

    /// The value of a variable in the environment a process was started with. `None` too where
    /// we may not look.
    #[must_use]
    pub fn environment(pid: u32, name: &str) -> Option<String> {
        let bytes = fs::read(format!("/proc/{pid}/environ")).ok()?;
        bytes.split(|byte| *byte == 0).find_map(|entry| {
            let value = entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            String::from_utf8(value.to_vec()).ok()
        })
    }
}

/// `pid (comm) state ppid pgrp session …`; `comm` may hold blanks and parentheses.
fn parse_stat(pid: u32, text: &[u8]) -> Option<ProcessEntry> {
    let end = text.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(text.get(end + 1..)?).ok()?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    // Field 3 of the manual page is the first after the name.
    let number = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    let small = |field: usize| u32::try_from(number(field)?).ok();
    Some(ProcessEntry {
        id: ProcessId {
            pid,
            start_time: number(22)?,
        },
        parent: small(4)?,
        group: small(5)?,
        session: small(6)?,
        is_zombie: matches!(fields.first().copied(), Some("Z" | "X")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernel_is_read_whatever_the_program_is_called() {
        fn check(name: &str) {
            let line =
                format!("42 ({name}) Z 7 40 39 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 0 0");
            let entry = parse_stat(42, line.as_bytes()).expect("a complete line");
            assert_eq!(entry.id.start_time, 987_654);
            assert_eq!((entry.parent, entry.group, entry.session), (7, 40, 39));
            assert!(entry.is_zombie);
        }
        check("sleep");
        check("a b) R 1 (c");
        check("");
        assert_eq!(parse_stat(1, b""), None);
        assert_eq!(parse_stat(1, b"1 (x) R 1 2"), None);
        assert_eq!(
            parse_stat(1, b"1 (x) R -1 2 3 4 5 6 7 8 9 1 2 3 4 5 6 7 8 9 1"),
            None
        );
    }

    #[test]
    fn children_are_found_with_their_environment() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "sleep 60; true"])
            .env("SWARD_SYS_TEST", "here")
            .spawn()
            .expect("sh starts");
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
        let tree = loop {
            let table = ProcessTable::read();
            let tree: Vec<u32> = table
                .descendants(child.id())
                .iter()
                .map(|entry| entry.id.pid)
                .collect();
            if !tree.is_empty() || std::time::Instant::now() > deadline {
                break tree;
            }
            std::thread::yield_now();
        };
        assert_eq!(tree.len(), 1, "the shell waits for its sleep");
        assert_eq!(
            ProcessTable::environment(child.id(), "SWARD_SYS_TEST").as_deref(),
            Some("here")
        );
        assert_eq!(ProcessTable::environment(child.id(), "SWARD_SYS"), None);
        assert!(ProcessTable::self_and_ancestors().contains(&std::process::id()));
        for pid in tree {
            let id = ProcessId::of(pid).expect("it sleeps");
            assert!(crate::signal_process(id, crate::Signal::Kill).expect("a signal"));
        }
        child.wait().expect("the shell ended");
    }
}
