//! The reconciler of one connection's subscriptions.

use super::{Actual, ConnectionTask, Operation};
use crate::mqtt::backoff;
use crate::mqtt::error::SubscribeError;
use std::time::Duration;
use sward_mqtt::packet::{RetainHandling, SubscribeOptions, Text};
use sward_mqtt::{Qos, Reason};
use tokio::time::Instant;

/// How long a refused filter waits for its next try.
const REFUSED_RETRY: Duration = Duration::from_secs(120);
/// SUBSCRIBEs without an answer at once.
pub(super) const OPERATIONS: usize = 16;

impl ConnectionTask {
    /// Makes the cloud's subscriptions equal to the wanted ones, a few steps at a time.
    pub(super) fn reconcile(&mut self) {
        if self.operations.len() >= OPERATIONS {
            return;
        }
        let now_instant = Instant::now();
        let (mut missing, gone) = {
            let inner = self.shared.lock();
            let wanted = inner.table.wanted(self.index);
            let missing: Vec<(String, Qos)> = wanted
                .iter()
                .filter(|(filter, qos)| match self.actual.get(**filter) {
                    None | Some(Actual::Unknown) => true,
                    Some(Actual::Subscribing(has)) => has < *qos,
                    // One that was given up and is wanted again waits for an answer of its own.
                    Some(Actual::Subscribed(has)) => has < *qos || inner.table.waits(filter),
                    Some(Actual::Refused { again }) => *again <= now_instant,
                })
                .map(|(filter, qos)| ((*filter).to_owned(), *qos))
                .collect();
            let gone: Vec<String> = self
                .actual
                .keys()
                .filter(|filter| !wanted.contains_key(filter.as_str()))
                .cloned()
                .collect();
            (missing, gone)
        };
        let now = self.now();
        // First, so that the cloud's limit of subscriptions has room for the new ones.
        for filter in gone {
            if self.operations.len() >= OPERATIONS {
                return;
            }
            let had = self.actual.remove(&filter);
            if matches!(had, Some(Actual::Refused { .. })) {
                continue;
            }
            let token = self.token();
            self.client
                .unsubscribe(now, token, vec![Text::from(filter.as_str())]);
            self.operations
                .insert(token, Operation::Unsubscribe { filter });
        }
        missing.sort();
        for (filter, qos) in missing {
            if self.operations.len() >= OPERATIONS {
                return;
            }
            let token = self.token();
            let options = SubscribeOptions {
                qos,
                no_local: false,
                retain_as_published: true,
                retain_handling: RetainHandling::Always,
            };
            let text = Text::from(filter.as_str());
            self.client.subscribe(now, token, vec![(text, options)]);
            self.actual.insert(filter.clone(), Actual::Subscribing(qos));
            self.operations
                .insert(token, Operation::Subscribe { filter, qos });
        }
    }

    fn token(&mut self) -> u64 {
        self.next_token += 1;
        self.next_token
    }

    pub(super) fn subscribed(&mut self, token: u64, reasons: &[Reason]) {
        let Some(Operation::Subscribe { filter, qos }) = self.operations.remove(&token) else {
            return;
        };
        let reason = reasons
            .first()
            .copied()
            .unwrap_or(Reason::UNSPECIFIED_ERROR);
        if reason.is_failure() {
            tracing::warn!(topic = %filter, %reason, retry_in_s = REFUSED_RETRY.as_secs(), "the cloud refused a subscription");
            self.refused_filter(&filter);
            let error = SubscribeError::Refused {
                filter: filter.clone(),
                reason,
            };
            self.shared.lock().table.answered(&filter, Err(error));
            return;
        }
        if let Some(actual) = self.actual.get_mut(&filter) {
            *actual = Actual::Subscribed(qos);
        }
        self.shared.lock().table.answered(&filter, Ok(qos));
    }

    fn refused_filter(&mut self, filter: &str) {
        let jitter = Duration::from_millis(backoff::random() % 10_000);
        let again = Instant::now() + REFUSED_RETRY + jitter;
        self.actual
            .insert(filter.to_owned(), Actual::Refused { again });
    }

    pub(super) fn timed_out(&mut self, token: u64) {
        if let Some(Operation::Subscribe { filter, .. }) = self.operations.remove(&token) {
            tracing::warn!(topic = %filter, "the cloud did not answer a subscription in time");
            self.refused_filter(&filter);
            let error = SubscribeError::TimedOut {
                filter: filter.clone(),
            };
            self.shared.lock().table.answered(&filter, Err(error));
        }
    }
}
