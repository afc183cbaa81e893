//! Credentials of the token exchange role, from the credentials provider (wire-protocols §4.10).
//!
//! One task asks; everybody else gets its answer. Credentials are kept until five minutes before
//! they expire, failures for a while, too, so that a wrong role is not asked for a thousand times.
//! The device's clock may be wrong when they come and be put right later: their end is held against
//! the clock whenever they are given out, and no clock makes them last longer than any role does.

use crate::data_plane::segment;
use http::Request;
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use sward_diagnosis::{Diagnose, Kind, Place};
use sward_net::http::{Client, collect, empty};
use sward_task::Tasks;
use thiserror::Error;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

/// How long before their end credentials are renewed.
const RENEW_BEFORE: Duration = Duration::from_secs(300);
/// How long an answer without a readable end is used.
const UNKNOWN_LIFE: Duration = Duration::from_secs(60);
/// The longest session that a role alias gives.
const LONGEST_LIFE: Duration = Duration::from_secs(43_200);
/// What `credentialRetryInSec` may say, in seconds.
const RETRY_SECONDS: std::ops::RangeInclusive<u64> = 10..=42_900;
const MAX_ANSWER: usize = 64 * 1024;

/// Keys of a role session.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    /// ISO 8601 in UTC, as the provider gave it.
    pub expiration: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("access_key_id", &self.access_key_id)
            .field("expiration", &self.expiration)
            .finish_non_exhaustive()
    }
}

/// Why there are no credentials.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CredentialsError {
    /// The device has no credentials endpoint or role alias.
    #[error("no token exchange role is configured")]
    NotConfigured,
    /// The provider said no.
    #[error("the credentials provider refuses with status {status}: {body}")]
    Refused { status: u16, body: String },
    /// The provider cannot be reached.
    #[error("the credentials provider cannot be reached: {reason}")]
    Unreachable { url: String, reason: String },
    /// The answer is not credentials.
    #[error("the answer of the credentials provider cannot be read: {reason}")]
    BadAnswer { reason: String },
    /// The core is stopping.
    #[error("the core is stopping")]
    Stopped,
}

impl Diagnose for CredentialsError {
    fn kind(&self) -> Kind {
        match self {
            CredentialsError::NotConfigured => Kind::Unsupported,
            CredentialsError::Refused { status, .. } if *status < 500 => Kind::Denied,
            CredentialsError::BadAnswer { .. } => Kind::Corrupt,
            CredentialsError::Stopped => Kind::Cancelled,
            _ => Kind::Unavailable,
        }
    }
    fn code(&self) -> &'static str {
        match self {
            CredentialsError::NotConfigured => "credentials-not-configured",
            CredentialsError::Refused { .. } => "credentials-refused",
            CredentialsError::Unreachable { .. } => "credentials-unreachable",
            CredentialsError::BadAnswer { .. } => "credentials-answer-unreadable",
            CredentialsError::Stopped => "credentials-stopped",
        }
    }
    fn place(&self) -> Option<Place> {
        match self {
            CredentialsError::Unreachable { url, .. } => Some(Place::Url { url: url.clone() }),
            CredentialsError::NotConfigured => Some(Place::Setting {
                name: "iotRoleAlias".into(),
            }),
            _ => None,
        }
    }
}

/// Where the provider is and what to ask for.
#[derive(Clone)]
pub struct CredentialsSettings {
    /// `iotCredEndpoint`: a host, with or without port; empty when there is none.
    pub endpoint: String,
    /// `iotRoleAlias`; empty when there is none.
    pub role_alias: String,
    pub thing: String,
    /// A client whose TLS trusts the root CA and shows the certificate.
    pub client: Client,
    pub retry: CredentialRetry,
}

/// How long failures are remembered (`credentialRetryInSec`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialRetry {
    /// Status 4xx.
    pub client_error: Duration,
    /// Status 5xx.
    pub server_error: Duration,
    /// Everything else.
    pub unknown_error: Duration,
}

