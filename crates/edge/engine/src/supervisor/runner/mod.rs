//! Scripts as processes: preparing, starting, reading, ending.
//!
//! Every script leads a session of its own and carries a marker in its environment, so that all it
//! started can be found again, by this core or by the next one. A script is ended with everything
//! it started, or not at all.

mod environment;
mod give;
pub(crate) mod ledger;
mod output;
mod prepare;
mod process;
mod skip;
pub(crate) mod tree;
mod user;

pub(crate) use prepare::Surroundings;
pub(crate) use process::{Gate, RunContext, RunRequest, start};

/// The variable that every process of a component carries: `INSTANCE:COMPONENT:RUN`.
pub(crate) const MARKER: &str = "SWARD_COMPONENT_PROCESS";
