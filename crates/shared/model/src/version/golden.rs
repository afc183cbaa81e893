//! The answers of the nucleus's own classes, beside the checkout.

use super::semver::{Form, Semver};
use super::{ComponentVersion, VersionRequirement};
use proptest::prelude::*;
use serde_json::Value;
use std::cmp::Ordering;
use sward_diagnosis::Diagnose;

/// The lines of a golden file, or nothing (said so) where the files are absent.
fn golden(name: &str) -> Vec<Value> {
    let path = format!(
        "{}/../../../../shared/golden/{name}",
        env!("CARGO_MANIFEST_DIR")
    );
    match std::fs::read_to_string(&path) {
        Ok(text) => text
            .lines()
            .map(|line| serde_json::from_str(line).expect("a JSON line"))
            .collect(),
        Err(_) => {
            #[expect(clippy::print_stderr, reason = "a test that passes over says so")]
            {
                eprintln!("golden vectors absent: {path}");
            }
            Vec::new()
        }
    }
}

fn text<'a>(case: &'a Value, key: &str) -> &'a str {
    case[key].as_str().expect("a text")
}

fn texts(value: &Value) -> Vec<&str> {
    let list = value.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(Value::as_str).collect()
}

/// Java takes every digit of Unicode; we take the ten of ASCII (docs/compatibility.d/recipe.md).
fn has_foreign_digit(text: &str) -> bool {
    text.chars().any(|c| !c.is_ascii() && c.is_numeric())
}

#[test]
fn versions_are_read_as_the_nucleus_reads_them() {
    for case in golden("versions.jsonl") {
        let given = text(&case, "version");
        if has_foreign_digit(given) {
            assert!(given.parse::<ComponentVersion>().is_err(), "{given}");
            continue;
        }
        match Semver::parse(given, Form::Strict) {
            Err(reason) => assert_eq!(case["ok"], false, "{given:?}: {reason}"),
            Ok(version) => {
                assert_eq!(case["ok"], true, "{given:?}");
                assert_eq!(version.text, text(&case, "value"));
                assert_eq!(version.major, case["major"]);
                assert_eq!(version.minor, case["minor"].as_u64().map(|n| n as u32));
                assert_eq!(version.patch, case["patch"].as_u64().map(|n| n as u32));
                assert_eq!(version.suffix, texts(&case["suffix"]), "{given:?}");
                assert_eq!(version.build.as_deref(), case["build"].as_str());
            }
        }
        let answer = match given.parse::<ComponentVersion>() {
            Ok(version) => {
                assert_eq!(version.to_string(), text(&case, "value"));
                "ok"
            }
            Err(error) if case["ok"] == false => {
                assert!(!error.reason.is_empty());
                continue;
            }
            Err(error) => match error.reason {
                "it has more than 64 characters" => "too-long",
                "a number is larger than 999999" => "number-too-big",
                // Ours: such a version would name a folder outside its own.
                "slashes and control characters are not allowed" => {
                    assert!(given.contains(['/', '\\']), "{given:?}");
                    continue;
                }
                other => other,
            },
        };
        assert_eq!(answer, text(&case, "recipe"), "{given:?}");
    }
}

#[test]
fn requirements_are_read_and_satisfied_as_in_the_nucleus() {
    let Some(order) = golden("version_order.json").into_iter().next() else {
        return;
    };
    let candidates: Vec<Semver> = texts(&order["candidates"])
        .into_iter()
        .map(|text| Semver::parse(text, Form::Strict).expect("a version"))
        .collect();
    for case in golden("version_requirements.jsonl") {
        let given = text(&case, "requirement");
        if has_foreign_digit(given) {
            assert!(given.parse::<VersionRequirement>().is_err(), "{given}");
            continue;
        }
        let requirement = match given.parse::<VersionRequirement>() {
            Err(error) => {
                assert!(case["error"].is_string(), "{given:?}: {error}");
                continue;
            }
            Ok(requirement) => requirement,
        };
        assert!(!case["error"].is_string(), "{given:?} gave {requirement}");
        check(&requirement, &case, &candidates);
    }
    for case in golden("version_merges.jsonl") {
        let members: Vec<VersionRequirement> = texts(&case["members"])
            .into_iter()
            .map(|text| text.parse().expect("a requirement"))
            .collect();
        let merged = VersionRequirement::all_of(&members).expect("a merge");
        check(&merged, &case, &candidates);
    }
}

