//! The tables of the object store. Bucket names are unique over all accounts, as in AWS.

use sward_store::Migration;

/// The schema steps of this crate.
pub const MIGRATIONS: &[Migration] = &[Migration {
    module: "objects",
    number: 1,
    name: "buckets, objects, uploads",
    sql: "
    CREATE TABLE s3_bucket (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        name TEXT NOT NULL PRIMARY KEY,
        tags TEXT,
        versioning TEXT,
        created_ms BIGINT NOT NULL
    );
    CREATE TABLE s3_object (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        blob TEXT NOT NULL,
        size BIGINT NOT NULL,
        etag TEXT NOT NULL,
        sha256 TEXT NOT NULL,
        attributes TEXT NOT NULL,
        tags TEXT,
        modified_ms BIGINT NOT NULL,
        PRIMARY KEY (bucket, key)
    );
    CREATE INDEX s3_object_blob ON s3_object (blob);
    CREATE TABLE s3_upload (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        id TEXT NOT NULL PRIMARY KEY,
        bucket TEXT NOT NULL,
        key TEXT NOT NULL,
        attributes TEXT NOT NULL,
        tags TEXT,
        algorithm TEXT,
        started_ms BIGINT NOT NULL
    );
    CREATE TABLE s3_part (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        upload TEXT NOT NULL,
        number BIGINT NOT NULL,
        blob TEXT NOT NULL,
        size BIGINT NOT NULL,
        etag TEXT NOT NULL,
        checksum TEXT,
        modified_ms BIGINT NOT NULL,
        PRIMARY KEY (upload, number)
    );
    CREATE INDEX s3_part_blob ON s3_part (blob);
    CREATE TABLE s3_garbage (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        blob TEXT NOT NULL PRIMARY KEY
    );
    ",
}];
