//! The edge daemon alone, for constrained devices: links nothing of the cloud.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let called_as = arguments
        .first()
        .map(Path::new)
        .and_then(Path::file_name)
        .map(OsStr::to_owned);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("the process may create the runtime's descriptors");
    let code = if called_as.as_deref() == Some(OsStr::new("greengrass-cli")) {
        runtime.block_on(sward_core::cli::run(arguments))
    } else {
        arguments.remove(0);
        runtime.block_on(sward_core::run("sward-core", arguments))
    };
    runtime.shutdown_background();
    code
}
