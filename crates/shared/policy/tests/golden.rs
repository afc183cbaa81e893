//! The golden vectors of the Java nucleus, read from beside the checkout.

use serde_json::Value;
use std::collections::BTreeSet;
use sward_policy::access_control::{AccessControl, Matching, Refusal, ResourcePattern};
use sward_policy::topic::{self, LocalFilter, MqttVersion};

#[expect(clippy::print_stderr, reason = "says aloud what is not tested")]
/// The lines of a vector file; `None`, said aloud, where the vectors are not there.
fn cases(name: &str) -> Option<Vec<Value>> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared/golden");
    let path = format!("{path}/{name}");
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("passed over: {path} is not there");
        return None;
    };
    let parse = |line| serde_json::from_str(line).expect("vectors are JSON lines");
    Some(text.lines().map(parse).collect())
}

fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}

/// docs/compatibility.d/policy.md: an escaped star before a star is a star and anything.
const ESCAPED_STAR_BEFORE_STAR: &str = "${*}*";

#[test]
fn authorization_resources() {
    let Some(cases) = cases("authorization_resources.jsonl") else {
        return;
    };
    let mut answers = 0;
    for case in &cases {
        let resources = texts(&case["resources"]);
        if resources
            .iter()
            .any(|r| r.contains(ESCAPED_STAR_BEFORE_STAR))
        {
            continue;
        }
        let invalid: BTreeSet<_> = texts(&case["invalid"]).into_iter().collect();
        for (mode, matching) in [("standard", Matching::Standard), ("mqtt", Matching::Mqtt)] {
            let compile = |r: &&str| ResourcePattern::compile(r, matching);
            let patterns: Vec<_> = resources.iter().filter_map(compile).collect();
            let refused: BTreeSet<_> = resources
                .iter()
                .filter(|r| compile(r).is_none())
                .copied()
                .collect();
            assert_eq!(refused, invalid, "{resources:?}");
            let allowed: BTreeSet<_> = texts(&case[mode]).into_iter().collect();
            for request in texts(&case["requests"]) {
                let fits = patterns.iter().any(|p| p.matches(request));
                let expected = allowed.contains(request);
                assert_eq!(fits, expected, "{mode}: {resources:?} on {request:?}");
                answers += 1;
            }
        }
    }
    assert!(answers > 19_000, "{answers}");
}

#[test]
fn authorization_policies() {
    let Some(cases) = cases("authorization_policies.jsonl") else {
        return;
    };
    for case in &cases {
        let mut access = AccessControl::new();
        let mut problems = Vec::new();
        for (name, component) in case["components"].as_object().expect("a map") {
            problems.extend(access.load(name, &component["configuration"]));
        }
        if case["load"] == "crash" {
            assert!(!problems.is_empty(), "{}", case["name"]);
            continue;
        }
        for query in case["queries"].as_array().expect("a list") {
            let text = |key: &str| query[key].as_str().unwrap_or_default();
            let answer = access.authorize(
                text("principal"),
                text("service"),
                text("operation"),
                query["resource"].as_str(),
            );
            let result = match answer {
                Ok(()) => "allowed",
                Err(Refusal::Denied { .. }) => "denied",
                Err(Refusal::UnknownService { .. }) => "unknown-service",
                Err(Refusal::UnknownOperation { .. }) => "unknown-operation",
                Err(Refusal::EmptyResource) => "empty-resource",
                Err(Refusal::InvalidArguments) => "invalid-arguments",
            };
            assert_eq!(
                result,
                text("result"),
                "{}: {query} {problems:?}",
                case["name"]
            );
        }
    }
}

#[test]
fn topic_filters() {
    let (Some(cases), Some(topics)) = (
        cases("topic_filters.jsonl"),
        cases("topic_filters_topics.json"),
    ) else {
        return;
    };
    for case in &cases {
        let filter = case["filter"].as_str().expect("a text");
        let local: BTreeSet<_> = texts(&case["localMatches"]).into_iter().collect();
        let routed: BTreeSet<_> = texts(&case["iotCoreMatches"]).into_iter().collect();
        for topic in texts(&topics[0]) {
            let expected = local.contains(topic);
            assert_eq!(
                topic::local_matches(filter, topic),
                expected,
                "{filter:?} {topic:?}"
            );
            let expected = routed.contains(topic);
            assert_eq!(
                topic::iot_core_matches(filter, topic),
                expected,
                "{filter:?} {topic:?}"
            );
        }
        assert_eq!(topic::has_wildcard(filter), case["wildcard"], "{filter:?}");
    }
}

#[test]
fn topic_validity() {
    let Some(cases) = cases("topic_validity.jsonl") else {
        return;
    };
    for case in &cases {
        let text = case["topic"].as_str().expect("a text");
        for (key, answer) in [
            ("localPublish", topic::check_local_publish(text)),
            ("localSubscribe", LocalFilter::parse(text).map(|_| ())),
            (
                "iotCorePublish3",
                topic::check_iot_core_publish(text, MqttVersion::V3),
            ),
            (
                "iotCorePublish5",
                topic::check_iot_core_publish(text, MqttVersion::V5),
            ),
            (
                "iotCoreSubscribe3",
                topic::check_iot_core_subscribe(text, MqttVersion::V3),
            ),
            (
                "iotCoreSubscribe5",
                topic::check_iot_core_subscribe(text, MqttVersion::V5),
            ),
        ] {
            let answer = answer.err().map_or("ok", topic::Invalid::as_str);
            // A crash there is an error here.
            let expected = match case[key].as_str() {
                Some("crash") => "no-levels",
                other => other.expect("a text"),
            };
            assert_eq!(answer, expected, "{key} of {text:?}");
        }
    }
}
