//! The life of a connection that was let in: one loop, one task.

use super::acks::Acks;
use super::judge::Judge;
use super::reserved::{Owed, Reserved};
use super::{Client, Ending, Link, tell};
use crate::durability::Ticket;
use crate::gateway::Gateway;
use crate::handle::{End, Handle};
use crate::ports::{DisconnectReason, Refusal, ReservedError, ReservedPublish};
use crate::presence;
use crate::rules::{self, Kind};
use crate::tenant::TenantBroker;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use sward_mqtt::broker::{Delivery, Message, Portion, Publication, SessionKey};
use sward_mqtt::packet::{Publish, Subscribe, Unsubscribe};
use sward_mqtt::server::Event;
use sward_mqtt::{Qos, Reason, Version, Violation};
use sward_net::mqtt::Step;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, Sleep};

/// Events taken from the input before output and other connections get their turn.
const EVENTS: usize = 512;
/// Messages taken from the broker at once.
const DELIVERIES: Portion = Portion {
    messages: 512,
    bytes: OUTPUT,
};
/// Unsent bytes beyond which no messages are taken.
const OUTPUT: usize = 256 * 1024;
/// Unsent bytes beyond which no input is taken: messages alone never reach that far, so that a
/// client on a slow line, which reads and sends pings, is heard.
const OUTPUT_OF_ANSWERS: usize = 4 * OUTPUT;
/// Unanswered messages and subscriptions beyond which no input is taken.
const UNANSWERED: usize = 512;

pub(crate) struct Served<'a, S> {
    gateway: &'a Gateway,
    link: Box<Link<S>>,
    client: Client,
    broker: Arc<TenantBroker>,
    session: SessionKey,
    handle: Arc<Handle>,
    judge: Judge,
    acks: Acks,
    answers: VecDeque<(Ticket, Answer)>,
    reserved: Reserved,
    committed: watch::Receiver<Ticket>,
    timer: Pin<Box<Sleep>>,
    /// Messages and acknowledgements of this turn, for one visit to the broker.
    batch: Vec<Routing>,
    acknowledged: Vec<u16>,
    deliveries: Vec<Delivery>,
    /// Messages wait in the broker.
    more: bool,
}

/// An answer that waits for a commit.
enum Answer {
    SubAck(u16, Vec<Reason>),
    UnsubAck(u16, Vec<Reason>),
}

/// One message on its way to the broker.
struct Routing {
    message: Message,
    kind: Kind,
    serial: Option<u64>,
}

impl<'a, S: AsyncRead + AsyncWrite + Unpin + Send> Served<'a, S> {
    pub(crate) fn new(
        gateway: &'a Gateway,
        link: Box<Link<S>>,
        client: Client,
        broker: Arc<TenantBroker>,
        session: SessionKey,
        handle: Arc<Handle>,
        judge: Judge,
    ) -> Self {
        let due = link.proto.next_timeout().unwrap_or(u64::from(u32::MAX));
        let timer = tokio::time::sleep_until(link.opened + Duration::from_millis(due));
        Served {
            reserved: Reserved::new(Arc::clone(&gateway.ports.reserved)),
            committed: gateway.hub.durability().committed(),
            timer: Box::pin(timer),
            gateway,
            link,
            client,
            broker,
            session,
            handle,
            judge,
            acks: Acks::default(),
            answers: VecDeque::new(),
            batch: Vec::new(),
            acknowledged: Vec::new(),
            deliveries: Vec::new(),
            more: true,
        }
    }

