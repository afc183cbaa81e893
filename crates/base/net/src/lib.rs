//! TLS set-up, HTTP/1.1 client and server glue, and the MQTT driver for both roles.
//!
//! The one place that turns key files into TLS configurations and sockets into protocol events,
//! for edge and cloud alike.
//!
//! It never decides who a peer is: a client certificate is checked for form, validity and proof of
//! its key; which thing it belongs to is the gateway's Directory's business. It never reads a
//! configuration, and trusts no root but those it is given.
//!
//! Invariants:
//! - One TLS provider (ring), named explicitly; TLS 1.2 and 1.3.
//! - Every wait on a peer has a deadline, every buffer a limit.
//! - Everything that runs in the background is spawned through [`sward_task::Tasks`].
//!
//! Read first: [`tls::server_config`], [`tls::client_config`], [`http::Client`], [`http::serve`].

pub mod http;
pub mod mqtt;
pub mod tls;
