//! The client against a server that checks signatures.

use super::*;
use crate::credentials::{CredentialRetry, CredentialsSettings};
use futures_util::StreamExt as _;
use std::collections::VecDeque;
use std::future::Future;
use sward_net::http::{ClientOptions, HandlerFn, IncomingRequest, ServeOptions, full, serve};
use sward_sigv4::{Presented, Request as Signed};
use sward_task::Tasks;

type Answers = Arc<Mutex<VecDeque<(u16, Vec<(&'static str, &'static str)>, &'static str)>>>;
type Seen = Arc<Mutex<Vec<String>>>;

async fn serve_with<F, R>(tasks: &Tasks, handler: F) -> String
where
    F: Fn(IncomingRequest) -> R + Send + Sync + 'static,
    R: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let handler = Arc::new(HandlerFn(move |request, _| handler(request)));
    tasks.spawn(
        "server",
        serve(listener, handler, ServeOptions::new("test"), tasks.clone()),
    );
    url
}

/// Serves objects; every request must be signed with the secret that belongs to its key.
async fn objects(tasks: &Tasks, answers: Answers, seen: Seen) -> String {
    serve_with(tasks, move |request: IncomingRequest| {
        let (answers, seen) = (answers.clone(), seen.clone());
        async move {
            let (head, _) = request.into_parts();
            let headers: Vec<_> = head
                .headers
                .iter()
                .map(|(name, value)| (name.to_string(), value.to_str().expect("text").to_owned()))
                .collect();
            let signed = Signed {
                method: head.method.as_str(),
                path: head.uri.path(),
                query: "",
                headers: &headers,
            };
            let presented = Presented::parse(&signed).expect("signed");
            let key = presented.access_key_id.clone();
            let region = presented.scope.region.clone();
            let token = signed
                .header("x-amz-security-token")
                .unwrap_or("")
                .to_owned();
            let now = SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .expect("after 1970")
                .as_secs();
            presented
                .verify(&signed, &format!("secret-{key}"), None, now as i64)
                .expect("the signature is right");
            let range = signed.header("range").unwrap_or("");
            seen.lock().expect("not poisoned").push(format!(
                "{} {} {range} {key} {token} {region}",
                head.method, head.uri
            ));
            let next = answers.lock().expect("not poisoned").pop_front();
            let (status, headers, body) = next.expect("no more requests are expected");
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(full(body)).expect("a response")
        }
    })
    .await
}

/// Hands out K1, K2, … with secrets `secret-K1`, ….
async fn provider(tasks: &Tasks) -> CredentialsHandle {
    let count = Arc::new(Mutex::new(0));
    let url = serve_with(tasks, move |_| {
        let count = count.clone();
        async move {
            let mut count = count.lock().expect("not poisoned");
            *count += 1;
            let body = format!(
                r#"{{"credentials":{{"accessKeyId":"K{count}","secretAccessKey":"secret-K{count}","sessionToken":"token{count}","expiration":"2999-01-01T00:00:00Z"}}}}"#
            );
            Response::new(full(body))
        }
    })
    .await;
    let settings = CredentialsSettings {
        endpoint: url,
        role_alias: "A".into(),
        thing: "T".into(),
        client: Client::new(tasks, None, ClientOptions::default()),
        retry: CredentialRetry::default(),
    };
    CredentialsHandle::start(settings, tasks)
}

#[tokio::test]
async fn objects_regions_and_stale_keys() {
    let tasks = Tasks::new();
    let (answers, seen) = (Answers::default(), Seen::default());
    let url = objects(&tasks, answers.clone(), seen.clone()).await;
    let client = Client::new(&tasks, None, ClientOptions::default());
    let s3 = S3::new(
        S3Endpoint::Url(url),
        "us-east-1",
        client,
        provider(&tasks).await,
    );
    answers.lock().expect("not poisoned").extend([
        (200, vec![], "hello"),
        (206, vec![("content-range", "bytes 2-4/5")], "llo"),
        (301, vec![("x-amz-bucket-region", "eu-west-1")], ""),
        (200, vec![], "moved"),
        (
            400,
            vec![],
            "<Error><Code>ExpiredToken</Code><Message>old</Message></Error>",
        ),
        (200, vec![], "renewed"),
        (
            403,
            vec![],
            "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>",
        ),
        (
            404,
            vec![],
            "<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>",
        ),
        (200, vec![("etag", "\"e\"")], ""),
    ]);
    let whole = s3.get("b", "a folder/x+y.txt", 0).await.expect("an object");
    assert_eq!(whole.total_bytes, Some(5));
    let chunks: Vec<_> = whole.chunks().collect().await;
    assert_eq!(chunks.len(), 1);
    assert_eq!(s3.get("b", "k", 2).await.expect("an object").offset, 2);
    assert_eq!(
        s3.get("far", "k", 0).await.expect("an object").total_bytes,
        Some(5)
    );
    assert_eq!(
        s3.get("far", "k", 0).await.expect("an object").total_bytes,
        Some(7)
    );
    let denied = s3.get("b", "k", 0).await.map(|_| ()).expect_err("denied");
    assert!(
        matches!(&denied, CloudCallError::Refused { status: 403, exception, .. } if exception == "AccessDenied")
    );
    assert_eq!(
        s3.get("b", "k", 0)
            .await
            .map(|_| ())
            .expect_err("gone")
            .status(),
        Some(404)
    );
    assert_eq!(
        s3.head("b", "k").await.expect("a head").etag,
        Some("\"e\"".into())
    );
    assert_eq!(
        *seen.lock().expect("not poisoned"),
        [
            "GET /b/a%20folder/x%2By.txt  K1 token1 us-east-1",
            "GET /b/k bytes=2- K1 token1 us-east-1",
            "GET /far/k  K1 token1 us-east-1",
            "GET /far/k  K1 token1 eu-west-1",
            "GET /far/k  K1 token1 eu-west-1",
            "GET /far/k  K2 token2 eu-west-1",
            "GET /b/k  K2 token2 us-east-1",
            "GET /b/k  K2 token2 us-east-1",
            "HEAD /b/k  K2 token2 us-east-1",
        ]
    );
}

#[tokio::test]
async fn hosts() {
    let tasks = Tasks::new();
    let client = Client::new(&tasks, None, ClientOptions::default());
    let credentials = provider(&tasks).await;
    let aws = S3::new(S3Endpoint::Aws, "r", client.clone(), credentials.clone());
    let ours = S3::new(
        S3Endpoint::Url("https://10.0.0.1:1/".into()),
        "r",
        client,
        credentials,
    );
    for (s3, bucket, region, expected) in [
        (
            &aws,
            "b",
            "eu-west-1",
            "https://b.s3.eu-west-1.amazonaws.com/k",
        ),
        (
            &aws,
            "b.c",
            "eu-west-1",
            "https://s3.eu-west-1.amazonaws.com/b.c/k",
        ),
        (
            &aws,
            "b",
            "cn-north-1",
            "https://b.s3.cn-north-1.amazonaws.com.cn/k",
        ),
        (&ours, "b", "r", "https://10.0.0.1:1/b/k"),
    ] {
        assert_eq!(s3.url(bucket, "k", region), expected);
    }
}
