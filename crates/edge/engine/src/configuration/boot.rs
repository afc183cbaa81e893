//! What a start reads besides the journal (core-device §5.8).
//!
//! | File | When | Time of its leaves |
//! |---|---|---|
//! | `--config FILE` | always; everything stored before goes | now |
//! | `--init-config FILE` | always, over what is stored | the file's own, so newer values stay |
//! | `<root>/config.yaml` (`sward device create` writes it) | as `--init-config` | the file's own |
//! | `<root>/config/config.tlog` of an AWS nucleus (or its backups) | only while nothing is stored | as written there |
//! | `<root>/config/config.yaml` | only while nothing is stored and there is no such log | the file's own |
//!
//! Then the command line, then defaults where nothing stands.

use super::{Configuration, ConfigurationError, Source, defaults, now_ms, tlog};
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// What the command line says about the configuration.
#[derive(Clone, Debug, Default)]
pub struct BootOptions {
    /// The root folder, absolute.
    pub root: PathBuf,
    /// `--config`: replaces everything.
    pub config: Option<PathBuf>,
    /// `--init-config`: merged over what is stored.
    pub init_config: Option<PathBuf>,
    /// Leaves set by other arguments, as paths and values (`--thing-name`, `--aws-region`,
    /// `--component-default-user` …).
    pub overrides: Vec<(Vec<String>, Value)>,
}

/// What was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BootReport {
    /// Files that were merged, in order.
    pub files: Vec<PathBuf>,
}

/// Brings an opened configuration to what this start asks for, and makes it durable.
pub async fn boot(
    configuration: &Configuration,
    options: &BootOptions,
) -> Result<BootReport, ConfigurationError> {
    let mut report = BootReport::default();
    if let Some(path) = &options.config {
        let (content, _) = read(path)?;
        replace_everything(configuration, &content, path);
        report.files.push(path.clone());
    }
    let was_empty = configuration.was_empty() && !take_over(configuration, options, &mut report);
    for path in candidates(was_empty, options) {
        let (content, modified_ms) = read(&path)?;
        configuration.merge(&[] as &[&str], &content, modified_ms, file_source(&path));
        report.files.push(path);
    }
    set_root(configuration, &options.root);
    for (path, value) in &options.overrides {
        if configuration.get(path).as_ref() != Some(value) {
            configuration.update(path, value, now_ms(), Source::CommandLine);
        }
    }
    fill_defaults(configuration);
    configuration.sync().await?;
    Ok(report)
}

/// Takes over what an AWS nucleus stored in this root; whether it had stored anything.
fn take_over(
    configuration: &Configuration,
    options: &BootOptions,
    report: &mut BootReport,
) -> bool {
    if !configuration.was_empty() || options.config.is_some() {
        return false;
    }
    let Some((path, tree)) = tlog::of_root(&options.root) else {
        return false;
    };
    configuration.restore(&[] as &[&str], &tree, file_source(&path));
    report.files.push(path);
    true
}

fn candidates(was_empty: bool, options: &BootOptions) -> Vec<PathBuf> {
    if options.config.is_some() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let in_config = options.root.join("config/config.yaml");
    if was_empty && options.init_config.is_none() && in_config.is_file() {
        found.push(in_config);
    }
    let in_root = options.root.join("config.yaml");
    if in_root.is_file() {
        found.push(in_root);
    }
    found.extend(options.init_config.clone());
    found
}

fn file_source(path: &Path) -> Source {
    Source::File {
        path: path.display().to_string(),
    }
}

fn replace_everything(configuration: &Configuration, content: &Map<String, Value>, path: &Path) {
    let now = now_ms();
    configuration.transaction(file_source(path), |tree| {
        let behavior = sward_deployment::tree::UpdateBehavior::replace(now).forced();
        tree.update(&[] as &[&str], content, &behavior)
    });
}

