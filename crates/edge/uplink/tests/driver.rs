//! The listeners' driver over a transport that is played by hand.

use serde_json::{Value, json};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sward_task::{CancellationToken, Tasks};
use sward_uplink::deployments::{
    CloudDeployment, DeploymentSink, DeploymentSource, DeploymentStatus, StatusStore,
    StatusStoreError, StatusUpdate, Transport, start,
};
use sward_uplink::jobs::JobsListener;
use sward_uplink::mqtt::{ConnectionState, IncomingMessage};
use sward_uplink::shadow_deployments::ShadowListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

type Subscriber = (String, mpsc::Sender<IncomingMessage>);

/// A broker that grants everything and keeps what is published.
struct Broker {
    connection: watch::Sender<ConnectionState>,
    published: mpsc::UnboundedSender<(String, Value)>,
    subscribers: Arc<Mutex<Vec<Subscriber>>>,
    /// The next message is not taken.
    is_full: Mutex<bool>,
}

impl Broker {
    async fn say(&self, topic: &str, body: Value) {
        let subscribers = self.subscribers.lock().expect("not poisoned").clone();
        for (filter, sender) in subscribers {
            if filter == topic {
                let message = IncomingMessage {
                    topic: topic.to_owned(),
                    payload: body.to_string().into_bytes().into(),
                    qos: sward_mqtt::Qos::AtLeastOnce,
                    retain: false,
                    properties: Default::default(),
                };
                sender.send(message).await.expect("the listener lives");
            }
        }
    }

    fn connect(&self, number: u64, session_present: bool) {
        self.connection.send_replace(ConnectionState::Connected {
            since: Instant::now(),
            number,
            session_present,
        });
    }

    fn has(&self, filter: &str) -> bool {
        let subscribers = self.subscribers.lock().expect("not poisoned");
        subscribers.iter().any(|(known, _)| known == filter)
    }
}

impl Transport for Broker {
    fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.connection.subscribe()
    }

    fn publish(&self, topic: String, payload: Vec<u8>) -> bool {
        if std::mem::take(&mut *self.is_full.lock().expect("not poisoned")) {
            return false;
        }
        let body = serde_json::from_slice(&payload).expect("JSON");
        self.published.send((topic, body)).expect("the test lives");
        true
    }

    fn subscribe(
        &self,
        filter: String,
        granted: oneshot::Sender<Result<(), String>>,
        messages: mpsc::Sender<IncomingMessage>,
        until: CancellationToken,
    ) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        let subscribers = self.subscribers.clone();
        Box::pin(async move {
            subscribers
                .lock()
                .expect("not poisoned")
                .push((filter.clone(), messages));
            granted.send(Ok(())).ok();
            until.cancelled().await;
            subscribers
                .lock()
                .expect("not poisoned")
                .retain(|(known, _)| *known != filter);
        })
    }
}

#[derive(Clone)]
struct Deployer(mpsc::UnboundedSender<String>);

impl DeploymentSink for Deployer {
    fn submit(&self, deployment: CloudDeployment) {
        self.0
            .send(format!("submit {}", deployment.id))
            .expect("the test lives");
    }
    fn cancel(&self, _: DeploymentSource, id: &str) {
        self.0.send(format!("cancel {id}")).expect("the test lives");
    }
}

#[derive(Default)]
struct Disk {
    saved: Mutex<Vec<StatusUpdate>>,
    is_full: Mutex<bool>,
}

impl StatusStore for Disk {
    fn load(&self, _: DeploymentSource) -> Vec<StatusUpdate> {
        self.saved.lock().expect("not poisoned").clone()
    }

    fn save(&self, _: DeploymentSource, pending: &[StatusUpdate]) -> Result<(), StatusStoreError> {
        if *self.is_full.lock().expect("not poisoned") {
            return Err(StatusStoreError {
                reason: "no space".into(),
            });
        }
        *self.saved.lock().expect("not poisoned") = pending.to_vec();
        Ok(())
    }
}

async fn next<T>(receiver: &mut mpsc::UnboundedReceiver<T>) -> T {
    let next = timeout(Duration::from_secs(600), receiver.recv()).await;
    next.expect("in time").expect("the driver lives")
}

