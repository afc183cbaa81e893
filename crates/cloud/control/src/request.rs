//! One API call as the services read it: path segments, typed body, paging.

use crate::fault::{Fault, Outcome, Refusal};
use crate::scope::Scope;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sward_aws_wire::api::{ApiRequest, ApiResponse, Caller};

/// A verified call with its path taken apart.
#[derive(Debug)]
pub(crate) struct Call<'a> {
    pub(crate) caller: &'a Caller,
    pub(crate) scope: Scope,
    pub(crate) request: &'a ApiRequest,
    /// Decoded segments, without the empty one in front.
    path: Vec<String>,
}

impl<'a> Call<'a> {
    pub(crate) fn new(caller: &'a Caller, request: &'a ApiRequest) -> Outcome<Self> {
        let trimmed = request.path.strip_prefix('/').unwrap_or(&request.path);
        let mut path = Vec::new();
        if !trimmed.is_empty() {
            for segment in trimmed.split('/') {
                path.push(percent_decode(segment)?);
            }
        }
        Ok(Call {
            caller,
            scope: Scope::of(caller),
            request,
            path,
        })
    }

    pub(crate) fn method(&self) -> &str {
        &self.request.method
    }

    pub(crate) fn segments(&self) -> Vec<&str> {
        self.path.iter().map(String::as_str).collect()
    }

    /// A query parameter that is present and not empty.
    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.request.query(name).filter(|value| !value.is_empty())
    }

    /// A query parameter that is `true` or absent.
    pub(crate) fn flag(&self, name: &str) -> Outcome<bool> {
        match self.query(name) {
            None => Ok(false),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(Fault::field(
                name,
                format!("\"{text}\" is not true or false"),
            )),
        }
    }

    /// A required header.
    pub(crate) fn header(&self, name: &str) -> Outcome<&str> {
        self.request
            .header(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| Fault::field(name, format!("header {name} is missing")))
    }

    /// The body as JSON of a type; an empty body is `{}`.
    pub(crate) fn body<T: DeserializeOwned>(&self) -> Outcome<T> {
        let bytes: &[u8] = if self.request.body.is_empty() {
            b"{}"
        } else {
            &self.request.body
        };
        let value: Value = serde_json::from_slice(bytes).map_err(|error| {
            let mut fault = Fault::new(Refusal::Unparsable, "the body is not JSON");
            fault.report = fault.report.caused_by_error(&error);
            fault
        })?;
        if !value.is_object() {
            return Err(Fault::new(
                Refusal::Unparsable,
                "the body is not a JSON object",
            ));
        }
        serde_json::from_value(drop_nulls(value)).map_err(|error| {
            Fault::new(
                Refusal::Invalid,
                format!("the body does not fit this operation: {error}"),
            )
        })
    }

    /// The page asked for, by the names that the operation uses for its size and token.
    pub(crate) fn page(
        &self,
        sizes: &[&str],
        tokens: &[&str],
        default: usize,
        most: usize,
    ) -> Outcome<Page> {
        let mut size = default;
        for name in sizes {
            if let Some(text) = self.query(name) {
                size = text
                    .parse()
                    .ok()
                    .filter(|number| (1..=most).contains(number))
                    .ok_or_else(|| {
                        Fault::field(name, format!("\"{text}\" is not a number from 1 to {most}"))
                    })?;
            }
        }
        let mut after = None;
        for name in tokens {
            if let Some(text) = self.query(name) {
                after = Some(Position::decode(text).ok_or_else(|| {
                    Fault::field(name, "the token does not come from this service")
                })?);
            }
        }
        Ok(Page { size, after })
    }

    /// No operation has this method and path.
    pub(crate) fn unknown(&self) -> Fault {
        Fault::new(
            Refusal::UnknownOperation,
            format!(
                "no operation answers {} {}",
                self.request.method, self.request.path
            ),
        )
    }
}

/// Absent and null members mean the same on the wire.
fn drop_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => members
            .into_iter()
            .filter(|(_, member)| !member.is_null())
            .collect::<serde_json::Map<_, _>>()
            .into(),
        other => other,
    }
}

