//! Adopting and collecting orphans, so that nothing a component leaves behind is lost from sight.

use crate::{ProcessTable, SystemError};
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper, waitpid};

/// Makes this process the parent of every orphan below it, instead of init.
///
/// From then on somebody must call [`reap_strays`] after each `SIGCHLD`.
pub fn become_subreaper() -> Result<(), SystemError> {
    set_child_subreaper(Some(getpid())).map_err(SystemError::call("adopt orphans"))
}

/// Collects ended children that nobody here waits for, and returns their pids.
///
/// A child is a stray if it left our session (as all scripts of components do) and `is_awaited`
/// does not claim it; children of other code in this process stay in our session.
pub fn reap_strays(is_awaited: impl Fn(u32) -> bool) -> Vec<u32> {
    let own_pid = std::process::id();
    let table = ProcessTable::read();
    // Ours comes from the same table as theirs: inside a pid namespace whose session leader is
    // outside it reads as 0, here and there, which `getsid` of rustix takes for impossible.
    let Some(own) = table.iter().find(|entry| entry.id.pid == own_pid) else {
        return Vec::new();
    };
    let mut reaped = Vec::new();
    for entry in table.iter() {
        let is_stray = entry.parent == own_pid
            && entry.is_zombie
            && entry.session != own.session
            && !is_awaited(entry.id.pid);
        let pid = i32::try_from(entry.id.pid).ok().and_then(Pid::from_raw);
        if let (true, Some(pid)) = (is_stray, pid)
            && let Ok(Some(_)) = waitpid(Some(pid), WaitOptions::NOHANG)
        {
            reaped.push(entry.id.pid);
        }
    }
    reaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    #[test]
    fn an_orphan_comes_to_us_and_is_collected() {
        become_subreaper().expect("linux allows it");
        let mut child = Command::new("setsid")
            .args(["sh", "-c", "sleep 0.05 & echo $!"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("setsid starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("the pid of the sleep");
        let orphan: u32 = line.trim().parse().expect("a number");
        child.wait().expect("the shell ended");
        let deadline = Instant::now() + Duration::from_secs(5);
        // Other tests of this process have children in sessions of their own, too.
        let mut reaped = Vec::new();
        while !reaped.contains(&orphan) {
            assert!(Instant::now() < deadline, "the orphan never came");
            reaped.extend(reap_strays(|pid| pid != orphan));
            std::thread::yield_now();
        }
        assert_eq!(ProcessTable::entry(orphan), None);
    }
}
