//! Finds topic and message in the text of a PublishToTopic request.
//!
//! The whole text is checked as JSON, as strictly as `serde_json` would, but no tree is built:
//! what the event needs of it is borrowed. `tests` compares every answer with that of a reader
//! which parses the request.

mod cursor;
mod words;

use cursor::{Cursor, Fault, Text};
use std::borrow::Cow;
use sward_ipc_model::{Blob, IpcError};

/// What to deliver.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Publish<'a> {
    pub(crate) topic: Cow<'a, str>,
    /// The topic as JSON text, quotes included.
    pub(crate) topic_json: &'a [u8],
    pub(crate) body: Body<'a>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Body<'a> {
    /// The JSON text of an object.
    Json(&'a [u8]),
    /// Padded base64 without quotes.
    Binary(Cow<'a, [u8]>),
}

/// A message member as found: absent and `null` are the same.
#[derive(Clone, Copy, Default)]
struct Found<'a> {
    json: Option<Option<&'a [u8]>>,
    binary: Option<Option<&'a [u8]>>,
}

/// Reads a request.
pub(crate) fn scan(payload: &[u8]) -> Result<Publish<'_>, IpcError> {
    let text = std::str::from_utf8(payload)
        .map_err(|error| malformed(error.valid_up_to(), "the text is not UTF-8"))?;
    let mut cursor = Cursor::new(text);
    let (topic, message) =
        request(&mut cursor).map_err(|fault| malformed(fault.offset, fault.reason))?;
    let topic = topic.ok_or_else(|| IpcError::invalid("Topic is required"))?;
    let message = message.ok_or_else(|| IpcError::invalid("Publish message is required"))?;
    let body = match (message.json, message.binary) {
        (Some(_), Some(_)) => {
            return Err(IpcError::invalid(
                "The publish message is both JSON and binary",
            ));
        }
        (Some(json), None) => Body::Json(
            json.filter(|value| value.starts_with(b"{"))
                .ok_or_else(|| IpcError::invalid("A JSON message must be an object"))?,
        ),
        (None, Some(binary)) => Body::Binary(base64(binary)?),
        (None, None) => {
            return Err(IpcError::invalid(
                "The publish message is neither JSON nor binary",
            ));
        }
    };
    let topic_json = topic.span;
    Ok(Publish {
        topic: text_value(topic)?,
        topic_json,
        body,
    })
}

fn malformed(offset: usize, reason: &str) -> IpcError {
    IpcError::invalid(format!(
        "The request is not valid: {reason} at byte {offset}"
    ))
}

type Members<'a> = (Option<Text<'a>>, Option<Found<'a>>);

/// The top level: `topic` and `publishMessage`. A repeated member is a fault.
fn request<'a>(cursor: &mut Cursor<'a>) -> Result<Members<'a>, Fault> {
    let mut topic = None;
    let mut message = None;
    let (mut has_topic, mut has_message) = (false, false);
    cursor.object(|cursor, key| {
        if key.is("topic") {
            cursor.once(&mut has_topic)?;
            topic = cursor.nullable_text()?;
        } else if key.is("publishMessage") {
            cursor.once(&mut has_message)?;
            message = match cursor.null()? {
                true => None,
                false => Some(publish_message(cursor)?),
            };
        } else {
            cursor.value()?;
        }
        Ok(())
    })?;
    cursor.end()?;
    Ok((topic, message))
}

fn publish_message<'a>(cursor: &mut Cursor<'a>) -> Result<Found<'a>, Fault> {
    let mut found = Found::default();
    let (mut has_json, mut has_binary) = (false, false);
    cursor.object(|cursor, key| {
        if key.is("jsonMessage") {
            cursor.once(&mut has_json)?;
            found.json = message(cursor)?;
        } else if key.is("binaryMessage") {
            cursor.once(&mut has_binary)?;
            found.binary = message(cursor)?;
        } else {
            cursor.value()?;
        }
        Ok(())
    })?;
    Ok(found)
}

/// One of the two forms: its `message` as JSON text, `None` for `null`.
fn message<'a>(cursor: &mut Cursor<'a>) -> Result<Option<Option<&'a [u8]>>, Fault> {
    if cursor.null()? {
        return Ok(None);
    }
    let mut content = None;
    let mut has_message = false;
    cursor.object(|cursor, key| {
        if key.is("message") {
            cursor.once(&mut has_message)?;
            let value = cursor.value()?;
            content = (value != b"null").then_some(value);
        } else {
            cursor.value()?;
        }
        Ok(())
    })?;
    Ok(Some(content))
}

fn text_value(text: Text<'_>) -> Result<Cow<'_, str>, IpcError> {
    if text.has_escape {
        serde_json::from_slice(text.span)
            .map(Cow::Owned)
            .map_err(|error| IpcError::invalid(format!("The topic is not valid: {error}")))
    } else {
        Ok(Cow::Borrowed(text.content()))
    }
}

/// The base64 text of a binary message: as it came where clients can read it as it is.
fn base64(value: Option<&[u8]>) -> Result<Cow<'_, [u8]>, IpcError> {
    let fault = || IpcError::invalid("A binary message must be base64 text");
    let value = value.ok_or_else(fault)?;
    let content = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""))
        .ok_or_else(fault)?;
    if is_padded_base64(content) {
        return Ok(Cow::Borrowed(content));
    }
    // Escaped (Java writes `=` as \u003d) or unpadded.
    let text: String = serde_json::from_slice(value).map_err(|_| fault())?;
    if is_padded_base64(text.as_bytes()) {
        return Ok(Cow::Owned(text.into_bytes()));
    }
    let bytes = Blob::decode(&text).ok_or_else(fault)?;
    Ok(Cow::Owned(Blob::encode(&bytes).into_bytes()))
}

fn is_padded_base64(text: &[u8]) -> bool {
    if !text.len().is_multiple_of(4) {
        return false;
    }
    let digits = match text {
        [digits @ .., b'=', b'='] | [digits @ .., b'='] => digits,
        digits => digits,
    };
    words::is_all_base64(digits)
}

#[cfg(test)]
mod tests;
