//! The client against a server that says what it is told to.

use super::*;
use crate::credentials::{CredentialRetry, CredentialsHandle, CredentialsSettings};
use crate::s3::{S3, S3Endpoint};
use futures_util::StreamExt as _;
use std::collections::VecDeque;
use std::sync::Mutex;
use sward_net::http::{ClientOptions, HandlerFn, IncomingRequest, ServeOptions, serve};
use sward_task::Tasks;

/// A request as it came: method, target, range header, body.
type Seen = Arc<Mutex<Vec<(String, String, String, String)>>>;
/// Answers in order: status, headers, body.
type Script = Vec<(u16, Vec<(&'static str, &'static str)>, &'static str)>;

async fn server(tasks: &Tasks, script: Script) -> (String, Seen) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let seen = Seen::default();
    let answers = Arc::new(Mutex::new(VecDeque::from(script)));
    let requests = seen.clone();
    let handler = HandlerFn(move |request: IncomingRequest, _| {
        let (answers, requests) = (answers.clone(), requests.clone());
        async move {
            let (head, body) = request.into_parts();
            let body = collect(body, 1 << 20).await.expect("a body");
            let range = head
                .headers
                .get("range")
                .map(|v| v.to_str().expect("text").to_owned());
            requests.lock().expect("not poisoned").push((
                head.method.to_string(),
                head.uri.to_string(),
                range.unwrap_or_default(),
                String::from_utf8_lossy(&body).into_owned(),
            ));
            let answer = answers.lock().expect("not poisoned").pop_front();
            let (status, headers, body) = answer.expect("no more requests are expected");
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            response.body(full(body)).expect("a response")
        }
    });
    let options = ServeOptions::new("test");
    tasks.spawn(
        "server",
        serve(listener, Arc::new(handler), options, tasks.clone()),
    );
    (url, seen)
}

fn client(tasks: &Tasks) -> Client {
    Client::new(tasks, None, ClientOptions::default())
}

async fn plane(tasks: &Tasks, script: Script) -> (DataPlane, Seen) {
    let (url, seen) = server(tasks, script).await;
    let settings = DataPlaneSettings {
        url,
        thing: "core 1".into(),
        client: client(tasks),
    };
    (DataPlane::new(settings), seen)
}

fn question() -> CandidateQuestion {
    CandidateQuestion {
        component: "com.example.A".into(),
        local_version: Some("1.0.0".into()),
        requirements: [("thinggroup/G".to_owned(), "==1.0.0".to_owned())].into(),
        platform: [("os".to_owned(), "linux".to_owned())].into(),
    }
}

#[tokio::test]
async fn a_component_version() {
    let tasks = Tasks::new();
    let answer = r#"{"resolvedComponentVersions":[{"arn":"arn:x","componentName":"com.example.A","componentVersion":"1.0.0","recipe":"e30="}]}"#;
    let (plane, seen) = plane(&tasks, vec![(200, vec![], answer)]).await;
    let resolved = plane.resolve(&question()).await.expect("an answer");
    assert_eq!(
        (resolved.version.as_str(), resolved.recipe.as_slice()),
        ("1.0.0", &b"{}"[..])
    );
    let seen = seen.lock().expect("not poisoned");
    assert_eq!(seen[0].1, "/greengrass/v2/resolveComponentCandidates");
    assert_eq!(
        seen[0].3,
        r#"{"platform":{"attributes":{"os":"linux"}},"componentCandidates":[{"componentName":"com.example.A","versionRequirements":{"thinggroup/G":"==1.0.0"},"componentVersion":"1.0.0"}]}"#
    );
}

