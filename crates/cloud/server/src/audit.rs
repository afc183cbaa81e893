//! The audit log: one JSON line for each mutating call, `audit.jsonl` in the data directory.
//!
//! At 64 MiB the file is set aside as `audit.1.jsonl`, over the one before it.

use serde::Serialize;
use std::path::{Path, PathBuf};
use sward_task::Tasks;
use tokio::fs::{File, OpenOptions};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;

const MOST_BYTES: u64 = 64 * 1024 * 1024;
const QUEUE: usize = 1024;

/// One line.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry {
    /// ISO 8601, UTC.
    pub(crate) time: String,
    pub(crate) request_id: String,
    pub(crate) account: String,
    pub(crate) region: String,
    /// ARN.
    pub(crate) caller: String,
    /// Access key id or certificate id.
    pub(crate) credential: String,
    /// As in the credential scope.
    pub(crate) service: String,
    /// The action where it is known, else method and path.
    pub(crate) operation: String,
    pub(crate) source: String,
    pub(crate) status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// Takes entries; clones write to the same file.
#[derive(Clone, Debug)]
pub(crate) struct Audit {
    sender: mpsc::Sender<Entry>,
}

impl Audit {
    /// Starts the task that writes.
    pub(crate) fn start(directory: &Path, tasks: &Tasks) -> Self {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let path = directory.join("audit.jsonl");
        let stop = tasks.token();
        tasks.spawn_essential("audit", async move {
            let mut writer = Writer {
                path,
                file: None,
                size: 0,
            };
            writer.run(receiver, stop).await;
        });
        Audit { sender }
    }

    /// Hands an entry over; waits while the writer is far behind.
    pub(crate) async fn record(&self, entry: Entry) {
        if self.sender.send(entry).await.is_err() {
            tracing::debug!("an audit entry came after the end");
        }
    }
}

struct Writer {
    path: PathBuf,
    file: Option<File>,
    size: u64,
}

impl Writer {
    async fn run(
        &mut self,
        mut receiver: mpsc::Receiver<Entry>,
        stop: sward_task::CancellationToken,
    ) {
        let mut batch = Vec::new();
        loop {
            let more = tokio::select! {
                count = receiver.recv_many(&mut batch, QUEUE) => count > 0,
                () = stop.cancelled() => {
                    receiver.close();
                    while let Some(entry) = receiver.recv().await {
                        batch.push(entry);
                    }
                    false
                }
            };
            if let Err(error) = self.write(&batch).await {
                tracing::error!(path = %self.path.display(), %error, "cannot write the audit log");
                self.file = None;
            }
            batch.clear();
            if !more {
                return;
            }
        }
    }

    async fn write(&mut self, batch: &[Entry]) -> std::io::Result<()> {
        let mut lines = Vec::new();
        for entry in batch {
            serde_json::to_writer(&mut lines, entry)?;
            lines.push(b'\n');
        }
        if lines.is_empty() {
            return Ok(());
        }
        if self.size > MOST_BYTES {
            self.file = None;
            tokio::fs::rename(&self.path, self.path.with_file_name("audit.1.jsonl")).await?;
        }
        let mut file = match self.file.take() {
            Some(file) => file,
            None => {
                let file = OpenOptions::new()
                    .create(true)
                    .append(true)
                    .mode(0o600)
                    .open(&self.path)
                    .await?;
                self.size = file.metadata().await?.len();
                file
            }
        };
        file.write_all(&lines).await?;
        file.flush().await?;
        self.size += lines.len() as u64;
        self.file = Some(file);
        Ok(())
    }
}
