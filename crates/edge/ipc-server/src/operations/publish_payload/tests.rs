use super::*;
use serde_json::Value;
use sward_ipc_model::ErrorName;

fn check(payload: &str, topic: &str, body: &Body<'_>) {
    let found = scan(payload.as_bytes()).unwrap_or_else(|error| panic!("{payload}: {error}"));
    assert_eq!(found.topic, topic, "{payload}");
    assert_eq!(&found.body, body, "{payload}");
}

fn check_refused(payload: &str, expected: &str) {
    let error = scan(payload.as_bytes()).expect_err(payload);
    assert_eq!(error.name, ErrorName::InvalidArgumentsError);
    assert_eq!(error.message, expected, "{payload}");
}

fn binary(text: &str) -> Body<'_> {
    Body::Binary(Cow::Borrowed(text.as_bytes()))
}

#[test]
fn requests_of_real_clients_are_read() {
    check(
        r#"{"topic": "a/b", "publishMessage": {"binaryMessage": {"message": "aGk="}}}"#,
        "a/b",
        &binary("aGk="),
    );
    check(
        r#"{"topic":"a/b","publishMessage":{"jsonMessage":{"message":{"k":1.0, "l":[]}}}}"#,
        "a/b",
        &Body::Json(br#"{"k":1.0, "l":[]}"#),
    );
    // Java escapes the padding and sends members in another order.
    check(
        r#"{"publishMessage":{"binaryMessage":{"context":{"topic":"x"},"message":"aGk\u003d"}},"topic":"\u0061"}"#,
        "a",
        &binary("aGk="),
    );
    check(
        r#"{"topic":"t","publishMessage":{"binaryMessage":{"message":"aGk"},"jsonMessage":null},"more":[1,{}]}"#,
        "t",
        &binary("aGk="),
    );
    check(
        r#"{"topic":"","publishMessage":{"binaryMessage":{"message":""}}}"#,
        "",
        &binary(""),
    );
}

#[test]
fn what_is_wrong_is_said() {
    check_refused(r#"{"topic": "t"}"#, "Publish message is required");
    check_refused("{}", "Topic is required");
    check_refused(
        r#"{"topic":"t","publishMessage":{}}"#,
        "The publish message is neither JSON nor binary",
    );
    check_refused(
        r#"{"topic":"t","publishMessage":{"jsonMessage":{},"binaryMessage":{}}}"#,
        "The publish message is both JSON and binary",
    );
    for message in ["1", "[]", "\"x\"", "null"] {
        check_refused(
            &format!(
                r#"{{"topic":"t","publishMessage":{{"jsonMessage":{{"message":{message}}}}}}}"#
            ),
            "A JSON message must be an object",
        );
    }
    for message in ["1", "\"a?==\"", "\"a\"", "null"] {
        check_refused(
            &format!(
                r#"{{"topic":"t","publishMessage":{{"binaryMessage":{{"message":{message}}}}}}}"#
            ),
            "A binary message must be base64 text",
        );
    }
    check_refused(
        r#"{"topic":"t","topic":"t"}"#,
        "The request is not valid: a member is repeated at byte 21",
    );
    check_refused(
        r#"{"topic":1}"#,
        "The request is not valid: a text is expected at byte 9",
    );
    check_refused(
        "{\"topic\":\"a",
        "The request is not valid: a text is cut off at byte 11",
    );
}

/// The shapes by which `serde` finds repeated members.
#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "only whether they can be read counts")]
struct Request {
    topic: String,
    #[serde(rename = "publishMessage")]
    message: Forms,
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "only whether they can be read counts")]
struct Forms {
    #[serde(rename = "jsonMessage")]
    json: Option<Form>,
    #[serde(rename = "binaryMessage")]
    binary: Option<Form>,
}

#[derive(serde::Deserialize)]
#[expect(dead_code, reason = "only whether they can be read counts")]
struct Form {
    message: Option<Value>,
}

/// The event that a reader makes which parses the request: what the fast one must equal.
fn slow(payload: &[u8]) -> Option<(String, Value)> {
    serde_json::from_slice::<Request>(payload).ok()?;
    let request: Value = serde_json::from_slice(payload).ok()?;
    let request = request.as_object()?;
    let topic = request.get("topic")?.as_str()?.to_owned();
    let message = request.get("publishMessage")?.as_object()?;
    let of = |name: &str| match message.get(name) {
        None | Some(Value::Null) => Some(None),
        Some(Value::Object(form)) => Some(Some(form.get("message").cloned().unwrap_or_default())),
        Some(_) => None,
    };
    let message = match (of("jsonMessage")?, of("binaryMessage")?) {
        (Some(message @ Value::Object(_)), None) => message,
        (None, Some(Value::String(text))) => {
            let bytes = if is_padded_base64(text.as_bytes()) {
                return Some((topic, Value::String(text)));
            } else {
                Blob::decode(&text)?
            };
            Value::String(Blob::encode(&bytes))
        }
        _ => return None,
    };
    Some((topic, message))
}

fn fast(payload: &[u8]) -> Option<(String, Value)> {
    let found = scan(payload).ok()?;
    let topic: String =
        serde_json::from_slice(found.topic_json).expect("the topic's text is a JSON text");
    assert_eq!(topic, found.topic);
    let message = match &found.body {
        Body::Json(object) => serde_json::from_slice(object).ok()?,
        Body::Binary(base64) => {
            Value::String(String::from_utf8(base64.to_vec()).expect("base64 is ASCII"))
        }
    };
    Some((topic, message))
}

struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit.max(1) as u64).expect("below a usize")
    }
}