/// The root that was started is the root, wherever it was before.
fn set_root(configuration: &Configuration, root: &Path) {
    let path = ["system", "rootpath"];
    let root = root.display().to_string();
    if configuration.get_text(&path).as_deref() != Some(&root) {
        configuration.update(&path, &json!(root), now_ms(), Source::Core);
    }
}

fn fill_defaults(configuration: &Configuration) {
    // An existing nucleus may have another name: any component of type NUCLEUS is one.
    let nucleus = nucleus_name(configuration);
    configuration.transaction(Source::Default, |tree| {
        let mut changes = Vec::new();
        for (path, map) in [
            (vec!["system"], defaults::system()),
            (vec!["services", &*nucleus], defaults::nucleus()),
            (vec!["services", "main"], defaults::main()),
        ] {
            let gaps = gaps(&map, tree.value_at(&path).as_ref());
            if tree.get_map(&path).is_none() || !gaps.is_empty() {
                let behavior = sward_deployment::tree::UpdateBehavior::merge(defaults::DEFAULT_MS);
                changes.extend(tree.update(&path, &gaps, &behavior));
            }
        }
        changes
    });
}

/// The part of `defaults` for which nothing is set.
fn gaps(defaults: &Map<String, Value>, present: Option<&Value>) -> Map<String, Value> {
    let Some(Value::Object(present)) = present else {
        return defaults.clone();
    };
    let find = |key: &str| {
        present
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(key))
            .map(|(_, value)| value)
    };
    let mut missing = Map::new();
    for (key, default) in defaults {
        match (default, find(key)) {
            (_, None | Some(Value::Null)) => {
                missing.insert(key.clone(), default.clone());
            }
            (Value::Object(inner), found @ Some(Value::Object(_))) => {
                let below = gaps(inner, found);
                if !below.is_empty() {
                    missing.insert(key.clone(), Value::Object(below));
                }
            }
            _ => {}
        }
    }
    missing
}

/// The name under which the nucleus is configured.
fn nucleus_name(configuration: &Configuration) -> String {
    let tree = configuration.snapshot();
    let services = tree.get_map(&["services"]);
    let found = services
        .into_iter()
        .flat_map(|map| map.iter())
        .find(|(_, node)| {
            let kind = node.as_map().and_then(|map| map.get(&["componentType"]));
            kind.and_then(|kind| kind.as_leaf())
                .is_some_and(|leaf| leaf.value == "NUCLEUS")
        });
    found
        .map_or(sward_model::NUCLEUS_NAME, |(name, _)| name)
        .to_owned()
}

/// A configuration file (JSON or YAML) and its own time.
fn read(path: &Path) -> Result<(Map<String, Value>, i64), ConfigurationError> {
    let failed = |source| ConfigurationError::Read {
        path: path.to_owned(),
        source,
    };
    let bytes = fs::read(path).map_err(failed)?;
    let modified = fs::metadata(path)
        .and_then(|data| data.modified())
        .map_err(failed)?;
    let modified_ms = modified
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|elapsed| i64::try_from(elapsed.as_millis()).ok())
        // A file of a device without a clock is still newer than a default.
        .unwrap_or(0)
        .max(defaults::DEFAULT_MS + 1);
    let text = String::from_utf8_lossy(&bytes);
    match parse(&text) {
        Ok(Value::Object(map)) => Ok((map, modified_ms)),
        Ok(Value::Null) => Ok((Map::new(), modified_ms)),
        Ok(_) => Err(problem(path, "it holds no map".to_owned())),
        Err(text) => Err(problem(path, text)),
    }
}

fn problem(path: &Path, problem: String) -> ConfigurationError {
    ConfigurationError::Parse {
        path: path.to_owned(),
        problem,
    }
}

fn parse(text: &str) -> Result<Value, String> {
    if text.trim_start().starts_with('{') {
        return serde_json::from_str(text).map_err(|error| error.to_string());
    }
    super::yaml::parse(text)
}