fn check(requirement: &VersionRequirement, case: &Value, candidates: &[Semver]) {
    assert_eq!(requirement.as_str(), text(case, "normalized"), "{case}");
    let satisfied: Vec<&str> = candidates
        .iter()
        .filter(|version| requirement.admits(version))
        .map(|version| version.text.as_str())
        .collect();
    assert_eq!(satisfied, texts(&case["satisfied"]), "{requirement}");
    let again: VersionRequirement = requirement.as_str().parse().expect("it reparses");
    assert_eq!(&again, requirement);
}

#[test]
fn the_order_is_the_nucleus_s() {
    let Some(order) = golden("version_order.json").into_iter().next() else {
        return;
    };
    let groups: Vec<Vec<Semver>> = order["ascending"]
        .as_array()
        .expect("groups")
        .iter()
        .map(|group| {
            let parse = |text| Semver::parse(text, Form::Strict).expect("a version");
            texts(group).into_iter().map(parse).collect()
        })
        .collect();
    for (index, group) in groups.iter().enumerate() {
        for version in group {
            for (other_index, other_group) in groups.iter().enumerate() {
                for other in other_group {
                    let expected = index.cmp(&other_index);
                    assert_eq!(version.precedence(other), expected, "{version:?} {other:?}");
                    let greater = expected == Ordering::Greater;
                    assert_eq!(
                        version.is_greater_than(other),
                        greater,
                        "{version:?} {other:?}"
                    );
                }
            }
        }
    }
}

/// Texts near the grammar: pieces of versions and operators in any order.
fn near_requirement() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "1",
        "0",
        "2",
        ".",
        "x",
        "*",
        "-",
        "+",
        "rc",
        "a",
        " ",
        "||",
        "|",
        "^",
        "~",
        ">",
        "<",
        "=",
        "(",
        ")",
        "1.2.3",
        "latest",
        "v",
        "999999",
        "2147483647",
        "é",
        "\t",
    ]);
    prop::collection::vec(piece, 0..14).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn what_is_read_is_read_again_the_same(text in near_requirement(), version in "[0-3]\\.[0-3]\\.[0-3](-[a-c1-3]{1,2})?") {
        let version: ComponentVersion = version.parse().expect("a version");
        if let Ok(requirement) = text.parse::<VersionRequirement>()
            && let Ok(again) = requirement.as_str().parse::<VersionRequirement>()
        {
            prop_assert_eq!(&again, &requirement);
            prop_assert_eq!(again.is_satisfied_by(&version), requirement.is_satisfied_by(&version));
        }
    }

    #[test]
    fn versions_near_the_grammar_keep_their_text(text in near_requirement()) {
        if let Ok(version) = text.parse::<ComponentVersion>() {
            prop_assert_eq!(&version.to_string().parse::<ComponentVersion>().expect("again"), &version);
            prop_assert!(VersionRequirement::exactly(&version).is_satisfied_by(&version));
        }
    }

    #[test]
    fn the_order_is_total(texts in prop::collection::vec("[01]\\.0\\.0(-[a-bA-B0-2.-]{1,3})?(\\+[ab])?", 3)) {
        let versions: Vec<ComponentVersion> = texts.iter().filter_map(|text| text.parse().ok()).collect();
        let [a, b, c] = &versions[..] else { return Ok(()); };
        prop_assert_eq!(a.cmp(b), b.cmp(a).reverse());
        prop_assert_eq!(a.cmp(b) == Ordering::Equal, a == b);
        if a <= b && b <= c {
            prop_assert!(a <= c);
        }
    }
}

