use super::*;
use proptest::prelude::*;

const DATE: &str = "20261125T120000Z";

fn scope() -> Scope {
    Scope {
        date: "20261125".to_owned(),
        region: "us-east-1".to_owned(),
        service: "s3".to_owned(),
    }
}

fn verified(payload: PayloadKind) -> Verified {
    Verified {
        payload,
        key: SigningKey::derive("secret", &scope()),
        seed: "5eed".to_owned(),
    }
}

fn encode(chunks: &[&[u8]], trailer: Option<(&str, &str)>, kind: &PayloadKind) -> Vec<u8> {
    let signed = matches!(kind, PayloadKind::SignedChunks { .. });
    let mut signer = ChunkSigner::new(verified(kind.clone()).key, DATE, &scope(), "5eed");
    let mut body = Vec::new();
    for chunk in chunks.iter().copied().chain([&b""[..]]) {
        let signature = signer.chunk(&sha256_hex(chunk));
        let extension = if signed {
            format!(";chunk-signature={signature}")
        } else {
            String::new()
        };
        body.extend_from_slice(format!("{:x}{extension}\r\n", chunk.len()).as_bytes());
        body.extend_from_slice(chunk);
        if !chunk.is_empty() {
            body.extend_from_slice(b"\r\n");
        }
    }
    if let Some((name, value)) = trailer {
        body.extend_from_slice(format!("{name}:{value}\r\n").as_bytes());
        if signed {
            let signature = signer.trailer(&format!("{name}:{value}\n"));
            body.extend_from_slice(format!("x-amz-trailer-signature:{signature}\r\n").as_bytes());
        }
    }
    body.extend_from_slice(b"\r\n");
    body
}

type Decoded = Result<(Vec<u8>, Vec<(String, String)>), ChunkedError>;

fn decode(body: &[u8], step: usize, kind: &PayloadKind) -> Decoded {
    let mut decoder =
        ChunkedDecoder::new(&verified(kind.clone()), DATE, &scope()).expect("a chunked kind");
    let mut payload = Vec::new();
    for piece in body.chunks(step) {
        decoder.push(piece, &mut payload)?;
    }
    Ok((payload, decoder.finish()?))
}

const KINDS: [PayloadKind; 3] = [
    PayloadKind::SignedChunks { trailer: false },
    PayloadKind::SignedChunks { trailer: true },
    PayloadKind::UnsignedChunks,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn a_body_comes_back_whatever_the_pieces(
        chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..200), 0..5),
        step in 1_usize..100,
        kind in 0_usize..3,
    ) {
        let kind = &KINDS[kind];
        let trailer = (*kind != KINDS[0]).then_some(("x-amz-checksum-crc32", "AAAAAA=="));
        let slices: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        let (payload, trailers) = decode(&encode(&slices, trailer, kind), step, kind).expect("valid");
        prop_assert_eq!(payload, chunks.concat());
        prop_assert_eq!(trailers.len(), usize::from(trailer.is_some()));
    }

    #[test]
    fn one_changed_byte_of_a_signed_body_is_found(
        chunk in prop::collection::vec(any::<u8>(), 1..64),
        position in any::<prop::sample::Index>(),
        change in 1_u8..=255,
    ) {
        let kind = &KINDS[1];
        let mut body = encode(&[&chunk], Some(("x-amz-checksum-crc32", "AAAAAA==")), kind);
        let position = position.index(body.len());
        body[position] ^= change;
        // Case and blanks of framing are not signed; what is decoded must then still be the same.
        if let Ok((payload, trailers)) = decode(&body, 7, kind) {
            prop_assert_eq!(payload, chunk);
            prop_assert_eq!(trailers, vec![("x-amz-checksum-crc32".to_owned(), "AAAAAA==".to_owned())]);
        }
    }
}

#[test]
fn broken_framing_is_refused() {
    fn check(body: &str, expected: Result<&str, ChunkedError>) {
        let found = decode(body.as_bytes(), 3, &KINDS[2]).map(|(payload, _)| payload);
        assert_eq!(
            found,
            expected.map(|text| text.as_bytes().to_vec()),
            "{body:?}"
        );
    }
    let malformed = |why| Err(ChunkedError::Malformed(why));
    check("3\r\nabc\r\n0\r\n\r\n", Ok("abc"));
    check("3\r\nabc\r\n0\r\nx:y\r\n", Ok("abc"));
    check("3\r\nabc\r\n0\r\n", Ok("abc"));
    check("3\r\nabc\r\n", Err(ChunkedError::Incomplete));
    check("", Err(ChunkedError::Incomplete));
    check("3\r\nabcd\r\n", malformed("a chunk is longer than it says"));
    check(
        "zz\r\n",
        malformed("a chunk size is not a hexadecimal number"),
    );
    check(
        "+3\r\n",
        malformed("a chunk size is not a hexadecimal number"),
    );
    check("0\r\n\r\nx", malformed("bytes follow the last chunk"));
    check("0\r\nno colon\r\n\r\n", malformed("a trailer has no colon"));
    check(&"1".repeat(5000), malformed("a line is too long"));
}

#[test]
fn a_missing_trailer_signature_is_refused() {
    let mut body = encode(&[b"abc"], None, &KINDS[0]);
    assert!(decode(&body, 5, &KINDS[0]).is_ok());
    assert_eq!(decode(&body, 5, &KINDS[1]), Err(ChunkedError::Signature));
    body.truncate(body.len() - 2);
    assert_eq!(decode(&body, 5, &KINDS[1]), Err(ChunkedError::Signature));
}

/// Deterministic mutations of valid bodies; the decoder must neither panic nor run on.
#[test]
fn mutated_bodies_never_panic() {
    let iterations: u64 = std::env::var("SWARD_FUZZ_ITERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000);
    let seeds: Vec<(Vec<u8>, &PayloadKind)> = KINDS
        .iter()
        .map(|kind| {
            let trailer = Some(("x-amz-checksum-crc32", "AAAAAA=="));
            (encode(&[b"hello", b"world"], trailer, kind), kind)
        })
        .collect();
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let (mut accepted, mut refused) = (0_u64, 0_u64);
    for _ in 0..iterations {
        let (seed, kind) = &seeds[(next() % 3) as usize];
        let mut body = seed.clone();
        for _ in 0..next() % 4 {
            let position = (next() % body.len() as u64) as usize;
            match next() % 4 {
                0 => body[position] = (next() % 256) as u8,
                1 => body.insert(position, b"0f;\r\n:"[(next() % 6) as usize]),
                2 if body.len() > 1 => drop(body.remove(position)),
                _ => body.truncate(position.max(1)),
            }
        }
        match decode(&body, 1 + (next() % 40) as usize, kind) {
            Ok(_) => accepted += 1,
            Err(_) => refused += 1,
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} {refused}");
}
