//! Both listings. Keys are listed in the order of their UTF-8 bytes; a common prefix stands for all
//! keys below it, and the walk jumps over them.

use crate::row::ObjectRow;
use crate::service::Bucket;
use crate::xml::{answer, iso};
use crate::{Code, Objects, Operation, S3Error, S3Request};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sward_aws_wire::xml::element;
use sward_net::http::{Body, Response};
use sward_store::{Tx, Value};

const MOST_KEYS: usize = 1000;
/// What `encoding-type=url` leaves as it is.
const URL: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'*')
    .remove(b'/');

/// One page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) objects: Vec<ObjectRow>,
    pub(crate) prefixes: Vec<String>,
    /// The last key or common prefix, when more follows.
    pub(crate) next: Option<String>,
}

/// What a page is cut from.
#[derive(Debug)]
pub(crate) struct Selection<'a> {
    pub(crate) bucket: &'a str,
    pub(crate) prefix: &'a str,
    pub(crate) delimiter: Option<&'a str>,
    /// Only keys and prefixes behind this one.
    pub(crate) after: &'a str,
    pub(crate) limit: usize,
}

/// The lowest text above every text that begins with `prefix`.
fn above(prefix: &str) -> Option<String> {
    let mut text = prefix.to_owned();
    while let Some(last) = text.pop() {
        let mut next = u32::from(last) + 1;
        while next <= u32::from(char::MAX) {
            if let Some(next) = char::from_u32(next) {
                text.push(next);
                return Some(text);
            }
            next += 1;
        }
    }
    None
}

impl Selection<'_> {
    pub(crate) async fn page(&self, tx: &mut Tx) -> Result<Page, S3Error> {
        let mut page = Page::default();
        if self.limit == 0 {
            return Ok(page);
        }
        // Where to go on: the bound, and whether a key equal to it counts.
        let mut from = self.after.to_owned();
        let mut inclusive = false;
        if let Some(skipped) = self.common_prefix(self.after)
            && self.after == skipped
        {
            // The page before ended with this common prefix: all below it was said.
            match above(skipped) {
                Some(next) => (from, inclusive) = (next, true),
                None => return Ok(page),
            }
        }
        let mut last = String::new();
        loop {
            let count = page.objects.len() + page.prefixes.len();
            let rows = self
                .rows(tx, &from, inclusive, self.limit - count + 1)
                .await?;
            let exhausted = rows.len() <= self.limit - count;
            let mut jump = None;
            for object in rows {
                if page.objects.len() + page.prefixes.len() == self.limit {
                    page.next = Some(last);
                    return Ok(page);
                }
                if let Some(common) = self.common_prefix(&object.key) {
                    last = common.to_owned();
                    page.prefixes.push(last.clone());
                    jump = Some(above(common));
                    break;
                }
                last.clone_from(&object.key);
                page.objects.push(object);
            }
            match jump {
                Some(Some(next)) => (from, inclusive) = (next, true),
                Some(None) => return Ok(page),
                None if exhausted => return Ok(page),
                None => (from, inclusive) = (last.clone(), false),
            }
        }
    }

    /// The part of a key up to the first delimiter behind the prefix.
    fn common_prefix<'k>(&self, key: &'k str) -> Option<&'k str> {
        let delimiter = self.delimiter?;
        let rest = key.strip_prefix(self.prefix)?;
        let end = self.prefix.len() + rest.find(delimiter)? + delimiter.len();
        Some(&key[..end])
    }

    async fn rows(
        &self,
        tx: &mut Tx,
        from: &str,
        inclusive: bool,
        limit: usize,
    ) -> Result<Vec<ObjectRow>, S3Error> {
        let compare = if inclusive { ">=" } else { ">" };
        let end = above(self.prefix);
        let below = if end.is_some() { "AND key < $4" } else { "" };
        let sql = format!(
            "SELECT * FROM s3_object WHERE bucket = $1 AND key {compare} $2 AND key >= $3 {below}
             ORDER BY key LIMIT {limit}"
        );
        let mut args: Vec<Value> = vec![self.bucket.into(), from.into(), self.prefix.into()];
        args.extend(end.map(Value::from));
        let rows = tx.all(&sql, &args).await?;
        let rows: Result<Vec<ObjectRow>, _> = rows.iter().map(ObjectRow::of).collect();
        Ok(rows?)
    }
}

