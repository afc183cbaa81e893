//! One event as a line: `<instant> [LEVEL] (<thread>) <logger>: <message>. {<fields>}`.

use std::fmt::{Debug, Write as _};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// An event taken apart.
pub(super) struct Line {
    level: Level,
    logger: &'static str,
    message: String,
    fields: String,
}

impl Line {
    pub(super) fn of(event: &Event<'_>) -> Self {
        let mut line = Line {
            level: *event.metadata().level(),
            logger: event.metadata().target(),
            message: String::new(),
            fields: String::new(),
        };
        event.record(&mut line);
        line
    }

    /// The line with its end. Control characters are shown escaped: a field may hold a peer's text.
    pub(super) fn render(&self, now_ms: u64) -> String {
        let thread = std::thread::current();
        let mut text = format!(
            "{} [{}] ({}) {}: {}.",
            instant(now_ms),
            self.level,
            thread.name().unwrap_or("core"),
            self.logger,
            self.message,
        );
        if !self.fields.is_empty() {
            text.push_str(" {");
            text.push_str(&self.fields);
            text.push('}');
        }
        let mut clean = String::with_capacity(text.len() + 1);
        for character in text.chars() {
            if character.is_control() {
                clean.extend(character.escape_default());
            } else {
                clean.push(character);
            }
        }
        clean.push('\n');
        clean
    }

    fn add(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
            return;
        }
        let separator = if self.fields.is_empty() { "" } else { ", " };
        let _ = write!(self.fields, "{separator}{}={value:?}", field.name());
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, &format_args!("{value}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.add(field, &format_args!("{value}"));
    }
}

/// An ISO-8601 instant in UTC with milliseconds.
pub(crate) fn instant(ms: u64) -> String {
    let (year, month, day, seconds) = civil(ms);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:03}Z",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        ms % 1000
    )
}

/// The hour in the names of rotated files.
pub(super) fn hour_name(ms: u64) -> String {
    let (year, month, day, seconds) = civil(ms);
    format!("{year:04}_{month:02}_{day:02}_{:02}", seconds / 3600)
}

/// Year, month, day and second of the day, by the proleptic Gregorian calendar.
fn civil(ms: u64) -> (u64, u64, u64, u64) {
    let seconds = ms / 1000;
    let days = seconds / 86_400;
    // Days since 0000-03-01, so that the leap day ends a year.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u64::from(month <= 2);
    (year, month, day, seconds % 86_400)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_those_of_the_calendar() {
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_399_999, "2000-02-28T23:59:59.999Z"),
            (951_782_400_000, "2000-02-29T00:00:00.000Z"),
            (1_709_251_199_001, "2024-02-29T23:59:59.001Z"),
            (1_795_449_599_000, "2026-11-23T15:59:59.000Z"),
            (4_102_444_800_000, "2100-01-01T00:00:00.000Z"),
        ] {
            assert_eq!(instant(ms), expected);
        }
        assert_eq!(hour_name(1_795_449_599_000), "2026_11_23_15");
    }

    #[test]
    fn a_peers_text_cannot_forge_a_line() {
        let line = Line {
            level: Level::WARN,
            logger: "sward_core",
            message: "odd name".into(),
            fields: "name=a\nb".into(),
        };
        let text = line.render(0);
        assert_eq!(text.lines().count(), 1);
        assert!(text.contains("{name=a\\nb}"), "{text}");
    }
}
