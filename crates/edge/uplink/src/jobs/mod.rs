//! Group deployments: jobs of the namespace `aws-gg-deployment`.
//!
//! Three subscriptions are made before the first question, so that nothing falls between; the
//! question is asked again at every connection and after every notification of something queued.
//! A status is published after its two answer topics are subscribed, and repeated until one of
//! them speaks (wire-protocols §3.3).
//!
//! Where this is better than AWS's nucleus, knowingly: a job is recognised by id, execution
//! number and time of queueing, not by "later than the last", so that a cloud whose clock was put
//! back is not ignored; a job that the cloud still lists after its end is answered again; a job
//! canceled here, not by the cloud, is reported FAILED instead of being left IN_PROGRESS; updates
//! carry their status as client token, so that a late answer is not taken for another's.

mod messages;

use crate::deployments::{
    ANSWER_MS, CloudDeployment, DeploymentSource, DeploymentStatus, Effect, Event, Machine, Order,
    Outbox, Question, Stage, StatusUpdate, Subscriptions, earliest,
};
use messages::{Answer, ExecutionKey, Notification};
use serde_json::json;
use std::collections::{BTreeMap, VecDeque};

/// The namespace of Greengrass.
pub const NAMESPACE: &str = "aws-gg-deployment";

/// How many ended jobs are remembered, to answer again when the cloud asks again.
const REMEMBERED: usize = 32;

/// A job that was handed to the deployer and has not ended.
#[derive(Debug)]
struct Active {
    key: ExecutionKey,
    /// The cloud took it back.
    canceled: bool,
}

/// The listener.
#[derive(Debug)]
pub struct JobsListener {
    thing: String,
    connected: bool,
    subscriptions: Subscriptions,
    question: Question,
    active: BTreeMap<String, Active>,
    /// Ends that were told; without a key those of an earlier run.
    ended: VecDeque<(Option<ExecutionKey>, StatusUpdate)>,
    outbox: Outbox,
    /// The answer topics of the first status, with whether each is granted.
    answers: Option<[(String, bool); 2]>,
}

impl JobsListener {
    /// A listener for the core `thing`; `pending` is what an earlier run did not deliver.
    #[must_use]
    pub fn new(thing: &str, pending: Vec<StatusUpdate>) -> Self {
        let next = next_topic(thing);
        let pending: Vec<_> = pending.into_iter().map(failed_because_canceled).collect();
        JobsListener {
            subscriptions: Subscriptions::new([
                format!("{next}/accepted"),
                format!("{next}/rejected"),
                format!("$aws/things/{thing}/jobs/notify-namespace-{NAMESPACE}"),
            ]),
            thing: thing.to_owned(),
            connected: false,
            question: Question::default(),
            active: BTreeMap::new(),
            ended: pending
                .iter()
                .filter(|update| update.status.is_terminal())
                .map(|update| (None, update.clone()))
                .collect(),
            outbox: Outbox::new(pending, Order::Any),
            answers: None,
        }
    }

    fn ask(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if !self.connected || !self.subscriptions.complete() {
            return;
        }
        self.question.asked(now_ms);
        effects.push(Effect::Publish {
            topic: next_topic(&self.thing),
            payload: json!({
                "thingName": self.thing,
                "jobId": "$next",
                "includeJobDocument": true,
            }),
        });
    }

    fn on_message(&mut self, topic: &str, payload: &[u8], now_ms: u64, effects: &mut Vec<Effect>) {
        let next = next_topic(&self.thing);
        let update = self.outbox.first().map(|u| self.update_topic(&u.id));
        match topic.strip_prefix(&next) {
            Some("/accepted") => match messages::answer(payload) {
                Some(answer) => self.on_answer(answer, effects),
                None => tracing::warn!(topic, "an answer about the next job is not readable"),
            },
            Some("/rejected") => {
                tracing::warn!(reason = %messages::reason(payload), "the cloud refuses to say the next job");
                self.question.refused(now_ms);
            }
            _ if topic.ends_with(&format!("/jobs/notify-namespace-{NAMESPACE}")) => {
                match messages::notification(payload) {
                    Some(notification) => self.on_notification(&notification, now_ms, effects),
                    None => tracing::warn!(topic, "a notification of jobs is not readable"),
                }
            }
            _ => match update.and_then(|update| Some(topic.strip_prefix(&update)?.to_owned())) {
                Some(end) if end == "/accepted" && self.is_answer(payload) => {
                    self.delivered(None, effects);
                }
                Some(end) if end == "/rejected" && self.is_answer(payload) => {
                    self.on_rejected(payload, now_ms, effects);
                }
                _ => {}
            },
        }
        self.deliver(now_ms, effects);
    }

