//! Device document, statuses, error codes, configuration merge and reset, planning.
