//! What a certificate says about itself.

use super::TlsError;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate, X509Name};

/// The members of a certificate that policies and logs name. All text is as written in the
/// certificate; nothing here has been verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateFacts {
    /// First common name of the subject.
    pub common_name: Option<String>,
    /// The subject's attributes by their usual short names (`CN`, `O`, `OU`, `C`, `ST`, `L`, …).
    pub subject: Vec<(String, String)>,
    /// The issuer's attributes by their usual short names.
    pub issuer: Vec<(String, String)>,
    /// Subject alternative names: (`DNSName` | `IPAddress` | `RFC822Name` | `URI`, text).
    pub alternative_names: Vec<(&'static str, String)>,
    /// Serial number in lower-case hexadecimal without separators.
    pub serial_number: String,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
}

impl CertificateFacts {
    /// Reads a DER certificate of any X.509 version.
    pub fn parse(der: &[u8]) -> Result<CertificateFacts, TlsError> {
        let bad = |reason: String| TlsError::Certificate { reason };
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|error| bad(error.to_string()))?;
        if !rest.is_empty() {
            return Err(bad(format!("{} bytes follow it", rest.len())));
        }
        let subject = attributes(certificate.subject());
        let validity = certificate.validity();
        Ok(CertificateFacts {
            common_name: subject
                .iter()
                .find(|(name, _)| name == "CN")
                .map(|(_, value)| value.clone()),
            subject,
            issuer: attributes(certificate.issuer()),
            alternative_names: alternative_names(&certificate),
            serial_number: certificate.tbs_certificate.serial.to_str_radix(16),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }
}

fn attributes(name: &X509Name<'_>) -> Vec<(String, String)> {
    let registry = x509_parser::objects::oid_registry();
    name.iter_attributes()
        .map(|attribute| {
            let oid = attribute.attr_type();
            let key = x509_parser::objects::oid2abbrev(oid, registry)
                .map_or_else(|_| oid.to_id_string(), str::to_owned);
            let value = attribute.as_str().map_or_else(
                |_| String::from_utf8_lossy(attribute.as_slice()).into_owned(),
                str::to_owned,
            );
            (key, value)
        })
        .collect()
}

fn alternative_names(certificate: &X509Certificate<'_>) -> Vec<(&'static str, String)> {
    let Ok(Some(extension)) = certificate.subject_alternative_name() else {
        return Vec::new();
    };
    extension
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(text) => Some(("DNSName", (*text).to_owned())),
            GeneralName::RFC822Name(text) => Some(("RFC822Name", (*text).to_owned())),
            GeneralName::URI(text) => Some(("URI", (*text).to_owned())),
            GeneralName::IPAddress(bytes) => address(bytes).map(|text| ("IPAddress", text)),
            _ => None,
        })
        .collect()
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    <[u8; 16]>::try_from(bytes)
        .ok()
        .map(|sixteen| std::net::Ipv6Addr::from(sixteen).to_string())
}

/// The algorithm identifier (without its outer SEQUENCE header) and the key bits of a
/// certificate's public key, as verification algorithms name them.
pub(super) fn public_key_parts<'a>(certificate: &'a [u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let raw: &'a [u8] = parsed.tbs_certificate.subject_pki.raw;
    let (_, content, _) = element(raw)?;
    let (tag, algorithm, rest) = element(content)?;
    let (key_tag, bits, _) = element(rest)?;
    let (unused, key) = bits.split_first()?;
    (tag == 0x30 && key_tag == 0x03 && *unused == 0).then_some((algorithm, key))
}

/// One DER element: its tag, its content and what follows.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        if count == 0 || count > 4 || rest.len() < count {
            return None;
        }
        let (digits, rest) = rest.split_at(count);
        let length = digits
            .iter()
            .fold(0usize, |length, digit| (length << 8) | usize::from(*digit));
        (length, rest)
    };
    (rest.len() >= length).then(|| (tag, &rest[..length], &rest[length..]))
}
