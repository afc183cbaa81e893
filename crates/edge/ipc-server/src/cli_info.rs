//! The files by which the local CLI finds socket and token.

use crate::error::ServerError;
use crate::socket::SocketPath;
use crate::tokens::{Identity, TokenRegistry};
use serde_json::json;
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, chown};
use std::path::Path;

/// Who may use the CLI.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CliAccess {
    /// These users: the one who runs the core, and root.
    Users(Vec<u32>),
    /// The members of these groups (`AuthorizedPosixGroups`), and no user by himself.
    Groups(Vec<u32>),
}

/// Revokes all CLI tokens and writes new ones to `<root>/cli_ipc_info`: one file for each user
/// (`user-<uid>`, mode 0600) or group (`group-<gid>`, mode 0640).
///
/// A file for another user belongs to that user where we may give it away; where we may not,
/// it is left out, because nobody else could read it.
///
/// # Errors
/// The directory or a file cannot be written.
pub fn write_cli_info(
    root: &Path,
    socket: &SocketPath,
    access: &CliAccess,
    tokens: &TokenRegistry,
) -> Result<(), ServerError> {
    let directory = root.join("cli_ipc_info");
    let failed = |source| ServerError::CliInfo {
        path: directory.clone(),
        source,
    };
    tokens.revoke_cli();
    std::fs::create_dir_all(&directory).map_err(failed)?;
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(0o755)).map_err(failed)?;
    for entry in std::fs::read_dir(&directory).map_err(failed)? {
        std::fs::remove_file(entry.map_err(failed)?.path()).map_err(failed)?;
    }
    match access {
        CliAccess::Users(uids) => {
            for uid in uids {
                let owner = Owner {
                    uid: Some(*uid),
                    gid: None,
                    mode: 0o600,
                };
                let identity = Identity::cli_user(*uid);
                write_file(
                    &directory,
                    &format!("user-{uid}"),
                    &owner,
                    socket,
                    tokens,
                    identity,
                )?;
            }
        }
        CliAccess::Groups(gids) => {
            for gid in gids {
                let owner = Owner {
                    uid: None,
                    gid: Some(*gid),
                    mode: 0o640,
                };
                let identity = Identity::cli_group(*gid);
                write_file(
                    &directory,
                    &format!("group-{gid}"),
                    &owner,
                    socket,
                    tokens,
                    identity,
                )?;
            }
        }
    }
    Ok(())
}

struct Owner {
    uid: Option<u32>,
    gid: Option<u32>,
    mode: u32,
}

fn write_file(
    directory: &Path,
    name: &str,
    owner: &Owner,
    socket: &SocketPath,
    tokens: &TokenRegistry,
    identity: Identity,
) -> Result<(), ServerError> {
    let path = directory.join(name);
    let failed = |source| ServerError::CliInfo {
        path: path.clone(),
        source,
    };
    let is_ours = owner.gid.is_none() && owner.uid == Some(rustix::process::geteuid().as_raw());
    // Nobody but the owner reads it before it has its final owner and mode.
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)
        .map_err(failed)?;
    if !is_ours {
        match chown(&path, owner.uid, owner.gid) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                drop(file);
                if owner.gid.is_some() {
                    tracing::warn!(file = name, "a group cannot be given access to the CLI");
                } else {
                    tracing::debug!(file = name, "the file cannot be given away, left out");
                }
                return std::fs::remove_file(&path).map_err(failed);
            }
            Err(error) => return Err(failed(error)),
        }
    }
    let token = tokens.issue_to(identity);
    let text = json!({
        "domain_socket_path": socket.absolute().display().to_string(),
        "cli_auth_token": token.reveal(),
    });
    file.write_all(text.to_string().as_bytes())
        .map_err(failed)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(owner.mode)).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_of_the_own_user_is_private_and_renewed() {
        let root = tempfile::tempdir().expect("a directory");
        let socket = SocketPath::in_root(root.path());
        let tokens = TokenRegistry::new();
        let uid = rustix::process::geteuid().as_raw();
        let file = root.path().join(format!("cli_ipc_info/user-{uid}"));
        let token_of = |text: &str| {
            let info: serde_json::Value = serde_json::from_str(text).expect("JSON");
            info["cli_auth_token"].as_str().expect("a token").to_owned()
        };
        write_cli_info(root.path(), &socket, &CliAccess::Users(vec![uid]), &tokens)
            .expect("written");
        let first = std::fs::read_to_string(&file).expect("the file");
        assert!(first.starts_with(r#"{"domain_socket_path":"#), "{first}");
        let mode = std::fs::metadata(&file)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        write_cli_info(root.path(), &socket, &CliAccess::Users(vec![uid]), &tokens)
            .expect("written again");
        let second = std::fs::read_to_string(&file).expect("the file");
        assert_eq!(tokens.identity(&token_of(&first)), None);
        assert_eq!(
            tokens.identity(&token_of(&second)),
            Some(Identity::cli_user(uid))
        );
    }
}
