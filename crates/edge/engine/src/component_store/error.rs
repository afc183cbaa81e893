//! What can go wrong with recipes and artifacts on disk.

use std::borrow::Cow;
use std::io;
use std::path::PathBuf;
use sward_deployment::DeploymentErrorCode as Code;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_recipe::RecipeError;
use thiserror::Error;

/// Why the store could not do what it was asked.
#[derive(Debug, Error)]
pub enum StoreError {
    #[error("cannot read {}", .path.display())]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot write {}", .path.display())]
    Write {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("the recipe {} is not valid", .path.display())]
    BadRecipe {
        path: PathBuf,
        #[source]
        source: Box<RecipeError>,
    },
    #[error("the artifacts folder {} contains the component store itself", .path.display())]
    FolderContainsStore { path: PathBuf },
}

impl StoreError {
    /// The codes of the error stack that stand for it.
    #[must_use]
    pub fn codes(&self) -> &'static [Code] {
        match self {
            StoreError::Read { .. } => &[Code::IoError, Code::IoReadError],
            StoreError::Write { .. } | StoreError::FolderContainsStore { .. } => {
                &[Code::IoError, Code::IoWriteError]
            }
            StoreError::BadRecipe { .. } => &[
                Code::ComponentPackageLoadingError,
                Code::IoError,
                Code::IoMappingError,
                Code::RecipeParseError,
            ],
        }
    }
}

impl Diagnose for StoreError {
    fn kind(&self) -> Kind {
        match self {
            StoreError::Read { .. } | StoreError::Write { .. } => Kind::Device,
            StoreError::BadRecipe { .. } => Kind::Corrupt,
            StoreError::FolderContainsStore { .. } => Kind::Invalid,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            StoreError::Read { .. } => "store-read",
            StoreError::Write { .. } => "store-write",
            StoreError::BadRecipe { .. } => "stored-recipe-invalid",
            StoreError::FolderContainsStore { .. } => "artifacts-folder-contains-store",
        }
    }
    fn place(&self) -> Option<Place> {
        let (StoreError::Read { path, .. }
        | StoreError::Write { path, .. }
        | StoreError::BadRecipe { path, .. }
        | StoreError::FolderContainsStore { path }) = self;
        Some(Place::file(path))
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        let (StoreError::Read { source, .. } | StoreError::Write { source, .. }) = self else {
            return None;
        };
        match source.kind() {
            io::ErrorKind::StorageFull => Some("free some space on this disk".into()),
            io::ErrorKind::PermissionDenied => {
                Some("let the user of the core read and write it".into())
            }
            _ => None,
        }
    }
    fn because(&self) -> Option<&dyn Diagnose> {
        match self {
            StoreError::BadRecipe { source, .. } => Some(source.as_ref()),
            _ => None,
        }
    }
}
