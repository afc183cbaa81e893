//! Finds the core and the token that this user may use.

use super::error::CliError;
use serde::Deserialize;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sward_ipc_client::Client;
use sward_task::Tasks;

const ROOT_VARIABLE: &str = "GGC_ROOT_PATH";
/// A core that restarts its CLI service has revoked the token that we just read.
const ATTEMPTS: u32 = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// One file of `cli_ipc_info`.
#[derive(Deserialize)]
struct AccessFile {
    domain_socket_path: PathBuf,
    cli_auth_token: String,
}

/// The root of the core: as given, as the environment says, or the folder in whose `bin` the
/// program's name is.
pub(super) fn root(given: Option<PathBuf>, program: &OsStr) -> Result<PathBuf, CliError> {
    if let Some(root) = given {
        return Ok(root);
    }
    if let Some(root) = std::env::var_os(ROOT_VARIABLE).filter(|root| !root.is_empty()) {
        return Ok(root.into());
    }
    root_of_program(Path::new(program)).ok_or(CliError::NoRoot)
}

fn root_of_program(program: &Path) -> Option<PathBuf> {
    let path = if program.components().count() > 1 {
        std::path::absolute(program).ok()?
    } else {
        let folders = std::env::var_os("PATH")?;
        std::env::split_paths(&folders)
            .map(|folder| folder.join(program))
            .find(|path| path.exists())?
    };
    let root = path.parent()?.parent()?;
    root.join("cli_ipc_info").is_dir().then(|| root.to_owned())
}

/// Connects with this user's token, its group's, or any that can be read.
pub(super) async fn connect(root: &Path, tasks: &Tasks) -> Result<Client, CliError> {
    let mut attempt = 0;
    loop {
        let access = find_access(&root.join("cli_ipc_info"))?;
        let connected =
            Client::connect(&access.domain_socket_path, &access.cli_auth_token, tasks).await;
        attempt += 1;
        match connected {
            Ok(client) => return Ok(client),
            Err(error) if error.is_refused() && attempt < ATTEMPTS => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(CliError::Connect(error)),
        }
    }
}

fn find_access(directory: &Path) -> Result<AccessFile, CliError> {
    let user = sward_sys::own_user_id();
    let group = sward_sys::own_group_id();
    let own = [
        directory.join(format!("user-{user}")),
        directory.join(format!("group-{group}")),
    ];
    let mut others: Vec<PathBuf> = std::fs::read_dir(directory)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    others.sort();
    for path in own.into_iter().chain(others) {
        if let Ok(text) = std::fs::read(&path) {
            return serde_json::from_slice(&text).map_err(|error| CliError::AccessFile {
                path,
                source: error.into(),
            });
        }
    }
    Err(CliError::NoAccess(directory.to_owned()))
}
