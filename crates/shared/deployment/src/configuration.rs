//! A component's configuration after a deployment (core-device §6.10).
//!
//! In this order: what runs now, with its times; the document's resets; the recipe's defaults,
//! which fill gaps; the document's merge, where it is not older than what it meets. Keys that
//! begin with `_` stay out of the result.

use crate::document::ConfigurationUpdate;
use crate::error::{DeploymentErrorCode, DeploymentFailure};
use crate::tree::StampedTree;
use serde_json::Value;
use std::borrow::Cow;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// The time of a recipe's defaults: older than anything that was ever set.
pub const DEFAULT_TIMESTAMP_MS: i64 = 1;

/// Why a configuration could not be computed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ConfigurationError {
    #[error("the reset path \"{pointer}\" is no JSON pointer")]
    BadPointer { pointer: String },
    #[error("a reset path is null")]
    NullPointer,
    #[error("the recipe's default configuration is no map")]
    DefaultsNotAMap,
}

impl ConfigurationError {
    /// The failure that is reported for it: AWS gives no codes here.
    #[must_use]
    pub fn failure(&self, component: &str) -> DeploymentFailure {
        let codes: &[DeploymentErrorCode] = &[];
        DeploymentFailure::new(
            format!("cannot compute the configuration of component {component}"),
            codes,
        )
        .because_of(self, codes)
    }
}

impl Diagnose for ConfigurationError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        match self {
            ConfigurationError::BadPointer { .. } => "reset-pointer-invalid",
            ConfigurationError::NullPointer => "reset-pointer-null",
            ConfigurationError::DefaultsNotAMap => "default-configuration-invalid",
        }
    }
    fn place(&self) -> Option<Place> {
        Some(Place::field(match self {
            ConfigurationError::DefaultsNotAMap => "ComponentConfiguration.DefaultConfiguration",
            _ => "configurationUpdate.reset",
        }))
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            ConfigurationError::DefaultsNotAMap => None,
            _ => Some("write it as \"/key/inner\", or as \"\" for everything".into()),
        }
    }
}

/// The configuration of one component after a deployment, with the times that decided it.
///
/// `running` is its configuration now, `defaults` the recipe's, `update` the document's change
/// (none for a component that is no root of the document), `timestamp_ms` the document's time.
pub fn resolve_configuration(
    running: Option<&StampedTree>,
    defaults: Option<&Value>,
    update: Option<&ConfigurationUpdate>,
    timestamp_ms: i64,
) -> Result<StampedTree, ConfigurationError> {
    let mut tree = running.map(without_private_keys).unwrap_or_default();
    if let Some(pointers) = update.and_then(|update| update.reset.as_ref()) {
        reset(&mut tree, pointers)?;
    }
    match defaults {
        None | Some(Value::Null) => {}
        Some(Value::Object(map)) => {
            tree.merge(map, DEFAULT_TIMESTAMP_MS);
        }
        Some(_) => return Err(ConfigurationError::DefaultsNotAMap),
    }
    if let Some(map) = update.and_then(|update| update.merge.as_ref()) {
        tree.merge(map, timestamp_ms);
    }
    Ok(without_private_keys(&tree))
}

fn without_private_keys(tree: &StampedTree) -> StampedTree {
    let mut copy = tree.clone();
    copy.remove_private_keys();
    copy
}

/// Removes what the pointers name. `""` empties everything and ends the list; a pointer with a
/// segment that could be an index of a list is passed over, as is one that leads nowhere.
fn reset(tree: &mut StampedTree, pointers: &[Option<String>]) -> Result<(), ConfigurationError> {
    for pointer in pointers {
        let pointer = pointer.as_ref().ok_or(ConfigurationError::NullPointer)?;
        let path = parse_pointer(pointer)?;
        if path.is_empty() {
            *tree = StampedTree::new();
            return Ok(());
        }
        if !path.iter().any(|segment| is_list_index(segment)) {
            tree.remove(&path, DEFAULT_TIMESTAMP_MS);
        }
    }
    Ok(())
}

/// The segments of a JSON pointer.
fn parse_pointer(pointer: &str) -> Result<Vec<String>, ConfigurationError> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let Some(rest) = pointer.strip_prefix('/') else {
        return Err(ConfigurationError::BadPointer {
            pointer: pointer.to_owned(),
        });
    };
    Ok(rest
        .split('/')
        .map(|segment| segment.replace("~1", "/").replace("~0", "~"))
        .collect())
}

/// Whether a segment is a whole number that could stand for a place in a list.
fn is_list_index(segment: &str) -> bool {
    let digits = !segment.is_empty() && segment.bytes().all(|byte| byte.is_ascii_digit());
    digits && (segment == "0" || !segment.starts_with('0')) && segment.parse::<i32>().is_ok()
}
