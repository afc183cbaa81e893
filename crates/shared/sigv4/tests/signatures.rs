//! Both directions against each other, against published-form vectors, and against changes.

use proptest::prelude::*;
use sward_sigv4::{
    Credentials, Dialect, Form, Payload, PayloadKind, Presented, Request, SignatureError, presign,
    sha256_hex, sign,
};

const NOW: i64 = 1_440_938_160; // 20150830T123600Z

fn credentials(token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: "AKIDEXAMPLE".to_owned(),
        secret_access_key: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY".to_owned(),
        session_token: token.map(str::to_owned),
    }
}

fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn verify(
    request: &Request<'_>,
    body: &[u8],
    now: i64,
) -> Result<(Presented, PayloadKind), SignatureError> {
    let presented = Presented::parse(request)?;
    let secret = credentials(None).secret_access_key;
    let verified = presented.verify(request, &secret, Some(&sha256_hex(body)), now)?;
    Ok((presented, verified.payload))
}

/// The signature that AWS's documents give for a GET to `example.amazonaws.com` (suite "vanilla").
#[test]
fn the_vanilla_request_has_its_known_signature() {
    let host = headers(&[("host", "example.amazonaws.com")]);
    let request = Request {
        method: "GET",
        path: "/",
        query: "",
        headers: &host,
    };
    let added = sign(
        &request,
        Payload::Bytes(b""),
        &credentials(None),
        "us-east-1",
        "service",
        NOW,
    );
    let (_, authorization) = added
        .iter()
        .find(|(name, _)| name == "authorization")
        .expect("signed");
    assert_eq!(
        authorization,
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, \
         SignedHeaders=host;x-amz-date, \
         Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"
    );
}

#[derive(Clone, Debug)]
struct Case {
    method: String,
    path: String,
    query: String,
    extra: Vec<(String, String)>,
    body: Vec<u8>,
    service: String,
    token: Option<String>,
}

fn case() -> impl Strategy<Value = Case> {
    (
        prop::sample::select(vec!["GET", "PUT", "POST", "DELETE"]),
        "(/[a-zA-Z0-9%:._~-]{0,8}){1,4}",
        prop::collection::vec(("[a-z]{1,5}", "[a-zA-Z0-9%./ +-]{0,6}"), 0..4),
        prop::collection::vec(("x-amz-meta-[a-c]", "[ a-zA-Z0-9]{0,12}"), 0..3),
        prop::collection::vec(any::<u8>(), 0..40),
        prop::sample::select(vec!["s3", "greengrass", "iot", "sts"]),
        prop::option::of("[A-Za-z0-9+/=]{4,30}"),
    )
        .prop_map(|(method, path, query, extra, body, service, token)| Case {
            method: method.to_owned(),
            path: path.replace('%', "%25"),
            query: query
                .iter()
                .map(|(name, value)| {
                    format!("{name}={}", value.replace('%', "%25").replace(' ', "%20"))
                })
                .collect::<Vec<_>>()
                .join("&"),
            extra,
            body,
            service: service.to_owned(),
            token,
        })
}

impl Case {
    fn signed_headers(&self) -> Vec<(String, String)> {
        let mut all = headers(&[("host", "localhost:8080"), ("user-agent", "test")]);
        all.extend(self.extra.clone());
        let added = sign(
            &self.request(&all),
            Payload::Bytes(&self.body),
            &credentials(self.token.as_deref()),
            "eu-west-1",
            &self.service,
            NOW,
        );
        all.extend(added);
        all
    }

