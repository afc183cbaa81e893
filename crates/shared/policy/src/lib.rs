//! Who may do what: IAM and AWS IoT policy documents, Greengrass `accessControl`, topic rules.
//!
//! Three kinds of document share one idea, "a principal may perform an action on a resource",
//! and each has its own module, because wildcards and failure modes differ:
//!
//! | Module | Judges | Wildcards |
//! |---|---|---|
//! | [`iot`] | MQTT and data-plane calls of a certificate | `*` (also over `/`), `?`, `${…}` variables |
//! | [`iam`] | API calls of access keys and role sessions, role trust | the same, with IAM's condition keys |
//! | [`access_control`] | IPC calls of a component | `*`; for the MQTT proxy also `+` and `#` |
//! | [`topic`] | nothing; says which topics and filters are valid and which match | `+`, `#` |
//!
//! Never does IO, reads a clock or remembers a caller. A document is parsed once, compiled once
//! into a set, and bound once per connection; after that a decision allocates nothing.
//!
//! Invariants:
//! - Nothing is allowed by absence: an unknown variable, an unknown condition operator or an
//!   empty list never turns into an allow.
//! - An explicit deny wins over every allow.
//! - Parsing never panics and never recurses deeper than the document's fixed shape.
//!
//! Read first: [`iot::PolicySet`], [`iot::BoundPolicies`], [`Decision`],
//! [`access_control::AccessControl`].

pub mod access_control;
mod condition;
mod decision;
mod error;
pub mod iam;
pub mod iot;
mod pattern;
mod statement;
pub mod topic;

pub use decision::{Decision, Effect};
pub use error::PolicyError;
