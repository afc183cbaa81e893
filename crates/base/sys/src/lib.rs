//! What the operating system offers and safe Rust does not wrap: processes, users, memory, descriptors.
//!
//! The only crate that may hold unsafe code. Each block states why it is sound and has a test;
//! whatever `rustix` offers safely is used from there.
//!
//! This crate never decides policy: whom to kill and which user to become is the caller's choice.
//!
//! Invariants:
//! - Between `fork` and `exec` only async-signal-safe system calls run; everything they need
//!   (ids, groups) was looked up and allocated before.
//! - A process is named by [`ProcessId`], pid and start time together, so that a reused pid is
//!   never mistaken for the process it replaced.
//!
//! Read first: [`ProcessId`], [`ProcessTable`], [`User`], [`command::isolate`].

pub mod command;
mod descriptors;
mod error;
mod lock;
mod memory;
mod process;
mod stray;
mod table;
mod users;

pub use descriptors::raise_open_files;
pub use error::SystemError;
pub use lock::{FileLock, set_umask};
pub use memory::{limit_arenas, trim_memory};
pub use process::{
    PidFd, ProcessId, Signal, boot_id, is_root, own_group_id, own_user_id, signal_group,
    signal_process,
};
pub use stray::{become_subreaper, reap_strays};
pub use table::{ProcessEntry, ProcessTable};
pub use users::{Group, User, UserDatabase};
