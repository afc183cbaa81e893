//! Who may use the local CLI (core-device §7.2): the user who runs the core and root, or the members
//! of the groups that `AuthorizedPosixGroups` of `aws.greengrass.Cli` names.
//!
//! The files with the tokens are written when the core starts and when other groups are named, and
//! at no other time: a deployment that changes nothing of this takes no token from anybody.

use crate::root::{Root, report};
use std::collections::BTreeSet;
use sward_diagnosis::Report;
use sward_engine::configuration::Configuration;
use sward_ipc_server::{CliAccess, SocketPath, TokenRegistry, write_cli_info};
use sward_sys::UserDatabase;
use sward_task::Tasks;

const GROUPS: [&str; 4] = [
    "services",
    "aws.greengrass.Cli",
    "configuration",
    "AuthorizedPosixGroups",
];

/// Writes the files now and whenever the configuration says otherwise.
pub(crate) fn grant(
    root: &Root,
    socket: &SocketPath,
    configuration: &Configuration,
    tokens: &TokenRegistry,
    tasks: &Tasks,
) -> Result<(), Report> {
    // Before the first look, so that no change is missed.
    let mut watcher = configuration.watch(&GROUPS);
    let mut granted = configured(configuration);
    write_cli_info(root.path(), socket, &granted, tokens).map_err(report)?;
    let (root, socket) = (root.path().to_owned(), socket.clone());
    let (configuration, tokens, stop) = (configuration.clone(), tokens.clone(), tasks.token());
    tasks.spawn_essential("cli-access", async move {
        loop {
            tokio::select! {
                _ = watcher.changed() => {}
                () = stop.cancelled() => return,
            }
            let wanted = configured(&configuration);
            if wanted == granted {
                continue;
            }
            match write_cli_info(&root, &socket, &wanted, &tokens) {
                Ok(()) => {
                    tracing::info!(access = ?wanted, "others may use the local CLI from now on");
                    granted = wanted;
                }
                Err(error) => {
                    tracing::error!(%error, "the access to the local CLI cannot be changed");
                }
            }
        }
    });
    Ok(())
}

fn configured(configuration: &Configuration) -> CliAccess {
    let named = configuration.get_text(&GROUPS).unwrap_or_default();
    let users = UserDatabase::read().unwrap_or_else(|error| {
        tracing::error!(%error, "the groups of this device cannot be read");
        UserDatabase::default()
    });
    access(&named, &users)
}

/// What a text of group names or numbers, separated by commas, means. Where it names any group,
/// no user has access by himself, not even if none of the groups exists.
fn access(named: &str, users: &UserDatabase) -> CliAccess {
    let names: Vec<&str> = named
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect();
    if names.is_empty() {
        let own = BTreeSet::from([0, sward_sys::own_user_id()]);
        return CliAccess::Users(own.into_iter().collect());
    }
    let mut groups = BTreeSet::new();
    for name in names {
        match users.group(name) {
            Some(group) => drop(groups.insert(group.id)),
            None => tracing::warn!(group = name, "a group that may use the CLI does not exist"),
        }
    }
    CliAccess::Groups(groups.into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_named_or_numbered_and_take_the_place_of_users() {
        let users = UserDatabase::parse("", "staff:x:50:\nusers:x:100:\n");
        let check = |named: &str, expected: &[u32]| {
            let expected = CliAccess::Groups(expected.to_vec());
            assert_eq!(access(named, &users), expected, "{named}");
        };
        check("users", &[100]);
        check(" staff , 100,users", &[50, 100]);
        check("nobody-knows,users,", &[100]);
        check("nobody-knows", &[]);
        for none in ["", " ", ",", " , "] {
            assert!(matches!(access(none, &users), CliAccess::Users(_)));
        }
    }
}