    /// Serves until the connection must end.
    pub(crate) async fn serve(&mut self) -> Ending {
        let token = self.gateway.tasks.token();
        loop {
            let mut input_left = false;
            if self.takes_input() {
                match self.take_input() {
                    Ok(left) => input_left = left,
                    Err(ending) => return ending,
                }
            }
            self.settle();
            self.deliver();
            if input_left || (self.more && self.link.proto.output().len() < OUTPUT) {
                // Others on this thread get their turn before the rest is taken.
                tokio::task::yield_now().await;
            }
            // However busy the socket is, what the rest of the gateway wants is looked at.
            if let Some(ending) = self.called().await {
                return ending;
            }
            let read = self.takes_input();
            let go_on = input_left || (self.more && self.link.proto.output().len() < OUTPUT);
            let waits = self.acks.waits_for_commit() || !self.answers.is_empty();
            tokio::select! {
                // The socket comes late: a busy one is always ready.
                biased;
                () = token.cancelled() => return Ending::Ours(SHUTTING_DOWN),
                () = self.handle.woken() => {}
                () = self.timer.as_mut() => {
                    let now = self.link.now();
                    if let Err(late) = self.link.proto.handle_timeout(now) {
                        return Ending::broken(late);
                    }
                    let due = self.link.proto.next_timeout().unwrap_or(u64::from(u32::MAX));
                    let due: Instant = self.link.opened + Duration::from_millis(due);
                    self.timer.as_mut().reset(due);
                }
                (result, owed) = self.reserved.next() => {
                    if let Some(ending) = self.service_answered(result, owed) {
                        return ending;
                    }
                }
                step = self.link.step(read && !input_left) => match step {
                    Ok(Step::Read(_)) => {
                        let now = self.link.now();
                        self.link.proto.heard(now);
                    }
                    Ok(Step::Written) => {}
                    Ok(Step::Closed) | Err(_) => return Ending::Lost,
                },
                changed = self.committed.changed(), if waits => {
                    if changed.is_err() {
                        return Ending::Ours(SHUTTING_DOWN);
                    }
                }
                () = std::future::ready(()), if go_on => {}
            }
        }
    }

    fn takes_input(&mut self) -> bool {
        self.acks.len() < UNANSWERED
            && self.answers.len() < UNANSWERED
            && self.reserved.len() < UNANSWERED
            && self.link.proto.output().len() < OUTPUT_OF_ANSWERS
    }

    /// Looks at what the rest of the gateway wants.
    async fn called(&mut self) -> Option<Ending> {
        if let Some(end) = self.handle.ended() {
            return Some(Ending::Ours(end));
        }
        if self.handle.take_messages_wait() {
            self.more = true;
        }
        if self.handle.take_judge() {
            return self.judge_anew().await;
        }
        None
    }

    async fn judge_anew(&mut self) -> Option<Ending> {
        let directory = &self.gateway.ports.directory;
        match directory.authenticate(self.client.presented()).await {
            Ok(principal) => {
                let now = self.gateway.hub.now();
                let client_id = &self.client.origin.client_id;
                let context = principal.context(Some(client_id), self.client.address, now);
                self.judge.replace(principal.policies.bind(&context));
                self.client.principal = Arc::new(principal);
                self.judge_will();
                None
            }
            Err(Refusal::Unavailable { reason }) => {
                tracing::warn!(client_id = %self.client.origin.client_id, reason, "policies could not be read again; the old ones stay");
                None
            }
            Err(error) => {
                tracing::info!(client_id = %self.client.origin.client_id, %error, "client is no longer let in");
                Some(Ending::Ours(End {
                    reason: Reason::NOT_AUTHORIZED,
                    why: DisconnectReason::AuthError,
                    text: "the certificate is no longer accepted",
                }))
            }
        }
    }

    /// Throws the will away where the policies no longer allow it.
    fn judge_will(&mut self) {
        if self.judge.allows_will() {
            return;
        }
        tracing::info!(client_id = %self.client.origin.client_id, "the will is dropped: no policy allows it any more");
        let (session, connection) = (self.session, self.client.origin.connection);
        self.broker
            .with(|broker| broker.drop_will(session, connection));
    }

    /// Takes events from the input; whether more may be there.
    fn take_input(&mut self) -> Result<bool, Ending> {
        for _ in 0..EVENTS {
            let event = match self.link.proto.poll() {
                Ok(Some(event)) => event,
                Ok(None) => {
                    self.route();
                    return Ok(false);
                }
                Err(violation) => {
                    // What came before the fault was well-formed and counts.
                    self.route();
                    return Err(Ending::broken(violation));
                }
            };
            let outcome = self.event(event);
            if outcome.is_err() || !self.takes_input() {
                self.route();
                return outcome.map(|()| false);
            }
        }
        self.route();
        Ok(true)
    }

