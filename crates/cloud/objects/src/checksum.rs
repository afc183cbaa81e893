//! The checksums that new SDKs send with every upload.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::Digest as _;

/// One of S3's checksum algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Crc32,
    Crc32c,
    Crc64Nvme,
    Sha1,
    Sha256,
}

impl Algorithm {
    pub(crate) const ALL: [Algorithm; 5] = [
        Algorithm::Crc32,
        Algorithm::Crc32c,
        Algorithm::Crc64Nvme,
        Algorithm::Sha1,
        Algorithm::Sha256,
    ];

    /// The upper-case name in `x-amz-checksum-algorithm`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "CRC32",
            Algorithm::Crc32c => "CRC32C",
            Algorithm::Crc64Nvme => "CRC64NVME",
            Algorithm::Sha1 => "SHA1",
            Algorithm::Sha256 => "SHA256",
        }
    }

    /// The header that carries the value.
    pub(crate) fn header(self) -> &'static str {
        match self {
            Algorithm::Crc32 => "x-amz-checksum-crc32",
            Algorithm::Crc32c => "x-amz-checksum-crc32c",
            Algorithm::Crc64Nvme => "x-amz-checksum-crc64nvme",
            Algorithm::Sha1 => "x-amz-checksum-sha1",
            Algorithm::Sha256 => "x-amz-checksum-sha256",
        }
    }

    /// The XML element that carries the value.
    pub(crate) fn element(self) -> String {
        format!("Checksum{}", self.name())
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.name().eq_ignore_ascii_case(name))
    }

    pub(crate) fn of_header(header: &str) -> Option<Self> {
        Algorithm::ALL
            .into_iter()
            .find(|algorithm| algorithm.header().eq_ignore_ascii_case(header))
    }

    pub(crate) fn start(self) -> Checksum {
        match self {
            Algorithm::Crc32 => Checksum::Crc32(crc32fast::Hasher::new()),
            Algorithm::Crc32c => Checksum::Crc32c(u32::MAX),
            Algorithm::Crc64Nvme => Checksum::Crc64Nvme(u64::MAX),
            Algorithm::Sha1 => Checksum::Sha1(ring::digest::Context::new(
                &ring::digest::SHA1_FOR_LEGACY_USE_ONLY,
            )),
            Algorithm::Sha256 => Checksum::Sha256(sha2::Sha256::new()),
        }
    }

    /// The checksum of parts' checksums, with their count: what AWS calls composite.
    pub(crate) fn composite(self, parts: &[String]) -> Option<String> {
        let mut checksum = self.start();
        for part in parts {
            checksum.update(&STANDARD.decode(part).ok()?);
        }
        Some(format!("{}-{}", checksum.finish(), parts.len()))
    }
}

/// A running checksum.
pub(crate) enum Checksum {
    Crc32(crc32fast::Hasher),
    Crc32c(u32),
    Crc64Nvme(u64),
    Sha1(ring::digest::Context),
    Sha256(sha2::Sha256),
}

impl Checksum {
    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Checksum::Crc32(hasher) => hasher.update(bytes),
            Checksum::Crc32c(state) => {
                for byte in bytes {
                    let index = (*state ^ u32::from(*byte)) & 0xff;
                    *state = CRC32C[index as usize] ^ (*state >> 8);
                }
            }
            Checksum::Crc64Nvme(state) => {
                for byte in bytes {
                    let index = (*state ^ u64::from(*byte)) & 0xff;
                    *state = CRC64[index as usize] ^ (*state >> 8);
                }
            }
            Checksum::Sha1(context) => context.update(bytes),
            Checksum::Sha256(hasher) => hasher.update(bytes),
        }
    }

    /// The value as it travels: base64 of the big-endian bytes.
    pub(crate) fn finish(self) -> String {
        match self {
            Checksum::Crc32(hasher) => STANDARD.encode(hasher.finalize().to_be_bytes()),
            Checksum::Crc32c(state) => STANDARD.encode((!state).to_be_bytes()),
            Checksum::Crc64Nvme(state) => STANDARD.encode((!state).to_be_bytes()),
            Checksum::Sha1(context) => STANDARD.encode(context.finish()),
            Checksum::Sha256(hasher) => STANDARD.encode(hasher.finalize()),
        }
    }
}

/// Castagnoli's polynomial, reflected.
static CRC32C: [u32; 256] = {
    let mut table = [0_u32; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                0x82f6_3b78 ^ (value >> 1)
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

/// NVMe's polynomial, reflected.
static CRC64: [u64; 256] = {
    let mut table = [0_u64; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u64;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 {
                0x9a6c_9329_ac4b_c9b5 ^ (value >> 1)
            } else {
                value >> 1
            };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_algorithm_gives_its_check_value() {
        fn check(algorithm: Algorithm, expected: &[u8]) {
            let mut checksum = algorithm.start();
            checksum.update(b"1234");
            checksum.update(b"56789");
            assert_eq!(
                checksum.finish(),
                STANDARD.encode(expected),
                "{algorithm:?}"
            );
        }
        check(Algorithm::Crc32, &0xcbf4_3926_u32.to_be_bytes());
        check(Algorithm::Crc32c, &0xe306_9283_u32.to_be_bytes());
        check(
            Algorithm::Crc64Nvme,
            &0xae8b_1486_0a79_9888_u64.to_be_bytes(),
        );
        check(
            Algorithm::Sha1,
            &hex::decode("f7c3bc1d808e04732adf679965ccc34ca7ae3441").expect("hex"),
        );
        check(
            Algorithm::Sha256,
            &hex::decode("15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225")
                .expect("hex"),
        );
    }
}
