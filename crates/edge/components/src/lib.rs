//! Provided components behind one registry.
