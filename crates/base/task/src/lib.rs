//! The one way to start background work: with a name, a token, a tracker and a span.
//!
//! A [`Tasks`] is a scope. Everything spawned in it is counted, carries its name in a span, and
//! is asked to stop by the scope's token; [`Tasks::shutdown`] waits until the last one is gone or
//! says who is still there. A child scope stops with its parent and can be stopped alone.
//!
//! This crate never aborts a task behind its back: a task ends because it saw the token.
//!
//! Invariants:
//! - No task outlives its scope unnoticed: [`Unfinished`] names each one that missed the deadline.
//! - A panic costs one task; it is logged with the task's name and never lost. If the program is
//!   worth nothing without that task, [`Tasks::failed`] says so.
//!
//! Read first: [`Tasks`].

mod registry;

use futures_util::FutureExt;
use registry::{Registry, ScopeId};
use std::borrow::Cow;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;
use sward_diagnosis::{Diagnose, Kind};
use thiserror::Error;
use tokio::task::JoinHandle;
use tracing::Instrument;

pub use tokio_util::sync::CancellationToken;

/// The tasks that were still running when [`Tasks::shutdown`] gave up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{} of {scope} did not stop in time: {}", tasks.len(), tasks.join(", "))]
pub struct Unfinished {
    /// The scope that was shut down.
    pub scope: String,
    /// Names of the tasks that still run, oldest first.
    pub tasks: Vec<&'static str>,
}

impl Diagnose for Unfinished {
    fn kind(&self) -> Kind {
        Kind::Timeout
    }
    fn code(&self) -> &'static str {
        "tasks-unfinished"
    }
}

/// A task that the program cannot do without has panicked.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the task {task} failed: {panic}")]
pub struct EssentialTaskFailed {
    /// The name it was started with.
    pub task: &'static str,
    /// What the panic said.
    pub panic: String,
}

impl Diagnose for EssentialTaskFailed {
    fn kind(&self) -> Kind {
        Kind::Internal
    }
    fn code(&self) -> &'static str {
        "essential-task-failed"
    }
    fn hint(&self) -> Option<Cow<'static, str>> {
        Some("this is a fault of the program; start it again: it takes up what was saved".into())
    }
}

/// A scope of background tasks; clones are the same scope.
#[derive(Clone, Debug)]
pub struct Tasks {
    name: Arc<str>,
    token: CancellationToken,
    registry: Arc<Registry>,
    /// This scope and all its ancestors; a task is counted in each.
    path: Arc<[ScopeId]>,
}

impl Default for Tasks {
    fn default() -> Self {
        Self::new()
    }
}

impl Tasks {
    /// A new root scope.
    #[must_use]
    pub fn new() -> Self {
        let registry = Arc::new(Registry::default());
        let scope = registry.new_scope();
        Tasks {
            name: "sward".into(),
            token: CancellationToken::new(),
            registry,
            path: Arc::new([scope]),
        }
    }

    /// Starts `future` in this scope. The handle may be dropped; the task goes on.
    ///
    /// Must be called inside a tokio runtime. A future started after the shutdown began still
    /// runs and finds the token cancelled.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that everything else spawns through"
    )]
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let guard = self.registry.enter(name, &self.path);
        let span = tracing::info_span!("task", name, scope = %self.name);
        let work = async move {
            let _guard = guard;
            match AssertUnwindSafe(future).catch_unwind().await {
                Ok(output) => output,
                Err(panic) => {
                    tracing::error!(task = name, error = panic_text(&*panic), "task panicked");
                    std::panic::resume_unwind(panic)
                }
            }
        };
        tokio::spawn(work.instrument(span))
    }

    /// Starts work without which the program is worth nothing: an actor that owns state, a
    /// listener. If it panics, [`Tasks::failed`] of every scope completes, so that the program can
    /// end and be started anew instead of living on deaf.
    pub fn spawn_essential<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        let registry = self.registry.clone();
        self.spawn(name, async move {
            match AssertUnwindSafe(future).catch_unwind().await {
                Ok(output) => output,
                Err(panic) => {
                    registry.fail(EssentialTaskFailed {
                        task: name,
                        panic: panic_text(&*panic).to_owned(),
                    });
                    std::panic::resume_unwind(panic)
                }
            }
        })
    }

    /// Completes once an essential task of this scope, its ancestors or its children has
    /// panicked, with the first one that did.
    pub async fn failed(&self) -> EssentialTaskFailed {
        self.registry.failed().await
    }

    /// Runs blocking `work` on the runtime's blocking threads, counted like a task.
    pub fn spawn_blocking<F, R>(&self, name: &'static str, work: F) -> JoinHandle<R>
    where
        F: FnOnce() -> R + Send + 'static,
        R: Send + 'static,
    {
        let guard = self.registry.enter(name, &self.path);
        let span = tracing::info_span!("task", name, scope = %self.name);
        tokio::task::spawn_blocking(move || {
            let _guard = guard;
            span.in_scope(work)
        })
    }

    /// The token that says when to stop; a task selects on `token().cancelled()`.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// A scope below this one: cancelled with it, and able to shut down alone.
    #[must_use]
    pub fn child(&self, name: &str) -> Tasks {
        let mut path = self.path.to_vec();
        path.push(self.registry.new_scope());
        Tasks {
            name: format!("{}/{name}", self.name).into(),
            token: self.token.child_token(),
            registry: self.registry.clone(),
            path: path.into(),
        }
    }

    /// How many tasks of this scope and its children run now.
    #[must_use]
    pub fn running(&self) -> usize {
        self.registry.names(self.scope()).len()
    }

    /// Asks every task of this scope and its children to stop, and waits for the last one.
    pub async fn shutdown(&self, deadline: Duration) -> Result<(), Unfinished> {
        self.token.cancel();
        let waited = tokio::time::timeout(deadline, self.registry.empty(self.scope())).await;
        match waited {
            Ok(()) => Ok(()),
            Err(_) => Err(Unfinished {
                scope: self.name.to_string(),
                tasks: self.registry.names(self.scope()),
            }),
        }
    }

    fn scope(&self) -> ScopeId {
        *self.path.last().expect("a scope's path ends in itself")
    }
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&'static str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without text")
}

#[cfg(test)]
mod tests;
