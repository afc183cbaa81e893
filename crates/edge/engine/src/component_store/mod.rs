//! Recipes and artifacts on disk, in Greengrass's layout (core-device §5.5).
//!
//! ```text
//! <root>/packages/recipes/<H>@<version>.recipe.yaml     H = base64url(SHA-256(name)), unpadded
//! <root>/packages/recipes/<H>@<version>.metadata.json   {"componentVersionArn": "…"}
//! <root>/packages/artifacts/<name>/<version>/<file>
//! <root>/packages/artifacts-unarchived/<name>/<version>/<file without extension>/
//! <root>/work/<name>/
//! ```
//!
//! A recipe file is written whole or not at all, and rewritten only if its content differs. What a
//! rollback needs is not deleted: [`ComponentStore::clean`] is told what to keep.

mod error;
mod import;
#[cfg(test)]
mod tests;

pub use error::StoreError;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use sward_model::{ComponentName, ComponentVersion, VersionRequirement};
use sward_recipe::{Format, Recipe};

/// A component version.
pub type ComponentId = (ComponentName, ComponentVersion);

/// The store under one root folder. Its methods block; call them on a blocking thread.
#[derive(Clone, Debug)]
pub struct ComponentStore {
    root: PathBuf,
}

impl ComponentStore {
    /// The store of a Greengrass root folder, whose folders are made where they are missing.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let store = ComponentStore {
            root: root.to_owned(),
        };
        for (folder, mode) in [
            ("packages", 0o755),
            ("packages/recipes", 0o700),
            ("packages/artifacts", 0o755),
            ("packages/artifacts-unarchived", 0o755),
            ("work", 0o755),
        ] {
            make_folder(&store.root.join(folder), mode)?;
        }
        Ok(store)
    }

    /// The Greengrass root folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `{artifacts:path}` of a component version.
    #[must_use]
    pub fn artifacts_folder(&self, name: &ComponentName, version: &ComponentVersion) -> PathBuf {
        self.version_folder("packages/artifacts", name, version)
    }

    /// `{artifacts:decompressedPath}` of a component version.
    #[must_use]
    pub fn unarchived_folder(&self, name: &ComponentName, version: &ComponentVersion) -> PathBuf {
        self.version_folder("packages/artifacts-unarchived", name, version)
    }

    /// `{work:path}` of a component.
    #[must_use]
    pub fn work_folder(&self, name: &ComponentName) -> PathBuf {
        self.root.join("work").join(name.as_str())
    }

    fn version_folder(
        &self,
        kind: &str,
        name: &ComponentName,
        version: &ComponentVersion,
    ) -> PathBuf {
        self.root
            .join(kind)
            .join(name.as_str())
            .join(version.to_string())
    }

    fn recipes_folder(&self) -> PathBuf {
        self.root.join("packages/recipes")
    }

    fn file(&self, name: &ComponentName, version: &ComponentVersion, ending: &str) -> PathBuf {
        let hash = recipe_name_hash(name);
        self.recipes_folder()
            .join(format!("{hash}@{version}.{ending}"))
    }

    /// Keeps a recipe; returns what was kept. Nothing is written where the file says the same.
    pub fn save_recipe(&self, recipe: &Recipe) -> Result<(), StoreError> {
        let path = self.file(&recipe.name, &recipe.version, "recipe.yaml");
        write_if_different(&path, recipe.to_yaml().as_bytes())
    }

    /// Keeps the ARN of a component version.
    pub fn save_arn(
        &self,
        name: &ComponentName,
        version: &ComponentVersion,
        arn: &str,
    ) -> Result<(), StoreError> {
        let path = self.file(name, version, "metadata.json");
        let text = json!({ "componentVersionArn": arn }).to_string();
        write_if_different(&path, text.as_bytes())
    }

    /// The ARN of a component version, if it came from a cloud.
    #[must_use]
    pub fn arn(&self, name: &ComponentName, version: &ComponentVersion) -> Option<String> {
        let text = fs::read_to_string(self.file(name, version, "metadata.json")).ok()?;
        let value: Value = serde_json::from_str(&text).ok()?;
        Some(value.get("componentVersionArn")?.as_str()?.to_owned())
    }

    /// The recipe of a component version; `None` if it is not here.
    pub fn recipe(
        &self,
        name: &ComponentName,
        version: &ComponentVersion,
    ) -> Result<Option<Recipe>, StoreError> {
        let path = self.file(name, version, "recipe.yaml");
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(StoreError::Read { path, source }),
        };
        read_recipe(&path, &bytes).map(Some)
    }

    /// The versions of a component whose recipe is here, lowest first.
    pub fn versions(&self, name: &ComponentName) -> Result<Vec<ComponentVersion>, StoreError> {
        let prefix = format!("{}@", recipe_name_hash(name));
        let mut versions: Vec<ComponentVersion> = file_names(&self.recipes_folder())?
            .iter()
            .filter_map(|file| {
                file.strip_prefix(&prefix)?
                    .strip_suffix(".recipe.yaml")?
                    .parse()
                    .ok()
            })
            .collect();
        versions.sort();
        Ok(versions)
    }

    /// The highest version here that satisfies the requirements together.
    pub fn best_version(
        &self,
        name: &ComponentName,
        requirement: &VersionRequirement,
    ) -> Result<Option<ComponentVersion>, StoreError> {
        let versions = self.versions(name)?;
        Ok(versions
            .into_iter()
            .rev()
            .find(|version| requirement.is_satisfied_by(version)))
    }

    /// Deletes every component version that has an artifacts folder and is not to be kept, with
    /// its recipe and metadata (core-device §6.9). Returns what went; what cannot be deleted is
    /// left for the next time.
    pub fn clean(&self, keep: &BTreeSet<ComponentId>) -> Result<Vec<ComponentId>, StoreError> {
        let artifacts = self.root.join("packages/artifacts");
        let mut gone = Vec::new();
        for name in file_names(&artifacts)? {
            let Ok(name) = name.parse::<ComponentName>() else {
                continue;
            };
            let folder = artifacts.join(name.as_str());
            if !folder.is_dir() {
                continue;
            }
            for version in file_names(&folder)? {
                let Ok(version) = version.parse::<ComponentVersion>() else {
                    continue;
                };
                let id = (name.clone(), version);
                if !keep.contains(&id) && self.delete(&id.0, &id.1) {
                    gone.push(id);
                }
            }
            // Succeeds only where no version is left, which is what is wanted.
            drop(fs::remove_dir(&folder));
        }
        Ok(gone)
    }

    fn delete(&self, name: &ComponentName, version: &ComponentVersion) -> bool {
        let folders = [
            self.unarchived_folder(name, version),
            self.artifacts_folder(name, version),
        ];
        let files = [
            self.file(name, version, "recipe.yaml"),
            self.file(name, version, "metadata.json"),
        ];
        let removed = |result: std::io::Result<()>| match result {
            Ok(()) => true,
            Err(error) => error.kind() == std::io::ErrorKind::NotFound,
        };
        files.iter().all(|file| removed(fs::remove_file(file)))
            && folders
                .iter()
                .all(|folder| removed(fs::remove_dir_all(folder)))
    }

    /// The bytes of all artifacts here.
    #[must_use]
    pub fn artifact_bytes(&self) -> u64 {
        ["packages/artifacts", "packages/artifacts-unarchived"]
            .iter()
            .map(|folder| folder_bytes(&self.root.join(folder)))
            .sum()
    }
}

