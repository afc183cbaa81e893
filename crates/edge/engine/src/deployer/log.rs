//! What of deployments survives a loss of power: requests that wait, the intent that is being
//! carried out, outcomes that were not reported yet.
//!
//! The journal holds [`Entry`]s; [`DeploymentLog`] is their sum. An entry counts once it is synced.
//!
//! ```text
//! Queued ─► (Activating ─► (Resuming…) ─► (RollingBack ─► (Resuming…))) ─► Finished ─► Reported
//! ```

#[cfg(test)]
#[path = "log_tests.rs"]
mod tests;

use super::message::{DeploymentRequest, DeploymentStatusUpdate};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use sward_deployment::tree::{Change, StampedTree};
use sward_deployment::{
    DeploymentFailure, DeploymentSource, DeploymentSpec, DeploymentStatus, Plan,
};

/// How many finished deployments are remembered for those who ask.
const REMEMBERED: usize = 20;

/// What a deployment is about to do to the device, and what it needs to undo it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Intent {
    pub(super) id: String,
    /// Who asked for it: its request may have given way to a newer one meanwhile.
    #[serde(default)]
    pub(super) source: Option<DeploymentSource>,
    pub(super) spec: DeploymentSpec,
    /// The thing groups that the device belongs to.
    pub(super) memberships: BTreeSet<String>,
    /// The version of each component.
    pub(super) versions: BTreeMap<String, String>,
    /// What each component depends on.
    pub(super) dependencies: BTreeMap<String, Vec<String>>,
    pub(super) plan: Plan,
    /// The target `services`.
    pub(super) target: Map<String, Value>,
    /// The time that configurations get, ms.
    pub(super) timestamp_ms: i64,
    /// `services` as it was, as the changes that make it.
    snapshot: Vec<Change>,
    /// Components that were BROKEN before.
    pub(super) broken_before: BTreeSet<String>,
}

/// The parts of an intent that come out of planning.
pub(super) struct Planned {
    pub(super) spec: DeploymentSpec,
    pub(super) memberships: BTreeSet<String>,
    pub(super) versions: BTreeMap<String, String>,
    pub(super) dependencies: BTreeMap<String, Vec<String>>,
    pub(super) plan: Plan,
    pub(super) target: Map<String, Value>,
    pub(super) timestamp_ms: i64,
    pub(super) snapshot: StampedTree,
    pub(super) broken_before: BTreeSet<String>,
}

impl Intent {
    pub(super) fn new(id: &str, source: DeploymentSource, planned: Planned) -> Self {
        Intent {
            id: id.to_owned(),
            source: Some(source),
            spec: planned.spec,
            memberships: planned.memberships,
            versions: planned.versions,
            dependencies: planned.dependencies,
            plan: planned.plan,
            target: planned.target,
            timestamp_ms: planned.timestamp_ms,
            snapshot: planned.snapshot.as_changes(),
            broken_before: planned.broken_before,
        }
    }

    /// `services` as it was before.
    pub(super) fn snapshot(&self) -> StampedTree {
        let mut tree = StampedTree::new();
        for change in &self.snapshot {
            tree.replay(change);
        }
        tree
    }
}

/// One record of the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "entry")]
pub(super) enum Entry {
    /// A request was accepted.
    Queued { request: DeploymentRequest },
    /// The device is about to be changed.
    Activating { intent: Box<Intent> },
    /// The change is taken up again after an end of the core, for the so-many-th time.
    Resuming { times: u32 },
    /// The change failed and is being undone.
    RollingBack { failure: DeploymentFailure },
    /// A deployment has ended.
    Finished { update: DeploymentStatusUpdate },
    /// Its end was told to whoever asked for it.
    Reported { id: String },
}

impl Entry {
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("texts, numbers and values serialise")
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(bytes)
    }
}

/// An intent that is being carried out.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Open {
    pub(super) intent: Intent,
    /// Why it is being undone, if it is.
    pub(super) failure: Option<DeploymentFailure>,
    /// How often it was taken up again, counted anew once it is being undone.
    pub(super) resumptions: u32,
}

/// Whether the cloud waits for the end: it does not of a job that it canceled itself.
fn must_be_reported(update: &DeploymentStatusUpdate) -> bool {
    match update.source {
        DeploymentSource::Local => false,
        DeploymentSource::Shadow => true,
        DeploymentSource::Jobs => update.status != DeploymentStatus::Canceled,
    }
}

