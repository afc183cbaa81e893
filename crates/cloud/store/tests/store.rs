//! The promises of the store, each by a use that would break without it.

use std::path::Path;
use sward_diagnosis::{Diagnose as _, Kind};
use sward_store::{Migration, Store, StoreError, StoreOptions, Value};

const FIRST: Migration = Migration {
    module: "test",
    number: 1,
    name: "a table",
    sql: "CREATE TABLE item (account TEXT NOT NULL, region TEXT NOT NULL, name TEXT NOT NULL,
            number BIGINT, share DOUBLE PRECISION, bytes BLOB, PRIMARY KEY (account, region, name));
          CREATE INDEX item_number ON item (number)",
};
const SECOND: Migration = Migration {
    module: "test",
    number: 2,
    name: "a column",
    sql: "ALTER TABLE item ADD COLUMN more TEXT",
};

async fn open(directory: &Path) -> Store {
    Store::open(StoreOptions::new(directory))
        .await
        .expect("opens")
}

async fn insert(store: &Store, name: &str, commit: bool) -> Result<(), StoreError> {
    let mut tx = store.begin().await?;
    tx.execute(
        "INSERT INTO item (account, region, name, number) VALUES ('a', 'r', $1, $2)",
        &[name.into(), 7.into()],
    )
    .await?;
    if commit {
        tx.commit().await?;
    }
    Ok(())
}

async fn names(store: &Store) -> Vec<String> {
    let mut tx = store.read().await.expect("reads");
    let rows = tx.all("SELECT name FROM item ORDER BY name", &[]).await;
    rows.expect("answered")
        .iter()
        .map(|row| row.text("name").expect("text"))
        .collect()
}

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    store.migrate(&[FIRST]).await.expect("migrates");
    let mut tx = store.begin().await.expect("begins");
    let values = [
        Value::from("ä\0"),
        Value::from(i64::MIN),
        Value::from(0.5),
        Value::from(vec![0_u8, 255]),
    ];
    let count = tx
        .execute(
            "INSERT INTO item (account, region, name, number, share, bytes)
             VALUES ('a', 'r', $1, $2, $3, $4)",
            &values,
        )
        .await
        .expect("inserts");
    assert_eq!(count, 1);
    let sql = "SELECT * FROM item WHERE number = $2 AND name = $1";
    let row = tx
        .optional(sql, &values[..2])
        .await
        .expect("answered")
        .expect("there");
    assert_eq!(row.text("name").expect("text"), "ä\0");
    assert_eq!(row.int("number").expect("integer"), i64::MIN);
    assert_eq!(row.real("share").expect("real"), 0.5);
    assert_eq!(row.blob("bytes").expect("blob"), [0, 255]);
    tx.execute("UPDATE item SET bytes = $1", &[Value::from(None::<String>)])
        .await
        .expect("updates");
    let row = tx
        .optional(sql, &values[..2])
        .await
        .expect("answered")
        .expect("there");
    assert_eq!(row.opt_blob("bytes").expect("null"), None);
    for error in [
        row.blob("bytes").map(drop),
        row.int("name").map(drop),
        row.int("nothing").map(drop),
    ] {
        assert!(matches!(error, Err(StoreError::Column { .. })), "{error:?}");
    }
}

#[tokio::test]
async fn only_commits_leave_a_trace() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    store.migrate(&[FIRST]).await.expect("migrates");
    insert(&store, "kept", true).await.expect("inserted");
    insert(&store, "dropped", false).await.expect("inserted");
    assert_eq!(names(&store).await, ["kept"]);
    let error = insert(&store, "kept", true)
        .await
        .expect_err("a second one");
    assert!(error.is_unique_violation(), "{error:?}");
    assert_eq!(error.kind(), Kind::Conflict);
    let mut reader = store.read().await.expect("reads");
    assert!(reader.execute("DELETE FROM item", &[]).await.is_err());
    assert_eq!(names(&store).await, ["kept"]);
}

