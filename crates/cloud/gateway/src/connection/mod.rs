//! One client's connection: from the proven certificate to the last byte.
//!
//! [`run`] walks the phases: who is it, CONNECT, may it connect, serve ([`served`]), farewell. A
//! phase that fails ends the connection with the protocol's own answer.

mod acks;
mod judge;
mod reserved;
mod served;

use crate::gateway::Gateway;
use crate::handle::{End, Handle};
use crate::ports::{DisconnectReason, Origin, PresenceEvent, Presented, Principal};
use crate::presence;
use crate::rules::{self, Kind};
use judge::Judge;
use served::Served;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use sward_mqtt::broker::{Arrival, Connected};
use sward_mqtt::packet::{Connect, Text};
use sward_mqtt::server::{Acceptance, Connection, Event};
use sward_mqtt::{Reason, Violation};
use sward_net::mqtt::{Step, Wire};
use sward_net::tls::CertificateDer;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The client said DISCONNECT.
    Client {
        with_will: bool,
        session_expiry: Option<u32>,
    },
    /// The socket closed or broke.
    Lost,
    /// This side ends it.
    Ours(End),
}

impl Ending {
    fn broken(violation: Violation) -> Ending {
        let why = match violation.reason {
            Reason::KEEP_ALIVE_TIMEOUT => DisconnectReason::KeepAliveTimeout,
            Reason::NOT_AUTHORIZED => DisconnectReason::ForbiddenAccess,
            _ => DisconnectReason::ClientError,
        };
        Ending::Ours(End {
            reason: violation.reason,
            why,
            text: violation.what,
        })
    }

    fn why(self) -> DisconnectReason {
        match self {
            Ending::Client { .. } => DisconnectReason::ClientInitiated,
            Ending::Lost => DisconnectReason::ConnectionLost,
            Ending::Ours(end) => end.why,
        }
    }
}

/// The socket with the protocol state on it.
pub(crate) struct Link<S> {
    wire: Wire<S>,
    proto: Connection,
    input: bytes::BytesMut,
    output: bytes::BytesMut,
    opened: Instant,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Link<S> {
    /// Milliseconds since the connection was opened, for keep-alive.
    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn step(&mut self, read: bool) -> io::Result<Step> {
        // The buffers live in the protocol state; they are taken out so that both can be borrowed.
        std::mem::swap(&mut self.input, self.proto.input());
        std::mem::swap(&mut self.output, self.proto.output());
        let lent = Lent(self);
        let link = &mut *lent.0;
        link.wire
            .step(&mut link.input, &mut link.output, read)
            .await
    }

    /// Says the last word and closes the socket, within a second.
    async fn finish(mut self: Box<Self>) {
        let output = std::mem::take(self.proto.output());
        tokio::time::timeout(Duration::from_secs(1), self.wire.finish(output))
            .await
            .ok();
    }
}

/// Puts the buffers back, also when the step is cancelled.
struct Lent<'a, S>(&'a mut Link<S>);

impl<S> Drop for Lent<'_, S> {
    fn drop(&mut self) {
        std::mem::swap(&mut self.0.input, self.0.proto.input());
        std::mem::swap(&mut self.0.output, self.0.proto.output());
    }
}

/// Who the client is, for everything after CONNECT.
pub(crate) struct Client {
    pub(crate) origin: Origin,
    pub(crate) principal: Arc<Principal>,
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) server_name: Option<String>,
    pub(crate) address: IpAddr,
}

impl Client {
    pub(crate) fn presented(&self) -> Presented<'_> {
        Presented {
            certificate: &self.certificate,
            server_name: self.server_name.as_deref(),
            address: self.address,
        }
    }
}

/// Serves one client to its end.
pub(crate) async fn run<S>(
    gateway: &Gateway,
    stream: S,
    certificate: &CertificateDer<'static>,
    server_name: Option<&str>,
    address: IpAddr,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let presented = Presented {
        certificate,
        server_name,
        address,
    };
    let mut seen = gateway.hub.registry().changes();
    let Some(mut principal) = authenticate(gateway, presented).await else {
        return;
    };
    let options = gateway.hub.options().connection.clone();
    let mut link = Box::new(Link {
        wire: Wire::new(stream),
        proto: Connection::new(options, 0),
        input: bytes::BytesMut::new(),
        output: bytes::BytesMut::new(),
        opened: Instant::now(),
    });
    let connect = match Box::pin(connect_of(gateway, &mut link)).await {
        Ok(connect) => connect,
        Err(violation) => {
            if let Some(violation) = violation {
                tracing::info!(%address, error = %violation, "CONNECT refused");
                link.proto.close(violation.reason, violation.what);
            }
            link.finish().await;
            return;
        }
    };
    // CONNECT may come late: what changed meanwhile counts.
    if gateway.hub.registry().changes() != seen {
        seen = gateway.hub.registry().changes();
        match authenticate(gateway, presented).await {
            Some(anew) => principal = anew,
            None => return link.finish().await,
        }
    }
    let assigned = connect.client_id.is_empty();
    let client_id: Arc<str> = if assigned {
        Arc::from(random_client_id())
    } else {
        Arc::from(connect.client_id.as_str())
    };
    let client = Client {
        origin: Origin {
            tenant: principal.tenant.clone(),
            client_id,
            connection: gateway.hub.next_connection(),
        },
        principal,
        certificate: certificate.clone(),
        server_name: server_name.map(str::to_owned),
        address,
    };
    admit(gateway, link, client, connect, assigned, seen).await;
}

/// Who a client is; `None` where it is not let in.
async fn authenticate(gateway: &Gateway, presented: Presented<'_>) -> Option<Arc<Principal>> {
    match gateway.ports.directory.authenticate(presented).await {
        Ok(principal) => Some(Arc::new(principal)),
        Err(error) => {
            tracing::info!(address = %presented.address, %error, "client refused");
            None
        }
    }
}

