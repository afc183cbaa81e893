//! Mutated documents: a value or an error, never worse, and never more rights than were written.
//!
//! Mutations work on the JSON tree, so that they get past the parser of JSON, and on its text.
//! `SWARD_FUZZ_ITERATIONS` raises the number of inputs.

use serde_json::{Value, json};
use sward_policy::access_control::{AccessControl, Matching, ResourcePattern};
use sward_policy::iot::{Attached, Context, Policy, PolicySet};
use sward_policy::{iam, topic};

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }

    fn pick<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.next(list.len())]
    }
}

fn iterations() -> usize {
    let asked = std::env::var("SWARD_FUZZ_ITERATIONS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(20_000)
}

const TEXTS: &[&str] = &[
    "",
    "*",
    "?",
    "${*}",
    "${",
    "${}",
    "${iot:ClientId}",
    "${iot:Connection.Thing.ThingName}",
    "a/#",
    "#",
    "+",
    "a/+/b",
    "iot:*",
    "iot:Publish",
    "arn:aws:iot:*:*:topic/*",
    "Allow",
    "Deny",
    "2012-10-17",
    "é🙂",
    "Condition",
    "StringLike",
    "Null",
    "true",
    "2026-01-01T00:00:00Z",
    "10.0.0.0/8",
    "::/129",
    "-1",
    "1e309",
];

fn leaf(random: &mut Random) -> Value {
    match random.next(8) {
        0 => Value::Null,
        1 => json!(random.next(300)),
        2 => json!(true),
        3 => json!([]),
        4 => json!({}),
        _ => json!(random.pick(TEXTS)),
    }
}

/// Changes one place of the tree.
fn mutate(value: &mut Value, random: &mut Random) {
    let deeper = random.next(10) != 0;
    match value {
        Value::Object(members) if deeper && !members.is_empty() => {
            let index = random.next(members.len());
            let key = members.keys().nth(index).cloned().unwrap_or_default();
            match random.next(8) {
                0 => {
                    members.shift_remove(&key);
                }
                1 => {
                    let moved = members.shift_remove(&key).unwrap_or_default();
                    members.insert(random.pick(TEXTS).to_owned(), moved);
                }
                2 => {
                    let key = format!("Not{key}");
                    members.insert(key, leaf(random));
                }
                _ => mutate(members.get_mut(&key).expect("just found"), random),
            }
        }
        Value::Array(items) if deeper && !items.is_empty() => {
            let index = random.next(items.len());
            match random.next(6) {
                0 => {
                    items.remove(index);
                }
                1 => items.push(leaf(random)),
                2 => items.push(items[index].clone()),
                _ => mutate(&mut items[index], random),
            }
        }
        Value::String(text) if deeper => {
            let mut characters: Vec<char> = text.chars().collect();
            let at = random.next(characters.len() + 1);
            for character in random.pick(TEXTS).chars() {
                characters.insert(at.min(characters.len()), character);
            }
            *text = characters.into_iter().collect();
        }
        other => *other = leaf(random),
    }
}

fn mutated(seeds: &[Value], random: &mut Random) -> String {
    let mut value = seeds[random.next(seeds.len())].clone();
    for _ in 0..=random.next(3) {
        mutate(&mut value, random);
    }
    let mut text = value.to_string();
    if random.next(10) == 0 {
        let mut bytes = text.into_bytes();
        let at = random.next(bytes.len());
        bytes[at] = random.next(256) as u8;
        text = String::from_utf8_lossy(&bytes).into_owned();
    }
    text
}

fn documents() -> Vec<Value> {
    vec![
        json!({"Version": "2012-10-17", "Statement": [
            {"Sid": "S", "Effect": "Allow", "Action": ["iot:Publish", "iot:Sub*"],
             "Resource": ["arn:aws:iot:*:*:topic/${iot:ClientId}/*", "*"]},
            {"Effect": "Deny", "NotAction": "iot:Connect", "NotResource": "arn:aws:iot:*:*:topic/x",
             "Condition": {"StringLike": {"iot:Connection.Thing.Attributes[a]": ["x*"]},
                           "ForAllValues:StringEquals": {"aws:SourceIp": "10.0.0.1"},
                           "DateLessThanIfExists": {"aws:CurrentTime": "2030-01-01T00:00:00Z"},
                           "IpAddress": {"aws:SourceIp": ["10.0.0.0/8", "::/0"]},
                           "Null": {"x": "true"}, "NumericLessThan": {"n": 5}}}]}),
        json!({"Version": "2008-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}),
        json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"Service": ["credentials.iot.amazonaws.com"], "AWS": "123456789012"}}]}),
    ]
}

