//! The two spellings of a recipe.

use crate::error::{Category, RecipeError};
use crate::node::Node;
use crate::{json, yaml};

/// The longest text that is read. Public registries stop at 16 KiB; a device does not.
pub const LARGEST_BYTES: usize = 1024 * 1024;

/// How a recipe is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// JSON, read strictly.
    Json,
    /// YAML by the nucleus's rules; most JSON is YAML too.
    Yaml,
}

impl Format {
    /// The format of a text: JSON where it begins with a brace, unless it can only be read as
    /// YAML (which has braces too).
    #[must_use]
    pub fn detect(bytes: &[u8]) -> Self {
        let begins = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        if begins.trim_ascii_start().first() != Some(&b'{') {
            return Format::Yaml;
        }
        match (Format::Json.read(bytes), Format::Yaml.read(bytes)) {
            (Err(_), Ok(_)) => Format::Yaml,
            _ => Format::Json,
        }
    }

    /// The format by the file's extension (any case); `None` for files that are no recipes.
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        let (_, extension) = name.rsplit_once('.')?;
        match extension.to_ascii_lowercase().as_str() {
            "json" => Some(Format::Json),
            "yaml" | "yml" => Some(Format::Yaml),
            _ => None,
        }
    }

    /// `JSON` or `YAML`, as the AWS API spells it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Format::Json => "JSON",
            Format::Yaml => "YAML",
        }
    }

    /// The document; an absent one is a fault.
    pub(crate) fn read(self, bytes: &[u8]) -> Result<Node, RecipeError> {
        if bytes.len() > LARGEST_BYTES {
            let problem = format!("is larger than {LARGEST_BYTES} bytes");
            return Err(RecipeError::new(Category::TooLarge, "", 1, problem));
        }
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let before = &bytes[..error.valid_up_to()];
            let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
            let line = u32::try_from(line).unwrap_or(u32::MAX);
            RecipeError::new(Category::Syntax, "", line, "is not UTF-8")
        })?;
        let node = match self {
            Format::Json => json::parse(text)?,
            Format::Yaml => yaml::parse(text)?,
        };
        node.ok_or_else(|| RecipeError::new(Category::Type, "", 1, "is empty"))
    }
}
