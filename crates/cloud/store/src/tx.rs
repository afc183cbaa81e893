//! One transaction: a snapshot to read, or the one place to write.

use crate::StoreError;
use crate::value::{self, Row, Value};
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{AssertSqlSafe, Sqlite, Transaction};
use tokio::sync::watch;

/// An open transaction. Dropped without [`Tx::commit`] it is rolled back.
#[derive(Debug)]
pub struct Tx {
    inner: Transaction<'static, Sqlite>,
    outbox: watch::Sender<u64>,
    outbox_used: bool,
}

impl Tx {
    pub(crate) fn new(inner: Transaction<'static, Sqlite>, outbox: watch::Sender<u64>) -> Self {
        Tx {
            inner,
            outbox,
            outbox_used: false,
        }
    }

    /// Runs a statement; the answer is the number of rows it changed.
    pub async fn execute(&mut self, sql: &str, args: &[Value]) -> Result<u64, StoreError> {
        query(sql, args)
            .execute(&mut *self.inner)
            .await
            .map(|done| done.rows_affected())
            .map_err(|source| StoreError::statement(sql, source))
    }

    /// Runs a query; the answer is all its rows.
    pub async fn all(&mut self, sql: &str, args: &[Value]) -> Result<Vec<Row>, StoreError> {
        query(sql, args)
            .fetch_all(&mut *self.inner)
            .await
            .and_then(|rows| value::rows(&rows))
            .map_err(|source| StoreError::statement(sql, source))
    }

    /// Runs a query; the answer is its first row.
    pub async fn optional(&mut self, sql: &str, args: &[Value]) -> Result<Option<Row>, StoreError> {
        query(sql, args)
            .fetch_optional(&mut *self.inner)
            .await
            .and_then(|row| value::rows(row.as_slice()))
            .map(|mut rows| rows.pop())
            .map_err(|source| StoreError::statement(sql, source))
    }

    /// Makes all changes durable and visible at once.
    pub async fn commit(self) -> Result<(), StoreError> {
        self.inner
            .commit()
            .await
            .map_err(|source| StoreError::Transaction {
                what: "commit",
                source,
            })?;
        if self.outbox_used {
            self.outbox
                .send_modify(|count| *count = count.wrapping_add(1));
        }
        Ok(())
    }

    pub(crate) fn signal_outbox(&mut self) {
        self.outbox_used = true;
    }

    /// Runs several statements without arguments.
    pub(crate) async fn script(&mut self, sql: &str) -> Result<(), sqlx::Error> {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
            .execute(&mut *self.inner)
            .await
            .map(drop)
    }
}

fn query(sql: &str, args: &[Value]) -> Query<'static, Sqlite, SqliteArguments> {
    // The text is a constant of a module of ours or composed of such; values travel as arguments.
    let mut query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    for argument in args {
        query = match argument.clone() {
            Value::Null => query.bind(None::<i64>),
            Value::Int(number) => query.bind(number),
            Value::Real(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Blob(bytes) => query.bind(bytes),
        };
    }
    query
}
