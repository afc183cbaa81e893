//! Provided components that run inside the core.
//!
//! Each is a module with a port for what it needs of the rest; the wiring connects them. They
//! hold no durable state of their own and never import other parts of the edge.
//!
//! Read first: [`token_exchange`].

pub mod token_exchange;
