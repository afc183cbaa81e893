//! What we read from certificates and signing requests.

use crate::fault::{Fault, Outcome};
use rcgen::{DistinguishedName, DnType};
use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use sward_policy::iot::Certificate;
use x509_parser::prelude::{
    FromDer as _, GeneralName, X509Certificate, X509CertificationRequest, X509Name,
};

/// Lower-case hex of the SHA-256: a certificate's id.
pub(crate) fn fingerprint(der: &[u8]) -> String {
    hex::encode(Sha256::digest(der))
}

/// The first PEM block of a text.
pub(crate) fn pem_to_der(text: &str) -> Option<Vec<u8>> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(text.as_bytes()).ok()?;
    Some(pem.contents)
}

/// A certificate in PEM with lines of 64 characters and a final newline.
pub(crate) fn der_to_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

/// What policies and validity checks need of a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CertificateFacts {
    pub(crate) not_before_ms: i64,
    pub(crate) not_after_ms: i64,
    /// As policy variables see it.
    pub(crate) certificate: Certificate,
}

impl CertificateFacts {
    /// Reads a certificate; `None` when it is not one.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let validity = parsed.validity();
        let mut alternative_names: BTreeMap<String, Vec<String>> = BTreeMap::new();
        if let Ok(Some(extension)) = parsed.subject_alternative_name() {
            for name in &extension.value.general_names {
                let (kind, value) = match name {
                    GeneralName::DNSName(value) => ("DNSName", *value),
                    GeneralName::RFC822Name(value) => ("RFC822Name", *value),
                    GeneralName::URI(value) => ("UniformResourceIdentifier", *value),
                    _ => continue,
                };
                alternative_names
                    .entry(kind.to_owned())
                    .or_default()
                    .push(value.to_owned());
            }
        }
        Some(CertificateFacts {
            not_before_ms: validity.not_before.timestamp().saturating_mul(1000),
            not_after_ms: validity.not_after.timestamp().saturating_mul(1000),
            certificate: Certificate {
                id: fingerprint(der),
                serial_number: parsed.tbs_certificate.serial.to_string(),
                subject: names(parsed.subject()),
                issuer: names(parsed.issuer()),
                alternative_names,
            },
        })
    }
}

/// Attribute types by their OID, with the names that policy variables use.
const NAMES: &[(&str, &str)] = &[
    ("2.5.4.3", "CommonName"),
    ("2.5.4.4", "Surname"),
    ("2.5.4.5", "SerialNumber"),
    ("2.5.4.6", "Country"),
    ("2.5.4.7", "LocalityName"),
    ("2.5.4.8", "State"),
    ("2.5.4.10", "Organization"),
    ("2.5.4.11", "OrganizationalUnit"),
    ("2.5.4.12", "Title"),
    ("2.5.4.42", "GivenName"),
    ("2.5.4.43", "Initials"),
    ("2.5.4.44", "GenerationQualifier"),
    ("2.5.4.46", "DistinguishedNameQualifier"),
    ("2.5.4.65", "Pseudonym"),
];

/// The first value of each attribute.
fn names(name: &X509Name<'_>) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for attribute in name.iter_attributes() {
        let oid = attribute.attr_type().to_id_string();
        let known = NAMES.iter().find(|(known, _)| *known == oid);
        if let (Some((_, label)), Ok(value)) = (known, attribute.as_str()) {
            found
                .entry((*label).to_owned())
                .or_insert_with(|| value.to_owned());
        }
    }
    found
}

/// A signing request whose signature was checked.
pub(crate) struct SigningRequest {
    /// SubjectPublicKeyInfo in DER.
    pub(crate) public_key: Vec<u8>,
    pub(crate) subject: DistinguishedName,
}

/// Reads a PEM signing request and checks that its sender holds the private key.
pub(crate) fn signing_request(pem: &str) -> Outcome<SigningRequest> {
    let refuse = |reason: &str| Fault::field("certificateSigningRequest", reason);
    let der = pem_to_der(pem).ok_or_else(|| refuse("the signing request is not PEM"))?;
    let (_, request) = X509CertificationRequest::from_der(&der)
        .map_err(|_| refuse("the signing request is not PKCS#10"))?;
    request
        .verify_signature()
        .map_err(|_| refuse("the signing request is not signed by its own key"))?;
    let info = &request.certification_request_info;
    let mut subject = DistinguishedName::new();
    for attribute in info.subject.iter_attributes() {
        let Some(parts) = attribute.attr_type().iter() else {
            continue;
        };
        if let Ok(value) = attribute.as_str() {
            let oid: Vec<u64> = parts.collect();
            subject.push(DnType::from_oid(&oid), value);
        }
    }
    Ok(SigningRequest {
        public_key: info.subject_pki.raw.to_vec(),
        subject,
    })
}
