//! One line of a log, and its two spellings.

use super::Format;
use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// Ordered: what is lower than the setting is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

impl Level {
    /// The public spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Level::Trace => "TRACE",
            Level::Debug => "DEBUG",
            Level::Info => "INFO",
            Level::Warn => "WARN",
            Level::Error => "ERROR",
        }
    }

    pub(super) fn parse(text: &str) -> Option<Level> {
        [
            Level::Trace,
            Level::Debug,
            Level::Info,
            Level::Warn,
            Level::Error,
        ]
        .into_iter()
        .find(|level| level.as_str() == text)
    }
}

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    pub level: Level,
    pub thread: &'static str,
    /// Such as `stdout`; may be empty.
    pub event: &'static str,
    pub message: String,
    /// In the order written.
    pub contexts: Vec<(&'static str, String)>,
}

impl LogEntry {
    /// Adds the line, its end included.
    pub(super) fn write_to(&self, out: &mut String, logger: &str, format: Format) {
        match format {
            Format::Text => self.text(out, logger),
            Format::Json => self.json(out, logger),
        }
        out.push('\n');
    }

    /// `<instant> [LEVEL] (<thread>) <logger>: <event>. <message>. {k=v, …}`
    fn text(&self, out: &mut String, logger: &str) {
        out.push_str(&instant(self.at_ms));
        // Writing to a String cannot fail.
        let head = write!(
            out,
            " [{}] ({}) {logger}: ",
            self.level.as_str(),
            self.thread
        );
        debug_assert!(head.is_ok());
        for part in [self.event, &*self.message] {
            if !part.is_empty() {
                out.push_str(part);
                out.push_str(". ");
            }
        }
        out.push('{');
        for (index, (key, value)) in self.contexts.iter().enumerate() {
            if index > 0 {
                out.push_str(", ");
            }
            out.push_str(key);
            out.push('=');
            out.push_str(value);
        }
        out.push('}');
    }

    fn json(&self, out: &mut String, logger: &str) {
        let contexts: Map<String, Value> = self
            .contexts
            .iter()
            .map(|(key, value)| ((*key).to_owned(), json!(value)))
            .collect();
        let or_null = |text: &str| {
            if text.is_empty() {
                Value::Null
            } else {
                json!(text)
            }
        };
        let line = json!({
            "thread": self.thread,
            "level": self.level.as_str(),
            "eventType": or_null(self.event),
            "message": self.message,
            "contexts": contexts,
            "loggerName": logger,
            "timestamp": self.at_ms,
            "cause": null,
        });
        out.push_str(&line.to_string());
    }
}

/// ISO-8601 in UTC, always with three digits of a second: the nucleus leaves them out when they
/// are zero, which breaks strict readers.
pub(super) fn instant(at_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(at_ms) {
        Ok(timestamp) => timestamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        Err(_) => format!("{at_ms}ms"),
    }
}
