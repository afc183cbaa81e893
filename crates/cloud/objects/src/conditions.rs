//! Conditions (`if-…`) and ranges of a read.

use crate::row::ObjectRow;
use crate::xml::parse_http_date;
use crate::{Code, S3Error, S3Request};

/// What the conditions of a GET or HEAD lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Send,
    NotModified,
}

pub(crate) fn check(request: &S3Request, object: &ObjectRow) -> Result<Verdict, S3Error> {
    let failed = |name| {
        Err(S3Error::new(
            Code::PreconditionFailed,
            format!("the condition {name} does not hold"),
        ))
    };
    let modified = object.modified_ms.div_euclid(1000);
    let date = |name| request.header(name).and_then(parse_http_date);
    if let Some(tags) = request.header("if-match") {
        if !names(tags, &object.etag) {
            return failed("if-match");
        }
    } else if date("if-unmodified-since").is_some_and(|date| modified > date) {
        return failed("if-unmodified-since");
    }
    if let Some(tags) = request.header("if-none-match") {
        if names(tags, &object.etag) {
            return Ok(Verdict::NotModified);
        }
    } else if date("if-modified-since").is_some_and(|date| modified <= date) {
        return Ok(Verdict::NotModified);
    }
    Ok(Verdict::Send)
}

/// The conditions of a write, against what is there now.
pub(crate) fn check_write(
    request: &S3Request,
    existing: Option<&ObjectRow>,
) -> Result<(), S3Error> {
    let failed = |name| {
        Err(S3Error::new(
            Code::PreconditionFailed,
            format!("the condition {name} does not hold"),
        ))
    };
    if let Some(tags) = request.header("if-none-match")
        && existing.is_some_and(|existing| names(tags, &existing.etag))
    {
        return failed("if-none-match");
    }
    match (request.header("if-match"), existing) {
        (Some(_), None) => Err(no_such_key(&request.key)),
        (Some(tags), Some(existing)) if !names(tags, &existing.etag) => failed("if-match"),
        _ => Ok(()),
    }
}

pub(crate) fn no_such_key(key: &str) -> S3Error {
    S3Error::new(Code::NoSuchKey, format!("the key {key} does not exist"))
}

fn names(tags: &str, etag: &str) -> bool {
    tags.split(',')
        .map(str::trim)
        .any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag).trim_matches('"') == etag)
}

/// The first and last byte that a `range` header asks for; nothing where it asks for all (also when
/// it is not understood, as HTTP has it).
pub(crate) fn range(header: Option<&str>, size: u64) -> Result<Option<(u64, u64)>, S3Error> {
    let Some(range) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Ok(None);
    };
    let Some((first, last)) = range.split_once('-') else {
        return Ok(None);
    };
    let unsatisfiable = || {
        S3Error::new(
            Code::InvalidRange,
            format!("the range {range} is outside the object's {size} bytes"),
        )
    };
    let bounds = match (first.trim(), last.trim()) {
        ("", last) => match last.parse::<u64>() {
            Ok(0) => return Err(unsatisfiable()),
            Ok(_) if size == 0 => return Err(unsatisfiable()),
            Ok(length) => (size.saturating_sub(length), size - 1),
            Err(_) => return Ok(None),
        },
        (first, "") => match first.parse::<u64>() {
            Ok(first) if first < size => (first, size - 1),
            Ok(_) => return Err(unsatisfiable()),
            Err(_) => return Ok(None),
        },
        (first, last) => match (first.parse::<u64>(), last.parse::<u64>()) {
            (Ok(first), Ok(last)) if first > last => return Ok(None),
            (Ok(first), Ok(last)) if first < size => (first, last.min(size - 1)),
            (Ok(_), Ok(_)) => return Err(unsatisfiable()),
            _ => return Ok(None),
        },
    };
    Ok(Some(bounds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_says() {
        fn check(header: &str, size: u64, expected: Result<Option<(u64, u64)>, Code>) {
            let found = range(Some(header), size).map_err(|error| error.s3_code());
            assert_eq!(found, expected, "{header} of {size}");
        }
        check("bytes=0-3", 10, Ok(Some((0, 3))));
        check("bytes=5-", 10, Ok(Some((5, 9))));
        check("bytes=-3", 10, Ok(Some((7, 9))));
        check("bytes=-30", 10, Ok(Some((0, 9))));
        check("bytes=8-30", 10, Ok(Some((8, 9))));
        check("bytes=10-", 10, Err(Code::InvalidRange));
        check("bytes=0-", 0, Err(Code::InvalidRange));
        check("bytes=-0", 10, Err(Code::InvalidRange));
        check("bytes=3-1", 10, Ok(None));
        check("bytes=0-1,3-4", 10, Ok(None));
        check("items=0-1", 10, Ok(None));
        check("bytes=x-y", 10, Ok(None));
        check("bytes=18446744073709551616-", 10, Ok(None));
        assert_eq!(range(None, 5).ok(), Some(None));
    }
}
