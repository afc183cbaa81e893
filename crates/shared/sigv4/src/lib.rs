//! Sign and verify Signature Version 4, header and presigned.
