//! Components are asked before they are updated (core-device §6.11, §6.12).
//!
//! The deployer knows it as its `UpdateGate`; components reach it over IPC: they subscribe, are
//! told, and answer. One question of each kind is open at a time, because one deployment runs at a
//! time. A component that goes away while it is asked whether now is a good time counts as agreeing;
//! one that is asked about its configuration must say yes in time. Of an update that was announced,
//! every subscriber is told when it is over, however it ended; of another, nobody hears.

use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use sward_engine::deployer::ports::{BoxFuture, ConfigurationRejection, UpdateGate};
use sward_ipc_model::{
    ComponentUpdatePolicyEvents, ConfigurationValidityReport, ConfigurationValidityStatus,
    IpcError, PostComponentUpdateEvent, PreComponentUpdateEvent, ValidateConfigurationUpdateEvent,
};
use sward_model::ComponentName;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// Notices that may wait on one stream.
const NOTICES: usize = 8;
/// Nobody waits longer for an answer, whatever a deployment says.
const LONGEST_WAIT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The gate; shared by deployer and IPC.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    /// An answer came, or a subscriber went.
    answered: Notify,
}

#[derive(Default)]
struct State {
    /// The streams of each component; all of them are told.
    listeners: HashMap<String, Streams<ComponentUpdatePolicyEvents>>,
    /// The streams of each component; the first that is open is asked.
    validators: HashMap<String, Streams<ValidateConfigurationUpdateEvent>>,
    /// The deployment that was announced and is not over.
    announced: Option<String>,
    update: Option<UpdateQuestion>,
    validation: Option<ValidationQuestion>,
}

type Streams<T> = Vec<mpsc::Sender<T>>;

/// Adds a stream to those of a component, and forgets those that have ended.
fn add_stream<T>(streams: &mut HashMap<String, Streams<T>>, component: &str) -> mpsc::Receiver<T> {
    forget_ended(streams);
    let (sender, receiver) = mpsc::channel(NOTICES);
    streams
        .entry(component.to_owned())
        .or_default()
        .push(sender);
    receiver
}

fn forget_ended<T>(streams: &mut HashMap<String, Streams<T>>) {
    streams.retain(|_, streams| {
        streams.retain(|stream| !stream.is_closed());
        !streams.is_empty()
    });
}

/// A question that is being asked; it is closed when this is dropped, also by a cancellation.
struct Asking<'a>(&'a Gate);

impl Drop for Asking<'_> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.update = None;
        state.validation = None;
    }
}

struct UpdateQuestion {
    deployment_id: String,
    /// Components that have not answered yet.
    open: Vec<String>,
    /// The longest deferral asked for in this round.
    recheck_ms: u64,
}

struct ValidationQuestion {
    deployment_id: String,
    open: Vec<String>,
    rejection: Option<(String, String)>,
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Subscribes a stream of a component to notices.
    pub(crate) fn listen(&self, component: &str) -> mpsc::Receiver<ComponentUpdatePolicyEvents> {
        add_stream(&mut self.lock().listeners, component)
    }

    /// The answer to a notice.
    pub(crate) fn defer(
        &self,
        component: &str,
        deployment_id: &str,
        recheck_ms: u64,
    ) -> Result<(), IpcError> {
        let mut state = self.lock();
        if !state.listeners.contains_key(component) {
            return Err(IpcError::invalid(
                "the component is not subscribed to component updates",
            ));
        }
        let late =
            || IpcError::service("no update of this deployment waits for the component's answer");
        let question = state.update.as_mut().ok_or_else(late)?;
        if question.deployment_id != deployment_id {
            return Err(late());
        }
        question.open.retain(|name| name != component);
        question.recheck_ms = question.recheck_ms.max(recheck_ms);
        drop(state);
        self.answered.notify_waiters();
        Ok(())
    }

    /// Subscribes a stream of a component to questions about its configuration. While an earlier
    /// stream of the component is open, that one is asked.
    pub(crate) fn validate_for(
        &self,
        component: &str,
    ) -> mpsc::Receiver<ValidateConfigurationUpdateEvent> {
        add_stream(&mut self.lock().validators, component)
    }