    fn on_answer(&mut self, answer: Answer, effects: &mut Vec<Effect>) {
        self.question.answered();
        let Answer::Execution {
            job_id,
            key,
            is_queued,
            document,
        } = answer
        else {
            return;
        };
        if self.active.contains_key(&job_id) || self.outbox.contains_end_of(&job_id) {
            return;
        }
        let is_same = |known: &Option<ExecutionKey>| match known {
            Some(known) => *known == key,
            // Of an earlier run, which had told its begin.
            None => !is_queued,
        };
        let said = self
            .ended
            .iter()
            .find(|(known, update)| update.id == job_id && is_same(known));
        if let Some((_, update)) = said {
            // The cloud still lists it: it has lost or not understood the end.
            self.outbox.push(update.clone());
            effects.push(Effect::Persist);
            return;
        }
        // The cloud would name a job in progress first: what runs here is no longer wanted.
        for (id, active) in &mut self.active {
            if !active.canceled {
                active.canceled = true;
                effects.push(Effect::Cancel(id.clone()));
            }
        }
        let active = Active {
            key,
            canceled: false,
        };
        self.active.insert(job_id.clone(), active);
        effects.push(Effect::Submit(CloudDeployment {
            id: job_id,
            source: DeploymentSource::Jobs,
            document,
        }));
    }

    fn on_notification(
        &mut self,
        notification: &Notification,
        now_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        for (id, active) in &mut self.active {
            let listed = notification.listed.iter().any(|job| job == id);
            // An older notification may arrive late; an empty list is taken at its word.
            let current = notification.timestamp > active.key.queued_at && !notification.is_cut;
            if !listed && !active.canceled && (notification.listed.is_empty() || current) {
                active.canceled = true;
                effects.push(Effect::Cancel(id.clone()));
            }
        }
        if notification.has_queued {
            self.ask(now_ms, effects);
        }
    }

    fn on_status(&mut self, update: StatusUpdate, effects: &mut Vec<Effect>) {
        if update.status == DeploymentStatus::Queued {
            return;
        }
        let mut update = update;
        if update.status.is_terminal() {
            let active = self.active.remove(&update.id);
            let key = active.as_ref().map(|active| active.key);
            if update.status == DeploymentStatus::Canceled {
                if active.is_none_or(|active| active.canceled) {
                    // The cloud took it back itself.
                    effects.push(Effect::Delivered {
                        id: update.id,
                        status: update.status,
                        refused: None,
                    });
                    return;
                }
                update = failed_because_canceled(update);
            }
            self.ended.retain(|(_, ended)| ended.id != update.id);
            self.ended.push_back((key, update.clone()));
            if self.ended.len() > REMEMBERED {
                self.ended.pop_front();
            }
        }
        self.outbox.push(update);
        effects.push(Effect::Persist);
    }

    fn update_topic(&self, job_id: &str) -> String {
        let thing = &self.thing;
        format!("$aws/things/{thing}/jobs/{job_id}/namespace-{NAMESPACE}/update")
    }

    /// Whether an answer is about the first status: a late one about the status before must not
    /// be taken for it. Clouds that do not give the token back are believed.
    fn is_answer(&self, payload: &[u8]) -> bool {
        let token = messages::client_token(payload);
        let wanted = self.outbox.first().map(|update| update.status.as_str());
        token.is_none_or(|token| Some(token.as_str()) == wanted)
    }

    /// Takes the first status one step further.
    fn deliver(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if !self.connected || self.outbox.stage() != Stage::Ready {
            return;
        }
        let Some(update) = self.outbox.first() else {
            return;
        };
        let topic = self.update_topic(&update.id);
        let is_of_another = |answers: &[(String, bool); 2]| {
            let mut filters = answers
                .iter()
                .map(|(filter, _)| filter.strip_prefix(&topic));
            !filters.all(|end| end.is_some_and(|end| end.starts_with('/')))
        };
        if self.answers.as_ref().is_some_and(is_of_another) {
            // The one they were made for gave way to a newer one while the device was offline.
            self.drop_answers(effects);
        }
        let Some(update) = self.outbox.first() else {
            return;
        };
        match &self.answers {
            Some(answers) if answers.iter().all(|(_, granted)| *granted) => {
                effects.push(Effect::Publish {
                    topic,
                    payload: messages::update(&self.thing, update),
                });
                self.outbox.set_stage(Stage::Sent {
                    until_ms: now_ms + ANSWER_MS,
                });
            }
            Some(_) => {}
            None => {
                let answers = ["accepted", "rejected"].map(|end| format!("{topic}/{end}"));
                effects.extend(answers.clone().map(Effect::Subscribe));
                self.answers = Some(answers.map(|filter| (filter, false)));
                self.outbox.set_stage(Stage::Subscribing {
                    until_ms: now_ms + ANSWER_MS,
                });
            }
        }
    }

