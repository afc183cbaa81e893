//! Thing deployments: the named shadow `AWSManagedGreengrassV2Deployment`.
//!
//! The cloud writes `desired` with the document as a text; the device answers in `reported` with
//! the version it saw last (wire-protocols §3.5). A refusal for its version makes the device ask
//! for the shadow; a terminal status is then written again, a refused IN_PROGRESS is not.

mod messages;

use crate::deployments::{
    ANSWER_MS, CloudDeployment, DeploymentSource, DeploymentStatus, Effect, Event, Machine, Order,
    Outbox, Question, Stage, StatusUpdate, Subscriptions, earliest,
};
use messages::{Desired, Document, Reported};
use serde_json::json;

/// The shadow's name.
pub const SHADOW_NAME: &str = "AWSManagedGreengrassV2Deployment";

/// The listener.
#[derive(Debug)]
pub struct ShadowListener {
    thing: String,
    nucleus_version: String,
    connected: bool,
    subscriptions: Subscriptions,
    question: Question,
    /// The question of a connection's beginning, where it could not be sent.
    unasked: Question,
    /// Highest version seen.
    version: Option<u64>,
    /// The session was lost: nothing old can come any more, and a cloud that was restored from a
    /// copy counts from an earlier version.
    takes_any_version: bool,
    /// Whether a desired state was seen since the start.
    started: bool,
    /// The configuration seen last.
    last_arn: Option<String>,
    /// The deployment handed over and not ended, and whether the cloud took it back.
    active: Option<(String, bool)>,
    /// The last end that was reported.
    ended: Option<StatusUpdate>,
    outbox: Outbox,
}

impl ShadowListener {
    /// A listener for the core `thing` that reports `nucleus_version`; `pending` is what an
    /// earlier run did not deliver.
    #[must_use]
    pub fn new(thing: &str, nucleus_version: &str, pending: Vec<StatusUpdate>) -> Self {
        let prefix = prefix(thing);
        ShadowListener {
            subscriptions: Subscriptions::new([
                format!("{prefix}/update/accepted"),
                format!("{prefix}/update/rejected"),
                format!("{prefix}/get/accepted"),
            ]),
            thing: thing.to_owned(),
            nucleus_version: nucleus_version.to_owned(),
            connected: false,
            question: Question::default(),
            unasked: Question::default(),
            version: None,
            takes_any_version: false,
            started: false,
            last_arn: None,
            active: None,
            ended: pending.iter().rfind(|u| u.status.is_terminal()).cloned(),
            outbox: Outbox::new(pending, Order::Kept),
        }
    }

    fn ask(&mut self, effects: &mut Vec<Effect>) {
        if !self.connected || !self.subscriptions.complete() {
            return;
        }
        // No answer is a good answer: there may be no shadow.
        effects.push(Effect::Publish {
            topic: format!("{}/get", prefix(&self.thing)),
            payload: json!({ "thingName": self.thing, "shadowName": SHADOW_NAME }),
        });
    }

    fn on_message(&mut self, topic: &str, payload: &[u8], now_ms: u64, effects: &mut Vec<Effect>) {
        match topic.strip_prefix(&prefix(&self.thing)) {
            Some("/update/accepted" | "/get/accepted") => {
                let is_answer = topic.ends_with("/get/accepted");
                match messages::document(payload) {
                    Some(document) => self.on_document(document, is_answer, effects),
                    None => tracing::warn!(topic, "a shadow document is not readable"),
                }
            }
            Some("/update/rejected") => self.on_rejected(payload, now_ms, effects),
            _ => {}
        }
        self.deliver(now_ms, effects);
    }

