//! The broker: sessions, subscriptions, retained messages and wills of one tenant.

mod change;

pub use change::Change;
