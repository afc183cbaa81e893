//! One client's session: its queue, what is in flight to it, its will.

use super::message::{Delivery, Identifiers, Message};
use super::{Change, ConnectionId, Portion, Subscription};
use crate::packet::{Qos, Will};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

pub(super) struct Session<H> {
    pub(super) client_id: Arc<str>,
    pub(super) live: Option<Live<H>>,
    /// Seconds that it outlives its connection.
    pub(super) expiry: u32,
    /// When it ends, while it has no connection.
    pub(super) expires_at: Option<u64>,
    pub(super) subscriptions: HashMap<Box<str>, Subscription>,
    pub(super) will: Option<Will>,
    pub(super) will_due: Option<u64>,
    pub(super) next_packet_id: u16,
    /// The last publish that reached it.
    pub(super) mark: u64,
    pub(super) target: usize,
    queue: VecDeque<Queued>,
    in_flight: VecDeque<Queued>,
    queued_bytes: usize,
    last_sequence: u64,
}

pub(super) struct Live<H> {
    pub(super) connection: ConnectionId,
    pub(super) handle: H,
    /// Woken, and has not come for its messages yet.
    pub(super) notified: bool,
    pub(super) window: u16,
}

/// Waiting messages beyond which a session has fallen behind.
const KEEPS_UP: usize = 1024;

/// A message that waits or is in flight.
struct Queued {
    message: Arc<Message>,
    qos: Qos,
    retain: bool,
    dup: bool,
    /// 0 until it is sent.
    packet_id: u16,
    /// 0 where no store knows it.
    sequence: u64,
    identifiers: Identifiers,
}

/// How a message reaches a session.
pub(super) struct Offer {
    pub(super) qos: Qos,
    pub(super) retain: bool,
    pub(super) identifiers: Identifiers,
}

impl<H> Session<H> {
    pub(super) fn new(client_id: Arc<str>) -> Self {
        Session {
            client_id,
            live: None,
            expiry: 0,
            expires_at: None,
            subscriptions: HashMap::new(),
            will: None,
            will_due: None,
            next_packet_id: 1,
            mark: 0,
            target: 0,
            queue: VecDeque::new(),
            in_flight: VecDeque::new(),
            queued_bytes: 0,
            last_sequence: 0,
        }
    }

    pub(super) fn is_persistent(&self) -> bool {
        self.expiry > 0
    }

    pub(super) fn has_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Whether it keeps up with what it is given: what waits is gone before it matters.
    pub(super) fn keeps_up(&self) -> bool {
        self.live.is_some() && self.queue.len() < KEEPS_UP
    }

    pub(super) fn is_full(&self, messages: usize, bytes: usize, weight: usize) -> bool {
        !self.queue.is_empty()
            && (self.queue.len() >= messages || self.queued_bytes + weight > bytes)
    }

    /// Takes the oldest waiting message out, to make room; its sequence, if it was stored.
    pub(super) fn drop_oldest(&mut self) -> Option<u64> {
        let queued = self.queue.pop_front()?;
        self.queued_bytes -= queued.message.weight();
        Some(queued.sequence)
    }

    /// Puts a message at the end of the queue; the sequence under which a store must keep it, or 0.
    pub(super) fn push(&mut self, message: Arc<Message>, offer: Offer) -> u64 {
        let sequence = if self.is_persistent() && offer.qos != Qos::AtMostOnce {
            self.last_sequence += 1;
            self.last_sequence
        } else {
            0
        };
        self.queued_bytes += message.weight();
        self.queue.push_back(Queued {
            message,
            qos: offer.qos,
            retain: offer.retain,
            dup: false,
            packet_id: 0,
            sequence,
            identifiers: offer.identifiers,
        });
        sequence
    }

    /// Puts a stored message back.
    pub(super) fn restore(&mut self, message: Message, offer: Offer, sequence: u64) {
        self.push(Arc::new(message), offer);
        self.last_sequence = self.last_sequence.max(sequence);
        if let Some(queued) = self.queue.back_mut() {
            queued.sequence = sequence;
        }
    }

    /// The session is no longer kept by a store.
    pub(super) fn forget_sequences(&mut self) {
        for queued in self.queue.iter_mut().chain(&mut self.in_flight) {
            queued.sequence = 0;
        }
    }

    /// The connection is gone: what was in flight waits again, to be sent first and as repeated.
    pub(super) fn requeue(&mut self) {
        self.queue.retain(|queued| queued.qos != Qos::AtMostOnce);
        while let Some(mut queued) = self.in_flight.pop_back() {
            queued.dup = true;
            self.queue.push_front(queued);
        }
        self.queued_bytes = self
            .queue
            .iter()
            .map(|queued| queued.message.weight())
            .sum();
        if self.queue.is_empty() {
            // An idle session should not keep the room of its busiest moment.
            self.queue = VecDeque::new();
            self.in_flight = VecDeque::new();
        }
    }

    pub(super) fn take(
        &mut self,
        now: u64,
        in_flight: u16,
        limit: Portion,
        out: &mut Vec<Delivery>,
        changes: &mut Vec<Change>,
    ) -> bool {
        let Some(live) = &mut self.live else {
            return false;
        };
        let window = usize::from(live.window.min(in_flight));
        let (mut taken, mut bytes) = (0, 0);
        while let Some(front) = self.queue.front() {
            let acknowledged = front.qos != Qos::AtMostOnce;
            if front.message.is_expired(now) && !front.dup {
                let weight = front.message.weight();
                if front.sequence > 0 {
                    changes.push(Change::Delivered {
                        client_id: self.client_id.to_string(),
                        sequence: front.sequence,
                    });
                }
                self.queued_bytes -= weight;
                self.queue.pop_front();
                continue;
            }
            if taken >= limit.messages || bytes >= limit.bytes {
                // More is ready now: the caller comes again without being woken.
                return true;
            }
            if acknowledged && self.in_flight.len() >= window {
                break;
            }
            let Some(mut queued) = self.queue.pop_front() else {
                break;
            };
            self.queued_bytes -= queued.message.weight();
            if acknowledged && queued.packet_id == 0 {
                queued.packet_id = free_id(&mut self.next_packet_id, &self.in_flight, &self.queue);
            }
            out.push(Delivery {
                message: Arc::clone(&queued.message),
                qos: queued.qos,
                retain: queued.retain,
                dup: queued.dup,
                packet_id: queued.packet_id,
                identifiers: queued.identifiers.clone(),
            });
            taken += 1;
            bytes += queued.message.weight();
            if acknowledged {
                self.in_flight.push_back(queued);
            }
        }
        live.notified = false;
        false
    }

    /// The acknowledged message's sequence (0 where no store knows it).
    pub(super) fn acknowledge(&mut self, packet_id: u16) -> Option<u64> {
        let index = self
            .in_flight
            .iter()
            .position(|queued| queued.packet_id == packet_id)?;
        self.in_flight.remove(index).map(|queued| queued.sequence)
    }
}

/// The next identifier that no message in flight or to be repeated has.
fn free_id(next: &mut u16, in_flight: &VecDeque<Queued>, queue: &VecDeque<Queued>) -> u16 {
    loop {
        let id = *next;
        *next = if id == u16::MAX { 1 } else { id + 1 };
        let taken = in_flight.iter().any(|queued| queued.packet_id == id)
            || queue
                .iter()
                .take_while(|queued| queued.dup)
                .any(|queued| queued.packet_id == id);
        if !taken {
            return id;
        }
    }
}
