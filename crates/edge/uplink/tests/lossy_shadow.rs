//! Thing deployments over a bad network: in the end the shadow shows how the last one ended.
//!
//! The model of the cloud is the shadow service that both sides of Sward use.

use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::VecDeque;
use sward_shadow::topic::ShadowName;
use sward_shadow::{Limits, Operation, Section, Slot, Suffix, handle};
use sward_uplink::deployments::{
    DeploymentSource, DeploymentStatus, Effect, Event, Machine, StatusUpdate,
};
use sward_uplink::shadow_deployments::{SHADOW_NAME, ShadowListener};

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The cloud wants another configuration.
    Want,
    /// The cloud takes it back.
    Cancel,
    /// Somebody else writes the shadow.
    Meddle,
    Break,
    Connect,
    Restart,
    Work,
    Deliver,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => Just(Step::Want),
        1 => Just(Step::Cancel),
        1 => Just(Step::Meddle),
        2 => Just(Step::Break),
        3 => Just(Step::Connect),
        1 => Just(Step::Restart),
        4 => Just(Step::Work),
        8 => Just(Step::Deliver),
        1 => (1..60_000u64).prop_map(Step::Wait),
    ]
}

struct World {
    listener: ShadowListener,
    saved: Vec<StatusUpdate>,
    connected: bool,
    now_ms: u64,
    to_cloud: VecDeque<(String, Value)>,
    to_core: VecDeque<(String, Value)>,
    slot: Option<Slot>,
    revision: u32,
    canceled: bool,
    /// The deployer's one deployment, and whether it began.
    running: Option<(String, bool)>,
    /// How the deployer ended each, last first found.
    ended: Vec<(String, DeploymentStatus)>,
}

impl World {
    fn new() -> Self {
        World {
            listener: ShadowListener::new("T", "2.18.0", Vec::new()),
            saved: Vec::new(),
            connected: false,
            now_ms: 1_000,
            to_cloud: VecDeque::new(),
            to_core: VecDeque::new(),
            slot: None,
            revision: 0,
            canceled: false,
            running: None,
            ended: Vec::new(),
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
                    let runs = self
                        .running
                        .as_ref()
                        .is_some_and(|(id, _)| *id == deployment.id);
                    if !runs {
                        self.stop();
                        self.running = Some((deployment.id, false));
                    }
                }
                Effect::Cancel(id) => {
                    self.stop_that(&id);
                }
                _ => {}
            }
        }
    }

    fn stop_that(&mut self, id: &str) {
        if self
            .running
            .as_ref()
            .is_some_and(|(running, _)| running == id)
        {
            self.stop();
        }
    }

    fn stop(&mut self) {
        if let Some((id, _)) = self.running.take() {
            self.report(&id, DeploymentStatus::Canceled);
        }
    }

    fn report(&mut self, arn: &str, status: DeploymentStatus) {
        if status.is_terminal() {
            self.ended.push((arn.to_owned(), status));
        }
        self.tell(Event::Status(StatusUpdate {
            id: arn.into(),
            source: DeploymentSource::Shadow,
            deployment_id: arn.into(),
            configuration_arn: Some(arn.into()),
            status,
            detailed: None,
            failure_cause: None,
            error_stack: None,
            error_types: None,
        }));
    }

    fn cloud_takes(&mut self, operation: Operation, payload: &Value) {
        let payload = payload.to_string();
        let outcome = handle(
            operation,
            self.slot.as_ref(),
            SHADOW_NAME,
            payload.as_bytes(),
            self.now_ms / 1000,
            &Limits::CLOUD,
        );
        if let Some(slot) = outcome.slot {
            self.slot = Some(slot);
        }
        let name = ShadowName {
            thing: "T",
            name: Some(SHADOW_NAME),
        };
        for publication in outcome.publications {
            let is_heard = matches!(
                (operation, publication.suffix),
                (Operation::Update, Suffix::Accepted | Suffix::Rejected)
                    | (Operation::Get, Suffix::Accepted)
            );
            if is_heard && self.connected {
                let topic = name.topic(operation, publication.suffix);
                self.to_core.push_back((topic, publication.body));
            }
        }
    }

    fn want(&mut self) {
        let arn = format!("a:{}", self.revision);
        let document = json!({ "configurationArn": arn, "deploymentId": arn }).to_string();
        let wanted = if self.canceled {
            "CANCELED"
        } else {
            "SUCCEEDED"
        };
        let desired = json!({ "fleetConfig": document, "desiredStatus": wanted });
        self.cloud_takes(
            Operation::Update,
            &json!({ "state": { "desired": desired } }),
        );
    }

    fn deliver(&mut self) -> bool {
        if !self.connected {
            return false;
        }
        if let Some((topic, body)) = self.to_cloud.pop_front() {
            let (_, operation) = ShadowName::parse_request(&topic).expect("a shadow topic");
            self.cloud_takes(operation, &body);
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
        match self.running.take() {
            Some((id, true)) => self.report(&id, DeploymentStatus::Succeeded),
            Some((id, false)) => {
                self.running = Some((id.clone(), true));
                self.report(&id, DeploymentStatus::InProgress);
            }
            None => {}
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Want => {
                self.revision += 1;
                self.canceled = false;
                self.want();
            }
            Step::Cancel if self.revision > 0 && !self.canceled => {
                self.canceled = true;
                self.want();
            }
            Step::Cancel => {}
            Step::Meddle => {
                let body = json!({ "state": { "reported": { "other": self.now_ms } } });
                self.cloud_takes(Operation::Update, &body);
            }
            Step::Break => self.cut(),
            Step::Connect => self.connect(),
            Step::Restart => {
                self.cut();
                self.listener = ShadowListener::new("T", "2.18.0", self.saved.clone());
            }
            Step::Work => self.work(),
            Step::Deliver => {
                self.deliver();
            }
            Step::Wait(ms) => self.wait(ms),
        }
    }

    fn settle(&mut self) {
        // A new connection, so that the shadow is asked for once more.
        self.cut();
        self.connect();
        for _ in 0..2_000 {
            if self.deliver() {
                continue;
            }
            if self.running.is_some() {
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
    fn the_shadow_shows_the_end(steps in prop::collection::vec(step(), 1..80)) {
        let mut world = World::new();
        for step in steps {
            world.take(step);
        }
        world.settle();
        prop_assert!(world.listener.pending().is_empty());
        if world.revision == 0 {
            return Ok(());
        }
        let arn = format!("a:{}", world.revision);
        let shadow = world.slot.as_ref().and_then(Slot::shadow).expect("it was written");
        let reported = shadow.section(Section::Reported);
        let reported = |key: &str| reported.and_then(|r| r.get(key)?.as_str()).unwrap_or("");
        let end = world.ended.iter().rfind(|(id, _)| *id == arn).map(|(_, end)| *end);
        match end {
            Some(end) => {
                prop_assert_eq!(reported("fleetConfigurationArnForStatus"), &arn);
                prop_assert_eq!(reported("status"), end.as_str());
            }
            // Taken back before the device ever saw it.
            None => prop_assert!(world.canceled, "{} never ran", arn),
        }
    }
}
