//! The control plane at its border: calls, publishes and certificates go in, answers and
//! publications come out, on a store of its own for each test.

mod certificates;
mod components;
mod data_plane;
mod deployments;
mod fleet;
mod golden;
mod jobs;
mod mutation;
mod registry;
mod restart;
mod shadows;
mod world;
