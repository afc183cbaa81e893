//! What can be wrong with a recipe, and where.

use std::borrow::Cow;
use std::fmt;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// The class of a fault in a recipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Category {
    /// Not JSON or YAML at all.
    Syntax,
    /// A required key is absent or null.
    Missing,
    /// Another kind of value is needed here.
    Type,
    /// Not one of the words that are allowed here.
    Value,
    /// Not a component version.
    Version,
    /// Not a version requirement.
    Requirement,
    /// Not a component name.
    Name,
    /// Not a URI.
    Uri,
    /// A list holds null where an object is needed.
    NullElement,
    /// A number that no JSON can hold (`.inf`, `.nan`).
    Number,
    /// The text is larger or nested deeper than is read.
    TooLarge,
}

impl Category {
    /// The kebab-case name, such as `null-element`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Category::Syntax => "syntax",
            Category::Missing => "missing",
            Category::Type => "type",
            Category::Value => "value",
            Category::Version => "version",
            Category::Requirement => "requirement",
            Category::Name => "name",
            Category::Uri => "uri",
            Category::NullElement => "null-element",
            Category::Number => "number",
            Category::TooLarge => "too-large",
        }
    }
}

impl fmt::Display for Category {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A fault in a recipe: what, at which key, in which line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", self.text())]
pub struct RecipeError {
    /// The class of the fault.
    pub category: Category,
    /// JSON pointer of the key at fault, spelled as the recipe spells it; `""` is the document.
    pub pointer: String,
    /// The line of the fault, from 1.
    pub line: u64,
    /// What is wrong there, as a fragment, such as `is missing`.
    pub problem: String,
    /// What to do about it, where there is more to say.
    pub hint: Option<&'static str>,
}

impl RecipeError {
    pub(crate) fn new(
        category: Category,
        pointer: impl Into<String>,
        line: u32,
        problem: impl Into<String>,
    ) -> Self {
        RecipeError {
            category,
            pointer: pointer.into(),
            line: u64::from(line),
            problem: problem.into(),
            hint: None,
        }
    }

    pub(crate) fn help(mut self, hint: &'static str) -> Self {
        self.hint = Some(hint);
        self
    }

    /// The key at fault without its path, or `recipe` for the document.
    #[must_use]
    pub fn key(&self) -> &str {
        match self.pointer.rsplit_once('/') {
            Some((_, key)) if !key.is_empty() => key,
            _ => "recipe",
        }
    }

    fn text(&self) -> String {
        let place = place(&self.pointer);
        format!("{place} {} (line {})", self.problem, self.line)
    }
}

/// A key of the recipe, spelled in messages as the place is, so that reports name it once.
pub(crate) fn place(pointer: &str) -> Place {
    Place::Pointer {
        document: "recipe".to_owned(),
        pointer: pointer.to_owned(),
    }
}

impl Diagnose for RecipeError {
    fn kind(&self) -> Kind {
        match self.category {
            Category::TooLarge => Kind::TooLarge,
            _ => Kind::Invalid,
        }
    }
    fn code(&self) -> &'static str {
        match self.category {
            Category::Syntax => "recipe-syntax",
            Category::Missing => "recipe-key-missing",
            Category::Type => "recipe-type",
            Category::Value => "recipe-value",
            Category::Version => "recipe-version",
            Category::Requirement => "recipe-requirement",
            Category::Name => "recipe-name",
            Category::Uri => "recipe-uri",
            Category::NullElement => "recipe-null-element",
            Category::Number => "recipe-number",
            Category::TooLarge => "recipe-too-large",
        }
    }
    fn place(&self) -> Option<Place> {
        Some(place(&self.pointer))
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        self.hint.map(Cow::Borrowed)
    }
}

/// Why a recipe that parses cannot be used on a device.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoadError {
    /// `Manifests` is absent or empty (AWS: `RECIPE_MISSING_MANIFEST`).
    #[error("recipe of {component} has no manifests")]
    MissingManifest {
        /// `NAME-vVERSION`.
        component: String,
    },
    /// A platform value in slashes is no regular expression.
    #[error("platform pattern {pattern} of manifest {manifest} cannot be used: {reason}")]
    BadPlatformPattern {
        /// Index of the manifest in `Manifests`.
        manifest: usize,
        /// The attribute, such as `os`.
        attribute: String,
        /// The pattern with its slashes.
        pattern: String,
        /// Why not, by the regular-expression library.
        reason: String,
    },
}

impl Diagnose for LoadError {
    fn kind(&self) -> Kind {
        Kind::Invalid
    }
    fn code(&self) -> &'static str {
        match self {
            LoadError::MissingManifest { .. } => "recipe-missing-manifest",
            LoadError::BadPlatformPattern { .. } => "recipe-bad-platform-pattern",
        }
    }
    fn place(&self) -> Option<Place> {
        let pointer = match self {
            LoadError::MissingManifest { .. } => "/Manifests".to_owned(),
            LoadError::BadPlatformPattern {
                manifest,
                attribute,
                ..
            } => format!("/Manifests/{manifest}/Platform/{attribute}"),
        };
        Some(place(&pointer))
    }
}
