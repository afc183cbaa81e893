//! Deployments on the device.

pub mod ports;
