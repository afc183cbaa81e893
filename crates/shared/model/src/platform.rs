//! What a device says of itself, for manifests to match.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Platform attributes of a device: `os`, `architecture`, perhaps `architecture.detail`,
/// `runtime`, and keys of the user's own (core-device §1.6).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PlatformAttributes(pub BTreeMap<String, String>);

impl PlatformAttributes {
    /// The value of one attribute.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// The attributes of a machine, from the names that its system gives: `os` as Rust spells it
    /// (`linux`, `windows`, `macos`), `machine` as `uname -m` does (`x86_64`, `aarch64`, `armv7l`).
    #[must_use]
    pub fn of_machine(os: &str, machine: &str) -> Self {
        let os = match os {
            "linux" | "windows" => os,
            "macos" | "darwin" => "darwin",
            _ => "unknown",
        };
        let architecture = match machine {
            "x86_64" | "amd64" => "amd64",
            "i386" | "i486" | "i586" | "i686" | "x86" => "x86",
            "aarch64" | "arm64" | "armv8l" | "armv8b" => "aarch64",
            arm if arm.contains("arm") => "arm",
            _ => "unknown",
        };
        let mut attributes: Self = [("os", os), ("architecture", architecture)]
            .into_iter()
            .collect();
        let details = ["armv6l", "armv7l", "armv8l", "armv6b", "armv7b", "armv8b"];
        if details.contains(&machine) {
            let detail = ("architecture.detail".to_owned(), machine.to_owned());
            attributes.0.extend([detail]);
        }
        attributes
    }

    /// The same with the texts of `platformOverride` in place of attributes and beside them;
    /// values of other kinds are ignored.
    #[must_use]
    pub fn overridden_by(mut self, platform_override: &serde_json::Value) -> Self {
        for (key, value) in platform_override.as_object().into_iter().flatten() {
            if let Some(text) = value.as_str() {
                self.0.insert(key.clone(), text.to_owned());
            }
        }
        self
    }
}

impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for PlatformAttributes {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        PlatformAttributes(
            pairs
                .into_iter()
                .map(|(key, value)| (key.into(), value.into()))
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn machines_are_named_as_the_nucleus_names_them() {
        let check = |os, machine, expected: &[(&str, &str)]| {
            let expected: PlatformAttributes = expected.iter().copied().collect();
            assert_eq!(PlatformAttributes::of_machine(os, machine), expected);
        };
        check(
            "linux",
            "x86_64",
            &[("os", "linux"), ("architecture", "amd64")],
        );
        check(
            "linux",
            "aarch64",
            &[("os", "linux"), ("architecture", "aarch64")],
        );
        check(
            "linux",
            "armv7l",
            &[
                ("os", "linux"),
                ("architecture", "arm"),
                ("architecture.detail", "armv7l"),
            ],
        );
        check(
            "macos",
            "arm64",
            &[("os", "darwin"), ("architecture", "aarch64")],
        );
        check(
            "plan9",
            "riscv64",
            &[("os", "unknown"), ("architecture", "unknown")],
        );
    }

    #[test]
    fn an_override_replaces_and_adds_texts_only() {
        let attributes = PlatformAttributes::of_machine("linux", "x86_64")
            .overridden_by(&json!({"os": "customOs", "num": 5, "board": "x"}));
        assert_eq!(attributes.get("os"), Some("customOs"));
        assert_eq!(attributes.get("board"), Some("x"));
        assert_eq!(attributes.get("num"), None);
    }
}
