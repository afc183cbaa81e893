//! The core's own log: `logs/greengrass.log` in Greengrass's text format (core-device §8), and the
//! same lines on standard error while a person watches.
//!
//! A small `tracing` subscriber of our own: the core has no use for filters by expression, and
//! every kilobyte of it would be resident. Spans cost nothing here: an event carries its fields.

mod line;
mod rotate;

pub(crate) use line::instant;
use line::Line;
use rotate::RotatingFile;
use std::io::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, PoisonError};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// Where and how much the core logs.
struct CoreLog {
    file: Mutex<RotatingFile>,
    level: AtomicU8,
    also_stderr: bool,
}

/// Makes this process log into the root. `SWARD_LOG` (trace, debug, info, warn, error) overrides
/// the level of the configuration. Later calls in the same process change nothing.
pub(crate) fn start(root: &Path, level: Option<&str>) {
    let wanted = std::env::var("SWARD_LOG").ok();
    let level = wanted.as_deref().or(level).and_then(level_of).unwrap_or(Level::INFO);
    let log = CoreLog {
        file: Mutex::new(RotatingFile::new(root.join("logs"), "greengrass")),
        level: AtomicU8::new(rank(level)),
        also_stderr: true,
    };
    if tracing::subscriber::set_global_default(log).is_err() {
        tracing::debug!("this process logs already");
    }
}

fn level_of(text: &str) -> Option<Level> {
    text.trim().parse().ok()
}

/// Higher is more talkative.
fn rank(level: Level) -> u8 {
    match level {
        Level::ERROR => 1,
        Level::WARN => 2,
        Level::INFO => 3,
        Level::DEBUG => 4,
        Level::TRACE => 5,
    }
}

impl Subscriber for CoreLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && rank(*metadata.level()) <= self.level.load(Ordering::Relaxed)
    }

    fn new_span(&self, _span: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let text = Line::of(event).render(now_ms());
        self.file.lock().unwrap_or_else(PoisonError::into_inner).write(&text, now_ms());
        if self.also_stderr {
            // A terminal that went away must not end the core.
            drop(std::io::stderr().lock().write_all(text.as_bytes()));
        }
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

fn now_ms() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .ok()
        .and_then(|since| u64::try_from(since.as_millis()).ok())
        .unwrap_or(0)
}
