//! A JSON value as YAML that every reader of YAML 1.1 or 1.2 reads as the same value.

use crate::scalar;
use serde_json::Value;

/// Keys longer than this cannot stand before a colon.
const LONGEST_SIMPLE_KEY: usize = 500;

/// The value as a YAML document: block style, two blanks a level, no end marker.
#[must_use]
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::from("---\n");
    match value {
        Value::Object(map) if !map.is_empty() => object(&mut out, map, 0, false),
        Value::Array(items) if !items.is_empty() => list(&mut out, items, 0),
        other => {
            leaf(&mut out, other, 0);
            out.push('\n');
        }
    }
    out
}

fn indent(out: &mut String, depth: usize) {
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// The entries, one a line; the first one without indentation where it follows a dash.
fn object(out: &mut String, map: &serde_json::Map<String, Value>, depth: usize, inline: bool) {
    for (number, (key, value)) in map.iter().enumerate() {
        if number > 0 || !inline {
            indent(out, depth);
        }
        if key.chars().count() > LONGEST_SIMPLE_KEY {
            out.push_str("? ");
            quoted(out, key);
            out.push('\n');
            indent(out, depth);
        } else if is_plain(key) {
            out.push_str(key);
        } else {
            quoted(out, key);
        }
        out.push(':');
        below(out, value, depth);
    }
}

/// What follows a key.
fn below(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            out.push('\n');
            object(out, map, depth + 1, false);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            list(out, items, depth);
        }
        other => {
            out.push(' ');
            leaf(out, other, depth + 1);
            out.push('\n');
        }
    }
}

fn list(out: &mut String, items: &[Value], depth: usize) {
    for item in items {
        indent(out, depth);
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() => object(out, map, depth + 1, true),
            Value::Array(inner) if !inner.is_empty() => {
                out.truncate(out.len() - 1);
                out.push('\n');
                list(out, inner, depth + 1);
            }
            other => {
                leaf(out, other, depth + 1);
                out.push('\n');
            }
        }
    }
}

/// Everything that has no lines of its own, and block texts.
fn leaf(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Null => out.push_str("null"),
        Value::Bool(boolean) => {
            out.push_str(&format!("{boolean}"));
        }
        Value::Number(number) => {
            out.push_str(&format!("{number}"));
        }
        Value::String(text) if is_block(text) => block(out, text, depth),
        Value::String(text) if is_plain(text) && scalar::is_text(text) => out.push_str(text),
        Value::String(text) => quoted(out, text),
        Value::Array(_) => out.push_str("[]"),
        Value::Object(_) => out.push_str("{}"),
    }
}

/// Whether a text needs no quotes in any place.
fn is_plain(text: &str) -> bool {
    let begins = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let goes_on = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/');
    begins && text.chars().all(goes_on) && !text.starts_with("---")
}

fn is_printable(character: char) -> bool {
    matches!(character, ' '..='~' | '\u{a1}'..='\u{2027}' | '\u{202a}'..='\u{fefe}')
        || matches!(character, '\u{ff00}'..='\u{fffd}' | '\u{10000}'..)
}

/// Whether a text of several lines can stand as a block and come back unchanged.
fn is_block(text: &str) -> bool {
    let body = text.strip_suffix('\n').unwrap_or(text);
    let lines_fit = body
        .split('\n')
        .all(|line| line.chars().all(is_printable) && (line.is_empty() || !line.trim().is_empty()));
    text.contains('\n')
        && !body.is_empty()
        && !body.starts_with([' ', '\n'])
        && !body.ends_with('\n')
        && lines_fit
}

fn block(out: &mut String, text: &str, depth: usize) {
    out.push_str(if text.ends_with('\n') { "|" } else { "|-" });
    for line in text.strip_suffix('\n').unwrap_or(text).split('\n') {
        out.push('\n');
        if !line.is_empty() {
            indent(out, depth);
            out.push_str(line);
        }
    }
}

fn quoted(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            other if is_printable(other) => out.push(other),
            other => {
                out.push_str(&format!("\\u{:04X}", u32::from(other)));
            }
        }
    }
    out.push('"');
}
