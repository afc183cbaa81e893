//! One request against one shadow: the next slot and the messages that follow.

use crate::document::{Change, Shadow, Slot};
use crate::merge::stamped;
use crate::request::{Envelope, Limits, Rejection};
use crate::topic::Operation;
use serde_json::{Map, Value, json};

/// Which reply or notification a message is; see [`crate::topic::ShadowName::topic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Suffix {
    /// The request was taken.
    Accepted,
    /// It was not.
    Rejected,
    /// After an update: `desired` differs from `reported`.
    Delta,
    /// After an update: the documents before and after.
    Documents,
}

/// A message the service publishes because of the request.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    pub suffix: Suffix,
    pub body: Value,
}

/// What a request leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// What to store now; `None` leaves the stored slot as it is.
    pub slot: Option<Slot>,
    /// The messages, in the order AWS sends them; the first is the answer.
    pub publications: Vec<Publication>,
    /// Why the request was refused.
    pub rejection: Option<Rejection>,
}

impl Outcome {
    /// The answer: the body of `…/accepted` or `…/rejected`, and of the HTTP reply.
    #[must_use]
    pub fn answer(&self) -> &Value {
        const NOTHING: &Value = &Value::Null;
        self.publications.first().map_or(NOTHING, |p| &p.body)
    }
}

/// Handles one request.
///
/// `slot` is what is stored under the name, if anything; `name` is the shadow's name for messages
/// (the thing's for the classic shadow); `now` is in epoch seconds.
#[must_use]
pub fn handle(
    operation: Operation,
    slot: Option<&Slot>,
    name: &str,
    payload: &[u8],
    now: u64,
    limits: &Limits,
) -> Outcome {
    let may_be_empty = operation != Operation::Update;
    let envelope = match Envelope::read(payload, may_be_empty, limits) {
        Ok(envelope) => envelope,
        Err(rejection) => return rejected(rejection, now, None),
    };
    let slot = slot.filter(|slot| !slot.is_forgotten(now));
    let missing = || Rejection::NotFound {
        name: name.to_owned(),
    };
    let outcome = match operation {
        Operation::Get => get(slot, &envelope, now).ok_or_else(missing),
        Operation::Delete => delete(slot, &envelope, now).unwrap_or_else(|| Err(missing())),
        Operation::Update => update(slot, &envelope, now, limits),
    };
    outcome.unwrap_or_else(|rejection| rejected(rejection, now, envelope.client_token.as_deref()))
}

fn rejected(rejection: Rejection, now: u64, client_token: Option<&str>) -> Outcome {
    Outcome {
        slot: None,
        publications: vec![Publication {
            suffix: Suffix::Rejected,
            body: rejection.to_json(now, client_token),
        }],
        rejection: Some(rejection),
    }
}

fn publication(suffix: Suffix, mut body: Map<String, Value>, envelope: &Envelope) -> Publication {
    if let Some(token) = &envelope.client_token {
        body.insert("clientToken".into(), token.as_str().into());
    }
    Publication {
        suffix,
        body: Value::Object(body),
    }
}

fn get(slot: Option<&Slot>, envelope: &Envelope, now: u64) -> Option<Outcome> {
    let body = slot?.shadow()?.to_get_json(now);
    Some(Outcome {
        slot: None,
        publications: vec![publication(Suffix::Accepted, body, envelope)],
        rejection: None,
    })
}

fn delete(
    slot: Option<&Slot>,
    envelope: &Envelope,
    now: u64,
) -> Option<Result<Outcome, Rejection>> {
    let version = slot?.shadow()?.version;
    match envelope.version() {
        Err(rejection) => return Some(Err(rejection)),
        Ok(Some(wanted)) if wanted != version => return Some(Err(Rejection::VersionConflict)),
        Ok(_) => {}
    }
    let mut body = Map::new();
    body.insert("version".into(), version.into());
    body.insert("timestamp".into(), now.into());
    Some(Ok(Outcome {
        slot: Some(Slot::Deleted {
            version: version + 1,
            deleted_at: now,
        }),
        publications: vec![publication(Suffix::Accepted, body, envelope)],
        rejection: None,
    }))
}

fn check_version(
    wanted: Option<u64>,
    existing: Option<&Shadow>,
    limits: &Limits,
) -> Result<(), Rejection> {
    match (wanted, existing) {
        (None, _) => Ok(()),
        (Some(wanted), Some(shadow)) if wanted == shadow.version => Ok(()),
        (Some(_), Some(_)) => Err(Rejection::VersionConflict),
        (Some(1), None) => Ok(()),
        (Some(0), None) if limits.zero_means_new => Ok(()),
        (Some(_), None) if limits.zero_means_new => Err(Rejection::VersionConflict),
        (Some(_), None) => Err(Rejection::InvalidVersion),
    }
}

fn update(
    slot: Option<&Slot>,
    envelope: &Envelope,
    now: u64,
    limits: &Limits,
) -> Result<Outcome, Rejection> {
    let changes = envelope.changes(limits)?;
    let existing = slot.and_then(Slot::shadow);
    check_version(envelope.version()?, existing, limits)?;
    let mut shadow = existing.cloned().unwrap_or_default();
    if let Some(Slot::Deleted { version, .. }) = slot {
        shadow.version = *version;
    }
    for (section, change) in &changes {
        shadow.apply(*section, change, now);
    }
    if shadow.size() > limits.max_document {
        return Err(Rejection::TooLarge {
            limit: limits.max_document,
        });
    }
    shadow.version += 1;
    shadow.timestamp = now;

    let mut publications = vec![publication(
        Suffix::Accepted,
        accepted(envelope, shadow.version, now),
        envelope,
    )];
    if let Some(delta) = shadow.to_delta_json(now) {
        publications.push(publication(Suffix::Delta, delta, envelope));
    }
    let documents = Map::from_iter([
        (
            "previous".to_owned(),
            existing.map_or(Value::Null, Shadow::to_json),
        ),
        ("current".to_owned(), shadow.to_json()),
        ("timestamp".to_owned(), json!(now)),
    ]);
    publications.push(publication(Suffix::Documents, documents, envelope));
    debug_assert!(changes.iter().all(|(section, change)| {
        matches!(change, Change::Merge(_)) || shadow.section(*section).is_none()
    }));
    Ok(Outcome {
        slot: Some(Slot::Present(shadow)),
        publications,
        rejection: None,
    })
}

/// The body of `update/accepted`: what was sent, stamped.
fn accepted(envelope: &Envelope, version: u64, now: u64) -> Map<String, Value> {
    let sent = envelope.members.get("state").cloned().unwrap_or_default();
    let metadata = match &sent {
        Value::Null => json!({}),
        state => stamped(state, now),
    };
    Map::from_iter([
        ("state".to_owned(), sent),
        ("metadata".to_owned(), metadata),
        ("version".to_owned(), json!(version)),
        ("timestamp".to_owned(), json!(now)),
    ])
}
