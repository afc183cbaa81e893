//! One supervised program: start, the line that says it is ready, its end, and stopping it.

use std::ffi::OsString;
use std::fs::{File, OpenOptions};
use std::io;
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
}

impl Ended {
    /// One line for the terminal.
    pub(super) fn describe(&self) -> String {
        let how = match self.status {
            Some(status) => match (status.code(), status.signal()) {
                (Some(code), _) => format!("ended with exit code {code}"),
                (None, Some(signal)) => format!("was ended by signal {signal}"),
                (None, None) => "ended".to_owned(),
            },
            None => "ended".to_owned(),
        };
        format!(
            "! {} {how}; starting it again (its output: {})",
            self.name,
            self.output.display()
        )
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
        let (child, stdout) = spawn(binary, &arguments, output)?;
        Ok(Program {
            name: name.to_owned(),
            binary: binary.to_owned(),
            arguments,
            output: output.to_owned(),
            child,
            stdout,
            reported: false,
        })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Starts the program again with the same arguments.
    pub(super) fn start_again(&mut self) -> Result<(), Report> {
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
        let mut report = Report::new(
            Kind::Device,
            "program-start",
            format!("{} {how}", self.name),
        )
        .at(Place::file(&self.output));
        let tail = last_lines(&self.output, 6);
        if !tail.is_empty() {
            report = report.caused_by_error(&io::Error::other(format!("it said:\n{tail}")));
        }
        report
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

fn last_lines(path: &Path, count: usize) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
