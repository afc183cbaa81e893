//! An IPC client for components, CLI, tests and benchmarks.
