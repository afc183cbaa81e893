//! Topics and filters: what is valid where, and what matches what.
//!
//! Three matchers live here because three exist: [`mqtt_matches`] is MQTT's own rule and the
//! broker's; [`LocalFilter`] is the nucleus's local publish/subscribe; [`iot_core_matches`] is how
//! the nucleus routes what arrived from the cloud to its subscribers. They differ in trailing
//! slashes, in `a/#` against `a`, and in `#` before the last level.

/// MQTT's rule (3.1.1 §4.7): `+` is one level, a last `#` the rest and the parent itself, and a
/// wildcard in the first level never matches a topic that begins with `$`.
#[must_use]
pub fn mqtt_matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && (filter.starts_with('+') || filter.starts_with('#')) {
        return false;
    }
    let mut levels = topic.split('/');
    let mut parts = filter.split('/').peekable();
    while let Some(part) = parts.next() {
        if part == "#" && parts.peek().is_none() {
            return true;
        }
        if !levels
            .next()
            .is_some_and(|level| part == "+" || part == level)
        {
            return false;
        }
        let topic_ends = levels.clone().next().is_none();
        if topic_ends && parts.peek() == Some(&"#") {
            // The parent level itself.
            return parts.nth(1).is_none();
        }
    }
    levels.next().is_none()
}

/// Whether the text is a filter a broker may accept: not empty, no NUL, `+` alone in its level,
/// `#` alone in the last.
#[must_use]
pub fn is_valid_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.len() > 65_535 || filter.contains('\0') {
        return false;
    }
    let last = filter.matches('/').count();
    filter.split('/').enumerate().all(|(index, level)| {
        let plain = !level.contains(['+', '#']);
        plain || level == "+" || (level == "#" && index == last)
    })
}

/// Whether the text is a topic one may publish to: not empty, no NUL, no wildcard.
#[must_use]
pub fn is_valid_topic(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= 65_535 && !topic.contains(['\0', '+', '#'])
}

/// The levels of a topic as the nucleus splits it: trailing empty levels are dropped, so `a/` is
/// `a`, and a topic of slashes only has none.
pub fn local_levels(topic: &str) -> impl Iterator<Item = &str> + Clone {
    let trimmed = topic.trim_end_matches('/');
    let none = trimmed.is_empty() && !topic.is_empty();
    trimmed.split('/').take(if none { 0 } else { usize::MAX })
}

/// A filter of local publish/subscribe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct LocalFilter {
    text: Box<str>,
}

/// Why a topic or filter is refused before anything is sent. Names are the golden vectors'.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// Empty or blanks only (IoT Core).
    Empty,
    /// A wildcard in a topic to publish to (IoT Core).
    Wildcard,
    /// More than 7 slashes.
    TooManySlashes,
    /// More than 256 UTF-16 units behind a rule's or share's prefix.
    TooLong,
    /// A reserved topic of more than 512 UTF-16 units (MQTT 5).
    TooLongReserved,
    /// A local topic with a wildcard, or an empty local filter.
    Local,
    /// A local topic of slashes only, which has no level to deliver on.
    NoLevels,
}

impl Invalid {
    /// The name used in tests and logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Invalid::Empty => "empty",
            Invalid::Wildcard => "wildcard",
            Invalid::TooManySlashes => "too-many-slashes",
            Invalid::TooLong => "too-long",
            Invalid::TooLongReserved => "too-long-reserved",
            Invalid::Local => "invalid",
            Invalid::NoLevels => "no-levels",
        }
    }
}

/// Checks a topic of `PublishToTopic`: no `+`, `#` or `*`.
pub fn check_local_publish(topic: &str) -> Result<(), Invalid> {
    if topic.contains(['+', '#', '*']) {
        return Err(Invalid::Local);
    }
    if local_levels(topic).next().is_none() {
        return Err(Invalid::NoLevels);
    }
    Ok(())
}

impl LocalFilter {
    /// Checks a filter of `SubscribeToTopic`: anything that is not blank.
    pub fn parse(filter: &str) -> Result<Self, Invalid> {
        if filter.trim().is_empty() {
            return Err(Invalid::Local);
        }
        Ok(LocalFilter {
            text: filter.into(),
        })
    }

    /// The filter as given.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether a message on this topic is delivered to the filter's subscribers.
    #[must_use]
    pub fn matches(&self, topic: &str) -> bool {
        local_matches(&self.text, topic)
    }

    /// Whether the filter counts as one with wildcards, which makes
    /// `RECEIVE_MESSAGES_FROM_OTHERS` the default receive mode.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        has_wildcard(&self.text)
    }
}

