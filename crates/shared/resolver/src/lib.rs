//! One version for every component, or the reason why there is none.
//!
//! [`Resolver`] is a stepper without IO: it asks one [`Query`] at a time ("which version of this
//! component satisfies all these requirements?"), is told one [`Candidate`], and ends with a
//! [`Resolution`] or a [`ResolveError`]. Whoever drives it asks the local store and the cloud.
//!
//! It takes what AWS's nucleus would take: of each component the one version that the answering
//! side prefers under all requirements known so far; when a requirement is added or falls away, it
//! asks again. It does not search for combinations in which a component gets a lower version than
//! it could have, because the cloud answers with one candidate and the nucleus does not either.
//!
//! This crate never knows where versions come from, reads nothing and keeps no clock.
//!
//! Invariants:
//! - A resolution satisfies every requirement of every component in it, contains every dependency
//!   of each, and nothing that no root needs.
//! - The result depends on the roots and the answers only, not on the order of the roots.
//! - It ends: a component that is asked for too often is an error, never a loop.
//!
//! Read first: [`Resolver`], [`Step`], [`ResolveError`].

mod error;
mod graph;
mod stepper;

pub use error::ResolveError;
pub use stepper::{
    Candidate, Dependency, DependencyKind, Query, Resolution, ResolvedComponent, Resolver, Step,
    no_version,
};
