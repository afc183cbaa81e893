//! The canonical form of a request, which is what is signed.
//!
//! Signers disagree about paths: S3 clients sign the path as it travels, the others encode it once
//! more after removing dot segments and double slashes, and curl does neither for any service.
//! Verification therefore tries a short list of [`PathForm`]s; each binds the path that was sent.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::borrow::Cow;

/// What RFC 3986 leaves unreserved stays, everything else is encoded.
const STRICT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');
const STRICT_PATH: &AsciiSet = &STRICT.remove(b'/');

/// A request as it travels.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Upper-case HTTP method.
    pub method: &'a str,
    /// The path as sent, percent-encoding kept; empty means `/`.
    pub path: &'a str,
    /// The query as sent, without `?`.
    pub query: &'a str,
    /// Lower-case names, values as sent, in the order sent.
    pub headers: &'a [(String, String)],
}

impl<'a> Request<'a> {
    /// The first value of a header, by its lower-case name.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        self.headers
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
    }

    /// Decoded pairs of the query. A `+` is a plus.
    #[must_use]
    pub fn query_pairs(&self) -> Vec<(String, String)> {
        raw_pairs(self.query)
            .map(|(name, value)| (decode(name), decode(value)))
            .collect()
    }

    /// The first value of a query parameter, decoded.
    #[must_use]
    pub fn query_value(&self, name: &str) -> Option<String> {
        raw_pairs(self.query)
            .find(|(key, _)| decode(key) == name)
            .map(|(_, value)| decode(value))
    }
}

/// How a path becomes canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PathForm {
    /// As sent (S3).
    AsSent,
    /// Decoded and encoded strictly once (S3 signers that send a lax path).
    EncodedOnce,
    /// Dot segments and empty segments removed, then encoded again (all others).
    NormalizedTwice,
    /// Encoded again as it is.
    Twice,
}

/// How a query becomes canonical.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueryForm {
    /// Names and values decoded, encoded strictly, sorted.
    Encoded,
    /// Sorted as sent.
    AsSent,
}

pub(crate) fn path(path: &str, form: PathForm) -> Cow<'_, str> {
    let path = if path.is_empty() { "/" } else { path };
    match form {
        PathForm::AsSent => Cow::Borrowed(path),
        PathForm::EncodedOnce => {
            let decoded = percent_decode_str(path).collect::<Vec<u8>>();
            Cow::Owned(percent_encoding::percent_encode(&decoded, STRICT_PATH).to_string())
        }
        PathForm::Twice => Cow::Owned(utf8_percent_encode(path, STRICT_PATH).to_string()),
        PathForm::NormalizedTwice => {
            Cow::Owned(utf8_percent_encode(&normalize(path), STRICT_PATH).to_string())
        }
    }
}

/// Removes `.`, `..` and empty segments; a final slash stays.
fn normalize(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let mut normal = format!("/{}", kept.join("/"));
    if !kept.is_empty() && path.ends_with('/') {
        normal.push('/');
    }
    normal
}

/// The canonical query, leaving out the parameters in `without`.
pub(crate) fn query(query: &str, form: QueryForm, without: &[&str]) -> String {
    let mut pairs: Vec<(String, String)> = raw_pairs(query)
        .filter(|(name, _)| !without.contains(&decode(name).as_str()))
        .map(|(name, value)| match form {
            QueryForm::AsSent => (name.to_owned(), value.to_owned()),
            QueryForm::Encoded => (encode(&decode(name)), encode(&decode(value))),
        })
        .collect();
    pairs.sort();
    let mut text = String::with_capacity(query.len());
    for (name, value) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.push_str(&name);
        text.push('=');
        text.push_str(&value);
    }
    text
}

fn raw_pairs(query: &str) -> impl Iterator<Item = (&str, &str)> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

/// Strict percent-encoding of a name or value.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, STRICT).to_string()
}

/// The canonical headers of the given lower-case, sorted names, and the hash line that follows.
pub(crate) fn headers(request: &Request<'_>, signed: &[String]) -> String {
    let mut text = String::new();
    for name in signed {
        text.push_str(name);
        text.push(':');
        let mut first = true;
        for (_, value) in request.headers.iter().filter(|(key, _)| key == name) {
            if !first {
                text.push(',');
            }
            first = false;
            push_collapsed(&mut text, value);
        }
        text.push('\n');
    }
    text
}

fn push_collapsed(text: &mut String, value: &str) {
    let mut words = value.split([' ', '\t']).filter(|word| !word.is_empty());
    if let Some(word) = words.next() {
        text.push_str(word);
    }
    for word in words {
        text.push(' ');
        text.push_str(word);
    }
}

/// The whole canonical request.
pub(crate) fn request(
    request: &Request<'_>,
    (path_form, query_form): (PathForm, QueryForm),
    without: &[&str],
    signed: &[String],
    payload_hash: &str,
) -> String {
    format!(
        "{}\n{}\n{}\n{}\n{}\n{payload_hash}",
        request.method,
        path(request.path, path_form),
        query(request.query, query_form, without),
        headers(request, signed),
        signed.join(";"),
    )
}

/// The string to sign of a canonical request.
pub(crate) fn string_to_sign(canonical: &str, date: &str, scope: &crate::Scope) -> String {
    format!(
        "{}\n{date}\n{scope}\n{}",
        crate::ALGORITHM,
        crate::sha256_hex(canonical.as_bytes())
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_take_the_form_that_their_signer_uses() {
        fn check(sent: &str, form: PathForm, expected: &str) {
            assert_eq!(path(sent, form), expected, "{sent} {form:?}");
        }
        check("", PathForm::AsSent, "/");
        check("/a%2Fb", PathForm::AsSent, "/a%2Fb");
        check("/a b/ä", PathForm::EncodedOnce, "/a%20b/%C3%A4");
        check("/a%3Ab", PathForm::Twice, "/a%253Ab");
        check("/a//b/./c/../d/", PathForm::NormalizedTwice, "/a/b/d/");
        check("/..", PathForm::NormalizedTwice, "/");
        check("//", PathForm::NormalizedTwice, "/");
    }

    #[test]
    fn queries_are_sorted_and_encoded() {
        fn check(sent: &str, form: QueryForm, expected: &str) {
            assert_eq!(query(sent, form, &["X-Amz-Signature"]), expected, "{sent}");
        }
        check("b=2&a=1&a=0", QueryForm::Encoded, "a=0&a=1&b=2");
        check("flag", QueryForm::Encoded, "flag=");
        check("a=b/c&X-Amz-Signature=1", QueryForm::Encoded, "a=b%2Fc");
        check("a=b/c", QueryForm::AsSent, "a=b/c");
        check("", QueryForm::Encoded, "");
        check("a=1+2", QueryForm::Encoded, "a=1%2B2");
    }

    #[test]
    fn header_values_are_trimmed_and_joined() {
        let sent = [
            ("b".to_owned(), "  two   words ".to_owned()),
            ("a".to_owned(), "1".to_owned()),
            ("b".to_owned(), "more".to_owned()),
        ];
        let request = Request {
            method: "GET",
            path: "/",
            query: "",
            headers: &sent,
        };
        assert_eq!(
            headers(&request, &["a".to_owned(), "b".to_owned()]),
            "a:1\nb:two words,more\n"
        );
    }
}
