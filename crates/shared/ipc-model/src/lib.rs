//! All Greengrass IPC operations and shapes, one file per service area.
