//! PEM text, read with the line of every fault.

use super::TlsError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls_pki_types::{
    CertificateDer, PrivateKeyDer, PrivatePkcs1KeyDer, PrivatePkcs8KeyDer, PrivateSec1KeyDer,
};

/// One block of a PEM text.
struct Block {
    label: String,
    line: u64,
    der: Vec<u8>,
}

/// Every block of a text. Text outside blocks is skipped, as all PEM readers do.
fn blocks(text: &str, what: &'static str, path: &str) -> Result<Vec<Block>, TlsError> {
    let fault = |line: u64, reason: &str| TlsError::Pem {
        what,
        path: path.to_owned(),
        line,
        reason: reason.to_owned(),
    };
    let mut blocks = Vec::new();
    let mut open: Option<(String, u64, String)> = None;
    for (line, text) in (1u64..).zip(text.lines().map(str::trim)) {
        let marker = |word: &str| {
            text.strip_prefix("-----")
                .and_then(|rest| rest.strip_prefix(word))
                .and_then(|rest| rest.strip_suffix("-----"))
                .map(str::to_owned)
        };
        match (&mut open, marker("BEGIN "), marker("END ")) {
            (None, Some(label), _) => open = Some((label, line, String::new())),
            (None, None, Some(_)) => return Err(fault(line, "an END without its BEGIN")),
            (None, None, None) => {}
            (Some(_), Some(_), _) => return Err(fault(line, "a BEGIN inside a block")),
            (Some((label, first, body)), None, Some(end)) => {
                if *label != end {
                    return Err(fault(line, "END names another block than BEGIN"));
                }
                let der = STANDARD
                    .decode(body.as_bytes())
                    .map_err(|error| fault(*first, &format!("bad base64 in the block: {error}")))?;
                blocks.push(Block {
                    label: std::mem::take(label),
                    line: *first,
                    der,
                });
                open = None;
            }
            (Some((_, _, body)), None, None) => {
                // Headers such as "Proc-Type: 4,ENCRYPTED" precede the body of old keys.
                if let Some((name, value)) = text.split_once(':') {
                    if name == "Proc-Type" && value.contains("ENCRYPTED") {
                        return Err(TlsError::EncryptedKey {
                            path: path.to_owned(),
                            line,
                        });
                    }
                } else if text
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
                {
                    body.push_str(text);
                } else {
                    return Err(fault(line, "a character that is not base64"));
                }
            }
        }
    }
    match open {
        Some((label, line, _)) => Err(fault(line, &format!("the block {label} has no END"))),
        None => Ok(blocks),
    }
}

fn found(blocks: &[Block]) -> String {
    if blocks.is_empty() {
        return "it holds no block".to_owned();
    }
    let labels: Vec<&str> = blocks.iter().map(|block| block.label.as_str()).collect();
    format!("it holds {}", labels.join(", "))
}

/// Every certificate of the text; at least one.
pub(super) fn certificates(
    text: &[u8],
    what: &'static str,
    path: &str,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let blocks = blocks(&String::from_utf8_lossy(text), what, path)?;
    let certificates: Vec<_> = blocks
        .iter()
        .filter(|block| {
            matches!(
                block.label.as_str(),
                "CERTIFICATE" | "X509 CERTIFICATE" | "TRUSTED CERTIFICATE"
            )
        })
        .map(|block| CertificateDer::from(block.der.clone()))
        .collect();
    if certificates.is_empty() {
        return Err(TlsError::Missing {
            what,
            path: path.to_owned(),
            found: found(&blocks),
        });
    }
    Ok(certificates)
}

/// The first private key of the text: PKCS#8, PKCS#1 or SEC1.
pub(super) fn private_key(text: &[u8], path: &str) -> Result<PrivateKeyDer<'static>, TlsError> {
    let what = "private key";
    let blocks = blocks(&String::from_utf8_lossy(text), what, path)?;
    for block in &blocks {
        let der = block.der.clone();
        return Ok(match block.label.as_str() {
            "PRIVATE KEY" => PrivatePkcs8KeyDer::from(der).into(),
            "RSA PRIVATE KEY" => PrivatePkcs1KeyDer::from(der).into(),
            "EC PRIVATE KEY" => PrivateSec1KeyDer::from(der).into(),
            "ENCRYPTED PRIVATE KEY" => {
                return Err(TlsError::EncryptedKey {
                    path: path.to_owned(),
                    line: block.line,
                });
            }
            _ => continue,
        });
    }
    Err(TlsError::Missing {
        what,
        path: path.to_owned(),
        found: found(&blocks),
    })
}
