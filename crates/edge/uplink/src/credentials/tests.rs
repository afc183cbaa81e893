//! What is kept, and for how long.

use super::*;
use std::collections::VecDeque;
use std::sync::Mutex;
use sward_net::http::{
    ClientOptions, HandlerFn, IncomingRequest, Response, ServeOptions, full, serve,
};

async fn provider(tasks: &Tasks, script: Vec<(u16, String)>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let seen = Arc::new(Mutex::new(Vec::new()));
    let (requests, answers) = (seen.clone(), Mutex::new(VecDeque::from(script)));
    let handler = HandlerFn(move |request: IncomingRequest, _| {
        let thing = request.headers().get("x-amzn-iot-thingname").cloned();
        let thing = thing.expect("a thing name");
        let line = format!("{} {}", request.uri(), thing.to_str().expect("text"));
        requests.lock().expect("not poisoned").push(line);
        let next = answers.lock().expect("not poisoned").pop_front();
        let (status, body) = next.expect("no more requests are expected");
        let response = Response::builder().status(status).body(full(body));
        async move { response.expect("a response") }
    });
    let options = ServeOptions::new("test");
    tasks.spawn(
        "server",
        serve(listener, Arc::new(handler), options, tasks.clone()),
    );
    (url, seen)
}

fn keys(id: &str, expiration: &str) -> (u16, String) {
    let body = format!(
        r#"{{"credentials":{{"accessKeyId":"{id}","secretAccessKey":"s","sessionToken":"t","expiration":"{expiration}"}}}}"#
    );
    (200, body)
}

fn settings(tasks: &Tasks, endpoint: &str) -> CredentialsSettings {
    CredentialsSettings {
        endpoint: endpoint.into(),
        role_alias: "My Alias".into(),
        thing: "T".into(),
        client: Client::new(tasks, None, ClientOptions::default()),
        retry: CredentialRetry {
            server_error: Duration::ZERO,
            ..CredentialRetry::default()
        },
    }
}

#[tokio::test]
async fn credentials_and_refusals_are_kept() {
    let tasks = Tasks::new();
    let soon = jiff::Timestamp::now() + Duration::from_secs(299);
    let (url, seen) = provider(
        &tasks,
        vec![
            keys("K1", "2999-01-01T00:00:00Z"),
            keys("K2", &soon.to_string()),
            keys("K3", "2999-01-01T00:00:00Z"),
            (500, "later".into()),
            (403, r#"{"message": "Access Denied"}"#.into()),
            keys("K4", "nonsense"),
            (200, "{}".into()),
        ],
    )
    .await;
    let handle = CredentialsHandle::start(settings(&tasks, &url), &tasks);
    let id = |answer: Answer| answer.expect("credentials").access_key_id;
    assert_eq!(id(handle.get().await), "K1");
    let kept = handle.get().await.expect("credentials");
    assert_eq!(kept.access_key_id, "K1");
    handle.forget(&kept);
    // Good for less than five minutes: used once, asked anew.
    assert_eq!(id(handle.get().await), "K2");
    assert_eq!(id(handle.get().await), "K3");
    // Forgetting what is not kept changes nothing.
    handle.forget(&kept);
    assert_eq!(id(handle.get().await), "K3");
    handle.reconfigure(settings(&tasks, &url));
    let refused = |answer: Answer| match answer {
        Err(CredentialsError::Refused { status, .. }) => status,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(handle.get().await), 500);
    assert_eq!(refused(handle.get().await), 403);
    assert_eq!(refused(handle.get().await), 403);
    handle.reconfigure(settings(&tasks, &url));
    assert_eq!(id(handle.get().await), "K4");
    handle.reconfigure(settings(&tasks, &url));
    assert!(matches!(
        handle.get().await,
        Err(CredentialsError::BadAnswer { .. })
    ));
    let seen = seen.lock().expect("not poisoned");
    assert_eq!(seen.len(), 7);
    assert_eq!(seen[0], "/role-aliases/My%20Alias/credentials T");
}

#[tokio::test]
async fn who_asks_together_asks_once() {
    let tasks = Tasks::new();
    // A second question would find nothing in the provider.
    let (url, seen) = provider(&tasks, vec![(500, "later".into())]).await;
    let handle = CredentialsHandle::start(settings(&tasks, &url), &tasks);
    let answers = tokio::join!(handle.get(), handle.get(), handle.get());
    for answer in [answers.0, answers.1, answers.2] {
        assert!(matches!(
            answer,
            Err(CredentialsError::Refused { status: 500, .. })
        ));
    }
    assert_eq!(seen.lock().expect("not poisoned").len(), 1);
}

/// A device without a clock of its own connects with the time at which it was switched off; what
/// it took for fresh then has long expired once the time is right.
#[tokio::test]
async fn a_clock_put_right_ends_what_was_kept() {
    static SECONDS: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(0);
    fn clock() -> jiff::Timestamp {
        let seconds = SECONDS.load(std::sync::atomic::Ordering::Relaxed);
        jiff::Timestamp::from_second(seconds).expect("a time")
    }
    let tasks = Tasks::new();
    let hour = keys("K1", "1970-01-11T01:00:00Z");
    let (url, _) = provider(&tasks, vec![hour, keys("K2", "1970-01-11T02:00:00Z")]).await;
    let (requests, receiver) = mpsc::channel(1);
    let settings = watch::Sender::new(settings(&tasks, &url));
    drop(requests);
    let mut keeper = Keeper {
        requests: receiver,
        settings: settings.subscribe(),
        kept: None,
        clock,
    };
    let id = |answer: Answer| answer.expect("credentials").access_key_id;
    let day = 86_400;
    SECONDS.store(7 * day, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(id(keeper.answer().await), "K1");
    assert_eq!(id(keeper.answer().await), "K1");
    let kept = keeper.kept.as_ref().expect("kept");
    assert!(
        kept.until <= Instant::now() + LONGEST_LIFE,
        "no clock makes them last for days"
    );
    SECONDS.store(10 * day + 3301, std::sync::atomic::Ordering::Relaxed);
    assert_eq!(id(keeper.answer().await), "K2");
}

#[test]
fn retry_times_are_read() {
    let read = |text: &str| {
        let section = serde_json::from_str(text).expect("JSON");
        let retry = CredentialRetry::from_configuration(&section);
        [retry.client_error, retry.server_error, retry.unknown_error].map(|time| time.as_secs())
    };
    assert_eq!(read("null"), [120, 60, 300]);
    assert_eq!(
        read(r#"{"clientError": 10, "serverError": "42900", "unknownError": 42901}"#),
        [10, 42_900, 300]
    );
    assert_eq!(
        read(r#"{"clientError": 9, "serverError": "soon"}"#),
        [120, 60, 300]
    );
}

#[tokio::test]
async fn nothing_configured_and_nobody_there() {
    let tasks = Tasks::new();
    let handle = CredentialsHandle::start(settings(&tasks, ""), &tasks);
    assert_eq!(handle.get().await, Err(CredentialsError::NotConfigured));
    handle.reconfigure(settings(&tasks, "http://127.0.0.1:1"));
    assert!(matches!(
        handle.get().await,
        Err(CredentialsError::Unreachable { .. })
    ));
}

#[test]
fn secrets_do_not_show() {
    let credentials = Credentials {
        access_key_id: "id".into(),
        secret_access_key: "hush".into(),
        session_token: "quiet".into(),
        expiration: "x".into(),
    };
    let shown = format!("{credentials:?}");
    assert!(!shown.contains("hush") && !shown.contains("quiet"));
}
