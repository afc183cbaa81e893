//! Device shadows: document merge, delta, versions, metadata, and the answers of the service.
//!
//! The cloud's shadow service and the edge's shadow manager both stand on this. A [`Slot`] is
//! what is stored for one shadow name; [`handle`] takes a request and gives the next slot and the
//! messages to publish. [`topic`] names and recognises the MQTT topics.
//!
//! Never does IO, reads a clock or stores anything.
//!
//! Invariants:
//! - The version of a slot grows by one with every accepted update or delete and never goes back
//!   while the slot is kept (AWS keeps deleted ones for 48 hours, and so does [`Slot`]).
//! - A stored section holds no null, and its metadata has a timestamp for exactly its leaves.
//! - A rejected request changes nothing.
//! - `delta` is what `desired` has that `reported` lacks or has otherwise; keys only in
//!   `reported` are never part of it.
//!
//! Read first: [`handle`], [`Slot`], [`Outcome`], [`Rejection`].

mod document;
mod handle;
mod merge;
mod request;
pub mod topic;

pub use document::{Section, Shadow, Slot};
pub use handle::{Outcome, Publication, Suffix, handle};
pub use request::{Limits, Rejection};
pub use topic::Operation;
