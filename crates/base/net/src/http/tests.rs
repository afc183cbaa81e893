use super::*;
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use sward_diagnosis::Diagnose as _;
use sward_task::Tasks;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn server(tasks: &Tasks, handler: impl Handler) -> String {
    server_with(tasks, ServeOptions::new("test"), handler).await
}

async fn server_with(tasks: &Tasks, options: ServeOptions, handler: impl Handler) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tasks.spawn(
        "server",
        serve(listener, Arc::new(handler), options, tasks.clone()),
    );
    format!("http://{address}")
}

/// A plain connection to a server of [`server_with`] that does not wait long.
async fn raw(tasks: &Tasks, handler: impl Handler) -> TcpStream {
    let mut options = ServeOptions::new("test");
    options.stall = Duration::from_millis(100);
    let url = server_with(tasks, options, handler).await;
    let address = url.trim_start_matches("http://");
    TcpStream::connect(address).await.expect("a connection")
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(20), future)
        .await
        .unwrap_or_else(|_| panic!("{what} did not happen in time"))
}

#[tokio::test]
async fn a_body_that_stops_coming_frees_its_connection() {
    let tasks = Tasks::new();
    let handler = HandlerFn(|request: IncomingRequest, _| async move {
        let error = collect(request.into_body(), 100).await.expect_err("torn");
        Response::new(full(error.code()))
    });
    let mut stream = raw(&tasks, handler).await;
    let head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 10\r\n\r\nthree";
    stream.write_all(head).await.expect("room");
    let mut answer = String::new();
    soon("the end", stream.read_to_string(&mut answer))
        .await
        .expect("text");
    assert!(answer.ends_with("http-body-broken"), "{answer}");
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends() {
    let tasks = Tasks::new();
    let ended = Arc::new(tokio::sync::Notify::new());
    let (notify, senders) = (Arc::clone(&ended), tasks.clone());
    let handler = HandlerFn(move |_, _| {
        let (sender, body) = channel(1, None);
        let notify = Arc::clone(&notify);
        senders.spawn("sender", async move {
            let piece = Bytes::from(vec![0; 1 << 16]);
            while sender.send(Ok(piece.clone())).await.is_ok() {}
            notify.notify_one();
        });
        async move { Response::new(body) }
    });
    let mut stream = raw(&tasks, handler).await;
    let head = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";
    stream.write_all(head).await.expect("room");
    soon("the end of the answer", ended.notified()).await;
    drop(stream);
}

fn get(url: &str) -> Request<Body> {
    Request::get(url).body(empty()).expect("a request")
}

#[tokio::test]
async fn a_request_is_answered_and_the_connection_is_used_again() {
    let tasks = Tasks::new();
    let connections = Arc::new(std::sync::Mutex::new(std::collections::HashSet::new()));
    let seen = Arc::clone(&connections);
    let url = server(
        &tasks,
        HandlerFn(move |request: IncomingRequest, peer: Arc<Peer>| {
            seen.lock().expect("not poisoned").insert(peer.address);
            async move {
                assert!(request.headers().contains_key("host"));
                let path = request.uri().to_string();
                let body = collect(request.into_body(), 100).await.expect("a body");
                Response::new(full(format!("{path} {}", body.len())))
            }
        }),
    )
    .await;
    let client = Client::new(&tasks, None, ClientOptions::default());
    for _ in 0..3 {
        let request = Request::post(format!("{url}/a%2Fb?c=d"))
            .body(full(&b"12345"[..]))
            .expect("a request");
        let response = client.send(request).await.expect("an answer");
        let body = collect(response.into_body(), 100).await.expect("a body");
        assert_eq!(body, "/a%2Fb?c=d 5");
    }
    assert_eq!(connections.lock().expect("not poisoned").len(), 1);
    tasks
        .shutdown(Duration::from_secs(5))
        .await
        .expect("all tasks end");
}

#[tokio::test]
async fn bodies_are_bounded_and_torn_bodies_are_errors() {
    let tasks = Tasks::new();
    let url = server(
        &tasks,
        HandlerFn(|request: IncomingRequest, _| async move {
            match request.uri().path() {
                "/long" => Response::new(full(vec![0; 1000])),
                _ => {
                    let (sender, body) = channel(1, None);
                    sender
                        .send(Ok(Bytes::from_static(b"part")))
                        .await
                        .expect("room");
                    Tasks::new().spawn("sender", async move {
                        sender.send(Err("torn".into())).await.ok();
                    });
                    Response::new(body)
                }
            }
        }),
    )
    .await;
    let client = Client::new(&tasks, None, ClientOptions::default());
    let response = client.send(get(&format!("{url}/long"))).await.expect("ok");
    let error = collect(response.into_body(), 999).await.expect_err("long");
    assert_eq!(error.code(), "http-body-too-large");
    let response = client.send(get(&format!("{url}/torn"))).await.expect("ok");
    let error = collect(response.into_body(), 999).await.expect_err("torn");
    assert_eq!(error.code(), "http-body-broken");
}

#[tokio::test]
async fn silence_ends_with_a_timeout() {
    let tasks = Tasks::new();
    let url = server(
        &tasks,
        HandlerFn(|request: IncomingRequest, _| async move {
            if request.uri().path() == "/never" {
                std::future::pending::<()>().await;
            }
            let (sender, body) = channel(1, None);
            sender
                .send(Ok(Bytes::from_static(b"part")))
                .await
                .expect("room");
            Tasks::new().spawn("sender", async move {
                sender.closed().await;
            });
            Response::new(body)
        }),
    )
    .await;
    let options = ClientOptions {
        response: Duration::from_millis(100),
        read: Duration::from_millis(100),
        ..ClientOptions::default()
    };
    let client = Client::new(&tasks, None, options);
    let error = client.send(get(&format!("{url}/never"))).await;
    assert_eq!(error.expect_err("silence").code(), "http-response-timeout");
    let response = client.send(get(&format!("{url}/part"))).await.expect("ok");
    let error = collect(response.into_body(), 99).await.expect_err("pause");
    assert_eq!(error.code(), "http-body-broken");
}

#[tokio::test]
async fn a_stopping_server_finishes_the_answer_it_is_giving() {
    let tasks = Tasks::new();
    let scope = tasks.child("server");
    let started = Arc::new(tokio::sync::Notify::new());
    let go = Arc::new(tokio::sync::Notify::new());
    let count = Arc::new(AtomicUsize::new(0));
    let (in_started, in_go, in_count) = (started.clone(), go.clone(), count.clone());
    let url = server(
        &scope,
        HandlerFn(move |_, _| {
            let (started, go, count) = (in_started.clone(), in_go.clone(), in_count.clone());
            async move {
                started.notify_one();
                go.notified().await;
                count.fetch_add(1, Ordering::SeqCst);
                Response::new(full("done"))
            }
        }),
    )
    .await;
    let client = Client::new(&tasks, None, ClientOptions::default());
    let exchange = client.send(get(&url));
    let stop = async {
        started.notified().await;
        let stopping = scope.shutdown(Duration::from_secs(5));
        let release = async { go.notify_one() };
        tokio::join!(stopping, release).0
    };
    let (response, stopped) = tokio::join!(exchange, stop);
    let body = collect(response.expect("an answer").into_body(), 10).await;
    assert_eq!(body.expect("a body"), "done");
    stopped.expect("the server ends");
    assert_eq!(count.load(Ordering::SeqCst), 1);
    assert!(client.send(get(&url)).await.is_err());
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_no_failure() {
    let tasks = Tasks::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    // A server that closes each connection after one answer without saying so.
    tasks.spawn("closing-server", async move {
        for _ in 0..5 {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            let mut head = [0; 1024];
            let read = stream.read(&mut head).await.expect("a request");
            assert!(read > 0);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.expect("room");
        }
    });
    let client = Client::new(&tasks, None, ClientOptions::default());
    for _ in 0..5 {
        let response = client.send(get(&url)).await.expect("an answer");
        let body = collect(response.into_body(), 10).await.expect("a body");
        assert_eq!(body, "ok");
    }
}
