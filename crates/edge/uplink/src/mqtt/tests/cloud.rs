//! A small cloud of one broker over real TLS, whose every move a test can decide.

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use sward_mqtt::broker::{Arrival, Broker, Config, Message, Portion, Publication, SessionKey};
use sward_mqtt::server::{Acceptance, Connection, Event, Options};
use sward_mqtt::{Qos, Reason, Version};
use sward_net::mqtt::{Step, Wire};
use sward_net::tls::{
    Accepted, ClientCertificates, ClientIdentity, Roots, ServerIdentity, TlsAcceptor, alpn,
    client_config, server_config,
};
use sward_task::{CancellationToken, Tasks};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};
use tokio_rustls::server::TlsStream;

const PLENTY: Portion = Portion {
    messages: 1000,
    bytes: usize::MAX,
};

/// What a cloud has seen.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) connects: Vec<(String, bool, Version)>,
    pub(super) subscribes: Vec<(String, String)>,
    pub(super) unsubscribes: Vec<String>,
    pub(super) publishes: Vec<(String, bool)>,
    pub(super) disconnects: usize,
}

pub(super) struct Cloud {
    pub(super) port: u16,
    pub(super) roots: Roots,
    pub(super) identity: ClientIdentity,
    acceptor: TlsAcceptor,
    broker: Mutex<Broker<Arc<Notify>>>,
    pub(super) seen: watch::Sender<Seen>,
    /// Publishes are taken, and never acknowledged.
    pub(super) holds_acks: AtomicBool,
    /// UNSUBSCRIBE breaks the connection, and is not heard.
    pub(super) breaks_on_unsubscribe: AtomicBool,
    /// The reason of SUBACK for filters that begin with `no/`.
    pub(super) connects: watch::Sender<CancellationToken>,
    next: AtomicU64,
    tasks: Tasks,
}

