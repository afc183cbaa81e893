//! The cloud alone, as `sward cloud` runs it.

use clap::Parser;
use std::process::ExitCode;

#[derive(Debug, Parser)]
#[command(about = "The cloud alone, as `sward cloud` runs it")]
struct Options {
    #[command(flatten)]
    cloud: sward_server::CloudArgs,
}

#[expect(clippy::print_stderr, reason = "a program speaks to its user")]
fn main() -> ExitCode {
    // `cloud` may stand in front, so that tests can name this binary in place of `sward`.
    let arguments = std::env::args()
        .enumerate()
        .filter(|(index, word)| *index != 1 || word != "cloud")
        .map(|(_, word)| word);
    let options = Options::parse_from(arguments);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("the process may create the runtime's descriptors");
    match runtime.block_on(sward_server::run_cli(options.cloud)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(report) => {
            eprintln!("{}", report.terminal());
            ExitCode::FAILURE
        }
    }
}
