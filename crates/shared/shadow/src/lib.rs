//! Document merge, delta, versions.