/// Waits for CONNECT. `Err(None)`: the client left or the gateway ends.
async fn connect_of<S>(
    gateway: &Gateway,
    link: &mut Link<S>,
) -> Result<Box<Connect>, Option<Violation>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let token = gateway.tasks.token();
    loop {
        if let Some(Event::Connect(connect)) = link.proto.poll().map_err(Some)? {
            return Ok(connect);
        }
        let now = link.now();
        link.proto.handle_timeout(now).map_err(Some)?;
        let due = link.proto.next_timeout().unwrap_or(u64::MAX);
        let patience = Duration::from_millis(due.saturating_sub(now).max(1));
        let step = tokio::time::timeout(patience, link.step(true));
        match token.run_until_cancelled(step).await {
            Some(Ok(Ok(Step::Closed) | Err(_))) | None => return Err(None),
            Some(_) => {}
        }
    }
}

/// Asks the policies, takes the session, serves, and says farewell. `seen` counts the directory's
/// changes that the client's principal knows of.
async fn admit<S>(
    gateway: &Gateway,
    mut link: Box<Link<S>>,
    client: Client,
    connect: Box<Connect>,
    assigned: bool,
    seen: u64,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let hub = &gateway.hub;
    let broker = hub.tenant(&client.origin.tenant);
    let client_id = Arc::clone(&client.origin.client_id);
    let context = client
        .principal
        .context(Some(&client_id), client.address, hub.now());
    let mut judge = Judge::new(&broker.arn, client.principal.policies.bind(&context));
    if let Err(refused) = may_connect(&judge, &client_id, &connect) {
        tracing::info!(client_id = %client_id, address = %client.address, certificate_id = %client.principal.certificate_id, error = %refused, "client refused");
        link.proto.close(refused.reason, refused.what);
        link.finish().await;
        return;
    }
    let handle = Handle::new(
        client.origin.tenant.clone(),
        client.principal.certificate_id.clone(),
    );
    // Services hear no wills, and what they say to devices must come from them alone.
    let will = connect
        .will
        .as_ref()
        .filter(|will| rules::check_publish(&will.topic) == Ok(Kind::Ordinary));
    let arrival = Arrival {
        client_id: Arc::clone(&client_id),
        clean_start: connect.clean_start,
        session_expiry: link.proto.session_expiry(),
        will: will.cloned(),
        receive_maximum: link.proto.receive_maximum(),
        connection: client.origin.connection,
        handle: Arc::clone(&handle),
    };
    hub.registry()
        .add(client.origin.connection, Arc::clone(&handle));
    if hub.registry().changes() != seen {
        handle.judge_anew();
    }
    if let Some(will) = will {
        judge.remember_will(&will.topic, will.retain);
    }
    let now = hub.now();
    let (connected, _) = broker.with(|broker| broker.connect(now, arrival));
    let Connected {
        session,
        session_present,
        taken_over,
    } = connected;
    if let Some(older) = taken_over {
        older.end(End {
            reason: Reason::SESSION_TAKEN_OVER,
            why: DisconnectReason::DuplicateClientId,
            text: "another connection uses this client id",
        });
    }
    let opened_for = link.now();
    link.proto.accept(
        opened_for,
        Acceptance {
            session_present,
            assigned_client_id: assigned.then(|| Text::from(&*client_id)),
        },
    );
    tracing::info!(client_id = %client_id, address = %client.address, version = ?connect.version, session_present, "client connected");
    tell(gateway, &client, None);
    drop((connect, context));
    let mut served = Box::new(Served::new(
        gateway, link, client, broker, session, handle, judge,
    ));
    let ending = served.serve().await;
    served.farewell(ending).await;
}

fn may_connect(judge: &Judge, client_id: &str, connect: &Connect) -> Result<(), Violation> {
    let denied = |what| Err(Violation::new(Reason::NOT_AUTHORIZED, what));
    rules::check_client_id(client_id)
        .map_err(|what| Violation::new(Reason::CLIENT_IDENTIFIER_NOT_VALID, what))?;
    if !judge.connect(client_id) {
        return denied("no policy allows iot:Connect with this client id");
    }
    if let Some(will) = &connect.will {
        rules::check_publish(&will.topic)
            .map_err(|what| Violation::new(Reason::TOPIC_NAME_INVALID, what))?;
        if !judge.publish_once(&will.topic) {
            return denied("no policy allows iot:Publish on the will's topic");
        }
        if will.retain && !judge.retain(&will.topic) {
            return denied("no policy allows iot:RetainPublish on the will's topic");
        }
    }
    Ok(())
}

/// Tells the service and the event topics that a client came or went.
pub(crate) fn tell(gateway: &Gateway, client: &Client, ending: Option<Ending>) {
    let event = PresenceEvent {
        origin: client.origin.clone(),
        certificate_id: client.principal.certificate_id.clone(),
        things: client
            .principal
            .things
            .iter()
            .map(|thing| thing.name.clone())
            .collect(),
        address: client.address,
        timestamp_ms: gateway.hub.now(),
        disconnected: ending.map(Ending::why),
    };
    let broker = gateway.hub.tenant(&client.origin.tenant);
    let client_initiated = matches!(ending, Some(Ending::Client { .. }));
    presence::publish(&broker, &event, client_initiated);
    gateway.ports.presence.changed(event);
}

/// A client id for a client that sent none.
fn random_client_id() -> String {
    let half = || {
        std::collections::hash_map::RandomState::new()
            .build_hasher()
            .finish()
    };
    format!("$GEN/{:016x}{:016x}", half(), half())
}
