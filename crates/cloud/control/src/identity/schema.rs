//! The tables of identity.

use sward_store::Migration;

/// The region in every row: IAM is global.
pub(super) const GLOBAL: &str = "aws-global";

/// The schema steps of this module.
pub const MIGRATIONS: &[Migration] = &[Migration {
    module: "identity",
    number: 1,
    name: "access keys, roles, policies",
    sql: "
    CREATE TABLE identity_secret (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        name TEXT NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (account, region, name)
    );
    CREATE TABLE identity_access_key (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        access_key_id TEXT NOT NULL PRIMARY KEY,
        secret TEXT NOT NULL,
        owner_arn TEXT NOT NULL,
        created_ms BIGINT NOT NULL
    );
    CREATE TABLE identity_role (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        name TEXT NOT NULL,
        path TEXT NOT NULL,
        role_id TEXT NOT NULL,
        trust TEXT NOT NULL,
        description TEXT,
        max_session_seconds BIGINT NOT NULL,
        created_ms BIGINT NOT NULL,
        PRIMARY KEY (account, region, name)
    );
    CREATE TABLE identity_policy (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        name TEXT NOT NULL,
        path TEXT NOT NULL,
        policy_id TEXT NOT NULL,
        document TEXT NOT NULL,
        description TEXT,
        created_ms BIGINT NOT NULL,
        PRIMARY KEY (account, region, name)
    );
    CREATE TABLE identity_attached (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        role TEXT NOT NULL,
        policy TEXT NOT NULL,
        PRIMARY KEY (account, region, role, policy)
    );
    CREATE INDEX identity_attached_policy ON identity_attached (account, region, policy);
    CREATE TABLE identity_inline (
        account TEXT NOT NULL,
        region TEXT NOT NULL,
        role TEXT NOT NULL,
        name TEXT NOT NULL,
        document TEXT NOT NULL,
        PRIMARY KEY (account, region, role, name)
    );
    ",
}];
