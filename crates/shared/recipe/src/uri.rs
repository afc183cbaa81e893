//! What `java.net.URI` accepts, since that is what devices in the field accept.

/// Checks a URI reference; may be empty or have no scheme.
pub(crate) fn check(uri: &str) -> Result<(), String> {
    let (reference, fragment) = match uri.split_once('#') {
        Some((reference, fragment)) => (reference, Some(fragment)),
        None => (uri, None),
    };
    let rest = match scheme_end(reference) {
        None => reference,
        Some(end) => {
            check_scheme(&reference[..end])?;
            let rest = &reference[end + 1..];
            if rest.is_empty() {
                return Err("nothing follows its scheme".to_owned());
            }
            if !rest.starts_with('/') {
                check_characters(rest, Part::Free)?;
                return fragment.map_or(Ok(()), |part| check_characters(part, Part::Free));
            }
            rest
        }
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let path = match path.strip_prefix("//") {
        None => path,
        Some(after) => {
            let end = after.find('/').unwrap_or(after.len());
            let (authority, path) = after.split_at(end);
            if authority.is_empty() && path.is_empty() && query.is_none() && fragment.is_none() {
                return Err("nothing follows its two slashes".to_owned());
            }
            check_characters(authority, Part::Authority)?;
            path
        }
    };
    check_characters(path, Part::Path)?;
    for part in [query, fragment].into_iter().flatten() {
        check_characters(part, Part::Free)?;
    }
    Ok(())
}

/// Where the scheme ends: at a colon before any slash or question mark.
fn scheme_end(reference: &str) -> Option<usize> {
    let end = reference.find([':', '/', '?'])?;
    reference[end..].starts_with(':').then_some(end)
}

fn check_scheme(scheme: &str) -> Result<(), String> {
    let begins_well = scheme.starts_with(|c: char| c.is_ascii_alphabetic());
    let goes_on = scheme
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    if begins_well && goes_on {
        return Ok(());
    }
    Err(format!("{scheme:?} is no scheme"))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Authority,
    Path,
    /// Query, fragment, and all that follows a scheme without a slash.
    Free,
}

fn check_characters(text: &str, part: Part) -> Result<(), String> {
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        if character == '%' {
            let digits = text.as_bytes().get(at + 1..at + 3);
            if !digits.is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit)) {
                return Err("a % is not followed by two hexadecimal digits".to_owned());
            }
            characters.next();
            characters.next();
        } else if !is_allowed(character, part) {
            return Err(format!("{character:?} is not allowed in a URI"));
        }
    }
    Ok(())
}

fn is_allowed(character: char, part: Part) -> bool {
    match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' => true,
        '_' | '-' | '!' | '.' | '~' | '\'' | '(' | ')' | '*' => true,
        ';' | ':' | '@' | '&' | '=' | '+' | '$' | ',' => true,
        '/' => part != Part::Authority,
        '?' | '[' | ']' => part == Part::Free,
        other => !other.is_ascii() && !other.is_control() && !other.is_whitespace(),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn uris_are_judged_as_java_judges_them() {
        for good in [
            "",
            "k.zip",
            "s3://b/k?v=1#f",
            "s3://my_bucket/k",
            "s3:///k",
            "docker:reg:5000/img@sha256:abc",
            "S3://b/é",
            "s3://b/a%20b",
            "s3://b/k?[x]",
        ] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
        for bad in [
            "s3:",
            "s3://",
            ":x",
            "1s:x",
            "s3://b/a b",
            "s3://b/{k}",
            "s3://[b]/k",
            "s3://b/[k]",
            "s3://b/a%zz",
            "s3://b/a%2",
            "s3://b/k#a#b",
            "s3://b/a\\b",
            "s3://b/a|b",
            "\u{a0}",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
