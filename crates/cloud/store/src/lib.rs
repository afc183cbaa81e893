//! Where the cloud keeps its state: one database, one writer, snapshots for readers.
//!
//! This crate owns the data directory's lock, the pool, transactions, migrations and the outbox.
//! It never contains a query of a service: each module of the control plane brings its own tables
//! as a list of [`Migration`] and speaks portable SQL (`$1` placeholders; TEXT, BIGINT, BLOB and
//! DOUBLE PRECISION columns), so that a PostgreSQL pool can take SQLite's place behind the same
//! types.
//!
//! Invariants:
//! - A [`Tx`] from [`Store::begin`] is the only writer; one that is dropped without
//!   [`Tx::commit`] leaves no trace.
//! - When `commit` returns, the change survives kill -9 and power loss (unless the store was opened
//!   as ephemeral).
//! - Two processes never hold one data directory, and a schema newer than the program is refused.
//!
//! Read first: [`Store`], [`Tx`], [`Value`], [`Migration`].

mod error;
mod lock;
mod migration;
mod outbox;
mod store;
mod tx;
mod value;

pub use error::StoreError;
pub use migration::Migration;
pub use outbox::OutboxRow;
pub use store::{Store, StoreOptions};
pub use tx::Tx;
pub use value::{Row, Value};