#[test]
fn mutated_documents_are_read_or_refused() {
    let mut random = Random(0x5eed_0001);
    let seeds = documents();
    let context = Context {
        client_id: Some("core1".into()),
        source_ip: Some("10.0.0.1".into()),
        now_ms: Some(1),
        ..Context::default()
    };
    let principal = iam::Principal::Service("credentials.iot.amazonaws.com".into());
    let mut read = 0;
    for _ in 0..iterations() {
        let text = mutated(&seeds, &mut random);
        if let Ok(policy) = Policy::parse(&text) {
            read += 1;
            let set = PolicySet::compile([Attached::to_certificate("P", policy)]);
            let bound = set.bind(&context);
            for action in ["iot:Publish", "greengrass:Discover"] {
                let resource = "arn:aws:iot:us-east-1:1:topic/core1/é";
                let fast = bound.allows(action, resource);
                assert_eq!(fast, bound.decide(action, resource).is_allowed(), "{text}");
                let (head, tail) = resource.split_at(29);
                assert_eq!(fast, bound.allows_in(action, head, tail), "{text}");
            }
            if !text.contains("Allow") {
                assert!(!bound.allows("iot:Publish", "x"), "{text}");
            }
        }
        if let Ok(policy) = iam::ResourcePolicy::parse(&text) {
            read += 1;
            std::hint::black_box(policy.evaluate(
                &principal,
                "sts:AssumeRole",
                "arn:x",
                &iam::Context::default(),
            ));
        }
        if let Ok(policy) = iam::Policy::parse(&text) {
            let set = iam::PolicySet::compile([("p", policy)]);
            std::hint::black_box(set.evaluate(
                "s3:GetObject",
                "arn:x",
                &iam::Context::default().with("n", "5"),
            ));
        }
    }
    assert!(read > iterations() / 20, "{read} documents were read");
}

#[test]
fn mutated_access_control_is_read_or_refused() {
    let mut random = Random(0x5eed_0002);
    let policy = json!({"policyDescription": "d", "operations": ["aws.greengrass#PublishToTopic", "*"],
        "resources": ["a/b*c", "${*}x", "#"]});
    let seeds = [json!({"accessControl": {
        "aws.greengrass.ipc.pubsub": {"A:1": policy}, "aws.greengrass.ipc.mqttproxy": {"A:2": policy}}})];
    let mut allowed = 0;
    for _ in 0..iterations() {
        let text = mutated(&seeds, &mut random);
        let Ok(value) = serde_json::from_str::<Value>(&text) else {
            continue;
        };
        let mut access = AccessControl::new();
        access.load("com.A", &value);
        for service in ["aws.greengrass.ipc.pubsub", "aws.greengrass.ipc.mqttproxy"] {
            let answer = access.authorize("com.A", service, "*", Some("a/bé/c"));
            allowed += usize::from(answer.is_ok());
            assert!(
                access
                    .authorize("com.B", service, "*", Some("a/b"))
                    .is_err()
            );
        }
        access.remove("com.A");
        assert!(
            access
                .authorize("com.A", "aws.greengrass.ipc.pubsub", "*", None)
                .is_err()
        );
    }
    assert!(allowed > 0);
}

#[test]
fn mutated_patterns_and_topics_end() {
    let mut random = Random(0x5eed_0003);
    for _ in 0..iterations() {
        let mut text = String::new();
        for _ in 0..random.next(12) {
            text.push_str(random.pick(&[
                "a", "b", "/", "*", "+", "#", "?", "${*}", "é", "$aws", "$share/", "**",
            ]));
        }
        let mut other = String::new();
        for _ in 0..random.next(12) {
            other.push_str(random.pick(&["a", "b", "/", "*", "é", "aa"]));
        }
        for matching in [Matching::Standard, Matching::Mqtt] {
            if let Some(pattern) = ResourcePattern::compile(&text, matching) {
                std::hint::black_box(pattern.matches(&other));
            }
        }
        // MQTT's rule and the local one agree where their known differences do not come in.
        let is_plain = !other.is_empty()
            && !other.contains("//")
            && !other.starts_with('/')
            && !other.ends_with('/')
            && !text.contains("//")
            && !text.starts_with('/')
            && !text.ends_with('/');
        let parent = text
            .strip_suffix("/#")
            .map(|p| topic::mqtt_matches(p, &other));
        if topic::is_valid_filter(&text)
            && is_plain
            && parent != Some(true)
            && !other.starts_with('$')
        {
            let local = topic::local_matches(&text, &other);
            assert_eq!(topic::mqtt_matches(&text, &other), local, "{text} {other}");
        }
        std::hint::black_box(topic::iot_core_matches(&text, &other));
        topic::check_local_publish(&text).ok();
        topic::check_iot_core_subscribe(&text, topic::MqttVersion::V5).ok();
    }
}
