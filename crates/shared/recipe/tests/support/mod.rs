//! Golden vectors and the corpus beside the checkout.

#![allow(dead_code, reason = "each test crate uses its part")]
#![allow(clippy::print_stderr, reason = "a test that passes over says so")]

use serde_json::Value;
use std::path::PathBuf;
use sward_model::PlatformAttributes;

fn shared(path: &str) -> PathBuf {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../../shared");
    PathBuf::from(root).join(path)
}

/// A file beside the checkout; `None`, said so, where it is absent.
pub(crate) fn file(path: &str) -> Option<Vec<u8>> {
    let path = shared(path);
    let bytes = std::fs::read(&path).ok();
    if bytes.is_none() {
        eprintln!("test data absent: {}", path.display());
    }
    bytes
}

/// The lines of a golden file.
pub(crate) fn golden(name: &str) -> Vec<Value> {
    let bytes = file(&format!("golden/{name}")).unwrap_or_default();
    let text = String::from_utf8(bytes).expect("UTF-8");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a JSON line"))
        .collect()
}

/// The devices that golden answers speak of, by name.
pub(crate) fn recipe_devices() -> Vec<(&'static str, PlatformAttributes)> {
    let device = |pairs: &[(&str, &str)]| pairs.iter().copied().collect();
    let linux = ("os", "linux");
    let amd64 = ("architecture", "amd64");
    vec![
        ("linux/amd64", device(&[linux, amd64])),
        (
            "linux/arm/armv7l",
            device(&[
                linux,
                ("architecture", "arm"),
                ("architecture.detail", "armv7l"),
            ]),
        ),
        ("windows/amd64", device(&[("os", "windows"), amd64])),
        (
            "linux/amd64 runtime",
            device(&[linux, amd64, ("runtime", "aws_nucleus_classic")]),
        ),
    ]
}

pub(crate) fn attributes(value: &Value) -> PlatformAttributes {
    let map = value.as_object().expect("a map of attributes");
    map.iter()
        .map(|(key, value)| (key.as_str(), value.as_str().expect("a text")))
        .collect()
}

/// How often a mutation test runs; `SWARD_FUZZ_ITERATIONS` raises it to millions.
pub(crate) fn fuzz_iterations(normally: u64) -> u64 {
    std::env::var("SWARD_FUZZ_ITERATIONS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(normally)
}

/// A small generator of the same numbers in every run.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound.max(1)
    }
}
