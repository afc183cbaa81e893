//! What is stored for one shadow.

use crate::merge::{delta, delta_metadata, merge_metadata, merge_state};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How long AWS remembers the version of a deleted shadow, in seconds.
pub(crate) const REMEMBERED_SECONDS: u64 = 48 * 60 * 60;

/// The two halves of a shadow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// What the applications want.
    Desired,
    /// What the device says.
    Reported,
}

impl Section {
    /// Its member name in documents.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Section::Desired => "desired",
            Section::Reported => "reported",
        }
    }

    pub(crate) const BOTH: [Section; 2] = [Section::Desired, Section::Reported];
}

/// A shadow that exists. Its JSON form is what a store keeps.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Shadow {
    /// From 1 upward.
    pub version: u64,
    /// Epoch seconds of the last change.
    pub timestamp: u64,
    state: Sections,
    metadata: Sections,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Sections {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    desired: Option<Map<String, Value>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reported: Option<Map<String, Value>>,
}

impl Sections {
    fn get(&self, section: Section) -> Option<&Map<String, Value>> {
        match section {
            Section::Desired => self.desired.as_ref(),
            Section::Reported => self.reported.as_ref(),
        }
    }

    fn set(&mut self, section: Section, value: Option<Map<String, Value>>) {
        let value = value.filter(|members| !members.is_empty());
        match section {
            Section::Desired => self.desired = value,
            Section::Reported => self.reported = value,
        }
    }

    fn to_json(&self) -> Map<String, Value> {
        let sections = Section::BOTH.iter();
        sections
            .filter_map(|section| {
                let members = self.get(*section)?;
                Some((section.as_str().to_owned(), Value::Object(members.clone())))
            })
            .collect()
    }
}

/// What is kept under one shadow name: a shadow, or the memory of a deleted one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
#[expect(
    clippy::large_enum_variant,
    reason = "few slots are in memory at once, and most of them are present"
)]
pub enum Slot {
    /// There is a shadow.
    Present(Shadow),
    /// There was one.
    #[serde(rename_all = "camelCase")]
    Deleted {
        /// Version given to the deletion.
        version: u64,
        /// Epoch seconds of the deletion; after 48 hours the slot may be dropped.
        deleted_at: u64,
    },
}

impl Slot {
    /// The shadow, when there is one.
    #[must_use]
    pub fn shadow(&self) -> Option<&Shadow> {
        match self {
            Slot::Present(shadow) => Some(shadow),
            Slot::Deleted { .. } => None,
        }
    }

    /// Whether nothing is lost by dropping the slot (`now` in epoch seconds).
    #[must_use]
    pub fn is_forgotten(&self, now: u64) -> bool {
        match self {
            Slot::Present(_) => false,
            Slot::Deleted { deleted_at, .. } => {
                now.saturating_sub(*deleted_at) > REMEMBERED_SECONDS
            }
        }
    }
}

/// A change to one section: put values in, or take the whole section away.
pub(crate) enum Change<'r> {
    Merge(&'r Map<String, Value>),
    Remove,
}

impl Shadow {
    /// A section's members, when it has any.
    #[must_use]
    pub fn section(&self, section: Section) -> Option<&Map<String, Value>> {
        self.state.get(section)
    }

    /// What `desired` has that `reported` lacks or has otherwise.
    #[must_use]
    pub fn delta(&self) -> Option<Map<String, Value>> {
        let desired = self.state.desired.as_ref()?;
        match &self.state.reported {
            None => Some(desired.clone()),
            Some(reported) => Some(delta(desired, reported)).filter(|delta| !delta.is_empty()),
        }
    }

    /// Bytes of both sections as JSON, what the size limit counts.
    #[must_use]
    pub fn size(&self) -> usize {
        let sections = Section::BOTH.iter();
        sections
            .filter_map(|section| self.state.get(*section))
            .map(|members| serde_json::to_string(members).map_or(0, |text| text.len()))
            .sum()
    }

    pub(crate) fn apply(&mut self, section: Section, change: &Change<'_>, now: u64) {
        let Change::Merge(patch) = change else {
            self.state.set(section, None);
            self.metadata.set(section, None);
            return;
        };
        let mut state = self.state.get(section).cloned().unwrap_or_default();
        merge_state(&mut state, patch);
        let mut metadata = self.metadata.get(section).cloned().unwrap_or_default();
        merge_metadata(&mut metadata, &state, patch, now);
        self.state.set(section, Some(state));
        self.metadata.set(section, Some(metadata));
    }

    /// `{state, metadata, version}`, the form used in `update/documents`.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "state": self.state.to_json(),
            "metadata": self.metadata.to_json(),
            "version": self.version,
        })
    }

    /// The answer to a get, without client token; `timestamp` is when it is asked.
    pub(crate) fn to_get_json(&self, now: u64) -> Map<String, Value> {
        let mut state = self.state.to_json();
        if let Some(delta) = self.delta() {
            state.insert("delta".into(), delta.into());
        }
        let mut body = Map::new();
        body.insert("state".into(), state.into());
        body.insert("metadata".into(), self.metadata.to_json().into());
        body.insert("version".into(), self.version.into());
        body.insert("timestamp".into(), now.into());
        body
    }

    /// The message of `update/delta`, without client token.
    pub(crate) fn to_delta_json(&self, now: u64) -> Option<Map<String, Value>> {
        let delta = self.delta()?;
        let known = self.metadata.desired.clone().unwrap_or_default();
        let mut body = Map::new();
        body.insert("version".into(), self.version.into());
        body.insert("timestamp".into(), now.into());
        body.insert("metadata".into(), delta_metadata(&delta, &known).into());
        body.insert("state".into(), delta.into());
        Some(body)
    }
}