#[tokio::test]
async fn a_reader_sees_one_moment_beside_a_writer() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    store.migrate(&[FIRST]).await.expect("migrates");
    let mut reader = store.read().await.expect("reads");
    let sql = "SELECT name FROM item";
    assert!(reader.all(sql, &[]).await.expect("answered").is_empty());
    insert(&store, "later", true).await.expect("inserted");
    assert!(reader.all(sql, &[]).await.expect("answered").is_empty());
    assert_eq!(names(&store).await, ["later"]);
}

#[tokio::test]
async fn a_directory_has_one_process_and_a_schema_that_is_known() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    store.migrate(&[FIRST, SECOND]).await.expect("migrates");
    store
        .migrate(&[FIRST, SECOND])
        .await
        .expect("and has nothing to do");
    insert(&store, "kept", true).await.expect("inserted");
    let second = Store::open(StoreOptions::new(directory.path())).await;
    assert!(
        matches!(second, Err(StoreError::Locked { .. })),
        "{second:?}"
    );
    store.close().await;
    drop(store);
    let store = open(directory.path()).await;
    assert_eq!(names(&store).await, ["kept"]);
    let error = store.migrate(&[FIRST]).await.expect_err("an older program");
    assert!(
        matches!(
            error,
            StoreError::NewerSchema {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{error:?}"
    );
    let error = store.migrate(&[SECOND]).await.expect_err("no first step");
    assert!(
        matches!(error, StoreError::MigrationOrder { .. }),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_failed_step_leaves_the_schema_before_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    let broken = Migration {
        sql: "CREATE TABLE half (name TEXT); CREATE TABLE nonsense (",
        ..FIRST
    };
    let error = store.migrate(&[broken]).await.expect_err("broken");
    assert!(
        matches!(error, StoreError::Migrate { number: 1, .. }),
        "{error:?}"
    );
    store.migrate(&[FIRST]).await.expect("the right one");
    let mut tx = store.read().await.expect("reads");
    assert!(tx.all("SELECT * FROM half", &[]).await.is_err());
}

#[tokio::test]
async fn the_outbox_wakes_after_the_commit_and_keeps_its_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    let mut signal = store.outbox_signal();
    let mut tx = store.begin().await.expect("begins");
    tx.outbox("shadow", "1").await.expect("added");
    tx.outbox("job", "2").await.expect("added");
    assert!(!signal.has_changed().expect("open"));
    tx.commit().await.expect("committed");
    signal.changed().await.expect("woken");
    let mut tx = store.begin().await.expect("begins");
    let rows = tx.outbox_pending(10).await.expect("read");
    let shown: Vec<_> = rows
        .iter()
        .map(|row| (row.kind.as_str(), row.payload.as_str()))
        .collect();
    assert_eq!(shown, [("shadow", "1"), ("job", "2")]);
    tx.outbox_done(rows[0].id).await.expect("removed");
    tx.commit().await.expect("committed");
    let mut tx = store.read().await.expect("reads");
    assert_eq!(tx.outbox_pending(10).await.expect("read").len(), 1);
}

#[tokio::test]
async fn a_backup_is_a_whole_store() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = tempfile::tempdir().expect("a directory");
    let store = open(directory.path()).await;
    store.migrate(&[FIRST]).await.expect("migrates");
    insert(&store, "kept", true).await.expect("inserted");
    store
        .backup(&copy.path().join("sward.db"))
        .await
        .expect("copied");
    assert_eq!(names(&open(copy.path()).await).await, ["kept"]);
}

#[tokio::test]
async fn the_database_is_private_in_a_directory_that_others_may_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = tempfile::tempdir().expect("a directory");
    let mode = |name: &str| {
        let path = directory.path().join(name);
        let found = std::fs::metadata(&path).expect("there").permissions();
        found.mode() & 0o777
    };
    let public = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(directory.path(), public.clone()).expect("set");
    // Made by an older program.
    std::fs::write(directory.path().join("sward.db"), b"").expect("written");
    std::fs::set_permissions(directory.path().join("sward.db"), public).expect("set");
    let store = Store::open(StoreOptions::new(directory.path()))
        .await
        .expect("opens");
    assert_eq!(mode("sward.db"), 0o600);
    assert_eq!(mode("sward.db-wal"), 0o600);
    store.close().await;
}