/// Decodes `%XX`; anything else stays, so that raw ARNs pass too.
pub(crate) fn percent_decode(text: &str) -> Outcome<String> {
    let bad = || {
        Fault::new(
            Refusal::Invalid,
            format!("\"{text}\" in the path is not percent-encoded UTF-8"),
        )
    };
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'%' {
            let digits = bytes.get(at + 1..at + 3).ok_or_else(bad)?;
            let digits = std::str::from_utf8(digits).map_err(|_| bad())?;
            decoded.push(u8::from_str_radix(digits, 16).map_err(|_| bad())?);
            at += 3;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    String::from_utf8(decoded).map_err(|_| bad())
}

/// Where a page begins: behind the item of that key, or at that number where the item is gone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Position {
    number: usize,
    key: String,
}

impl Position {
    fn encode(&self) -> String {
        URL_SAFE_NO_PAD.encode(json!(["p", self.number, self.key]).to_string())
    }

    fn decode(token: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (mark, number, key): (String, usize, String) = serde_json::from_slice(&bytes).ok()?;
        (mark == "p").then_some(Position { number, key })
    }
}

/// Which part of a list the caller wants.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    size: usize,
    after: Option<Position>,
}

impl Page {
    /// The asked-for part of a sorted list, and the token of the next one.
    pub(crate) fn cut<T>(
        &self,
        items: Vec<T>,
        key: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let start = match &self.after {
            None => 0,
            Some(position) => items
                .iter()
                .position(|item| key(item) == position.key)
                .map_or(position.number.min(items.len()), |found| found + 1),
        };
        let total = items.len();
        let part: Vec<T> = items.into_iter().skip(start).take(self.size).collect();
        let end = start + part.len();
        let token = part.last().filter(|_| end < total).map(|last| {
            Position {
                number: end,
                key: key(last),
            }
            .encode()
        });
        (part, token)
    }
}

/// A 200 answer.
pub(crate) fn ok(body: Value) -> ApiResponse {
    ApiResponse::json(200, &body)
}

/// A list answer; the token's member is left out on the last page.
pub(crate) fn listed(
    name: &str,
    items: Vec<Value>,
    token_name: &str,
    token: Option<String>,
) -> ApiResponse {
    let mut body = serde_json::Map::new();
    body.insert(name.to_owned(), Value::Array(items));
    if let Some(token) = token {
        body.insert(token_name.to_owned(), Value::String(token));
    }
    ok(Value::Object(body))
}

/// A timestamp of a control-plane body: epoch seconds with a fraction.
#[expect(
    clippy::cast_precision_loss,
    reason = "milliseconds of our age are far below 2^53"
)]
pub(crate) fn seconds(ms: i64) -> Value {
    json!(ms as f64 / 1000.0)
}

/// An object without its absent members.
pub(crate) fn object<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    members
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(size: usize, token: Option<&str>) -> Page {
        Page {
            size,
            after: token.map(|text| Position::decode(text).expect("a token of ours")),
        }
    }

    #[test]
    fn pages_cover_a_list_once_even_when_an_item_goes() {
        let items: Vec<String> = (0..7).map(|number| format!("item{number}")).collect();
        let (first, token) = page(3, None).cut(items.clone(), Clone::clone);
        assert_eq!(first, ["item0", "item1", "item2"]);
        let token = token.expect("more is left");
        let (second, _) = page(3, Some(&token)).cut(items.clone(), Clone::clone);
        assert_eq!(second, ["item3", "item4", "item5"]);
        let mut fewer = items;
        fewer.remove(0);
        let (second, token) = page(3, Some(&token)).cut(fewer, Clone::clone);
        assert_eq!(second, ["item3", "item4", "item5"]);
        let (last, none) = page(3, token.as_deref())
            .cut(vec!["item5".to_owned(), "item6".to_owned()], Clone::clone);
        assert_eq!(last, ["item6"]);
        assert_eq!(none, None);
    }

    #[test]
    fn foreign_tokens_are_refused() {
        for token in ["", "x", "AAAA", "eyJhIjoxfQ", "WyJxIiwwLCIiXQ"] {
            assert_eq!(Position::decode(token), None, "{token}");
        }
    }

    #[test]
    fn segments_are_decoded_once() {
        fn check(text: &str, expected: Option<&str>) {
            assert_eq!(percent_decode(text).ok().as_deref(), expected, "{text}");
        }
        check("arn%3Aaws%3Aiot", Some("arn:aws:iot"));
        check("arn:aws:iot", Some("arn:aws:iot"));
        check("a%252Fb", Some("a%2Fb"));
        check("%", None);
        check("%4", None);
        check("%zz", None);
        check("%ff", None);
    }
}
