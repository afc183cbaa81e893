//! The all-in-one binary: cloud, core, device tools and the one command that starts them all.
//!
//! It parses arguments, chooses the runtime and calls the crate that does the job; the programs
//! that `sward up` supervises are this same binary, started as a user would start it.
//!
//! Under the name `greengrass-cli` (a link in every core's `bin`) it is the local CLI.

mod api;
mod cli;
mod device;
mod environment;
mod place;
mod up;

use clap::Parser as _;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;
use sward_diagnosis::Report;
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let called_as = arguments
        .first()
        .map(Path::new)
        .and_then(Path::file_name)
        .map(OsStr::to_owned);
    if called_as.as_deref() == Some(OsStr::new("greengrass-cli")) {
        return on(
            Builder::new_current_thread(),
            sward_core::cli::run(arguments),
        );
    }
    // The core's options are AWS's own spellings, which clap cannot take: they have their own table.
    if arguments.get(1).is_some_and(|word| word == "core") {
        let rest = arguments.into_iter().skip(2).collect();
        return on(
            Builder::new_current_thread(),
            sward_core::run("sward core", rest),
        );
    }
    match cli::Sward::parse_from(arguments).command {
        cli::Command::Up(options) => finish(on(Builder::new_current_thread(), up::run(options))),
        cli::Command::Cloud(options) => finish(on(
            Builder::new_multi_thread(),
            sward_server::run_cli(options),
        )),
        cli::Command::Device(cli::DeviceCommand::Create(options)) => finish(on(
            Builder::new_current_thread(),
            device::create_and_print(options),
        )),
        cli::Command::Env(options) => finish(environment::print(&options)),
        cli::Command::Core(_) => ExitCode::from(2),
    }
}

fn on<T>(mut runtime: Builder, work: impl Future<Output = T>) -> T {
    let runtime: Runtime = runtime
        .enable_all()
        .build()
        .expect("the process may create the runtime's descriptors");
    let result = runtime.block_on(work);
    runtime.shutdown_background();
    result
}

#[expect(
    clippy::print_stderr,
    reason = "the one place where a failed command speaks to the user"
)]
fn finish(result: Result<(), Report>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            eprintln!("{}", report.terminal());
            ExitCode::FAILURE
        }
    }
}
