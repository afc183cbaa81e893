//! Whether a manifest fits a device (core-device §1.6).

use regex_lite::Regex;
use sward_model::PlatformAttributes;

/// Why a pattern cannot be used.
pub(crate) struct BadPattern(pub(crate) String);

/// Whether the device's value of one attribute is what the manifest asks for.
pub(crate) fn matches(
    attribute: &str,
    wanted: Option<&str>,
    device: &PlatformAttributes,
) -> Result<bool, BadPattern> {
    let wanted = match wanted {
        None | Some("*") => return Ok(true),
        Some(wanted) => wanted,
    };
    let own = match device.get(attribute) {
        None | Some("") => return Ok(false),
        Some(own) => own,
    };
    if wanted.len() >= 2
        && let Some(pattern) = wanted
            .strip_prefix('/')
            .and_then(|wanted| wanted.strip_suffix('/'))
    {
        return matches_pattern(pattern, own);
    }
    if matches!(attribute, "os" | "architecture") && matches!(wanted, "all" | "any") {
        return Ok(true);
    }
    // Other first characters are kept for syntax to come.
    Ok(wanted.starts_with(|c: char| c.is_ascii_alphanumeric()) && wanted == own)
}

/// Whether the whole value matches. The expressions are Java's: what our linear-time library has
/// not is only supported where people use it, a look-ahead at the beginning of an alternative.
fn matches_pattern(pattern: &str, own: &str) -> Result<bool, BadPattern> {
    if !pattern.contains("(?!") && !pattern.contains("(?=") {
        return is_match(&format!(r"\A(?:{pattern})\z"), own);
    }
    for alternative in alternatives(pattern) {
        if matches_alternative(alternative, own)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn matches_alternative(mut pattern: &str, own: &str) -> Result<bool, BadPattern> {
    let mut fits = true;
    while let Some(rest) = pattern
        .strip_prefix("(?!")
        .or_else(|| pattern.strip_prefix("(?="))
    {
        let end = group_end(rest).ok_or_else(|| BadPattern("a group is not closed".to_owned()))?;
        let found = is_match(&format!(r"\A(?:{})", &rest[..end]), own)?;
        fits &= found == pattern.starts_with("(?=");
        pattern = &rest[end + 1..];
    }
    Ok(is_match(&format!(r"\A(?:{pattern})\z"), own)? && fits)
}

fn is_match(pattern: &str, own: &str) -> Result<bool, BadPattern> {
    match Regex::new(pattern) {
        Ok(regex) => Ok(regex.is_match(own)),
        Err(error) => Err(BadPattern(error.to_string())),
    }
}

/// The parts between the bars that stand in no group or class.
fn alternatives(pattern: &str) -> Vec<&str> {
    let (mut parts, mut start) = (Vec::new(), 0);
    for (at, depth, character) in outline(pattern) {
        if character == '|' && depth == 0 {
            parts.push(&pattern[start..at]);
            start = at + 1;
        }
    }
    parts.push(&pattern[start..]);
    parts
}

/// Where the group ends whose inside begins the text.
fn group_end(inside: &str) -> Option<usize> {
    outline(inside)
        .find(|(_, depth, character)| *character == ')' && *depth < 0)
        .map(|(at, _, _)| at)
}

/// The characters outside of classes and escapes, with the depth of groups at each.
fn outline(pattern: &str) -> impl Iterator<Item = (usize, i32, char)> + '_ {
    let (mut depth, mut in_class, mut escaped) = (0, false, false);
    pattern.char_indices().filter_map(move |(at, character)| {
        if std::mem::take(&mut escaped) {
            return None;
        }
        match character {
            '\\' => escaped = true,
            '[' => in_class = true,
            ']' => in_class = false,
            _ if in_class => return None,
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        Some((at, depth, character))
    })
}