    fn event(&mut self, event: Event) -> Result<(), Ending> {
        match event {
            Event::Publish(publish) => self.publish(publish).map_err(Ending::broken),
            Event::PubAck { packet_id, .. } => {
                self.acknowledged.push(packet_id);
                Ok(())
            }
            Event::Subscribe(subscribe) => {
                self.route();
                self.subscribe(&subscribe);
                Ok(())
            }
            Event::Unsubscribe(unsubscribe) => {
                self.route();
                self.unsubscribe(&unsubscribe);
                Ok(())
            }
            Event::Disconnect {
                with_will,
                session_expiry,
            } => Err(Ending::Client {
                with_will,
                session_expiry,
            }),
            Event::Connect(_) => Ok(()),
        }
    }

    fn publish(&mut self, publish: Publish) -> Result<(), Violation> {
        if publish.payload.len() > self.gateway.hub.options().payload {
            return Err(Violation::new(
                Reason::PACKET_TOO_LARGE,
                "the payload is larger than 128 KiB",
            ));
        }
        let kind = rules::check_publish(&publish.topic)
            .map_err(|what| Violation::new(Reason::TOPIC_NAME_INVALID, what))?;
        let serial = (publish.qos == Qos::AtLeastOnce).then(|| self.acks.push(publish.packet_id));
        let denied = if !self.judge.publish(&publish.topic) {
            Some("no policy allows iot:Publish on this topic")
        } else if publish.retain && !self.judge.retain(&publish.topic) {
            Some("no policy allows iot:RetainPublish on this topic")
        } else {
            None
        };
        if let Some(what) = denied {
            tracing::info!(client_id = %self.client.origin.client_id, topic = %publish.topic, reason = what, "publish refused");
            return match serial {
                Some(serial) if self.link.proto.version() == Version::V5 => {
                    self.acks.ready(serial, Reason::NOT_AUTHORIZED);
                    Ok(())
                }
                _ => Err(Violation::new(Reason::NOT_AUTHORIZED, what)),
            };
        }
        let mut message = Message::of(publish, self.gateway.hub.now());
        if kind == Kind::Reserved {
            message.retain = false;
        }
        self.batch.push(Routing {
            message,
            kind,
            serial,
        });
        Ok(())
    }

    /// Hands the turn's messages and acknowledgements to the broker in one visit.
    fn route(&mut self) {
        if self.batch.is_empty() && self.acknowledged.is_empty() {
            return;
        }
        let mut batch = std::mem::take(&mut self.batch);
        let mut acknowledged = std::mem::take(&mut self.acknowledged);
        let (session, connection) = (self.session, self.client.origin.connection);
        let mut owed: Vec<(u64, bool)> = Vec::new();
        let (origin, principal) = (&self.client.origin, &self.client.principal);
        let received_at_ms = self.gateway.hub.now();
        let reserved = &mut self.reserved;
        let ((), ticket) = self.broker.with(|broker| {
            for packet_id in acknowledged.drain(..) {
                broker.acknowledge(session, connection, packet_id);
            }
            for Routing {
                message,
                kind,
                serial,
            } in batch.drain(..)
            {
                if kind == Kind::Reserved {
                    // Subscribers get it only if a service takes it: what services say to devices
                    // (a job, a delta) must come from services alone.
                    let request = ReservedPublish {
                        origin: origin.clone(),
                        principal: Arc::clone(principal),
                        topic: message.topic.to_string(),
                        payload: message.payload.clone(),
                        content_type: message
                            .properties
                            .content_type()
                            .map(|text| text.to_string()),
                        correlation_data: message.properties.correlation_data().cloned(),
                        received_at_ms,
                    };
                    reserved.push(request, Owed { serial, message });
                    continue;
                }
                let routed = broker.publish(Publication {
                    message,
                    from: Some(session),
                    also_to: None,
                });
                owed.extend(serial.map(|serial| (serial, routed.durable)));
            }
        });
        for (serial, durable) in owed {
            self.acks.after(serial, ticket.filter(|_| durable));
        }
        self.batch = batch;
        self.acknowledged = acknowledged;
    }

