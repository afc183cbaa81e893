//! A client of the Greengrass IPC socket, for components, the CLI and tests.
//!
//! It connects with a token, calls operations and receives events, typed by `sward-ipc-model`. It
//! speaks to any nucleus: nothing of Sward's own is used. It never reconnects by itself; a lost
//! connection ends every call and subscription with an error.
//!
//! Invariants:
//! - One task owns the socket; a [`Client`] is a cloneable handle to it.
//! - Answers of one stream keep their order. A subscriber that does not take its events makes the
//!   whole connection wait, it never loses them.
//!
//! Read first: [`Client`], [`Subscription`].

mod client;
mod connection;
mod error;
mod socket;

pub use client::{Client, Subscription};
pub use error::ClientError;
pub use socket::open as open_socket;
