//! What a YAML scalar means to the nucleus: YAML 1.1 with exceptions, measured.

use crate::node::{self, Data, Node, Scalar};

/// A scalar as the parser gives it.
pub(crate) struct Written<'a> {
    pub(crate) text: &'a str,
    /// Neither in quotes nor a block.
    pub(crate) is_plain: bool,
    /// The tag without `tag:yaml.org,2002:`; `None` where there is none or it is `!`.
    pub(crate) tag: Option<&'a str>,
}

/// The value of a scalar.
pub(crate) fn resolve(written: &Written<'_>, line: u32) -> Node {
    let text = written.text;
    let read = match written.tag {
        None if written.is_plain => plain(text, line),
        None => None,
        Some(_) if text.is_empty() && !written.is_plain => None,
        Some("bool") => boolean(text, line),
        Some("int") => integer(text, line),
        Some("float") => fraction(text, line),
        Some("null") => Some(Node {
            data: Data::Null,
            line,
        }),
        Some(_) => None,
    };
    read.unwrap_or_else(|| Node::text(text, line))
}

/// Whether a text without quotes would be read as itself.
pub(crate) fn is_text(text: &str) -> bool {
    plain(text, 0).is_none()
}

fn plain(text: &str, line: u32) -> Option<Node> {
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        return Some(Node {
            data: Data::Null,
            line,
        });
    }
    boolean(text, line)
        .or_else(|| integer(text, line))
        .or_else(|| {
            let is_fraction = text.contains(['.', 'e', 'E']);
            is_fraction.then(|| fraction(text, line)).flatten()
        })
}

fn scalar(text: &str, scalar: Scalar, line: u32) -> Node {
    Node {
        data: Data::Scalar {
            text: text.to_owned(),
            scalar,
        },
        line,
    }
}

fn boolean(text: &str, line: u32) -> Option<Node> {
    let boolean = match text {
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => true,
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => false,
        _ => return None,
    };
    Some(scalar(text, Scalar::Boolean(boolean), line))
}

/// `12`, `1_000`, `010` (8), `0x1F`, `0b11`, each with a sign or none.
fn integer(text: &str, line: u32) -> Option<Node> {
    let (negative, unsigned) = match text.strip_prefix(['+', '-']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    let (radix, digits) = match unsigned.as_bytes() {
        [b'0', b'x', ..] => (16, &unsigned[2..]),
        [b'0', b'b', ..] => (2, &unsigned[2..]),
        [b'0', _, ..] => (8, &unsigned[1..]),
        _ => (10, unsigned),
    };
    let starts = unsigned.starts_with(|c: char| c.is_ascii_digit());
    let fits = |c: char| c == '_' || (c.is_ascii() && c.is_digit(radix));
    if !starts || !digits.chars().all(fits) {
        return None;
    }
    let digits = digits.replace('_', "");
    if digits.is_empty() {
        return None;
    }
    let sign = if negative { "-" } else { "" };
    let node = if radix == 10 {
        node::decimal(&format!("{sign}{digits}"), line)?
    } else {
        match i128::from_str_radix(&format!("{sign}{digits}"), radix) {
            Ok(number) => node::decimal(&number.to_string(), line)?,
            // Beyond 128 bits no reader agrees with another: it stays as written.
            Err(_) => return None,
        }
    };
    Some(written_as(node, text))
}

/// `1.5`, `1.`, `.5`, `1e3`, `.inf`, `.nan`; a sign may stand before, blanks are `_`.
fn fraction(text: &str, line: u32) -> Option<Node> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Some(scalar(text, Scalar::NoNumber, line));
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    if let Some(exponent) = exponent {
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
    }
    let digits_only = |part: &str| part.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let begins = |part: &str| part.starts_with(|c: char| c.is_ascii_digit());
    let reads = match mantissa.split_once('.') {
        Some((whole, part)) => {
            digits_only(whole)
                && digits_only(part)
                && (begins(whole) || (whole.is_empty() && begins(part)))
        }
        // `!!float 7` has neither; a plain `7` was an integer before.
        None => begins(mantissa) && digits_only(mantissa),
    };
    if !reads {
        return None;
    }
    let mut number = text.strip_prefix('+').unwrap_or(text).replace('_', "");
    if !number.contains(['.', 'e', 'E']) {
        number.push_str(".0");
    }
    Some(written_as(node::decimal(&number, line)?, text))
}

/// Keeps the text as it was written, for places where text is wanted.
fn written_as(mut node: Node, written: &str) -> Node {
    if let Data::Scalar {
        text,
        scalar: Scalar::Number(_),
    } = &mut node.data
    {
        written.clone_into(text);
    }
    node
}