pub(crate) async fn list(
    objects: &Objects,
    request: &S3Request,
    bucket: &Bucket,
) -> Result<Response<Body>, S3Error> {
    let v2 = request.operation == Operation::ListObjectsV2;
    let prefix = request.query("prefix").unwrap_or_default();
    let delimiter = request.query("delimiter").filter(|text| !text.is_empty());
    let limit = match request.query("max-keys") {
        None | Some("") => MOST_KEYS,
        Some(text) => text
            .parse::<usize>()
            .map_err(|_| S3Error::new(Code::InvalidArgument, "max-keys is not a number"))?
            .min(MOST_KEYS),
    };
    let token = request
        .query("continuation-token")
        .filter(|_| v2)
        .map(decode_token)
        .transpose()?;
    let start = if v2 { "start-after" } else { "marker" };
    let after = token
        .clone()
        .unwrap_or_else(|| request.query(start).unwrap_or_default().to_owned());
    let selection = Selection {
        bucket: &bucket.name,
        prefix,
        delimiter,
        after: &after,
        limit,
    };
    let page = selection.page(&mut objects.store().read().await?).await?;
    let url = request.query("encoding-type") == Some("url");
    let text = |text: &str| {
        if url {
            utf8_percent_encode(text, URL).to_string()
        } else {
            text.to_owned()
        }
    };
    let mut content = [
        element("Name", &bucket.name),
        element("Prefix", &text(prefix)),
        element("MaxKeys", &limit.to_string()),
        element(
            "IsTruncated",
            if page.next.is_some() { "true" } else { "false" },
        ),
    ]
    .concat();
    if let Some(delimiter) = delimiter {
        content.push_str(&element("Delimiter", &text(delimiter)));
    }
    if url {
        content.push_str(&element("EncodingType", "url"));
    }
    if v2 {
        let count = page.objects.len() + page.prefixes.len();
        content.push_str(&element("KeyCount", &count.to_string()));
        for name in ["continuation-token", "start-after"] {
            if let Some(value) = request.query(name) {
                let name = if name == "start-after" {
                    "StartAfter"
                } else {
                    "ContinuationToken"
                };
                content.push_str(&element(name, &text(value)));
            }
        }
        if let Some(next) = &page.next {
            content.push_str(&element("NextContinuationToken", &encode_token(next)));
        }
    } else {
        content.push_str(&element("Marker", &text(&after)));
        if let Some(next) = page.next.as_deref().filter(|_| delimiter.is_some()) {
            content.push_str(&element("NextMarker", &text(next)));
        }
    }
    let owner = !v2 || request.query("fetch-owner") == Some("true");
    for object in &page.objects {
        content.push_str(&entry(object, &text(&object.key), owner.then_some(bucket)));
    }
    for prefix in &page.prefixes {
        content.push_str(&format!(
            "<CommonPrefixes>{}</CommonPrefixes>",
            element("Prefix", &text(prefix))
        ));
    }
    Ok(answer("ListBucketResult", &content))
}

fn entry(object: &ObjectRow, key: &str, owner: Option<&Bucket>) -> String {
    let owner =
        owner.map(|bucket| format!("<Owner>{}</Owner>", element("ID", bucket.account.as_str())));
    format!(
        "<Contents>{}{}{}{}{}{}</Contents>",
        element("Key", key),
        element("LastModified", &iso(object.modified_ms)),
        element("ETag", &format!("\"{}\"", object.etag)),
        element("Size", &object.size.to_string()),
        element("StorageClass", "STANDARD"),
        owner.unwrap_or_default(),
    )
}

fn encode_token(last: &str) -> String {
    URL_SAFE_NO_PAD.encode(format!("1{last}"))
}

fn decode_token(token: &str) -> Result<String, S3Error> {
    URL_SAFE_NO_PAD
        .decode(token)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .and_then(|text| text.strip_prefix('1').map(str::to_owned))
        .ok_or_else(|| {
            S3Error::new(
                Code::InvalidArgument,
                "the continuation token is not one of ours",
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_above_a_prefix_is_found() {
        fn check(prefix: &str, expected: Option<&str>) {
            assert_eq!(above(prefix).as_deref(), expected, "{prefix:?}");
        }
        check("a", Some("b"));
        check("a/", Some("a0"));
        check("a\u{10ffff}", Some("b"));
        check("\u{d7ff}", Some("\u{e000}"));
        check("\u{10ffff}", None);
        check("", None);
    }
}
