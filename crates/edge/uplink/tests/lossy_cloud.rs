//! Whatever the network does, in the end the cloud knows every end, and every job ran once.
//!
//! A small model of the cloud holds jobs in a queue and answers as the protocol says; between it
//! and the listener messages get lost when the connection breaks. A restart replaces the listener
//! by a new one with what was saved.

use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::{BTreeMap, VecDeque};
use sward_uplink::deployments::{
    DeploymentSource, DeploymentStatus, Effect, Event, Machine, StatusUpdate,
};
use sward_uplink::jobs::JobsListener;

const NEXT: &str = "$aws/things/T/jobs/$next/namespace-aws-gg-deployment/get";
const NOTIFY: &str = "$aws/things/T/jobs/notify-namespace-aws-gg-deployment";

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The cloud queues a job.
    Queue,
    /// The cloud takes the oldest open job back.
    Cancel,
    /// The connection breaks; what is on its way is lost.
    Break,
    /// The connection comes back.
    Connect,
    /// The core is killed and started again.
    Restart,
    /// The deployer begins or ends its oldest deployment.
    Work,
    /// One message arrives on either side.
    Deliver,
    /// Time passes.
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Queue),
        1 => Just(Step::Cancel),
        2 => Just(Step::Break),
        3 => Just(Step::Connect),
        1 => Just(Step::Restart),
        4 => Just(Step::Work),
        8 => Just(Step::Deliver),
        1 => (1..60_000u64).prop_map(Step::Wait),
    ]
}

struct World {
    listener: JobsListener,
    saved: Vec<StatusUpdate>,
    connected: bool,
    now_ms: u64,
    to_cloud: VecDeque<(String, Value)>,
    to_core: VecDeque<(String, Value)>,
    /// The cloud's jobs: status by id; ids sort by age.
    jobs: BTreeMap<String, &'static str>,
    /// The deployer: id → started.
    running: BTreeMap<String, bool>,
    /// What the deployer did with each job.
    ended: BTreeMap<String, DeploymentStatus>,
    submitted: BTreeMap<String, u32>,
}

impl World {
    fn new() -> Self {
        World {
            listener: JobsListener::new("T", Vec::new()),
            saved: Vec::new(),
            connected: false,
            now_ms: 1_000,
            to_cloud: VecDeque::new(),
            to_core: VecDeque::new(),
            jobs: BTreeMap::new(),
            running: BTreeMap::new(),
            ended: BTreeMap::new(),
            submitted: BTreeMap::new(),
        }
    }

    fn tell(&mut self, event: Event<'_>) {
        let effects = self.listener.handle(event, self.now_ms);
        for effect in effects {
            match effect {
                Effect::Subscribe(filter) if self.connected => {
                    self.tell(Event::Subscribed(&filter));
                }
                Effect::Publish { topic, payload } if self.connected => {
                    self.to_cloud.push_back((topic, payload));
                }
                Effect::Persist => self.saved = self.listener.pending(),
                Effect::Submit(deployment) => {
                    self.submit(deployment.id);
                }
                Effect::Cancel(id) => {
                    self.stop(&id);
                }
                _ => {}
            }
        }
    }

    /// The deployer knows what it works on.
    fn submit(&mut self, id: String) {
        if !self.running.contains_key(&id) {
            *self.submitted.entry(id.clone()).or_default() += 1;
            self.running.insert(id, false);
        }
    }

    fn stop(&mut self, id: &str) {
        if self.running.remove(id).is_some() {
            self.ended.insert(id.to_owned(), DeploymentStatus::Canceled);
            self.report(id, DeploymentStatus::Canceled);
        }
    }

    fn report(&mut self, id: &str, status: DeploymentStatus) {
        self.tell(Event::Status(StatusUpdate {
            id: id.into(),
            source: DeploymentSource::Jobs,
            deployment_id: id.into(),
            configuration_arn: None,
            status,
            detailed: None,
            failure_cause: None,
            error_stack: None,
            error_types: None,
        }));
    }

    fn open(&self, status: &str) -> Vec<String> {
        let of = self.jobs.iter().filter(|(_, known)| **known == status);
        of.map(|(id, _)| id.clone()).collect()
    }

    fn notify(&mut self) {
        let mut jobs = json!({});
        for status in ["QUEUED", "IN_PROGRESS"] {
            let list: Vec<_> = self
                .open(status)
                .iter()
                .map(|id| json!({ "jobId": id }))
                .collect();
            if !list.is_empty() {
                jobs[status] = list.into();
            }
        }
        if self.connected {
            let body = json!({ "timestamp": self.now_ms / 1000, "jobs": jobs });
            self.to_core.push_back((NOTIFY.into(), body));
        }
    }

