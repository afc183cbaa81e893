//! Messages that wait for room in the spool: components may have filled it while the device was
//! offline, and what the core says of itself must not be lost by that.

use std::collections::VecDeque;
use sward_diagnosis::Diagnose as _;
use sward_uplink::fleet_status::Message;
use sward_uplink::spooler::SpoolError;

/// Most messages that wait; then the oldest goes.
const MOST: usize = 32;

/// Messages in their order.
#[derive(Default)]
pub(super) struct Unsent {
    waiting: VecDeque<Message>,
}

impl Unsent {
    pub(super) fn push(&mut self, message: Message) {
        if self.waiting.len() == MOST {
            self.waiting.pop_front();
            tracing::warn!("the oldest fleet status that could not be sent is given up");
        }
        self.waiting.push_back(message);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives messages to the spool as long as it takes them.
    pub(super) fn send(&mut self, mut publish: impl FnMut(&Message) -> Result<(), SpoolError>) {
        while let Some(first) = self.waiting.front() {
            match publish(first) {
                Err(SpoolError::Full { .. }) => return,
                Err(error) => {
                    tracing::warn!(error = %error.report().one_line(), "a fleet status cannot be sent");
                }
                Ok(()) => {}
            }
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn message(number: usize) -> Message {
        Message {
            topic: number.to_string(),
            payload: Value::Null,
        }
    }

    fn sent(unsent: &mut Unsent, room: usize) -> Vec<String> {
        let mut sent = Vec::new();
        unsent.send(|message| {
            if sent.len() == room {
                return Err(SpoolError::Full { used: 1, limit: 1 });
            }
            sent.push(message.topic.clone());
            Ok(())
        });
        sent
    }

    #[test]
    fn a_full_spool_delays_and_loses_nothing() {
        let mut unsent = Unsent::default();
        (0..3).for_each(|number| unsent.push(message(number)));
        assert!(sent(&mut unsent, 0).is_empty());
        assert_eq!(sent(&mut unsent, 2), ["0", "1"]);
        unsent.push(message(3));
        assert_eq!(sent(&mut unsent, 9), ["2", "3"]);
        assert!(unsent.is_empty());
    }

    #[test]
    fn what_can_never_be_sent_holds_nothing_up_and_memory_is_bounded() {
        let mut unsent = Unsent::default();
        (0..MOST + 1).for_each(|number| unsent.push(message(number)));
        assert_eq!(sent(&mut unsent, 1), ["1"]);
        unsent.send(|_| Err(SpoolError::LargerThanSpool { size: 2, limit: 1 }));
        assert!(unsent.is_empty());
    }
}