impl Default for CredentialRetry {
    fn default() -> Self {
        CredentialRetry {
            client_error: Duration::from_secs(120),
            server_error: Duration::from_secs(60),
            unknown_error: Duration::from_secs(300),
        }
    }
}

impl CredentialRetry {
    /// Reads `credentialRetryInSec`; what cannot be used stays at its default.
    #[must_use]
    pub fn from_configuration(section: &serde_json::Value) -> Self {
        let seconds = |key: &str, default: Duration| {
            let value = &section[key];
            let number = value
                .as_u64()
                .or_else(|| value.as_str()?.trim().parse().ok());
            match number.filter(|number| RETRY_SECONDS.contains(number)) {
                Some(number) => Duration::from_secs(number),
                None => {
                    if !value.is_null() {
                        tracing::warn!(key, value = %value, "a retry time of credentials cannot be used");
                    }
                    default
                }
            }
        };
        let default = CredentialRetry::default();
        CredentialRetry {
            client_error: seconds("clientError", default.client_error),
            server_error: seconds("serverError", default.server_error),
            unknown_error: seconds("unknownError", default.unknown_error),
        }
    }
}

type Answer = Result<Credentials, CredentialsError>;

enum Ask {
    Get(oneshot::Sender<Answer>),
    Forget(Credentials),
}

/// Gets credentials. Cheap to clone.
#[derive(Clone)]
pub struct CredentialsHandle {
    requests: mpsc::Sender<Ask>,
    settings: Arc<watch::Sender<CredentialsSettings>>,
}

impl CredentialsHandle {
    /// Starts the task.
    #[must_use]
    pub fn start(settings: CredentialsSettings, tasks: &Tasks) -> Self {
        let (requests, receiver) = mpsc::channel(64);
        let settings = watch::Sender::new(settings);
        let keeper = Keeper {
            requests: receiver,
            settings: settings.subscribe(),
            kept: None,
            clock: jiff::Timestamp::now,
        };
        let token = tasks.token();
        tasks.spawn_essential("credentials", async move {
            tokio::select! {
                () = keeper.run() => {}
                () = token.cancelled() => {}
            }
        });
        CredentialsHandle {
            requests,
            settings: Arc::new(settings),
        }
    }

    /// Takes new settings; what was kept is dropped.
    pub fn reconfigure(&self, settings: CredentialsSettings) {
        self.settings.send_replace(settings);
    }

    /// Credentials that are good for some minutes.
    pub async fn get(&self) -> Result<Credentials, CredentialsError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(Ask::Get(reply)).await;
        sent.map_err(|_| CredentialsError::Stopped)?;
        answer.await.map_err(|_| CredentialsError::Stopped)?
    }

    /// These were refused although they should be good: ask anew next time.
    pub fn forget(&self, credentials: &Credentials) {
        // With a full queue somebody asks already; the next refusal tries again.
        let ask = Ask::Forget(credentials.clone());
        self.requests.try_send(ask).ok();
    }
}

/// An answer, and how long it is given out.
struct Kept {
    answer: Answer,
    until: Instant,
    /// The end of credentials, by the provider's clock.
    end: Option<jiff::Timestamp>,
}

/// Owns what is kept.
struct Keeper {
    requests: mpsc::Receiver<Ask>,
    settings: watch::Receiver<CredentialsSettings>,
    kept: Option<Kept>,
    clock: fn() -> jiff::Timestamp,
}

impl Keeper {
    async fn run(mut self) {
        while let Some(request) = self.requests.recv().await {
            match request {
                // Whoever asked has gone.
                Ask::Get(reply) if reply.is_closed() => {}
                Ask::Get(reply) => {
                    let answer = self.answer().await;
                    reply.send(answer.clone()).ok();
                    self.answer_the_others(&answer);
                }
                Ask::Forget(stale) => self.forget(&stale),
            }
        }
    }

