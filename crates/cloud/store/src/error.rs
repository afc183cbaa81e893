//! What can go wrong between us and the database.

use std::borrow::Cow;
use std::path::PathBuf;
use sward_diagnosis::{Diagnose, Kind, Place};
use thiserror::Error;

/// A failure of the store.
#[derive(Debug, Error)]
pub enum StoreError {
    /// The data directory or one of its files cannot be used.
    #[error("cannot use the data directory")]
    Directory {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    /// Another process holds the data directory.
    #[error("another process uses this data directory")]
    Locked { path: PathBuf },
    /// The database cannot be opened.
    #[error("cannot open the database")]
    Open {
        path: PathBuf,
        #[source]
        source: sqlx::Error,
    },
    /// The database was written by a newer program.
    #[error("the tables of {module} have schema {found}, this program knows up to {known}")]
    NewerSchema {
        module: String,
        found: i64,
        known: i64,
    },
    /// A list of migrations is not numbered 1, 2, 3 … for each module.
    #[error("migration {number} of {module} (\"{name}\") is out of order")]
    MigrationOrder {
        module: &'static str,
        number: i64,
        name: &'static str,
    },
    /// A migration failed.
    #[error("cannot migrate the tables of {module} to schema {number} (\"{name}\")")]
    Migrate {
        module: &'static str,
        number: i64,
        name: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// A statement failed.
    #[error("the database refused \"{statement}\"")]
    Statement {
        /// The beginning of the SQL text.
        statement: String,
        #[source]
        source: sqlx::Error,
    },
    /// A transaction could not begin or end.
    #[error("cannot {what} a transaction")]
    Transaction {
        what: &'static str,
        #[source]
        source: sqlx::Error,
    },
    /// A row has no such column, or its value is of another type.
    #[error("column \"{column}\" is {found}, not {expected}")]
    Column {
        column: String,
        expected: &'static str,
        found: &'static str,
    },
}

impl StoreError {
    /// Whether a statement failed because a primary key or unique index holds that value already.
    #[must_use]
    pub fn is_unique_violation(&self) -> bool {
        matches!(
            self,
            StoreError::Statement {
                source: sqlx::Error::Database(error),
                ..
            } if error.is_unique_violation()
        )
    }

    pub(crate) fn statement(sql: &str, source: sqlx::Error) -> Self {
        let mut statement: String = sql.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((end, _)) = statement.char_indices().nth(120) {
            statement.truncate(end);
            statement.push('…');
        }
        StoreError::Statement { statement, source }
    }
}

impl Diagnose for StoreError {
    fn kind(&self) -> Kind {
        match self {
            StoreError::Directory { .. } | StoreError::Open { .. } => Kind::Device,
            StoreError::Locked { .. } => Kind::Conflict,
            StoreError::NewerSchema { .. } => Kind::Unsupported,
            StoreError::Statement { .. } if self.is_unique_violation() => Kind::Conflict,
            _ => Kind::Internal,
        }
    }

    fn code(&self) -> &'static str {
        match self {
            StoreError::Directory { .. } => "store-directory",
            StoreError::Locked { .. } => "store-locked",
            StoreError::Open { .. } => "store-open",
            StoreError::NewerSchema { .. } => "store-newer-schema",
            StoreError::MigrationOrder { .. } => "store-migration-order",
            StoreError::Migrate { .. } => "store-migrate",
            StoreError::Statement { .. } => "store-statement",
            StoreError::Transaction { .. } => "store-transaction",
            StoreError::Column { .. } => "store-column",
        }
    }

    fn place(&self) -> Option<Place> {
        match self {
            StoreError::Directory { path, .. }
            | StoreError::Locked { path }
            | StoreError::Open { path, .. } => Some(Place::file(path)),
            _ => None,
        }
    }

    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            StoreError::Locked { .. } => {
                Some("stop the other cloud, or choose another --data-dir".into())
            }
            StoreError::NewerSchema { .. } => {
                Some("start the newer program again, or restore a backup from before it".into())
            }
            _ => None,
        }
    }
}
