//! One connection's task: connect, serve, back off, again.

mod sending;
mod subscriptions;

use super::backoff;
use super::error::PublishFailure;
use super::state::ConnectionState;
use super::{Configured, IncomingMessage, MessageProperties, Shared};
use bytes::BytesMut;
use std::collections::HashMap;
use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use sward_diagnosis::Diagnose as _;
use sward_mqtt::client::{Client, ClientOptions, Event};
use sward_mqtt::packet::{Publish, Text};
use sward_mqtt::{Qos, Reason, Version};
use sward_net::mqtt::{Step, Wire};
use sward_task::CancellationToken;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(super) struct ConnectionTask {
    shared: Arc<Shared>,
    index: usize,
    changed: Arc<Notify>,
    client: Client,
    epoch: Instant,
    attempt: u32,
    number: u64,
    clean_start: bool,
    /// What the cloud's session has, as far as known.
    actual: HashMap<String, Actual>,
    /// Operations on their way, by token.
    operations: HashMap<u64, Operation>,
    next_token: u64,
    /// The message on which connections ended, and how many in a row.
    suspect: Option<(u64, u32)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Actual {
    Subscribing(Qos),
    Subscribed(Qos),
    Refused {
        again: Instant,
    },
    /// The connection was lost before the answer came.
    Unknown,
}

enum Operation {
    Subscribe { filter: String, qos: Qos },
    Unsubscribe { filter: String },
}

/// Why a connection ended.
enum Lost {
    Stop,
    /// The settings changed: reconnect at once.
    Settings,
    Because(String),
    /// The cloud ended it, and may have said why.
    ByCloud {
        reason: Option<Reason>,
        text: String,
    },
}

impl Lost {
    fn because(what: impl fmt::Display) -> Lost {
        Lost::Because(what.to_string())
    }

    fn by_cloud(what: impl fmt::Display) -> Lost {
        Lost::ByCloud {
            reason: None,
            text: what.to_string(),
        }
    }
}

/// Tokens of spooled messages are the spool's ids; those of operations have the highest bit.
const OPERATION: u64 = 1 << 63;

impl ConnectionTask {
    pub(super) fn new(shared: Arc<Shared>, index: usize, changed: Arc<Notify>) -> ConnectionTask {
        let configured = Arc::clone(&shared.settings.borrow());
        ConnectionTask {
            client: Client::new(options(&configured, index)),
            shared,
            index,
            changed,
            epoch: Instant::now(),
            attempt: 1,
            number: 0,
            clean_start: true,
            actual: HashMap::new(),
            operations: HashMap::new(),
            next_token: OPERATION,
            suspect: None,
        }
    }

    /// Keeps the connection until the token is cancelled.
    pub(super) async fn run(mut self, token: CancellationToken) {
        let mut settings = self.shared.settings.subscribe();
        loop {
            let configured = Arc::clone(&settings.borrow_and_update());
            let started = Instant::now();
            self.show(ConnectionState::Connecting {
                attempt: self.attempt,
                since: started,
            });
            let number = self.number;
            let lost = self
                .connect_and_serve(&configured, &token, &mut settings)
                .await;
            if self.number > number
                && let Lost::ByCloud { reason, .. } = &lost
            {
                self.blame(*reason);
            }
            self.went_offline();
            let held =
                self.number > number && started.elapsed() >= configured.settings.stable_after;
            if held {
                self.attempt = 1;
            }
            match lost {
                Lost::Stop => break,
                Lost::Settings => {
                    self.attempt = 1;
                    self.adopt(&Arc::clone(&settings.borrow_and_update()));
                }
                Lost::Because(reason) | Lost::ByCloud { text: reason, .. } => {
                    if !self.wait(&configured, reason, &token, &mut settings).await {
                        break;
                    }
                }
            }
        }
        self.show(ConnectionState::Stopped);
        if self.index == 0 {
            self.shared.lock().table.clear();
        }
    }

    /// Waits for the next try; `false` when the client is to stop.
    async fn wait(
        &mut self,
        configured: &Configured,
        reason: String,
        token: &CancellationToken,
        settings: &mut tokio::sync::watch::Receiver<Arc<Configured>>,
    ) -> bool {
        self.attempt = self.attempt.saturating_add(1);
        let delay = backoff::delay(
            self.attempt,
            configured.settings.first_reconnect_delay,
            configured.settings.longest_reconnect_delay,
            backoff::random(),
        );
        let since = Instant::now();
        tracing::warn!(client_id = %configured.settings.client_id(self.index), endpoint = %configured.settings.endpoint, attempt = self.attempt - 1, retry_in_ms = delay.as_millis() as u64, error = %reason, "not connected to the cloud");
        self.show(ConnectionState::Waiting {
            attempt: self.attempt,
            reason,
            since,
            next_try: since + delay,
        });
        tokio::select! {
            () = token.cancelled() => false,
            () = sleep_until(since + delay) => true,
            changed = settings.changed() => {
                if changed.is_ok() {
                    self.attempt = 1;
                    let configured = Arc::clone(&settings.borrow());
                    self.adopt(&configured);
                }
                changed.is_ok()
            }
        }
    }

    /// A new client for new settings; messages in flight go back to the spool.
    fn adopt(&mut self, configured: &Configured) {
        let old = options(configured, self.index);
        self.client = Client::new(old);
        self.actual.clear();
        self.clean_start = true;
        let mut inner = self.shared.lock();
        if self.index == 0 {
            inner.spool.return_taken();
        }
    }

    fn show(&self, state: ConnectionState) {
        if self.index == 0 {
            self.shared.state.send_replace(state);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.epoch.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Everything that a connection's end means for those who wait.
    fn went_offline(&mut self) {
        for token in self.client.lost() {
            // The session may have it, or may not: the next connection makes sure.
            match self.operations.remove(&token) {
                Some(Operation::Subscribe { filter, .. } | Operation::Unsubscribe { filter }) => {
                    self.actual.insert(filter, Actual::Unknown);
                }
                None => {}
            }
        }
        self.operations.clear();
        if self.index != 0 {
            return;
        }
        let lost = self.shared.lock().spool.went_offline();
        for message in lost {
            message.done.send(Err(PublishFailure::Dropped)).ok();
        }
    }

    async fn connect_and_serve(
        &mut self,
        configured: &Configured,
        token: &CancellationToken,
        settings: &mut tokio::sync::watch::Receiver<Arc<Configured>>,
    ) -> Lost {
        let v3 = configured.settings.version == Version::V311;
        if v3 && self.clean_start {
            // 3.1.1 cannot begin afresh and keep the session: one connection clears it.
            let clearing = token.run_until_cancelled(self.clear_session(configured));
            match clearing.await {
                Some(Ok(())) => {}
                Some(Err(lost)) => return lost,
                None => return Lost::Stop,
            }
        }
        let mut wire = match token.run_until_cancelled(connect(configured)).await {
            Some(Ok(stream)) => Wire::new(stream),
            Some(Err(error)) => return Lost::Because(error),
            None => return Lost::Stop,
        };
        let clean_start = self.clean_start && !v3;
        self.client.start(self.now(), clean_start);
        let lost = self.serve(&mut wire, token, settings).await;
        if matches!(lost, Lost::Stop | Lost::Settings) {
            self.client.disconnect();
            let output = std::mem::take(self.client.output());
            timeout(Duration::from_secs(2), wire.finish(output))
                .await
                .ok();
        }
        lost
    }

    /// Connects with clean session 1 and leaves.
    async fn clear_session(&mut self, configured: &Configured) -> Result<(), Lost> {
        let mut wire = Wire::new(connect(configured).await.map_err(Lost::Because)?);
        let mut client = Client::new(options(configured, self.index));
        client.start(self.now(), true);
        let deadline = Instant::now() + configured.settings.operation_timeout;
        let (mut input, mut output) = (BytesMut::new(), std::mem::take(client.output()));
        loop {
            let step = wire.step(&mut input, &mut output, true);
            match tokio::time::timeout_at(deadline, step).await {
                Ok(Ok(Step::Closed)) => {
                    return Err(Lost::because("the cloud closed the connection"));
                }
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return Err(Lost::because(error)),
                Err(_) => return Err(Lost::because("no CONNACK in time")),
            }
            client.input().unsplit(input.split());
            match client.poll(self.now()).map_err(Lost::because)? {
                Some(Event::Connected { .. }) => break,
                Some(Event::Refused { reason, text }) => return Err(refused(reason, text)),
                _ => {}
            }
        }
        client.disconnect();
        let output = std::mem::take(client.output());
        timeout(Duration::from_secs(2), wire.finish(output))
            .await
            .ok();
        self.clean_start = false;
        Ok(())
    }

    async fn serve(
        &mut self,
        wire: &mut Wire<TlsStream<TcpStream>>,
        token: &CancellationToken,
        settings: &mut tokio::sync::watch::Receiver<Arc<Configured>>,
    ) -> Lost {
        let (mut input, mut output) = (BytesMut::new(), BytesMut::new());
        let changed = Arc::clone(&self.changed);
        loop {
            loop {
                let now = self.now();
                match self.client.poll(now) {
                    Ok(Some(event)) => {
                        if let Some(lost) = self.event(event) {
                            return lost;
                        }
                    }
                    Ok(None) => break,
                    Err(violation) => return Lost::because(violation),
                }
            }
            if self.client.is_connected() {
                self.reconcile();
                self.send_spooled();
            }
            let due = self.next_due();
            let retry = self.next_retry();
            std::mem::swap(&mut output, self.client.output());
            std::mem::swap(&mut input, self.client.input());
            let step = {
                let epoch = self.epoch;
                let timer = async {
                    let due = due.map(|due| epoch + Duration::from_millis(due));
                    match due.into_iter().chain(retry).min() {
                        Some(at) => sleep_until(at).await,
                        None => pending().await,
                    }
                };
                tokio::select! {
                    // The socket comes late: a busy one is always ready.
                    biased;
                    () = token.cancelled() => Woken::Lost(Lost::Stop),
                    changed = settings.changed() => match changed {
                        Ok(()) => Woken::Lost(Lost::Settings),
                        Err(_) => Woken::Lost(Lost::Stop),
                    },
                    () = timer => Woken::Timer,
                    step = wire.step(&mut input, &mut output, true) => match step {
                        Ok(Step::Closed) => Woken::Lost(Lost::by_cloud("the cloud closed the connection")),
                        Ok(Step::Read(_)) => Woken::Heard,
                        Ok(Step::Written) => Woken::Go,
                        Err(error) => Woken::Lost(Lost::by_cloud(error)),
                    },
                    () = changed.notified() => Woken::Go,
                }
            };
            std::mem::swap(&mut output, self.client.output());
            std::mem::swap(&mut input, self.client.input());
            match step {
                Woken::Go => {}
                Woken::Heard => {
                    let now = self.now();
                    self.client.heard(now);
                }
                Woken::Lost(lost) => return lost,
                Woken::Timer => {
                    let now = self.now();
                    match self.client.handle_timeout(now) {
                        Ok(Some(event)) => {
                            if let Some(lost) = self.event(event) {
                                return lost;
                            }
                        }
                        Ok(None) => {}
                        Err(violation) => return Lost::because(violation),
                    }
                }
            }
        }
    }

    /// When the client or the spool has work.
    fn next_due(&self) -> Option<u64> {
        let spool = (self.index == 0 && self.client.is_connected())
            .then(|| self.shared.lock().spool.next_due())
            .flatten();
        self.client.next_timeout().into_iter().chain(spool).min()
    }

    /// When a refused filter is asked for again; `None` while that cannot be.
    fn next_retry(&self) -> Option<Instant> {
        if !self.client.is_connected() || self.operations.len() >= subscriptions::OPERATIONS {
            return None;
        }
        self.actual
            .values()
            .filter_map(|actual| match actual {
                Actual::Refused { again } => Some(*again),
                _ => None,
            })
            .min()
    }

    fn event(&mut self, event: Event) -> Option<Lost> {
        match event {
            Event::Connected { session_present } => self.connected(session_present),
            Event::Refused { reason, text } => return Some(refused(reason, text)),
            Event::Closed { reason, text } => {
                let text = text.map(|text| format!(" ({text})")).unwrap_or_default();
                return Some(Lost::ByCloud {
                    reason: Some(reason),
                    text: format!("the cloud ended the connection: {reason}{text}"),
                });
            }
            Event::Message(publish) => self.message(publish),
            Event::Published { token, reason } => self.published(token, reason),
            Event::Subscribed { token, reasons } => self.subscribed(token, &reasons),
            Event::Unsubscribed { token, .. } => {
                self.operations.remove(&token);
            }
            Event::TimedOut { token } => self.timed_out(token),
        }
        None
    }

    fn connected(&mut self, session_present: bool) {
        self.clean_start = false;
        self.number += 1;
        if !session_present {
            self.actual.clear();
        }
        tracing::info!(
            connection = self.index + 1,
            session_present,
            "connected to the cloud"
        );
        self.show(ConnectionState::Connected {
            since: Instant::now(),
            number: self.number,
            session_present,
        });
    }

    fn message(&mut self, publish: Publish) {
        let packet_id = publish.packet_id;
        let message = IncomingMessage {
            topic: publish.topic.to_string(),
            payload: publish.payload,
            qos: publish.qos,
            retain: publish.retain,
            properties: MessageProperties::of_wire(&publish.properties),
        };
        let slow = self.shared.lock().table.route(&message);
        if slow > 0 {
            tracing::warn!(topic = %message.topic, subscribers = slow, "a subscriber is too slow; it missed a message");
        }
        let now = self.now();
        self.client.acknowledge(now, packet_id);
    }
}

enum Woken {
    Go,
    Heard,
    Timer,
    Lost(Lost),
}

fn refused(reason: Reason, text: Option<Text>) -> Lost {
    let text = text.map(|text| format!(" ({text})")).unwrap_or_default();
    Lost::Because(format!("the cloud refused the connection: {reason}{text}"))
}

fn options(configured: &Configured, index: usize) -> ClientOptions {
    let settings = &configured.settings;
    let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    ClientOptions {
        username: Some(settings.username().into()),
        keep_alive: settings.keep_alive,
        ping_timeout: millis(settings.ping_timeout),
        operation_timeout: millis(settings.operation_timeout),
        session_expiry: settings.session_expiry,
        receive_maximum: settings.receive_maximum,
        in_flight: settings.max_in_flight,
        // The setting bounds what the device sends; the cloud's messages come as they are.
        packet: settings.max_message_size.max(131_072) + 64 * 1024,
        ..ClientOptions::new(settings.client_id(index), settings.version)
    }
}

/// TCP and TLS; the error is the whole chain of causes.
async fn connect(configured: &Configured) -> Result<TlsStream<TcpStream>, String> {
    let settings = &configured.settings;
    let config = (configured.tls)().map_err(|error| error.report().one_line())?;
    let (host, port) = (settings.endpoint.as_str(), settings.port);
    let name = rustls_pki_types::ServerName::try_from(host.to_owned())
        .map_err(|error| format!("{host} is not a host name: {error}"))?;
    let connecting = async {
        let stream = TcpStream::connect((host, port))
            .await
            .map_err(|error| format!("cannot connect to {host}:{port}: {error}"))?;
        // Packets are gathered before they are written; waiting for more only delays them.
        stream.set_nodelay(true).ok();
        TlsConnector::from(config)
            .connect(name, stream)
            .await
            .map_err(|error| format!("no trusted connection to {host}:{port}: {error}"))
    };
    timeout(settings.connect_timeout, connecting)
        .await
        .map_err(|_| {
            format!(
                "no connection to {host}:{port} within {} s",
                settings.connect_timeout.as_secs()
            )
        })?
}
