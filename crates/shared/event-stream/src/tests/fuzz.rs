//! Mutated frames with repaired lengths and checksums must never do worse than an error.

use super::{connect, connect_ack, request};
use crate::{AwaitingConnect, ClientHandshake, Decoded, Limits, Message, ServerEvent, decode};
use sward_diagnosis::Diagnose;

/// A small deterministic generator; the seed is fixed so that a failure repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit.max(1) as u64).expect("below a usize")
    }
}

fn iterations() -> usize {
    std::env::var("SWARD_FUZZ_ITERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000)
}

/// Damages a few bytes; `headers` follows what is put into or taken out of the headers.
fn mutate(frame: &mut Vec<u8>, headers: &mut usize, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let at = random.below(frame.len());
        let before = frame.len();
        match random.below(5) {
            0 => frame[at] ^= 1 << random.below(8),
            1 => frame[at] = [0, 1, 0x7f, 0x80, 0xff][random.below(5)],
            2 => frame.insert(at, frame[random.below(frame.len())]),
            3 if frame.len() > 20 => {
                frame.remove(at);
            }
            _ => {
                let from = random.below(frame.len());
                let piece: Vec<u8> = frame[from..(from + 16).min(frame.len())].to_vec();
                frame.splice(at..at, piece);
            }
        }
        if at >= 12 && at < 12 + *headers {
            *headers = (*headers + frame.len()).saturating_sub(before);
        }
    }
}

/// Makes lengths and checksums right again, mostly; sometimes the length of the headers is
/// anything that fits.
fn repair(frame: &mut [u8], headers: usize, random: &mut Random) {
    if frame.len() < 16 {
        return;
    }
    let length = u32::try_from(frame.len()).expect("short");
    let headers = match random.below(8) {
        0 => random.below(frame.len() - 15),
        _ => headers.min(frame.len() - 16),
    };
    let headers = u32::try_from(headers).expect("short");
    frame[0..4].copy_from_slice(&length.to_be_bytes());
    frame[4..8].copy_from_slice(&headers.to_be_bytes());
    let prelude = crc32fast::hash(&frame[..8]);
    frame[8..12].copy_from_slice(&prelude.to_be_bytes());
    let end = frame.len() - 4;
    let checksum = crc32fast::hash(&frame[..end]);
    frame[end..].copy_from_slice(&checksum.to_be_bytes());
}

/// Another length of the whole frame under a prelude whose checksum is right.
fn lie_about_the_length(frame: &mut [u8], random: &mut Random) {
    if frame.len() < 16 {
        return;
    }
    let lie = [0, 15, 16, 17, 0xff_ffff, u32::MAX][random.below(6)];
    frame[0..4].copy_from_slice(&lie.to_be_bytes());
    let prelude = crc32fast::hash(&frame[..8]);
    frame[8..12].copy_from_slice(&prelude.to_be_bytes());
}

#[test]
fn no_input_does_worse_than_an_error() {
    let seeds = [connect(), connect_ack(), request()];
    let mut random = Random(0x5eed_0001);
    let mut messages = 0_usize;
    for iteration in 0..iterations() {
        let mut frame = seeds[random.below(seeds.len())].clone();
        let mut headers = usize::from(frame[7]);
        mutate(&mut frame, &mut headers, &mut random);
        if iteration % 8 != 0 {
            repair(&mut frame, headers, &mut random);
        }
        if iteration % 64 == 1 {
            lie_about_the_length(&mut frame, &mut random);
        }
        if iteration % 32 == 2 {
            frame.truncate(random.below(frame.len()));
        }
        let size = frame.len();
        let decoded = decode(&frame, Limits::default());
        if let Ok(Decoded::Incomplete { needed }) = decoded {
            assert!(needed > size);
        }
        if let Err(error) = &decoded {
            assert!(error.offset() <= size.max(12), "{error:?}");
            assert!(error.place().is_some() && !error.report().chain().is_empty());
        }
        let Ok(Decoded::Frame { frame, length }) = decoded else {
            continue;
        };
        assert!(length >= 16);
        let Ok(message) = Message::parse(frame) else {
            continue;
        };
        messages += 1;
        let mut out = Vec::new();
        if let Ok(request) = AwaitingConnect::new().receive(&message) {
            request.reject(&mut out);
        }
        drive_both_sides(&message, &mut out);
    }
    // A fuzz test whose input is all refused tests nothing.
    assert!(messages > iterations() / 10, "{messages} messages");
}

fn drive_both_sides(message: &Message<'_>, out: &mut Vec<u8>) {
    let connect = connect();
    let mut server = AwaitingConnect::new()
        .receive(&super::message(&connect))
        .expect("the captured frame")
        .accept(&mut Vec::new());
    if let Ok(ServerEvent::Request { stream, .. }) = server.receive(message, out) {
        assert_eq!(stream, 1);
        server.terminate(stream, out);
    }
    let ack = connect_ack();
    let mut client = ClientHandshake::new()
        .connect(b"{}", &mut Vec::new())
        .expect("short")
        .receive(&super::message(&ack))
        .expect("accepted");
    client.open("o", "oRequest", b"{}", out).expect("short");
    if let Err(error) = client.receive(message, out) {
        assert!(!error.to_string().is_empty());
    }
    // All that either side wrote is readable.
    let mut rest = &out[..];
    while !rest.is_empty() {
        let Ok(Decoded::Frame { length, .. }) = decode(rest, Limits::default()) else {
            panic!("a session wrote something unreadable");
        };
        rest = &rest[length..];
    }
}
