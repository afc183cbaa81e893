//! Component recipes of format `2020-01-25`: parse, validate, select a manifest, interpolate.
//!
//! Facts are those of the Java nucleus (core-device §1 and §2); what we do otherwise is listed in
//! `docs/compatibility.md`. This crate never reads a file, fetches an artifact or runs a script.
//!
//! Invariants:
//! - A [`Recipe`] that exists is valid; what it cannot hold is a [`RecipeError`] with the key and
//!   the line at fault.
//! - Parsing is bounded: a text is at most [`LARGEST_BYTES`] long, nesting is bounded, aliases are
//!   not followed, patterns are matched in linear time.
//! - Unknown keys are kept, and `to_json` and `to_yaml` give a text that parses to the same recipe.
//!
//! Read first: [`Recipe`], [`Recipe::select`], [`interpolate::World`], [`RecipeError`].

mod artifact;
mod cloud;
mod error;
mod format;
pub mod interpolate;
mod json;
mod model;
mod node;
mod number;
mod platform;
mod read;
mod scalar;
mod select;
mod uri;
mod write;
mod yaml;
mod yaml_write;

pub use artifact::{Access, Artifact, Permission, Scheme, Unarchive};
pub use cloud::{CloudFault, LARGEST_CLOUD_BYTES};
pub use error::{Category, LoadError, RecipeError};
pub use format::{Format, LARGEST_BYTES};
pub use model::{ComponentType, Dependency, DependencyType, Manifest, Recipe};
pub use number::java_number;
pub use select::SelectedManifest;
pub use yaml::yaml_value;
pub use yaml_write::to_yaml;
