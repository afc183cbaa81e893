//! `sward env`: what a shell needs so that unmodified AWS clients talk to this cloud.

use crate::cli::{EnvOptions, Output};
use crate::place::CloudDirectory;
use std::io::{self, Write as _};
use sward_diagnosis::Report;

/// Variables that would win over ours if they were left set.
const OVERRIDES: &str = "AWS_ACCESS_KEY_ID AWS_SECRET_ACCESS_KEY AWS_SESSION_TOKEN AWS_PROFILE";

/// Prints `export` lines, or the same as a JSON object.
pub(crate) fn print(options: &EnvOptions) -> Result<(), Report> {
    let variables = variables(&CloudDirectory::find(&options.cloud)?)?;
    let text = match options.output {
        Output::Text => exports(&variables),
        Output::Json => {
            let object: serde_json::Map<String, serde_json::Value> = variables
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.into()))
                .collect();
            format!("{:#}\n", serde_json::Value::Object(object))
        }
    };
    say(&text);
    Ok(())
}

/// The variables, in the order they are shown.
pub(crate) fn variables(cloud: &CloudDirectory) -> Result<Vec<(&'static str, String)>, Report> {
    let endpoints = cloud.endpoints()?;
    let mut variables = vec![
        ("AWS_ENDPOINT_URL", endpoints.api.clone()),
        (
            "AWS_SHARED_CREDENTIALS_FILE",
            cloud.credentials().display().to_string(),
        ),
        ("AWS_REGION", endpoints.region.clone()),
        ("AWS_DEFAULT_REGION", endpoints.region),
    ];
    if endpoints.api.starts_with("https:") {
        variables.push(("AWS_CA_BUNDLE", cloud.ca().display().to_string()));
    }
    Ok(variables)
}

fn exports(variables: &[(&'static str, String)]) -> String {
    let mut text = format!("unset {OVERRIDES}\n");
    for (name, value) in variables {
        text.push_str(&format!("export {name}={}\n", quoted(value)));
    }
    text
}

/// A value as a POSIX shell reads it back.
pub(crate) fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@%+=,".contains(c);
    if !value.is_empty() && value.chars().all(plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', "'\\''"))
    }
}

/// Prints a command's result. A reader that has gone (`sward env | head -1`) is no failure of ours.
pub(crate) fn say(text: &str) {
    let mut out = io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    drop(written);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_every_value_back() {
        for (value, expected) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("/a b/c", "'/a b/c'"),
            ("it's", "'it'\\''s'"),
            ("", "''"),
            ("$(rm)", "'$(rm)'"),
        ] {
            assert_eq!(quoted(value), expected);
        }
    }
}