#[tokio::test]
async fn refusals_and_nonsense() {
    let tasks = Tasks::new();
    let script: Script = vec![
        (
            404,
            vec![("x-amzn-errortype", "ResourceNotFoundException:http://x")],
            r#"{"message":"no usable version"}"#,
        ),
        (
            403,
            vec![],
            r#"{"__type":"aws#AccessDeniedException","Message":"no"}"#,
        ),
        (503, vec![], "<html>"),
        (200, vec![], "<html>"),
        (200, vec![], r#"{"resolvedComponentVersions":[]}"#),
        (
            200,
            vec![],
            r#"{"resolvedComponentVersions":[{"arn":"a","componentName":"n","componentVersion":"1","recipe":"%"}]}"#,
        ),
    ];
    let (plane, _) = plane(&tasks, script).await;
    let mut errors = Vec::new();
    for _ in 0..6 {
        errors.push(
            plane
                .resolve(&question())
                .await
                .expect_err("each is refused"),
        );
    }
    let refused = |error: &CloudCallError| match error {
        CloudCallError::Refused {
            status,
            exception,
            message,
            ..
        } => (*status, exception.clone(), message.clone()),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        refused(&errors[0]),
        (
            404,
            "ResourceNotFoundException".into(),
            "no usable version".into()
        )
    );
    assert_eq!(
        refused(&errors[1]),
        (403, "AccessDeniedException".into(), "no".into())
    );
    assert_eq!(refused(&errors[2]).0, 503);
    use sward_diagnosis::Diagnose as _;
    assert_eq!(
        errors.iter().map(|e| e.is_retryable()).collect::<Vec<_>>(),
        [false, false, true, false, false, false]
    );
    assert!(matches!(errors[3], CloudCallError::BadAnswer { .. }));
    assert!(matches!(errors[4], CloudCallError::BadAnswer { .. }));
    assert!(matches!(errors[5], CloudCallError::BadAnswer { .. }));
    let nobody = DataPlane::new(DataPlaneSettings {
        url: "http://127.0.0.1:1".into(),
        thing: "T".into(),
        client: client(&tasks),
    });
    let error = nobody.thing_groups().await.expect_err("nobody is there");
    assert!(matches!(error, CloudCallError::Unreachable { .. }) && error.is_retryable());
}

#[tokio::test]
async fn thing_groups_of_all_pages() {
    let tasks = Tasks::new();
    let script: Script = vec![
        (
            200,
            vec![],
            r#"{"thingGroups":[{"thingGroupName":"A","thingGroupArn":"a","rootToParentThingGroups":[{"thingGroupName":"P"}]}],"nextToken":"t/2"}"#,
        ),
        (
            200,
            vec![],
            r#"{"thingGroups":[{"thingGroupName":"B"}],"nextToken":null}"#,
        ),
    ];
    let (plane, seen) = plane(&tasks, script).await;
    let groups = plane.thing_groups().await.expect("groups");
    let names: Vec<_> = groups.iter().map(|g| g.thing_group_name.as_str()).collect();
    assert_eq!(names, ["A", "B"]);
    assert_eq!(
        groups[0].root_to_parent_thing_groups[0].thing_group_name,
        "P"
    );
    let targets: Vec<_> = seen
        .lock()
        .expect("not poisoned")
        .iter()
        .map(|s| s.1.clone())
        .collect();
    assert_eq!(
        targets,
        [
            "/greengrass/v2/coreDevices/core%201/thingGroups",
            "/greengrass/v2/coreDevices/core%201/thingGroups?nextToken=t%2F2"
        ]
    );
}

async fn text(stream: ArtifactStream) -> String {
    let chunks: Vec<_> = stream.chunks().collect().await;
    let chunks = chunks.into_iter().map(|chunk| chunk.expect("bytes"));
    String::from_utf8(chunks.flatten().collect()).expect("text")
}

#[tokio::test]
async fn greengrass_artifacts_by_pre_signed_urls() {
    let tasks = Tasks::new();
    let files: Script = vec![
        (200, vec![], "0123456789"),
        (206, vec![("content-range", "bytes 4-9/10")], "456789"),
        (200, vec![], "0123456789"),
        (416, vec![("content-range", "bytes */10")], ""),
        (403, vec![], "<Error><Code>AccessDenied</Code></Error>"),
    ];
    let (file_url, files_seen) = server(&tasks, files).await;
    let url: &'static str =
        format!(r#"{{"preSignedUrl":"{file_url}/f?X-Amz-Signature=s"}}"#).leak();
    let script: Script = (0..5).map(|_| (200, vec![], url)).collect();
    let (plane, seen) = plane(&tasks, script).await;
    let settings = credentials("http://127.0.0.1:1", &tasks);
    let s3 = S3::new(
        S3Endpoint::Aws,
        "r",
        client(&tasks),
        CredentialsHandle::start(settings, &tasks),
    );
    let artifacts = Artifacts::new(plane, s3, client(&tasks));
    let arn = Some("arn:aws:greengrass:r:1:components:A:versions:1.0.0");
    let open = |offset| artifacts.open("greengrass:A/1.0.0/f.txt", arn, offset);
    let whole = open(0).await.expect("open");
    assert_eq!((whole.offset, whole.total_bytes), (0, Some(10)));
    assert_eq!(text(whole).await, "0123456789");
    let rest = open(4).await.expect("open");
    assert_eq!((rest.offset, rest.total_bytes), (4, Some(10)));
    assert_eq!(text(rest).await, "456789");
    assert_eq!(open(4).await.expect("open").offset, 0);
    let nothing = open(10).await.expect("open");
    assert_eq!((nothing.offset, nothing.total_bytes), (10, Some(10)));
    assert_eq!(
        open(0).await.map(|_| ()).expect_err("refused").status(),
        Some(403)
    );
    let ranges: Vec<_> = files_seen
        .lock()
        .expect("not poisoned")
        .iter()
        .map(|s| s.2.clone())
        .collect();
    assert_eq!(ranges, ["", "bytes=4-", "bytes=4-", "bytes=10-", ""]);
    assert_eq!(
        seen.lock().expect("not poisoned")[0].1,
        "/greengrass/v2/components/arn%3Aaws%3Agreengrass%3Ar%3A1%3Acomponents%3AA%3Aversions%3A1.0.0/artifacts/A/1.0.0/f.txt?s3EndpointType=REGIONAL"
    );
    for (uri, arn) in [
        ("docker:x", arn),
        ("greengrass:x", None),
        ("s3://bucket", arn),
    ] {
        let error = artifacts.open(uri, arn, 0).await.map(|_| ());
        assert!(matches!(error, Err(CloudCallError::Url { .. })), "{uri}");
    }
}

fn credentials(url: &str, tasks: &Tasks) -> CredentialsSettings {
    CredentialsSettings {
        endpoint: url.into(),
        role_alias: "A".into(),
        thing: "T".into(),
        client: client(tasks),
        retry: CredentialRetry::default(),
    }
}
