//! Ids of local deployments: UUIDs of version 7, which hold the time they were made.

use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt;
use std::str::FromStr;

/// A deployment's id. The creation time shown by the CLI is read from it, so nothing else has to
/// be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeploymentUuid([u8; 16]);

impl DeploymentUuid {
    pub(crate) fn new() -> Self {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let ms = now
            .ok()
            .and_then(|since| u64::try_from(since.as_millis()).ok())
            .unwrap_or(0);
        let mut bytes = [0; 16];
        SystemRandom::new()
            .fill(&mut bytes)
            .expect("the operating system gives random bytes");
        bytes[..6].copy_from_slice(&ms.to_be_bytes()[2..]);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        DeploymentUuid(bytes)
    }

    /// When it was made, ms since 1970.
    pub(crate) fn created_ms(self) -> u64 {
        let mut ms = [0; 8];
        ms[2..].copy_from_slice(&self.0[..6]);
        u64::from_be_bytes(ms)
    }

    /// `dd-MM-uuuu HH:mm:ss UTC`, as the CLI shows it.
    pub(crate) fn created_on(self) -> String {
        let ms = i64::try_from(self.created_ms()).unwrap_or(0);
        let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
        time.strftime("%d-%m-%Y %H:%M:%S UTC").to_string()
    }
}

impl fmt::Display for DeploymentUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// The text is no UUID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotUuid;

impl FromStr for DeploymentUuid {
    type Err = NotUuid;
    fn from_str(text: &str) -> Result<Self, NotUuid> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b'-').collect();
        if digits.len() != 32 || text.len() != 36 {
            return Err(NotUuid);
        }
        let mut bytes = [0; 16];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).map_err(|_| NotUuid)?;
            *byte = u8::from_str_radix(pair, 16).map_err(|_| NotUuid)?;
        }
        Ok(DeploymentUuid(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_comes_back_and_tells_its_time() {
        let id = DeploymentUuid::new();
        assert_eq!(id.to_string().parse(), Ok(id));
        let known: DeploymentUuid = "01a03f2c-7000-7abc-8def-0123456789ab"
            .parse()
            .expect("a UUID");
        assert_eq!(known.created_ms(), 0x01a0_3f2c_7000);
        assert_eq!(known.created_on().len(), "25-11-2026 19:00:00 UTC".len());
        assert!("nonsense".parse::<DeploymentUuid>().is_err());
    }
}
