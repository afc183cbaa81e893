//! What a command fails with, as it is told on the terminal.

use std::io::{self, Write};
use std::path::PathBuf;
use sward_ipc_client::ClientError;
use thiserror::Error;

#[derive(Debug, Error)]
pub(super) enum CliError {
    #[error("{0}")]
    Usage(String),
    #[error(
        "Ggc root path not configured. Provide ggc root path via cmdline option --ggcRootPath \
         or environment variable GGC_ROOT_PATH"
    )]
    NoRoot,
    #[error(
        "Unable to create ipc client: Not able to find auth information in directory: {}. \
         Please run CLI as authorized user or group.", .0.display()
    )]
    NoAccess(PathBuf),
    #[error("Unable to create ipc client: {} cannot be read", .path.display())]
    AccessFile {
        path: PathBuf,
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("Unable to create ipc client")]
    Connect(#[source] ClientError),
    #[error(
        "Update configuration parameter is not a properly formatted JSON file or a JSON string"
    )]
    UpdateConfig(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("systemLimits parameter file is not a properly formatted JSON")]
    SystemLimits(#[source] serde_json::Error),
    #[error("Invalid --runWith option: {0}")]
    RunWith(String),
    #[error("{0}")]
    Message(String),
    #[error("Not able to read {}", .path.display())]
    File { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Ipc(#[from] ClientError),
    #[error("the output cannot be written")]
    Output(#[from] io::Error),
    #[error("the answer of the core cannot be printed")]
    Json(#[from] serde_json::Error),
}

impl CliError {
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            CliError::Usage(_) => 2,
            _ => 1,
        }
    }

    /// The message and one line for each cause.
    pub(super) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        writeln!(out, "{self}")?;
        let mut source = std::error::Error::source(self);
        while let Some(cause) = source {
            writeln!(out, "{cause}")?;
            source = cause.source();
        }
        Ok(())
    }
}