impl Cloud {
    /// A cloud that listens on a free port.
    pub(super) async fn start(tasks: &Tasks) -> Arc<Cloud> {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, key).expect("a CA");
        let issue = |names: Vec<String>| {
            let key = KeyPair::generate().expect("a key");
            let certificate = CertificateParams::new(names)
                .expect("names")
                .signed_by(&key, &ca)
                .expect("a certificate");
            (certificate.pem(), key.serialize_pem())
        };
        let (certificate, key) = issue(vec!["localhost".into()]);
        let server = ServerIdentity::from_pem(certificate.as_bytes(), key.as_bytes());
        let config = server_config(
            &server.expect("an identity"),
            ClientCertificates::Required,
            &[alpn::MQTT],
        );
        let (certificate, key) = issue(vec![]);
        let identity = ClientIdentity::from_pem(certificate.as_bytes(), key.as_bytes());
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let cloud = Arc::new(Cloud {
            port: listener.local_addr().expect("an address").port(),
            roots: Roots::from_pem(ca.pem().as_bytes()).expect("roots"),
            identity: identity.expect("an identity"),
            acceptor: TlsAcceptor::new(config.expect("a configuration")),
            broker: Mutex::new(Broker::new(Config::default())),
            seen: watch::Sender::new(Seen::default()),
            holds_acks: AtomicBool::new(false),
            breaks_on_unsubscribe: AtomicBool::new(false),
            connects: watch::Sender::new(CancellationToken::new()),
            next: AtomicU64::new(1),
            tasks: tasks.clone(),
        });
        cloud.listen(listener);
        cloud
    }

    fn listen(self: &Arc<Self>, listener: TcpListener) {
        let cloud = Arc::clone(self);
        let token = self.tasks.token();
        self.tasks.spawn("test-cloud", async move {
            while let Some(Ok((stream, _))) = token.run_until_cancelled(listener.accept()).await {
                let (cloud, end) = (Arc::clone(&cloud), cloud.connects.borrow().clone());
                cloud.clone().tasks.spawn("test-connection", async move {
                    end.run_until_cancelled(cloud.serve(stream)).await;
                });
            }
        });
    }

    /// The TLS configuration of a device.
    pub(super) fn tls(&self) -> super::super::TlsSource {
        let (roots, identity) = (self.roots.clone(), self.identity.clone());
        Arc::new(move || client_config(&roots, Some(&identity), &[alpn::MQTT]))
    }

    /// Breaks every connection; the broker hears of it.
    pub(super) fn break_connections(&self) {
        self.connects
            .send_replace(CancellationToken::new())
            .cancel();
    }

    /// Forgets every session, as after a loss of its data.
    pub(super) fn forget(&self) {
        *self.broker.lock().expect("not poisoned") = Broker::new(Config::default());
    }

    /// Sends a message to everybody.
    pub(super) fn publish(&self, topic: &str, payload: &str) {
        let message = Message {
            topic: topic.into(),
            payload: payload.to_owned().into(),
            qos: Qos::AtLeastOnce,
            retain: false,
            properties: sward_mqtt::packet::Properties::new(),
            expires_at: None,
        };
        self.with(|broker| {
            broker.publish(Publication {
                message,
                from: None,
                also_to: None,
            })
        });
    }

    /// Waits until what was seen is as wanted.
    pub(super) async fn until(&self, what: &str, wanted: impl FnMut(&Seen) -> bool) -> Seen {
        let mut seen = self.seen.subscribe();
        tokio::time::timeout(Duration::from_secs(20), seen.wait_for(wanted))
            .await
            .unwrap_or_else(|_| panic!("{what} did not happen; seen: {:?}", self.seen.borrow()))
            .expect("the cloud lives")
            .clone()
    }

    fn with<R>(&self, work: impl FnOnce(&mut Broker<Arc<Notify>>) -> R) -> R {
        let mut woken = Vec::new();
        let result = {
            let mut broker = self.broker.lock().expect("not poisoned");
            let result = work(&mut broker);
            broker.take_woken(&mut woken);
            broker.take_changes();
            result
        };
        for notify in woken {
            notify.notify_one();
        }
        result
    }

    async fn serve(&self, stream: TcpStream) {
        let Ok(Accepted { stream, .. }) = self.acceptor.accept(stream).await else {
            return;
        };
        let mut peer = ServedPeer {
            proto: Connection::new(Options::default(), 0),
            wake: Arc::new(Notify::new()),
            number: self.next.fetch_add(1, Ordering::SeqCst),
            session: None,
        };
        let mut left = Leaver {
            cloud: self,
            session: None,
            number: peer.number,
        };
        self.talk(&mut peer, &mut left, Wire::new(stream)).await;
    }

    async fn talk(
        &self,
        peer: &mut ServedPeer,
        left: &mut Leaver<'_>,
        mut wire: Wire<TlsStream<TcpStream>>,
    ) {
        let (mut input, mut output) = Default::default();
        loop {
            while let Some(event) = peer.proto.poll().expect("our client keeps the rules") {
                if !self.event(peer, event) {
                    let last = std::mem::take(peer.proto.output());
                    wire.finish(last).await.ok();
                    return;
                }
                left.session = peer.session;
            }
            if let Some(session) = peer.session {
                let mut deliveries = Vec::new();
                self.with(|broker| broker.take(0, session, peer.number, PLENTY, &mut deliveries));
                for delivery in &deliveries {
                    peer.proto.deliver(0, delivery);
                }
            }
            std::mem::swap(&mut output, peer.proto.output());
            let step = tokio::select! {
                step = wire.step(&mut input, &mut output, true) => step,
                () = peer.wake.notified() => Ok(Step::Written),
            };
            std::mem::swap(&mut output, peer.proto.output());
            match step {
                Ok(Step::Closed) | Err(_) => return,
                Ok(_) => peer.proto.input().unsplit(input.split()),
            }
        }
    }

    /// `false` when the client left.
    fn event(&self, peer: &mut ServedPeer, event: Event) -> bool {
        match event {
            Event::Connect(connect) => {
                let entry = (
                    connect.client_id.to_string(),
                    connect.clean_start,
                    connect.version,
                );
                let arrival = Arrival {
                    client_id: Arc::from(connect.client_id.as_str()),
                    clean_start: connect.clean_start,
                    session_expiry: peer.proto.session_expiry(),
                    will: None,
                    receive_maximum: peer.proto.receive_maximum(),
                    connection: peer.number,
                    handle: Arc::clone(&peer.wake),
                };
                let connected = self.with(|broker| broker.connect(0, arrival));
                peer.session = Some(connected.session);
                peer.proto.accept(
                    0,
                    Acceptance {
                        session_present: connected.session_present,
                        assigned_client_id: None,
                    },
                );
                self.seen.send_modify(|seen| seen.connects.push(entry));
            }
            Event::Publish(publish) => {
                let entry = (
                    String::from_utf8_lossy(&publish.payload).into_owned(),
                    publish.dup,
                );
                let packet_id = publish.packet_id;
                match &*publish.topic {
                    "wrong" => {
                        peer.proto
                            .close(Reason::TOPIC_NAME_INVALID, "a wrong topic");
                        self.seen.send_modify(|seen| seen.publishes.push(entry));
                        return false;
                    }
                    "deadly" => {
                        self.seen.send_modify(|seen| seen.publishes.push(entry));
                        return false;
                    }
                    _ => {}
                }
                let holds = self.holds_acks.load(Ordering::SeqCst);
                if packet_id != 0 && !holds {
                    let reason = match &*publish.topic {
                        "refused" => Reason::NOT_AUTHORIZED,
                        "busy" => Reason::QUOTA_EXCEEDED,
                        _ => Reason::SUCCESS,
                    };
                    peer.proto.puback(packet_id, reason);
                }
                let message = Message::of(publish, 0);
                self.with(|broker| {
                    broker.publish(Publication {
                        message,
                        from: peer.session,
                        also_to: None,
                    })
                });
                self.seen.send_modify(|seen| seen.publishes.push(entry));
            }
            Event::Subscribe(subscribe) => {
                let session = peer.session.expect("connected");
                let mut reasons = Vec::new();
                for (filter, options) in &subscribe.filters {
                    reasons.push(if filter.starts_with("no/") {
                        Reason::NOT_AUTHORIZED
                    } else {
                        self.with(|broker| {
                            broker.subscribe(0, session, peer.number, filter, *options, None)
                        })
                    });
                    let client = self
                        .seen
                        .borrow()
                        .connects
                        .last()
                        .map_or_else(String::new, |connect| connect.0.clone());
                    let entry = (client, filter.to_string());
                    self.seen.send_modify(|seen| seen.subscribes.push(entry));
                }
                peer.proto.suback(subscribe.packet_id, reasons);
            }
            Event::Unsubscribe(_) if self.breaks_on_unsubscribe.load(Ordering::SeqCst) => {
                return false;
            }
            Event::Unsubscribe(unsubscribe) => {
                let session = peer.session.expect("connected");
                let mut reasons = Vec::new();
                for filter in &unsubscribe.filters {
                    let number = peer.number;
                    reasons.push(self.with(|broker| broker.unsubscribe(session, number, filter)));
                    let entry = filter.to_string();
                    self.seen.send_modify(|seen| seen.unsubscribes.push(entry));
                }
                peer.proto.unsuback(unsubscribe.packet_id, reasons);
            }
            Event::PubAck { packet_id, .. } => {
                let session = peer.session.expect("connected");
                self.with(|broker| broker.acknowledge(session, peer.number, packet_id));
            }
            Event::Disconnect { .. } => {
                self.seen.send_modify(|seen| seen.disconnects += 1);
                return false;
            }
        }
        true
    }
}

struct ServedPeer {
    proto: Connection,
    wake: Arc<Notify>,
    number: u64,
    session: Option<SessionKey>,
}

/// Tells the broker that a connection is gone, however it went.
struct Leaver<'a> {
    cloud: &'a Cloud,
    session: Option<SessionKey>,
    number: u64,
}

impl Drop for Leaver<'_> {
    fn drop(&mut self) {
        if let Some(session) = self.session {
            let number = self.number;
            self.cloud
                .with(|broker| broker.disconnect(0, session, number, true, None));
        }
    }
}