    /// The answer to such a question.
    pub(crate) fn report(
        &self,
        component: &str,
        report: ConfigurationValidityReport,
    ) -> Result<(), IpcError> {
        let mut state = self.lock();
        let question = state
            .validation
            .as_mut()
            .filter(|question| question.deployment_id == report.deployment_id)
            .filter(|question| question.open.iter().any(|name| name == component))
            .ok_or_else(|| {
                IpcError::invalid(format!(
                    "no validation of deployment {} waits for {component}",
                    report.deployment_id
                ))
            })?;
        question.open.retain(|name| name != component);
        if report.status == ConfigurationValidityStatus::Rejected {
            let reason = report
                .message
                .unwrap_or_else(|| "no reason given".to_owned());
            question
                .rejection
                .get_or_insert((component.to_owned(), reason));
        }
        drop(state);
        self.answered.notify_waiters();
        Ok(())
    }

    /// Tells every listener; returns those that can still answer.
    fn notify(&self, event: &ComponentUpdatePolicyEvents) -> Vec<String> {
        let mut state = self.lock();
        forget_ended(&mut state.listeners);
        let mut told = Vec::new();
        for (name, streams) in &state.listeners {
            let heard = streams
                .iter()
                .filter(|stream| stream.try_send(event.clone()).is_ok())
                .count();
            if heard > 0 {
                told.push(name.clone());
            }
        }
        told
    }

    /// Tells every listener that an update that was announced is over.
    fn declare_over(&self, deployment_id: &str) {
        let announced = self
            .lock()
            .announced
            .take_if(|announced| announced == deployment_id);
        if announced.is_some() {
            self.notify(&ComponentUpdatePolicyEvents {
                pre_update_event: None,
                post_update_event: Some(PostComponentUpdateEvent {
                    deployment_id: deployment_id.to_owned(),
                }),
            });
        }
    }

    /// One round of asking; returns for how long somebody wants to be left alone.
    async fn ask_once(&self, deployment_id: &str, deadline: Instant) -> u64 {
        let event = ComponentUpdatePolicyEvents {
            pre_update_event: Some(PreComponentUpdateEvent {
                deployment_id: deployment_id.to_owned(),
                is_ggc_restarting: false,
            }),
            post_update_event: None,
        };
        // The question is open before the notices go out: an answer may be quick.
        let _asking = Asking(self);
        {
            let mut state = self.lock();
            let open = state.listeners.keys().cloned().collect();
            state.update = Some(UpdateQuestion {
                deployment_id: deployment_id.to_owned(),
                open,
                recheck_ms: 0,
            });
            state.announced = Some(deployment_id.to_owned());
        }
        let told = self.notify(&event);
        if let Some(question) = &mut self.lock().update {
            question.open.retain(|name| told.contains(name));
        }
        self.wait(deadline, |state| {
            let is_here = |name: &String| {
                let streams = state.listeners.get(name);
                streams.is_some_and(|streams| streams.iter().any(|stream| !stream.is_closed()))
            };
            let question = state.update.as_ref();
            question.is_none_or(|question| !question.open.iter().any(is_here))
        })
        .await;
        self.lock()
            .update
            .take()
            .map_or(0, |question| question.recheck_ms)
    }

    /// Waits until `done`, or the deadline; a subscriber that goes is noticed within a second.
    async fn wait(&self, deadline: Instant, done: impl Fn(&State) -> bool) {
        loop {
            let answered = self.answered.notified();
            if done(&self.lock()) {
                return;
            }
            let look_again = (Instant::now() + Duration::from_secs(1)).min(deadline);
            tokio::select! {
                () = answered => {}
                () = tokio::time::sleep_until(look_again) => {
                    if Instant::now() >= deadline {
                        return;
                    }
                }
            }
        }
    }

    async fn ask_all(&self, deployment_id: &str, timeout: Duration) {
        loop {
            let recheck_ms = self.ask_once(deployment_id, deadline(timeout)).await;
            if recheck_ms == 0 {
                return;
            }
            tracing::info!(deployment_id, recheck_ms, "a component deferred the update");
            tokio::time::sleep(Duration::from_millis(recheck_ms)).await;
        }
    }

