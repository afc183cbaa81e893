//! Our certificate authority: made once, kept in the database, signs servers and devices.

use crate::control::{ControlError, ControlOptions, Ports};
use crate::ports::Entropy;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SerialNumber, SubjectPublicKeyInfo,
};
use std::sync::Arc;
use sward_diagnosis::{Diagnose, Kind};
use sward_store::{Store, Value};
use thiserror::Error;
use time::OffsetDateTime;

const DAY_MS: i64 = 86_400_000;
/// Clocks of devices may lag behind ours by this much.
const SKEW_MS: i64 = DAY_MS;
/// The last second of 2049, which is also where AWS's device certificates end.
const FAR_END_S: i64 = 2_524_607_999;
const SERVER_LIFE_MS: i64 = 365 * DAY_MS;
/// A server certificate is replaced when a third of its life is left.
const RENEWAL_SHARE: i64 = 3;

/// Why a certificate could not be made.
#[derive(Clone, Debug, Error)]
#[error("cannot make the certificate: {reason}")]
pub struct CertificateError {
    reason: String,
}

impl Diagnose for CertificateError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }
    fn code(&self) -> &'static str {
        "certificate-making"
    }
}

impl From<rcgen::Error> for CertificateError {
    fn from(error: rcgen::Error) -> Self {
        CertificateError {
            reason: error.to_string(),
        }
    }
}

/// A server's certificate and key, for a TLS configuration.
#[derive(Clone)]
pub struct ServerCertificate {
    /// The server's certificate and the CA's, in DER.
    pub chain: Vec<Vec<u8>>,
    /// PKCS#8 in DER.
    pub key: Vec<u8>,
    /// When to ask for the next one.
    pub renew_at_ms: i64,
    pub not_after_ms: i64,
}

impl std::fmt::Debug for ServerCertificate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerCertificate")
            .field("renew_at_ms", &self.renew_at_ms)
            .finish_non_exhaustive()
    }
}

/// The certificate authority.
#[derive(Clone)]
pub struct Authority {
    inner: Arc<Inner>,
}

struct Inner {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
    der: Vec<u8>,
    id: String,
    entropy: Arc<dyn Entropy>,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("id", &self.inner.id)
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Reads the authority of this cloud, or makes it in one transaction. There is one for all
    /// accounts and regions, so that a change of the default ones keeps every device's trust.
    pub(crate) async fn load(
        store: &Store,
        options: &ControlOptions,
        ports: &Ports,
    ) -> Result<Self, ControlError> {
        let mut tx = store.begin().await?;
        let scope = [
            Value::from(options.account.as_str()),
            Value::from(options.region.as_str()),
        ];
        let found = tx
            .optional(
                "SELECT certificate_pem, key_pem FROM iot_authority
                 WHERE id = 'root' ORDER BY created_ms LIMIT 1",
                &[],
            )
            .await?;
        let (certificate, key) = match found {
            Some(row) => (row.text("certificate_pem")?, row.text("key_pem")?),
            None => {
                let now = ports.clock.now_ms();
                let (certificate, key) = make_root(now, &*ports.entropy).map_err(refused)?;
                let [account, region] = scope;
                tx.execute(
                    "INSERT INTO iot_authority
                     (account, region, id, certificate_pem, key_pem, created_ms)
                     VALUES ($1, $2, 'root', $3, $4, $5)",
                    &[
                        account,
                        region,
                        Value::from(&certificate),
                        Value::from(&key),
                        Value::from(now),
                    ],
                )
                .await?;
                tracing::info!("certificate authority made");
                (certificate, key)
            }
        };
        tx.commit().await?;
        Authority::from_pem(certificate, &key, ports.entropy.clone()).map_err(refused)
    }