    /// Whoever asked while the provider was asked wants no question of their own.
    fn answer_the_others(&mut self, answer: &Answer) {
        while !self.settings.has_changed().unwrap_or(false) {
            match self.requests.try_recv() {
                Ok(Ask::Get(reply)) => {
                    reply.send(answer.clone()).ok();
                }
                Ok(Ask::Forget(stale)) => {
                    self.forget(&stale);
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn forget(&mut self, stale: &Credentials) {
        if matches!(&self.kept, Some(Kept { answer: Ok(kept), .. }) if kept == stale) {
            self.kept = None;
        }
    }

    async fn answer(&mut self) -> Answer {
        let changed = self.settings.has_changed().unwrap_or(false);
        if !changed
            && let Some(kept) = &self.kept
            && kept.is_good(Instant::now(), (self.clock)())
        {
            return kept.answer.clone();
        }
        let settings = self.settings.borrow_and_update().clone();
        let answer = fetch(&settings).await;
        let end = match &answer {
            Ok(credentials) => credentials.expiration.parse().ok(),
            Err(_) => None,
        };
        let life = match &answer {
            Ok(_) => end.map_or(UNKNOWN_LIFE, |end| life(end, (self.clock)())),
            Err(CredentialsError::Refused { status, .. }) => match status {
                400..=499 => settings.retry.client_error,
                500..=599 => settings.retry.server_error,
                _ => settings.retry.unknown_error,
            },
            Err(CredentialsError::BadAnswer { .. }) => settings.retry.unknown_error,
            // Not asked at all, or not heard: the next may ask at once, one at a time.
            Err(_) => Duration::ZERO,
        };
        if let Err(error) = &answer {
            tracing::warn!(error = %error.report().one_line(), "no credentials from the token exchange");
        }
        self.kept = Some(Kept {
            answer: answer.clone(),
            until: Instant::now() + life,
            end,
        });
        answer
    }
}

impl Kept {
    fn is_good(&self, now: Instant, clock: jiff::Timestamp) -> bool {
        now < self.until && self.end.is_none_or(|end| !life(end, clock).is_zero())
    }
}

/// How long credentials with this end are given out.
fn life(end: jiff::Timestamp, clock: jiff::Timestamp) -> Duration {
    let left = Duration::try_from(end.duration_since(clock)).unwrap_or_default();
    left.min(LONGEST_LIFE).saturating_sub(RENEW_BEFORE)
}

async fn fetch(settings: &CredentialsSettings) -> Answer {
    if settings.endpoint.is_empty() || settings.role_alias.is_empty() {
        return Err(CredentialsError::NotConfigured);
    }
    // The scheme is ours to add; where one is given, it is meant.
    let base = match settings.endpoint.trim_end_matches('/') {
        url if url.contains("://") => url.to_owned(),
        host => format!("https://{host}"),
    };
    let alias = segment(&settings.role_alias);
    let url = format!("{base}/role-aliases/{alias}/credentials");
    let url = url.as_str();
    let unreachable = |reason: String| CredentialsError::Unreachable {
        url: url.to_owned(),
        reason,
    };
    let request = Request::get(url)
        .header("x-amzn-iot-thingname", &settings.thing)
        .body(empty())
        .map_err(|error| unreachable(error.to_string()))?;
    let failed = |error: sward_net::http::HttpError| unreachable(error.report().one_line());
    let response = settings.client.send(request).await.map_err(failed)?;
    let status = response.status().as_u16();
    let body = collect(response.into_body(), MAX_ANSWER)
        .await
        .map_err(failed)?;
    if status != 200 {
        return Err(CredentialsError::Refused {
            status,
            body: String::from_utf8_lossy(&body).into_owned(),
        });
    }
    #[derive(Deserialize)]
    struct Envelope {
        credentials: Credentials,
    }
    let envelope: Envelope =
        serde_json::from_slice(&body).map_err(|error| CredentialsError::BadAnswer {
            reason: error.to_string(),
        })?;
    Ok(envelope.credentials)
}

#[cfg(test)]
mod tests;
