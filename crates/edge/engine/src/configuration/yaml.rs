//! YAML configuration files, by the same rules as YAML recipes.

use serde_json::Value;

/// The value of a text; `null` where it holds nothing.
pub(super) fn parse(text: &str) -> Result<Value, String> {
    sward_recipe::yaml_value(text).map_err(|error| error.to_string())
}
