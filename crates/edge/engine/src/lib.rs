//! The engine of a core device: its configuration, its components and its deployments.
//!
//! - [`configuration`]: the stamped tree on a journal, who set what, watchers, the files of users.
//! - [`supervisor`]: the life of each component and its processes.
//! - [`logs`]: what components print, in the files and formats of Greengrass.
//!
//! This crate never speaks to the network: the cloud, artifacts and resolution come in through
//! traits, IPC through the handles of these modules.
//!
//! Invariants:
//! - What is decided is decided by values (trees, plans, state machines); the async parts around
//!   them move bytes, timers and processes.
//! - After kill -9 at any moment, the next start ends what the last one left running and goes on.
//!
//! Read first: [`configuration::Configuration`], [`supervisor::Supervisor`].

pub mod artifacts;
pub mod component_store;
pub mod configuration;
pub mod deployer;
pub mod logs;
pub mod supervisor;
