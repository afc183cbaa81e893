//! Pool, transaction, outbox, migrations. No queries.
