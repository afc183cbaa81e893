//! Append-only checksummed segments behind a small file-system trait.
