//! The S3 endpoint: blobs in a directory, metadata in SQL.
