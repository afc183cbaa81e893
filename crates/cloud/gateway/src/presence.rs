//! Presence and subscription events: to the service, and to `$aws/events/…`.

use crate::hub::broker_message;
use crate::ports::PresenceEvent;
use crate::publisher::ServiceMessage;
use crate::tenant::TenantBroker;
use serde_json::{Value, json};
use sward_mqtt::broker::Publication;

/// Publishes `$aws/events/presence/…`. Client ids with `/` have no event topic.
pub(crate) fn publish(broker: &TenantBroker, event: &PresenceEvent, client_initiated: bool) {
    let client_id = &*event.origin.client_id;
    let kind = match event.disconnected {
        None => "connected",
        Some(_) => "disconnected",
    };
    let mut body = json!({
        "clientId": client_id,
        "timestamp": event.timestamp_ms,
        "eventType": kind,
        "sessionIdentifier": format!("{:016x}", event.origin.connection),
        "principalIdentifier": event.certificate_id.as_str(),
        "ipAddress": event.address.to_string(),
        "versionNumber": event.origin.connection & 0xf_ffff,
    });
    if let Some(reason) = event.disconnected {
        body["clientInitiatedDisconnect"] = client_initiated.into();
        body["disconnectReason"] = reason.as_str().into();
    }
    send(
        broker,
        &format!("$aws/events/presence/{kind}/{client_id}"),
        client_id,
        &body,
        event.timestamp_ms,
    );
}

/// Publishes `$aws/events/subscriptions/…`.
pub(crate) fn publish_subscriptions(
    broker: &TenantBroker,
    client_id: &str,
    connection: u64,
    certificate_id: &str,
    kind: &str,
    topics: &[String],
    now: u64,
) {
    if topics.is_empty() {
        return;
    }
    let body = json!({
        "clientId": client_id,
        "timestamp": now,
        "eventType": kind,
        "sessionIdentifier": format!("{connection:016x}"),
        "principalIdentifier": certificate_id,
        "topics": topics,
    });
    send(
        broker,
        &format!("$aws/events/subscriptions/{kind}/{client_id}"),
        client_id,
        &body,
        now,
    );
}

fn send(broker: &TenantBroker, topic: &str, client_id: &str, body: &Value, now: u64) {
    if client_id.contains('/') {
        return;
    }
    let message = broker_message(ServiceMessage::new(topic, body.to_string()), now);
    broker.with(|broker| {
        broker.publish(Publication {
            message,
            from: None,
            also_to: None,
        })
    });
}