const SEEDS: &[&str] = &[
    "^1.0.0 || ~2.1 <2.1.9",
    "1.0.0-rc.1 - 2",
    "(>=1.0.0 <2.0.0) || 3.x",
    "1.0.0-alpha.1+b7",
    "1.0.0-alpha.10",
    "^0.2.3 >=0.2.4",
    "^0.0.3 || ^0 || ^0.0 || =1.0.0 || <=2.1",
    "1.0.0 - 2.1",
    "1.2.3+build",
    ">1.0.0-alpha.1 <1.0.0",
];

#[test]
fn mutated_requirements_do_not_panic() {
    let iterations: u64 = std::env::var("SWARD_FUZZ_ITERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000);
    let mut known: Vec<ComponentVersion> =
        ["1.0.0", "2.1.3", "1.0.0-rc.1", "0.2.4", "1.0.0-alpha.1+b7"]
            .map(|text| text.parse().expect("a version"))
            .to_vec();
    known.resize(SEEDS.len(), known[0].clone());
    let mut met = 0;
    let alphabet: Vec<char> = "0129.x*-+|^~<>=()≤≥vV latest\u{0}é٣".chars().collect();
    let mut state = 0x5EED_u64;
    let mut next = move |bound: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % bound.max(1)
    };
    for _ in 0..iterations {
        let mut text: Vec<char> = SEEDS[next(SEEDS.len())].chars().collect();
        for _ in 0..=next(5) {
            let at = next(text.len() + 1);
            match next(3) {
                0 => text.insert(at, alphabet[next(alphabet.len())]),
                1 if at < text.len() => text[at] = alphabet[next(alphabet.len())],
                _ if at < text.len() => drop(text.remove(at)),
                _ => {}
            }
        }
        let text: String = text.into_iter().collect();
        match text.parse::<VersionRequirement>() {
            Err(error) => assert!(!error.reason.is_empty() && !error.report().chain().is_empty()),
            Ok(requirement) => {
                check_requirement(&requirement, &known);
                met += known
                    .iter()
                    .filter(|one| requirement.is_satisfied_by(one))
                    .count();
            }
        }
        match text.parse::<ComponentVersion>() {
            Err(error) => assert!(!error.reason.is_empty() && !error.report().chain().is_empty()),
            Ok(version) => {
                check_version(&version);
                known[next(SEEDS.len())] = version;
            }
        }
    }
    assert!(met > 1_000, "{met}");
}

fn check_requirement(requirement: &VersionRequirement, known: &[ComponentVersion]) {
    assert!(!requirement.as_str().is_empty());
    let both = VersionRequirement::all_of([requirement, &VersionRequirement::any()]);
    match both {
        // What the nucleus normalises to a text that it cannot read again has a hyphen in it.
        Err(_) => assert!(requirement.as_str().contains('-'), "{requirement}"),
        Ok(both) => {
            let narrower = |version: &ComponentVersion| {
                !both.is_satisfied_by(version) || requirement.is_satisfied_by(version)
            };
            assert!(requirement.as_str().contains('-') || known.iter().all(narrower));
        }
    }
}

fn check_version(version: &ComponentVersion) {
    let again: ComponentVersion = version.as_str().parse().expect("it was read once");
    assert_eq!(again.cmp(version), Ordering::Equal);
    let exactly = VersionRequirement::exactly(version);
    assert!(exactly.is_satisfied_by(version), "{version}");
    let json = serde_json::to_string(version).expect("a text");
    assert_eq!(
        serde_json::from_str::<ComponentVersion>(&json).expect("again"),
        again
    );
    let next = if version.is_pre_release() {
        let [major, minor, patch] = version.numbers();
        format!("{major}.{minor}.{patch}")
    } else {
        "1000000.0.0".to_owned()
    };
    let next = Semver::parse(&next, Form::Strict).expect("three numbers");
    assert_eq!(version.0.precedence(&next), Ordering::Less, "{version}");
}