    fn service_answered(
        &mut self,
        result: Result<(), ReservedError>,
        owed: Owed,
    ) -> Option<Ending> {
        let error = match result {
            Ok(()) => {
                let publication = Publication {
                    message: owed.message,
                    from: Some(self.session),
                    also_to: None,
                };
                let (routed, ticket) = self.broker.with(|broker| broker.publish(publication));
                if let Some(serial) = owed.serial {
                    self.acks.after(serial, ticket.filter(|_| routed.durable));
                }
                return None;
            }
            Err(error) => error,
        };
        tracing::info!(client_id = %self.client.origin.client_id, %error, "a service did not take a message");
        match (error, owed.serial) {
            (ReservedError::NotATopic { .. }, _) => Some(Ending::broken(Violation::new(
                Reason::TOPIC_NAME_INVALID,
                "the reserved topic belongs to no service",
            ))),
            (ReservedError::Unavailable { .. }, Some(serial))
                if self.link.proto.version() == Version::V5 =>
            {
                self.acks.ready(serial, Reason::IMPLEMENTATION_SPECIFIC);
                None
            }
            // 3.1.1 cannot say it: only a new connection makes the client send it again.
            (ReservedError::Unavailable { .. }, Some(_)) => Some(Ending::Ours(End {
                reason: Reason::SERVER_UNAVAILABLE,
                why: DisconnectReason::ServerError,
                text: "the service behind the topic cannot be reached",
            })),
            (ReservedError::Unavailable { .. }, None) => None,
        }
    }

    fn subscribe(&mut self, subscribe: &Subscribe) {
        let now = self.gateway.hub.now();
        let limit = self.gateway.hub.options().filters;
        let identifier = subscribe.properties.subscription_identifier().copied();
        let verdicts: Vec<Option<Reason>> = subscribe
            .filters
            .iter()
            .map(|(text, _)| match rules::check_subscribe(text) {
                _ if subscribe.filters.len() > limit => Some(Reason::QUOTA_EXCEEDED),
                Err(_) => Some(Reason::TOPIC_FILTER_INVALID),
                Ok(filter) if !self.judge.subscribe(filter) => {
                    tracing::info!(client_id = %self.client.origin.client_id, filter, "subscription refused: no policy allows iot:Subscribe");
                    Some(Reason::NOT_AUTHORIZED)
                }
                Ok(_) => None,
            })
            .collect();
        let (session, connection) = (self.session, self.client.origin.connection);
        let (reasons, ticket) = self.broker.with(|broker| {
            subscribe
                .filters
                .iter()
                .zip(&verdicts)
                .map(|((text, options), verdict)| {
                    verdict.unwrap_or_else(|| {
                        broker.subscribe(now, session, connection, text, *options, identifier)
                    })
                })
                .collect::<Vec<Reason>>()
        });
        let topics: Vec<String> = subscribe
            .filters
            .iter()
            .zip(&reasons)
            .filter(|(_, reason)| !reason.is_failure())
            .map(|((text, _), _)| text.to_string())
            .collect();
        self.tell_subscriptions("subscribed", &topics, now);
        match ticket {
            Some(ticket) => self
                .answers
                .push_back((ticket, Answer::SubAck(subscribe.packet_id, reasons))),
            None => self.link.proto.suback(subscribe.packet_id, reasons),
        }
    }