    async fn validate_all(
        &self,
        deployment_id: &str,
        configurations: BTreeMap<ComponentName, Value>,
        timeout: Duration,
    ) -> Result<(), ConfigurationRejection> {
        let _asking = Asking(self);
        {
            let mut state = self.lock();
            forget_ended(&mut state.validators);
            let open = configurations
                .keys()
                .map(|name| name.as_str().to_owned())
                .filter(|name| state.validators.contains_key(name))
                .collect();
            state.validation = Some(ValidationQuestion {
                deployment_id: deployment_id.to_owned(),
                open,
                rejection: None,
            });
        }
        for (name, configuration) in configurations {
            let event = ValidateConfigurationUpdateEvent {
                configuration: configuration.as_object().cloned(),
                deployment_id: deployment_id.to_owned(),
            };
            let mut state = self.lock();
            let stream = state.validators.get(name.as_str());
            let stream = stream.and_then(|streams| streams.iter().find(|one| !one.is_closed()));
            // One that takes no more questions has not agreed: it is waited for.
            let is_gone = stream.is_none_or(|stream| {
                matches!(stream.try_send(event), Err(TrySendError::Closed(_)))
            });
            if let (true, Some(question)) = (is_gone, &mut state.validation) {
                question.open.retain(|open| *open != name.as_str());
            }
        }
        self.wait(deadline(timeout), |state| {
            state
                .validation
                .as_ref()
                .is_none_or(|question| question.open.is_empty() || question.rejection.is_some())
        })
        .await;
        let Some(question) = self.lock().validation.take() else {
            return Ok(());
        };
        let refusal = question.rejection.or_else(|| {
            let silent = question.open.first()?.clone();
            Some((
                silent,
                format!("it did not answer within {} s", timeout.as_secs()),
            ))
        });
        match refusal.and_then(|(name, reason)| Some((name.parse().ok()?, reason))) {
            Some((component, reason)) => Err(ConfigurationRejection { component, reason }),
            None => Ok(()),
        }
    }
}

fn deadline(timeout: Duration) -> Instant {
    Instant::now() + timeout.min(LONGEST_WAIT)
}

/// What the deployer holds.
pub(crate) struct SharedGate(pub(crate) Arc<Gate>);