    fn request<'a>(&'a self, headers: &'a [(String, String)]) -> Request<'a> {
        Request {
            method: &self.method,
            path: &self.path,
            query: &self.query,
            headers,
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn what_is_signed_verifies(case in case()) {
        let all = case.signed_headers();
        let (presented, payload) = verify(&case.request(&all), &case.body, NOW + 60)
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(presented.access_key_id, "AKIDEXAMPLE");
        prop_assert_eq!(presented.scope.region, "eu-west-1");
        prop_assert_eq!(presented.scope.service, case.service.clone());
        prop_assert_eq!(presented.session_token, case.token.clone());
        prop_assert_eq!(payload, PayloadKind::Hash(sha256_hex(&case.body)));
    }

    #[test]
    fn what_is_changed_does_not(case in case(), which in 0_usize..7) {
        let mut all = case.signed_headers();
        let mut changed = case.clone();
        match which {
            0 => changed.method = "PATCH".to_owned(),
            1 => changed.path.push_str("/more"),
            2 => changed.query.push_str("&zz=1"),
            3 => all.push(("x-amz-meta-zz".to_owned(), "1".to_owned())),
            4 => changed.body.push(0),
            5 => all.iter_mut().filter(|(name, _)| name == "host").for_each(|(_, value)| value.push('x')),
            _ => all.iter_mut().filter(|(name, _)| name == "x-amz-date").for_each(|(_, value)| *value = "20150830T123601Z".to_owned()),
        }
        prop_assert!(verify(&changed.request(&all), &changed.body, NOW).is_err());
    }

    #[test]
    fn presigned_urls_hold_until_they_expire(case in case()) {
        let host = headers(&[("host", "bucket.localhost")]);
        let query = presign(&case.request(&host), &credentials(case.token.as_deref()), "us-east-1", &case.service, 300, NOW);
        let mut signed = case.clone();
        signed.query = query;
        let (presented, _) = verify(&signed.request(&host), b"", NOW + 300)
            .map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(presented.form, Form::Query { expires_seconds: 300 });
        prop_assert_eq!(presented.session_token, case.token.clone());
        prop_assert_eq!(
            verify(&signed.request(&host), b"", NOW + 301).map(drop),
            Err(SignatureError::Expired("20150830T124100Z".to_owned()))
        );
        signed.query.push_str("&zz=1");
        prop_assert_eq!(verify(&signed.request(&host), b"", NOW).map(drop), Err(SignatureError::Mismatch));
    }

    #[test]
    fn any_text_is_refused_without_panic(authorization in ".{0,80}", query in ".{0,80}") {
        let all = headers(&[("authorization", &authorization), ("x-amz-date", "20150830T123600Z")]);
        let request = Request { method: "GET", path: "/", query: "", headers: &all };
        prop_assert!(verify(&request, b"", NOW).is_err());
        let query = format!("X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential={query}");
        let request = Request { method: "GET", path: "/", query: &query, headers: &[] };
        prop_assert!(verify(&request, b"", NOW).is_err());
    }
}

#[test]
fn each_refusal_has_its_code_in_each_dialect() {
    fn check(error: &SignatureError, json: &str, query: &str, s3: &str) {
        assert_eq!(error.wire(Dialect::Json).1, json);
        assert_eq!(error.wire(Dialect::Query).1, query);
        assert_eq!(error.wire(Dialect::S3).1, s3);
    }
    check(
        &SignatureError::UnknownKey("k".to_owned()),
        "UnrecognizedClientException",
        "InvalidClientTokenId",
        "InvalidAccessKeyId",
    );
    check(
        &SignatureError::Mismatch,
        "InvalidSignatureException",
        "SignatureDoesNotMatch",
        "SignatureDoesNotMatch",
    );
    check(
        &SignatureError::TokenExpired,
        "ExpiredTokenException",
        "ExpiredToken",
        "ExpiredToken",
    );
    check(
        &SignatureError::Missing,
        "MissingAuthenticationTokenException",
        "MissingAuthenticationToken",
        "AccessDenied",
    );
}

#[test]
fn time_and_headers_are_checked() {
    let case = Case {
        method: "PUT".to_owned(),
        path: "/b/k".to_owned(),
        query: String::new(),
        extra: Vec::new(),
        body: b"x".to_vec(),
        service: "s3".to_owned(),
        token: None,
    };
    let all = case.signed_headers();
    let request = case.request(&all);
    assert!(verify(&request, b"x", NOW + 900).is_ok());
    assert!(matches!(
        verify(&request, b"x", NOW + 901),
        Err(SignatureError::Skewed { .. })
    ));
    assert!(matches!(
        verify(&request, b"x", NOW - 901),
        Err(SignatureError::Skewed { .. })
    ));
    assert_eq!(
        verify(&request, b"y", NOW).map(drop),
        Err(SignatureError::ContentHash)
    );
    let mut more = all.clone();
    more.push(("x-amz-acl".to_owned(), "public-read".to_owned()));
    assert_eq!(
        verify(&case.request(&more), b"x", NOW).map(drop),
        Err(SignatureError::UnsignedHeader("x-amz-acl".to_owned()))
    );
    let presented = Presented::parse(&request).expect("signed");
    assert_eq!(
        presented.verify(&request, "other", None, NOW).map(drop),
        Err(SignatureError::Mismatch)
    );
}

/// Deterministic mutations of a signed request: whatever a stranger sends, nothing panics, and
/// nothing that reads differently passes.
#[test]
fn mutated_claims_never_panic_and_never_pass() {
    let iterations: u64 = std::env::var("SWARD_FUZZ_ITERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000);
    let host = headers(&[("host", "localhost")]);
    let plain = Request {
        method: "GET",
        path: "/things/a%3Ab",
        query: "maxResults=1",
        headers: &host,
    };
    let token = credentials(Some("a+b/c="));
    let mut signed = host.clone();
    signed.extend(sign(
        &plain,
        Payload::Bytes(b""),
        &token,
        "us-east-1",
        "iot",
        NOW,
    ));
    let query = presign(&plain, &token, "us-east-1", "s3", 60, NOW);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = move || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    let mut mutate = |text: &str| {
        let mut characters: Vec<char> = text.chars().collect();
        for _ in 0..=next() % 3 {
            let position = (next() % characters.len() as u64) as usize;
            let other = "=,;/&%2A ZaTé"
                .chars()
                .nth((next() % 13) as usize)
                .expect("13 characters");
            match next() % 3 {
                0 => characters[position] = other,
                1 => characters.insert(position, other),
                _ if characters.len() > 1 => drop(characters.remove(position)),
                _ => {}
            }
        }
        characters.into_iter().collect::<String>()
    };
    let original = Presented::parse(&Request {
        headers: &signed,
        ..plain
    })
    .expect("signed");
    for round in 0..iterations {
        if round % 2 == 0 {
            let mut all = signed.clone();
            let (_, value) = all.last_mut().expect("the authorization");
            *value = mutate(value);
            let request = Request {
                headers: &all,
                ..plain
            };
            if let Ok((presented, _)) = verify(&request, b"", NOW) {
                // Only blanks and letter case of header names may differ.
                assert_eq!(presented.signature, original.signature);
                assert_eq!(presented.scope, original.scope);
            }
        } else {
            let mutated = mutate(&query);
            let request = Request {
                query: &mutated,
                ..plain
            };
            if verify(&request, b"", NOW).is_ok() {
                let sort = |text: &str| {
                    let mut pairs = Request {
                        query: text,
                        ..plain
                    }
                    .query_pairs();
                    pairs.sort();
                    pairs
                };
                assert_eq!(sort(&mutated), sort(&query));
            }
        }
    }
}
