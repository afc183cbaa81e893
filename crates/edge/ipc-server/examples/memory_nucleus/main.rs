//! Serves IPC with a core that exists in memory only, for tests with real clients.
//!
//! `memory_nucleus ROOT < CONFIGURATIONS` reads a JSON object of components and their
//! configurations, listens at `ROOT/ipc.socket`, writes `ROOT/cli_ipc_info` for the user who runs
//! it, and prints one line `{"socket": …, "tokens": {component: token}}`. It ends with its
//! standard input's owner: on SIGTERM.

mod ports;

use ports::MemoryNucleus;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;
use sward_ipc_server::{
    AccessPolicies, CliAccess, IpcServer, ServerOptions, SocketPath, TokenRegistry, write_cli_info,
};
use sward_task::Tasks;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(std::env::args_os().nth(1).ok_or("the root is missing")?);
    let configurations: BTreeMap<String, Value> = serde_json::from_reader(std::io::stdin())?;
    let socket = SocketPath::in_root(&root);
    let tokens = TokenRegistry::new();
    let policies = AccessPolicies::new();
    let mut issued = serde_json::Map::new();
    for (component, configuration) in &configurations {
        policies.load(component, configuration);
        let token = tokens.issue(component);
        issued.insert(component.clone(), token.reveal().into());
    }
    let tasks = Tasks::new();
    let nucleus = MemoryNucleus::new(configurations);
    IpcServer::start(
        ServerOptions::new(socket.clone()),
        nucleus.ports(),
        tokens.clone(),
        policies,
        &tasks,
    )?;
    let user = rustix::process::geteuid().as_raw();
    write_cli_info(&root, &socket, &CliAccess::Users(vec![user]), &tokens)?;
    let ready = json!({ "socket": socket.for_component(), "tokens": issued });
    writeln!(std::io::stdout(), "{ready}")?;
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    terminate.recv().await;
    tasks.shutdown(Duration::from_secs(5)).await?;
    Ok(())
}
