//! The ports of one part, implemented over another: parts of the cloud never import each other.

mod artifacts;
mod coalesce;
mod directory;
mod presence;
mod publisher;
mod reserved;
mod sessions;

pub(crate) use artifacts::ObjectArtifacts;
pub(crate) use directory::ControlDirectory;
pub(crate) use presence::LoggedPresence;
pub(crate) use publisher::HubPublisher;
pub(crate) use reserved::ControlTopics;
pub(crate) use sessions::StoredSessions;
