//! Load client for the Greengrass IPC of any nucleus.
fn main() {}
