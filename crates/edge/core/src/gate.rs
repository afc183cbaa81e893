//! Components are asked before they are updated (core-device §6.11, §6.12).
//!
//! The deployer knows it as its `UpdateGate`; components reach it over IPC: they subscribe, are
//! told, and answer. One question of each kind is open at a time, because one deployment runs at a
//! time. A component that goes away while it is asked counts as agreeing.

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
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

/// Notices that may wait for one component.
const NOTICES: usize = 8;

/// The gate; shared by deployer and IPC.
#[derive(Default)]
pub(crate) struct Gate {
    state: Mutex<State>,
    /// An answer came, or a subscriber went.
    answered: Notify,
}

#[derive(Default)]
struct State {
    listeners: HashMap<String, mpsc::Sender<ComponentUpdatePolicyEvents>>,
    validators: HashMap<String, mpsc::Sender<ValidateConfigurationUpdateEvent>>,
    update: Option<UpdateQuestion>,
    validation: Option<ValidationQuestion>,
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

    /// Subscribes a component to notices; a newer subscription takes the older one's place.
    pub(crate) fn listen(&self, component: &str) -> mpsc::Receiver<ComponentUpdatePolicyEvents> {
        let (sender, receiver) = mpsc::channel(NOTICES);
        self.lock().listeners.insert(component.to_owned(), sender);
        receiver
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

    /// Subscribes a component to questions about its configuration; one stream each.
    pub(crate) fn validate_for(
        &self,
        component: &str,
    ) -> Option<mpsc::Receiver<ValidateConfigurationUpdateEvent>> {
        let mut state = self.lock();
        if state
            .validators
            .get(component)
            .is_some_and(|sender| !sender.is_closed())
        {
            return None;
        }
        let (sender, receiver) = mpsc::channel(NOTICES);
        state.validators.insert(component.to_owned(), sender);
        Some(receiver)
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
        state.listeners.retain(|_, sender| !sender.is_closed());
        state
            .listeners
            .iter()
            .filter(|(_, sender)| sender.try_send(event.clone()).is_ok())
            .map(|(name, _)| name.clone())
            .collect()
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
        let names: Vec<String> = self.lock().listeners.keys().cloned().collect();
        self.lock().update = Some(UpdateQuestion {
            deployment_id: deployment_id.to_owned(),
            open: names,
            recheck_ms: 0,
        });
        let told = self.notify(&event);
        if let Some(question) = &mut self.lock().update {
            question.open.retain(|name| told.contains(name));
        }
        self.wait(deadline, |state| {
            let gone: Vec<String> = state
                .listeners
                .iter()
                .filter(|(_, sender)| sender.is_closed())
                .map(|(name, _)| name.clone())
                .collect();
            state
                .update
                .as_ref()
                .is_none_or(|question| question.open.iter().all(|name| gone.contains(name)))
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
            let recheck_ms = self.ask_once(deployment_id, Instant::now() + timeout).await;
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
        {
            let mut state = self.lock();
            state.validators.retain(|_, sender| !sender.is_closed());
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
            let told = state
                .validators
                .get(name.as_str())
                .is_some_and(|sender| sender.try_send(event).is_ok());
            if let (false, Some(question)) = (told, &mut state.validation) {
                question.open.retain(|open| *open != name.as_str());
            }
        }
        self.wait(Instant::now() + timeout, |state| {
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

/// What the deployer holds.
pub(crate) struct SharedGate(pub(crate) Arc<Gate>);

impl UpdateGate for SharedGate {
    fn before_update(&self, deployment_id: &str, timeout: Duration) -> BoxFuture<'_, ()> {
        let deployment_id = deployment_id.to_owned();
        Box::pin(async move { self.0.ask_all(&deployment_id, timeout).await })
    }

    fn after_update(&self, deployment_id: &str) {
        self.0.notify(&ComponentUpdatePolicyEvents {
            pre_update_event: None,
            post_update_event: Some(PostComponentUpdateEvent {
                deployment_id: deployment_id.to_owned(),
            }),
        });
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
        let mut questions = gate.validate_for("a").expect("the first stream");
        assert!(gate.validate_for("a").is_none(), "one stream each");
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
}