    /// The cloud takes one message.
    fn cloud_takes(&mut self, topic: &str, body: &Value) {
        if topic == NEXT {
            let open = [self.open("IN_PROGRESS"), self.open("QUEUED")].concat();
            let mut answer = json!({ "timestamp": self.now_ms / 1000 });
            if let Some(id) = open.first() {
                answer["execution"] = json!({ "jobId": id, "status": self.jobs[id], "queuedAt": 1,
                    "jobDocument": { "deploymentId": id } });
            }
            self.to_core.push_back((format!("{NEXT}/accepted"), answer));
            return;
        }
        let id = body["jobId"]
            .as_str()
            .expect("an update names its job")
            .to_owned();
        let wanted = body["status"].as_str().expect("a status").to_owned();
        let wanted = ["IN_PROGRESS", "SUCCEEDED", "FAILED"]
            .into_iter()
            .find(|s| *s == wanted);
        let token = body["clientToken"].clone();
        let is_open = matches!(self.jobs.get(&id), Some(&"QUEUED" | &"IN_PROGRESS"));
        match wanted {
            Some(wanted) if is_open => {
                self.jobs.insert(id, wanted);
                self.to_core
                    .push_back((format!("{topic}/accepted"), json!({ "clientToken": token })));
                if wanted != "IN_PROGRESS" {
                    self.notify();
                }
            }
            _ => {
                let body = json!({ "code": "InvalidStateTransition", "clientToken": token });
                self.to_core.push_back((format!("{topic}/rejected"), body));
            }
        }
    }

    fn deliver(&mut self) -> bool {
        if !self.connected {
            return false;
        }
        if let Some((topic, body)) = self.to_cloud.pop_front() {
            self.cloud_takes(&topic, &body);
            return true;
        }
        if let Some((topic, body)) = self.to_core.pop_front() {
            let payload = body.to_string();
            self.tell(Event::Message {
                topic: &topic,
                payload: payload.as_bytes(),
            });
            return true;
        }
        false
    }

    fn cut(&mut self) {
        self.to_cloud.clear();
        self.to_core.clear();
        if std::mem::take(&mut self.connected) {
            self.tell(Event::Disconnected);
        }
    }

    fn connect(&mut self) {
        if !std::mem::replace(&mut self.connected, true) {
            self.tell(Event::Connected);
        }
    }

    fn wait(&mut self, ms: u64) {
        let until = self.now_ms + ms;
        while let Some(at) = self.listener.deadline().filter(|at| *at <= until) {
            self.now_ms = self.now_ms.max(at);
            self.tell(Event::Tick);
        }
        self.now_ms = until;
    }

    fn work(&mut self) {
        let Some((id, started)) = self.running.iter().next().map(|(id, s)| (id.clone(), *s)) else {
            return;
        };
        if started {
            self.running.remove(&id);
            self.ended.insert(id.clone(), DeploymentStatus::Succeeded);
            self.report(&id, DeploymentStatus::Succeeded);
        } else {
            self.running.insert(id.clone(), true);
            self.report(&id, DeploymentStatus::InProgress);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Queue => {
                let id = format!("job-{:03}", self.jobs.len());
                self.jobs.insert(id, "QUEUED");
                self.notify();
            }
            Step::Cancel => {
                let open = [self.open("IN_PROGRESS"), self.open("QUEUED")].concat();
                if let Some(id) = open.first() {
                    self.jobs.insert(id.clone(), "CANCELED");
                    self.notify();
                }
            }
            Step::Break => self.cut(),
            Step::Connect => self.connect(),
            Step::Restart => {
                self.cut();
                self.listener = JobsListener::new("T", self.saved.clone());
            }
            Step::Work => self.work(),
            Step::Deliver => {
                self.deliver();
            }
            Step::Wait(ms) => self.wait(ms),
        }
    }

    /// The network is good and everybody works until nothing happens any more.
    fn settle(&mut self) {
        self.connect();
        for _ in 0..2_000 {
            if self.deliver() {
                continue;
            }
            if !self.running.is_empty() {
                self.work();
                continue;
            }
            if self.listener.deadline().is_none() {
                return;
            }
            self.wait(130_000);
        }
        panic!("the world does not come to rest");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_end_arrives(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.settle();
        for (id, status) in &world.jobs {
            prop_assert!(
                matches!(*status, "SUCCEEDED" | "FAILED" | "CANCELED"),
                "{} is {} in the cloud, here {:?}", id, status, world.ended.get(id)
            );
            if *status == "SUCCEEDED" {
                prop_assert_eq!(world.ended.get(id), Some(&DeploymentStatus::Succeeded));
            }
        }
        prop_assert!(world.listener.pending().is_empty());
    }

    /// Without a kill of the core, nothing runs twice.
    #[test]
    fn every_job_runs_once(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            if !matches!(step, Step::Restart) {
                world.take(step);
            }
        }
        world.settle();
        for (id, times) in &world.submitted {
            prop_assert_eq!(*times, 1, "{}", id);
        }
    }
}
