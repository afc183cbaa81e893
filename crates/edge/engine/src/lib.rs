//! Configuration store, supervisor, deployer.