impl UpdateGate for SharedGate {
    fn before_update(&self, deployment_id: &str, timeout: Duration) -> BoxFuture<'_, ()> {
        let deployment_id = deployment_id.to_owned();
        Box::pin(async move { self.0.ask_all(&deployment_id, timeout).await })
    }

    fn after_update(&self, deployment_id: &str) {
        self.0.declare_over(deployment_id);
    }

    fn validate(
        &self,
        deployment_id: &str,
        configurations: BTreeMap<ComponentName, Value>,
        timeout: Duration,
    ) -> BoxFuture<'_, Result<(), ConfigurationRejection>> {
        let deployment_id = deployment_id.to_owned();
        Box::pin(async move {
            self.0
                .validate_all(&deployment_id, configurations, timeout)
                .await
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn nobody_to_ask_means_go() {
        let gate = Gate::default();
        gate.ask_all("d", LONG).await;
        assert!(gate.validate_all("d", BTreeMap::new(), LONG).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_deferral_asks_again_and_silence_ends_at_the_timeout() {
        let gate = Arc::new(Gate::default());
        let mut notices = gate.listen("a");
        let begin = Instant::now();
        let asking = async { gate.ask_all("d", LONG).await };
        let answering = async {
            let first = notices.recv().await.expect("a notice");
            assert_eq!(first.pre_update_event.expect("before").deployment_id, "d");
            gate.defer("a", "d", 5000).expect("the question is open");
            assert!(gate.defer("a", "other", 0).is_err());
            notices.recv().await.expect("asked again");
        };
        tokio::join!(asking, answering);
        let waited = begin.elapsed();
        assert!(
            waited >= Duration::from_secs(65) && waited < Duration::from_secs(70),
            "{waited:?}"
        );
        assert!(gate.defer("a", "d", 0).is_err(), "too late");
        assert!(gate.defer("b", "d", 0).is_err(), "not subscribed");
    }

    #[tokio::test(start_paused = true)]
    async fn a_rejection_names_the_component_and_its_reason() {
        let gate = Arc::new(Gate::default());
        let mut questions = gate.validate_for("a");
        let name: ComponentName = "a".parse().expect("a name");
        let asked = BTreeMap::from([(name.clone(), serde_json::json!({ "key": 1 }))]);
        let answering = async {
            let question = questions.recv().await.expect("a question");
            gate.report(
                "a",
                ConfigurationValidityReport {
                    status: ConfigurationValidityStatus::Rejected,
                    deployment_id: question.deployment_id,
                    message: Some("too many keys".into()),
                },
            )
        };
        let (result, reported) = tokio::join!(gate.validate_all("d", asked, LONG), answering);
        assert!(reported.is_ok());
        assert_eq!(
            result,
            Err(ConfigurationRejection {
                component: name,
                reason: "too many keys".into()
            })
        );
    }

    fn pre_update(notice: Option<ComponentUpdatePolicyEvents>) -> Option<String> {
        Some(notice?.pre_update_event?.deployment_id)
    }

    fn post_update(notice: Option<ComponentUpdatePolicyEvents>) -> Option<String> {
        Some(notice?.post_update_event?.deployment_id)
    }

    #[tokio::test(start_paused = true)]
    async fn every_stream_of_a_component_is_told_and_one_answer_counts() {
        let gate = Gate::default();
        let (mut first, mut second) = (gate.listen("a"), gate.listen("a"));
        let begin = Instant::now();
        let answering = async {
            assert_eq!(pre_update(first.recv().await).as_deref(), Some("d"));
            assert_eq!(pre_update(second.recv().await).as_deref(), Some("d"));
            gate.defer("a", "d", 0).expect("the question is open");
        };
        tokio::join!(gate.ask_all("d", LONG), answering);
        assert!(begin.elapsed() < LONG);
        gate.declare_over("d");
        assert_eq!(post_update(first.recv().await).as_deref(), Some("d"));
        assert_eq!(post_update(second.recv().await).as_deref(), Some("d"));
    }

    #[tokio::test(start_paused = true)]
    async fn only_what_was_announced_is_declared_over() {
        let gate = Gate::default();
        let mut notices = gate.listen("a");
        gate.declare_over("not-announced");
        assert!(notices.try_recv().is_err(), "nobody was told that it comes");
        let asking = tokio::time::timeout(Duration::from_secs(5), gate.ask_all("d", LONG));
        assert!(asking.await.is_err(), "it is canceled while it is asked");
        assert_eq!(pre_update(notices.recv().await).as_deref(), Some("d"));
        assert!(gate.defer("a", "d", 0).is_err(), "nothing waits any more");
        gate.declare_over("d");
        assert_eq!(post_update(notices.recv().await).as_deref(), Some("d"));
        gate.declare_over("d");
        assert!(notices.try_recv().is_err(), "once");
    }

    #[tokio::test(start_paused = true)]
    async fn the_next_stream_is_asked_once_the_first_has_ended() {
        let gate = Gate::default();
        let first = gate.validate_for("a");
        let mut second = gate.validate_for("a");
        let name: ComponentName = "a".parse().expect("a name");
        let asked = BTreeMap::from([(name, serde_json::json!({}))]);
        let refused = gate.validate_all("1", asked.clone(), LONG).await;
        assert!(refused.is_err(), "the first stream did not answer");
        assert!(second.try_recv().is_err(), "the first one is asked");
        drop(first);
        let answering = async {
            let question = second.recv().await.expect("a question");
            let report = ConfigurationValidityReport {
                status: ConfigurationValidityStatus::Accepted,
                deployment_id: question.deployment_id,
                message: None,
            };
            gate.report("a", report).expect("the question is open");
        };
        let (result, ()) = tokio::join!(gate.validate_all("2", asked, LONG), answering);
        assert_eq!(result, Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_longest_timeout_there_is_does_no_harm() {
        let gate = Gate::default();
        drop(gate.listen("a"));
        let forever = Duration::from_secs(u64::MAX);
        gate.ask_all("d", forever).await;
        let asked = BTreeMap::from([("a".parse().expect("a name"), serde_json::json!({}))]);
        assert_eq!(gate.validate_all("d", asked, forever).await, Ok(()));
    }
}
