//! What is left of a batch of session changes once the later ones undo the earlier ones.
//!
//! A QoS 1 message that is queued and acknowledged within one batch never touches the disk.

use std::collections::HashMap;
use sward_gateway::ports::{Change, Tenant};

/// Which row a change is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    Session(String),
    Subscription(String, String),
    Message(String, u64),
    Retained(String),
}

fn key(change: &Change) -> Key {
    match change {
        Change::Session { client_id, .. } | Change::SessionGone { client_id } => {
            Key::Session(client_id.clone())
        }
        Change::Subscription {
            client_id, filter, ..
        }
        | Change::SubscriptionGone { client_id, filter } => {
            Key::Subscription(client_id.clone(), filter.clone())
        }
        Change::Queued {
            client_id,
            sequence,
            ..
        }
        | Change::Delivered {
            client_id,
            sequence,
        } => Key::Message(client_id.clone(), *sequence),
        Change::Retained { topic, .. } | Change::RetainedGone { topic } => {
            Key::Retained(topic.clone())
        }
    }
}

fn client(change: &Change) -> Option<&str> {
    match change {
        Change::Session { client_id, .. }
        | Change::SessionGone { client_id }
        | Change::Subscription { client_id, .. }
        | Change::SubscriptionGone { client_id, .. }
        | Change::Queued { client_id, .. }
        | Change::Delivered { client_id, .. } => Some(client_id),
        Change::Retained { .. } | Change::RetainedGone { .. } => None,
    }
}

/// The changes that still matter, in their order.
pub(super) fn coalesce(changes: Vec<(Tenant, Change)>) -> Vec<(Tenant, Change)> {
    let mut kept: Vec<Option<(Tenant, Change)>> = Vec::with_capacity(changes.len());
    let mut places: HashMap<(Tenant, Key), usize> = HashMap::with_capacity(changes.len());
    for (tenant, change) in changes {
        if let Change::SessionGone { client_id } = &change {
            // All that came before of this client goes with its session.
            for place in &mut kept {
                let same = place.as_ref().is_some_and(|(other, earlier)| {
                    *other == tenant && client(earlier) == Some(client_id)
                });
                if same {
                    *place = None;
                }
            }
            places.insert((tenant.clone(), key(&change)), kept.len());
            kept.push(Some((tenant, change)));
            continue;
        }
        let place = (tenant.clone(), key(&change));
        let before = places
            .insert(place.clone(), kept.len())
            .and_then(|index| kept[index].take());
        match (before, &change) {
            // A sequence is used once: queued in this batch, it was never on disk.
            (Some((_, Change::Queued { .. })), Change::Delivered { .. }) => {
                places.remove(&place);
            }
            // The end of the old session must still be said before the new one begins.
            (Some((_, gone @ Change::SessionGone { .. })), _) => {
                kept.push(Some((tenant.clone(), gone)));
                places.insert(place, kept.len());
                kept.push(Some((tenant, change)));
            }
            _ => kept.push(Some((tenant, change))),
        }
    }
    kept.into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    fn session(client: &str) -> Change {
        Change::Session {
            client_id: client.to_owned(),
            record: Bytes::new(),
        }
    }

    fn gone(client: &str) -> Change {
        Change::SessionGone {
            client_id: client.to_owned(),
        }
    }

    fn queued(client: &str, sequence: u64) -> Change {
        Change::Queued {
            client_id: client.to_owned(),
            sequence,
            record: Bytes::new(),
        }
    }

    fn delivered(client: &str, sequence: u64) -> Change {
        Change::Delivered {
            client_id: client.to_owned(),
            sequence,
        }
    }

    #[test]
    fn later_changes_undo_earlier_ones() {
        fn check(changes: Vec<Change>, expected: Vec<Change>) {
            let tenant = Tenant::default();
            let with_tenant = |changes: Vec<Change>| {
                changes
                    .into_iter()
                    .map(|change| (tenant.clone(), change))
                    .collect::<Vec<_>>()
            };
            assert_eq!(coalesce(with_tenant(changes)), with_tenant(expected));
        }
        check(
            vec![queued("a", 1), queued("a", 2), delivered("a", 1)],
            vec![queued("a", 2)],
        );
        check(vec![delivered("a", 1)], vec![delivered("a", 1)]);
        check(
            vec![session("a"), queued("a", 1), gone("a"), queued("b", 1)],
            vec![gone("a"), queued("b", 1)],
        );
        check(
            vec![session("a"), gone("a"), session("a"), session("a")],
            vec![gone("a"), session("a")],
        );
        check(
            vec![gone("a"), session("a"), queued("a", 1)],
            vec![gone("a"), session("a"), queued("a", 1)],
        );
        let retained = |text: &'static str| Change::Retained {
            topic: "t".to_owned(),
            record: Bytes::from_static(text.as_bytes()),
        };
        check(vec![retained("1"), retained("2")], vec![retained("2")]);
    }
}
