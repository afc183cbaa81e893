//! RSA-2048 keys for `CreateKeysAndCertificate`, made ahead of time on blocking threads.
//!
//! Making one takes a fraction of a second of a whole core, so a few wait ready and are replaced
//! when taken.

use crate::fault::{Fault, Outcome, Refusal};
use crate::ports::Entropy;
use rsa::pkcs1::EncodeRsaPrivateKey as _;
use rsa::pkcs8::{EncodePublicKey as _, LineEnding};
use rsa::rand_core::{TryCryptoRng, TryRng};
use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use sward_task::CancellationToken;
use tokio::sync::Notify;

const BITS: usize = 2048;
/// The start of a cloud is not slowed down by keys that nobody asked for yet.
const FIRST_KEY_AFTER: Duration = Duration::from_secs(5);

/// A key pair as AWS hands it out.
#[derive(Clone)]
pub(crate) struct RsaKey {
    /// `BEGIN PUBLIC KEY`.
    pub(crate) public_pem: String,
    /// SubjectPublicKeyInfo.
    pub(crate) public_der: Vec<u8>,
    /// `BEGIN RSA PRIVATE KEY`.
    pub(crate) private_pem: String,
}

/// Keys that wait to be taken.
pub(crate) struct KeyPool {
    wanted: usize,
    ready: Mutex<VecDeque<RsaKey>>,
    taken: Notify,
    entropy: Arc<dyn Entropy>,
}

impl KeyPool {
    pub(crate) fn new(wanted: usize, entropy: Arc<dyn Entropy>) -> Self {
        KeyPool {
            wanted,
            ready: Mutex::new(VecDeque::new()),
            taken: Notify::new(),
            entropy,
        }
    }

    /// A key: one that waits, else a new one.
    pub(crate) async fn take(&self) -> Outcome<RsaKey> {
        let waiting = self
            .ready
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        self.taken.notify_one();
        match waiting {
            Some(key) => Ok(key),
            None => self.make().await,
        }
    }

    /// Keeps the pool full until `stop`.
    pub(crate) async fn run(&self, stop: CancellationToken) {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(FIRST_KEY_AFTER) => {}
        }
        loop {
            let short = {
                let ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
                ready.len() < self.wanted
            };
            if short {
                tokio::select! {
                    () = stop.cancelled() => return,
                    made = self.make() => match made {
                        Ok(key) => self
                            .ready
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push_back(key),
                        Err(fault) => {
                            tracing::warn!(error = %fault.report, "no key could be made ahead");
                            return;
                        }
                    },
                }
            } else {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = self.taken.notified() => {}
                }
            }
        }
    }

    async fn make(&self) -> Outcome<RsaKey> {
        let entropy = self.entropy.clone();
        tokio::task::spawn_blocking(move || make(&*entropy))
            .await
            .map_err(|error| Fault::new(Refusal::Internal, format!("key maker ended: {error}")))?
    }
}

fn make(entropy: &dyn Entropy) -> Outcome<RsaKey> {
    let failed =
        |error: String| Fault::new(Refusal::Internal, format!("no key could be made: {error}"));
    let private = rsa::PrivateKey::new(&mut Random(entropy), BITS)
        .map_err(|error| failed(error.to_string()))?;
    let public = private.to_public_key();
    let public_der = public
        .to_public_key_der()
        .map_err(|error| failed(error.to_string()))?
        .into_vec();
    let public_pem = public
        .to_public_key_pem(LineEnding::LF)
        .map_err(|error| failed(error.to_string()))?;
    let private_pem = private
        .to_pkcs1_pem(LineEnding::LF)
        .map_err(|error| failed(error.to_string()))?
        .to_string();
    Ok(RsaKey {
        public_pem,
        public_der,
        private_pem,
    })
}

/// The entropy port as the RSA crate wants it.
struct Random<'a>(&'a dyn Entropy);

impl TryRng for Random<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.0.fill(&mut bytes);
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.0.fill(&mut bytes);
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, buffer: &mut [u8]) -> Result<(), Infallible> {
        self.0.fill(buffer);
        Ok(())
    }
}

impl TryCryptoRng for Random<'_> {}
