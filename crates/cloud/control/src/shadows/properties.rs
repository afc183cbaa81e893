//! The MQTT 5 properties that a publisher over HTTPS gives in headers and query (wire-protocols §6.3).

use crate::fault::{Fault, Outcome};
use crate::ports::MessageProperties;
use crate::request::Call;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value as Json};

const USER: &str = "x-amz-mqtt5-user-properties";
const FORMAT: &str = "x-amz-mqtt5-payload-format-indicator";
const CORRELATION: &str = "x-amz-mqtt5-correlation-data";

/// What the call says of its message.
pub(super) fn read(call: &Call<'_>) -> Outcome<MessageProperties> {
    let text = |name: &str| call.query(name).map(str::to_owned);
    let response_topic = text("responseTopic");
    if response_topic
        .as_deref()
        .is_some_and(|topic| topic.is_empty() || topic.contains(['+', '#', '\0']))
    {
        return Err(Fault::field(
            "responseTopic",
            "a response topic is not empty and has no wildcard",
        ));
    }
    let message_expiry = match call.query("messageExpiry") {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| {
            Fault::field(
                "messageExpiry",
                format!("\"{text}\" is not a number of seconds"),
            )
        })?),
    };
    Ok(MessageProperties {
        content_type: text("contentType"),
        response_topic,
        correlation_data: match call.request.header(CORRELATION) {
            None => None,
            Some(text) => Some(decode("correlationData", text)?),
        },
        payload_format_indicator: match call.request.header(FORMAT) {
            None => None,
            Some("UNSPECIFIED_BYTES") => Some(0),
            Some("UTF8_DATA") => Some(1),
            Some(other) => {
                return Err(Fault::field(
                    "payloadFormatIndicator",
                    format!("\"{other}\" is not UNSPECIFIED_BYTES or UTF8_DATA"),
                ));
            }
        },
        message_expiry,
        user_properties: match call.request.header(USER) {
            None => Vec::new(),
            Some(text) => user_properties(&decode("userProperties", text)?)?,
        },
    })
}

fn decode(member: &str, text: &str) -> Outcome<Bytes> {
    STANDARD
        .decode(text)
        .map(Bytes::from)
        .map_err(|error| Fault::field(member, format!("it is not base64: {error}")))
}

/// `[{"name": "value"}, …]`.
fn user_properties(json: &[u8]) -> Outcome<Vec<(String, String)>> {
    let bad = |why: String| Fault::field("userProperties", why);
    let list: Vec<Map<String, Json>> = serde_json::from_slice(json)
        .map_err(|error| bad(format!("they are not a list of objects: {error}")))?;
    let mut pairs = Vec::new();
    for (name, value) in list.into_iter().flatten() {
        match value {
            Json::String(value) => pairs.push((name, value)),
            other => return Err(bad(format!("the value of {name} is {other}, not a text"))),
        }
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_properties_keep_order_and_repetition() {
        let read = user_properties(br#"[{"k":"v"},{"k":"w","a":""}]"#).expect("they are good");
        let pairs: Vec<(&str, &str)> = read.iter().map(|(a, b)| (&**a, &**b)).collect();
        assert_eq!(pairs, [("k", "v"), ("k", "w"), ("a", "")]);
        for bad in ["", "{}", r#"[["k","v"]]"#, r#"[{"k":1}]"#] {
            assert!(user_properties(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
