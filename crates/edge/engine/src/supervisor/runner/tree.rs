//! Finding and ending everything a component started.
//!
//! A process belongs to a component if it carries its marker, is in a session that one of its
//! scripts leads or led, or descends from such a process. So a daemon that left its session is
//! found by its marker, and one that emptied its environment by its session.

use super::MARKER;
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use sward_sys::{ProcessEntry, ProcessId, ProcessTable, Signal, signal_process};

/// How long killed processes may take to disappear.
const KILL_LIMIT: Duration = Duration::from_secs(5);

/// Whose processes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Target {
    /// What their marker begins with.
    pub(crate) marker: String,
    /// Leaders of sessions, dead ones too.
    pub(crate) sessions: Vec<ProcessId>,
}

/// The living processes of a target. This process and those above it are never among them.
pub(crate) fn members(target: &Target) -> Vec<ProcessId> {
    let table = ProcessTable::read();
    let spared = ProcessTable::self_and_ancestors();
    let by_pid: HashMap<u32, &ProcessEntry> =
        table.iter().map(|entry| (entry.id.pid, entry)).collect();
    let sessions: HashMap<u32, u64> = target
        .sessions
        .iter()
        // A pid is not given away while its session lives; if another process leads it now, the
        // session that we knew is gone.
        .filter(|leader| {
            by_pid
                .get(&leader.pid)
                .is_none_or(|entry| entry.id == **leader)
        })
        .map(|leader| (leader.pid, leader.start_time))
        .collect();
    let is_marked = |entry: &ProcessEntry| {
        let marker = ProcessTable::environment(entry.id.pid, MARKER);
        marker.is_some_and(|marker| marker.starts_with(&target.marker))
    };
    let mut found: HashSet<ProcessId> = table
        .iter()
        .filter(|entry| !entry.is_zombie && !spared.contains(&entry.id.pid))
        .filter(|entry| {
            let is_in_session = sessions
                .get(&entry.session)
                .is_some_and(|start| entry.id.start_time >= *start);
            is_in_session || is_marked(entry)
        })
        .map(|entry| entry.id)
        .collect();
    for root in found.clone() {
        let below = table.descendants(root.pid);
        found.extend(
            below
                .iter()
                .filter(|entry| !entry.is_zombie && !spared.contains(&entry.id.pid))
                .map(|entry| entry.id),
        );
    }
    found.into_iter().collect()
}

/// Asks all to end, waits for `grace`, then kills what is left and whatever came meanwhile.
/// Blocking. Returns what could not be ended.
pub(crate) fn end(target: &Target, grace: Duration) -> Vec<ProcessId> {
    let mut asked = members(target);
    // Children before those who started them, as the nucleus does.
    asked.sort_by_key(|process| std::cmp::Reverse((process.start_time, process.pid)));
    for process in &asked {
        send(*process, Signal::Terminate);
        // A held process sees the request only once it goes on.
        send(*process, Signal::Continue);
    }
    let deadline = Instant::now() + grace;
    let mut pause = Duration::from_millis(2);
    while asked.iter().any(|process| process.is_alive()) && Instant::now() < deadline {
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
    kill(target)
}

/// Kills all, as often as it takes. Blocking. Returns what could not be ended.
pub(crate) fn kill(target: &Target) -> Vec<ProcessId> {
    let deadline = Instant::now() + KILL_LIMIT;
    let mut pause = Duration::from_millis(1);
    loop {
        let left = members(target);
        if left.is_empty() || Instant::now() >= deadline {
            return left;
        }
        for process in &left {
            send(*process, Signal::Kill);
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

fn send(process: ProcessId, signal: Signal) {
    if let Err(error) = signal_process(process, signal) {
        tracing::warn!(%error, pid = process.pid, "a process cannot be signalled");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader};
    use std::process::{Command, Stdio};

    /// Starts a script in a session of its own and returns the pids it prints on its first line.
    fn start(marker: &str, script: &str) -> (std::process::Child, Vec<u32>) {
        let mut command = Command::new("bash");
        command
            .args(["-c", script])
            .env(MARKER, marker)
            .stdout(Stdio::piped());
        sward_sys::command::isolate(&mut command, sward_sys::command::Isolation::default());
        let mut child = command.spawn().expect("bash starts");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("a pipe"))
            .read_line(&mut line)
            .expect("a line");
        let pids = line
            .split_whitespace()
            .map(|pid| pid.parse().expect("a number"))
            .collect();
        (child, pids)
    }

    #[test]
    fn stubborn_daemons_and_those_that_hide_are_ended() {
        let script = "trap '' TERM
            sleep 101 & a=$!
            (trap '' TERM; exec setsid sleep 102) & b=$!
            env -i sleep 103 & c=$!
            (bash -c 'trap \"\" TERM; sleep 104; sleep 105' &) 
            echo $a $b $c; wait; sleep 106";
        let (mut child, pids) = start("test-tree:stubborn:1", script);
        let leader = ProcessId::of(child.id()).expect("it runs");
        let target = Target {
            marker: "test-tree:stubborn:".into(),
            sessions: vec![leader],
        };
        let ids: Vec<ProcessId> = pids.iter().filter_map(|pid| ProcessId::of(*pid)).collect();
        assert_eq!(ids.len(), 3);
        let found = members(&target);
        assert!(ids.iter().all(|id| found.contains(id)), "{found:?}");
        assert!(found.contains(&leader));
        assert_eq!(end(&target, Duration::from_millis(200)), []);
        child.wait().expect("it ended");
        assert!(ids.iter().all(|id| !id.is_alive()));
    }

    #[test]
    fn what_is_left_by_a_dead_leader_is_found_by_its_session() {
        let (mut child, pids) = start("test-tree:dead:1", "env -i sleep 107 >/dev/null & echo $!");
        let leader = ProcessId::of(child.id()).expect("not collected yet");
        child.wait().expect("the shell ended");
        let target = Target {
            marker: "test-tree:nobody:".into(),
            sessions: vec![leader],
        };
        assert_eq!(members(&target).len(), 1);
        assert_eq!(end(&target, Duration::from_secs(5)), []);
        assert_eq!(ProcessId::of(pids[0]).filter(|id| id.is_alive()), None);
    }

    #[test]
    fn others_are_left_alone() {
        let (mut child, pids) = start("test-tree:other:1", "echo $$; sleep 108");
        let target = Target {
            marker: "test-tree:othe:".into(),
            sessions: vec![ProcessId {
                pid: pids[0],
                start_time: 1,
            }],
        };
        assert_eq!(members(&target), []);
        child.kill().expect("it runs");
        child.wait().expect("it ended");
        drop(kill(&Target {
            marker: "test-tree:other:".into(),
            sessions: Vec::new(),
        }));
    }
}