    fn unsubscribe(&mut self, unsubscribe: &Unsubscribe) {
        let (session, connection) = (self.session, self.client.origin.connection);
        let (reasons, ticket) = self.broker.with(|broker| {
            unsubscribe
                .filters
                .iter()
                .map(|text| broker.unsubscribe(session, connection, text))
                .collect::<Vec<Reason>>()
        });
        let topics: Vec<String> = unsubscribe.filters.iter().map(|t| t.to_string()).collect();
        self.tell_subscriptions("unsubscribed", &topics, self.gateway.hub.now());
        match ticket {
            Some(ticket) => self
                .answers
                .push_back((ticket, Answer::UnsubAck(unsubscribe.packet_id, reasons))),
            None => self.link.proto.unsuback(unsubscribe.packet_id, reasons),
        }
    }

    fn tell_subscriptions(&self, kind: &str, topics: &[String], now: u64) {
        presence::publish_subscriptions(
            &self.broker,
            &self.client.origin.client_id,
            self.client.origin.connection,
            self.client.principal.certificate_id.as_str(),
            kind,
            topics,
            now,
        );
    }

    /// Sends the acknowledgements whose time has come.
    fn settle(&mut self) {
        let committed = *self.committed.borrow_and_update();
        let proto = &mut self.link.proto;
        self.acks.settle(committed, |packet_id, reason| {
            proto.puback(packet_id, reason)
        });
        while let Some((ticket, _)) = self.answers.front()
            && *ticket <= committed
            && let Some((_, answer)) = self.answers.pop_front()
        {
            match answer {
                Answer::SubAck(packet_id, reasons) => proto.suback(packet_id, reasons),
                Answer::UnsubAck(packet_id, reasons) => proto.unsuback(packet_id, reasons),
            }
        }
    }

    /// Writes messages that wait, as far as the client's window and the output allow.
    fn deliver(&mut self) {
        if !self.more || self.link.proto.output().len() >= OUTPUT {
            return;
        }
        let now = self.gateway.hub.now();
        let (session, connection) = (self.session, self.client.origin.connection);
        let mut deliveries = std::mem::take(&mut self.deliveries);
        let (more, _) = self
            .broker
            .with(|broker| broker.take(now, session, connection, DELIVERIES, &mut deliveries));
        self.more = more;
        let mut left_out = Vec::new();
        for delivery in deliveries.drain(..) {
            let allowed = self.judge.receive(&delivery.message.topic);
            if !allowed {
                tracing::debug!(client_id = %self.client.origin.client_id, topic = %delivery.message.topic, "delivery refused: no policy allows iot:Receive");
            }
            if (!allowed || !self.link.proto.deliver(now, &delivery)) && delivery.packet_id != 0 {
                left_out.push(delivery.packet_id);
            }
        }
        self.deliveries = deliveries;
        if !left_out.is_empty() {
            self.broker.with(|broker| {
                for packet_id in left_out {
                    broker.acknowledge(session, connection, packet_id);
                }
            });
        }
    }

    /// Gives the session back, tells everybody, says the last word.
    pub(crate) async fn farewell(mut self: Box<Self>, ending: Ending) {
        let (with_will, session_expiry) = match ending {
            Ending::Client {
                with_will,
                session_expiry,
            } => (with_will, session_expiry),
            Ending::Lost => (true, None),
            Ending::Ours(end) => (end.why != DisconnectReason::ServerInitiated, None),
        };
        let now = self.gateway.hub.now();
        let (session, connection) = (self.session, self.client.origin.connection);
        self.broker.with(|broker| {
            broker.disconnect(now, session, connection, with_will, session_expiry);
        });
        tell(self.gateway, &self.client, Some(ending));
        self.gateway.hub.registry().remove(connection);
        if let Ending::Ours(end) = ending {
            tracing::info!(client_id = %self.client.origin.client_id, reason = end.why.as_str(), detail = end.text, "client disconnected");
            self.link.proto.close(end.reason, end.text);
        } else {
            tracing::info!(client_id = %self.client.origin.client_id, reason = ending.why().as_str(), "client disconnected");
        }
        self.link.finish().await;
    }
}

const SHUTTING_DOWN: End = End {
    reason: Reason::SERVER_SHUTTING_DOWN,
    why: DisconnectReason::ServerInitiated,
    text: "the server is shutting down",
};
