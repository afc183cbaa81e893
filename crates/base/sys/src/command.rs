//! Starting a child apart from us: own session, own user, clean signals.

use rustix::process::{Gid, Pid, Signal, Uid, getppid, set_parent_process_death_signal, setsid};
use rustix::thread::{set_thread_gid, set_thread_groups, set_thread_uid};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The user a child becomes; everything is looked up before the fork.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub user_id: u32,
    pub group_id: u32,
    /// All groups, the primary one included.
    pub groups: Vec<u32>,
}

/// How a child is set apart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Isolation {
    /// Becomes this user; needs root.
    pub identity: Option<Identity>,
    /// Is killed when the thread that started it ends. Only for children of a thread that lives
    /// as long as the process.
    pub die_with_parent: bool,
    /// Is asked to stop (SIGTERM) when the thread that started it ends: for children that have
    /// children of their own to end. Loses to `die_with_parent`.
    pub stop_with_parent: bool,
}

/// Makes the child the leader of a new session (and so of a process group), and the user wanted.
pub fn isolate(command: &mut Command, isolation: Isolation) {
    let parent = rustix::process::getpid();
    let ids = isolation.identity.map(|identity| {
        let groups: Vec<Gid> = identity
            .groups
            .iter()
            .map(|id| Gid::from_raw(*id))
            .collect();
        (
            Uid::from_raw(identity.user_id),
            Gid::from_raw(identity.group_id),
            groups,
        )
    });
    let with_parent = match (isolation.die_with_parent, isolation.stop_with_parent) {
        (true, _) => Some(Signal::KILL),
        (false, true) => Some(Signal::TERM),
        (false, false) => None,
    };
    let setup = move || -> io::Result<()> {
        setsid()?;
        if let Some((user, group, groups)) = &ids {
            // Groups first: once the user has changed, they cannot be.
            set_thread_groups(groups)?;
            set_thread_gid(*group)?;
            set_thread_uid(*user)?;
        }
        if let Some(signal) = with_parent {
            follow_parent(parent, signal)?;
        }
        Ok(())
    };
    // SAFETY: the closure runs in the child between fork and exec. It only makes raw system calls
    // through rustix (setsid, setgroups, setgid, setuid, prctl, getppid), all async-signal-safe;
    // the vector it reads was filled before the fork and nothing is allocated or freed. The
    // thread-wide id calls are process-wide here, because the child has exactly one thread.
    unsafe {
        command.pre_exec(setup);
    }
}

fn follow_parent(parent: Pid, signal: Signal) -> io::Result<()> {
    set_parent_process_death_signal(Some(signal))?;
    // The parent may have ended before the line above: then nobody would ever tell us.
    if getppid() != Some(parent) {
        return Err(io::Error::from_raw_os_error(libc::ESRCH));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ProcessTable, is_root};

    fn output(command: &mut Command) -> String {
        let output = command.output().expect("the child runs");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    #[test]
    fn a_child_leads_its_own_session() {
        let mut command = Command::new("cat");
        command.arg("/proc/self/stat");
        isolate(&mut command, Isolation::default());
        let text = output(&mut command);
        let fields: Vec<&str> = text.split(' ').collect();
        assert_eq!(fields[0], fields[4], "leader of its group");
        assert_eq!(fields[0], fields[5], "leader of its session");
        let own = ProcessTable::entry(std::process::id()).expect("we run");
        assert_ne!(fields[5], own.session.to_string());
    }

    #[test]
    fn a_child_of_root_becomes_the_user_with_exactly_its_groups() {
        let mut command = Command::new("sh");
        command.args(["-c", "id -u; id -g; id -G"]);
        let identity = Identity {
            user_id: 12_345,
            group_id: 23_456,
            groups: vec![23_456, 34_567],
        };
        isolate(
            &mut command,
            Isolation {
                identity: Some(identity),
                die_with_parent: false,
                stop_with_parent: false,
            },
        );
        if is_root() {
            assert_eq!(output(&mut command), "12345\n23456\n23456 34567");
        } else {
            let error = command.output().expect_err("only root may");
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        }
    }

    #[test]
    fn a_child_that_follows_its_parent_still_runs_under_it() {
        let mut command = Command::new("echo");
        command.arg("here");
        isolate(
            &mut command,
            Isolation {
                identity: None,
                die_with_parent: true,
                stop_with_parent: false,
            },
        );
        assert_eq!(output(&mut command), "here");
    }
}