/// Local matching: `+` and a `#` that is not last stand for one level, a last `#` for one or more
/// (so `a/#` does not match `a`); `$` topics are nothing special.
#[must_use]
pub fn local_matches(filter: &str, topic: &str) -> bool {
    let mut topics = local_levels(topic);
    let mut parts = local_levels(filter).peekable();
    if topics.clone().next().is_none() || parts.peek().is_none() {
        return false;
    }
    while let Some(part) = parts.next() {
        let Some(level) = topics.next() else {
            return false;
        };
        if part == "#" && parts.peek().is_none() {
            return true;
        }
        if part != "+" && part != "#" && part != level {
            return false;
        }
    }
    topics.next().is_none()
}

/// How the nucleus routes a message from the cloud: like [`local_matches`], but any `#` takes all
/// the rest, and topics of slashes only equal each other.
#[must_use]
pub fn iot_core_matches(filter: &str, topic: &str) -> bool {
    let mut topics = local_levels(topic);
    for part in local_levels(filter) {
        let Some(level) = topics.next() else {
            return false;
        };
        if part == "#" {
            return true;
        }
        if part != "+" && part != level {
            return false;
        }
    }
    topics.next().is_none()
}

/// Whether a filter holds a wildcard in the sense of the default receive mode.
#[must_use]
pub fn has_wildcard(filter: &str) -> bool {
    local_levels(filter).any(|level| level == "+") || local_levels(filter).last() == Some("#")
}

/// The MQTT version of the connection to the cloud.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MqttVersion {
    /// 3.1.1
    V3,
    /// 5.0
    V5,
}

/// Checks a topic of `PublishToIoTCore`.
pub fn check_iot_core_publish(topic: &str, version: MqttVersion) -> Result<(), Invalid> {
    if topic.trim().is_empty() {
        return Err(Invalid::Empty);
    }
    if topic.contains(['+', '#']) {
        return Err(Invalid::Wildcard);
    }
    check_iot_core_length(topic, version, false)
}

/// Checks a filter of `SubscribeToIoTCore`.
pub fn check_iot_core_subscribe(filter: &str, version: MqttVersion) -> Result<(), Invalid> {
    if filter.trim().is_empty() {
        return Err(Invalid::Empty);
    }
    check_iot_core_length(filter, version, true)
}

/// The most UTF-16 units of a topic.
const MAX_LENGTH: usize = 256;
/// The most UTF-16 units of a reserved topic on MQTT 5.
const MAX_RESERVED_LENGTH: usize = 512;
/// The most slashes of a topic.
const MAX_SLASHES: usize = 7;

fn check_iot_core_length(
    topic: &str,
    version: MqttVersion,
    subscribing: bool,
) -> Result<(), Invalid> {
    let is_share = topic.starts_with("$share/");
    let stripped = strip_prefix_and_name(topic, "$aws/rules/").or_else(|| {
        (subscribing && version == MqttVersion::V5)
            .then(|| strip_prefix_and_name(topic, "$share/"))
            .flatten()
    });
    let counted = stripped.unwrap_or(topic);
    let units = counted.encode_utf16().count();
    let is_reserved = stripped.is_none() && topic.starts_with('$') && !is_share;
    if is_reserved && version == MqttVersion::V5 {
        return if units > MAX_RESERVED_LENGTH {
            Err(Invalid::TooLongReserved)
        } else {
            Ok(())
        };
    }
    if counted.matches('/').count() > MAX_SLASHES {
        return Err(Invalid::TooManySlashes);
    }
    if units > MAX_LENGTH {
        return Err(Invalid::TooLong);
    }
    Ok(())
}

/// What follows `<prefix><name>/`, when the topic has that form.
fn strip_prefix_and_name<'t>(topic: &'t str, prefix: &str) -> Option<&'t str> {
    let (name, rest) = topic.strip_prefix(prefix)?.split_once('/')?;
    (!name.is_empty()).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mqtt_rule() {
        for (filter, topic, expected) in [
            ("a/#", "a", true),
            ("a/#", "a/", true),
            ("a/#", "a/b/c", true),
            ("a/#", "ab", false),
            ("#", "a", true),
            ("#", "$aws/x", false),
            ("+/x", "$aws/x", false),
            ("$aws/#", "$aws/x", true),
            ("+", "a/", false),
            ("+/", "a/", true),
            ("a/+", "a/", true),
            ("a/+/#", "a", false),
            ("a/+/#", "a/b", true),
            ("a/b", "a/b", true),
            ("a/b", "a/b/", false),
            ("a/b/c", "a/b", false),
        ] {
            assert_eq!(mqtt_matches(filter, topic), expected, "{filter} {topic}");
        }
    }

    #[test]
    fn filters_and_topics() {
        for (text, filter, topic) in [
            ("a", true, true),
            ("", false, false),
            ("a/+/b", true, false),
            ("a+", false, false),
            ("#/a", false, false),
            ("a/#", true, false),
            ("a\0", false, false),
        ] {
            assert_eq!(is_valid_filter(text), filter, "{text:?}");
            assert_eq!(is_valid_topic(text), topic, "{text:?}");
        }
    }
}
