//! Publishes a local message; needs a policy of `aws.greengrass.ipc.pubsub`.
//!
//! This is the one operation on the path of every message. Its request is not parsed into a tree:
//! [`super::publish_payload`] finds topic and message in the text, and the event is written from
//! those pieces.

use super::publish_payload::{self, Body};
use crate::access::Service;
use crate::bus::{EventPayload, Route, check_topic};
use crate::server::Shared;
use crate::tokens::Identity;
use std::collections::HashMap;
use sward_ipc_model::{IpcError, Operation, PublishToTopic};

/// Topics that one connection remembers, and the longest of them: a topic may have megabytes.
const MAX_ROUTES: usize = 256;
const MAX_REMEMBERED_TOPIC: usize = 1024;

/// The verdict and the subscribers of topics that this connection has published to. All of it is
/// void when a policy or a subscription changes.
#[derive(Default)]
pub(crate) struct RouteCache {
    policies: u64,
    bus: u64,
    routes: HashMap<Box<str>, Route>,
    /// Of the last event, kept for its memory.
    frame: Vec<u8>,
}

impl RouteCache {
    fn find(
        &mut self,
        shared: &Shared,
        identity: &Identity,
        topic: &str,
    ) -> Result<Route, IpcError> {
        let (policies, bus) = (shared.policies.generation(), shared.bus.generation());
        if (self.policies, self.bus) != (policies, bus) {
            self.routes.clear();
            (self.policies, self.bus) = (policies, bus);
        }
        if let Some(route) = self.routes.get(topic) {
            return Ok(Route::clone(route));
        }
        shared
            .policies
            .check(identity, Service::PubSub, PublishToTopic::NAME, topic)?;
        check_topic(topic)?;
        if self.routes.len() >= MAX_ROUTES {
            self.routes.clear();
        }
        let route = shared.bus.route(topic);
        if topic.len() <= MAX_REMEMBERED_TOPIC {
            self.routes.insert(topic.into(), Route::clone(&route));
        }
        Ok(route)
    }
}

/// Answers one request.
pub(crate) fn publish(
    shared: &Shared,
    identity: &Identity,
    routes: &mut RouteCache,
    payload: &[u8],
) -> Result<(), IpcError> {
    let publish = publish_payload::scan(payload)?;
    let route = routes.find(shared, identity, &publish.topic)?;
    if route.is_empty() {
        return Ok(());
    }
    let event = match &publish.body {
        Body::Json(object) => EventPayload::json(publish.topic_json, object),
        Body::Binary(base64) => EventPayload::binary(publish.topic_json, base64),
    };
    shared
        .bus
        .deliver(&route, identity.name(), &event, &mut routes.frame);
    Ok(())
}
