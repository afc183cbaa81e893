//! The MQTT topics of shadows.

use crate::handle::Suffix;

/// What can be asked of a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    Get,
    Update,
    Delete,
}

impl Operation {
    /// The level that names it in topics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::Update => "update",
            Operation::Delete => "delete",
        }
    }
}

/// A shadow: a thing's classic one, or a named one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShadowName<'n> {
    pub thing: &'n str,
    /// `None` for the classic shadow.
    pub name: Option<&'n str>,
}

impl<'n> ShadowName<'n> {
    /// Recognises a request topic, `$aws/things/T/shadow[/name/S]/{get|update|delete}`.
    ///
    /// The names are not checked beyond being one level each.
    #[must_use]
    pub fn parse_request(topic: &'n str) -> Option<(ShadowName<'n>, Operation)> {
        let (thing, rest) = topic.strip_prefix("$aws/things/")?.split_once('/')?;
        let rest = rest.strip_prefix("shadow/")?;
        let (name, operation) = match rest.strip_prefix("name/") {
            Some(named) => {
                let (name, operation) = named.split_once('/')?;
                (Some(name), operation)
            }
            None => (None, rest),
        };
        let operation = match operation {
            "get" => Operation::Get,
            "update" => Operation::Update,
            "delete" => Operation::Delete,
            _ => return None,
        };
        let whole = !thing.is_empty() && name != Some("");
        whole.then_some((ShadowName { thing, name }, operation))
    }

    /// The topic of a request.
    #[must_use]
    pub fn request_topic(&self, operation: Operation) -> String {
        let thing = self.thing;
        let operation = operation.as_str();
        match self.name {
            None => format!("$aws/things/{thing}/shadow/{operation}"),
            Some(name) => format!("$aws/things/{thing}/shadow/name/{name}/{operation}"),
        }
    }

    /// The topic of a reply or notification.
    #[must_use]
    pub fn topic(&self, operation: Operation, suffix: Suffix) -> String {
        let suffix = match suffix {
            Suffix::Accepted => "accepted",
            Suffix::Rejected => "rejected",
            Suffix::Delta => "delta",
            Suffix::Documents => "documents",
        };
        format!("{}/{suffix}", self.request_topic(operation))
    }
}

/// Whether a text can name a shadow: 1 to 64 of `[$a-zA-Z0-9:_-]`.
#[must_use]
pub fn is_valid_name(name: &str) -> bool {
    let fits = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'$' | b':' | b'_' | b'-');
    (1..=64).contains(&name.len()) && name.bytes().all(fits)
}
