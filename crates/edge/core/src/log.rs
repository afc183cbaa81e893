//! The core's own log: `logs/greengrass.log` in Greengrass's formats (core-device §8), and the same
//! events on standard error while a person watches.
//!
//! A small `tracing` subscriber of our own: the core has no use for filters by expression, and
//! every kilobyte of it would be resident. Spans cost nothing here: an event carries its fields.

use std::fmt::Debug;
use std::io::Write as _;
use sward_engine::logs::{Level, LogEntry, Logs};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// The file and logger of the core itself.
const LOGGER: &str = "greengrass";

struct CoreLog {
    logs: Logs,
    /// `SWARD_LOG`, else the configuration's level, asked anew for each event.
    level: Option<Level>,
}

/// Makes this process log through `logs`. `SWARD_LOG` (trace, debug, info, warn, error) wins over
/// the configuration. A second call in the same process changes nothing.
pub(crate) fn start(logs: &Logs) {
    let level = std::env::var("SWARD_LOG")
        .ok()
        .and_then(|text| level_of(&text));
    let log = CoreLog {
        logs: logs.clone(),
        level,
    };
    if tracing::subscriber::set_global_default(log).is_err() {
        tracing::debug!("this process logs already");
    }
}

fn level_of(text: &str) -> Option<Level> {
    text.trim().parse().ok().map(ours)
}

fn ours(level: tracing::Level) -> Level {
    match level {
        tracing::Level::ERROR => Level::Error,
        tracing::Level::WARN => Level::Warn,
        tracing::Level::INFO => Level::Info,
        tracing::Level::DEBUG => Level::Debug,
        tracing::Level::TRACE => Level::Trace,
    }
}

impl Subscriber for CoreLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let least = self.level.unwrap_or_else(|| self.logs.settings().level);
        metadata.is_event() && ours(*metadata.level()) >= least
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let entry = entry_of(event);
        // A terminal that went away must not end the core.
        drop(std::io::stderr().lock().write_all(shown(&entry).as_bytes()));
        self.logs.post(LOGGER, entry);
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

fn entry_of(event: &Event<'_>) -> LogEntry {
    let mut fields = Fields::default();
    event.record(&mut fields);
    LogEntry {
        at_ms: jiff::Timestamp::now().as_millisecond(),
        level: ours(*event.metadata().level()),
        thread: event.metadata().target(),
        event: "",
        message: fields.message,
        contexts: fields.others,
    }
}

/// The line for a terminal.
fn shown(entry: &LogEntry) -> String {
    let time = jiff::Timestamp::from_millisecond(entry.at_ms).unwrap_or_default();
    let mut line = format!(
        "{} {:<5} {}: {}",
        time.strftime("%H:%M:%S%.3f"),
        entry.level.as_str(),
        entry.thread,
        entry.message
    );
    for (name, value) in &entry.contexts {
        line.push_str(&format!(" {name}={value}"));
    }
    line.push('\n');
    line
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Vec<(&'static str, String)>,
}

impl Fields {
    fn add(&mut self, field: &Field, text: &str) {
        let text = clean(text);
        if field.name() == "message" {
            self.message = text;
        } else {
            self.others.push((field.name(), text));
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, &format!("{value:?}"));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, &value.to_string());
    }
}

/// Control characters escaped: a field may hold a peer's text, and must not forge a line.
fn clean(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            clean.extend(character.escape_default());
        } else {
            clean.push(character);
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peers_text_cannot_forge_a_line() {
        assert_eq!(clean("a\nb\u{1b}[0m"), "a\\nb\\u{1b}[0m");
        let entry = LogEntry {
            at_ms: 0,
            level: Level::Warn,
            thread: "sward_core",
            event: "",
            message: clean("odd\nname"),
            contexts: vec![("name", "x".to_owned())],
        };
        assert_eq!(
            shown(&entry),
            "00:00:00.000 WARN  sward_core: odd\\nname name=x\n"
        );
    }
}
