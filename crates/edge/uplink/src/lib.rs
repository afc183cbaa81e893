//! MQTT client and spooler, jobs and shadow listeners, data-plane client, fleet status.

pub mod credentials;
pub mod data_plane;
pub mod deployments;
pub mod fleet_status;
pub mod jobs;
pub mod mqtt;
pub mod s3;
pub mod shadow_deployments;
pub mod spooler;
