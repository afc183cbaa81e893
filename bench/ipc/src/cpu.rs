//! CPU time of the server's process.

use std::path::PathBuf;
use std::time::Duration;

pub(crate) struct ServerCpu {
    tasks: Option<PathBuf>,
}

impl ServerCpu {
    pub(crate) fn new(pid: Option<u32>) -> Self {
        ServerCpu {
            tasks: pid.map(|pid| format!("/proc/{pid}/task").into()),
        }
    }

    /// What all its threads have used so far; threads that have ended meanwhile are not counted.
    pub(crate) fn now(&self) -> Option<Duration> {
        let tasks = std::fs::read_dir(self.tasks.as_ref()?).ok()?;
        let mut nanoseconds = 0;
        for task in tasks.flatten() {
            let line = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
            nanoseconds += line.split(' ').next()?.parse::<u64>().ok()?;
        }
        Some(Duration::from_nanos(nanoseconds))
    }
}
