//! Role sessions. The token is the session: a sealed value that only this cloud can make or open.
//!
//! ```text
//! base64( 1 | nonce (12) | AES-256-GCM( JSON {k, s, a, r, i, n, e} ) | tag (16) )
//! k access key id, s secret, a account, r role name, i role id, n session name, e end (ms)
//! ```

use super::schema::GLOBAL;
use super::{Identity, IdentityError, Rights, Signer, iam_arn};
use crate::ports::{Entropy, RoleError, RoleRequest, SessionCredentials, SessionIssuer};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};
use sward_aws_wire::api::Caller;
use sward_diagnosis::Diagnose as _;
use sward_model::{AccountId, Arn, Region};
use sward_policy::iam::{Context, Principal, TrustPolicy};
use sward_sigv4::SignatureError;
use sward_store::{Store, Value};

const FORMAT: u8 = 1;
const KEY_NAME: &str = "session-key";
/// Longer tokens are not ours.
const MAX_TOKEN: usize = 4096;

/// What a token holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    #[serde(rename = "k")]
    pub(super) access_key_id: String,
    #[serde(rename = "s")]
    pub(super) secret_access_key: String,
    #[serde(rename = "a")]
    pub(super) account: AccountId,
    #[serde(rename = "r")]
    pub(super) role: String,
    #[serde(rename = "i")]
    pub(super) role_id: String,
    #[serde(rename = "n")]
    pub(super) name: String,
    #[serde(rename = "e")]
    pub(super) expires_at_ms: i64,
}

impl Session {
    /// `arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION`.
    pub(super) fn arn(&self) -> Arn {
        format!(
            "arn:aws:sts::{}:assumed-role/{}/{}",
            self.account, self.role, self.name
        )
        .parse()
        .expect("a session's ARN has all its parts")
    }
}

/// Seals and opens tokens.
pub(super) struct Sealer {
    key: LessSafeKey,
}

impl Sealer {
    pub(super) async fn load(store: &Store, entropy: &dyn Entropy) -> Result<Self, IdentityError> {
        // The key is the whole cloud's; rows of this table still carry both names.
        let place = || -> [Value; 3] { ["*".into(), GLOBAL.into(), KEY_NAME.into()] };
        let mut tx = store.begin().await?;
        let row = tx
            .optional(
                "SELECT value FROM identity_secret
                 WHERE account = $1 AND region = $2 AND name = $3",
                &place(),
            )
            .await?;
        let bytes = match row {
            Some(row) => row.blob("value")?,
            None => {
                let mut bytes = vec![0_u8; AES_256_GCM.key_len()];
                entropy.fill(&mut bytes);
                let [account, region, name] = place();
                tx.execute(
                    "INSERT INTO identity_secret (account, region, name, value)
                     VALUES ($1, $2, $3, $4)",
                    &[account, region, name, Value::from(bytes.as_slice())],
                )
                .await?;
                tx.commit().await?;
                bytes
            }
        };
        let key = UnboundKey::new(&AES_256_GCM, &bytes).map_err(|_| IdentityError::Damaged {
            what: "session key",
        })?;
        Ok(Sealer {
            key: LessSafeKey::new(key),
        })
    }

    pub(super) fn seal(&self, session: &Session, entropy: &dyn Entropy) -> String {
        let mut nonce = [0_u8; NONCE_LEN];
        entropy.fill(&mut nonce);
        let mut sealed = serde_json::to_vec(session).expect("texts and a number serialise");
        self.key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from([FORMAT]),
                &mut sealed,
            )
            .expect("a session is far below the cipher's limit");
        let mut token = vec![FORMAT];
        token.extend_from_slice(&nonce);
        token.extend_from_slice(&sealed);
        STANDARD.encode(token)
    }

    pub(super) fn open(&self, token: &str) -> Option<Session> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let mut token = STANDARD.decode(token).ok()?;
        if *token.first()? != FORMAT || token.len() < 1 + NONCE_LEN {
            return None;
        }
        let mut sealed = token.split_off(1 + NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&token[1..]).ok()?;
        let plain = self
            .key
            .open_in_place(nonce, Aad::from([FORMAT]), &mut sealed)
            .ok()?;
        serde_json::from_slice(plain).ok()
    }
}

