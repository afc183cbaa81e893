//! The core device: wiring of engine, IPC server, uplink and provided components, and the
//! `sward-core` binary.
//!
//! The parts know nothing of each other; each says by a small trait what it needs, and this crate
//! connects them. It decides nothing that a part could decide.
//!
//! Invariants:
//! - One core for one root: a lock says so.
//! - What an earlier core left behind (processes, open deployments) is settled before anything
//!   new begins.
//! - The end is orderly and has a deadline: no component outlives its core.
//!
//! Read first: [`run`], `core::Core`, [`args`].

pub mod args;
pub mod cli;
mod cli_access;
mod cloud;
mod core;
mod environment;
mod fleet;
mod gate;
mod identifier;
mod ipc;
mod listeners;
mod log;
mod root;
mod supervision;

use args::Parsed;
use std::ffi::OsString;
use std::process::ExitCode;
use sward_diagnosis::{Diagnose as _, Kind, Report};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs a core until it is asked to stop. `arguments` are those behind the program's name.
pub async fn run(program: &str, arguments: Vec<OsString>) -> ExitCode {
    let options = match args::parse(arguments) {
        Ok(Parsed::Run(options)) => options,
        Ok(Parsed::Help) => return say(&args::help(program)),
        Ok(Parsed::Version) => return say(&version()),
        Err(error) => return fail(&error.report()),
    };
    match serve(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => fail(&report),
    }
}

async fn serve(options: args::Options) -> Result<(), Report> {
    if !options.start {
        return core::set_up(&options).await;
    }
    // Before anything starts: one who stops a core that is just starting wants it to clean up, too.
    let mut stop = StopSignals::listen()?;
    let core = core::Core::start(options).await?;
    let ending = tokio::select! {
        () = stop.received() => {
            tracing::info!("asked to stop");
            Ok(())
        }
        failure = core.failed() => {
            tracing::error!(error = %failure, "the core ends, to be started anew");
            Err(failure.report())
        }
    };
    core.stop().await;
    ending
}

/// SIGTERM and SIGINT; from here on they no longer end the process by themselves.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn listen() -> Result<Self, Report> {
        let listen = |kind| {
            signal(kind).map_err(|error| {
                Report::new(Kind::Device, "signals", "cannot listen for signals")
                    .caused_by_error(&error)
            })
        };
        Ok(StopSignals {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Completes with the first of them, also one that came before.
    async fn received(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn version() -> String {
    format!(
        "AWS Greengrass v{} (Sward {})\n",
        sward_model::NUCLEUS_VERSION,
        env!("CARGO_PKG_VERSION")
    )
}

#[expect(
    clippy::print_stdout,
    reason = "help and version go to standard output"
)]
fn say(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

#[expect(
    clippy::print_stderr,
    reason = "the one place where a failed start speaks to the user"
)]
fn fail(report: &Report) -> ExitCode {
    eprintln!("{}", report.terminal());
    ExitCode::FAILURE
}
