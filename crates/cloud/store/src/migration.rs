//! Schema steps: each module numbers its own from 1, and the store remembers how far each is.

use crate::{Store, StoreError, Tx, Value};
use std::collections::BTreeMap;

/// One step of a module's schema. Steps are never edited once released, only added.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The module that owns the tables, such as `iot`.
    pub module: &'static str,
    /// 1, 2, 3 … within the module.
    pub number: i64,
    /// What the step does, in a few words.
    pub name: &'static str,
    /// One or more statements.
    pub sql: &'static str,
}

pub(crate) const SCHEMA_TABLE: &str = "CREATE TABLE IF NOT EXISTS store_schema (
    module TEXT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL
)";

impl Store {
    /// Brings every module's tables to the newest step in `migrations`, as a whole or not at all.
    /// Steps of several modules may be mixed, those of one module must ascend from 1. Nothing is
    /// written when nothing is missing.
    pub async fn migrate(&self, migrations: &[Migration]) -> Result<(), StoreError> {
        let known = check_order(migrations)?;
        let mut tx = self.read().await?;
        let mut reached: BTreeMap<String, i64> = BTreeMap::new();
        for row in tx
            .all("SELECT module, number FROM store_schema", &[])
            .await?
        {
            reached.insert(row.text("module")?, row.int("number")?);
        }
        drop(tx);
        for (module, known) in known {
            if let Some(found) = reached.get(module).filter(|found| **found > known) {
                return Err(StoreError::NewerSchema {
                    module: module.to_owned(),
                    found: *found,
                    known,
                });
            }
        }
        let missing: Vec<&Migration> = migrations
            .iter()
            .filter(|step| reached.get(step.module).copied().unwrap_or(0) < step.number)
            .collect();
        if missing.is_empty() {
            return Ok(());
        }
        let mut tx = self.begin().await?;
        for step in missing {
            apply(&mut tx, step).await?;
        }
        tx.commit().await
    }
}

async fn apply(tx: &mut Tx, step: &Migration) -> Result<(), StoreError> {
    let Migration {
        module,
        number,
        name,
        sql,
    } = *step;
    tx.script(sql).await.map_err(|source| StoreError::Migrate {
        module,
        number,
        name,
        source,
    })?;
    tx.execute(
        "INSERT INTO store_schema (module, number) VALUES ($1, $2)
         ON CONFLICT (module) DO UPDATE SET number = excluded.number",
        &[Value::from(module), Value::from(number)],
    )
    .await?;
    tracing::debug!(module, number, name, "migrated");
    Ok(())
}

/// The highest step of each module.
fn check_order(migrations: &[Migration]) -> Result<BTreeMap<&'static str, i64>, StoreError> {
    let mut known = BTreeMap::new();
    for migration in migrations {
        let reached = known.entry(migration.module).or_insert(0);
        if migration.number != *reached + 1 {
            return Err(StoreError::MigrationOrder {
                module: migration.module,
                number: migration.number,
                name: migration.name,
            });
        }
        *reached = migration.number;
    }
    Ok(known)
}
