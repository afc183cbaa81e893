//! `effectiveConfig.yaml`: what users look at to see the configuration in force.
//!
//! It holds `system` and then `services`, keys sorted ignoring case, texts in double quotes, two
//! blanks of indent, as the AWS nucleus writes it. Ours is written whenever the configuration has
//! changed, not only at start and stop.

use super::{Configuration, ConfigurationError};
use serde_json::{Map, Value};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;
use sward_task::Tasks;

/// The path below the root.
pub const EFFECTIVE_CONFIG: &str = "config/effectiveConfig.yaml";

/// Changes that follow each other within this time are written once: flash wears.
const SETTLING: Duration = Duration::from_secs(1);

impl Configuration {
    /// Writes `effectiveConfig.yaml` below the root now; what it held before goes to a file with
    /// `~` at its name's end.
    pub async fn write_effective(&self, root: &Path) -> Result<(), ConfigurationError> {
        let path = root.join(EFFECTIVE_CONFIG);
        let text = self.effective_text();
        self.storage()
            .run(move || write(&path, &text))
            .await
            .map_err(|_| ConfigurationError::Journal(sward_journal::JournalError::Stopped))?
    }

    /// Writes the file, and keeps it up to date until the token of `tasks` is cancelled; then it is
    /// written a last time.
    pub fn keep_effective(&self, tasks: &Tasks, root: PathBuf) {
        let configuration = self.clone();
        let token = tasks.token();
        let mut watcher = self.watch(&[] as &[&str]);
        tasks.spawn_essential("effective-config", async move {
            let mut is_stopping = false;
            loop {
                drop(watcher.take());
                if let Err(error) = configuration.write_effective(&root).await {
                    tracing::warn!(%error, "effectiveConfig.yaml cannot be written");
                }
                if is_stopping {
                    return;
                }
                is_stopping = tokio::select! {
                    _ = watcher.changed() => {
                        tokio::select! {
                            () = tokio::time::sleep(SETTLING) => false,
                            () = token.cancelled() => true,
                        }
                    }
                    () = token.cancelled() => true,
                };
            }
        });
    }

    fn effective_text(&self) -> String {
        let tree = self.snapshot();
        let part = |key: &str| {
            tree.get_map(&[key])
                .map(sward_deployment::tree::StampedTree::to_public_map)
                .unwrap_or_default()
        };
        effective_yaml(&part("system"), &part("services"))
    }
}

/// The text of the file.
#[must_use]
pub fn effective_yaml(system: &Map<String, Value>, services: &Map<String, Value>) -> String {
    let mut out = String::from("---\n");
    for (key, map) in [("system", system), ("services", services)] {
        entry(&mut out, 0, key, &Value::Object(map.clone()));
    }
    out
}

fn entry(out: &mut String, indent: usize, key: &str, value: &Value) {
    pad(out, indent);
    if is_plain_key(key) {
        out.push_str(key);
    } else {
        quoted(out, key);
    }
    out.push(':');
    below(out, indent, value);
}

/// What follows a `:` or a `-`.
fn below(out: &mut String, indent: usize, value: &Value) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            let mut entries: Vec<(&String, &Value)> = map.iter().collect();
            entries.sort_by_cached_key(|(key, _)| key.to_lowercase());
            for (key, value) in entries {
                entry(out, indent + 2, key, value);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            for item in items {
                pad(out, indent);
                out.push('-');
                // A list in a list stands deeper; a map's entries do by themselves.
                let deeper = if item.is_array() { indent + 2 } else { indent };
                below(out, deeper, item);
            }
        }
        scalar => {
            out.push(' ');
            write_scalar(out, scalar);
            out.push('\n');
        }
    }
}

fn write_scalar(out: &mut String, value: &Value) {
    match value {
        Value::String(text) => quoted(out, text),
        Value::Object(_) => out.push_str("{}"),
        Value::Array(_) => out.push_str("[]"),
        other => out.push_str(&other.to_string()),
    }
}

fn pad(out: &mut String, indent: usize) {
    out.extend(std::iter::repeat_n(' ', indent));
}

/// A key that no YAML reader takes for anything but this text.
fn is_plain_key(key: &str) -> bool {
    let starts_well = key
        .chars()
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '_' | '/'));
    let is_word = matches!(
        key.to_ascii_lowercase().as_str(),
        "true" | "false" | "yes" | "no" | "on" | "off" | "null" | "y" | "n"
    );
    starts_well
        && !is_word
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/' | '@'))
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                out.push_str(&format!("\\u{:04X}", u32::from(c)));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

fn write(path: &Path, text: &str) -> Result<(), ConfigurationError> {
    let failed = |source| ConfigurationError::Write {
        path: path.to_owned(),
        source,
    };
    if fs::read(path).is_ok_and(|old| old == text.as_bytes()) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let with_end = |end: &str| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    };
    let new = with_end("+");
    fs::write(&new, text).map_err(failed)?;
    match fs::rename(path, with_end("~")) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    fs::rename(&new, path).map_err(failed)
}
