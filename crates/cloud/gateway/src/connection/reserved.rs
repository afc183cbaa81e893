//! Publishes to services, one after the other.

use crate::ports::{ReservedError, ReservedPublish, ReservedTopics};
use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use sward_mqtt::broker::Message;

type Running = Pin<Box<dyn Future<Output = Result<(), ReservedError>> + Send>>;

/// What a finished publish belongs to.
#[derive(Debug)]
pub(crate) struct Owed {
    /// The acknowledgement that waits, for QoS 1.
    pub(crate) serial: Option<u64>,
    /// What subscribers of the topic get once the service took it.
    pub(crate) message: Message,
}

/// The queue of one connection.
pub(crate) struct Reserved {
    services: Arc<dyn ReservedTopics>,
    waiting: VecDeque<(ReservedPublish, Owed)>,
    running: Option<(Running, Owed)>,
}

impl Reserved {
    pub(crate) fn new(services: Arc<dyn ReservedTopics>) -> Reserved {
        Reserved {
            services,
            waiting: VecDeque::new(),
            running: None,
        }
    }

    pub(crate) fn push(&mut self, message: ReservedPublish, owed: Owed) {
        self.waiting.push_back((message, owed));
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len() + usize::from(self.running.is_some())
    }

    /// The outcome of the publish that is running; starts the next one. Waits forever with none.
    /// Cancel-safe: the running one is kept.
    pub(crate) async fn next(&mut self) -> (Result<(), ReservedError>, Owed) {
        poll_fn(|context| {
            if self.running.is_none()
                && let Some((message, owed)) = self.waiting.pop_front()
            {
                let services = Arc::clone(&self.services);
                let future = async move { services.publish(message).await };
                self.running = Some((Box::pin(future), owed));
            }
            let Some((mut future, owed)) = self.running.take() else {
                return Poll::Pending;
            };
            match future.as_mut().poll(context) {
                Poll::Pending => {
                    self.running = Some((future, owed));
                    Poll::Pending
                }
                Poll::Ready(result) => Poll::Ready((result, owed)),
            }
        })
        .await
    }
}
