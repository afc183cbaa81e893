//! Request and response types of the AWS APIs that both a client and a server of ours need, and
//! the neutral form of an API call ([`api`]) that the cloud's dispatcher and its services share.
//!
//! This crate never opens a socket and holds no rule of any service.
//!
//! Invariants:
//! - Member names are AWS's wire names, spelled once, here.
//! - An [`api::ApiError`] always carries an AWS error code, its HTTP status and a message.
//!
//! Read first: [`api::ApiRequest`], [`api::ApiResponse`], [`api::ApiError`].

pub mod api;
pub mod xml;