    fn from_pem(
        pem: String,
        key: &str,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, CertificateError> {
        let key = KeyPair::from_pem(key)?;
        let issuer = Issuer::from_ca_cert_pem(&pem, key)?;
        let der = super::x509::pem_to_der(&pem).ok_or_else(|| CertificateError {
            reason: "the stored root is not PEM".to_owned(),
        })?;
        let id = super::x509::fingerprint(&der);
        Ok(Authority {
            inner: Arc::new(Inner {
                issuer,
                pem,
                der,
                id,
                entropy,
            }),
        })
    }

    /// The trust anchor for everything this cloud serves, in PEM.
    #[must_use]
    pub fn ca_pem(&self) -> &str {
        &self.inner.pem
    }

    /// The trust anchor in DER.
    #[must_use]
    pub fn ca_der(&self) -> &[u8] {
        &self.inner.der
    }

    /// SHA-256 of the root, as `caCertificateId` shows it.
    pub(crate) fn id(&self) -> &str {
        &self.inner.id
    }

    /// A fresh certificate for host names and IP addresses, with a key of its own.
    pub fn server_certificate(
        &self,
        hosts: &[String],
        now_ms: i64,
    ) -> Result<ServerCertificate, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(hosts)?;
        let name = hosts.first().map_or("localhost", String::as_str);
        params.distinguished_name = common_name(name);
        let not_after_ms = now_ms + SERVER_LIFE_MS;
        params.not_before = time_of(now_ms - SKEW_MS)?;
        params.not_after = time_of(not_after_ms)?;
        params.serial_number = Some(serial(&*self.inner.entropy));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.inner.issuer)?;
        Ok(ServerCertificate {
            chain: vec![certificate.der().to_vec(), self.inner.der.clone()],
            key: key.serialize_der(),
            renew_at_ms: not_after_ms - SERVER_LIFE_MS / RENEWAL_SHARE,
            not_after_ms,
        })
    }

    /// Signs a device's public key (a SubjectPublicKeyInfo in DER); the answer is DER.
    pub(crate) fn device_certificate(
        &self,
        public_key: &[u8],
        subject: DistinguishedName,
        now_ms: i64,
    ) -> Result<Vec<u8>, CertificateError> {
        let public_key = SubjectPublicKeyInfo::from_der(public_key)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject;
        params.not_before = time_of(now_ms - SKEW_MS)?;
        params.not_after = time_of(FAR_END_S * 1000)?;
        params.serial_number = Some(serial(&*self.inner.entropy));
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        Ok(params
            .signed_by(&public_key, &self.inner.issuer)?
            .der()
            .to_vec())
    }
}

fn refused(error: CertificateError) -> ControlError {
    ControlError::Authority {
        reason: error.reason,
    }
}

fn make_root(now_ms: i64, entropy: &dyn Entropy) -> Result<(String, String), CertificateError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut mark = [0_u8; 4];
    entropy.fill(&mut mark);
    let mut params = CertificateParams::default();
    // Two clouds on one machine must not have roots of the same name: some clients look a root up
    // by its subject and then fail on the signature.
    params.distinguished_name = common_name(&format!("Sward CA {}", hex::encode(mark)));
    params
        .distinguished_name
        .push(DnType::OrganizationName, "Sward");
    params.not_before = time_of(now_ms - SKEW_MS)?;
    params.not_after = time_of(FAR_END_S * 1000)?;
    params.serial_number = Some(serial(entropy));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    let certificate = params.self_signed(&key)?;
    Ok((certificate.pem(), key.serialize_pem()))
}

/// A subject of one common name.
pub(super) fn common_name(name: &str) -> DistinguishedName {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    subject
}

/// 20 octets at most, positive and not zero (RFC 5280 §4.1.2.2).
fn serial(entropy: &dyn Entropy) -> SerialNumber {
    let mut bytes = [0_u8; 16];
    entropy.fill(&mut bytes);
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn time_of(ms: i64) -> Result<OffsetDateTime, CertificateError> {
    OffsetDateTime::from_unix_timestamp(ms.div_euclid(1000)).map_err(|error| CertificateError {
        reason: error.to_string(),
    })
}
