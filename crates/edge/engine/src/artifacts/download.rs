//! One download, from where the last one broke off.

use super::{ArtifactError, Artifacts, write_error};
use crate::deployer::ports::{ArtifactRequest, CloudError};
use futures_util::StreamExt;
use std::path::{Path, PathBuf};
use sward_recipe::Artifact;
use tokio::fs::{self, File, OpenOptions};
use tokio::io::AsyncWriteExt;

/// Where a download stands until it is checked.
pub(super) fn part_path(path: &Path) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.part"))
}

impl Artifacts {
    /// Fetches the rest of an artifact into its part file. What was fetched stays if it fails.
    pub(super) async fn download(
        &self,
        part: &Path,
        arn: Option<&str>,
        artifact: &Artifact,
    ) -> Result<(), ArtifactError> {
        let have = fs::metadata(part)
            .await
            .map_or(0, |metadata| metadata.len());
        let fetch = |source| ArtifactError::Fetch {
            uri: artifact.uri.clone(),
            source,
        };
        let request = ArtifactRequest {
            uri: artifact.uri.clone(),
            component_arn: arn.map(str::to_owned),
            offset: have,
        };
        let mut body = self.source.open(request).await.map_err(fetch)?;
        let mut at = if body.offset == have { have } else { 0 };
        if let Some(total) = body.total_bytes {
            if have > total {
                remove(part).await?;
                return Err(fetch(broken_off(artifact, "the part here is too long")));
            }
            self.check_room(part, total.saturating_sub(at))?;
        }
        let mut skip = at.saturating_sub(body.offset);
        let mut file = open(part, at).await?;
        let mut result = Ok(());
        while let Some(chunk) = body.chunks.next().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => {
                    result = Err(fetch(error));
                    break;
                }
            };
            let skipped = skip.min(chunk.len() as u64);
            skip -= skipped;
            let chunk = &chunk[usize::try_from(skipped).unwrap_or(chunk.len())..];
            at += chunk.len() as u64;
            if body.total_bytes.is_some_and(|total| at > total) {
                result = Err(fetch(broken_off(
                    artifact,
                    "more bytes came than announced",
                )));
                break;
            }
            file.write_all(chunk)
                .await
                .map_err(|source| write_error(part, source))?;
        }
        file.flush()
            .await
            .map_err(|source| write_error(part, source))?;
        result?;
        match body.total_bytes {
            Some(total) if at < total => {
                Err(fetch(broken_off(artifact, "the connection ended early")))
            }
            _ => Ok(()),
        }
    }
}

fn broken_off(artifact: &Artifact, reason: &str) -> CloudError {
    CloudError::Unreachable {
        url: artifact.uri.clone(),
        reason: reason.to_owned(),
    }
}

async fn remove(path: &Path) -> Result<(), ArtifactError> {
    fs::remove_file(path)
        .await
        .map_err(|source| write_error(path, source))
}

/// Opens a part file whose first `keep` bytes are kept.
async fn open(path: &Path, keep: u64) -> Result<File, ArtifactError> {
    let write = |source| write_error(path, source);
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .await
        .map_err(write)?;
    file.set_len(keep).await.map_err(write)?;
    tokio::io::AsyncSeekExt::seek(&mut file, std::io::SeekFrom::Start(keep))
        .await
        .map_err(write)?;
    Ok(file)
}
