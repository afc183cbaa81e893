//! The gateway's sessions, queued and retained messages in the store.

use super::coalesce::coalesce;
use async_trait::async_trait;
use bytes::Bytes;
use sward_diagnosis::Diagnose as _;
use sward_gateway::ports::{Change, PortError, SessionStore, Tenant};
use sward_store::{Migration, Row, Store, StoreError, Tx, Value};

/// Rows that one statement writes.
const ROWS: usize = 64;

const MIGRATIONS: &[Migration] = &[Migration {
    module: "gateway",
    number: 1,
    name: "sessions, subscriptions, queued and retained messages",
    sql: "
    CREATE TABLE gateway_session (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        client_id TEXT NOT NULL,
        record BLOB NOT NULL,
        PRIMARY KEY (account, region, client_id)
    );
    CREATE TABLE gateway_subscription (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        client_id TEXT NOT NULL,
        filter TEXT NOT NULL,
        record BLOB NOT NULL,
        PRIMARY KEY (account, region, client_id, filter)
    );
    CREATE TABLE gateway_message (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        client_id TEXT NOT NULL,
        sequence BIGINT NOT NULL,
        record BLOB NOT NULL,
        PRIMARY KEY (account, region, client_id, sequence)
    );
    CREATE TABLE gateway_retained (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        topic TEXT NOT NULL,
        record BLOB NOT NULL,
        PRIMARY KEY (account, region, topic)
    );
    ",
}];

/// Keeps sessions in SQL.
#[derive(Clone, Debug)]
pub(crate) struct StoredSessions {
    store: Store,
}

impl StoredSessions {
    pub(crate) async fn open(store: Store) -> Result<Self, StoreError> {
        store.migrate(MIGRATIONS).await?;
        Ok(StoredSessions { store })
    }

    async fn load_all(&self) -> Result<Vec<(Tenant, Change)>, StoreError> {
        let mut tx = self.store.read().await?;
        let mut changes = Vec::new();
        for (table, order) in [
            ("gateway_session", "client_id"),
            ("gateway_subscription", "client_id, filter"),
            ("gateway_message", "client_id, sequence"),
            ("gateway_retained", "topic"),
        ] {
            let sql = format!("SELECT * FROM {table} ORDER BY account, region, {order}");
            for row in tx.all(&sql, &[]).await? {
                let Some(tenant) = tenant_of(&row)? else {
                    tracing::error!(table, "a row names no account and region; it is left alone");
                    continue;
                };
                changes.push((tenant, change_of(table, &row)?));
            }
        }
        Ok(changes)
    }

    async fn commit_all(&self, changes: Vec<(Tenant, Change)>) -> Result<(), StoreError> {
        let changes = coalesce(changes);
        if changes.is_empty() {
            return Ok(());
        }
        let mut tx = self.store.begin().await?;
        let mut queued = Batch::new(
            "INSERT INTO gateway_message (account, region, client_id, sequence, record) VALUES ",
            " ON CONFLICT (account, region, client_id, sequence) DO UPDATE SET record = excluded.record",
            5,
        );
        let mut delivered = Batch::new(
            "DELETE FROM gateway_message WHERE (account, region, client_id, sequence) IN (VALUES ",
            ")",
            4,
        );
        for (tenant, change) in changes {
            let scope: [Value; 2] = [
                tenant.account.as_str().into(),
                tenant.region.as_str().into(),
            ];
            match change {
                Change::Queued {
                    client_id,
                    sequence,
                    record,
                } => {
                    let row = [client_id.into(), number(sequence), Value::from(&record[..])];
                    queued.add(&mut tx, scope.into_iter().chain(row)).await?;
                }
                Change::Delivered {
                    client_id,
                    sequence,
                } => {
                    let row = [client_id.into(), number(sequence)];
                    delivered.add(&mut tx, scope.into_iter().chain(row)).await?;
                }
                other => {
                    // What was gathered comes first: the end of a session removes it.
                    queued.flush(&mut tx).await?;
                    delivered.flush(&mut tx).await?;
                    apply(&mut tx, scope, other).await?;
                }
            }
        }
        queued.flush(&mut tx).await?;
        delivered.flush(&mut tx).await?;
        tx.commit().await
    }
}

/// Rows of one statement, gathered.
struct Batch {
    before: &'static str,
    after: &'static str,
    columns: usize,
    values: Vec<Value>,
}

impl Batch {
    fn new(before: &'static str, after: &'static str, columns: usize) -> Self {
        Batch {
            before,
            after,
            columns,
            values: Vec::new(),
        }
    }

    async fn add(
        &mut self,
        tx: &mut Tx,
        row: impl Iterator<Item = Value>,
    ) -> Result<(), StoreError> {
        self.values.extend(row);
        if self.values.len() >= ROWS * self.columns {
            self.flush(tx).await?;
        }
        Ok(())
    }

    async fn flush(&mut self, tx: &mut Tx) -> Result<(), StoreError> {
        let values = std::mem::take(&mut self.values);
        if values.is_empty() {
            return Ok(());
        }
        let mut sql = String::from(self.before);
        for row in 0..values.len() / self.columns {
            sql.push_str(if row == 0 { "(" } else { ", (" });
            for column in 0..self.columns {
                let comma = if column == 0 { "" } else { ", " };
                sql.push_str(&format!("{comma}${}", row * self.columns + column + 1));
            }
            sql.push(')');
        }
        sql.push_str(self.after);
        tx.execute(&sql, &values).await?;
        Ok(())
    }
}

