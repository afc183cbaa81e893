//! The files by which clients find the cloud and trust it. Each is replaced as a whole.

use crate::error::StartError;
use serde::Serialize;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use sward_control::identity::AccessKey;

/// `endpoints.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Endpoints {
    /// URL.
    pub(crate) api: String,
    /// URL.
    pub(crate) console: String,
    /// `host:port`.
    pub(crate) device: String,
    /// `host:port`.
    pub(crate) mqtt: String,
    pub(crate) region: String,
    pub(crate) account: String,
}

/// Writes `ca.pem`, `credentials` and, last, `endpoints.json`.
pub(crate) fn write(
    directory: &Path,
    ca: &str,
    key: &AccessKey,
    endpoints: &Endpoints,
) -> Result<(), StartError> {
    replace(&directory.join("ca.pem"), 0o644, ca)?;
    let credentials = format!(
        "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
        key.access_key_id, key.secret_access_key
    );
    replace(&directory.join("credentials"), 0o600, &credentials)?;
    let text = serde_json::to_string_pretty(endpoints).expect("texts serialise");
    replace(
        &directory.join("endpoints.json"),
        0o644,
        &format!("{text}\n"),
    )
}

/// Refuses a directory whose cloud has lost its database.
///
/// A throw-away cloud leaves the same files without one; its folder, which stays with them only
/// when it was killed, tells them apart.
pub(crate) fn refuse_lost_database(directory: &Path) -> Result<(), StartError> {
    let path = directory.join("sward.db");
    let size = std::fs::metadata(&path).ok().map(|found| found.len());
    let was_ephemeral = || {
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        let mut names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names.any(|name| name.starts_with("ephemeral-"))
    };
    match size {
        Some(1..) => Ok(()),
        _ if !directory.join("ca.pem").exists() || was_ephemeral() => Ok(()),
        _ => Err(StartError::DatabaseGone {
            path,
            is_empty: size.is_some(),
        }),
    }
}

/// Removes what [`write`] wrote, so that nobody takes it for a cloud that keeps its state.
pub(crate) fn remove(directory: &Path) {
    for name in ["endpoints.json", "credentials", "ca.pem"] {
        let path = directory.join(name);
        if let Err(error) = std::fs::remove_file(&path)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %path.display(), %error, "a file of the throw-away cloud stays");
        }
    }
}

fn replace(path: &Path, mode: u32, text: &str) -> Result<(), StartError> {
    let new = path.with_extension("new");
    let written = std::fs::OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .mode(mode)
        .open(&new)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&new, path));
    written.map_err(|source| StartError::File {
        path: path.to_owned(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_lost_database_is_not_made_anew() {
        let check = |files: &[(&str, &str)], refused: Option<&str>| {
            let directory = tempfile::tempdir().expect("a directory");
            for (name, text) in files {
                std::fs::write(directory.path().join(name), text).expect("written");
            }
            let said = refuse_lost_database(directory.path()).map_err(|error| error.to_string());
            assert_eq!(said.err().as_deref(), refused, "{files:?}");
        };
        check(&[], None);
        check(&[("sward.db", "")], None);
        check(&[("sward.db", "SQLite"), ("ca.pem", "CA")], None);
        check(&[("ca.pem", "CA"), ("ephemeral-7", "")], None);
        check(
            &[("ca.pem", "CA")],
            Some("a cloud lived here, but its database is gone"),
        );
        check(
            &[("ca.pem", "CA"), ("sward.db", "")],
            Some("a cloud lived here, but its database is empty"),
        );
    }

    #[test]
    fn the_files_have_their_names_and_the_secret_is_private() {
        let directory = tempfile::tempdir().expect("a directory");
        let key = AccessKey {
            access_key_id: "AKIA1".to_owned(),
            secret_access_key: "s/1".to_owned(),
        };
        let endpoints = Endpoints {
            api: "http://127.0.0.1:1".to_owned(),
            console: "http://127.0.0.1:1/console".to_owned(),
            device: "localhost:2".to_owned(),
            mqtt: "localhost:3".to_owned(),
            region: "us-east-1".to_owned(),
            account: "123456789012".to_owned(),
        };
        for _ in 0..2 {
            write(directory.path(), "CA", &key, &endpoints).expect("written");
        }
        let credentials = directory.path().join("credentials");
        let mode = std::fs::metadata(&credentials)
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(
            std::fs::read_to_string(credentials).expect("readable"),
            "[default]\naws_access_key_id = AKIA1\naws_secret_access_key = s/1\n"
        );
        let json = std::fs::read_to_string(directory.path().join("endpoints.json"));
        let json: serde_json::Value = serde_json::from_str(&json.expect("readable")).expect("JSON");
        assert_eq!(json["device"], "localhost:2");
        assert_eq!(json.as_object().map(serde_json::Map::len), Some(6));
    }
}
