//! Mutated requests: an answer, and a slot that keeps the promises, never worse.
//!
//! `SWARD_FUZZ_ITERATIONS` raises the number of inputs.

use serde_json::{Value, json};
use sward_shadow::{Limits, Operation, Section, Slot, handle};

struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % below.max(1) as u64) as usize
    }
}

fn leaf(random: &mut Random) -> Value {
    match random.next(9) {
        0 => Value::Null,
        1 => json!(random.next(3)),
        2 => json!(-1.5),
        3 => json!([1, {"a": null}]),
        4 => json!({}),
        5 => json!({"a": {"b": {"c": null}}}),
        6 => json!("x".repeat(random.next(9_000))),
        7 => json!({"timestamp": 5}),
        _ => json!("t"),
    }
}

const KEYS: &[&str] = &[
    "a",
    "b",
    "desired",
    "reported",
    "state",
    "version",
    "clientToken",
    "timestamp",
];

fn mutate(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(members) if random.next(4) != 0 => {
            let key = KEYS[random.next(KEYS.len())];
            match (random.next(5), members.get_mut(key)) {
                (0, Some(_)) => {
                    members.shift_remove(key);
                }
                (1..=3, Some(inner)) => mutate(inner, random),
                _ => {
                    members.insert(key.into(), leaf(random));
                }
            }
        }
        Value::Array(items) if !items.is_empty() && random.next(2) == 0 => {
            let index = random.next(items.len());
            mutate(&mut items[index], random);
        }
        other => *other = leaf(random),
    }
}

/// No null in the state.
fn is_clean(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Object(members) => members.values().all(is_clean),
        // A list is taken whole, nulls included.
        _ => true,
    }
}

#[test]
fn mutated_requests_are_answered() {
    let asked = std::env::var("SWARD_FUZZ_ITERATIONS").ok();
    let iterations = asked.and_then(|text| text.parse().ok()).unwrap_or(20_000);
    let mut random = Random(0x5eed_0004);
    let mut slot: Option<Slot> = None;
    let mut accepted = 0;
    for now in 0..iterations {
        let mut request = json!({"state": {"desired": {"a": 1, "b": {"a": 2}}, "reported": {"a": 1}}, "clientToken": "t"});
        for _ in 0..=random.next(5) {
            mutate(&mut request, &mut random);
        }
        let mut payload = request.to_string().into_bytes();
        if random.next(20) == 0 && !payload.is_empty() {
            let at = random.next(payload.len());
            payload[at] = random.next(256) as u8;
        }
        let operation = match random.next(20) {
            0 => Operation::Delete,
            1 | 2 => Operation::Get,
            _ => Operation::Update,
        };
        let outcome = handle(operation, slot.as_ref(), "s", &payload, now, &Limits::CLOUD);
        assert_eq!(
            outcome.rejection.is_some(),
            outcome.answer()["code"].is_number()
        );
        if let Some(next) = outcome.slot {
            accepted += 1;
            let version = |slot: &Slot| match slot {
                Slot::Present(shadow) => shadow.version,
                Slot::Deleted { version, .. } => *version,
            };
            let before = slot.as_ref().map_or(0, &version);
            assert_eq!(version(&next), before + 1);
            if let Slot::Present(shadow) = &next {
                assert!(shadow.size() <= Limits::CLOUD.max_document);
                for section in [Section::Desired, Section::Reported] {
                    let members = shadow.section(section).cloned().unwrap_or_default();
                    assert!(is_clean(&Value::Object(members)));
                }
            }
            slot = Some(next);
        }
    }
    assert!(
        accepted > iterations / 10,
        "{accepted} requests were accepted"
    );
}