impl Identity {
    pub(super) fn identify_session(
        &self,
        access_key_id: &str,
        token: &str,
        region: Region,
    ) -> Result<Signer, SignatureError> {
        let session = self.inner.sealer.open(token).ok_or(SignatureError::Token)?;
        if session.access_key_id != access_key_id {
            return Err(SignatureError::Token);
        }
        if session.expires_at_ms <= self.now_ms() {
            return Err(SignatureError::TokenExpired);
        }
        Ok(Signer {
            caller: Caller {
                account: session.account.clone(),
                region,
                arn: session.arn(),
                credential: session.access_key_id.clone(),
            },
            rights: Rights::Role {
                account: session.account,
                name: session.role,
                role_id: session.role_id,
            },
            secret_access_key: session.secret_access_key,
        })
    }

    /// Makes a session of a role for a principal that its trust policy names.
    pub(super) async fn assume(
        &self,
        principal: &Principal,
        role_arn: &Arn,
        session_name: &str,
        duration_seconds: i64,
    ) -> Result<(Session, SessionCredentials), AssumeError> {
        let role = self
            .role_by_arn(role_arn)
            .await?
            .ok_or(AssumeError::NoSuchRole)?;
        let trust = TrustPolicy::parse(&role.trust).map_err(|_| IdentityError::Damaged {
            what: "trust policy",
        })?;
        let decision = trust.evaluate(
            principal,
            "sts:AssumeRole",
            &role_arn.to_string(),
            &Context::default(),
        );
        if !decision.is_allowed() {
            return Err(AssumeError::NotTrusted);
        }
        // Of devices the role alias says how long.
        if matches!(principal, Principal::Aws { .. }) && duration_seconds > role.max_session_seconds
        {
            return Err(AssumeError::TooLong {
                limit: role.max_session_seconds,
            });
        }
        let session = Session {
            access_key_id: self.unique_id("ASIA", 16),
            secret_access_key: self.secret(),
            account: role.account,
            role: role.name,
            role_id: role.role_id,
            name: session_name.to_owned(),
            expires_at_ms: self.now_ms() + duration_seconds * 1000,
        };
        let credentials = SessionCredentials {
            access_key_id: session.access_key_id.clone(),
            secret_access_key: session.secret_access_key.clone(),
            session_token: self.inner.sealer.seal(&session, &*self.inner.entropy),
            expires_at_ms: session.expires_at_ms,
        };
        Ok((session, credentials))
    }
}

/// Why a role is not assumed.
#[derive(Debug)]
pub(super) enum AssumeError {
    NoSuchRole,
    NotTrusted,
    /// The role allows sessions of this many seconds.
    TooLong {
        limit: i64,
    },
    Identity(IdentityError),
}

impl From<IdentityError> for AssumeError {
    fn from(error: IdentityError) -> Self {
        AssumeError::Identity(error)
    }
}

#[async_trait]
impl SessionIssuer for Identity {
    async fn assume_role_for_device(
        &self,
        request: RoleRequest,
    ) -> Result<SessionCredentials, RoleError> {
        let RoleRequest {
            role_arn,
            session_name,
            duration_seconds,
            service,
            ..
        } = request;
        let principal = Principal::Service(service.to_owned());
        match self
            .assume(
                &principal,
                &role_arn,
                &session_name,
                i64::from(duration_seconds),
            )
            .await
        {
            Ok((_, credentials)) => Ok(credentials),
            Err(AssumeError::NoSuchRole) => Err(RoleError::NoSuchRole(role_arn)),
            Err(AssumeError::NotTrusted | AssumeError::TooLong { .. }) => {
                Err(RoleError::NotTrusted {
                    role: role_arn,
                    service,
                })
            }
            Err(AssumeError::Identity(error)) => Err(RoleError::Unavailable(error.report())),
        }
    }
}

/// A role's ARN; `path` begins and ends with a slash.
pub(super) fn role_arn(account: &AccountId, path: &str, name: &str) -> Arn {
    iam_arn(account, &format!("role{path}{name}"))
}
