//! Iot, identity, greengrass, jobs, shadows: one module each, each owning its tables.