const PIECES: [&str; 20] = [
    "\"topic\":",
    "\"message\":",
    "null",
    "{}",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "\"",
    "\\u003d",
    "\\ud83d\\ude00",
    "\\ud800",
    "\\",
    "1.0",
    "-",
    "0",
    "e9",
    " ",
];

fn mutate(text: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..random.below(4) {
        let at = random.below(text.len());
        match random.below(4) {
            0 => text[at] = u8::try_from(random.below(128)).expect("ASCII"),
            1 => {
                let end = (at + random.below(8)).min(text.len());
                text.drain(at..end);
            }
            2 => {
                let piece = PIECES[random.below(PIECES.len())];
                text.splice(at..at, piece.bytes());
            }
            _ => {
                let from = random.below(text.len());
                let end = (from + random.below(40)).min(text.len());
                let piece = text[from..end].to_vec();
                text.splice(at..at, piece);
            }
        }
        if text.is_empty() {
            text.push(b'{');
        }
    }
}

#[test]
fn mutated_requests_are_read_as_a_parser_reads_them() {
    let seeds = [
        r#"{"topic": "a/b", "publishMessage": {"binaryMessage": {"message": "aGVsbG8="}}}"#,
        r#"{"topic":"a\u0062","publishMessage":{"jsonMessage":{"message":{"k":[1,-2.5e3,true,false,null,"x\n\ud83d\ude00é"]}}}}"#,
        r#"{"publishMessage":{"binaryMessage":{"message":"aGk\u003d","context":{"topic":"t"}},"jsonMessage":null},"topic":"t"}"#,
    ];
    let iterations = std::env::var("SWARD_FUZZ_ITERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000);
    let mut random = Random(0x5eed_0002);
    let mut accepted = 0;
    for _ in 0..iterations {
        let mut text = seeds[random.below(seeds.len())].as_bytes().to_vec();
        mutate(&mut text, &mut random);
        let (slow, fast) = (slow(&text), fast(&text));
        accepted += usize::from(fast.is_some());
        assert_eq!(fast, slow, "{}", String::from_utf8_lossy(&text));
    }
    assert!(accepted > iterations / 10, "{accepted} accepted");
}

#[test]
fn nesting_is_bounded_as_the_parser_bounds_it() {
    for depth in [100, 123, 124, 125, 126, 127, 128, 5000] {
        let text = format!(
            r#"{{"topic":"t","publishMessage":{{"jsonMessage":{{"message":{{"k":{}{}}}}}}}}}"#,
            "[".repeat(depth),
            "]".repeat(depth)
        );
        assert_eq!(fast(text.as_bytes()), slow(text.as_bytes()), "{depth}");
    }
}
