//! Artifacts: fetched from where they broke off, checked, put in place whole, unpacked safely.
//!
//! A download goes to `.<file>.part` beside its place and is renamed only when its digest is
//! right, so a file under its own name is always whole. A second call goes on where the first
//! broke off. An archive is unpacked beside its place too, and its folder replaced at once.
//!
//! [`Artifacts::prepare`] tries once; it is the caller who waits for the network and calls again
//! ([`ArtifactError::is_retryable`](sward_diagnosis::Diagnose::is_retryable) says when).
//!
//! Read first: [`Artifacts`], [`ArtifactError`].

mod digest;
mod download;
mod error;
#[cfg(test)]
mod tests;
mod unzip;

pub use digest::Algorithm;
pub use error::ArtifactError;

use crate::component_store::{ComponentId, ComponentStore};
use crate::deployer::ports::ArtifactSource;
use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use sward_recipe::{Artifact, Scheme, Unarchive};

/// How often a file whose digest is wrong is fetched anew.
const CHECKSUM_ATTEMPTS: u32 = 3;

/// How much of the disk artifacts may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArtifactLimits {
    /// The store may grow to this (`componentStoreMaxSizeBytes`).
    pub store_bytes: u64,
    /// The disk must keep this free.
    pub free_bytes: u64,
}

impl Default for ArtifactLimits {
    fn default() -> Self {
        ArtifactLimits {
            store_bytes: 10_000_000_000,
            free_bytes: 20 * 1024 * 1024,
        }
    }
}

/// Fetches the artifacts of component versions into the store.
#[derive(Clone)]
pub struct Artifacts {
    store: ComponentStore,
    source: Arc<dyn ArtifactSource>,
    limits: ArtifactLimits,
    /// Added to the mode of every file: a core that is not root must be able to replace it.
    extra_mode: u32,
}

impl Artifacts {
    /// A fetcher for a store.
    #[must_use]
    pub fn new(
        store: ComponentStore,
        source: Arc<dyn ArtifactSource>,
        limits: ArtifactLimits,
    ) -> Self {
        Artifacts {
            store,
            source,
            limits,
            extra_mode: if sward_sys::is_root() { 0 } else { 0o200 },
        }
    }

    /// What can be said against artifacts without fetching any.
    pub fn check(id: &ComponentId, artifacts: &[Artifact]) -> Result<(), ArtifactError> {
        for artifact in artifacts {
            let fault = |fault| ArtifactError::BadUri {
                component: id.0.to_string(),
                uri: artifact.uri.clone(),
                fault,
            };
            match artifact.scheme() {
                Scheme::S3 { .. } | Scheme::Greengrass { .. } => {
                    if artifact.file_name().is_none() {
                        return Err(fault(error::UriFault::NoFileName));
                    }
                }
                Scheme::Docker { .. } => return Err(fault(error::UriFault::Docker)),
                Scheme::BadS3 => return Err(fault(error::UriFault::BadS3)),
                Scheme::Empty if artifact.uri.is_empty() => {
                    return Err(fault(error::UriFault::Empty));
                }
                Scheme::Empty => return Err(fault(error::UriFault::NoScheme)),
                Scheme::Unsupported { .. } => return Err(fault(error::UriFault::Unsupported)),
            }
        }
        Ok(())
    }

    /// Makes all artifacts of a component version present, checked and unpacked.
    pub async fn prepare(
        &self,
        id: &ComponentId,
        arn: Option<&str>,
        artifacts: &[Artifact],
    ) -> Result<(), ArtifactError> {
        Self::check(id, artifacts)?;
        make_folder(&self.store.artifacts_folder(&id.0, &id.1))?;
        for artifact in artifacts {
            self.prepare_one(id, arn, artifact).await?;
        }
        Ok(())
    }

    async fn prepare_one(
        &self,
        id: &ComponentId,
        arn: Option<&str>,
        artifact: &Artifact,
    ) -> Result<(), ArtifactError> {
        let Some(name) = artifact.file_name() else {
            return Ok(());
        };
        let path = self.store.artifacts_folder(&id.0, &id.1).join(name);
        if !self.is_present(&path, artifact).await? {
            self.fetch(&path, arn, artifact).await?;
        }
        let mode = artifact.permission.file_mode() | self.extra_mode;
        let (for_mode, is_archive) = (path.clone(), artifact.unarchive == Unarchive::Zip);
        let target = artifact
            .unarchived_name()
            .map(|stem| self.store.unarchived_folder(&id.0, &id.1).join(stem));
        let room = self.limits.store_bytes;
        let folder_mode = artifact.permission.directory_mode();
        blocking(move || {
            set_mode(&for_mode, mode)?;
            match target {
                Some(target) if is_archive => {
                    unzip::unzip(&for_mode, &target, mode, folder_mode, room)
                }
                _ => Ok(()),
            }
        })
        .await
    }

