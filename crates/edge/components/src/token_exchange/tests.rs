//! The service over a real socket, against what a real nucleus answered.

use super::*;
use http::{Method, Request};
use serde_json::Value;
use std::sync::Mutex;
use sward_net::http::{Client, ClientOptions, collect, empty};

struct Source(Mutex<Option<Result<Credentials, CredentialFailure>>>);

impl CredentialSource for Source {
    fn credentials(&self) -> BoxFuture<'_, Result<Credentials, CredentialFailure>> {
        let answer = self.0.lock().expect("not poisoned").clone();
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

struct OneToken;

impl TokenAuthority for OneToken {
    fn may_have_credentials(&self, token: &str) -> bool {
        token == "<SVCUID>"
    }
}

fn credentials(value: &Value) -> Credentials {
    let text = |key: &str| value[key].as_str().expect("a text").to_owned();
    Credentials {
        access_key_id: text("accessKeyId"),
        secret_access_key: text("secretAccessKey"),
        session_token: text("sessionToken"),
        expiration: text("expiration"),
    }
}

async fn running(tasks: &Tasks) -> (TokenExchange, Arc<Source>) {
    let source = Arc::new(Source(Mutex::new(None)));
    let service = TokenExchange::start(0, source.clone(), Arc::new(OneToken), tasks);
    (service.await.expect("a free port"), source)
}

async fn ask(
    client: &Client,
    url: &str,
    method: Method,
    token: Option<&str>,
) -> (u16, Vec<(String, String)>, String) {
    let mut request = Request::builder().method(method).uri(url);
    if let Some(token) = token {
        request = request.header("Authorization", token);
    }
    let request = request.body(empty()).expect("a request");
    let response = client.send(request).await.expect("an answer");
    let status = response.status().as_u16();
    let headers = response.headers().iter();
    let headers = headers
        .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
        .filter(|(name, _)| name != "date")
        .collect();
    let body = collect(response.into_body(), 1 << 16)
        .await
        .expect("a body");
    (
        status,
        headers,
        String::from_utf8(body.to_vec()).expect("text"),
    )
}

/// Every call of the captures, in order, with the provider's answer of the same capture.
#[tokio::test]
#[expect(clippy::print_stderr, reason = "says aloud what is not tested")]
async fn the_answers_are_the_nucleus_s() {
    let directory = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../../shared/golden/wire"
    );
    let tasks = Tasks::new();
    let (service, source) = running(&tasks).await;
    let client = Client::new(&tasks, None, ClientOptions::default());
    let mut compared = 0;
    for name in ["java-token-exchange", "java-restart-cadence-telemetry"] {
        let path = format!("{directory}/{name}.jsonl");
        let Ok(text) = std::fs::read_to_string(&path) else {
            eprintln!("passed over: {path} is not there");
            return;
        };
        for line in text.lines() {
            let event: Value = serde_json::from_str(line).expect("captures are JSON lines");
            if event["server"] == "credentials-provider" && event["dir"] == "cloud" {
                let answer = match event["status"].as_u64() {
                    Some(200) => Ok(credentials(&event["payload"]["credentials"])),
                    status => Err(CredentialFailure {
                        status: status.and_then(|status| u16::try_from(status).ok()),
                        reason: provider_body(&event),
                    }),
                };
                *source.0.lock().expect("not poisoned") = Some(answer);
            }
            if event["kind"] == "http-call-to-nucleus" {
                compare(&client, service.port(), &event).await;
                compared += 1;
            }
        }
    }
    assert_eq!(compared, 12);
}

/// The body as it was sent; captures hold parsed JSON, which was written with a blank.
fn provider_body(event: &Value) -> String {
    match event.get("payload") {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string().replace("\":\"", "\": \""),
        None => String::new(),
    }
}

async fn compare(client: &Client, port: u16, event: &Value) {
    let request = &event["request"];
    let path = request["path"].as_str().expect("a path");
    let method = request["method"].as_str().expect("a method");
    let method = Method::from_bytes(method.as_bytes()).expect("a method");
    let token = request["headers"]["Authorization"].as_str();
    let url = format!("http://127.0.0.1:{port}{path}");
    let (status, headers, body) = ask(client, &url, method, token).await;
    assert_eq!(status, event["status"], "{request}");
    let expected = match &event["body"] {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    };
    assert_eq!(body, expected, "{request}");
    let expected: Vec<_> = event["headers"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|pair| {
            let text = |index: usize| pair[index].as_str().expect("a text").to_owned();
            (text(0).to_ascii_lowercase(), text(1))
        })
        .filter(|(name, _)| name != "date" && name != "connection")
        .collect();
    let mut headers = headers;
    headers.sort();
    assert_eq!(headers, expected, "{request}");
}

#[tokio::test]
async fn faults_of_the_source() {
    let tasks = Tasks::new();
    let (service, source) = running(&tasks).await;
    let client = Client::new(&tasks, None, ClientOptions::default());
    let url = format!("http://127.0.0.1:{}{PATH}", service.port());
    assert_eq!(
        service.uri(),
        format!("http://localhost:{}{PATH}", service.port())
    );
    for (status, expected) in [
        (Some(500), 500),
        (Some(404), 404),
        (None, 500),
        (Some(200), 500),
    ] {
        *source.0.lock().expect("not poisoned") = Some(Err(CredentialFailure {
            status,
            reason: "why".into(),
        }));
        let (got, _, body) = ask(&client, &url, Method::GET, Some("<SVCUID>")).await;
        assert_eq!(got, expected, "{status:?}");
        assert!(body.ends_with("why"));
    }
    let below = format!("{url}x");
    assert_eq!(
        ask(&client, &below, Method::GET, Some("<SVCUID>")).await.0,
        400
    );
    assert_eq!(ask(&client, &url, Method::GET, Some("")).await.0, 403);
}

#[test]
fn a_source_that_takes_too_long() {
    assert_eq!(answer::of_source(None).status(), 504);
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let tasks = Tasks::new();
    let (service, source) = running(&tasks).await;
    let again = TokenExchange::start(service.port(), source, Arc::new(OneToken), &tasks).await;
    assert_eq!(again.expect_err("taken").port, service.port());
}