    fn on_document(&mut self, document: Document, is_answer: bool, effects: &mut Vec<Effect>) {
        let is_old = self.version.is_some_and(|seen| document.version < seen);
        if is_old && !std::mem::take(&mut self.takes_any_version) {
            return;
        }
        self.takes_any_version = false;
        self.version = Some(document.version);
        if is_answer {
            self.question.answered();
        }
        self.settle(document.reported.as_ref(), is_answer, effects);
        let Some(desired) = document.desired else {
            return;
        };
        let first = !std::mem::replace(&mut self.started, true);
        let arn = desired.configuration_arn.clone();
        self.heal(&arn, document.reported.as_ref(), is_answer, effects);
        let is_same = self.last_arn.as_ref() == Some(&arn);
        self.last_arn = Some(arn.clone());
        if desired.is_canceled {
            self.cancel(&arn, first, effects);
            return;
        }
        let reported_end = document
            .reported
            .is_some_and(|reported| reported.arn == arn && reported.is_end());
        let known = is_same
            || self
                .active
                .as_ref()
                .is_some_and(|(active, _)| *active == arn)
            || self.outbox.contains_end_of(&arn)
            || (first && reported_end);
        if !known {
            self.submit(desired, effects);
        }
    }

    /// Takes the first status as delivered when the shadow shows it, and lets one that waited
    /// for the version go.
    fn settle(&mut self, reported: Option<&Reported>, is_answer: bool, effects: &mut Vec<Effect>) {
        let shown = match (self.outbox.first(), reported) {
            (Some(update), Some(reported)) => {
                Some(reported.arn.as_str()) == update.configuration_arn.as_deref()
                    && reported.status == update.status.as_str()
            }
            _ => false,
        };
        match self.outbox.stage() {
            Stage::Sent { .. } | Stage::Waiting | Stage::Later { .. } if shown => {
                self.delivered(None, effects)
            }
            Stage::Waiting if is_answer => self.outbox.restart(),
            _ => {}
        }
    }

    /// Writes the last end again when the shadow shows another status for the same configuration.
    fn heal(
        &mut self,
        desired_arn: &str,
        reported: Option<&Reported>,
        is_answer: bool,
        effects: &mut Vec<Effect>,
    ) {
        let (Some(ended), Some(reported), true) = (&self.ended, reported, is_answer) else {
            return;
        };
        let is_other = ended.configuration_arn.as_deref() == Some(desired_arn)
            && (reported.arn != desired_arn || reported.status != ended.status.as_str());
        if is_other && self.active.is_none() && self.outbox.first().is_none() {
            self.outbox.push(ended.clone());
            effects.push(Effect::Persist);
        }
    }

    fn cancel(&mut self, arn: &str, first: bool, effects: &mut Vec<Effect>) {
        if first && self.active.is_none() {
            return;
        }
        if let Some((active, canceled)) = &mut self.active
            && active == arn
            && !*canceled
        {
            *canceled = true;
            effects.push(Effect::Cancel(arn.to_owned()));
        }
    }

    fn submit(&mut self, desired: Desired, effects: &mut Vec<Effect>) {
        if let Some((overtaken, false)) = self.active.take() {
            effects.push(Effect::Cancel(overtaken));
        }
        self.active = Some((desired.configuration_arn.clone(), false));
        effects.push(Effect::Submit(CloudDeployment {
            id: desired.configuration_arn,
            source: DeploymentSource::Shadow,
            document: desired.document,
        }));
    }

    fn on_rejected(&mut self, payload: &[u8], now_ms: u64, effects: &mut Vec<Effect>) {
        if !matches!(self.outbox.stage(), Stage::Sent { .. }) {
            // Somebody else's update.
            return;
        }
        let (code, reason) = messages::rejection(payload);
        match code {
            409 => {
                let is_end = self.outbox.first().is_some_and(|u| u.status.is_terminal());
                if is_end {
                    self.outbox.set_stage(Stage::Waiting);
                } else {
                    self.delivered(Some(reason), effects);
                }
                self.question.asked(now_ms);
                self.ask(effects);
            }
            // Beside a long document there is room for less.
            413 if self.outbox.shorten() => {}
            429 | 500.. => self.outbox.failed(now_ms),
            _ => self.delivered(Some(reason), effects),
        }
    }