/// The sum of all entries.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct DeploymentLog {
    /// First come first; the running one is the one of `started`, still in here.
    pub(super) requests: VecDeque<DeploymentRequest>,
    pub(super) open: Option<Open>,
    /// Ends that nobody took yet.
    pub(super) unreported: Vec<DeploymentStatusUpdate>,
    /// The last ends, oldest first.
    pub(super) remembered: VecDeque<DeploymentStatusUpdate>,
}

impl DeploymentLog {
    /// The sum of records as the journal gave them; what cannot be read is counted.
    pub(super) fn replay<'a>(records: impl IntoIterator<Item = &'a [u8]>) -> (Self, usize) {
        let mut log = DeploymentLog::default();
        let mut unreadable = 0;
        for record in records {
            match Entry::decode(record) {
                Ok(entry) => log.apply(entry),
                Err(_) => unreadable += 1,
            }
        }
        (log, unreadable)
    }

    pub(super) fn apply(&mut self, entry: Entry) {
        match entry {
            Entry::Queued { request } => self.queue(request),
            Entry::Activating { intent } => {
                self.open = Some(Open {
                    intent: *intent,
                    failure: None,
                    resumptions: 0,
                });
            }
            Entry::Resuming { times } => {
                if let Some(open) = &mut self.open {
                    open.resumptions = times;
                }
            }
            Entry::RollingBack { failure } => {
                if let Some(open) = &mut self.open {
                    open.failure = Some(failure);
                    open.resumptions = 0;
                }
            }
            Entry::Finished { update } => self.finish(update),
            Entry::Reported { id } => self.unreported.retain(|update| update.id != id),
        }
    }

    /// A shadow deployment takes the place of one that waits; the running one stays first.
    fn queue(&mut self, request: DeploymentRequest) {
        let running = self.open.as_ref().map(|open| open.intent.id.clone());
        let place = self.requests.iter_mut().find(|waiting| {
            waiting.id == request.id
                || (request.source == DeploymentSource::Shadow
                    && waiting.source == DeploymentSource::Shadow
                    && running.as_ref() != Some(&waiting.id))
        });
        match place {
            Some(place) => *place = request,
            None => self.requests.push_back(request),
        }
    }

    /// Takes back a request that could not be recorded.
    pub(super) fn forget(&mut self, id: &str) {
        self.requests.retain(|request| request.id != id);
    }

    fn finish(&mut self, update: DeploymentStatusUpdate) {
        self.requests.retain(|request| request.id != update.id);
        if self
            .open
            .as_ref()
            .is_some_and(|open| open.intent.id == update.id)
        {
            self.open = None;
        }
        self.unreported.retain(|old| old.id != update.id);
        if must_be_reported(&update) {
            self.unreported.push(update.clone());
        }
        self.remembered.retain(|old| old.id != update.id);
        self.remembered.push_back(update);
        while self.remembered.len() > REMEMBERED {
            self.remembered.pop_front();
        }
    }

    /// The fewest entries with the same sum.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let reported = |id: &str| !self.unreported.iter().any(|update| update.id == id);
        let is_remembered = |id: &str| self.remembered.iter().any(|update| update.id == id);
        let mut entries = Vec::new();
        // Those that nobody took for so long are older than all that is remembered.
        let forgotten = self.unreported.iter().filter(|one| !is_remembered(&one.id));
        entries.extend(forgotten.map(|update| Entry::Finished {
            update: update.clone(),
        }));
        for update in &self.remembered {
            entries.push(Entry::Finished {
                update: update.clone(),
            });
            if must_be_reported(update) && reported(&update.id) {
                entries.push(Entry::Reported {
                    id: update.id.clone(),
                });
            }
        }
        if let Some(open) = &self.open {
            entries.push(Entry::Activating {
                intent: Box::new(open.intent.clone()),
            });
            if let Some(failure) = &open.failure {
                entries.push(Entry::RollingBack {
                    failure: failure.clone(),
                });
            }
            if open.resumptions > 0 {
                entries.push(Entry::Resuming {
                    times: open.resumptions,
                });
            }
        }
        entries.extend(self.requests.iter().map(|request| Entry::Queued {
            request: request.clone(),
        }));
        entries
    }
}
