//! The IPC server's ports, implemented over engine and uplink: each file is one port, and says
//! what a request of a component means for the rest of the core.

mod components;
mod configuration;
mod deployments;
mod iot_core;
mod lifecycle;

pub(crate) use components::Components;
pub(crate) use configuration::Configurations;
pub(crate) use deployments::Deployments;
pub(crate) use iot_core::IotCore;
pub(crate) use lifecycle::Lifecycle;

use sward_diagnosis::{Diagnose, Kind};
use sward_ipc_model::{ErrorName, IpcError};

/// An engine's or uplink's error as a component sees it.
fn ipc_error<E: Diagnose>(error: &E) -> IpcError {
    let report = sward_diagnosis::Report::of(error);
    let name = match report.kind {
        Kind::Invalid | Kind::TooLarge => ErrorName::InvalidArgumentsError,
        Kind::NotFound => ErrorName::ResourceNotFoundError,
        Kind::Denied | Kind::Unauthenticated => ErrorName::UnauthorizedError,
        _ => ErrorName::ServiceError,
    };
    IpcError::new(name, report.one_line())
}
