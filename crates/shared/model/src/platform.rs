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
