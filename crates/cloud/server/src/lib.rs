//! The cloud as one program: listeners, who calls, which service answers, and the wiring between
//! the control plane, the gateway and the object store.
//!
//! ```text
//! API port ── SigV4 ── IAM ── scope service ─┬─ iot, greengrass, iotdata, iot-jobs-data → control
//!                                            ├─ sts, iam                                → identity
//!                                            └─ s3                                      → objects
//! device port ── mTLS ─┬─ MQTT → gateway ── adapters ── control
//!                      └─ HTTPS → control's data plane
//! MQTT port ── mTLS ── gateway
//! ```
//!
//! It holds no rule of any service, and no state but listeners and counters.
//!
//! Invariants:
//! - No request reaches a service before its signature and token, or its certificate, are verified
//!   and its action is allowed (health and metrics apart).
//! - Every answer carries a request id; every error has the form of its service's protocol.
//! - `sward cloud ready` is printed after everything in `endpoints.json` accepts connections.
//!
//! Read first: [`run`], [`CloudOptions`], [`CloudArgs`].

mod adapters;
mod api;
mod args;
mod audit;
mod certificate;
mod device;
mod error;
mod files;
mod listeners;
mod metrics;
mod options;
mod platform;
mod run;

pub use args::CloudArgs;
pub use error::StartError;
pub use options::CloudOptions;
pub use run::{run, run_cli};
