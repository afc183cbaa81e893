//! Removes blobs that no row names: those discarded by a transaction, and once at the start those
//! that a crash left between a blob's last byte and its row.

use crate::{Objects, S3Error};
use std::time::{Duration, SystemTime};
use sward_task::CancellationToken;

/// Discarded blobs removed by one transaction.
const BATCH: u32 = 500;
/// How often the sweeper looks without being told.
const PERIOD: Duration = Duration::from_secs(600);

pub(crate) async fn run(objects: Objects, stop: CancellationToken) {
    // Not now, which may be after the first uploads: one of them may be about to get its row.
    if let Err(error) = sweep_orphans(&objects, objects.opened(), &stop).await {
        tracing::warn!(error = %error, "orphaned blobs could not be swept");
    }
    loop {
        if let Err(error) = sweep_garbage(&objects).await {
            tracing::warn!(error = %error, "discarded blobs could not be swept");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = objects.garbage().notified() => {}
            () = tokio::time::sleep(PERIOD) => {}
        }
    }
}

/// Removes every discarded blob. A reader that has the file open keeps its bytes.
pub(crate) async fn sweep_garbage(objects: &Objects) -> Result<(), S3Error> {
    loop {
        let mut tx = objects.store().read().await?;
        let rows = tx
            .all(
                "SELECT blob FROM s3_garbage ORDER BY blob LIMIT $1",
                &[BATCH.into()],
            )
            .await?;
        drop(tx);
        if rows.is_empty() {
            return Ok(());
        }
        let mut blobs = Vec::with_capacity(rows.len());
        for row in rows {
            let blob = row.text("blob")?;
            objects.blobs().remove(&blob).await;
            blobs.push(blob);
        }
        let mut tx = objects.store().begin().await?;
        for blob in blobs {
            tx.execute("DELETE FROM s3_garbage WHERE blob = $1", &[blob.into()])
                .await?;
        }
        tx.commit().await?;
    }
}

async fn sweep_orphans(
    objects: &Objects,
    before: SystemTime,
    stop: &CancellationToken,
) -> Result<(), S3Error> {
    for directory in 0..=255_u8 {
        if stop.is_cancelled() {
            return Ok(());
        }
        let blobs = objects.blobs().clone();
        let ids = tokio::task::spawn_blocking(move || blobs.list(directory, before))
            .await
            .unwrap_or_default();
        if ids.is_empty() {
            continue;
        }
        let mut tx = objects.store().read().await?;
        let mut orphans = Vec::new();
        for id in ids {
            let named = tx
                .optional(
                    "SELECT blob FROM s3_object WHERE blob = $1
                     UNION ALL SELECT blob FROM s3_part WHERE blob = $1",
                    &[id.as_str().into()],
                )
                .await?;
            if named.is_none() {
                orphans.push(id);
            }
        }
        drop(tx);
        for orphan in orphans {
            tracing::info!(blob = orphan, "removing a blob that nothing names");
            objects.blobs().remove(&orphan).await;
        }
    }
    Ok(())
}
