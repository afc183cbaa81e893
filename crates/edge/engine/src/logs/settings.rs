//! The `logging` object of the nucleus configuration.

use super::Level;
use serde_json::Value;
use std::path::{Path, PathBuf};
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// How a line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    Json,
}

/// Where lines go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputType {
    File,
    /// The standard output of the core.
    Console,
}

/// Valid settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    pub level: Level,
    pub format: Format,
    pub output: OutputType,
    pub file_size_kb: u64,
    /// For each logger.
    pub total_size_kb: u64,
    /// Absolute.
    pub directory: PathBuf,
}

/// Why a `logging` object is not taken; the settings before it stay.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the logging setting {key} cannot be {value}")]
pub struct SettingsError {
    pub key: String,
    pub value: String,
}

impl Diagnose for SettingsError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        "logging-setting"
    }
    fn place(&self) -> Option<Place> {
        Some(Place::Setting {
            name: format!("logging.{}", self.key),
        })
    }
}

impl LogSettings {
    /// The built-in defaults, below a root folder.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        LogSettings {
            level: Level::Info,
            format: Format::Text,
            output: OutputType::File,
            file_size_kb: 1024,
            total_size_kb: 10_240,
            directory: root.join("logs"),
        }
    }

    /// Reads the `logging` object; what it does not name is as built in. Keys and words are
    /// compared exactly, as AWS does.
    pub fn read(root: &Path, logging: &Value) -> Result<Self, SettingsError> {
        let mut settings = LogSettings::new(root);
        let Value::Object(map) = logging else {
            return Ok(settings);
        };
        for (key, value) in map {
            let refused = || SettingsError {
                key: key.clone(),
                value: value.to_string(),
            };
            let text = value.as_str().unwrap_or_default();
            match key.as_str() {
                "level" => settings.level = Level::parse(text).ok_or_else(refused)?,
                "format" => {
                    settings.format = match text {
                        "TEXT" => Format::Text,
                        "JSON" => Format::Json,
                        _ => return Err(refused()),
                    }
                }
                "outputType" => {
                    settings.output = match text {
                        "FILE" => OutputType::File,
                        "CONSOLE" => OutputType::Console,
                        _ => return Err(refused()),
                    }
                }
                "fileSizeKB" => settings.file_size_kb = size(value).ok_or_else(refused)?,
                "totalLogsSizeKB" => settings.total_size_kb = size(value).ok_or_else(refused)?,
                "outputDirectory" if !text.is_empty() => settings.directory = root.join(text),
                _ => return Err(refused()),
            }
        }
        Ok(settings)
    }
}

fn size(value: &Value) -> Option<u64> {
    let size = match value {
        Value::String(text) => text.parse().ok()?,
        other => other.as_u64()?,
    };
    (size > 0).then_some(size)
}
