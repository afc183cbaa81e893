//! HTTP/1.1: a client with deadlines and a small pool, and the glue that serves a handler.

mod body;
mod client;
mod error;
mod server;
mod taken;

pub use body::{Body, BodyError, channel, collect, empty, full};
pub use client::{Client, ClientOptions};
pub use error::HttpError;
pub use server::{
    Handler, HandlerFn, IncomingRequest, Peer, ServeOptions, serve, serve_connection, serve_tls,
};

pub use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};

#[cfg(test)]
mod tests;
