//! Wiring and the sward-core binary.