    /// Whether the file is there and what it should be. A wrong one is removed; one of which no
    /// digest is known is taken as it is.
    async fn is_present(&self, path: &Path, artifact: &Artifact) -> Result<bool, ArtifactError> {
        if !path.is_file() {
            return Ok(false);
        }
        let (Some(wanted), Some(algorithm)) = (&artifact.digest, &artifact.algorithm) else {
            return Ok(true);
        };
        let algorithm = Algorithm::parse(algorithm, artifact)?;
        let (file, wanted) = (path.to_owned(), wanted.clone());
        blocking(move || {
            if digest::of_file(&file, algorithm)? == wanted {
                return Ok(true);
            }
            fs::remove_file(&file).map_err(|source| write_error(&file, source))?;
            Ok(false)
        })
        .await
    }

    async fn fetch(
        &self,
        path: &Path,
        arn: Option<&str>,
        artifact: &Artifact,
    ) -> Result<(), ArtifactError> {
        let (Some(wanted), Some(algorithm)) = (&artifact.digest, &artifact.algorithm) else {
            return Err(ArtifactError::NoDigest {
                uri: artifact.uri.clone(),
            });
        };
        let algorithm = Algorithm::parse(algorithm, artifact)?;
        self.check_room(path, 0)?;
        let part = download::part_path(path);
        for attempt in 1.. {
            self.download(&part, arn, artifact).await?;
            let (file, place, wanted) = (part.clone(), path.to_owned(), wanted.clone());
            let found = blocking(move || {
                let found = digest::of_file(&file, algorithm)?;
                if found == wanted {
                    put_in_place(&file, &place)?;
                    return Ok(None);
                }
                fs::remove_file(&file).map_err(|source| write_error(&file, source))?;
                Ok(Some(found))
            })
            .await?;
            let Some(found) = found else {
                return Ok(());
            };
            tracing::warn!(uri = artifact.uri, attempt, "artifact has a wrong digest");
            if attempt >= CHECKSUM_ATTEMPTS {
                return Err(ArtifactError::WrongDigest {
                    uri: artifact.uri.clone(),
                    wanted: artifact.digest.clone().unwrap_or_default(),
                    found,
                });
            }
        }
        Ok(())
    }

    /// Refuses what would fill the disk or the store.
    fn check_room(&self, path: &Path, more_bytes: u64) -> Result<(), ArtifactError> {
        let folder = path.parent().unwrap_or(path);
        if let Ok(disk) = rustix::fs::statvfs(folder) {
            let free = disk.f_bavail.saturating_mul(disk.f_frsize);
            if free < self.limits.free_bytes.saturating_add(more_bytes) {
                return Err(ArtifactError::DiskFull {
                    path: folder.to_owned(),
                    free,
                    needed: self.limits.free_bytes.saturating_add(more_bytes),
                });
            }
        }
        if more_bytes > 0 {
            let used = self.store.artifact_bytes();
            if used.saturating_add(more_bytes) > self.limits.store_bytes {
                return Err(ArtifactError::StoreFull {
                    used,
                    more: more_bytes,
                    limit: self.limits.store_bytes,
                });
            }
        }
        Ok(())
    }
}

/// Runs blocking work; a panic in it goes on here.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ArtifactError> + Send + 'static,
) -> Result<T, ArtifactError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(_) => Err(ArtifactError::Stopped),
        },
    }
}

fn write_error(path: &Path, source: io::Error) -> ArtifactError {
    ArtifactError::Write {
        path: path.to_owned(),
        source,
    }
}

fn read_error(path: &Path, source: io::Error) -> ArtifactError {
    ArtifactError::Read {
        path: path.to_owned(),
        source,
    }
}

fn make_folder(path: &Path) -> Result<(), ArtifactError> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o755)
        .create(path)
        .map_err(|source| write_error(path, source))
}

fn set_mode(path: &Path, mode: u32) -> Result<(), ArtifactError> {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|source| {
        ArtifactError::Permissions {
            path: path.to_owned(),
            source,
        }
    })
}

/// Makes a checked file durable under its name.
fn put_in_place(part: &Path, place: &Path) -> Result<(), ArtifactError> {
    let write = |source| write_error(place, source);
    fs::File::open(part)
        .and_then(|file| file.sync_all())
        .map_err(write)?;
    fs::rename(part, place).map_err(write)?;
    let folder: PathBuf = place.parent().map(Path::to_owned).unwrap_or_default();
    fs::File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(write)
}