    fn on_status(&mut self, update: StatusUpdate, effects: &mut Vec<Effect>) {
        if update.status == DeploymentStatus::Queued {
            return;
        }
        if update.status.is_terminal() {
            if self
                .active
                .as_ref()
                .is_some_and(|(arn, _)| *arn == update.id)
            {
                self.active = None;
            }
            self.ended = Some(update.clone());
        }
        self.outbox.push(update);
        effects.push(Effect::Persist);
    }

    fn deliver(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        let ready =
            self.connected && self.subscriptions.complete() && self.outbox.stage() == Stage::Ready;
        let (true, Some(update)) = (ready, self.outbox.first()) else {
            return;
        };
        effects.push(Effect::Publish {
            topic: format!("{}/update", prefix(&self.thing)),
            payload: messages::report(&self.thing, &self.nucleus_version, update, self.version),
        });
        self.outbox.set_stage(Stage::Sent {
            until_ms: now_ms + ANSWER_MS,
        });
    }

    fn delivered(&mut self, refused: Option<String>, effects: &mut Vec<Effect>) {
        self.question.answered();
        if let Some(update) = self.outbox.pop() {
            effects.push(Effect::Persist);
            effects.push(Effect::Delivered {
                id: update.id,
                status: update.status,
                refused,
            });
        }
    }

    fn on_tick(&mut self, now_ms: u64, effects: &mut Vec<Effect>) {
        if !self.connected {
            return;
        }
        self.subscriptions.ask(now_ms, effects);
        if self.unasked.is_due(now_ms) {
            self.unasked.forget();
            self.ask(effects);
        }
        match self.outbox.stage() {
            Stage::Sent { until_ms } if until_ms <= now_ms => {
                self.outbox.failed(now_ms);
                self.ask(effects);
            }
            Stage::Later { at_ms } if at_ms <= now_ms => self.outbox.restart(),
            Stage::Waiting if self.question.is_due(now_ms) => {
                // No answer: the shadow may be gone, then any version is right.
                self.question.refused(now_ms);
                self.outbox.restart();
            }
            _ => {}
        }
        if self.outbox.first().is_none() || self.question.is_due(now_ms) {
            self.question.forget();
        }
        self.deliver(now_ms, effects);
    }
}

impl Machine for ShadowListener {
    fn source(&self) -> DeploymentSource {
        DeploymentSource::Shadow
    }

    fn handle(&mut self, event: Event<'_>, now_ms: u64) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::SessionLost => {
                self.subscriptions.lost();
                self.takes_any_version = true;
            }
            Event::Connected => {
                self.connected = true;
                self.subscriptions.ask(now_ms, &mut effects);
                self.ask(&mut effects);
                self.outbox.restart();
                self.deliver(now_ms, &mut effects);
            }
            Event::Disconnected => {
                self.connected = false;
                self.subscriptions.disconnected();
                self.question.forget();
                self.unasked.answered();
                self.outbox.restart();
            }
            Event::Subscribed(filter) => {
                if self.subscriptions.answer(filter, true, now_ms) && self.subscriptions.complete()
                {
                    self.ask(&mut effects);
                    self.deliver(now_ms, &mut effects);
                }
            }
            Event::SubscribeFailed(filter) => {
                self.subscriptions.answer(filter, false, now_ms);
            }
            Event::Message { topic, payload } => {
                self.on_message(topic, payload, now_ms, &mut effects);
            }
            Event::NotTaken(topic) if topic.ends_with("/get") => self.unasked.refused(now_ms),
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
            self.unasked.deadline(),
            self.outbox.deadline(),
        ])
    }

    fn pending(&self) -> Vec<StatusUpdate> {
        self.outbox.to_vec()
    }
}

fn prefix(thing: &str) -> String {
    format!("$aws/things/{thing}/shadow/name/{SHADOW_NAME}")
}
