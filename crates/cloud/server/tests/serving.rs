//! A whole cloud in this process: started, asked with signed calls, stopped, started again.

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;
use sward_diagnosis::Report;
use sward_net::http::{Body, Client, ClientOptions, Request, collect, full};
use sward_server::CloudOptions;
use sward_sigv4::{Credentials, Payload, sign};
use sward_task::Tasks;
use tokio::task::JoinHandle;

const DEADLINE: Duration = Duration::from_secs(60);

struct Cloud {
    tasks: Tasks,
    running: JoinHandle<Result<(), Report>>,
    client: Client,
    client_tasks: Tasks,
    api: String,
    credentials: Credentials,
}

async fn start(directory: &Path) -> Cloud {
    let tasks = Tasks::new();
    let endpoints = directory.join("endpoints.json");
    if endpoints.exists() {
        std::fs::remove_file(&endpoints).expect("removed");
    }
    let serving = sward_server::run(CloudOptions::on_loopback(directory), tasks.clone());
    let running = Tasks::new().spawn("cloud", serving);
    let written = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while !endpoints.exists() {
            assert!(
                !running.is_finished(),
                "the cloud ended before it was ready"
            );
            tick.tick().await;
        }
    };
    tokio::time::timeout(DEADLINE, written)
        .await
        .expect("ready in time");
    let text = std::fs::read_to_string(&endpoints).expect("readable");
    let endpoints: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let text = std::fs::read_to_string(directory.join("credentials")).expect("readable");
    let pairs: HashMap<&str, &str> = text.lines().filter_map(|l| l.split_once(" = ")).collect();
    let client_tasks = Tasks::new();
    Cloud {
        client: Client::new(&client_tasks, None, ClientOptions::default()),
        client_tasks,
        tasks,
        running,
        api: endpoints["api"].as_str().expect("a URL").to_owned(),
        credentials: Credentials {
            access_key_id: pairs["aws_access_key_id"].to_owned(),
            secret_access_key: pairs["aws_secret_access_key"].to_owned(),
            session_token: None,
        },
    }
}

impl Cloud {
    async fn send(&self, request: Request<Body>) -> (u16, String, String) {
        let answer = self.client.send(request).await.expect("answered");
        let header = |name: &str| {
            let value = answer.headers().get(name);
            value
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_owned()
        };
        let (status, code) = (answer.status().as_u16(), header("x-amzn-errortype"));
        assert!(
            !header("x-amzn-requestid").is_empty(),
            "every answer has one"
        );
        let body = collect(answer.into_body(), 1 << 20).await.expect("a body");
        (
            status,
            code,
            String::from_utf8(body.to_vec()).expect("text"),
        )
    }

    async fn call(
        &self,
        (method, path): (&str, &str),
        service: &str,
        credentials: &Credentials,
        body: &str,
    ) -> (u16, String, String) {
        let host = self.api.trim_start_matches("http://").to_owned();
        let headers = [("host".to_owned(), host)];
        let signed = sward_sigv4::Request {
            method,
            path,
            query: "",
            headers: &headers,
        };
        let now = jiff::Timestamp::now().as_second();
        let payload = Payload::Bytes(body.as_bytes());
        let added = sign(&signed, payload, credentials, "us-east-1", service, now);
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.api));
        for (name, value) in headers.iter().chain(&added) {
            request = request.header(name, value);
        }
        self.send(request.body(full(body.to_owned())).expect("a request"))
            .await
    }

    async fn stop(self) {
        self.tasks.token().cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.running).await;
        ended
            .expect("stops in time")
            .expect("without panic")
            .expect("without error");
        self.client_tasks
            .shutdown(DEADLINE)
            .await
            .expect("the client ends");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cloud_serves_refuses_stops_and_remembers() {
    let directory = tempfile::tempdir().expect("a directory");
    let cloud = start(directory.path()).await;
    let good = cloud.credentials.clone();

    let plain = Request::builder().uri(format!("{}/healthz", cloud.api));
    let (status, _, body) = cloud.send(plain.body(full("")).expect("a request")).await;
    assert_eq!((status, body.as_str()), (200, "ok\n"));
    let console = Request::builder().uri(format!("{}/console", cloud.api));
    let (status, _, body) = cloud.send(console.body(full("")).expect("a request")).await;
    assert_eq!(status, 501);
    assert!(body.contains("not built yet"), "{body}");

    let create = ("POST", "/things/first");
    let (status, _, body) = cloud.call(create, "iot", &good, "{}").await;
    assert_eq!(status, 200, "{body}");

    let mut bad = good.clone();
    bad.secret_access_key.push('x');
    let (status, code, _) = cloud.call(("GET", "/things"), "iot", &bad, "").await;
    assert_eq!((status, code.as_str()), (403, "InvalidSignatureException"));
    let mut unknown = good.clone();
    unknown.access_key_id = "AKIAOTHER".to_owned();
    let (status, code, _) = cloud.call(("GET", "/things"), "iot", &unknown, "").await;
    assert_eq!(
        (status, code.as_str()),
        (403, "UnrecognizedClientException")
    );
    let (status, _, body) = cloud.call(("GET", "/bucket"), "s3", &bad, "").await;
    assert_eq!(status, 403);
    assert!(
        body.contains("<Code>SignatureDoesNotMatch</Code>"),
        "{body}"
    );
    let (status, code, _) = cloud.call(("GET", "/"), "logs", &good, "").await;
    assert_eq!((status, code.as_str()), (400, "UnknownOperationException"));
    let form = "Action=GetCallerIdentity&Version=2011-06-15";
    let (status, _, body) = cloud.call(("POST", "/"), "sts", &good, form).await;
    assert_eq!(status, 200);
    assert!(body.contains("arn:aws:iam::123456789012:root"), "{body}");

    assert_eq!(cloud.call(("PUT", "/bucket"), "s3", &good, "").await.0, 200);
    assert_eq!(
        cloud
            .call(("PUT", "/bucket/k"), "s3", &good, "kept")
            .await
            .0,
        200
    );
    cloud.stop().await;

    let cloud = start(directory.path()).await;
    assert_eq!(cloud.credentials.access_key_id, good.access_key_id);
    let (status, _, body) = cloud.call(("GET", "/things"), "iot", &good, "").await;
    assert_eq!(status, 200);
    assert!(body.contains("\"first\""), "{body}");
    let (status, _, body) = cloud.call(("GET", "/bucket/k"), "s3", &good, "").await;
    assert_eq!((status, body.as_str()), (200, "kept"));
    cloud.stop().await;
}
