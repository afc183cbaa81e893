//! Acknowledgements that wait: for a commit, for a service, and for those before them.

use crate::durability::Ticket;
use std::collections::VecDeque;
use sward_mqtt::Reason;

/// PUBACKs in the order of their PUBLISHes.
#[derive(Debug, Default)]
pub(crate) struct Acks {
    entries: VecDeque<Entry>,
    first: u64,
}

#[derive(Debug)]
struct Entry {
    packet_id: u16,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// A service or the broker has it.
    Open,
    /// To be sent once a ticket is durable.
    Durable(Ticket),
    /// To be sent.
    Ready(Reason),
}

impl Acks {
    /// Begins to wait for a packet's outcome; the serial names it.
    pub(crate) fn push(&mut self, packet_id: u16) -> u64 {
        self.entries.push_back(Entry {
            packet_id,
            state: State::Open,
        });
        self.first + self.entries.len() as u64 - 1
    }

    /// The outcome is known.
    pub(crate) fn ready(&mut self, serial: u64, reason: Reason) {
        self.set(serial, State::Ready(reason));
    }

    /// Success, once the ticket is durable.
    pub(crate) fn after(&mut self, serial: u64, ticket: Option<Ticket>) {
        let state = ticket.map_or(State::Ready(Reason::SUCCESS), State::Durable);
        self.set(serial, state);
    }

    fn set(&mut self, serial: u64, state: State) {
        let index = serial
            .checked_sub(self.first)
            .and_then(|index| usize::try_from(index).ok());
        if let Some(entry) = index.and_then(|index| self.entries.get_mut(index)) {
            entry.state = state;
        }
    }

    /// How many wait.
    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the next one waits for a commit.
    pub(crate) fn waits_for_commit(&self) -> bool {
        matches!(
            self.entries.front(),
            Some(Entry {
                state: State::Durable(_),
                ..
            })
        )
    }

    /// Hands out, in order, what can be sent.
    pub(crate) fn settle(&mut self, committed: Ticket, mut send: impl FnMut(u16, Reason)) {
        while let Some(entry) = self.entries.front() {
            let reason = match entry.state {
                State::Ready(reason) => reason,
                State::Durable(ticket) if ticket <= committed => Reason::SUCCESS,
                State::Open | State::Durable(_) => return,
            };
            send(entry.packet_id, reason);
            self.entries.pop_front();
            self.first += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acknowledgements_keep_the_order_of_their_messages() {
        let mut acks = Acks::default();
        let sent = |acks: &mut Acks, committed| {
            let mut sent = Vec::new();
            acks.settle(committed, |id, reason| sent.push((id, reason.0)));
            sent
        };
        let (one, two, three) = (acks.push(11), acks.push(12), acks.push(13));
        acks.ready(three, Reason::NOT_AUTHORIZED);
        acks.after(two, Some(5));
        assert_eq!(sent(&mut acks, 9), []);
        acks.after(one, None);
        assert_eq!(sent(&mut acks, 4), [(11, 0)]);
        assert!(acks.waits_for_commit());
        assert_eq!(sent(&mut acks, 5), [(12, 0), (13, 0x87)]);
        assert_eq!(acks.len(), 0);
        let four = acks.push(14);
        acks.ready(four, Reason::SUCCESS);
        acks.ready(one, Reason::SUCCESS);
        assert_eq!(sent(&mut acks, 5), [(14, 0)]);
    }
}
