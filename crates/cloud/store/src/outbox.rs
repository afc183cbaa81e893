//! The outbox: what must reach a device is written in the transaction that decided it, and sent
//! afterwards by a reconciler that reads this table until it is empty.

use crate::{Migration, StoreError, Tx, Value};

/// A row that waits to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Ascends in the order of commits.
    pub id: i64,
    /// What sort of work it is; the writer and the reconciler agree on it.
    pub kind: String,
    /// The writer's own text, mostly JSON with account and region in it.
    pub payload: String,
}

pub(crate) const MIGRATIONS: &[Migration] = &[Migration {
    module: "store",
    number: 1,
    name: "the outbox",
    sql: "CREATE TABLE store_outbox (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
        kind TEXT NOT NULL,
        payload TEXT NOT NULL
    )",
}];

impl Tx {
    /// Adds a row; whoever holds [`crate::Store::outbox_signal`] is woken after the commit.
    pub async fn outbox(&mut self, kind: &str, payload: &str) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO store_outbox (kind, payload) VALUES ($1, $2)",
            &[Value::from(kind), Value::from(payload)],
        )
        .await?;
        self.signal_outbox();
        Ok(())
    }

    /// The oldest rows that wait, at most `limit`.
    pub async fn outbox_pending(&mut self, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        self.all(
            "SELECT id, kind, payload FROM store_outbox ORDER BY id LIMIT $1",
            &[Value::from(limit)],
        )
        .await?
        .into_iter()
        .map(|row| {
            Ok(OutboxRow {
                id: row.int("id")?,
                kind: row.text("kind")?,
                payload: row.text("payload")?,
            })
        })
        .collect()
    }

    /// Removes a row that was sent. Sending must be repeatable: a crash between sending and this
    /// sends it again.
    pub async fn outbox_done(&mut self, id: i64) -> Result<(), StoreError> {
        self.execute("DELETE FROM store_outbox WHERE id = $1", &[Value::from(id)])
            .await?;
        Ok(())
    }
}
