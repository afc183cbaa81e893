//! Waits for the network and for components: they never fail a deployment by themselves, everybody
//! sees them, and they can be canceled at any moment.

use super::context::Context;
use super::message::Waiting;
use super::ports::BoxFuture;
use crate::configuration::now_ms;
use std::future::Future;
use std::time::Duration;
use sward_deployment::DeploymentFailure;
use sward_diagnosis::{Diagnose, Report};
use sward_task::CancellationToken;

/// A wait this long is nothing to speak of.
const MOMENT: Duration = Duration::from_secs(1);

/// Why a stage ended without a result.
#[derive(Debug)]
pub(super) enum Stop {
    /// Somebody canceled the deployment.
    Canceled,
    /// It failed.
    Failed(Box<DeploymentFailure>),
}

impl From<DeploymentFailure> for Stop {
    fn from(failure: DeploymentFailure) -> Self {
        Stop::Failed(Box::new(failure))
    }
}

/// A result that did not come, or the error that is final.
#[derive(Debug)]
pub(super) enum Ended<E> {
    Canceled,
    Error(E),
}

impl Context {
    /// Runs `attempt` until it works, fails for good, or the deployment is canceled.
    pub(super) async fn until_reachable<T, E, F>(
        &self,
        for_what: &str,
        cancel: &CancellationToken,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Ended<E>>
    where
        E: Diagnose,
        F: Future<Output = Result<T, E>>,
    {
        let since_ms = now_ms();
        let mut pause = self.retry.first;
        loop {
            // Armed before the attempt, so that a network that comes back during it counts.
            let network = self.network.notified();
            let result = tokio::select! {
                result = attempt() => result,
                () = cancel.cancelled() => return Err(Ended::Canceled),
            };
            let error = match result {
                Ok(value) => {
                    self.set_waiting(None);
                    return Ok(value);
                }
                Err(error) if !error.is_retryable() => {
                    self.set_waiting(None);
                    return Err(Ended::Error(error));
                }
                Err(error) => error,
            };
            let reason = Report::of(&error).chain();
            tracing::warn!(
                for_what,
                error = reason,
                waited_s = now_ms().saturating_sub(since_ms) / 1000,
                next_try_s = pause.as_secs(),
                "waiting for the network"
            );
            self.set_waiting(Some(Waiting {
                for_what: for_what.to_owned(),
                since_ms,
                next_try_ms: now_ms().saturating_add(milliseconds(pause)),
                reason,
            }));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = network => {}
                () = cancel.cancelled() => return Err(Ended::Canceled),
            }
            pause = (pause * 2).min(self.retry.longest);
        }
    }

    /// Waits for components' answer, visibly once that takes more than a moment. `waiting` says
    /// for what, and why.
    pub(super) async fn until_answered<T>(
        &self,
        waiting: (&str, &str),
        cancel: &CancellationToken,
        mut answer: BoxFuture<'_, T>,
    ) -> Result<T, Stop> {
        let since_ms = now_ms();
        tokio::select! {
            answer = &mut answer => return Ok(answer),
            () = cancel.cancelled() => return Err(Stop::Canceled),
            () = tokio::time::sleep(MOMENT) => {}
        }
        let (for_what, reason) = waiting;
        tracing::info!(for_what, reason, "waiting for components");
        self.set_waiting(Some(Waiting {
            for_what: for_what.to_owned(),
            since_ms,
            next_try_ms: since_ms,
            reason: reason.to_owned(),
        }));
        let answer = tokio::select! {
            answer = answer => Ok(answer),
            () = cancel.cancelled() => Err(Stop::Canceled),
        };
        self.set_waiting(None);
        answer
    }
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
