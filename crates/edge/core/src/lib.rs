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
use sward_diagnosis::{Diagnose as _, Report};
use tokio::signal::unix::{SignalKind, signal};

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
    let core = core::Core::start(options).await?;
    stop_asked().await?;
    core.stop().await;
    Ok(())
}

/// Completes with the first SIGTERM or SIGINT.
async fn stop_asked() -> Result<(), Report> {
    let listen = |kind| {
        signal(kind).map_err(|error| {
            Report::new(
                sward_diagnosis::Kind::Device,
                "signals",
                "cannot listen for signals",
            )
            .caused_by_error(&error)
        })
    };
    let (mut terminate, mut interrupt) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("asked to stop");
    Ok(())
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
