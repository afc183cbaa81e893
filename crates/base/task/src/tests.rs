use super::*;
use tokio::sync::oneshot;

const SOON: Duration = Duration::from_secs(5);

#[tokio::test]
async fn shutdown_waits_for_tasks_that_see_the_token() {
    let tasks = Tasks::new();
    let token = tasks.token();
    let task = tasks.spawn("listener", async move {
        token.cancelled().await;
        7
    });
    assert_eq!(tasks.running(), 1);
    tasks.shutdown(SOON).await.expect("the task stops");
    assert_eq!(task.await.expect("no panic"), 7);
    assert_eq!(tasks.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn shutdown_names_who_does_not_stop() {
    let tasks = Tasks::new();
    tasks.spawn("stubborn", std::future::pending::<()>());
    tasks
        .child("inner")
        .spawn("stuck", std::future::pending::<()>());
    let error = tasks
        .shutdown(Duration::from_millis(10))
        .await
        .expect_err("two tasks never stop");
    assert_eq!(error.tasks, ["stubborn", "stuck"]);
    assert_eq!(
        error.to_string(),
        "2 of sward did not stop in time: stubborn, stuck"
    );
}

#[tokio::test]
async fn a_child_stops_alone_and_with_its_parent() {
    let tasks = Tasks::new();
    let first = tasks.child("first");
    let second = tasks.child("second");
    for scope in [&first, &second] {
        let token = scope.token();
        scope.spawn("wait", async move { token.cancelled().await });
    }
    first.shutdown(SOON).await.expect("the child stops");
    assert!(!tasks.token().is_cancelled());
    assert_eq!(tasks.running(), 1);
    tasks.shutdown(SOON).await.expect("the rest stops");
    assert!(second.token().is_cancelled());
}

#[tokio::test]
async fn a_panic_costs_one_task_and_reaches_its_handle() {
    let tasks = Tasks::new();
    let failed = tasks.spawn("faulty", async { panic!("on purpose") });
    let (send, receive) = oneshot::channel();
    tasks.spawn("other", async move { send.send(1) });
    assert!(failed.await.expect_err("it panicked").is_panic());
    assert_eq!(receive.await.expect("the other one ran"), 1);
    tasks.shutdown(SOON).await.expect("nothing is left");
}

#[tokio::test]
async fn blocking_work_is_counted_too() {
    let tasks = Tasks::new();
    let (go, wait) = std::sync::mpsc::channel::<()>();
    let work = tasks.spawn_blocking("disk", move || wait.recv().is_ok());
    assert_eq!(tasks.running(), 1);
    go.send(()).expect("the worker listens");
    assert!(work.await.expect("no panic"));
    tasks.shutdown(SOON).await.expect("nothing is left");
}

#[tokio::test]
async fn a_panic_of_an_essential_task_is_told_to_every_scope() {
    let tasks = Tasks::new();
    let inner = tasks.child("inner");
    // Neither the panic of another task nor a normal end is a failure.
    drop(
        tasks
            .spawn("faulty", async { panic!("of little weight") })
            .await,
    );
    let done = inner.spawn_essential("done", async { 7 });
    assert_eq!(done.await.expect("no panic"), 7);
    assert!(tasks.failed().now_or_never().is_none());

    let heart = inner.spawn_essential("heart", async { panic!("no beat {}", 1) });
    let failed = tokio::time::timeout(SOON, tasks.failed()).await;
    let failed = failed.expect("it is told soon");
    assert_eq!(failed.to_string(), "the task heart failed: no beat 1");
    assert!(heart.await.expect_err("it panicked").is_panic());

    drop(
        tasks
            .spawn_essential("second", async { panic!("too late") })
            .await,
    );
    assert_eq!(inner.failed().await, failed, "the first one is the cause");
    tasks.shutdown(SOON).await.expect("nothing is left");
}
