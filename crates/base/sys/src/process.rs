//! Naming, watching and signalling processes.

use crate::SystemError;
use rustix::process::{
    Pid, PidfdFlags, Signal as RawSignal, getgid, getuid, kill_process, kill_process_group,
    pidfd_open, pidfd_send_signal,
};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A process, safe against reuse of its pid: the kernel's start time comes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId {
    /// The number other programs show.
    pub pid: u32,
    /// Clock ticks between the boot and the start of the process (`/proc/PID/stat` field 22).
    pub start_time: u64,
}

impl ProcessId {
    /// The process that has this pid now, dead-but-unreaped ones included.
    #[must_use]
    pub fn of(pid: u32) -> Option<ProcessId> {
        crate::ProcessTable::entry(pid).map(|entry| entry.id)
    }

    /// Whether this very process still exists (a zombie counts as gone).
    #[must_use]
    pub fn is_alive(self) -> bool {
        crate::ProcessTable::entry(self.pid)
            .is_some_and(|entry| entry.id == self && !entry.is_zombie)
    }
}

/// The signals that are ever sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Asks to end.
    Terminate,
    /// Ends, no matter what.
    Kill,
    /// Holds; used so that a tree cannot grow while it is being ended.
    Stop,
    /// Goes on after a hold.
    Continue,
}

impl Signal {
    fn raw(self) -> RawSignal {
        match self {
            Signal::Terminate => RawSignal::TERM,
            Signal::Kill => RawSignal::KILL,
            Signal::Stop => RawSignal::STOP,
            Signal::Continue => RawSignal::CONT,
        }
    }
}

fn checked(pid: u32) -> Option<Pid> {
    // 0 would mean our own group and 1 is init: neither is ever a target.
    let raw = i32::try_from(pid).ok().filter(|raw| *raw > 1)?;
    Pid::from_raw(raw)
}

/// Sends to exactly the process named; `false` if it is gone.
///
/// A pidfd is opened first and the start time compared through it, so a pid that was reused in
/// between is never hit.
pub fn signal_process(process: ProcessId, signal: Signal) -> Result<bool, SystemError> {
    let Some(pid) = checked(process.pid) else {
        return Ok(false);
    };
    match PidFd::open(process) {
        Ok(Some(descriptor)) => descriptor.signal(signal),
        Ok(None) => Ok(false),
        // Kernels before 5.3 have no pidfd: the check and the signal are then two steps.
        Err(SystemError::Call { source, .. }) if source.raw_os_error() == Some(38) => {
            if process.is_alive() {
                delivered(kill_process(pid, signal.raw()))
            } else {
                Ok(false)
            }
        }
        Err(error) => Err(error),
    }
}

/// Sends to every member of a process group; `false` if there is none.
pub fn signal_group(group: u32, signal: Signal) -> Result<bool, SystemError> {
    match checked(group) {
        Some(group) => delivered(kill_process_group(group, signal.raw())),
        None => Ok(false),
    }
}

fn delivered(result: Result<(), rustix::io::Errno>) -> Result<bool, SystemError> {
    match result {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::SRCH) => Ok(false),
        Err(errno) => Err(SystemError::call("send a signal")(errno)),
    }
}

/// A descriptor of one process; it is readable once the process has ended.
#[derive(Debug)]
pub struct PidFd(OwnedFd);

impl PidFd {
    /// Opens the process if it still exists.
    pub fn open(process: ProcessId) -> Result<Option<PidFd>, SystemError> {
        let Some(pid) = checked(process.pid) else {
            return Ok(None);
        };
        let descriptor = match pidfd_open(pid, PidfdFlags::NONBLOCK) {
            Ok(descriptor) => descriptor,
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            Err(errno) => return Err(SystemError::call("open a process")(errno)),
        };
        // From here the descriptor is bound; if the start time fits now, it is the right one.
        Ok((ProcessId::of(process.pid) == Some(process)).then_some(PidFd(descriptor)))
    }

    /// Sends a signal; `false` if the process is gone.
    pub fn signal(&self, signal: Signal) -> Result<bool, SystemError> {
        delivered(pidfd_send_signal(&self.0, signal.raw()))
    }
}

impl AsFd for PidFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The id of this boot of the machine; start times of different boots do not compare.
pub fn boot_id() -> Result<String, SystemError> {
    let path = "/proc/sys/kernel/random/boot_id";
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(text.trim().to_owned()),
        Err(source) => Err(SystemError::Read {
            path: path.into(),
            source,
        }),
    }
}

/// The user this process runs as.
#[must_use]
pub fn own_user_id() -> u32 {
    getuid().as_raw()
}

/// The primary group this process runs as.
#[must_use]
pub fn own_group_id() -> u32 {
    getgid().as_raw()
}

/// Whether this process may become other users.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Child, Command};

    fn sleeper() -> Child {
        Command::new("sleep")
            .arg("60")
            .spawn()
            .expect("sleep starts")
    }

    #[test]
    fn a_process_is_known_by_pid_and_start_time() {
        let mut child = sleeper();
        let id = ProcessId::of(child.id()).expect("it runs");
        assert!(id.is_alive());
        let stale = ProcessId {
            start_time: id.start_time + 1,
            ..id
        };
        assert!(!stale.is_alive());
        assert!(!signal_process(stale, Signal::Kill).expect("a look"));
        assert!(signal_process(id, Signal::Kill).expect("a signal"));
        assert_eq!(child.wait().expect("it ended").code(), None);
        assert!(!id.is_alive());
        assert!(!signal_process(id, Signal::Kill).expect("a look"));
    }

    #[test]
    fn a_group_is_ended_together() {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new("sleep");
        command.arg("60").process_group(0);
        let mut child = command.spawn().expect("sleep starts");
        assert!(signal_group(child.id(), Signal::Terminate).expect("a signal"));
        child.wait().expect("it ended");
        assert!(!signal_group(child.id(), Signal::Terminate).expect("a look"));
    }

    #[test]
    fn neither_our_own_group_nor_init_is_ever_a_target() {
        for pid in [0, 1, u32::MAX] {
            assert!(!signal_group(pid, Signal::Kill).expect("refused quietly"));
        }
    }

    #[test]
    fn the_boot_has_an_id() {
        let id = boot_id().expect("linux has one");
        assert_eq!(id.len(), 36);
        assert_eq!(id, boot_id().expect("and it stays"));
    }
}
