//! Parse, validate, select a manifest, interpolate.