async fn apply(tx: &mut Tx, scope: [Value; 2], change: Change) -> Result<(), StoreError> {
    let [account, region] = scope;
    let blob = |record: Bytes| Value::from(&record[..]);
    let (sql, args): (&str, Vec<Value>) = match change {
        Change::Session { client_id, record } => (
            "INSERT INTO gateway_session (account, region, client_id, record)
             VALUES ($1, $2, $3, $4)
             ON CONFLICT (account, region, client_id) DO UPDATE SET record = excluded.record",
            vec![account, region, client_id.into(), blob(record)],
        ),
        Change::SessionGone { client_id } => {
            let args = [account, region, client_id.into()];
            for sql in [
                "DELETE FROM gateway_message WHERE account = $1 AND region = $2 AND client_id = $3",
                "DELETE FROM gateway_subscription
                 WHERE account = $1 AND region = $2 AND client_id = $3",
                "DELETE FROM gateway_session WHERE account = $1 AND region = $2 AND client_id = $3",
            ] {
                tx.execute(sql, &args).await?;
            }
            return Ok(());
        }
        Change::Subscription {
            client_id,
            filter,
            record,
        } => (
            "INSERT INTO gateway_subscription (account, region, client_id, filter, record)
             VALUES ($1, $2, $3, $4, $5)
             ON CONFLICT (account, region, client_id, filter)
             DO UPDATE SET record = excluded.record",
            vec![
                account,
                region,
                client_id.into(),
                filter.into(),
                blob(record),
            ],
        ),
        Change::SubscriptionGone { client_id, filter } => (
            "DELETE FROM gateway_subscription
             WHERE account = $1 AND region = $2 AND client_id = $3 AND filter = $4",
            vec![account, region, client_id.into(), filter.into()],
        ),
        Change::Retained { topic, record } => (
            "INSERT INTO gateway_retained (account, region, topic, record) VALUES ($1, $2, $3, $4)
             ON CONFLICT (account, region, topic) DO UPDATE SET record = excluded.record",
            vec![account, region, topic.into(), blob(record)],
        ),
        Change::RetainedGone { topic } => (
            "DELETE FROM gateway_retained WHERE account = $1 AND region = $2 AND topic = $3",
            vec![account, region, topic.into()],
        ),
        // Gathered by the caller.
        Change::Queued { .. } | Change::Delivered { .. } => return Ok(()),
    };
    tx.execute(sql, &args).await?;
    Ok(())
}

/// Sequences count messages of one client; they stay far below the sign bit.
fn number(sequence: u64) -> Value {
    i64::try_from(sequence).unwrap_or(i64::MAX).into()
}

fn tenant_of(row: &Row) -> Result<Option<Tenant>, StoreError> {
    let account = row.text("account")?.parse();
    let region = row.text("region")?.parse();
    Ok(match (account, region) {
        (Ok(account), Ok(region)) => Some(Tenant { account, region }),
        _ => None,
    })
}

fn change_of(table: &str, row: &Row) -> Result<Change, StoreError> {
    let record = Bytes::from(row.blob("record")?);
    Ok(match table {
        "gateway_session" => Change::Session {
            client_id: row.text("client_id")?,
            record,
        },
        "gateway_subscription" => Change::Subscription {
            client_id: row.text("client_id")?,
            filter: row.text("filter")?,
            record,
        },
        "gateway_message" => Change::Queued {
            client_id: row.text("client_id")?,
            sequence: u64::try_from(row.int("sequence")?).unwrap_or(0),
            record,
        },
        _ => Change::Retained {
            topic: row.text("topic")?,
            record,
        },
    })
}

#[async_trait]
impl SessionStore for StoredSessions {
    async fn load(&self) -> Result<Vec<(Tenant, Change)>, PortError> {
        self.load_all()
            .await
            .map_err(|error| PortError::new(error.report().one_line()))
    }

    async fn commit(&self, changes: Vec<(Tenant, Change)>) -> Result<(), PortError> {
        self.commit_all(changes)
            .await
            .map_err(|error| PortError::new(error.report().one_line()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sward_store::StoreOptions;

    #[tokio::test]
    async fn what_is_committed_comes_back_in_order() {
        let directory = tempfile::tempdir().expect("a directory");
        let store = Store::open(StoreOptions::new(directory.path()))
            .await
            .expect("a store");
        let sessions = StoredSessions::open(store).await.expect("opens");
        let record = |text: &'static str| Bytes::from_static(text.as_bytes());
        let queued = |client: &str, sequence: u64| Change::Queued {
            client_id: client.to_owned(),
            sequence,
            record: record("m"),
        };
        let session = |client: &str| Change::Session {
            client_id: client.to_owned(),
            record: record("s"),
        };
        let subscription = Change::Subscription {
            client_id: "a".to_owned(),
            filter: "t/#".to_owned(),
            record: record("1"),
        };
        let retained = Change::Retained {
            topic: "t".to_owned(),
            record: record("r"),
        };
        let commit = async |changes: Vec<Change>| {
            let changes = changes
                .into_iter()
                .map(|change| (Tenant::default(), change));
            sessions.commit(changes.collect()).await.expect("committed");
        };
        let mut changes = vec![
            session("a"),
            session("b"),
            subscription.clone(),
            retained.clone(),
        ];
        changes.extend((0..150).map(|sequence| queued("a", sequence)));
        changes.push(queued("b", 7));
        commit(changes).await;
        let delivered = (0..149).map(|sequence| Change::Delivered {
            client_id: "a".to_owned(),
            sequence,
        });
        commit(delivered.collect()).await;
        commit(vec![Change::SessionGone {
            client_id: "b".to_owned(),
        }])
        .await;
        let found: Vec<Change> = sessions
            .load()
            .await
            .expect("loaded")
            .into_iter()
            .map(|(_, change)| change)
            .collect();
        assert_eq!(
            found,
            [session("a"), subscription, queued("a", 149), retained]
        );
    }
}
