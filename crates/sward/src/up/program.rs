//! One supervised program: start, the line that says it is ready, its end, and stopping it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use sward_diagnosis::{Kind, Place, Report};
use sward_sys::command::{Isolation, isolate};
use sward_sys::{ProcessId, Signal};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

/// A program's standard output, line by line.
type OutputLines = Lines<BufReader<ChildStdout>>;

/// A program that `sward up` started.
pub(super) struct Program {
    name: String,
    binary: PathBuf,
    arguments: Vec<OsString>,
    /// Where its output goes.
    output: PathBuf,
    /// How long that file was before this start.
    output_before: u64,
    child: Child,
    stdout: Option<OutputLines>,
    /// The end was reported already.
    reported: bool,
}

/// That a program ended without being asked.
pub(super) struct Ended {
    pub(super) name: String,
    status: Option<ExitStatus>,
    output: PathBuf,
    /// The end of what it printed since it was started.
    said: String,
}

impl Ended {
    fn how(&self) -> String {
        match self.status {
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with exit code {code}"),
                (None, Some(signal)) => format!("was ended by signal {signal}"),
                (None, None) => "ended".to_owned(),
            },
            None => "ended".to_owned(),
        }
    }

    /// For the terminal: one line, and why, if the program said that.
    pub(super) fn describe(&self) -> String {
        let mut text = format!(
            "! {} {}; starting it again (its output: {})",
            self.name,
            self.how(),
            self.output.display()
        );
        if self.said.starts_with(ERROR) {
            for line in self.said.lines() {
                text.push_str("\n    ");
                text.push_str(line);
            }
        }
        text
    }

    /// An end that nothing can go on after.
    pub(super) fn report(&self) -> Report {
        failure(&self.name, &self.how(), &self.output, &self.said)
    }
}

impl Program {
    /// Starts the program in a session of its own; its output is appended to a file.
    pub(super) fn start(
        name: &str,
        binary: &Path,
        arguments: Vec<OsString>,
        output: &Path,
    ) -> Result<Self, Report> {
        let output_before = length(output);
        let (child, stdout) = spawn(binary, &arguments, output)?;
        Ok(Program {
            name: name.to_owned(),
            binary: binary.to_owned(),
            arguments,
            output: output.to_owned(),
            output_before,
            child,
            stdout,
            reported: false,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What the next start is given in place of the first one's arguments.
    pub(super) fn set_arguments(&mut self, arguments: Vec<OsString>) {
        self.arguments = arguments;
    }

    /// Starts the program again.
    pub(super) fn start_again(&mut self) -> Result<(), Report> {
        self.output_before = length(&self.output);
        (self.child, self.stdout) = spawn(&self.binary, &self.arguments, &self.output)?;
        self.reported = false;
        Ok(())
    }

    /// Waits until the program has printed this line.
    pub(super) async fn await_line(
        &mut self,
        wanted: &str,
        deadline: Duration,
    ) -> Result<(), Report> {
        let Some(lines) = &mut self.stdout else {
            return Ok(());
        };
        let wait = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if line == wanted {
                    return true;
                }
            }
            false
        };
        match tokio::time::timeout(deadline, wait).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.failed("ended before it was ready")),
            Err(_) => Err(self.failed("is not ready in time")),
        }
    }

    fn failed(&self, how: &str) -> Report {
        failure(&self.name, how, &self.output, &self.said())
    }

    fn said(&self) -> String {
        end_of_output(&printed_since(&self.output, self.output_before))
    }

    /// Completes when the program ends without being asked; once for each end.
    pub(super) async fn ended(&mut self) -> Ended {
        if self.reported {
            return std::future::pending().await;
        }
        let status = self.child.wait().await.ok();
        self.reported = true;
        Ended {
            name: self.name.clone(),
            status,
            output: self.output.clone(),
            said: self.said(),
        }
    }

    /// Sends SIGTERM.
    pub(super) fn ask_to_stop(&self) {
        self.signal(Signal::Terminate);
    }

    fn signal(&self, signal: Signal) {
        let process = self.child.id().and_then(ProcessId::of);
        if let Some(process) = process
            && let Err(error) = sward_sys::signal_process(process, signal)
        {
            tracing::warn!(program = self.name, error = %error, "cannot signal a program");
        }
    }

    /// Waits for the end, and kills the program when the deadline passes.
    pub(super) async fn stopped(&mut self, deadline: Duration) {
        if tokio::time::timeout(deadline, self.child.wait())
            .await
            .is_err()
        {
            self.signal(Signal::Kill);
            if let Err(error) = self.child.wait().await {
                tracing::warn!(program = self.name, error = %error, "cannot await a program");
            }
        }
    }
}

fn spawn(
    binary: &Path,
    arguments: &[OsString],
    output: &Path,
) -> Result<(Child, Option<OutputLines>), Report> {
    let log = open_log(output).map_err(|error| {
        Report::new(
            Kind::Device,
            "program-output",
            "cannot open the file for a program's output",
        )
        .at(Place::file(output))
        .caused_by_error(&error)
    })?;
    let mut command = std::process::Command::new(binary);
    command
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log);
    isolate(
        &mut command,
        Isolation {
            stop_with_parent: true,
            ..Isolation::default()
        },
    );
    let mut child = Command::from(command).spawn().map_err(|error| {
        Report::new(Kind::Device, "program-start", "cannot start a program")
            .at(Place::file(binary))
            .caused_by_error(&error)
    })?;
    let stdout = child.stdout.take().map(|pipe| BufReader::new(pipe).lines());
    Ok((child, stdout))
}

fn open_log(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    OpenOptions::new().create(true).append(true).open(path)
}

fn failure(name: &str, how: &str, output: &Path, said: &str) -> Report {
    let report =
        Report::new(Kind::Device, "program-start", format!("{name} {how}")).at(Place::file(output));
    if said.is_empty() {
        return report;
    }
    report.caused_by_error(&io::Error::other(format!("it said:\n{said}")))
}

/// How our programs begin the report of a failure.
const ERROR: &str = "error: ";
/// The lines shown of a program that did not say why it ended.
const LINES_SHOWN: usize = 6;
/// The most that is read of what a program printed.
const READ_LIMIT: u64 = 64 << 10;

fn length(path: &Path) -> u64 {
    std::fs::metadata(path).map_or(0, |file| file.len())
}

/// What the file holds after its first `before` bytes, or the end of that.
fn printed_since(path: &Path, before: u64) -> String {
    let read = || -> io::Result<Vec<u8>> {
        let mut file = File::open(path)?;
        let end = file.metadata()?.len();
        file.seek(SeekFrom::Start(before.max(end.saturating_sub(READ_LIMIT))))?;
        let mut bytes = Vec::new();
        file.take(READ_LIMIT).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    String::from_utf8_lossy(&read().unwrap_or_default()).into_owned()
}

/// The report of the failure, if there is one, else the last lines.
fn end_of_output(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let first = lines
        .iter()
        .rposition(|line| line.starts_with(ERROR))
        .unwrap_or(lines.len().saturating_sub(LINES_SHOWN));
    lines[first..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_output_the_report_is_shown_else_its_last_lines() {
        for (text, expected) in [
            ("", ""),
            ("one\n", "one"),
            ("1\n2\n3\n4\n5\n6\n7\n", "2\n3\n4\n5\n6\n7"),
            (
                "INFO starts\nerror: old\nINFO x\nerror: new\n   at: /y\n",
                "error: new\n   at: /y",
            ),
        ] {
            assert_eq!(end_of_output(text), expected);
        }
    }
}
