//! `greengrass-cli`: the local CLI under its AWS name.
//!
//! It speaks the public IPC operations with the token that the core wrote for this user, so it
//! works against any nucleus. Commands, options, output and exit codes are AWS's; where they are
//! knowingly better, docs/compatibility.d/ipc-cli.md says so. `logs` and `get-debug-password` are
//! not here.
//!
//! | Exit code | Meaning |
//! |---|---|
//! | 0 | done, or help and version printed |
//! | 1 | the core refused, cannot be reached, or an option's JSON is wrong |
//! | 2 | the command line is wrong |

mod arguments;
mod component;
mod connect;
mod deployment;
mod error;
mod messages;
#[cfg(test)]
mod tests;

use arguments::{Cli, Command};
use clap::Parser;
use clap::error::ErrorKind;
use error::CliError;
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use sward_task::Tasks;

/// What the CLI says it is; the AWS line that Sward claims to match.
const VERSION: &str = "2.18.0";

/// Runs one command; `arguments` begin with the program's name.
pub async fn run(arguments: Vec<OsString>) -> ExitCode {
    let mut stdout = std::io::stdout();
    let mut stderr = std::io::stderr();
    ExitCode::from(run_with(arguments, &mut stdout, &mut stderr).await)
}

/// [`run`] with its streams as arguments; answers the exit code.
async fn run_with(
    arguments: Vec<OsString>,
    stdout: &mut impl Write,
    stderr: &mut impl Write,
) -> u8 {
    let program = arguments.first().cloned().unwrap_or_default();
    let cli = match Cli::try_parse_from(arguments::spell_out(arguments)) {
        Ok(cli) => cli,
        Err(error) => return explain(&error, stdout, stderr),
    };
    let result = execute(cli, &program, stdout).await;
    match result {
        Ok(()) => 0,
        // Whoever reads our output has had enough of it.
        Err(CliError::Output(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => 0,
        Err(error) => {
            drop(error.write(stderr));
            error.exit_code()
        }
    }
}

/// Prints help, version or what is wrong with the command line.
fn explain(error: &clap::Error, stdout: &mut impl Write, stderr: &mut impl Write) -> u8 {
    let (written, code) = match error.kind() {
        ErrorKind::DisplayHelp => (write!(stdout, "{error}"), 0),
        ErrorKind::DisplayVersion => (writeln!(stdout, "Greengrass CLI Version: {VERSION}"), 0),
        _ => (write!(stderr, "{error}"), 2),
    };
    drop(written);
    code
}

async fn execute(
    cli: Cli,
    program: &std::ffi::OsStr,
    stdout: &mut impl Write,
) -> Result<(), CliError> {
    let usage = |path: &[&str]| arguments::usage(path);
    let Some(command) = cli.command else {
        return Err(CliError::Usage(format!(
            "A command is required.\n{}",
            usage(&[])
        )));
    };
    let group = match &command {
        Command::Component { command: None } => Some("component"),
        Command::Deployment { command: None } => Some("deployment"),
        Command::Pubsub { command: None } => Some("pubsub"),
        Command::Iotcore { command: None } => Some("iotcore"),
        _ => None,
    };
    if let Some(group) = group {
        writeln!(stdout, "A subcommand is required.\n{}", usage(&[group]))?;
        return Ok(());
    }
    let tasks = Tasks::new();
    let root = connect::root(cli.root, program)?;
    match command {
        Command::Component { command } => {
            let Some(command) = command else {
                return Ok(());
            };
            component::run(command, &connect::connect(&root, &tasks).await?, stdout).await
        }
        Command::Deployment { command } => {
            let Some(command) = command else {
                return Ok(());
            };
            deployment::run(command, &root, &tasks, stdout).await
        }
        Command::Pubsub { command } => {
            let Some(command) = command else {
                return Ok(());
            };
            messages::local(command, &connect::connect(&root, &tasks).await?, stdout).await
        }
        Command::Iotcore { command } => {
            let Some(command) = command else {
                return Ok(());
            };
            messages::iot_core(command, &connect::connect(&root, &tasks).await?, stdout).await
        }
    }
}
