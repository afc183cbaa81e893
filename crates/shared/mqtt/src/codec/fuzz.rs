//! Mutated packets with repaired lengths: nothing panics, and what is read can be written and read.
//!
//! `SWARD_FUZZ_ITERATIONS` raises the number of inputs.

use super::tests::{LIMITS, any_packet};
use super::{decode, encode, packet_length};
use crate::packet::Version;
use bytes::BytesMut;
use proptest::strategy::{Strategy as _, ValueTree as _};
use proptest::test_runner::TestRunner;

/// A small repeatable generator (SplitMix64).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

pub(crate) fn iterations() -> u64 {
    std::env::var("SWARD_FUZZ_ITERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000)
}

/// Packets to start from: one of each kind many times over.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let mut runner = TestRunner::deterministic();
    let strategy = any_packet();
    let mut seeds = Vec::new();
    for index in 0..400 {
        let packet = strategy.new_tree(&mut runner).expect("a value").current();
        let mut out = BytesMut::new();
        let version = if index % 4 == 0 {
            Version::V311
        } else {
            Version::V5
        };
        encode(&mut out, &packet, version);
        seeds.push(out.to_vec());
    }
    seeds.extend(packets_with_every_property());
    seeds
}

/// CONNECT, CONNACK, DISCONNECT and AUTH with each property that may stand there.
fn packets_with_every_property() -> Vec<Vec<u8>> {
    let text = |id: u8| vec![id, 0, 2, b'a', b'b'];
    let pair = vec![0x26, 0, 1, b'k', 0, 1, b'v'];
    let byte = |id: u8| vec![id, 1];
    let short = |id: u8| vec![id, 0, 9];
    let long = |id: u8| vec![id, 0, 0, 0, 9];
    let connack = [
        vec![long(0x11), short(0x21), byte(0x24), byte(0x25), long(0x27)],
        vec![
            text(0x12),
            short(0x22),
            text(0x1f),
            pair.clone(),
            byte(0x28),
        ],
        vec![byte(0x29), byte(0x2a), short(0x13), text(0x1a), text(0x1c)],
        vec![text(0x15), text(0x16)],
    ];
    let connect = [
        vec![long(0x11), short(0x21), long(0x27), short(0x22), byte(0x19)],
        vec![byte(0x17), pair.clone(), text(0x15), text(0x16)],
    ];
    let will = [
        vec![long(0x18), byte(0x01), long(0x02), text(0x03), text(0x08)],
        vec![text(0x09), pair.clone()],
    ];
    let block = |properties: &[Vec<Vec<u8>>]| {
        let body = properties.concat().concat();
        [vec![u8::try_from(body.len()).expect("short")], body].concat()
    };
    let packet = |first: u8, body: Vec<u8>| {
        let mut bytes = [vec![first, 0], body].concat();
        repair(&mut bytes);
        bytes
    };
    let connect_head = b"\0\x04MQTT\x05\x06\0\x09".to_vec();
    let payload = [
        b"\0\x01c".to_vec(),
        block(&will),
        b"\0\x01t\0\x01p".to_vec(),
    ]
    .concat();
    let disconnect = [vec![long(0x11), text(0x1f), text(0x1c), pair.clone()]];
    let auth = [vec![text(0x15), text(0x16), text(0x1f), pair.clone()]];
    vec![
        packet(0x10, [connect_head, block(&connect), payload].concat()),
        packet(0x20, [vec![0, 0], block(&connack)].concat()),
        packet(0xe0, [vec![0x8e], block(&disconnect)].concat()),
        packet(0xf0, [vec![0x18], block(&auth)].concat()),
    ]
}

/// Those of the seeds whose kind (the high half of the first byte) is listed.
pub(crate) fn seeds_of(kinds: &[u8]) -> Vec<Vec<u8>> {
    let mut seeds = seeds();
    seeds.retain(|seed| kinds.contains(&(seed[0] >> 4)));
    seeds
}

/// Changes a few bytes, inserts, removes, splices; then repairs the outer length.
pub(crate) fn mutate(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[dice.below(seeds.len())].clone();
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len());
        match dice.below(6) {
            0 => bytes[at] = dice.next() as u8,
            1 => bytes[at] ^= 1 << dice.below(8),
            2 => bytes.insert(at, dice.next() as u8),
            3 if bytes.len() > 2 => {
                bytes.remove(at);
            }
            4 => {
                let other = &seeds[dice.below(seeds.len())];
                let from = dice.below(other.len());
                bytes.truncate(at.max(2));
                bytes.extend_from_slice(&other[from..]);
            }
            _ => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][dice.below(5)],
        }
    }
    if dice.below(8) != 0 {
        repair(&mut bytes);
    }
    bytes
}

fn repair(bytes: &mut Vec<u8>) {
    let header = match packet_length(bytes) {
        Ok(Some((header, _))) if header <= bytes.len() => header,
        _ => 2.min(bytes.len()),
    };
    let body = bytes.split_off(header);
    bytes.truncate(1);
    let mut length = body.len();
    loop {
        let byte = (length & 0x7f) as u8;
        length >>= 7;
        if length == 0 {
            bytes.push(byte);
            break;
        }
        bytes.push(byte | 0x80);
    }
    bytes.extend_from_slice(&body);
}

#[test]
fn no_bytes_make_the_decoder_panic() {
    let seeds = seeds();
    let mut dice = Dice(1);
    let (mut read, mut refused) = (0u64, 0u64);
    for index in 0..iterations() {
        let bytes = mutate(&mut dice, &seeds);
        let version = match index % 5 {
            0 => Some(Version::V311),
            1 if bytes[0] >> 4 == 1 => None,
            _ => Some(Version::V5),
        };
        match decode(&mut BytesMut::from(&bytes[..]), version, LIMITS) {
            Ok(Some(packet)) => {
                read += 1;
                let version = version.unwrap_or(Version::V5);
                let mut again = BytesMut::new();
                encode(&mut again, &packet, version);
                let back = decode(&mut again, Some(version), LIMITS);
                if version == Version::V5 && !matches!(packet, crate::Packet::Connect(_)) {
                    assert_eq!(back, Ok(Some(packet)), "{bytes:02x?}");
                } else {
                    assert!(matches!(back, Ok(Some(_))), "{packet:?} {bytes:02x?}");
                }
            }
            Ok(None) => {}
            Err(_) => refused += 1,
        }
    }
    // Both ways must be walked, or the inputs prove nothing.
    assert!(read > iterations() / 10, "{read} read");
    assert!(refused > iterations() / 10, "{refused} refused");
}