fn status(status: DeploymentStatus) -> StatusUpdate {
    StatusUpdate {
        id: "J".into(),
        source: DeploymentSource::Jobs,
        deployment_id: "d".into(),
        configuration_arn: None,
        status,
        detailed: None,
        failure_cause: None,
        error_stack: None,
        error_types: None,
    }
}

const NEXT: &str = "$aws/things/T/jobs/$next/namespace-aws-gg-deployment/get";
const UPDATE: &str = "$aws/things/T/jobs/J/namespace-aws-gg-deployment/update";

#[tokio::test(start_paused = true)]
async fn a_job_over_a_disconnect() {
    let tasks = Tasks::new();
    let (published, mut said) = mpsc::unbounded_channel();
    let (deployer, mut asked) = mpsc::unbounded_channel();
    let broker = Arc::new(Broker {
        connection: watch::Sender::new(ConnectionState::Stopped),
        published,
        subscribers: Arc::default(),
        is_full: Mutex::default(),
    });
    let disk = Arc::new(Disk::default());
    let reporter = start(
        JobsListener::new("T", Vec::new()),
        broker.clone(),
        Arc::new(Deployer(deployer)),
        disk.clone(),
        &tasks,
    );
    broker.connect(1, false);
    assert_eq!(next(&mut said).await.0, NEXT);
    broker
        .say(
            &format!("{NEXT}/accepted"),
            json!({"execution": {"jobId": "J", "queuedAt": 5, "jobDocument": {}}}),
        )
        .await;
    assert_eq!(next(&mut asked).await, "submit J");

    reporter
        .report(status(DeploymentStatus::InProgress))
        .await
        .expect("saved");
    assert_eq!(disk.saved.lock().expect("not poisoned").len(), 1);
    let (topic, body) = next(&mut said).await;
    assert_eq!(
        (topic.as_str(), &body["status"]),
        (UPDATE, &json!("IN_PROGRESS"))
    );

    // The connection breaks before the answer: said again on the next one.
    broker.connection.send_replace(ConnectionState::Stopped);
    reporter
        .report(status(DeploymentStatus::Succeeded))
        .await
        .expect("saved");
    broker.connect(2, true);
    assert_eq!(next(&mut said).await.0, NEXT);
    let (_, body) = next(&mut said).await;
    assert_eq!(body["status"], json!("SUCCEEDED"));
    // No answer, either: once more, by itself.
    let (topic, _) = next(&mut said).await;
    assert_eq!(topic, NEXT);
    let (topic, _) = loop {
        let message = next(&mut said).await;
        if message.0 != NEXT {
            break message;
        }
    };
    assert_eq!(topic, UPDATE);
    broker
        .say(&format!("{UPDATE}/accepted"), json!({"timestamp": 1}))
        .await;
    let until = Instant::now() + Duration::from_secs(5);
    while broker.has(&format!("{UPDATE}/accepted"))
        || !disk.saved.lock().expect("not poisoned").is_empty()
    {
        assert!(Instant::now() < until, "the answer is not taken");
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_millis(1)).await;
    }

    *disk.is_full.lock().expect("not poisoned") = true;
    assert!(
        reporter
            .report(status(DeploymentStatus::Failed))
            .await
            .is_err()
    );
    tasks
        .shutdown(Duration::from_secs(5))
        .await
        .expect("all stop");
    assert!(
        reporter
            .report(status(DeploymentStatus::Failed))
            .await
            .is_err()
    );
}

/// The spool is full when the device comes back: the question about thing deployments is not lost.
#[tokio::test(start_paused = true)]
async fn a_full_spool_does_not_silence_thing_deployments() {
    let tasks = Tasks::new();
    let (published, mut said) = mpsc::unbounded_channel();
    let (deployer, _asked) = mpsc::unbounded_channel();
    let broker = Arc::new(Broker {
        connection: watch::Sender::new(ConnectionState::Stopped),
        published,
        subscribers: Arc::default(),
        is_full: Mutex::new(true),
    });
    let _reporter = start(
        ShadowListener::new("T", "2.18.0", Vec::new()),
        broker.clone(),
        Arc::new(Deployer(deployer)),
        Arc::new(Disk::default()),
        &tasks,
    );
    broker.connect(1, false);
    let (topic, _) = next(&mut said).await;
    assert!(topic.ends_with("/shadow/name/AWSManagedGreengrassV2Deployment/get"));
}
