//! Opening a data directory, and handing out transactions.

use crate::lock::DirectoryLock;
use crate::{StoreError, Tx, migration, outbox};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Concurrent readers; each costs a thread and about 100 kB while used.
const READERS: u32 = 4;
/// How long a caller waits for the one writer before it is told so.
const WAIT_FOR_CONNECTION: Duration = Duration::from_secs(30);
const IDLE_READER: Duration = Duration::from_secs(60);

/// How to open a store.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The data directory; made if absent, mode 0700.
    pub directory: PathBuf,
    /// Never waits for the disk; for throw-away clouds and tests.
    pub ephemeral: bool,
}

impl StoreOptions {
    /// A durable store in the given directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        StoreOptions {
            directory: directory.into(),
            ephemeral: false,
        }
    }
}

/// The open database. Clones share it.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    writer: SqlitePool,
    readers: SqlitePool,
    outbox: watch::Sender<u64>,
    directory: PathBuf,
    // Last, so that the pools are gone before the lock is.
    _lock: DirectoryLock,
}

impl Store {
    /// Locks the directory, opens the database and makes the store's own tables.
    pub async fn open(options: StoreOptions) -> Result<Self, StoreError> {
        let StoreOptions {
            directory,
            ephemeral,
        } = options;
        make_directory(&directory)?;
        let lock = DirectoryLock::acquire(&directory)?;
        let path = directory.join("sward.db");
        make_private(&path)?;
        let connect = SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .foreign_keys(true)
            .busy_timeout(WAIT_FOR_CONNECTION)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(if ephemeral {
                SqliteSynchronous::Off
            } else {
                SqliteSynchronous::Full
            });
        let open_error = |source| StoreError::Open {
            path: path.clone(),
            source,
        };
        let writer = SqlitePoolOptions::new()
            .max_connections(1)
            .acquire_timeout(WAIT_FOR_CONNECTION)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(connect.clone())
            .await
            .map_err(open_error)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            .acquire_timeout(WAIT_FOR_CONNECTION)
            .idle_timeout(IDLE_READER)
            .connect_lazy_with(connect.read_only(true));
        let (outbox, _) = watch::channel(0);
        let store = Store {
            inner: Arc::new(Inner {
                writer,
                readers,
                outbox,
                directory,
                _lock: lock,
            }),
        };
        let mut tx = store.begin().await?;
        tx.execute(migration::SCHEMA_TABLE, &[]).await?;
        tx.commit().await?;
        store.migrate(outbox::MIGRATIONS).await?;
        Ok(store)
    }

    /// The data directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.inner.directory
    }

    /// Begins the one writing transaction; waits until the current one has ended.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        let tx = self
            .inner
            .writer
            .begin_with("BEGIN IMMEDIATE")
            .await
            .map_err(|source| StoreError::Transaction {
                what: "begin",
                source,
            })?;
        Ok(Tx::new(tx, self.inner.outbox.clone()))
    }

    /// Begins a reading transaction: a snapshot beside any writer. Writes through it fail.
    pub async fn read(&self) -> Result<Tx, StoreError> {
        let tx = self
            .inner
            .readers
            .begin()
            .await
            .map_err(|source| StoreError::Transaction {
                what: "begin",
                source,
            })?;
        Ok(Tx::new(tx, self.inner.outbox.clone()))
    }

    /// Changes after every commit that added to the outbox.
    #[must_use]
    pub fn outbox_signal(&self) -> watch::Receiver<u64> {
        self.inner.outbox.subscribe()
    }

    /// Writes a consistent copy of the database to `path`, which must not exist, while others
    /// read and write.
    pub async fn backup(&self, path: &Path) -> Result<(), StoreError> {
        const SQL: &str = "VACUUM INTO $1";
        sqlx::query(SQL)
            .bind(path.display().to_string())
            .execute(&self.inner.writer)
            .await
            .map(drop)
            .map_err(|source| StoreError::statement(SQL, source))
    }

    /// Waits for open transactions, folds the write-ahead log into the database and closes it.
    pub async fn close(&self) {
        self.inner.readers.close().await;
        self.inner.writer.close().await;
    }
}

/// The database holds secrets, and its directory may have been made by somebody else for all to
/// read. SQLite gives the log beside it the same mode.
fn make_private(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
    std::fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .and_then(|file| file.set_permissions(std::fs::Permissions::from_mode(0o600)))
        .map_err(|source| StoreError::Directory {
            path: path.to_owned(),
            source,
        })
}

fn make_directory(directory: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|source| StoreError::Directory {
            path: directory.to_owned(),
            source,
        })
}