    /// Notes a broker's answer; whether the lasting subscriptions are complete by it.
    fn on_subscribed(
        &mut self,
        filter: &str,
        granted: bool,
        now_ms: u64,
        effects: &mut Vec<Effect>,
    ) -> bool {
        if self.subscriptions.answer(filter, granted, now_ms) {
            return granted && self.subscriptions.complete();
        }
        let Some(answers) = &mut self.answers else {
            return false;
        };
        if let Some((_, known)) = answers.iter_mut().find(|(known, _)| known == filter) {
            *known = granted;
            if !granted {
                self.later(now_ms, effects);
            } else if answers.iter().all(|(_, granted)| *granted)
                && matches!(self.outbox.stage(), Stage::Subscribing { .. })
            {
                self.outbox.set_stage(Stage::Ready);
            }
        }
        false
    }

    fn on_rejected(&mut self, payload: &[u8], now_ms: u64, effects: &mut Vec<Effect>) {
        if messages::is_final(payload) {
            self.delivered(Some(messages::reason(payload)), effects);
        } else {
            self.later(now_ms, effects);
        }
    }

    /// The first status did not go through.
    fn later(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        self.outbox.failed(now_ms);
        self.drop_answers(effects);
    }

    fn delivered(&mut self, refused: Option<String>, effects: &mut Vec<Effect>) {
        if let Some(update) = self.outbox.pop() {
            effects.push(Effect::Persist);
            effects.push(Effect::Delivered {
                id: update.id,
                status: update.status,
                refused,
            });
        }
        self.drop_answers(effects);
    }

    fn drop_answers(&mut self, effects: &mut Vec<Effect>) {
        if let Some(answers) = self.answers.take() {
            effects.extend(answers.map(|(filter, _)| Effect::Unsubscribe(filter)));
        }
    }

    fn on_tick(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if !self.connected {
            return;
        }
        self.subscriptions.ask(now_ms, effects);
        if self.question.is_due(now_ms) {
            self.question.refused(now_ms);
            self.ask(now_ms, effects);
        }
        match self.outbox.stage() {
            Stage::Sent { until_ms } | Stage::Subscribing { until_ms } if until_ms <= now_ms => {
                self.later(now_ms, effects);
            }
            Stage::Later { at_ms } if at_ms <= now_ms => self.outbox.restart(),
            _ => {}
        }
        self.deliver(now_ms, effects);
    }
}

impl Machine for JobsListener {
    fn source(&self) -> DeploymentSource {
        DeploymentSource::Jobs
    }

    fn handle(&mut self, event: Event<'_>, now_ms: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::SessionLost => {
                self.subscriptions.lost();
                self.drop_answers(&mut effects);
            }
            Event::Connected => {
                self.connected = true;
                self.subscriptions.ask(now_ms, &mut effects);
                self.ask(now_ms, &mut effects);
                self.outbox.restart();
                self.deliver(now_ms, &mut effects);
            }
            Event::Disconnected => {
                self.connected = false;
                self.subscriptions.disconnected();
                self.question.forget();
                self.outbox.restart();
                if let Some(answers) = &self.answers
                    && answers.iter().any(|(_, granted)| !granted)
                {
                    self.drop_answers(&mut effects);
                }
            }
            Event::Subscribed(filter) => {
                if self.on_subscribed(filter, true, now_ms, &mut effects) {
                    self.ask(now_ms, &mut effects);
                }
                self.deliver(now_ms, &mut effects);
            }
            Event::SubscribeFailed(filter) => {
                self.on_subscribed(filter, false, now_ms, &mut effects);
            }
            Event::Message { topic, payload } => {
                self.on_message(topic, payload, now_ms, &mut effects);
            }
            Event::NotTaken(topic) if topic == next_topic(&self.thing) => {
                self.question.refused(now_ms);
            }
            // A status has its own deadline.
            Event::NotTaken(_) => {}
            Event::Status(update) => {
                self.on_status(update, &mut effects);
                self.deliver(now_ms, &mut effects);
            }
            Event::Tick => self.on_tick(now_ms, &mut effects),
        }
        effects
    }

    fn deadline(&self) -> Option<u64> {
        if !self.connected {
            return None;
        }
        earliest([
            self.subscriptions.deadline(),
            self.question.deadline(),
            self.outbox.deadline(),
        ])
    }

    fn pending(&self) -> Vec<StatusUpdate> {
        self.outbox.to_vec()
    }
}

/// A device cannot say CANCELED of a job; what was canceled here has failed. One that the cloud
/// canceled is refused there, and that is an answer, too.
fn failed_because_canceled(mut update: StatusUpdate) -> StatusUpdate {
    if update.status == DeploymentStatus::Canceled {
        update.status = DeploymentStatus::Failed;
        let cause = "the deployment was canceled on the device".to_owned();
        update.failure_cause.get_or_insert(cause);
    }
    update
}

fn next_topic(thing: &str) -> String {
    format!("$aws/things/{thing}/jobs/$next/namespace-{NAMESPACE}/get")
}
