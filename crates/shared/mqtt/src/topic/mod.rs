//! Topics, filters and the subscription trie.

mod trie;

pub use trie::{Match, Trie};

/// Levels of a filter, so that the trie stays shallow.
const MAX_LEVELS: usize = 128;

/// A topic that can be published to: not empty, no wildcard, no U+0000.
#[must_use]
pub fn is_valid_topic(topic: &str) -> bool {
    !topic.is_empty() && topic.len() <= 65_535 && !topic.contains(['+', '#', '\0'])
}

/// A filter that can be subscribed to, without `$share`: wildcards are whole levels, `#` is
/// last, at most 128 levels.
#[must_use]
pub fn is_valid_filter(filter: &str) -> bool {
    if filter.is_empty() || filter.len() > 65_535 || filter.contains('\0') {
        return false;
    }
    let mut levels = filter.split('/').peekable();
    let mut count = 0;
    while let Some(level) = levels.next() {
        count += 1;
        if count > MAX_LEVELS {
            return false;
        }
        let last = levels.peek().is_none();
        let valid = match level {
            "+" => true,
            "#" => last,
            other => !other.contains(['+', '#']),
        };
        if !valid {
            return false;
        }
    }
    true
}

/// The parts of a subscription's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parsed<'a> {
    /// The group of `$share/GROUP/FILTER`.
    pub group: Option<&'a str>,
    /// The filter that topics are matched with.
    pub filter: &'a str,
}

/// Takes `$share` off a subscription's text; `None` where it is not valid.
#[must_use]
pub fn parse_subscription(text: &str) -> Option<Parsed<'_>> {
    let Some(shared) = text.strip_prefix("$share/") else {
        return is_valid_filter(text).then_some(Parsed {
            group: None,
            filter: text,
        });
    };
    let (group, filter) = shared.split_once('/')?;
    let valid = !group.is_empty() && !group.contains(['+', '#']) && is_valid_filter(filter);
    valid.then_some(Parsed {
        group: Some(group),
        filter,
    })
}

/// Whether a filter covers a topic. Wildcards at the first level do not cover `$` topics.
#[must_use]
pub fn matches(filter: &str, topic: &str) -> bool {
    if topic.starts_with('$') && filter.starts_with(['+', '#']) {
        return false;
    }
    let mut topic = topic.split('/');
    for level in filter.split('/') {
        match (level, topic.next()) {
            ("#", _) => return true,
            (_, None) => return false,
            ("+", Some(_)) => {}
            (level, Some(name)) if level == name => {}
            _ => return false,
        }
    }
    topic.next().is_none()
}

#[cfg(test)]
mod tests;