/// The hash that stands for a component's name in the names of its recipe files.
#[must_use]
pub fn recipe_name_hash(name: &ComponentName) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(name.as_str().as_bytes()))
}

fn read_recipe(path: &Path, bytes: &[u8]) -> Result<Recipe, StoreError> {
    let name = path.to_string_lossy();
    let format = Format::of_file_name(&name).unwrap_or(Format::Yaml);
    Recipe::parse(bytes, format).map_err(|source| StoreError::BadRecipe {
        path: path.to_owned(),
        source: Box::new(source),
    })
}

fn make_folder(path: &Path, mode: u32) -> Result<(), StoreError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(path)
        .map_err(|source| StoreError::Write {
            path: path.to_owned(),
            source,
        })
}

fn file_names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let read = |source| StoreError::Read {
        path: folder.to_owned(),
        source,
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(read)? {
        if let Ok(name) = entry.map_err(read)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn folder_bytes(folder: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(folder) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(metadata) if metadata.is_dir() => folder_bytes(&entry.path()),
            Ok(metadata) => metadata.len(),
            Err(_) => 0,
        })
        .sum()
}

/// Writes a file beside its place and renames it, so that it is there whole or not at all.
fn write_if_different(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    let write = |source| StoreError::Write {
        path: path.to_owned(),
        source,
    };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&beside)
        .map_err(write)?;
    file.write_all(content).map_err(write)?;
    file.sync_all().map_err(write)?;
    fs::rename(&beside, path).map_err(write)?;
    if let Some(folder) = path.parent() {
        fs::File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(write)?;
    }
    Ok(())
}
