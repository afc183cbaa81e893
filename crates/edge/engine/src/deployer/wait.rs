//! Waits for the network: they never fail a deployment, everybody sees them, and they can be
//! canceled at any moment.

use super::context::Context;
use super::message::Waiting;
use crate::configuration::now_ms;
use std::future::Future;
use std::time::Duration;
use sward_deployment::DeploymentFailure;
use sward_diagnosis::{Diagnose, Report};
use sward_task::CancellationToken;

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
            tracing::warn!(for_what, error = reason, "waiting for the network");
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
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
